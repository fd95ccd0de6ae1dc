//! Both graphs over a set of sightings.

use crate::{
    access, links,
    phone::Region,
    profile::{self, Link, Suggestion},
    sighting::{Seen, Sighting},
    union::Sets,
};

/// Where guessing ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How numbers without a country code are read.
    pub region: Region,
    /// People that one unproven value may be seen with before it says nothing about anybody.
    pub people_per_value: usize,
    /// Values of one person; what would make it more waits for somebody to decide.
    pub values_per_person: usize,
    /// Seconds of silence after which a number may have gone to somebody else.
    pub number_silence_seconds: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            region: Region::default(),
            people_per_value: 5,
            values_per_person: 50,
            number_silence_seconds: 90 * 86_400,
        }
    }
}

/// Who is one person. Positions are those of the sightings that were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// For each sighting the earliest one of the same person, as agents see it.
    pub profile: Vec<usize>,
    /// For each sighting the earliest one of the same requester: what may be shown to them.
    pub access: Vec<usize>,
    /// Why agents see them as one, strongest first; as many as joins were made.
    pub links: Vec<Link>,
    /// What a person may decide, strongest first, at most one for each two people.
    pub suggestions: Vec<Suggestion>,
}

/// Resolves `sightings`. The outcome depends on the set of them and not on its order.
#[must_use]
pub fn resolve(sightings: &[Sighting], limits: &Limits) -> Resolution {
    // From here on a position is a rank: by time, then by what is in them.
    let mut order: Vec<(usize, Seen)> = sightings
        .iter()
        .map(|sighting| Seen::of(sighting, limits.region))
        .enumerate()
        .collect();
    order.sort_by(|(_, a), (_, b)| (a.at, &a.id, &a.name).cmp(&(b.at, &b.id, &b.name)));
    let (given, seen): (Vec<usize>, Vec<Seen>) = order.into_iter().unzip();
    let access = access::access(&seen, limits);
    let found = profile::profile(&seen, links::candidates(&seen, limits), limits);
    let place = |mut sets: Sets| {
        let mut placed = vec![0; given.len()];
        for (rank, &position) in given.iter().enumerate() {
            placed[position] = given[sets.find(rank)];
        }
        placed
    };
    Resolution {
        profile: place(found.sets),
        access: place(access),
        links: found
            .links
            .into_iter()
            .map(|link| Link {
                a: given[link.a],
                b: given[link.b],
                ..link
            })
            .collect(),
        suggestions: found
            .suggestions
            .into_iter()
            .map(|it| Suggestion {
                a: given[it.a],
                b: given[it.b],
                ..it
            })
            .collect(),
    }
}

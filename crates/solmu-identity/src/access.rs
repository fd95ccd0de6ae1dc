//! The ACCESS graph: what a requester may see.
//!
//! Only what both sides proved joins, and less than everything of that: a number may have gone to somebody else while it
//! was silent, and an address that two customer accounts proved belongs to neither.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Kind,
    resolve::Limits,
    sighting::{Key, Seen},
    union::Sets,
};

/// Requesters by what they proved.
pub(crate) fn access(seen: &[Seen], limits: &Limits) -> Sets {
    let mut by_key: BTreeMap<&Key, BTreeSet<usize>> = BTreeMap::new();
    for (index, one) in seen.iter().enumerate() {
        for mark in one.marks.iter().filter(|mark| mark.proven) {
            by_key.entry(&mark.certain).or_default().insert(index);
        }
    }
    let accounts: Vec<BTreeSet<&Key>> = seen.iter().map(|one| one.accounts().collect()).collect();
    let mut graph = Graph {
        sets: Sets::new(seen.len()),
        accounts: accounts.clone(),
    };
    // Accounts first: what they say stands against everything else.
    let (first, then): (Vec<_>, Vec<_>) = by_key
        .into_iter()
        .partition(|(key, _)| key.kind.is_unique_to_person());
    for (key, members) in first.into_iter().chain(then) {
        let contested = !key.kind.is_unique_to_person() && {
            let all: BTreeSet<&&Key> = members.iter().flat_map(|it| &accounts[*it]).collect();
            all.len() > 1
        };
        let members = members
            .into_iter()
            .filter(|it| !contested || accounts[*it].is_empty());
        graph.join_all(key, members, seen, limits);
    }
    graph.sets
}

struct Graph<'a> {
    sets: Sets,
    accounts: Vec<BTreeSet<&'a Key>>,
}

impl Graph<'_> {
    /// Joins those who proved one value, in order of time.
    fn join_all(
        &mut self,
        key: &Key,
        members: impl Iterator<Item = usize>,
        seen: &[Seen],
        limits: &Limits,
    ) {
        let mut last: Option<usize> = None;
        for member in members {
            if let Some(last) = last {
                let silent = seen[member].at.saturating_sub(seen[last].at);
                let passed_on = key.kind == Kind::Phone && silent > limits.number_silence_seconds;
                if !passed_on {
                    self.join(last, member);
                }
            }
            last = Some(member);
        }
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.sets.find(a), self.sets.find(b));
        let (ours, theirs) = (&self.accounts[a], &self.accounts[b]);
        if !ours.is_empty() && !theirs.is_empty() && ours != theirs {
            return;
        }
        if let Some((kept, gone)) = self.sets.join(a, b) {
            let more = std::mem::take(&mut self.accounts[gone]);
            self.accounts[kept].extend(more);
        }
    }
}

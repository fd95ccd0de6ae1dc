//! What a message says of its sender, read and normalised.

use solmu_domain::contact::Assurance;

use crate::{Kind, Name, guard, normalise, phone::Region};

/// One identifier of a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What kind of name.
    pub kind: Kind,
    /// The channel account of ids that only hold within it; empty for global ones.
    pub scope: String,
    /// As it was received.
    pub raw: String,
    /// How far it was proven to belong to the sender.
    pub assurance: Assurance,
}

/// Somebody wrote under a name, with identifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Unique among the sightings that are looked at together.
    pub id: String,
    /// When, in seconds since 1970.
    pub at: i64,
    /// As it was displayed.
    pub name: String,
    /// In any order.
    pub evidence: Vec<Evidence>,
}

/// What two sightings are compared by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) scope: String,
    pub(crate) value: String,
}

/// An identifier that is of use.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// For the PROFILE graph.
    pub(crate) matching: Key,
    /// For the ACCESS graph.
    pub(crate) certain: Key,
    pub(crate) proven: bool,
    /// Several people write from it.
    pub(crate) role: bool,
}

/// A sighting, read.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) at: i64,
    pub(crate) name: Name,
    pub(crate) marks: Vec<Mark>,
}

impl Seen {
    /// Reads a sighting. What is no value of its kind and what is a placeholder is left out.
    pub(crate) fn of(sighting: &Sighting, region: Region) -> Self {
        let name = Name::parse(&sighting.name);
        let mut marks: Vec<Mark> = sighting
            .evidence
            .iter()
            .filter_map(|evidence| mark(evidence, &name, region))
            .collect();
        marks.sort_by(|a, b| (&a.matching, b.proven).cmp(&(&b.matching, a.proven)));
        marks.dedup_by(|later, kept| {
            later.matching == kept.matching && later.certain == kept.certain
        });
        Self {
            id: sighting.id.clone(),
            at: sighting.at,
            name,
            marks,
        }
    }

    /// Ids of the customer's own systems that the sender proved: two different ones are two people.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = &Key> {
        self.marks
            .iter()
            .filter(|mark| mark.proven && mark.certain.kind.is_unique_to_person())
            .map(|mark| &mark.certain)
    }
}

fn mark(evidence: &Evidence, name: &Name, region: Region) -> Option<Mark> {
    let value = normalise(evidence.kind, &evidence.raw, region).ok()?;
    let proven = evidence.assurance == Assurance::Proven;
    if !proven && guard::is_placeholder(value.kind, &value.matching) {
        return None;
    }
    let role = guard::is_role(value.kind, &value.matching);
    // A mailbox of a role names nobody: only together with the name that stands beside it.
    let scope = if role {
        format!("{}|{}", evidence.scope, name.key())
    } else {
        // A number is the same whatever account it came through.
        match value.kind {
            Kind::Phone | Kind::Email => String::new(),
            _ => evidence.scope.clone(),
        }
    };
    Some(Mark {
        matching: Key {
            kind: value.kind,
            scope: scope.clone(),
            value: value.matching,
        },
        certain: Key {
            kind: value.kind,
            scope,
            value: value.certain,
        },
        proven,
        role,
    })
}

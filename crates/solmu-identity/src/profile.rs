//! The PROFILE graph: what agents see as one person.
//!
//! Candidates are tried in one fixed order, strongest first, and each must pass the guards of both sides as they are
//! then. The order is of the evidence and not of its arrival, so the same sightings give the same people.

use std::collections::BTreeSet;

use crate::{
    Kind, Name,
    links::{Candidate, Candidates},
    resolve::Limits,
    sighting::{Key, Seen},
    union::Sets,
};

/// Why two sightings are of one person, or may be. Strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The same id in the customer's own systems, proven by both.
    SameAccount,
    /// The same id that a platform gave, or the same session.
    SamePlatformId,
    /// The same address, proven by both, and the names agree.
    ProvenAddress,
    /// The same number, proven by both, and the names agree.
    ProvenNumber,
    /// The same address, claimed by one of them, and the full names agree.
    ClaimedAddress,
    /// The same number, claimed by one of them, and the full names agree.
    ClaimedNumber,
    /// The same customer number or cookie, and the full names agree.
    WeakValue,
    /// The same value, and what is known of the name fits one person who uses it.
    NameFits,
    /// The same value that one person uses, and no name.
    Nameless,
    /// A typed id of an account.
    ClaimedId,
    /// The same value, used by several people.
    SharedValue,
    /// The same value under different names.
    NamesDiffer,
}

impl Rule {
    /// Stable code, as it is stored and told.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::SameAccount => "same_account",
            Self::SamePlatformId => "same_platform_id",
            Self::ProvenAddress => "proven_address",
            Self::ProvenNumber => "proven_number",
            Self::ClaimedAddress => "claimed_address",
            Self::ClaimedNumber => "claimed_number",
            Self::WeakValue => "weak_value",
            Self::NameFits => "name_fits",
            Self::Nameless => "nameless",
            Self::ClaimedId => "claimed_id",
            Self::SharedValue => "shared_value",
            Self::NamesDiffer => "names_differ",
        }
    }

    pub(crate) fn names_agree(kind: Kind, proven: bool) -> Self {
        match (kind, proven) {
            (Kind::Email, true) => Self::ProvenAddress,
            (Kind::Phone, true) => Self::ProvenNumber,
            (Kind::Email, false) => Self::ClaimedAddress,
            (Kind::Phone, false) => Self::ClaimedNumber,
            _ => Self::WeakValue,
        }
    }

    pub(crate) fn name_fits(kind: Kind, proven: bool) -> Self {
        match (kind, proven) {
            (Kind::Email, true) => Self::ProvenAddress,
            (Kind::Phone, true) => Self::ProvenNumber,
            _ => Self::NameFits,
        }
    }

    pub(crate) fn nameless(kind: Kind, proven: bool) -> Self {
        match (kind, proven) {
            (Kind::Email, true) => Self::NameFits,
            _ => Self::Nameless,
        }
    }

    /// Whether names may stand against it.
    const fn asks_names(self) -> bool {
        !matches!(self, Self::SameAccount | Self::SamePlatformId)
    }
}

/// Why a pair was not joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// They share a value, and their full names differ.
    NamesDiffer,
    /// They share a value, and each has an account of their own in the customer's systems.
    AccountsDiffer,
    /// They share a value that several people use.
    SharedValue,
    /// One typed an id that the other proved.
    ClaimedId,
    /// They would make a person of more values than anybody has.
    TooLarge,
}

impl Reason {
    /// Stable code, as it is stored and told.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NamesDiffer => "names_differ",
            Self::AccountsDiffer => "accounts_differ",
            Self::SharedValue => "shared_value",
            Self::ClaimedId => "claimed_id",
            Self::TooLarge => "too_large",
        }
    }
}

/// A join that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Sightings, by position in what was given.
    pub a: usize,
    /// The other one.
    pub b: usize,
    /// Why.
    pub rule: Rule,
    /// Kind of the value that they share.
    pub kind: Kind,
    /// The value, as it was compared.
    pub value: String,
}

/// A join that a person may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// Sightings, by position in what was given.
    pub a: usize,
    /// The other one.
    pub b: usize,
    /// Why it was not made.
    pub reason: Reason,
    /// Kind of the value that they share.
    pub kind: Kind,
    /// The value, as it was compared.
    pub value: String,
}

/// What is known of a component.
#[derive(Debug, Clone, Default)]
struct Facts {
    full: BTreeSet<Name>,
    partial: BTreeSet<Name>,
    accounts: BTreeSet<Key>,
    values: BTreeSet<Key>,
}

impl Facts {
    fn of(seen: &Seen) -> Self {
        let mut facts = Self {
            accounts: seen.accounts().cloned().collect(),
            values: seen
                .marks
                .iter()
                .map(|mark| mark.matching.clone())
                .collect(),
            ..Self::default()
        };
        if seen.name.is_full() {
            facts.full.insert(seen.name.clone());
        } else if !seen.name.is_empty() {
            facts.partial.insert(seen.name.clone());
        }
        facts
    }

    fn add(&mut self, other: Self) {
        self.full.extend(other.full);
        self.partial.extend(other.partial);
        self.accounts.extend(other.accounts);
        self.values.extend(other.values);
    }

    /// What stands against one person of both.
    fn against(&self, other: &Self, rule: Rule, limits: &Limits) -> Option<Reason> {
        let both_have_accounts = !self.accounts.is_empty() && !other.accounts.is_empty();
        if rule != Rule::SameAccount && both_have_accounts && self.accounts != other.accounts {
            return Some(Reason::AccountsDiffer);
        }
        if !rule.asks_names() {
            return None;
        }
        let agree = self
            .full
            .iter()
            .all(|a| other.full.iter().all(|b| a.agrees(b)));
        if !agree || !self.fits(other) || !other.fits(self) {
            return Some(Reason::NamesDiffer);
        }
        let values = self.values.union(&other.values).count();
        (values > limits.values_per_person).then_some(Reason::TooLarge)
    }

    /// Whether every part of a name here is part of a full name there.
    fn fits(&self, other: &Self) -> bool {
        other.full.is_empty()
            || self
                .partial
                .iter()
                .all(|part| other.full.iter().any(|full| part.is_part_of(full)))
    }
}

/// People as agents see them.
pub(crate) struct Profile {
    pub(crate) sets: Sets,
    pub(crate) links: Vec<Link>,
    pub(crate) suggestions: Vec<Suggestion>,
}

/// Joins what may be joined.
pub(crate) fn profile(seen: &[Seen], candidates: Candidates<'_>, limits: &Limits) -> Profile {
    let mut sets = Sets::new(seen.len());
    let mut facts: Vec<Facts> = seen.iter().map(Facts::of).collect();
    let mut links = Vec::new();
    let mut refused: Vec<(Candidate<'_>, Reason)> = Vec::new();
    for candidate in candidates.joins {
        let (a, b) = (sets.find(candidate.a), sets.find(candidate.b));
        if a == b {
            continue;
        }
        if let Some(reason) = facts[a].against(&facts[b], candidate.rule, limits) {
            refused.push((candidate, reason));
            continue;
        }
        if let Some((kept, gone)) = sets.join(a, b) {
            let more = std::mem::take(&mut facts[gone]);
            facts[kept].add(more);
        }
        links.push(Link {
            a: candidate.a,
            b: candidate.b,
            rule: candidate.rule,
            kind: candidate.key.kind,
            value: candidate.key.value.clone(),
        });
    }
    let open = candidates.open.into_iter().map(|candidate| {
        let reason = match candidate.rule {
            Rule::ClaimedId => Reason::ClaimedId,
            Rule::NamesDiffer => Reason::NamesDiffer,
            _ => Reason::SharedValue,
        };
        (candidate, reason)
    });
    refused.extend(open);
    let mut told = BTreeSet::new();
    let mut suggestions = Vec::new();
    for (candidate, reason) in refused {
        let (a, b) = (sets.find(candidate.a), sets.find(candidate.b));
        if a != b && told.insert((a.min(b), a.max(b))) {
            suggestions.push(Suggestion {
                a: candidate.a,
                b: candidate.b,
                reason,
                kind: candidate.key.kind,
                value: candidate.key.value.clone(),
            });
        }
    }
    Profile {
        sets,
        links,
        suggestions,
    }
}

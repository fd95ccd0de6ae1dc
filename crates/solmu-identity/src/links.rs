//! What could join two sightings, strongest first.

use std::collections::BTreeMap;

use crate::{
    Kind, Rule,
    groups::Groups,
    resolve::Limits,
    sighting::{Key, Seen},
};

/// Two sightings that share a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate<'a> {
    /// Strongest first.
    pub(crate) rule: Rule,
    pub(crate) key: &'a Key,
    pub(crate) a: usize,
    pub(crate) b: usize,
}

/// Joins to try, and what a value leaves open.
#[derive(Debug, Default)]
pub(crate) struct Candidates<'a> {
    pub(crate) joins: Vec<Candidate<'a>>,
    /// Pairs that share a value whose names do not say that they are one person.
    pub(crate) open: Vec<Candidate<'a>>,
}

/// Members of a value: who is seen with it, and whether they proved it.
type Members = BTreeMap<usize, bool>;

/// Looks at every value that more than one sighting has.
pub(crate) fn candidates<'a>(seen: &'a [Seen], limits: &Limits) -> Candidates<'a> {
    let mut by_key: BTreeMap<&Key, (Members, bool)> = BTreeMap::new();
    for (index, one) in seen.iter().enumerate() {
        for mark in &one.marks {
            let (members, role) = by_key.entry(&mark.matching).or_default();
            *members.entry(index).or_default() |= mark.proven;
            *role |= mark.role;
        }
    }
    let mut found = Candidates::default();
    for (key, (members, role)) in by_key {
        if members.len() < 2 {
            continue;
        }
        let value = Shared {
            key,
            members,
            role,
            limits,
        };
        value.find(seen, &mut found);
    }
    found.joins.sort_unstable();
    found.open.sort_unstable();
    found
}

/// A value that several sightings have.
struct Shared<'a, 'l> {
    key: &'a Key,
    members: Members,
    role: bool,
    limits: &'l Limits,
}

impl<'a> Shared<'a, '_> {
    fn find(&self, seen: &'a [Seen], found: &mut Candidates<'a>) {
        let members: Vec<usize> = self.members.keys().copied().collect();
        if self.key.kind.is_account() {
            self.join_account(&members, found);
            return;
        }
        let mut groups = Groups::of(&members, seen);
        if groups.people() > self.limits.people_per_value {
            // A library's computer or a switchboard: it says nothing about anybody but who proved it.
            let proven: Vec<usize> = members.into_iter().filter(|it| self.members[it]).collect();
            groups = Groups::of(&proven, seen);
        }
        for group in &groups.full {
            self.join_all(group, group, Rule::names_agree, found);
        }
        if self.role {
            return;
        }
        for &(member, group) in &groups.fitting {
            self.join_all(&groups.full[group], &[member], Rule::name_fits, found);
        }
        // Who only ever gave a first name: the same first name joins while nobody else uses the value.
        if groups.full.is_empty() {
            for group in &groups.partial {
                self.join_all(group, group, Rule::name_fits, found);
            }
        }
        if let Some(group) = groups.only() {
            self.join_all(group, &groups.nameless, Rule::nameless, found);
        } else if groups.people() == 0 {
            self.join_all(&groups.nameless, &groups.nameless, Rule::nameless, found);
        } else {
            self.leave_open(&groups, &groups.nameless, found);
        }
        self.leave_open(&groups, &groups.torn, found);
        self.differ(&groups, found);
    }

    /// An id that a platform or the customer's own system gave. Who only typed it gets no further than a suggestion.
    fn join_account(&self, members: &[usize], found: &mut Candidates<'a>) {
        let proven: Vec<usize> = members
            .iter()
            .copied()
            .filter(|it| self.members[it])
            .collect();
        let anchor = proven.first().copied().unwrap_or(members[0]);
        for &member in members.iter().filter(|it| **it != anchor) {
            let candidate = |rule| self.candidate(rule, anchor, member);
            if self.members[&member] {
                let rule = if self.key.kind == Kind::External {
                    Rule::SameAccount
                } else {
                    Rule::SamePlatformId
                };
                found.joins.push(candidate(rule));
            } else {
                found.open.push(candidate(Rule::ClaimedId));
            }
        }
    }

    /// Joins `members` to who stands for `group`: the first who proved the value, else the first.
    fn join_all(
        &self,
        group: &[usize],
        members: &[usize],
        rule: fn(Kind, bool) -> Rule,
        found: &mut Candidates<'a>,
    ) {
        let anchor = group.iter().find(|it| self.members[it]).or(group.first());
        let Some(&anchor) = anchor else {
            return;
        };
        for &member in members.iter().filter(|&&it| it != anchor) {
            let proven = self.members[&anchor] && self.members[&member];
            found
                .joins
                .push(self.candidate(rule(self.key.kind, proven), anchor, member));
        }
    }

    /// Nothing says whose these are: somebody may.
    fn leave_open(&self, groups: &Groups, members: &[usize], found: &mut Candidates<'a>) {
        for &member in members {
            for group in groups.full.iter().chain(&groups.partial) {
                found
                    .open
                    .push(self.candidate(Rule::SharedValue, group[0], member));
            }
        }
    }

    /// Different names on one value: a couple, a colleague, or somebody who changed their name.
    fn differ(&self, groups: &Groups, found: &mut Candidates<'a>) {
        let firsts: Vec<usize> = groups
            .full
            .iter()
            .chain(&groups.partial)
            .map(|it| it[0])
            .collect();
        for pair in firsts.windows(2) {
            found
                .open
                .push(self.candidate(Rule::NamesDiffer, pair[0], pair[1]));
        }
    }

    fn candidate(&self, rule: Rule, a: usize, b: usize) -> Candidate<'a> {
        Candidate {
            rule,
            key: self.key,
            a: a.min(b),
            b: a.max(b),
        }
    }
}

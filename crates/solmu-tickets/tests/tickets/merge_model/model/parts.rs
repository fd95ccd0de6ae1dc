//! Merging and taking apart.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Merge, Message, Model, Refusal};

impl Model {
    /// In the order of the tickets' numbers, as they are merged.
    pub(in crate::merge_model) fn merge(
        &mut self,
        sources: &BTreeSet<usize>,
        target: usize,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if sources.contains(&target) {
            return Err("MERGE_WITH_ITSELF");
        }
        self.by_itself(target)?;
        let into = |source: usize| self.tickets[source].merged.as_ref().map(|it| it.target);
        if sources
            .iter()
            .any(|it| into(*it).is_some_and(|it| it != target))
        {
            return Err("TICKET_MERGED");
        }
        let fresh: Vec<usize> = sources
            .iter()
            .copied()
            .filter(|it| into(*it).is_none())
            .collect();
        let secret = fresh
            .iter()
            .chain([&target])
            .any(|it| self.is_restricted(*it));
        for source in &fresh {
            self.take_in(*source, target, now);
        }
        if secret && !fresh.is_empty() {
            // Whichever side it was on.
            self.restrict(target, true)?;
        }
        Ok(())
    }

    fn take_in(&mut self, source: usize, target: usize, now: Timestamp) {
        self.steps += 1;
        let moved = self.on(source);
        let base = self.tickets[target].last;
        for (place, (message, _)) in (1..).zip(&moved) {
            self.messages[*message].on = target;
            self.messages[*message].sequence = base + place;
            self.tickets[target].last = base + place;
        }
        let merge = Merge {
            target,
            order: self.steps,
            stood: self.shown(source),
            base,
            moved,
            at: now,
        };
        self.tickets[source].merged = Some(merge);
    }

    pub(in crate::merge_model) fn unmerge(&mut self, source: usize) -> Result<(), Refusal> {
        let Some(merge) = self.tickets[source].merged.clone() else {
            return Err("NOT_MERGED");
        };
        let target = merge.target;
        let stood = self.by_itself(target)?;
        let woke_it = self.lifters(target).first() == Some(&source);
        let people = self.people(source);
        self.tickets[source].merged = None;
        for (message, sequence) in &merge.moved {
            // What came again with something else stays with that; what was split out stays where it is.
            let again = self
                .brought_by(target, *message)
                .is_some_and(|order| order > merge.order);
            if self.messages[*message].on == target && !again {
                self.messages[*message].on = source;
                self.messages[*message].sequence = *sequence;
            }
        }
        // Who wrote on the target meanwhile takes part in it.
        let own: Vec<usize> = self
            .on(target)
            .into_iter()
            .map(|(message, _)| message)
            .filter(|message| self.brought_by(target, *message).is_none())
            .collect();
        let wrote = own
            .iter()
            .filter_map(|it| self.messages[*it].author.as_ref());
        let wrote: Vec<String> = wrote.map(|author| author.address.clone()).collect();
        let others = self.people(target);
        let stays = wrote
            .into_iter()
            .filter(|address| people.contains(address) && !others.contains(address));
        self.tickets[target].people.extend(stays);
        // And whoever wrote there decided where it stands.
        let came = own
            .iter()
            .any(|it| self.messages[*it].sequence > merge.base);
        if woke_it && came {
            self.settle(target, stood);
        }
        Ok(())
    }

    /// The last merge that holds which brought the message to `ticket`.
    fn brought_by(&self, ticket: usize, message: usize) -> Option<usize> {
        let parts = self.parts(ticket).into_iter().rev();
        let mut parts = parts.filter(|(_, merge)| merge.moved.iter().any(|(it, _)| *it == message));
        parts.next().map(|(_, merge)| merge.order)
    }

    /// Returns the new ticket.
    pub(in crate::merge_model) fn split(&mut self, message: usize) -> Result<usize, Refusal> {
        let found = self.messages[message].clone();
        let Some(author) = found.author else {
            return Err("NOT_SPLITTABLE");
        };
        let old = found.on;
        let there = self.on(old);
        // A line takes its conversation along where that joined; what joined stands on the ticket still.
        let lines: Vec<usize> = there
            .iter()
            .map(|(place, _)| *place)
            .filter(|place| {
                let session = |it: &Message| it.author.as_ref().and_then(|it| it.session.clone());
                author.session.is_some() && session(&self.messages[*place]) == author.session
            })
            .collect();
        let whole = lines.iter().any(|place| self.messages[*place].joined);
        let moving = if whole { lines } else { vec![message] };
        if moving.len() >= there.len() {
            return Err("NOT_SPLITTABLE");
        }
        let new = self.open(author.person);
        for place in &moving {
            self.tickets[new].last += 1;
            let it = &mut self.messages[*place];
            (it.on, it.sequence, it.joined) = (new, self.tickets[new].last, false);
            it.leads = new;
        }
        for way in 0..self.sessions.len() {
            let (name, _, leads) = &self.sessions[way];
            if whole && author.session.as_ref() == Some(name) && self.is_part(*leads, old) {
                self.sessions[way].2 = new;
            }
        }
        self.tickets[new].people.insert(author.address);
        self.tickets[new].restricted = self.tickets[old].restricted;
        Ok(new)
    }
}

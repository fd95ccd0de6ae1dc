//! What the ticket service was asked of tickets that are to be routed, and what of it rules can do without.
//!
//! A batch asks once for fields of contacts and organisations, then once for words: only of tickets that no rule decided
//! on before it needed them.

use std::collections::{HashMap, HashSet};

use solmu_domain::ids::{ContactId, TicketId};
use solmu_inquiry::{OwnFields, Owns, Watched};
use uuid::Uuid;

use super::{
    event::TicketEvent,
    rules::{Ruling, Text, Told},
    state::State,
    ticket::{Facts, Phase},
};

/// Answers by ticket, as far as they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) texts: HashMap<TicketId, Text>,
    pub(crate) owns: HashMap<TicketId, OwnFields>,
}

impl Answers {
    /// What is known of a ticket.
    pub(crate) fn told(&self, id: TicketId) -> Told<'_> {
        Told {
            text: self.texts.get(&id),
            own: self.owns.get(&id),
        }
    }
}

/// Whose fields a ticket's rules look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parties {
    contact: Option<Uuid>,
    organizations: Vec<String>,
}

impl Parties {
    pub(crate) fn of(facts: &Facts) -> Self {
        Self {
            contact: facts.contact.map(ContactId::as_uuid),
            organizations: facts.organizations.clone(),
        }
    }

    pub(crate) const fn contact(&self) -> Option<Uuid> {
        self.contact
    }

    pub(crate) fn organizations(&self) -> impl Iterator<Item = Uuid> {
        let ids = self.organizations.iter();
        ids.filter_map(|text| Uuid::parse_str(text).ok())
    }

    pub(crate) fn see(&self, owns: &Owns) -> OwnFields {
        let organizations = self.organizations.iter().map(String::as_str);
        owns.of(self.contact, organizations)
    }
}

/// Contacts and organisations whose fields changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OwnChange {
    pub(crate) contacts: HashSet<ContactId>,
    /// Ids as tickets have them.
    pub(crate) organizations: HashSet<String>,
    /// Absent: any.
    pub(crate) fields: Option<Vec<String>>,
}

impl OwnChange {
    /// Whether rules may say something else now.
    pub(crate) fn concerns(&self, watched: &Watched) -> bool {
        let fields = self.fields.as_ref();
        fields.map_or(!watched.is_empty(), |it| watched.meets(it))
    }

    fn is_of(&self, facts: &Facts) -> bool {
        let mut organizations = facts.organizations.iter();
        facts.contact.is_some_and(|it| self.contacts.contains(&it))
            || organizations.any(|it| self.organizations.contains(it))
    }
}

impl State {
    /// Whose fields the rules have to see, of tickets that are to be routed, `limit` at most; `opened` are those of events
    /// not yet learned.
    pub(crate) fn wanted_owns<'a>(
        &'a self,
        opened: impl Iterator<Item = &'a TicketEvent>,
        limit: usize,
    ) -> HashMap<TicketId, Parties> {
        let rules = &self.rules;
        if rules.watched().is_empty() {
            return HashMap::new();
        }
        // A rule behind one that needs the text may need them, too.
        let wanted = self.to_route(opened, limit).filter(|(_, facts)| {
            let ruling = rules.rule_on(facts, Told::default());
            matches!(ruling, Ruling::NeedsOwn | Ruling::NeedsText)
        });
        let wanted = wanted.take(limit);
        wanted.map(|(id, facts)| (id, Parties::of(facts))).collect()
    }

    /// Tickets whose text the rules have to see, now that the rest was asked.
    pub(crate) fn wanted_texts<'a>(
        &'a self,
        opened: impl Iterator<Item = &'a TicketEvent>,
        owns: &HashMap<TicketId, OwnFields>,
        limit: usize,
    ) -> Vec<TicketId> {
        let rules = &self.rules;
        let wanted = self.to_route(opened, limit).filter(|(id, facts)| {
            let told = Told {
                text: None,
                own: owns.get(id),
            };
            rules.rule_on(facts, told) == Ruling::NeedsText
        });
        let mut wanted: Vec<_> = wanted.take(limit).map(|(id, _)| id).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// Lets the rules be asked again about what waits of these contacts and organisations. It is stored with the tickets,
    /// so that the next leader does it if this one does not get to it.
    pub(crate) fn own_changed(&mut self, change: &OwnChange) {
        if !change.concerns(self.rules.watched()) {
            return;
        }
        let all = self.tickets.values();
        let concerned = all.filter(|it| {
            let routed = it.route.as_ref().is_some_and(|route| !route.by_hand);
            routed && matches!(it.phase, Phase::Waiting(_)) && change.is_of(&it.facts)
        });
        let concerned: Vec<TicketId> = concerned.map(|it| it.id).collect();
        for id in concerned {
            self.change(id, |ticket| {
                if let Some(route) = &mut ticket.route {
                    route.rules_version = 0;
                }
            });
        }
    }

    /// Empties the custom fields of tickets of people whose data was removed.
    pub(crate) fn erase(&mut self, contacts: &HashSet<ContactId>) {
        let all = self
            .tickets
            .values()
            .filter(|it| !it.facts.fields.is_empty());
        let theirs = all.filter(|it| it.facts.contact.is_some_and(|id| contacts.contains(&id)));
        let theirs: Vec<TicketId> = theirs.map(|it| it.id).collect();
        for id in theirs {
            self.change(id, |ticket| ticket.facts.fields.clear());
        }
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;

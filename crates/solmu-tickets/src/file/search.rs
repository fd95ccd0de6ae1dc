//! The proofs by which a mail joins a ticket, each on its own; [`super::thread`] says in which order they count.

use std::collections::HashSet;

use solmu_proto::inbound::v1::MessageReceived;
use uuid::Uuid;

use super::{
    author::{Author, Standing, copied_of, domain_of, party_of},
    thread::{ThreadKey, Threads, correspondent},
};
use crate::config::Config;

/// Looks for a ticket on which one author may write, each time with other proof.
pub(super) struct Search<'a> {
    threads: &'a Threads,
    author: &'a Author,
    party: String,
    config: &'a Config,
}

impl<'a> Search<'a> {
    pub(super) fn new(threads: &'a Threads, author: &'a Author, config: &'a Config) -> Self {
        Self {
            threads,
            author,
            party: author.party(&config.public_mail_domains),
            config,
        }
    }

    fn claimed(&self, key: &ThreadKey, party: &str) -> Option<Uuid> {
        let claim = self.threads.claims.get(&(key.clone(), party.to_owned()));
        claim
            .copied()
            .filter(|id| self.threads.tickets.contains_key(id))
    }

    fn writes_on(&self, ticket: Uuid) -> bool {
        self.threads.has_party(ticket, &self.party, self.config)
    }

    /// They or a colleague wrote on the ticket.
    pub(super) fn as_writer<'k>(
        &self,
        mut keys: impl Iterator<Item = &'k ThreadKey>,
    ) -> Option<Uuid> {
        keys.find_map(|key| {
            let first = self.threads.ticket_of(key);
            first
                .filter(|ticket| self.writes_on(*ticket))
                .or_else(|| self.claimed(key, &self.party))
        })
    }

    /// They got the mail that they answer.
    pub(super) fn as_copied(&self, answered: &[ThreadKey]) -> Option<Uuid> {
        if self.author.failed() {
            return None;
        }
        answered
            .iter()
            .find_map(|key| self.claimed(key, &self.author.address))
    }

    /// This is what somebody answered who got it: the answer overtook it.
    pub(super) fn as_original(
        &self,
        message: &MessageReceived,
        own: Option<&ThreadKey>,
    ) -> Option<Uuid> {
        let own = own.filter(|_| !self.author.failed())?;
        let domains = &self.config.public_mail_domains;
        copied_of(message, self.author).find_map(|copied| {
            let wrote = |ticket: &Uuid| {
                let participants = self.threads.participants.get(ticket);
                participants.is_some_and(|participants| participants.contains(&copied))
            };
            let first = self.threads.ticket_of(own).filter(&wrote);
            first
                .or_else(|| self.claimed(own, &party_of(&copied, domains)).filter(wrote))
                .or_else(|| self.claimed(own, &copied).filter(wrote))
        })
    }

    /// They write to somebody of the ticket who has written to them, too, about the same earlier mail. Both have to: a
    /// stranger can copy anybody.
    pub(super) fn as_correspondent<'k>(
        &self,
        message: &MessageReceived,
        keys: impl Iterator<Item = &'k ThreadKey>,
    ) -> Option<Uuid> {
        if self.author.failed() {
            return None;
        }
        let copied: HashSet<String> = copied_of(message, self.author).collect();
        let name = correspondent(&self.author.address);
        keys.filter_map(|key| self.claimed(key, &name))
            .find(|ticket| {
                let participants = self.threads.participants.get(ticket);
                participants.is_some_and(|participants| !participants.is_disjoint(&copied))
            })
    }

    /// An agent may write everywhere, if it is one for certain.
    pub(super) fn as_agent(&self, answered: &[ThreadKey]) -> Option<Uuid> {
        self.is_agent()
            .then(|| answered.iter().find_map(|key| self.threads.ticket_of(key)))
            .flatten()
    }

    /// Numbers can be counted through, so only who took part under this very address may use one.
    pub(super) fn by_number(&self, message: &MessageReceived) -> Option<Uuid> {
        self.threads.numbered(message).find(|ticket| {
            let participants = self.threads.participants.get(ticket);
            let took_part = || participants.is_some_and(|all| all.contains(&self.author.address));
            !self.author.failed() && (self.is_agent() || took_part())
        })
    }

    fn is_agent(&self) -> bool {
        let domain = domain_of(&self.author.address);
        self.author.standing == Standing::Verified
            && domain.is_some_and(|domain| {
                let domains = &self.config.agent_mail_domains;
                domains.iter().any(|agents| agents == domain)
            })
    }

    /// Whether the sender of a signed answer was part of the ticket before.
    pub(super) fn belongs(&self, ticket: Uuid, answered: &[ThreadKey]) -> bool {
        let newest = self.threads.newest(ticket);
        self.is_agent()
            || self.writes_on(ticket)
            || self.writes_on(newest)
            || self
                .as_copied(answered)
                .is_some_and(|id| id == ticket || id == newest)
    }
}

//! The proofs by which a mail joins a ticket, each on its own; [`super::thread`] says in which order they count.

use std::collections::HashSet;

use solmu_proto::inbound::v1::MessageReceived;
use uuid::Uuid;

use super::{
    author::{Author, Standing, copied_of, domain_of, party_of},
    thread::{ThreadKey, Threads, Way, correspondent, namer, receiver, shared_keys},
};
use crate::config::Config;

/// Looks for a ticket on which one author may write, each time with other proof.
pub(super) struct Search<'a> {
    threads: &'a Threads,
    author: &'a Author,
    /// As whom they name messages.
    name: String,
    party: String,
    config: &'a Config,
}

impl<'a> Search<'a> {
    pub(super) fn new(threads: &'a Threads, author: &'a Author, config: &'a Config) -> Self {
        Self {
            threads,
            author,
            name: namer(author),
            party: author.party(&config.public_mail_domains),
            config,
        }
    }

    fn claimed(&self, key: &ThreadKey, party: &str) -> Option<Uuid> {
        let claim = self.threads.claims.get(&(key.clone(), party.to_owned()));
        claim
            .filter(|id| self.threads.tickets.contains_key(id))
            .map(|id| self.threads.home(*id))
    }

    pub(super) fn writes_on(&self, ticket: Uuid) -> bool {
        self.threads.has_party(ticket, &self.party, self.config)
    }

    /// The message itself is on a ticket on which they or a colleague wrote, or they named it there before.
    pub(super) fn as_writer<'k>(
        &'k self,
        keys: impl Iterator<Item = &'k ThreadKey> + 'k,
    ) -> impl Iterator<Item = Uuid> + 'k {
        keys.flat_map(|key| {
            let way = self.threads.keys.get(key);
            let first = way.and_then(|way| {
                let ticket = self.threads.ticket_of(key)?;
                let ours =
                    way.named_by == self.name || (way.is_written() && self.writes_on(ticket));
                ours.then_some(ticket)
            });
            let others = [&self.name, &self.party].map(|name| self.claimed(key, name));
            first.into_iter().chain(others.into_iter().flatten())
        })
    }

    /// They got the mail that they answer.
    pub(super) fn as_copied<'k>(
        &'k self,
        answered: &'k [ThreadKey],
    ) -> impl Iterator<Item = Uuid> + 'k {
        let name = receiver(&self.name);
        answered
            .iter()
            .filter(|_| !self.author.failed())
            .filter_map(move |key| self.claimed(key, &name))
    }

    /// This is what a colleague answered: the answer overtook it.
    pub(super) fn as_answered<'k>(
        &'k self,
        own: Option<&'k ThreadKey>,
    ) -> impl Iterator<Item = Uuid> + 'k {
        let domains = &self.config.public_mail_domains;
        self.namers(own)
            .filter(move |(name, _)| party_of(name, domains) == self.party)
            .map(|(_, ticket)| ticket)
    }

    /// This is what somebody answered who got it. Of two mails under one id only the first can be that: anybody can copy
    /// an id that is in use.
    pub(super) fn as_original<'k>(
        &'k self,
        message: &MessageReceived,
        own: Option<&'k ThreadKey>,
    ) -> impl Iterator<Item = Uuid> + 'k {
        let own = own.filter(|own| !self.is_written(own));
        let copied: HashSet<String> = copied_of(message, self.author).collect();
        self.namers(own)
            .filter(move |(name, _)| copied.contains(*name))
            .map(|(_, ticket)| ticket)
    }

    /// Who named the mail itself, on tickets of theirs.
    fn namers<'k>(
        &'k self,
        own: Option<&'k ThreadKey>,
    ) -> impl Iterator<Item = (&'k str, Uuid)> + 'k {
        own.filter(|_| !self.author.failed())
            .into_iter()
            .flat_map(|own| self.threads.namers(own))
            .filter(|(name, ticket)| {
                let participants = self.threads.participants.get(ticket);
                participants.is_some_and(|participants| participants.contains(*name))
            })
    }

    fn is_written(&self, key: &ThreadKey) -> bool {
        self.threads.keys.get(key).is_some_and(Way::is_written)
    }

    /// They write to somebody who has written to them, too, about the same earlier mail. Both have to: a stranger can
    /// copy anybody.
    pub(super) fn as_correspondent<'k>(
        &'k self,
        message: &MessageReceived,
        keys: impl Iterator<Item = &'k ThreadKey> + 'k,
    ) -> impl Iterator<Item = Uuid> + 'k {
        let names: Vec<String> = copied_of(message, self.author)
            .map(|copied| correspondent(&self.name, &copied))
            .collect();
        keys.filter(|_| !self.author.failed()).flat_map(move |key| {
            let found: Vec<Uuid> = names
                .iter()
                .filter_map(|name| self.claimed(key, name))
                .collect();
            found
        })
    }

    /// Every ticket to which the mail belongs for certain, in order of proof.
    pub(super) fn of_thread<'k>(
        &'k self,
        message: &MessageReceived,
        answered: &'k [ThreadKey],
        own: Option<&'k ThreadKey>,
    ) -> impl Iterator<Item = Uuid> + 'k {
        let mut shared: Vec<&ThreadKey> = own.into_iter().collect();
        let ends = shared_keys(message);
        shared.extend(answered.iter().filter(|key| ends.contains(*key)));
        self.as_writer(answered.iter().chain(own))
            .chain(self.as_copied(answered))
            .chain(self.as_answered(own))
            .chain(self.as_correspondent(message, shared.into_iter()))
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
                .any(|id| id == ticket || id == newest)
    }
}

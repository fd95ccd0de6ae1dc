//! By what later messages find the ticket of a message: its ids, and the people who take part.

use solmu_proto::{inbound::v1::MessageReceived, types::v1::Channel};
use uuid::Uuid;

use super::{
    author::copied_of,
    plan::Plan,
    thread::{
        ClaimKey, ThreadKey, Way, correspondent, keys_of, namer, once_key, own_key, receiver,
        shared_keys,
    },
    work::{Effect, Incoming},
};
use crate::model::class_from_proto;

impl Plan<'_> {
    pub(super) fn add_participant(
        &mut self,
        incoming: &Incoming<'_>,
        ticket: Uuid,
        effect: Effect,
    ) {
        let author = &incoming.author;
        let opened = matches!(effect, Effect::Opened { .. });
        let takes_part = !author.address.is_empty()
            && class_from_proto(incoming.message.automatic_class()).is_human()
            // One whose checks failed takes part in nothing but what they opened themselves.
            && (opened || !author.failed());
        if takes_part {
            let known = self.loaded.threads.participants.entry(ticket).or_default();
            if known.insert(author.participant()) {
                self.participants.insert((ticket, author.participant()));
            }
        }
    }

    /// Notes by what later messages find the ticket: the ids that the message names, its own, and who got it.
    pub(super) fn add_keys(&mut self, incoming: &Incoming<'_>, ticket: Uuid) {
        let (config, message, author) = (self.config(), incoming.message, &incoming.author);
        let is_mail = message.channel() == Channel::Email;
        let party = author.party(&config.public_mail_domains);
        let is_part = is_mail && self.loaded.threads.has_party(ticket, &party, config);
        let (own, me) = (own_key(message), namer(author));
        for key in keys_of(message) {
            let is_own = own.as_ref() == Some(&key);
            match self.loaded.threads.keys.get(&key).cloned() {
                None => {
                    let named_by = if is_own || !is_mail {
                        String::new()
                    } else {
                        me.clone()
                    };
                    self.add_way(key, Way { ticket, named_by });
                }
                // The message that was named before: now it leads here, and who named it goes on where they were.
                Some(way) if is_own && !way.is_written() => {
                    if self.loaded.threads.home(way.ticket) != ticket {
                        self.claim((key.clone(), way.named_by), way.ticket);
                    }
                    self.move_key(key, ticket);
                }
                Some(way) if is_part => {
                    let elsewhere = self.loaded.threads.home(way.ticket) != ticket;
                    if is_own && elsewhere {
                        self.claim((key, party.clone()), ticket);
                    } else if !is_own && way.named_by != me && (elsewhere || !way.is_written()) {
                        self.claim((key, me.clone()), ticket);
                    }
                }
                Some(_) => {}
            }
        }
        if let Some(once) = once_key(message)
            && !self.loaded.threads.keys.contains_key(&once)
        {
            let named_by = String::new();
            self.add_way(once, Way { ticket, named_by });
        }
        if let Some(own) = own.filter(|_| is_part && !author.failed()) {
            let shared = shared_keys(message);
            for copied in copied_of(message, author) {
                for key in shared.iter().filter(|key| **key != own) {
                    self.claim((key.clone(), correspondent(&copied, &me)), ticket);
                }
                self.claim((own.clone(), receiver(&copied)), ticket);
            }
        }
    }

    fn add_way(&mut self, key: ThreadKey, way: Way) {
        self.keys.push((key.clone(), way.ticket));
        if !way.is_written() {
            self.named.insert(key.clone(), way.named_by.clone());
        }
        self.loaded.threads.keys.insert(key, way);
    }

    /// The first claim of a name holds.
    fn claim(&mut self, claim: ClaimKey, ticket: Uuid) {
        let threads = &mut self.loaded.threads;
        if !threads.claims.contains_key(&claim) {
            threads.add_claim(claim.clone(), ticket);
            self.claims.push((claim, ticket));
        }
    }

    /// Points the conversation of a platform that led to `closed` to a ticket that it goes on with, through whatever the
    /// two were merged.
    pub(super) fn lead_conversation(
        &mut self,
        message: &MessageReceived,
        closed: Uuid,
        ticket: Uuid,
    ) {
        if message.channel() == Channel::Email {
            return;
        }
        for key in keys_of(message) {
            let threads = &self.loaded.threads;
            let way = threads.keys.get(&key);
            if way.is_some_and(|way| threads.newest(way.ticket) == closed) {
                self.move_key(key, ticket);
            }
        }
    }

    /// Points a known key to the ticket on which its message is.
    fn move_key(&mut self, key: ThreadKey, ticket: Uuid) {
        let named_by = String::new();
        let way = Way { ticket, named_by };
        self.loaded.threads.keys.insert(key.clone(), way);
        self.moved_keys.push((key, ticket));
    }

    /// Points the conversation of a platform to the ticket that follows a closed one, so that a customer of many years
    /// has no chain that each message walks. Mail keeps its chain: its keys name single messages.
    pub(super) fn move_conversation(
        &mut self,
        message: &MessageReceived,
        closed: Uuid,
        next: Uuid,
    ) {
        if message.channel() == Channel::Email {
            return;
        }
        for key in keys_of(message) {
            let way = self.loaded.threads.keys.get(&key);
            if way.is_some_and(|way| way.ticket == closed) {
                self.move_key(key, next);
            }
        }
    }
}

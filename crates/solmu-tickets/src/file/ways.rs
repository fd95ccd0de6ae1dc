//! By what later messages find the ticket of a message: its ids, and the people who take part.

use solmu_proto::{inbound::v1::MessageReceived, types::v1::Channel};
use uuid::Uuid;

use super::{
    author::copied_of,
    plan::Plan,
    thread::{ClaimKey, Threads, correspondent, keys_of, own_key, shared_keys},
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

    /// Notes by what later messages name the ticket: for everybody where nobody knew the key, else for the author's
    /// party, and for those who got this very mail.
    pub(super) fn add_keys(&mut self, incoming: &Incoming<'_>, ticket: Uuid) {
        let config = self.config();
        let author = &incoming.author;
        let party = author.party(&config.public_mail_domains);
        let threads = &mut self.loaded.threads;
        let is_part = incoming.message.channel() == Channel::Email
            && threads.has_party(ticket, &party, config);
        let mut claim = |threads: &mut Threads, key: ClaimKey| {
            if !threads.claims.contains_key(&key) {
                threads.claims.insert(key.clone(), ticket);
                self.claims.push((key, ticket));
            }
        };
        for key in keys_of(incoming.message) {
            match threads.keys.get(&key) {
                None => {
                    threads.keys.insert(key.clone(), ticket);
                    self.keys.push((key, ticket));
                }
                Some(first) if is_part && !threads.has_party(*first, &party, config) => {
                    claim(threads, (key, party.clone()));
                }
                Some(_) => {}
            }
        }
        if is_part
            && !author.failed()
            && let Some(own) = own_key(incoming.message)
        {
            let shared = shared_keys(incoming.message);
            for copied in copied_of(incoming.message, author) {
                for key in shared.iter().filter(|key| **key != own) {
                    claim(threads, (key.clone(), correspondent(&copied)));
                }
                claim(threads, (own.clone(), copied));
            }
        }
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
            if self.loaded.threads.keys.get(&key) == Some(&closed) {
                self.loaded.threads.keys.insert(key.clone(), next);
                self.moved_keys.push((key, next));
            }
        }
    }
}

//! Finds the ticket that a message answers.
//!
//! In order of proof: a signed reply address, Message-ID or body marker, the answered messages newest first, the
//! vendor's conversation, the number in the subject. A signature or a platform's conversation proves itself; everything
//! else needs somebody who takes part: who wrote on the ticket, a colleague of theirs by mail domain (not one that many
//! people share), who was copied on the very mail that is answered, who
//! corresponds with them about the same mail, or an agent. A hit without such a person opens a new
//! ticket that is linked to the one it named.
//!
//! Anybody can write a Message-ID that is not theirs, so an id leads each party (see [`super::author`]) to that party's
//! ticket: who names an id first neither takes over nor splits the thread of those to whom it belongs.

use std::collections::{HashMap, HashSet};

use solmu_proto::{inbound::v1::MessageReceived, types::v1::Channel};
use uuid::Uuid;

use super::{
    author::{Author, copied_of, party_of},
    clean::folded,
    search::Search,
};
use crate::{
    config::Config,
    model::{Ticket, small},
};

/// What a thread key is unique by: channel, account, key.
pub(crate) type ThreadKey = (i16, String, String);
/// A key, and the party that it leads somewhere.
pub(crate) type ClaimKey = (ThreadKey, String);

/// Numbers in one subject that are looked up.
const SUBJECT_NUMBERS: usize = 3;

/// Threads and tickets that the database has, and those that this batch adds.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    /// Where a key leads first.
    pub(crate) keys: HashMap<ThreadKey, Uuid>,
    /// Where it leads further parties.
    pub(crate) claims: HashMap<ClaimKey, Uuid>,
    /// Tickets that subjects name.
    pub(crate) numbers: HashMap<i64, Uuid>,
    pub(crate) tickets: HashMap<Uuid, Ticket>,
    /// Who wrote on a ticket.
    pub(crate) participants: HashMap<Uuid, HashSet<String>>,
}

/// Where a message belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this ticket. `stranger`: our signature says so, but nobody knew the sender there.
    Ticket { id: Uuid, stranger: bool },
    /// It names a ticket, but nothing proves that the sender belongs there.
    Unproven(Uuid),
    /// A ticket of somebody else names this very message.
    NamedBy(Uuid),
    /// Nothing known.
    Nowhere,
}

/// Every key by which later messages may name this one or what it answers, in order of proof.
pub(crate) fn keys_of(message: &MessageReceived) -> Vec<ThreadKey> {
    let mut keys = answered_keys(message);
    // Last: a ticket that knows this very id was opened by an answer that overtook it.
    keys.extend(own_key(message));
    keys
}

/// The key of the message itself. Only a mail has one.
pub(crate) fn own_key(message: &MessageReceived) -> Option<ThreadKey> {
    let threading = message.threading.as_ref()?;
    let id = threading.message_id_header.as_str();
    (message.channel() == Channel::Email && !id.is_empty()).then(|| key_in(message, id))
}

/// The keys of what it answers.
fn answered_keys(message: &MessageReceived) -> Vec<ThreadKey> {
    let own = own_key(message);
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    let mut add = |key: &str| {
        if !key.is_empty() && seen.insert(key.to_owned()) {
            let key = key_in(message, key);
            if own.as_ref() != Some(&key) {
                keys.push(key);
            }
        }
    };
    if let Some(threading) = message
        .threading
        .as_ref()
        .filter(|_| message.channel() == Channel::Email)
    {
        threading
            .in_reply_to
            .iter()
            .chain(&threading.references)
            .for_each(|key| add(key));
        add(&threading.bounced_message_id);
    }
    add(&message.conversation_key);
    keys
}

fn key_in(message: &MessageReceived, key: &str) -> ThreadKey {
    (small(message.channel), message.account.clone(), folded(key))
}

/// The keys by which siblings most likely meet: what it answers directly, and the oldest that it names.
pub(crate) fn shared_keys(message: &MessageReceived) -> HashSet<ThreadKey> {
    let ends = message.threading.iter().flat_map(|threading| {
        let parent = threading.in_reply_to.first();
        parent.into_iter().chain(threading.references.last())
    });
    ends.filter(|id| message.channel() == Channel::Email && !id.is_empty())
        .map(|id| key_in(message, id))
        .collect()
}

/// As whom a claim leads somebody who was copied on a mail that names a key: no proof by itself, see
/// [`Search::as_correspondent`].
pub(crate) fn correspondent(address: &str) -> String {
    format!("cc:{address}")
}

/// The tickets that a message names with a signature of ours.
pub(crate) fn signed_tickets(message: &MessageReceived) -> Vec<Uuid> {
    let signed = message
        .threading
        .as_ref()
        .map(|threading| threading.signed_ticket_ids.as_slice())
        .unwrap_or_default();
    signed
        .iter()
        .filter_map(|id| Uuid::parse_str(id).ok())
        .collect()
}

/// The numbers of tickets that its subject names.
pub(crate) fn subject_numbers(message: &MessageReceived) -> impl Iterator<Item = i64> + '_ {
    let threading = message.threading.as_ref();
    threading
        .into_iter()
        .flat_map(|threading| &threading.subject_ticket_numbers)
        .copied()
        .take(SUBJECT_NUMBERS)
}

/// The claims that may lead `message` somewhere, and those that it may make: one that is there already and was not
/// looked up would look like a race for ever.
pub(crate) fn wanted_claims(message: &MessageReceived, config: &Config) -> Vec<ClaimKey> {
    if message.channel() != Channel::Email {
        return Vec::new();
    }
    let author = Author::of(message);
    let domains = &config.public_mail_domains;
    let names = HashSet::from([
        author.party(domains),
        author.participant(),
        correspondent(&author.participant()),
    ]);
    let mut wanted: Vec<ClaimKey> = keys_of(message)
        .iter()
        .flat_map(|key| names.iter().map(|name| (key.clone(), name.clone())))
        .collect();
    let (own, shared) = (own_key(message), shared_keys(message));
    for copied in copied_of(message, &author) {
        let correspondents = shared
            .iter()
            .map(|key| (key.clone(), correspondent(&copied)));
        wanted.extend(correspondents);
        if let Some(own) = &own {
            wanted.push((own.clone(), party_of(&copied, domains)));
            wanted.push((own.clone(), copied));
        }
    }
    wanted
}

impl Threads {
    /// Finds the place of `message`.
    pub(crate) fn place(
        &self,
        message: &MessageReceived,
        author: &Author,
        config: &Config,
    ) -> Place {
        let answered = answered_keys(message);
        let own = own_key(message);
        let search = Search::new(self, author, config);
        let signed = signed_tickets(message)
            .into_iter()
            .find(|id| self.tickets.contains_key(id));
        if let Some(ticket) = signed {
            return Place::Ticket {
                id: self.newest(ticket),
                stranger: message.channel() == Channel::Email && !search.belongs(ticket, &answered),
            };
        }
        if message.channel() != Channel::Email {
            let known = answered.iter().find_map(|key| self.ticket_of(key));
            return known.map_or(Place::Nowhere, |ticket| self.proven(ticket));
        }
        let found = search
            .as_writer(answered.iter().chain(&own))
            .or_else(|| search.as_copied(&answered))
            .or_else(|| search.as_original(message, own.as_ref()))
            .or_else(|| search.as_correspondent(message, answered.iter().chain(&own)))
            .or_else(|| search.as_agent(&answered))
            .or_else(|| search.by_number(message));
        if let Some(ticket) = found {
            return self.proven(ticket);
        }
        // Automatic mail, too: anybody can write that header. A bounce of ours is known by its signed id.
        let named = answered
            .iter()
            .find_map(|key| self.ticket_of(key))
            .or_else(|| self.numbered(message).next());
        match (named, own.and_then(|key| self.ticket_of(&key))) {
            (Some(ticket), _) => Place::Unproven(ticket),
            (None, Some(ticket)) => Place::NamedBy(ticket),
            (None, None) => Place::Nowhere,
        }
    }

    /// Whether somebody of `party` wrote on `ticket`.
    pub(crate) fn has_party(&self, ticket: Uuid, party: &str, config: &Config) -> bool {
        self.participants.get(&ticket).is_some_and(|participants| {
            participants
                .iter()
                .any(|it| party_of(it, &config.public_mail_domains) == party)
        })
    }

    /// Another ticket of the same people that `message` names besides `joined`.
    pub(crate) fn bridged(
        &self,
        message: &MessageReceived,
        party: &str,
        joined: Uuid,
        config: &Config,
    ) -> Option<Uuid> {
        let answered = answered_keys(message);
        let own = own_key(message);
        answered
            .iter()
            .chain(own.as_ref())
            .filter_map(|key| self.ticket_of(key))
            .filter(|ticket| self.has_party(*ticket, party, config))
            .map(|ticket| self.newest(ticket))
            .find(|ticket| *ticket != joined)
            .filter(|_| message.channel() == Channel::Email)
    }

    pub(super) fn ticket_of(&self, key: &ThreadKey) -> Option<Uuid> {
        self.keys
            .get(key)
            .copied()
            .filter(|id| self.tickets.contains_key(id))
    }

    pub(super) fn numbered<'a>(
        &'a self,
        message: &'a MessageReceived,
    ) -> impl Iterator<Item = Uuid> + 'a {
        subject_numbers(message).filter_map(|number| self.numbers.get(&number).copied())
    }

    fn proven(&self, ticket: Uuid) -> Place {
        Place::Ticket {
            id: self.newest(ticket),
            stranger: false,
        }
    }

    /// The last ticket of the chain that began with `ticket`: what followed a closed one.
    pub(super) fn newest(&self, ticket: Uuid) -> Uuid {
        let mut id = ticket;
        // A chain cannot be longer than the tickets that are loaded.
        for _ in 0..self.tickets.len() {
            match self
                .tickets
                .get(&id)
                .and_then(|ticket| ticket.next_ticket_id)
            {
                Some(next) if self.tickets.contains_key(&next) => id = next,
                _ => break,
            }
        }
        id
    }
}

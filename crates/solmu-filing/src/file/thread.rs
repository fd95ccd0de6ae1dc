//! Finds the ticket that a message answers.
//!
//! In order of proof: a signed reply address, Message-ID or body marker, the answered messages newest first, the
//! vendor's conversation, the number in the subject. A signature or a platform's conversation proves itself; everything
//! else needs somebody who takes part: who wrote on the ticket, a colleague of theirs by mail domain (not one that many
//! people share), who was copied on the very mail that is answered, who
//! corresponds with them about the same mail, or an agent. A hit without such a person opens a new
//! ticket that is linked to the one it named.
//!
//! Anybody can write a Message-ID that is not theirs. So a ticket on which the message itself stands is one thing, and
//! one on which somebody merely named it another: the first takes in everybody with proof, the second only those who
//! named it themselves, and whoever turns out to have written it. Two customers of one mail provider who answer the
//! same newsletter have nothing to do with each other.

use std::collections::{BTreeSet, HashMap, HashSet};

use solmu_proto::{inbound::v1::MessageReceived, types::v1::Channel};
use uuid::Uuid;

use super::{
    author::{Author, copied_of, domain_of, party_of},
    repeat::Stamp,
    search::Search,
};
use crate::{
    config::Config,
    keys::folded,
    model::{Ticket, small},
};

/// What a thread key is unique by: channel, account, key.
pub(crate) type ThreadKey = (i16, String, String);
/// A key, and whom it leads somewhere: an address that named it or, where another mail has the same id, the party that
/// wrote it; [`receiver`] and [`correspondent`] are others.
pub(crate) type ClaimKey = (ThreadKey, String);

/// Where a key leads first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) ticket: Uuid,
    /// The address that named it; empty if the message itself is on the ticket, or is one of ours.
    pub(crate) named_by: String,
}

impl Way {
    pub(crate) fn is_written(&self) -> bool {
        self.named_by.is_empty()
    }
}

/// Numbers in one subject that are looked up.
const SUBJECT_NUMBERS: usize = 3;

/// Threads and tickets that the database has, and those that this batch adds.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    pub(crate) keys: HashMap<ThreadKey, Way>,
    /// Where a key leads others.
    pub(crate) claims: HashMap<ClaimKey, Uuid>,
    /// Who named a key, besides the first.
    pub(super) namers: HashMap<ThreadKey, BTreeSet<String>>,
    /// Tickets that subjects name.
    pub(crate) numbers: HashMap<i64, Uuid>,
    pub(crate) tickets: HashMap<Uuid, Ticket>,
    /// Who wrote on a ticket.
    pub(crate) participants: HashMap<Uuid, HashSet<String>>,
    /// Tickets to which the answers to a closed one lead that is not loaded itself.
    pub(crate) follow_ups: HashSet<Uuid>,
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

/// The key under which a mail that names a ticket of ours stands, whichever accounts it came to: each of them hands it
/// in, but a signature and a number lead to the same ticket from all. No account has an empty name.
pub(super) fn once_key(message: &MessageReceived) -> Option<ThreadKey> {
    let threading = message.threading.as_ref()?;
    let names =
        !threading.signed_ticket_ids.is_empty() || !threading.subject_ticket_numbers.is_empty();
    names.then(|| key_once(message, "once")).flatten()
}

/// The same for a mail of an agent or an expert, wherever it leads: what a customer's mail stands for has no effect on
/// it, for one account may know the sender better than another.
pub(super) fn once_key_of_ours(message: &MessageReceived) -> Option<ThreadKey> {
    key_once(message, "once of ours")
}

fn key_once(message: &MessageReceived, kind: &str) -> Option<ThreadKey> {
    let stamp = Stamp::of(message)?;
    let id = Uuid::new_v5(&Uuid::nil(), message.external_id.as_bytes());
    let key = format!("{kind} {}", stamp.derive(id));
    Some((small(message.channel), String::new(), key))
}

/// As whom a claim leads somebody who got the very mail of a key. No address begins with a space.
pub(crate) fn receiver(address: &str) -> String {
    format!(" to {address}")
}

/// As whom a claim leads somebody who was copied by `author` on a mail that names a key: no proof by itself, see
/// [`Search::as_correspondent`].
pub(crate) fn correspondent(address: &str, author: &str) -> String {
    format!(" cc {address} by {author}")
}

/// As whom `author` names keys.
pub(crate) fn namer(author: &Author) -> String {
    let name = author.participant();
    if name.is_empty() {
        " nobody".to_owned()
    } else {
        name
    }
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
    let (me, domains) = (namer(&author), &config.public_mail_domains);
    let names = HashSet::from([me.clone(), author.party(domains), receiver(&me)]);
    let (keys, own, shared) = (keys_of(message), own_key(message), shared_keys(message));
    let mut wanted: Vec<ClaimKey> = keys
        .iter()
        .flat_map(|key| names.iter().map(|name| (key.clone(), name.clone())))
        .collect();
    for copied in copied_of(message, &author) {
        for name in [correspondent(&me, &copied), correspondent(&copied, &me)] {
            wanted.extend(
                shared
                    .iter()
                    .chain(&own)
                    .map(|key| (key.clone(), name.clone())),
            );
        }
        if let Some(own) = &own {
            wanted.push((own.clone(), receiver(&copied)));
            wanted.push((own.clone(), copied));
        }
    }
    wanted
}

/// The key of a mail, and the end of the addresses of its author's colleagues: if they named it, it is what they
/// answered.
pub(crate) fn colleagues(message: &MessageReceived, config: &Config) -> Option<ClaimKey> {
    let party = Author::of(message).party(&config.public_mail_domains);
    let own = own_key(message)?;
    party.starts_with('@').then_some((own, party))
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
            .of_thread(message, &answered, own.as_ref())
            .next()
            .or_else(|| search.as_original(message, own.as_ref()).next())
            .or_else(|| search.as_agent(&answered))
            .or_else(|| search.by_number(message));
        if let Some(ticket) = found {
            return self.proven(ticket);
        }
        // Automatic mail, too: anybody can write that header. A bounce of ours is known by its signed id.
        let named = answered
            .iter()
            .filter(|key| self.keys.get(key).is_some_and(Way::is_written))
            .find_map(|key| self.ticket_of(key))
            .or_else(|| self.numbered(message).next());
        match (named, own.and_then(|key| self.ticket_of(&key))) {
            (Some(ticket), _) => Place::Unproven(ticket),
            (None, Some(ticket)) => Place::NamedBy(ticket),
            (None, None) => Place::Nowhere,
        }
    }

    /// The ticket on which `message` stands already because another account of ours got it, too.
    pub(super) fn twin(&self, message: &MessageReceived, place: Place) -> Option<Uuid> {
        let Place::Ticket { .. } = place else {
            return None;
        };
        let way = self.keys.get(&once_key(message)?)?;
        Some(self.home(way.ticket))
    }

    /// Whether somebody of `party` wrote on `ticket`.
    pub(crate) fn has_party(&self, ticket: Uuid, party: &str, config: &Config) -> bool {
        self.participants.get(&ticket).is_some_and(|participants| {
            participants
                .iter()
                .any(|it| party_of(it, &config.public_mail_domains) == party)
        })
    }

    /// The other tickets that `message`, which goes to `joined`, shows to be of one thread with it.
    pub(crate) fn met(
        &self,
        message: &MessageReceived,
        author: &Author,
        joined: Uuid,
        config: &Config,
    ) -> Vec<Uuid> {
        if message.channel() != Channel::Email {
            return Vec::new();
        }
        let (answered, own) = (answered_keys(message), own_key(message));
        let search = Search::new(self, author, config);
        // Who knows an id that somebody answered can claim to have written it: that brings a mail to a ticket, but it
        // brings together only tickets of the same people.
        let original = search.as_original(message, own.as_ref());
        let original = original.filter(|ticket| self.share_people(*ticket, joined));
        let mut met = Vec::new();
        for found in search
            .of_thread(message, &answered, own.as_ref())
            .chain(original)
        {
            let ticket = self.newest(found);
            if ticket != joined && !met.contains(&ticket) {
                met.push(ticket);
            }
        }
        met
    }

    fn share_people(&self, one: Uuid, other: Uuid) -> bool {
        let people = |ticket: Uuid| self.participants.get(&ticket);
        let (Some(one), Some(other)) = (people(one), people(other)) else {
            return false;
        };
        !one.is_disjoint(other)
    }

    pub(super) fn ticket_of(&self, key: &ThreadKey) -> Option<Uuid> {
        self.keys
            .get(key)
            .filter(|way| self.tickets.contains_key(&way.ticket))
            .map(|way| self.home(way.ticket))
    }

    /// Notes a claim.
    pub(super) fn add_claim(&mut self, claim: ClaimKey, ticket: Uuid) {
        let (key, name) = &claim;
        if domain_of(name).is_some_and(|_| !name.starts_with([' ', '@'])) {
            self.namers
                .entry(key.clone())
                .or_default()
                .insert(name.clone());
        }
        self.claims.insert(claim, ticket);
    }

    /// Who named `key`, each with the ticket that it leads them to.
    pub(super) fn namers(&self, key: &ThreadKey) -> impl Iterator<Item = (&str, Uuid)> {
        let first = self.keys.get(key).filter(|way| !way.is_written());
        let first = first.map(|way| (way.named_by.as_str(), way.ticket));
        let others = self
            .namers
            .get(key)
            .into_iter()
            .flatten()
            .filter_map(|name| {
                let ticket = self.claims.get(&(key.clone(), name.clone()))?;
                Some((name.as_str(), *ticket))
            });
        first
            .into_iter()
            .chain(others)
            .filter(|(_, ticket)| self.tickets.contains_key(ticket))
            .map(|(name, ticket)| (name, self.home(ticket)))
    }

    /// The ticket that `ticket` is part of now; itself if it was not merged.
    pub(super) fn home(&self, ticket: Uuid) -> Uuid {
        self.last(ticket, |ticket| ticket.merged_into)
    }

    pub(super) fn numbered<'a>(
        &'a self,
        message: &'a MessageReceived,
    ) -> impl Iterator<Item = Uuid> + 'a {
        subject_numbers(message)
            .filter_map(|number| self.numbers.get(&number))
            .map(|id| self.home(*id))
    }

    fn proven(&self, ticket: Uuid) -> Place {
        Place::Ticket {
            id: self.newest(ticket),
            stranger: false,
        }
    }

    /// The last ticket of the chain that began with `ticket`: what it was merged into, and what followed a closed one.
    pub(super) fn newest(&self, ticket: Uuid) -> Uuid {
        self.last(ticket, |ticket| {
            ticket.merged_into.or(ticket.next_ticket_id)
        })
    }

    fn last(&self, ticket: Uuid, next: impl Fn(&Ticket) -> Option<Uuid>) -> Uuid {
        let mut id = ticket;
        // A chain cannot be longer than the tickets that are loaded.
        for _ in 0..self.tickets.len() {
            match self.tickets.get(&id).and_then(&next) {
                Some(next) if self.tickets.contains_key(&next) => id = next,
                _ => break,
            }
        }
        id
    }
}

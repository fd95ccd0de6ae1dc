//! Finds the ticket that a message answers.
//!
//! In order of proof: a signed reply address or Message-ID, the answered message, References newest first, the
//! vendor's conversation. A signature or a platform's conversation proves itself; an unsigned Message-ID needs a
//! participant: somebody of the ticket, or a colleague by mail domain (not one that many people share). A hit without
//! a participant opens a new ticket that is linked to the one it named.

use std::collections::{HashMap, HashSet};

use solmu_proto::{inbound::v1::MessageReceived, types::v1::Channel};
use uuid::Uuid;

use super::clean::folded;
use crate::model::{Ticket, small};

/// What a thread key is unique by: channel, account, key.
pub(crate) type ThreadKey = (i16, String, String);

/// Threads and tickets that the database has, and those that this batch adds.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    pub(crate) keys: HashMap<ThreadKey, Uuid>,
    pub(crate) tickets: HashMap<Uuid, Ticket>,
    pub(crate) participants: HashMap<Uuid, HashSet<String>>,
}

/// Where a message belongs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this ticket.
    Ticket(Uuid),
    /// It names a ticket, but nothing proves that the sender belongs there.
    Unproven(Uuid),
    /// Nothing known.
    Nowhere,
}

/// Every key by which later messages may name this one or what it answers, in order of proof.
pub(crate) fn keys_of(message: &MessageReceived) -> Vec<ThreadKey> {
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    let channel = small(message.channel);
    let mut add = |key: &str| {
        if !key.is_empty() && seen.insert(key.to_owned()) {
            keys.push((channel, message.account.clone(), folded(key)));
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
        add(&message.conversation_key);
        // Last: a ticket that knows this very id was opened by an answer that overtook it.
        add(&threading.message_id_header);
    } else {
        add(&message.conversation_key);
    }
    keys
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

impl Threads {
    /// Finds the place of `message`, sent from `address`.
    pub(crate) fn place(
        &self,
        message: &MessageReceived,
        address: &str,
        public_domains: &[String],
    ) -> Place {
        if let Some(ticket) = signed_tickets(message)
            .iter()
            .find(|id| self.tickets.contains_key(id))
        {
            return Place::Ticket(self.newest(*ticket));
        }
        let mut unproven = None;
        for key in keys_of(message) {
            let Some(ticket) = self
                .keys
                .get(&key)
                .filter(|id| self.tickets.contains_key(id))
            else {
                continue;
            };
            // Automatic mail, too: anybody can write that header. A bounce of ours is known by its signed id.
            if message.channel() != Channel::Email
                || self.takes_part(*ticket, address, public_domains)
            {
                return Place::Ticket(self.newest(*ticket));
            }
            unproven.get_or_insert(*ticket);
        }
        unproven.map_or(Place::Nowhere, Place::Unproven)
    }

    /// The last ticket of the chain that began with `ticket`: what followed a closed one.
    fn newest(&self, ticket: Uuid) -> Uuid {
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

    /// Whether `address` may answer on `ticket`.
    fn takes_part(&self, ticket: Uuid, address: &str, public_domains: &[String]) -> bool {
        let Some(participants) = self.participants.get(&ticket) else {
            return false;
        };
        if participants.contains(address) {
            return true;
        }
        let Some(domain) = domain_of(address) else {
            return false;
        };
        let shared = public_domains.iter().any(|public| public == domain);
        !shared
            && participants
                .iter()
                .any(|other| domain_of(other) == Some(domain))
    }
}

fn domain_of(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

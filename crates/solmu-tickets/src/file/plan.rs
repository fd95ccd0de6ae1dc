//! Decides, in memory and in order of arrival, what each message of a batch does.

use std::collections::{BTreeSet, HashSet};

use jiff::Timestamp;
use solmu_bus::envelope::from_proto_time;
use solmu_domain::{
    clock::Clock,
    ids::new_uuid,
    rng::Rng,
    ticket::{AutomaticClass, Priority, ReplyEffect, Status},
};
use solmu_proto::{
    inbound::v1::{MessageReceived, authenticity::Verdict},
    types::v1::{Channel, actor::Kind},
};
use solmu_telemetry::TraceContext;
use uuid::Uuid;

use super::{
    contact::IdentityWrite,
    load::Loaded,
    thread::{Place, ThreadKey, keys_of},
    words::{display_name, quarantine_cause, sender_address, subject_of},
};
use crate::{
    context::Context,
    error::TicketError,
    events::{MessageFacts, actor},
    model::{Ticket, class_from_proto, small},
};

/// A message to be written, with the ticket as it was right after.
pub(crate) struct Filed<'a> {
    pub(crate) id: Uuid,
    pub(crate) ticket: Ticket,
    pub(crate) message: &'a MessageReceived,
    pub(crate) sequence: i64,
    pub(crate) contact_id: Uuid,
    pub(crate) address: String,
    pub(crate) verified: bool,
    pub(crate) at: Timestamp,
    pub(crate) trace: TraceContext,
    pub(crate) effect: Effect,
}

/// What a message did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Opened { previous: Option<Uuid> },
    Joined { status_before: Status },
}

/// What a new ticket comes after.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    /// A closed ticket that the sender takes part in: later answers go to the new one.
    Closed(Uuid),
    /// A ticket that the sender named without proof: it goes on by itself, so that a stranger who knows a Message-ID
    /// gets neither its messages nor those that follow.
    Unproven(Uuid),
}

impl Before {
    const fn ticket(self) -> Option<Uuid> {
        match self {
            Self::Nothing => None,
            Self::Closed(id) | Self::Unproven(id) => Some(id),
        }
    }
}

/// A message that waits for somebody to decide.
pub(crate) struct Quarantined<'a> {
    pub(crate) id: Uuid,
    pub(crate) message: &'a MessageReceived,
    pub(crate) sender: String,
    pub(crate) cause: &'static str,
    /// Whether it may be filed when what it answers turns up.
    pub(crate) awaits: bool,
    pub(crate) trace: TraceContext,
}

/// A contact to be written.
pub(crate) struct NewContact {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) language: String,
}

/// The work of a batch.
pub(crate) struct Plan<'a> {
    loaded: Loaded,
    clock: &'a dyn Clock,
    rng: &'a dyn Rng,
    public_domains: &'a [String],
    pub(crate) now: Timestamp,
    pub(crate) contacts: Vec<NewContact>,
    pub(crate) identities: Vec<IdentityWrite>,
    pub(crate) opened: Vec<Uuid>,
    pub(crate) changed: BTreeSet<Uuid>,
    pub(crate) filed: Vec<Filed<'a>>,
    pub(crate) keys: Vec<(ThreadKey, Uuid)>,
    /// Keys that are known and lead to another ticket from now on.
    pub(crate) moved_keys: Vec<(ThreadKey, Uuid)>,
    pub(crate) participants: HashSet<(Uuid, String)>,
    pub(crate) quarantined: Vec<Quarantined<'a>>,
    /// Messages that answer nothing known open a ticket whatever their class: somebody released them.
    pub(crate) released: bool,
}

impl<'a> Plan<'a> {
    /// Nothing decided yet.
    pub(crate) fn new(loaded: Loaded, context: &'a Context, now: Timestamp) -> Self {
        Self {
            loaded,
            clock: context.clock.as_ref(),
            rng: context.rng.as_ref(),
            public_domains: &context.config.public_mail_domains,
            now,
            contacts: Vec::new(),
            identities: Vec::new(),
            opened: Vec::new(),
            changed: BTreeSet::new(),
            filed: Vec::new(),
            keys: Vec::new(),
            moved_keys: Vec::new(),
            participants: HashSet::new(),
            quarantined: Vec::new(),
            released: false,
        }
    }

    /// The ticket in its present state.
    pub(crate) fn ticket_mut(&mut self, id: Uuid) -> Option<&mut Ticket> {
        self.loaded.threads.tickets.get_mut(&id)
    }

    /// The ticket in its present state.
    pub(crate) fn ticket(&self, id: Uuid) -> Option<&Ticket> {
        self.loaded.threads.tickets.get(&id)
    }

    /// Decides what `message` does.
    pub(crate) fn file(
        &mut self,
        message: &'a MessageReceived,
        trace: TraceContext,
    ) -> Result<(), TicketError> {
        let id = Uuid::parse_str(&message.message_id)
            .map_err(|_| TicketError::BadEvent("message_id"))?;
        if !self.loaded.filed.insert(id) {
            return Ok(());
        }
        let class = class_from_proto(message.automatic_class());
        let address = sender_address(message);
        let place = self
            .loaded
            .threads
            .place(message, &address, self.public_domains);
        match place {
            Place::Nowhere | Place::Unproven(_) if !class.opens_ticket() && !self.released => {
                let awaits = place == Place::Nowhere;
                let cause = if awaits {
                    quarantine_cause(class)
                } else {
                    "not_a_participant"
                };
                self.quarantined.push(Quarantined {
                    id,
                    message,
                    sender: address,
                    cause,
                    awaits,
                    trace,
                });
                Ok(())
            }
            Place::Unproven(other) => {
                self.open(id, message, address, Before::Unproven(other), trace)
            }
            Place::Nowhere => self.open(id, message, address, Before::Nothing, trace),
            Place::Ticket(ticket) => self.join(id, ticket, message, address, class, trace),
        }
    }

    fn join(
        &mut self,
        id: Uuid,
        ticket_id: Uuid,
        message: &'a MessageReceived,
        address: String,
        class: AutomaticClass,
        trace: TraceContext,
    ) -> Result<(), TicketError> {
        let now = self.now;
        let ticket = self
            .ticket_mut(ticket_id)
            .ok_or(TicketError::BadEvent("ticket"))?;
        let status_before = ticket.status;
        match status_before.customer_replied(class.is_human()) {
            ReplyEffect::OpenLinked => {
                return self.open(id, message, address, Before::Closed(ticket_id), trace);
            }
            ReplyEffect::Join(status) => {
                let changes = status != status_before;
                ticket.status = status;
                if changes {
                    ticket.close_at = None;
                }
                ticket.touch(now, changes);
            }
        }
        let contact_id = self.resolve(message);
        self.changed.insert(ticket_id);
        self.add(
            id,
            ticket_id,
            message,
            contact_id,
            address,
            trace,
            Effect::Joined { status_before },
        )
    }

    fn open(
        &mut self,
        id: Uuid,
        message: &'a MessageReceived,
        address: String,
        before: Before,
        trace: TraceContext,
    ) -> Result<(), TicketError> {
        let ticket_id = new_uuid(self.clock, self.rng);
        let contact_id = self.resolve(message);
        let now = self.now;
        let mut recipient = message.delivered_to.first().cloned().unwrap_or_default();
        if let Before::Closed(closed_id) = before
            && let Some(closed) = self.ticket_mut(closed_id)
        {
            closed.next_ticket_id = Some(ticket_id);
            closed.touch(now, false);
            // The answer came to a signed address of the old ticket; what rules look at is where the customer wrote first.
            if closed.channel == message.channel() && !closed.recipient.is_empty() {
                recipient.clone_from(&closed.recipient);
            }
            self.changed.insert(closed_id);
            self.move_conversation(message, closed_id, ticket_id);
        }
        let previous = before.ticket();
        let ticket = Ticket {
            id: ticket_id,
            number: 0,
            subject: subject_of(message),
            status: Status::New,
            priority: Priority::Normal,
            contact_id,
            channel: message.channel(),
            account: message.account.clone(),
            recipient,
            conversation_key: message.conversation_key.clone(),
            team_id: None,
            assignee_id: None,
            assign_reason: String::new(),
            tags: Vec::new(),
            language: message.language.clone(),
            created_at: now,
            updated_at: now,
            close_at: None,
            first_response_due: None,
            next_response_due: None,
            resolution_due: None,
            next_due: None,
            breached: false,
            version: 1,
            routing_version: 1,
            sla_version: 0,
            sla_decided_at: None,
            message_count: 0,
            channels: 0,
            previous_ticket_id: previous,
            next_ticket_id: None,
        };
        self.loaded.threads.tickets.insert(ticket_id, ticket);
        self.opened.push(ticket_id);
        self.add(
            id,
            ticket_id,
            message,
            contact_id,
            address,
            trace,
            Effect::Opened { previous },
        )
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one message, each decided by the caller"
    )]
    fn add(
        &mut self,
        id: Uuid,
        ticket_id: Uuid,
        message: &'a MessageReceived,
        contact_id: Uuid,
        address: String,
        trace: TraceContext,
        effect: Effect,
    ) -> Result<(), TicketError> {
        let verified = message
            .authenticity
            .as_ref()
            .is_some_and(|it| it.verdict() == Verdict::Verified);
        for key in keys_of(message) {
            let keys = &mut self.loaded.threads.keys;
            if !keys.contains_key(&key) {
                keys.insert(key.clone(), ticket_id);
                self.keys.push((key, ticket_id));
            }
        }
        if !address.is_empty() && class_from_proto(message.automatic_class()).is_human() {
            let known = self
                .loaded
                .threads
                .participants
                .entry(ticket_id)
                .or_default();
            if known.insert(address.clone()) {
                self.participants.insert((ticket_id, address.clone()));
            }
        }
        let ticket = self
            .ticket_mut(ticket_id)
            .ok_or(TicketError::BadEvent("ticket"))?;
        ticket.message_count += 1;
        ticket.add_channel(message.channel());
        let (sequence, ticket) = (ticket.message_count, ticket.clone());
        let at = message
            .received_time
            .as_ref()
            .map_or(self.now, from_proto_time);
        self.filed.push(Filed {
            id,
            ticket,
            message,
            sequence,
            contact_id,
            address,
            verified,
            at,
            trace,
            effect,
        });
        Ok(())
    }

    /// Points the conversation of a platform to the ticket that follows a closed one, so that a customer of many years
    /// has no chain that each message walks. Mail keeps its chain: its keys name single messages.
    fn move_conversation(&mut self, message: &MessageReceived, closed: Uuid, next: Uuid) {
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

    fn resolve(&mut self, message: &MessageReceived) -> Uuid {
        let fresh = new_uuid(self.clock, self.rng);
        let sender = message.sender.clone().unwrap_or_default();
        let resolved = self.loaded.identities.resolve(&sender, fresh);
        if resolved.is_new {
            let name = display_name(&sender);
            self.contacts.push(NewContact {
                id: resolved.contact_id,
                name,
                language: message.language.clone(),
            });
        }
        self.identities.extend(resolved.writes);
        resolved.contact_id
    }
}

impl Filed<'_> {
    /// The message as events tell of it.
    pub(crate) fn facts(&self) -> MessageFacts {
        MessageFacts {
            message_id: self.id,
            author: actor(Kind::Customer, self.contact_id),
            public: true,
            class: self.message.automatic_class(),
            at: self.at,
            sequence: self.sequence,
            channel: self.message.channel(),
        }
    }

    pub(crate) fn channel_code(&self) -> i16 {
        small(self.message.channel)
    }
}

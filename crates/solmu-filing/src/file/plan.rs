//! Decides, in memory and in order of arrival, what each message of a batch does.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use solmu_bus::envelope::from_proto_time;
use solmu_contacts::filing::{IdentityWrite, NewContact};
use solmu_domain::{
    ids::new_uuid,
    ticket::{AutomaticClass, ReplyEffect, Status},
};
use solmu_proto::{inbound::v1::MessageReceived, ticket::v1::RestrictedByRule, types::v1::Channel};
use solmu_telemetry::TraceContext;
use uuid::Uuid;

use super::{
    acknowledge::Acknowledged,
    author::{Author, Standing, sender_of},
    load::Loaded,
    repeat::choose,
    reply_to,
    thread::{ClaimKey, Place, ThreadKey},
    words::{display_name, notice, quarantine_cause, subject_of},
    work::{Before, Effect, Filed, Incoming, Link, LinkKind, Quarantined},
};
use crate::{
    config::Config,
    context::Context,
    error::TicketError,
    merge::Merge,
    model::{Ticket, class_from_proto},
    restrict::by_rule::ByRule,
};

/// Team and assignee.
type Owner = (Option<Uuid>, Option<Uuid>);

/// The work of a batch.
pub(crate) struct Plan<'a> {
    pub(super) loaded: Loaded,
    pub(super) context: &'a Context,
    pub(crate) now: Timestamp,
    pub(crate) contacts: Vec<NewContact>,
    pub(crate) identities: Vec<IdentityWrite>,
    pub(crate) opened: Vec<Uuid>,
    pub(crate) changed: BTreeSet<Uuid>,
    pub(crate) filed: Vec<Filed<'a>>,
    pub(crate) keys: Vec<(ThreadKey, Uuid)>,
    /// Those of `keys` that were only named, and by whom.
    pub(crate) named: HashMap<ThreadKey, String>,
    /// Keys that are known and lead to another ticket from now on.
    pub(crate) moved_keys: Vec<(ThreadKey, Uuid)>,
    pub(crate) claims: Vec<(ClaimKey, Uuid)>,
    pub(crate) links: BTreeSet<Link>,
    /// Tickets that became part of others, in order.
    pub(crate) merges: Vec<Merge>,
    pub(crate) participants: HashSet<(Uuid, String)>,
    pub(crate) quarantined: Vec<Quarantined<'a>>,
    /// Tickets on which messages stood already, by way of another account.
    pub(crate) twins: Vec<Uuid>,
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// Opened tickets that a rule restricted.
    pub(crate) restricted: HashMap<Uuid, ByRule>,
    /// Messages are filed whatever their class, sender and number: somebody released them.
    pub(crate) released: bool,
}

impl<'a> Plan<'a> {
    /// Nothing decided yet.
    pub(crate) fn new(loaded: Loaded, context: &'a Context, now: Timestamp) -> Self {
        Self {
            loaded,
            context,
            now,
            contacts: Vec::new(),
            identities: Vec::new(),
            opened: Vec::new(),
            changed: BTreeSet::new(),
            filed: Vec::new(),
            keys: Vec::new(),
            named: HashMap::new(),
            moved_keys: Vec::new(),
            claims: Vec::new(),
            links: BTreeSet::new(),
            merges: Vec::new(),
            participants: HashSet::new(),
            quarantined: Vec::new(),
            twins: Vec::new(),
            acknowledged: Vec::new(),
            restricted: HashMap::new(),
            released: false,
        }
    }

    pub(crate) fn config(&self) -> &'a Config {
        &self.context.config
    }

    /// The ticket in its present state.
    pub(crate) fn ticket_mut(&mut self, id: Uuid) -> Option<&mut Ticket> {
        self.loaded.threads.tickets.get_mut(&id)
    }

    /// The ticket in its present state.
    pub(crate) fn ticket(&self, id: Uuid) -> Option<&Ticket> {
        self.loaded.threads.tickets.get(&id)
    }

    /// The rule that restricted an opened ticket, as its event tells of it.
    pub(super) fn restricted_by(&self, ticket: Uuid) -> Option<RestrictedByRule> {
        self.restricted.get(&ticket).map(|it| it.told.clone())
    }

    /// The number of a ticket as notices on another one tell it: 0 for none that everybody may read.
    pub(super) fn shown_number(&self, id: Uuid) -> i64 {
        let shown = self.ticket(id).filter(|it| it.restricted_to.is_none());
        shown.map_or(0, |ticket| ticket.number)
    }

    /// Decides what `message` does.
    pub(crate) fn file(
        &mut self,
        message: &'a MessageReceived,
        trace: TraceContext,
    ) -> Result<(), TicketError> {
        let Some(names) = choose(&mut self.loaded.filed, message)? else {
            return Ok(());
        };
        let author = Author::of(message);
        let mut incoming = Incoming {
            names,
            message,
            author,
            notices: Vec::new(),
            same: None,
            sighting: None,
            trace,
        };
        if incoming.author.failed() {
            incoming.notices.push(notice::FAILED.to_owned());
        }
        incoming.notices.extend(self.loaded.no_agent(&incoming));
        let class = class_from_proto(message.automatic_class());
        if !self.released && self.loaded.blocked.contains(&incoming.author.address) {
            self.quarantine(incoming, "blocked_sender", false);
            return Ok(());
        }
        let place = self
            .loaded
            .threads
            .place(message, &incoming.author, self.config());
        if let Some(twin) = self.loaded.threads.twin(message, place) {
            self.twins.push(twin);
            return Ok(());
        }
        let waits = !self.released && (!class.opens_ticket() || message.opens_no_ticket);
        incoming.same = self.same_matter(message, place, waits);
        if let Some(finding) = incoming.same.clone().filter(|it| it.joins) {
            return self.join_matter(incoming, &finding, place, class);
        }
        match place {
            Place::Nowhere | Place::NamedBy(_) if waits => {
                let awaits = place == Place::Nowhere && !incoming.author.failed();
                self.quarantine(incoming, quarantine_cause(class), awaits);
                Ok(())
            }
            Place::Unproven(_) if waits => {
                self.quarantine(incoming, "not_a_participant", false);
                Ok(())
            }
            Place::Unproven(other) => self.open(incoming, Before::Unproven(other)),
            Place::NamedBy(other) => self.open(incoming, Before::NamedBy(other)),
            Place::Nowhere => self.open(incoming, Before::Nothing),
            Place::Ticket { id, .. } if self.is_loop(&incoming, id, class) => {
                self.quarantine(incoming, "loop", false);
                Ok(())
            }
            Place::Ticket { id, stranger } => self.join(incoming, id, stranger, class),
        }
    }

    /// Whether this is one automatic message too many. What is not there yet has a full bucket.
    pub(super) fn is_loop(
        &mut self,
        incoming: &Incoming<'_>,
        ticket: Uuid,
        class: AutomaticClass,
    ) -> bool {
        let counts = incoming.message.channel() == Channel::Email && !class.is_human();
        if !counts || self.released {
            return false;
        }
        let (loops, now) = (&self.config().loops, self.now);
        let address = &incoming.author.address;
        let budgets = &mut self.loaded.budgets;
        !budgets.spend_automatic(address, ticket, loops, now)
    }

    pub(super) fn quarantine(&mut self, incoming: Incoming<'a>, cause: &'static str, awaits: bool) {
        self.quarantined.push(Quarantined {
            id: incoming.names.id,
            message: incoming.message,
            sender: incoming.author.address,
            cause,
            awaits,
            trace: incoming.trace,
        });
    }

    pub(super) fn join(
        &mut self,
        mut incoming: Incoming<'a>,
        ticket_id: Uuid,
        stranger: bool,
        class: AutomaticClass,
    ) -> Result<(), TicketError> {
        let status = self
            .ticket(ticket_id)
            .ok_or(TicketError::BadEvent("ticket"))?
            .status;
        if status.customer_replied(class.is_human()) == ReplyEffect::OpenLinked {
            // Who has got our mail from somebody else may add to it, but takes nothing over.
            let before = if stranger {
                Before::Overheard(ticket_id)
            } else {
                Before::Closed(ticket_id)
            };
            return self.open(incoming, before);
        }
        if stranger && class.is_human() {
            incoming.notices.push(notice::STRANGER.to_owned());
        }
        let (ticket_id, status_before) = if stranger {
            (ticket_id, status)
        } else {
            self.unite(&mut incoming, ticket_id)
        };
        self.reply(ticket_id, class.is_human());
        let contact_id = self.resolve(&mut incoming);
        self.add(
            incoming,
            ticket_id,
            contact_id,
            Effect::Joined { status_before },
        )
    }

    /// What a message of the customer does to a ticket that is not closed for it; returns where that stood before.
    pub(super) fn reply(&mut self, ticket: Uuid, human: bool) -> Option<Status> {
        let now = self.now;
        self.changed.insert(ticket);
        let ticket = self.ticket_mut(ticket)?;
        let before = ticket.status;
        if let ReplyEffect::Join(status) = before.customer_replied(human) {
            let changes = status != before;
            ticket.status = status;
            if changes {
                ticket.close_at = None;
            }
            ticket.touch(now, changes);
        }
        Some(before)
    }

    fn open(&mut self, mut incoming: Incoming<'a>, before: Before) -> Result<(), TicketError> {
        let message = incoming.message;
        let ticket_id = new_uuid(self.context.clock.as_ref(), self.context.rng.as_ref());
        let contact_id = self.resolve(&mut incoming);
        let now = self.now;
        let mut recipient = message.delivered_to.first().cloned().unwrap_or_default();
        let restricted = self.restriction_before(before);
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
        self.link(&mut incoming, ticket_id, before);
        let previous = before.previous();
        // What follows a restricted ticket stays among the same people, with the same owner.
        let (restricted_to, owner) = restricted.unzip();
        let (team_id, assignee_id) = owner.unwrap_or_default();
        let ticket = Ticket {
            restricted_to,
            team_id,
            assignee_id,
            contact_id,
            recipient,
            language: message.language.clone(),
            previous_ticket_id: previous,
            ..new_ticket(ticket_id, message, now)
        };
        self.loaded.threads.tickets.insert(ticket_id, ticket);
        self.opened.push(ticket_id);
        self.add(incoming, ticket_id, contact_id, Effect::Opened { previous })
    }

    /// Whom a restricted ticket names, and its team and owner, if the new one may quote it.
    fn restriction_before(&self, before: Before) -> Option<(Vec<Uuid>, Owner)> {
        let (Before::Closed(id) | Before::Overheard(id)) = before else {
            return None;
        };
        let closed = self.ticket(id)?;
        let names = closed.restricted_to.clone()?;
        Some((names, (closed.team_id, closed.assignee_id)))
    }

    /// Notes why the new ticket has to do with another one.
    fn link(&mut self, incoming: &mut Incoming<'_>, opened: Uuid, before: Before) {
        let (ticket, other) = match before {
            Before::Unproven(other) | Before::Overheard(other) => {
                let number = self.shown_number(other);
                incoming.notices.push(notice::unproven(number));
                (opened, other)
            }
            Before::NamedBy(other) => (other, opened),
            Before::Nothing | Before::Closed(_) => return,
        };
        self.links.insert(Link {
            ticket,
            other,
            kind: LinkKind::Mentions,
        });
    }

    fn add(
        &mut self,
        mut incoming: Incoming<'a>,
        ticket_id: Uuid,
        contact_id: Uuid,
        effect: Effect,
    ) -> Result<(), TicketError> {
        let message = incoming.message;
        let reply_to = reply_to::of(&incoming, effect, self.config());
        incoming
            .notices
            .extend(reply_to.as_deref().map(notice::reply_to));
        self.add_participant(&incoming, ticket_id, effect);
        self.add_keys(&incoming, ticket_id);
        let same = self.found(&incoming, ticket_id, contact_id, effect);
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
            verified: incoming.author.standing == Standing::Verified,
            same,
            sighting: incoming.sighting,
            reply_to,
            names: incoming.names,
            ticket,
            message,
            sequence,
            contact_id,
            author: incoming.author,
            notices: incoming.notices,
            at,
            trace: incoming.trace,
            effect,
        });
        Ok(())
    }

    /// The keys that lead somebody somewhere from now on.
    pub(crate) fn new_ways(&self) -> impl Iterator<Item = &ThreadKey> {
        let keys = self.keys.iter().chain(&self.moved_keys).map(|(key, _)| key);
        keys.chain(self.claims.iter().map(|((key, _), _)| key))
    }

    fn resolve(&mut self, incoming: &mut Incoming<'_>) -> Uuid {
        let message = incoming.message;
        let fresh = new_uuid(self.context.clock.as_ref(), self.context.rng.as_ref());
        let sender = sender_of(message);
        let resolved = self.loaded.identities.resolve(&sender, fresh);
        if resolved.is_new {
            let name = display_name(&sender);
            self.contacts.push(NewContact {
                id: resolved.contact_id,
                name,
                language: message.language.clone(),
            });
        }
        if resolved.less_proven && message.channel() == Channel::Email {
            incoming.notices.push(notice::LESS_PROVEN.to_owned());
        }
        incoming.sighting = resolved.sighting;
        self.identities.extend(resolved.writes);
        resolved.contact_id
    }
}

/// A ticket that nobody has looked at.
pub(super) fn new_ticket(id: Uuid, message: &MessageReceived, now: Timestamp) -> Ticket {
    Ticket {
        subject: subject_of(message),
        account: message.account.clone(),
        conversation_key: message.conversation_key.clone(),
        ..Ticket::blank(id, message.channel(), now)
    }
}

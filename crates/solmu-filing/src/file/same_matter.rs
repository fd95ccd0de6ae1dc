//! What the plan does with a message that is about the same as an open ticket which it does not answer.

use solmu_domain::ticket::{AutomaticClass, ReplyEffect};
use solmu_proto::inbound::v1::MessageReceived;
use uuid::Uuid;

use super::{
    plan::Plan,
    thread::Place,
    words::notice,
    work::{Effect, Incoming},
};
use crate::{
    error::TicketError,
    matters::{Finding, Found},
    model::{class_from_proto, small},
    ways::Way,
};

impl<'a> Plan<'a> {
    /// What is thought of a message that would open a ticket at `place`.
    pub(super) fn same_matter(
        &self,
        message: &MessageReceived,
        place: Place,
        waits: bool,
    ) -> Option<Finding> {
        if self.released || waits {
            return None;
        }
        let finding = self.loaded.matters.get(&message.message_id)?;
        let human = class_from_proto(message.automatic_class()).is_human();
        let opens = match place {
            Place::Nowhere | Place::NamedBy(_) => true,
            // It names a ticket without proof: proof of the same requester is enough for that one, and for no other.
            Place::Unproven(other) => {
                !finding.joins || self.loaded.threads.newest(other) == finding.ticket
            }
            // What follows a restricted ticket stays among its people.
            Place::Ticket { id, stranger } => {
                let closed = self.ticket(id)?;
                let follows = closed.status.customer_replied(human) == ReplyEffect::OpenLinked;
                !stranger && follows && closed.restricted_to.is_none()
            }
        };
        // It was open when it was looked for, and is locked since.
        let stands = !finding.joins
            || self
                .ticket(finding.ticket)
                .is_some_and(|it| it.status.is_open() && it.merged_into.is_none());
        Some(finding.clone()).filter(|_| opens && stands)
    }

    /// Files the message on the ticket that it is about.
    pub(super) fn join_matter(
        &mut self,
        mut incoming: Incoming<'a>,
        finding: &Finding,
        place: Place,
        class: AutomaticClass,
    ) -> Result<(), TicketError> {
        if self.is_loop(&incoming, finding.ticket, class) {
            self.quarantine(incoming, "loop", false);
            return Ok(());
        }
        incoming
            .notices
            .push(notice::same_matter(&finding.likeness));
        // A conversation whose last ticket is closed goes on here.
        if let Place::Ticket { id: closed, .. } = place {
            self.lead_conversation(incoming.message, closed, finding.ticket);
        }
        self.join(incoming, finding.ticket, false, class)
    }

    /// The finding as it is kept, now that the ticket of the message is known.
    pub(super) fn found(
        &self,
        incoming: &Incoming<'_>,
        ticket: Uuid,
        contact_id: Uuid,
        effect: Effect,
    ) -> Option<Found> {
        let finding = incoming.same.clone()?;
        let message = incoming.message;
        let way = Way {
            contact_id,
            channel: small(message.channel),
            account: message.account.clone(),
            address: incoming.author.address.clone(),
            conversation_key: message.conversation_key.clone(),
            recipient: message.delivered_to.first().cloned().unwrap_or_default(),
        };
        let opened = matches!(effect, Effect::Opened { .. }).then_some(ticket);
        let finding = Finding {
            ticket: opened.map_or(ticket, |_| finding.ticket),
            ..finding
        };
        let found = Found::new(self.context, finding, incoming.names.id, way);
        Some(Found { opened, ..found })
    }
}

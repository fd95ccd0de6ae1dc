//! Every event by its type, its family and what keeps its order. The one list of what travels on the bus.

use solmu_proto::{
    contact::v1 as contact, inbound::v1 as inbound, outbound::v1 as outbound,
    routing::v1 as routing, sla::v1 as sla, ticket::v1 as ticket,
};

use crate::family::Family;

/// A protobuf message that travels as an event.
pub trait EventBody: prost::Message {
    /// CloudEvents type.
    const TYPE: &'static str;
    /// The service that it comes from.
    const SOURCE: &'static str;
    /// Which subjects it goes to.
    fn family(&self) -> Family;
    /// Events of one key keep their order.
    fn partition_key(&self) -> String;
    /// What it is about.
    fn subject(&self) -> String;
}

macro_rules! event {
    ($message:ty, $type:literal, $source:literal, |$self:ident| $family:expr, $key:expr, $subject:expr) => {
        impl EventBody for $message {
            const TYPE: &'static str = $type;
            const SOURCE: &'static str = $source;

            fn family(&self) -> Family {
                let $self = self;
                let _ = $self;
                $family
            }

            fn partition_key(&self) -> String {
                let $self = self;
                $key
            }

            fn subject(&self) -> String {
                let $self = self;
                $subject
            }
        }
    };
}

/// The ticket that an event of the ticket service is about.
fn ticket_id(state: Option<&ticket::TicketState>) -> String {
    state
        .map(|state| state.ticket_id.clone())
        .unwrap_or_default()
}

event!(
    inbound::MessageReceived,
    "solmu.inbound.message_received.v1",
    "connector",
    |it| Family::Inbound,
    format!("{}:{}", it.account, it.conversation_key),
    it.message_id.clone()
);
event!(
    inbound::DeliveryReported,
    "solmu.inbound.delivery_reported.v1",
    "connector",
    |it| Family::Inbound,
    if it.message_id.is_empty() {
        it.external_id.clone()
    } else {
        it.message_id.clone()
    },
    it.external_id.clone()
);
event!(
    ticket::TicketOpened,
    "solmu.ticket.opened.v1",
    "tickets",
    |it| Family::Tickets,
    ticket_id(it.ticket.as_ref()),
    ticket_id(it.ticket.as_ref())
);
event!(
    ticket::TicketMessageAdded,
    "solmu.ticket.message_added.v1",
    "tickets",
    |it| Family::Tickets,
    ticket_id(it.ticket.as_ref()),
    ticket_id(it.ticket.as_ref())
);
event!(
    ticket::TicketChanged,
    "solmu.ticket.changed.v1",
    "tickets",
    |it| Family::Tickets,
    ticket_id(it.ticket.as_ref()),
    ticket_id(it.ticket.as_ref())
);
event!(
    ticket::TicketAssigned,
    "solmu.ticket.assigned.v1",
    "tickets",
    |it| Family::Tickets,
    ticket_id(it.ticket.as_ref()),
    ticket_id(it.ticket.as_ref())
);
event!(
    ticket::AssignmentRejected,
    "solmu.ticket.assignment_rejected.v1",
    "tickets",
    |it| Family::Tickets,
    ticket_id(it.ticket.as_ref()),
    ticket_id(it.ticket.as_ref())
);
event!(
    ticket::DeliveryUpdated,
    "solmu.ticket.delivery_updated.v1",
    "tickets",
    |it| Family::Tickets,
    ticket_id(it.ticket.as_ref()),
    ticket_id(it.ticket.as_ref())
);
event!(
    ticket::MessageQuarantined,
    "solmu.ticket.message_quarantined.v1",
    "tickets",
    |it| Family::Tickets,
    it.message_id.clone(),
    it.message_id.clone()
);
event!(
    ticket::TicketMerged,
    "solmu.ticket.merged.v1",
    "tickets",
    |it| Family::Tickets,
    ticket_id(it.ticket.as_ref()),
    ticket_id(it.ticket.as_ref())
);
event!(
    ticket::TicketUnmerged,
    "solmu.ticket.unmerged.v1",
    "tickets",
    |it| Family::Tickets,
    ticket_id(it.ticket.as_ref()),
    ticket_id(it.ticket.as_ref())
);
event!(
    ticket::MessageSplit,
    "solmu.ticket.message_split.v1",
    "tickets",
    |it| Family::Tickets,
    ticket_id(it.ticket.as_ref()),
    ticket_id(it.ticket.as_ref())
);
event!(
    ticket::TaskDue,
    "solmu.ticket.task_due.v1",
    "tickets",
    |it| Family::Tickets,
    ticket_id(it.ticket.as_ref()),
    ticket_id(it.ticket.as_ref())
);
event!(
    contact::ContactMerged,
    "solmu.contact.merged.v1",
    "tickets",
    |it| Family::Tickets,
    it.contact_id.clone(),
    it.contact_id.clone()
);
event!(
    contact::ContactUnmerged,
    "solmu.contact.unmerged.v1",
    "tickets",
    |it| Family::Tickets,
    it.contact_id.clone(),
    it.contact_id.clone()
);
event!(
    contact::ContactErased,
    "solmu.contact.erased.v1",
    "tickets",
    |it| Family::Tickets,
    it.contact_id.clone(),
    it.contact_id.clone()
);
event!(
    contact::ContactChanged,
    "solmu.contact.changed.v1",
    "tickets",
    |it| Family::Tickets,
    it.contact_id.clone(),
    it.contact_id.clone()
);
event!(
    contact::OrganizationChanged,
    "solmu.contact.organization_changed.v1",
    "tickets",
    |it| Family::Tickets,
    it.organization_id.clone(),
    it.organization_id.clone()
);
event!(
    routing::AssignmentDecided,
    "solmu.routing.assignment_decided.v1",
    "router",
    |it| Family::Routing,
    it.ticket_id.clone(),
    it.ticket_id.clone()
);
event!(
    routing::OfferChanged,
    "solmu.routing.offer_changed.v1",
    "router",
    |it| Family::Roster,
    it.ticket_id.clone(),
    it.ticket_id.clone()
);
event!(
    routing::RosterChanged,
    "solmu.routing.roster_changed.v1",
    "router",
    |it| Family::Roster,
    it.resource_id.clone(),
    it.resource_id.clone()
);
event!(
    sla::DueTimesDecided,
    "solmu.sla.due_times_decided.v1",
    "sla",
    |it| Family::Sla,
    it.ticket_id.clone(),
    it.ticket_id.clone()
);
event!(
    sla::SlaWarned,
    "solmu.sla.warned.v1",
    "sla",
    |it| Family::Sla,
    it.ticket_id.clone(),
    it.ticket_id.clone()
);
event!(
    sla::SlaBreached,
    "solmu.sla.breached.v1",
    "sla",
    |it| Family::Sla,
    it.ticket_id.clone(),
    it.ticket_id.clone()
);
event!(
    sla::SlaEscalated,
    "solmu.sla.escalated.v1",
    "sla",
    |it| Family::Sla,
    it.ticket_id.clone(),
    it.ticket_id.clone()
);
event!(
    outbound::MessageQueued,
    "solmu.outbound.message_queued.v1",
    "tickets",
    |it| Family::Outbound(it.channel()),
    format!("{}:{}", it.account, it.conversation_key),
    it.message_id.clone()
);

macro_rules! read_as {
    ($($message:ty,)*) => {
        /// Whether `data` is an event of this type. `None` for a type that this release does not know.
        #[must_use]
        pub fn is_readable(event_type: &str, data: &[u8]) -> Option<bool> {
            use prost::Message as _;
            $(if event_type == <$message>::TYPE {
                return Some(<$message>::decode(data).is_ok());
            })*
            None
        }
    };
}

read_as! {
    inbound::MessageReceived,
    inbound::DeliveryReported,
    ticket::TicketOpened,
    ticket::TicketMessageAdded,
    ticket::TicketChanged,
    ticket::TicketAssigned,
    ticket::AssignmentRejected,
    ticket::DeliveryUpdated,
    ticket::MessageQuarantined,
    ticket::TicketMerged,
    ticket::TicketUnmerged,
    ticket::MessageSplit,
    ticket::TaskDue,
    contact::ContactMerged,
    contact::ContactUnmerged,
    contact::ContactErased,
    contact::ContactChanged,
    contact::OrganizationChanged,
    routing::AssignmentDecided,
    routing::OfferChanged,
    routing::RosterChanged,
    sla::DueTimesDecided,
    sla::SlaWarned,
    sla::SlaBreached,
    sla::SlaEscalated,
    outbound::MessageQueued,
}

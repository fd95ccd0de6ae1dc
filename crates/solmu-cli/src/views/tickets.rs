//! Tickets, their messages, and why they are where they are.

use jiff::Timestamp;
use serde::Serialize;
use solmu_proto::{
    routing::v1::Decision,
    sla::v1::Clock,
    ticket::v1::{Message, QuarantinedMessage, Ticket, TicketLink, WatchTicketsResponse},
};

use super::ContactView;
use crate::words;

/// A ticket.
#[derive(Debug, Serialize)]
pub struct TicketView {
    pub(crate) id: String,
    pub(crate) number: i64,
    pub(crate) subject: String,
    pub(crate) status: String,
    pub(crate) priority: String,
    pub(crate) contact_id: String,
    pub(crate) contact_name: String,
    pub(crate) channels: Vec<String>,
    pub(crate) account: String,
    pub(crate) team_id: String,
    pub(crate) assignee_id: String,
    pub(crate) assign_reason: String,
    pub(crate) tags: Vec<String>,
    pub(crate) restricted: bool,
    pub(crate) language: String,
    pub(crate) create_time: Option<Timestamp>,
    pub(crate) update_time: Option<Timestamp>,
    pub(crate) first_response_due_time: Option<Timestamp>,
    pub(crate) resolution_due_time: Option<Timestamp>,
    pub(crate) next_due_time: Option<Timestamp>,
    pub(crate) breached: bool,
    pub(crate) message_count: i64,
    pub(crate) version: i64,
    pub(crate) etag: String,
    pub(crate) previous_ticket_id: String,
}

impl From<&Ticket> for TicketView {
    fn from(ticket: &Ticket) -> Self {
        Self {
            id: ticket.id.clone(),
            number: ticket.number,
            subject: ticket.subject.clone(),
            status: words::status(ticket.status),
            priority: words::priority(ticket.priority),
            contact_id: ticket.contact_id.clone(),
            contact_name: ticket.contact_name.clone(),
            channels: ticket
                .channels
                .iter()
                .map(|channel| words::channel(*channel))
                .collect(),
            account: ticket.account.clone(),
            team_id: ticket.team_id.clone(),
            assignee_id: ticket.assignee_id.clone(),
            assign_reason: ticket.assign_reason.clone(),
            tags: ticket.tags.clone(),
            restricted: ticket.restricted,
            language: ticket.language.clone(),
            create_time: words::time(ticket.create_time.as_ref()),
            update_time: words::time(ticket.update_time.as_ref()),
            first_response_due_time: words::time(ticket.first_response_due_time.as_ref()),
            resolution_due_time: words::time(ticket.resolution_due_time.as_ref()),
            next_due_time: words::time(ticket.next_due_time.as_ref()),
            breached: ticket.breached,
            message_count: ticket.message_count,
            version: ticket.version,
            etag: ticket.etag.clone(),
            previous_ticket_id: ticket.previous_ticket_id.clone(),
        }
    }
}

/// A message.
#[derive(Debug, Serialize)]
pub(crate) struct MessageView {
    pub(crate) id: String,
    pub(crate) ticket_id: String,
    pub(crate) sequence: i64,
    pub(crate) channel: String,
    pub(crate) author_kind: String,
    pub(crate) author_id: String,
    pub(crate) author_name: String,
    pub(crate) public: bool,
    pub(crate) text: String,
    pub(crate) attachments: Vec<AttachmentView>,
    pub(crate) create_time: Option<Timestamp>,
    pub(crate) automatic_class: String,
    pub(crate) delivery_state: String,
    pub(crate) delivery_error: String,
    pub(crate) sender_verified: bool,
    pub(crate) external_id: String,
    pub(crate) notices: Vec<String>,
}

/// A file.
#[derive(Debug, Serialize)]
pub(crate) struct AttachmentView {
    pub(crate) filename: String,
    pub(crate) content_type: String,
    pub(crate) size_bytes: i64,
    pub(crate) sha256: String,
    pub(crate) object_key: String,
}

impl From<&Message> for MessageView {
    fn from(message: &Message) -> Self {
        let author = message.author.clone().unwrap_or_default();
        let attachments = message.attachments.iter().map(|file| AttachmentView {
            filename: file.filename.clone(),
            content_type: file.content_type.clone(),
            size_bytes: file.size_bytes,
            sha256: file.sha256.clone(),
            object_key: file.object_key.clone(),
        });
        Self {
            id: message.id.clone(),
            ticket_id: message.ticket_id.clone(),
            sequence: message.sequence,
            channel: words::channel(message.channel),
            author_kind: words::actor(author.kind),
            author_id: author.id,
            author_name: message.author_name.clone(),
            public: message.public,
            text: message.text.clone(),
            attachments: attachments.collect(),
            create_time: words::time(message.create_time.as_ref()),
            automatic_class: words::automatic(message.automatic_class),
            delivery_state: words::delivery(message.delivery_state),
            delivery_error: message.delivery_error.clone(),
            sender_verified: message.sender_verified,
            external_id: message.external_id.clone(),
            notices: message.notices.clone(),
        }
    }
}

/// A routing decision.
#[derive(Debug, Serialize)]
pub(crate) struct DecisionView {
    pub(crate) decision_id: String,
    pub(crate) team_id: String,
    pub(crate) agent_id: String,
    pub(crate) rule_id: String,
    pub(crate) reason: String,
    pub(crate) outcome: String,
    pub(crate) decide_time: Option<Timestamp>,
}

impl From<&Decision> for DecisionView {
    fn from(decision: &Decision) -> Self {
        Self {
            decision_id: decision.decision_id.clone(),
            team_id: decision.team_id.clone(),
            agent_id: decision.agent_id.clone(),
            rule_id: decision.rule_id.clone(),
            reason: decision.reason.clone(),
            outcome: decision.outcome.clone(),
            decide_time: words::time(decision.decide_time.as_ref()),
        }
    }
}

/// A clock.
#[derive(Debug, Serialize)]
pub(crate) struct ClockView {
    pub(crate) metric: String,
    pub(crate) state: String,
    pub(crate) elapsed_seconds: i64,
    pub(crate) due_time: Option<Timestamp>,
    pub(crate) breached: bool,
}

impl From<&Clock> for ClockView {
    fn from(clock: &Clock) -> Self {
        Self {
            metric: words::metric(clock.metric),
            state: clock.state.clone(),
            elapsed_seconds: clock.elapsed_seconds,
            due_time: words::time(clock.due_time.as_ref()),
            breached: clock.breached,
        }
    }
}

/// A ticket with all that is known of it.
#[derive(Debug, Serialize)]
pub(crate) struct TicketDetailView {
    pub(crate) ticket: TicketView,
    pub(crate) links: Vec<LinkView>,
    /// Absent if it could not be read.
    pub(crate) contact: Option<ContactView>,
    pub(crate) messages: Vec<MessageView>,
    pub(crate) decisions: Vec<DecisionView>,
    pub(crate) clocks: Vec<ClockView>,
    /// Why it waits now; empty if it does not.
    pub(crate) waiting_reason: String,
}

/// Another ticket that has to do with one.
#[derive(Debug, Serialize)]
pub(crate) struct LinkView {
    pub(crate) ticket_id: String,
    pub(crate) ticket_number: i64,
    pub(crate) kind: String,
}

impl From<&TicketLink> for LinkView {
    fn from(link: &TicketLink) -> Self {
        Self {
            ticket_id: link.ticket_id.clone(),
            ticket_number: link.ticket_number,
            kind: words::link(link.kind),
        }
    }
}

/// A change that was watched.
#[derive(Debug, Serialize)]
pub(crate) struct ChangeView {
    pub(crate) cursor: String,
    pub(crate) event_type: String,
    pub(crate) event_time: Option<Timestamp>,
    pub(crate) summary: String,
    pub(crate) ticket: Option<TicketView>,
}

impl From<&WatchTicketsResponse> for ChangeView {
    fn from(change: &WatchTicketsResponse) -> Self {
        Self {
            cursor: change.cursor.clone(),
            event_type: change.event_type.clone(),
            event_time: words::time(change.event_time.as_ref()),
            summary: change.summary.clone(),
            ticket: change.ticket.as_ref().map(TicketView::from),
        }
    }
}

/// A message in the quarantine.
#[derive(Debug, Serialize)]
pub struct QuarantinedView {
    pub(crate) message_id: String,
    pub(crate) channel: String,
    pub(crate) account: String,
    pub(crate) sender: String,
    pub(crate) subject: String,
    pub(crate) cause_code: String,
    pub(crate) automatic_class: String,
    pub(crate) quarantine_time: Option<Timestamp>,
    pub(crate) reject_time: Option<Timestamp>,
    pub(crate) rejected_by: String,
    pub(crate) reject_reason: String,
}

impl From<&QuarantinedMessage> for QuarantinedView {
    fn from(message: &QuarantinedMessage) -> Self {
        Self {
            message_id: message.message_id.clone(),
            channel: words::channel(message.channel),
            account: message.account.clone(),
            sender: message.sender.clone(),
            subject: message.subject.clone(),
            cause_code: message.cause_code.clone(),
            automatic_class: words::automatic(message.automatic_class),
            quarantine_time: words::time(message.quarantine_time.as_ref()),
            reject_time: words::time(message.reject_time.as_ref()),
            rejected_by: message.rejected_by.clone(),
            reject_reason: message.reject_reason.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_as_scripts_see_it() {
        let ticket = Ticket {
            id: "t".to_owned(),
            number: 1001,
            status: 3,
            priority: 4,
            channels: vec![1, 4],
            create_time: Some(prost_types::Timestamp {
                seconds: 0,
                nanos: 0,
            }),
            ..Ticket::default()
        };
        let value = serde_json::to_value(TicketView::from(&ticket)).unwrap();
        assert_eq!(value["status"], "waiting_on_customer");
        assert_eq!(value["priority"], "urgent");
        assert_eq!(value["channels"], serde_json::json!(["email", "whatsapp"]));
        assert_eq!(value["create_time"], "1970-01-01T00:00:00Z");
        assert!(value["next_due_time"].is_null());
    }
}

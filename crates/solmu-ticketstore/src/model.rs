//! A ticket as it is stored and as others see it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_db::SqlTimestamp;
use solmu_domain::ticket::{Priority, Status};
use solmu_proto::{ticket::v1 as proto, types::v1::Channel};
use uuid::Uuid;

use crate::error::TicketError;
pub use crate::wire::{
    class_from_proto, priority_from_proto, priority_to_proto, status_from_proto, status_to_proto,
};

mod store;

pub use store::{lock, lock_one, update};

/// Columns of [`Row`], for each statement that reads tickets.
pub const COLUMNS: &str = "id, number, subject, status, priority, contact_id, channel, account, recipient, \
    conversation_key, team_id, assignee_id, assign_reason, tags, language, created_at, updated_at, close_at, \
    first_response_due, next_response_due, resolution_due, next_due, breached, version, routing_version, sla_version, \
    sla_decided_at, message_count, channels, previous_ticket_id, next_ticket_id, merged_into, moved_away, \
    touched, category, organization_ids, fields, parent_id, snoozed, wake_at, restricted_to, \
    substatus, resolved_at, closed_at";

/// A ticket as it is stored.
#[derive(Debug)]
pub struct Row {
    id: Uuid,
    number: i64,
    subject: String,
    status: String,
    priority: String,
    contact_id: Uuid,
    channel: i16,
    account: String,
    recipient: String,
    conversation_key: String,
    team_id: Option<Uuid>,
    assignee_id: Option<Uuid>,
    assign_reason: String,
    tags: Vec<String>,
    language: String,
    created_at: SqlTimestamp,
    updated_at: SqlTimestamp,
    close_at: Option<SqlTimestamp>,
    first_response_due: Option<SqlTimestamp>,
    next_response_due: Option<SqlTimestamp>,
    resolution_due: Option<SqlTimestamp>,
    next_due: Option<SqlTimestamp>,
    breached: bool,
    version: i64,
    routing_version: i64,
    sla_version: i64,
    sla_decided_at: Option<SqlTimestamp>,
    message_count: i64,
    channels: i32,
    previous_ticket_id: Option<Uuid>,
    next_ticket_id: Option<Uuid>,
    merged_into: Option<Uuid>,
    moved_away: i64,
    touched: bool,
    category: String,
    organization_ids: Vec<Uuid>,
    fields: serde_json::Value,
    parent_id: Option<Uuid>,
    snoozed: bool,
    wake_at: Option<SqlTimestamp>,
    restricted_to: Option<Vec<Uuid>>,
    substatus: String,
    resolved_at: Option<SqlTimestamp>,
    closed_at: Option<SqlTimestamp>,
}
solmu_db::from_row!(Row {
    id,
    number,
    subject,
    status,
    priority,
    contact_id,
    channel,
    account,
    recipient,
    conversation_key,
    team_id,
    assignee_id,
    assign_reason,
    tags,
    language,
    created_at,
    updated_at,
    close_at,
    first_response_due,
    next_response_due,
    resolution_due,
    next_due,
    breached,
    version,
    routing_version,
    sla_version,
    sla_decided_at,
    message_count,
    channels,
    previous_ticket_id,
    next_ticket_id,
    merged_into,
    moved_away,
    touched,
    category,
    organization_ids,
    fields,
    parent_id,
    snoozed,
    wake_at,
    restricted_to,
    substatus,
    resolved_at,
    closed_at
});

/// Values of custom fields by key: in canonical text, and never empty.
pub type Values = BTreeMap<String, Vec<String>>;

/// A ticket sleeps until this time, if there is one, or until the customer writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snooze(pub Option<Timestamp>);

/// Whether somebody else's turn it is: what a ticket can sleep in.
pub const fn waits(status: Status) -> bool {
    matches!(
        status,
        Status::WaitingOnCustomer | Status::WaitingOnThirdParty
    )
}

/// A ticket in memory, inside a transaction that has locked it.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Its id.
    pub id: Uuid,
    /// Its number, as people say it.
    pub number: i64,
    /// What it is about.
    pub subject: String,
    /// Where it stands.
    pub status: Status,
    /// How much it presses.
    pub priority: Priority,
    /// The requester.
    pub contact_id: Uuid,
    /// The channel that it came on.
    pub channel: Channel,
    /// The account of the connector that it came by.
    pub account: String,
    /// The address of ours that it came to.
    pub recipient: String,
    /// The conversation that it came from, as its channel names it.
    pub conversation_key: String,
    /// The team that it is with.
    pub team_id: Option<Uuid>,
    /// The agent who owns it.
    pub assignee_id: Option<Uuid>,
    /// Why it is with them.
    pub assign_reason: String,
    /// In the order in which they were added.
    pub tags: Vec<String>,
    /// The language that the requester writes, as a BCP 47 tag, or empty.
    pub language: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// When it closes by itself.
    pub close_at: Option<Timestamp>,
    /// When the first response is due.
    pub first_response_due: Option<Timestamp>,
    /// When the next response is due.
    pub next_response_due: Option<Timestamp>,
    /// When it has to be over.
    pub resolution_due: Option<Timestamp>,
    /// The earliest of all due times.
    pub next_due: Option<Timestamp>,
    /// Something was late.
    pub breached: bool,
    /// Counts its changes.
    pub version: i64,
    /// Counts the changes that a router decides on.
    pub routing_version: i64,
    /// The version that the due times were computed from.
    pub sla_version: i64,
    /// When the due times were computed.
    pub sla_decided_at: Option<Timestamp>,
    /// The highest sequence that it gave out.
    pub message_count: i64,
    /// The channels of its messages: a bit for each.
    pub channels: i32,
    /// The ticket that it comes after.
    pub previous_ticket_id: Option<Uuid>,
    /// The ticket that comes after it.
    pub next_ticket_id: Option<Uuid>,
    /// The ticket that it became part of.
    pub merged_into: Option<Uuid>,
    /// Messages that left it for another ticket.
    pub moved_away: i64,
    /// A person answered, noted or changed something.
    pub touched: bool,
    /// What it is sorted by: levels, with slashes between them.
    pub category: String,
    /// Sorted.
    pub organization_ids: Vec<Uuid>,
    /// Values of custom fields.
    pub fields: Values,
    /// The ticket that it is a part of; that may be part of another one by now.
    pub parent_id: Option<Uuid>,
    /// Until when it sleeps: only while it waits.
    pub snooze: Option<Snooze>,
    /// Agents and teams who alone see it; written by [`crate::restrict`] alone.
    pub restricted_to: Option<Vec<Uuid>>,
    /// Of a status that it was given together with: only while it is in that.
    pub substatus: Option<(Status, String)>,
    /// Since when it has been over, as it was read: [`update`] keeps both.
    pub resolved_at: Option<Timestamp>,
    /// Since when it has been closed.
    pub closed_at: Option<Timestamp>,
}

fn values_from_json(json: &serde_json::Value) -> Values {
    let all = json.as_object().into_iter().flatten();
    let some = all.filter_map(|(key, values)| {
        let values = values.as_array()?.iter().filter_map(|it| it.as_str());
        Some((key.clone(), values.map(str::to_owned).collect()))
    });
    some.collect()
}

fn jiff(at: Option<SqlTimestamp>) -> Option<Timestamp> {
    at.map(SqlTimestamp::to_jiff)
}

impl TryFrom<Row> for Ticket {
    type Error = TicketError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        let status: Status = row.status.parse()?;
        let substatus = Some(row.substatus).filter(|it| !it.is_empty());
        Ok(Self {
            id: row.id,
            number: row.number,
            subject: row.subject,
            status,
            priority: row.priority.parse()?,
            contact_id: row.contact_id,
            channel: Channel::try_from(i32::from(row.channel)).unwrap_or_default(),
            account: row.account,
            recipient: row.recipient,
            conversation_key: row.conversation_key,
            team_id: row.team_id,
            assignee_id: row.assignee_id,
            assign_reason: row.assign_reason,
            tags: row.tags,
            language: row.language,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            close_at: jiff(row.close_at),
            first_response_due: jiff(row.first_response_due),
            next_response_due: jiff(row.next_response_due),
            resolution_due: jiff(row.resolution_due),
            next_due: jiff(row.next_due),
            breached: row.breached,
            version: row.version,
            routing_version: row.routing_version,
            sla_version: row.sla_version,
            sla_decided_at: jiff(row.sla_decided_at),
            message_count: row.message_count,
            channels: row.channels,
            previous_ticket_id: row.previous_ticket_id,
            next_ticket_id: row.next_ticket_id,
            merged_into: row.merged_into,
            moved_away: row.moved_away,
            touched: row.touched,
            category: row.category,
            organization_ids: row.organization_ids,
            fields: values_from_json(&row.fields),
            parent_id: row.parent_id,
            snooze: row.snoozed.then(|| Snooze(jiff(row.wake_at))),
            restricted_to: row.restricted_to,
            substatus: substatus.map(|name| (status, name)),
            resolved_at: jiff(row.resolved_at),
            closed_at: jiff(row.closed_at),
        })
    }
}

impl Ticket {
    /// A new one of nobody, about nothing yet.
    pub fn blank(id: Uuid, channel: Channel, now: Timestamp) -> Self {
        Self {
            id,
            number: 0,
            subject: String::new(),
            status: Status::New,
            priority: Priority::Normal,
            contact_id: Uuid::nil(),
            channel,
            account: String::new(),
            recipient: String::new(),
            conversation_key: String::new(),
            team_id: None,
            assignee_id: None,
            assign_reason: String::new(),
            tags: Vec::new(),
            language: String::new(),
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
            previous_ticket_id: None,
            next_ticket_id: None,
            merged_into: None,
            moved_away: 0,
            touched: false,
            category: String::new(),
            organization_ids: Vec::new(),
            fields: Values::new(),
            parent_id: None,
            snooze: None,
            restricted_to: None,
            substatus: None,
            resolved_at: None,
            closed_at: None,
        }
    }

    /// Notes a change at `now`; `routed` when the router decides on what changed.
    pub fn touch(&mut self, now: Timestamp, routed: bool) {
        self.version += 1;
        self.routing_version += i64::from(routed);
        self.updated_at = now;
    }

    /// Notes that a message came on or went to `channel`.
    pub fn add_channel(&mut self, channel: Channel) {
        self.channels |= 1 << (channel as i32);
    }

    /// Messages that are on it.
    pub const fn messages(&self) -> i64 {
        self.message_count - self.moved_away
    }

    /// The version as an AIP-154 etag.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }

    /// What events say of it: ids and states.
    pub fn state(&self) -> proto::TicketState {
        proto::TicketState {
            ticket_id: self.id.to_string(),
            number: self.number,
            contact_id: self.contact_id.to_string(),
            channel: self.channel.into(),
            account: self.account.clone(),
            status: status_to_proto(self.status).into(),
            priority: priority_to_proto(self.priority).into(),
            team_id: text(self.team_id),
            assignee_id: text(self.assignee_id),
            tags: self.tags.clone(),
            language: self.language.clone(),
            version: self.version,
            routing_version: self.routing_version,
            create_time: Some(to_proto_time(self.created_at)),
            recipient: self.recipient.clone(),
            next_due_time: self.next_due.map(to_proto_time),
            category: self.category.clone(),
            organization_ids: self.organization_texts(),
            fields: self.field_values(),
            substatus: self.held_substatus().to_owned(),
        }
    }

    /// As text, in order.
    pub fn organization_texts(&self) -> Vec<String> {
        self.organization_ids.iter().map(Uuid::to_string).collect()
    }

    fn field_values(&self) -> Vec<proto::FieldValue> {
        let values = self.fields.iter().map(|(key, values)| proto::FieldValue {
            key: key.clone(),
            values: values.clone(),
        });
        values.collect()
    }

    /// The snooze that holds in its status.
    pub fn sleeps(&self) -> Option<Snooze> {
        self.snooze.filter(|_| waits(self.status))
    }

    /// The sub-status that holds in its status; empty for none.
    pub fn held_substatus(&self) -> &str {
        let held = self.substatus.as_ref();
        held.filter(|(status, _)| *status == self.status)
            .map_or("", |(_, name)| name)
    }

    /// What the API says of it.
    pub fn view(&self, contact_name: String) -> proto::Ticket {
        proto::Ticket {
            id: self.id.to_string(),
            number: self.number,
            subject: self.subject.clone(),
            status: status_to_proto(self.status).into(),
            priority: priority_to_proto(self.priority).into(),
            contact_id: self.contact_id.to_string(),
            contact_name,
            channels: (1..31)
                .filter(|bit| self.channels & (1 << bit) != 0)
                .collect(),
            team_id: text(self.team_id),
            assignee_id: text(self.assignee_id),
            assign_reason: self.assign_reason.clone(),
            tags: self.tags.clone(),
            language: self.language.clone(),
            create_time: Some(to_proto_time(self.created_at)),
            update_time: Some(to_proto_time(self.updated_at)),
            first_response_due_time: self.first_response_due.map(to_proto_time),
            resolution_due_time: self.resolution_due.map(to_proto_time),
            next_due_time: self.next_due.map(to_proto_time),
            breached: self.breached,
            message_count: self.messages(),
            version: self.version,
            etag: self.etag(),
            previous_ticket_id: text(self.previous_ticket_id),
            account: self.account.clone(),
            links: Vec::new(),
            merged_into: text(self.merged_into),
            category: self.category.clone(),
            organization_ids: self.organization_texts(),
            fields: self.field_values(),
            parent_id: text(self.parent_id),
            children: Vec::new(),
            follower_ids: Vec::new(),
            snoozed: self.sleeps().is_some(),
            wake_time: self.sleeps().and_then(|it| it.0).map(to_proto_time),
            restricted: self.restricted_to.is_some(),
            substatus: self.held_substatus().to_owned(),
            resolved_time: self.resolved_at.map(to_proto_time),
            closed_time: self.closed_at.map(to_proto_time),
            ..proto::Ticket::default()
        }
    }
}

fn text(id: Option<Uuid>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// A small number as the `smallint` that it is stored as.
pub fn small(code: i32) -> i16 {
    i16::try_from(code).unwrap_or(0)
}

//! A ticket as it is stored and as others see it.

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_domain::ticket::{AutomaticClass, Priority, Status};
use solmu_proto::{
    ticket::v1 as proto,
    types::v1::{self as types, Channel},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::TicketError;

/// Columns of [`Row`], for each statement that reads tickets.
pub(crate) const COLUMNS: &str = "id, number, subject, status, priority, contact_id, channel, account, recipient, \
    conversation_key, team_id, assignee_id, assign_reason, tags, language, created_at, updated_at, close_at, \
    first_response_due, next_response_due, resolution_due, next_due, breached, version, routing_version, sla_version, \
    sla_decided_at, message_count, channels, previous_ticket_id, next_ticket_id, merged_into, moved_away, \
    touched";

#[derive(Debug)]
pub(crate) struct Row {
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
    touched
});

/// A ticket in memory, inside a transaction that has locked it.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    pub(crate) subject: String,
    pub(crate) status: Status,
    pub(crate) priority: Priority,
    pub(crate) contact_id: Uuid,
    pub(crate) channel: Channel,
    pub(crate) account: String,
    pub(crate) recipient: String,
    pub(crate) conversation_key: String,
    pub(crate) team_id: Option<Uuid>,
    pub(crate) assignee_id: Option<Uuid>,
    pub(crate) assign_reason: String,
    pub(crate) tags: Vec<String>,
    pub(crate) language: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) close_at: Option<Timestamp>,
    pub(crate) first_response_due: Option<Timestamp>,
    pub(crate) next_response_due: Option<Timestamp>,
    pub(crate) resolution_due: Option<Timestamp>,
    pub(crate) next_due: Option<Timestamp>,
    pub(crate) breached: bool,
    pub(crate) version: i64,
    pub(crate) routing_version: i64,
    pub(crate) sla_version: i64,
    pub(crate) sla_decided_at: Option<Timestamp>,
    /// The highest sequence that it gave out.
    pub(crate) message_count: i64,
    pub(crate) channels: i32,
    pub(crate) previous_ticket_id: Option<Uuid>,
    pub(crate) next_ticket_id: Option<Uuid>,
    /// The ticket that it became part of.
    pub(crate) merged_into: Option<Uuid>,
    /// Messages that left it for another ticket.
    pub(crate) moved_away: i64,
    /// A person answered, noted or changed something.
    pub(crate) touched: bool,
}

fn jiff(at: Option<SqlTimestamp>) -> Option<Timestamp> {
    at.map(SqlTimestamp::to_jiff)
}

impl TryFrom<Row> for Ticket {
    type Error = TicketError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            id: row.id,
            number: row.number,
            subject: row.subject,
            status: row.status.parse()?,
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
        })
    }
}

impl Ticket {
    /// A new one of nobody, about nothing yet.
    pub(crate) fn blank(id: Uuid, channel: Channel, now: Timestamp) -> Self {
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
        }
    }

    /// Notes a change at `now`; `routed` when the router decides on what changed.
    pub(crate) fn touch(&mut self, now: Timestamp, routed: bool) {
        self.version += 1;
        self.routing_version += i64::from(routed);
        self.updated_at = now;
    }

    /// Notes that a message came on or went to `channel`.
    pub(crate) fn add_channel(&mut self, channel: Channel) {
        self.channels |= 1 << (channel as i32);
    }

    /// Messages that are on it.
    pub(crate) const fn messages(&self) -> i64 {
        self.message_count - self.moved_away
    }

    /// The version as an AIP-154 etag.
    pub(crate) fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }

    /// What events say of it: ids and states.
    pub(crate) fn state(&self) -> proto::TicketState {
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
            category: String::new(),
            organization_ids: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// What the API says of it.
    pub(crate) fn view(&self, contact_name: String) -> proto::Ticket {
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
        }
    }
}

/// Locks tickets in order of id, so that two transactions never wait for each other in a ring.
pub(crate) async fn lock(tx: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Ticket>, TicketError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql =
        format!("SELECT {COLUMNS} FROM tickets.ticket WHERE id = ANY($1) ORDER BY id FOR UPDATE");
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(ids)
        .fetch_all(tx)
        .await?;
    rows.into_iter().map(Ticket::try_from).collect()
}

/// Writes every changed ticket in one statement.
pub(crate) async fn update(tx: &mut PgConnection, tickets: &[&Ticket]) -> Result<(), TicketError> {
    if tickets.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        (|$it:ident| $value:expr) => {
            tickets.iter().map(|$it| $value).collect::<Vec<_>>()
        };
    }
    let time = |at: Option<Timestamp>| at.map(solmu_db::ToSqlx::to_sqlx);
    sqlx::query(
        "UPDATE tickets.ticket AS ticket SET
            status = new.status, priority = new.priority, team_id = new.team_id, assignee_id = new.assignee_id,
            assign_reason = new.assign_reason, tags = string_to_array(new.tags, E'\\x1f'),
            updated_at = new.updated_at, close_at = new.close_at, first_response_due = new.first_response_due,
            next_response_due = new.next_response_due, resolution_due = new.resolution_due, breached = new.breached,
            version = new.version, routing_version = new.routing_version, sla_version = new.sla_version,
            message_count = new.message_count, channels = new.channels, next_ticket_id = new.next_ticket_id,
            sla_decided_at = new.sla_decided_at, merged_into = new.merged_into, moved_away = new.moved_away,
            touched = new.touched
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
            $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
            $13::boolean[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::integer[], $19::uuid[],
            $20::timestamptz[], $21::uuid[], $22::bigint[], $23::boolean[])
            AS new (id, status, priority, team_id, assignee_id, assign_reason, tags, updated_at, close_at,
            first_response_due, next_response_due, resolution_due, breached, version, routing_version, sla_version,
            message_count, channels, next_ticket_id, sla_decided_at, merged_into, moved_away, touched)
         WHERE ticket.id = new.id",
    )
    .bind(column!(|it| it.id))
    .bind(column!(|it| it.status.name()))
    .bind(column!(|it| it.priority.name()))
    .bind(column!(|it| it.team_id))
    .bind(column!(|it| it.assignee_id))
    .bind(column!(|it| it.assign_reason.as_str()))
    .bind(column!(|it| it.tags.join("\u{1f}")))
    .bind(column!(|it| it.updated_at.to_sqlx()))
    .bind(column!(|it| time(it.close_at)))
    .bind(column!(|it| time(it.first_response_due)))
    .bind(column!(|it| time(it.next_response_due)))
    .bind(column!(|it| time(it.resolution_due)))
    .bind(column!(|it| it.breached))
    .bind(column!(|it| it.version))
    .bind(column!(|it| it.routing_version))
    .bind(column!(|it| it.sla_version))
    .bind(column!(|it| it.message_count))
    .bind(column!(|it| it.channels))
    .bind(column!(|it| it.next_ticket_id))
    .bind(column!(|it| time(it.sla_decided_at)))
    .bind(column!(|it| it.merged_into))
    .bind(column!(|it| it.moved_away))
    .bind(column!(|it| it.touched))
    .execute(tx)
    .await?;
    Ok(())
}

fn text(id: Option<Uuid>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// A status on the wire.
pub(crate) fn status_to_proto(status: Status) -> types::TicketStatus {
    match status {
        Status::New => types::TicketStatus::New,
        Status::Open => types::TicketStatus::Open,
        Status::WaitingOnCustomer => types::TicketStatus::WaitingOnCustomer,
        Status::CustomerReplied => types::TicketStatus::CustomerReplied,
        Status::WaitingOnThirdParty => types::TicketStatus::WaitingOnThirdParty,
        Status::Resolved => types::TicketStatus::Resolved,
        Status::Closed => types::TicketStatus::Closed,
    }
}

/// A status from the wire; `None` if it is not set.
pub(crate) fn status_from_proto(status: types::TicketStatus) -> Option<Status> {
    Status::ALL
        .into_iter()
        .find(|known| status_to_proto(*known) == status)
}

/// A priority on the wire.
pub(crate) fn priority_to_proto(priority: Priority) -> types::Priority {
    match priority {
        Priority::Low => types::Priority::Low,
        Priority::Normal => types::Priority::Normal,
        Priority::High => types::Priority::High,
        Priority::Urgent => types::Priority::Urgent,
    }
}

/// A priority from the wire; `None` if it is not set.
pub(crate) fn priority_from_proto(priority: types::Priority) -> Option<Priority> {
    Priority::ALL
        .into_iter()
        .find(|known| priority_to_proto(*known) == priority)
}

/// The class of a message; one that is not set was written by somebody.
pub(crate) fn class_from_proto(class: types::AutomaticClass) -> AutomaticClass {
    use types::AutomaticClass as Proto;
    match class {
        Proto::Unspecified | Proto::Human => AutomaticClass::Human,
        Proto::AutoGenerated => AutomaticClass::AutoGenerated,
        Proto::AutoReply => AutomaticClass::AutoReply,
        Proto::OutOfOffice => AutomaticClass::OutOfOffice,
        Proto::BounceHard => AutomaticClass::BounceHard,
        Proto::BounceSoft => AutomaticClass::BounceSoft,
        Proto::Delay => AutomaticClass::Delay,
        Proto::List => AutomaticClass::List,
        Proto::Own => AutomaticClass::Own,
        Proto::Report => AutomaticClass::Report,
    }
}

/// A small number as the `smallint` that it is stored as.
pub(crate) fn small(code: i32) -> i16 {
    i16::try_from(code).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_wire_round_trip() {
        for status in Status::ALL {
            assert_eq!(status_from_proto(status_to_proto(status)), Some(status));
        }
        for priority in Priority::ALL {
            assert_eq!(
                priority_from_proto(priority_to_proto(priority)),
                Some(priority)
            );
        }
        assert_eq!(status_from_proto(types::TicketStatus::Unspecified), None);
    }
}

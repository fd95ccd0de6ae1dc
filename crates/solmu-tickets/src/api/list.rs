//! Reading tickets and messages: by urgency, by filter, by page.

use solmu_conditions::{Field, FieldType, FilterError, Schema};
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_domain::ticket::{Priority, Status};
use solmu_proto::{
    ticket::v1 as proto,
    types::v1::{Actor, actor::Kind},
};
use solmu_runtime::{ApiError, api_error::Violation};
use sqlx::{PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use super::page;
use crate::{
    file::attachments_from_json,
    model::{COLUMNS, Row, Ticket},
};

/// Fields of the filter of `ListTickets`.
pub(crate) fn schema() -> Schema {
    Schema::new()
        .with(Field::one_of("status", Status::ALL.map(Status::name)).column("ticket.status"))
        .with(Field::ordered("priority", Priority::ALL.map(Priority::name)).column("ticket.priority"))
        .with(Field::new("number", FieldType::Integer).column("ticket.number"))
        .with(Field::new("subject", FieldType::Text).column("ticket.subject"))
        .with(Field::new("account", FieldType::Keyword).column("ticket.account"))
        .with(Field::new("recipient", FieldType::Keyword).column("ticket.recipient"))
        .with(Field::new("language", FieldType::Keyword).column("ticket.language"))
        .with(Field::new("channel", FieldType::Keyword).column(
            "(CASE ticket.channel WHEN 1 THEN 'email' WHEN 2 THEN 'chat' WHEN 3 THEN 'form' WHEN 4 THEN 'whatsapp' \
             WHEN 5 THEN 'telegram' ELSE 'other' END)",
        ))
        .with(Field::new("contact", FieldType::Id).column("ticket.contact_id"))
        .with(Field::new("team", FieldType::Id).column("ticket.team_id"))
        .with(Field::new("assignee", FieldType::Id).column("ticket.assignee_id"))
        .with(Field::new("tags", FieldType::TextSet).column("ticket.tags"))
        .with(Field::new("breached", FieldType::Bool).column("ticket.breached"))
        .with(Field::new("create_time", FieldType::Timestamp).column("ticket.created_at"))
        .with(Field::new("update_time", FieldType::Timestamp).column("ticket.updated_at"))
        .with(Field::new("next_due_time", FieldType::Timestamp).column("ticket.next_due"))
}

/// What is wrong with a filter, as the caller is told.
pub(crate) fn filter_error(error: &FilterError) -> ApiError {
    match error {
        FilterError::Invalid(violations) => ApiError::InvalidArgument {
            violations: violations
                .iter()
                .map(|violation| Violation::new("filter", violation.to_string()))
                .collect(),
        },
        other => ApiError::invalid("filter", other.to_string()),
    }
}

/// Where a page of tickets ended: due time in microseconds (none: last), then id.
type Position = (Option<i64>, Uuid);

/// A page of tickets by urgency.
pub(crate) async fn tickets(
    pool: &PgPool,
    request: &proto::ListTicketsRequest,
    max_page: u32,
) -> Result<proto::ListTicketsResponse, ApiError> {
    let size = page::size(request.page_size, 50, max_page)?;
    let after: Option<Position> = page::decode(&request.filter, &request.page_token)?;
    let mut query: QueryBuilder<Postgres> = QueryBuilder::new(format!(
        "SELECT {COLUMNS} FROM tickets.ticket WHERE merged_into IS NULL"
    ));
    if !request.filter.trim().is_empty() {
        let checked = solmu_conditions::parse(&request.filter, &schema())
            .map_err(|error| filter_error(&error))?;
        query.push(" AND (");
        checked.push_sql(&mut query).map_err(ApiError::internal)?;
        query.push(")");
    }
    match after {
        Some((Some(due), id)) => {
            let due = jiff::Timestamp::from_microsecond(due).map_err(ApiError::internal)?;
            query.push(" AND (next_due > ").push_bind(due.to_sqlx());
            query.push(" OR (next_due = ").push_bind(due.to_sqlx());
            query
                .push(" AND id > ")
                .push_bind(id)
                .push(") OR next_due IS NULL)");
        }
        Some((None, id)) => {
            query.push(" AND next_due IS NULL AND id > ").push_bind(id);
        }
        None => {}
    }
    query
        .push(" ORDER BY next_due ASC NULLS LAST, id ASC LIMIT ")
        .push_bind(size + 1);
    let rows: Vec<Row> = query
        .build_query_as()
        .fetch_all(pool)
        .await
        .map_err(solmu_db::DbError::from)?;
    let mut tickets = rows
        .into_iter()
        .map(Ticket::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    let more = page::cut(&mut tickets, size);
    let next_page_token = match tickets.last().filter(|_| more) {
        Some(last) => page::encode(
            &request.filter,
            (last.next_due.map(jiff::Timestamp::as_microsecond), last.id),
        ),
        None => String::new(),
    };
    Ok(proto::ListTicketsResponse {
        tickets: views(pool, tickets).await?,
        next_page_token,
    })
}

/// One ticket, by id or by `#number`.
pub(crate) async fn ticket(pool: &PgPool, id: &str) -> Result<proto::Ticket, ApiError> {
    let by_number = id.strip_prefix('#').map(|number| {
        number
            .parse::<i64>()
            .map_err(|_| ApiError::invalid("id", format!("'{id}' is not a ticket number")))
    });
    let mut query: QueryBuilder<Postgres> =
        QueryBuilder::new(format!("SELECT {COLUMNS} FROM tickets.ticket WHERE "));
    match by_number.transpose()? {
        Some(number) => query.push("number = ").push_bind(number),
        None => query.push("id = ").push_bind(super::uuid("id", id)?),
    };
    let row: Option<Row> = query
        .build_query_as()
        .fetch_optional(pool)
        .await
        .map_err(solmu_db::DbError::from)?;
    let ticket = Ticket::try_from(row.ok_or_else(|| ApiError::not_found("ticket", id))?)?;
    views(pool, vec![ticket])
        .await?
        .pop()
        .ok_or_else(|| ApiError::not_found("ticket", id))
}

/// Tickets with the names of their contacts.
async fn views(pool: &PgPool, tickets: Vec<Ticket>) -> Result<Vec<proto::Ticket>, ApiError> {
    let contacts: Vec<Uuid> = tickets.iter().map(|ticket| ticket.contact_id).collect();
    let names: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT id, display_name FROM tickets.contact WHERE id = ANY($1)")
            .bind(&contacts)
            .fetch_all(pool)
            .await
            .map_err(solmu_db::DbError::from)?;
    let names: std::collections::HashMap<_, _> = names.into_iter().collect();
    Ok(tickets
        .iter()
        .map(|ticket| ticket.view(names.get(&ticket.contact_id).cloned().unwrap_or_default()))
        .collect())
}

struct MessageRow {
    id: Uuid,
    ticket_id: Uuid,
    sequence: i64,
    channel: i16,
    author_kind: i16,
    author_id: String,
    author_name: String,
    public: bool,
    body_text: String,
    body_html: String,
    attachments: serde_json::Value,
    created_at: SqlTimestamp,
    automatic_class: i16,
    delivery_state: i16,
    delivery_error: String,
    sender_verified: bool,
    external_id: String,
    notices: Vec<String>,
    quote_offset: Option<i32>,
    signature_offset: Option<i32>,
    side_conversation_id: Option<Uuid>,
}
solmu_db::from_row!(MessageRow {
    id,
    ticket_id,
    sequence,
    channel,
    author_kind,
    author_id,
    author_name,
    public,
    body_text,
    body_html,
    attachments,
    created_at,
    automatic_class,
    delivery_state,
    delivery_error,
    sender_verified,
    external_id,
    notices,
    quote_offset,
    signature_offset,
    side_conversation_id
});

impl From<MessageRow> for proto::Message {
    fn from(row: MessageRow) -> Self {
        Self {
            id: row.id.to_string(),
            ticket_id: row.ticket_id.to_string(),
            sequence: row.sequence,
            channel: row.channel.into(),
            author: Some(Actor {
                kind: row.author_kind.into(),
                id: row.author_id,
            }),
            author_name: row.author_name,
            public: row.public,
            text: row.body_text,
            html: row.body_html,
            attachments: attachments_from_json(&row.attachments),
            create_time: Some(solmu_bus::envelope::to_proto_time(row.created_at.to_jiff())),
            automatic_class: row.automatic_class.into(),
            delivery_state: row.delivery_state.into(),
            delivery_error: row.delivery_error,
            sender_verified: row.sender_verified
                || ![Kind::Customer, Kind::Expert]
                    .map(i32::from)
                    .contains(&row.author_kind.into()),
            external_id: row.external_id,
            notices: row.notices,
            quote_offset: row.quote_offset.and_then(|at| u32::try_from(at).ok()),
            signature_offset: row.signature_offset.and_then(|at| u32::try_from(at).ok()),
            side_conversation_id: row
                .side_conversation_id
                .map(|id| id.to_string())
                .unwrap_or_default(),
        }
    }
}

const MESSAGE_COLUMNS: &str = "id, ticket_id, sequence, channel, author_kind, author_id, author_name, public, \
    body_text, body_html, attachments, created_at, automatic_class, delivery_state, delivery_error, sender_verified, \
    external_id, notices, quote_offset, signature_offset, side_conversation_id";

/// A page of a ticket's messages, oldest first.
pub(crate) async fn messages(
    pool: &PgPool,
    request: &proto::ListMessagesRequest,
    max_page: u32,
) -> Result<proto::ListMessagesResponse, ApiError> {
    let ticket = super::uuid("ticket_id", &request.ticket_id)?;
    let size = page::size(request.page_size, 100, max_page)?;
    let after: i64 = page::decode(&request.ticket_id, &request.page_token)?.unwrap_or(0);
    let sql = format!(
        "SELECT {MESSAGE_COLUMNS} FROM tickets.message WHERE ticket_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"
    );
    let mut rows: Vec<MessageRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(ticket)
        .bind(after)
        .bind(size + 1)
        .fetch_all(pool)
        .await
        .map_err(solmu_db::DbError::from)?;
    let more = page::cut(&mut rows, size);
    let next_page_token = match rows.last().filter(|_| more) {
        Some(last) => page::encode(&request.ticket_id, last.sequence),
        None => String::new(),
    };
    Ok(proto::ListMessagesResponse {
        messages: rows.into_iter().map(Into::into).collect(),
        next_page_token,
    })
}

/// One message.
pub(crate) async fn message(pool: &PgPool, id: Uuid) -> Result<proto::Message, ApiError> {
    let sql = format!("SELECT {MESSAGE_COLUMNS} FROM tickets.message WHERE id = $1");
    let row: Option<MessageRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(pool)
        .await
        .map_err(solmu_db::DbError::from)?;
    row.map(Into::into)
        .ok_or_else(|| ApiError::not_found("message", &id))
}

/// The words of the first message of each ticket, for routing rules.
pub(crate) async fn routing_texts(
    pool: &PgPool,
    tickets: &[Uuid],
) -> Result<Vec<proto::RoutingText>, ApiError> {
    let rows: Vec<(Uuid, String, String, String)> = sqlx::query_as(
        "SELECT ticket_id, subject, body_text, address FROM tickets.message WHERE ticket_id = ANY($1) AND sequence = 1",
    )
    .bind(tickets)
    .fetch_all(pool)
    .await
    .map_err(solmu_db::DbError::from)?;
    let texts = rows
        .into_iter()
        .map(|(ticket, subject, text, sender)| proto::RoutingText {
            ticket_id: ticket.to_string(),
            subject,
            text,
            sender,
        });
    Ok(texts.collect())
}

//! Reading tickets and messages: by urgency, by filter, by page.

use std::collections::{HashMap, HashSet};

use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_proto::{
    ticket::v1 as proto,
    types::v1::{Actor, actor::Kind},
};
use solmu_runtime::{ApiError, access::Caller, page, request::uuid};
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder, Row as _, postgres::PgRow};
use uuid::Uuid;

use crate::{
    attachments::attachments_from_json,
    context::Context,
    model::{COLUMNS, Row, Ticket},
    search::{Selection, Written},
    views,
};

/// The order of a list. Each is that of an index, so that a page costs the same wherever it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By the next due time; those without one last.
    Urgency,
    /// By when they were opened.
    Oldest,
    /// By when they were opened, the last one first.
    Newest,
}

impl Order {
    /// Reads `order_by`.
    pub fn read(order_by: &str) -> Result<Self, ApiError> {
        let words: Vec<&str> = order_by.split_whitespace().collect();
        match words.as_slice() {
            [] => Ok(Self::Urgency),
            ["create_time"] | ["create_time", "asc"] => Ok(Self::Oldest),
            ["create_time", "desc"] => Ok(Self::Newest),
            _ => Err(ApiError::invalid(
                "order_by",
                "empty, \"create_time\" or \"create_time desc\"",
            )),
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Urgency => "coalesce(ticket.next_due, 'infinity')",
            Self::Oldest | Self::Newest => "ticket.created_at",
        }
    }

    fn position(self, ticket: &Ticket) -> Position {
        let at = match self {
            Self::Urgency => ticket.next_due,
            Self::Oldest | Self::Newest => Some(ticket.created_at),
        };
        (at.map(jiff::Timestamp::as_microsecond), ticket.id)
    }
}

/// Where a page of tickets ended: time in microseconds (none: last), then id.
type Position = (Option<i64>, Uuid);

/// A page of tickets.
pub async fn tickets(
    context: &Context,
    request: &proto::ListTicketsRequest,
    caller: Option<&Caller>,
) -> Result<proto::ListTicketsResponse, ApiError> {
    let size = page::size(request.page_size, 50, context.config.max_page_size)?;
    let request = views::listed(context, request, caller).await?;
    let order = Order::read(&request.order_by)?;
    let written = Written {
        filter: &request.filter,
        time_zone: &request.time_zone,
        caller,
    };
    // What a token is bound to; a view that is changed ends the lists that were made by it.
    let asked = match (order, request.time_zone.as_str()) {
        (Order::Urgency, "") => request.filter.clone(),
        (_, zone) => format!("{} {} {zone}", request.filter, request.order_by),
    };
    let after: Option<Position> = page::decode(&asked, &request.page_token)?;
    let selection = Selection::read(context, written).await?;
    let pool = context.db.reads();
    let mut tickets: Vec<Named> = page_of(pool, NAMED, &selection, order, after, size + 1).await?;
    let more = page::cut(&mut tickets, size);
    let next_page_token = match tickets.last().filter(|_| more) {
        Some(last) => page::encode(&asked, order.position(&last.ticket)),
        None => String::new(),
    };
    Ok(proto::ListTicketsResponse {
        tickets: tickets.into_iter().map(Named::view).collect(),
        next_page_token,
    })
}

/// A ticket, and what its contact is called.
struct Named {
    ticket: Ticket,
    contact_name: String,
}

/// Behind the columns of a ticket: one statement in place of two.
const NAMED: &str = ", (SELECT display_name FROM tickets.contact WHERE contact.id = ticket.contact_id) AS contact_name";

impl FromRow<'_, PgRow> for Named {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let ticket = Ticket::try_from(Row::from_row(row)?);
        Ok(Self {
            ticket: ticket.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            contact_name: row
                .try_get::<Option<String>, _>("contact_name")?
                .unwrap_or_default(),
        })
    }
}

impl Named {
    fn view(self) -> proto::Ticket {
        self.ticket.view(self.contact_name)
    }
}

/// The first `limit` tickets of a selection, after a position. For every list of tickets, and for bulk changes.
pub async fn selected(
    pool: &PgPool,
    selection: &Selection,
    order: Order,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Ticket>, ApiError> {
    let rows: Vec<Row> = page_of(pool, "", selection, order, after, limit).await?;
    Ok(rows
        .into_iter()
        .map(Ticket::try_from)
        .collect::<Result<Vec<_>, _>>()?)
}

async fn page_of<T>(
    pool: &PgPool,
    more: &'static str,
    selection: &Selection,
    order: Order,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<T>, ApiError>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let mut query = page_query(["", more], selection, order, after, limit)?;
    query
        .build_query_as()
        .persistent(selection.is_kept())
        .fetch_all(pool)
        .await
        .map_err(|error| solmu_db::DbError::from(error).into())
}

/// The query of [`selected`]. `around`: before it, for `EXPLAIN`, and more columns.
pub(crate) fn page_query(
    around: [&str; 2],
    selection: &Selection,
    order: Order,
    after: Option<Position>,
    limit: i64,
) -> Result<QueryBuilder<Postgres>, ApiError> {
    let [before, more] = around;
    let mut query: QueryBuilder<Postgres> = QueryBuilder::new(format!(
        "{before}SELECT {COLUMNS}{more} FROM tickets.ticket WHERE "
    ));
    selection.push(&mut query)?;
    let (direction, sign) = match order {
        Order::Urgency | Order::Oldest => ("ASC", ">"),
        Order::Newest => ("DESC", "<"),
    };
    let key = order.key();
    if let Some((at, id)) = after {
        query.push(format!(" AND ({key}, ticket.id) {sign} ("));
        match at {
            Some(at) => {
                let at = jiff::Timestamp::from_microsecond(at).map_err(ApiError::internal)?;
                query.push_bind(at.to_sqlx());
            }
            None => {
                query.push("'infinity'::timestamptz");
            }
        }
        query.push(", ").push_bind(id).push(")");
    }
    query
        .push(format!(
            " ORDER BY {key} {direction}, ticket.id {direction} LIMIT "
        ))
        .push_bind(limit);
    Ok(query)
}

/// Which of `ids` are in a selection.
pub(crate) async fn selected_of(
    pool: &PgPool,
    selection: &Selection,
    ids: &[Uuid],
) -> Result<HashSet<Uuid>, ApiError> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let mut query: QueryBuilder<Postgres> =
        QueryBuilder::new("SELECT id FROM tickets.ticket WHERE id = ANY(");
    query.push_bind(ids).push(") AND ");
    selection.push(&mut query)?;
    let found: Vec<Uuid> = query
        .build_query_scalar()
        .persistent(selection.is_every_team())
        .fetch_all(pool)
        .await
        .map_err(solmu_db::DbError::from)?;
    Ok(found.into_iter().collect())
}

/// Tickets that stand for themselves, by id.
pub async fn by_id(pool: &PgPool, ids: &[Uuid]) -> Result<HashMap<Uuid, proto::Ticket>, ApiError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT {COLUMNS}{NAMED} FROM tickets.ticket WHERE id = ANY($1) AND merged_into IS NULL"
    );
    let found: Vec<Named> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(ids)
        .fetch_all(pool)
        .await
        .map_err(solmu_db::DbError::from)?;
    Ok(found
        .into_iter()
        .map(|it| (it.ticket.id, it.view()))
        .collect())
}

/// Those of `ids` that are in a selection.
pub async fn among(
    pool: &PgPool,
    selection: &Selection,
    ids: &[Uuid],
) -> Result<Vec<Ticket>, ApiError> {
    let mut query: QueryBuilder<Postgres> = QueryBuilder::new(format!(
        "SELECT {COLUMNS} FROM tickets.ticket WHERE id = ANY("
    ));
    query.push_bind(ids).push(") AND ");
    selection.push(&mut query)?;
    let rows: Vec<Row> = query
        .build_query_as()
        .persistent(selection.is_every_team())
        .fetch_all(pool)
        .await
        .map_err(solmu_db::DbError::from)?;
    Ok(rows
        .into_iter()
        .map(Ticket::try_from)
        .collect::<Result<Vec<_>, _>>()?)
}

/// One ticket, by id or by `#number`.
pub async fn ticket(pool: &PgPool, id: &str) -> Result<proto::Ticket, ApiError> {
    let found: Option<Named> = one(NAMED, id)?
        .build_query_as()
        .fetch_optional(pool)
        .await
        .map_err(solmu_db::DbError::from)?;
    found
        .map(Named::view)
        .ok_or_else(|| ApiError::not_found("ticket", id))
}

/// One ticket, by id or by `#number`, and what it has beside itself.
pub async fn ticket_with_kin(pool: &PgPool, id: &str) -> Result<(proto::Ticket, Kin), ApiError> {
    let found = one(&format!("{NAMED}{KIN}"), id)?
        .build()
        .fetch_optional(pool)
        .await
        .map_err(solmu_db::DbError::from)?;
    let row = found.ok_or_else(|| ApiError::not_found("ticket", id))?;
    let (ticket, kin) = (Named::from_row(&row), Kin::from_row(&row));
    let ticket = ticket.map_err(solmu_db::DbError::from)?;
    Ok((ticket.view(), kin.map_err(solmu_db::DbError::from)?))
}

/// Reads one ticket with further columns.
fn one(more: &str, id: &str) -> Result<QueryBuilder<Postgres>, ApiError> {
    let by_number = id.strip_prefix('#').map(|number| {
        number
            .parse::<i64>()
            .map_err(|_| ApiError::invalid("id", format!("'{id}' is not a ticket number")))
    });
    let mut query: QueryBuilder<Postgres> =
        QueryBuilder::new(format!("SELECT {COLUMNS}{more} FROM tickets.ticket WHERE "));
    match by_number.transpose()? {
        Some(number) => query.push("number = ").push_bind(number),
        None => query.push("id = ").push_bind(uuid("id", id)?),
    };
    Ok(query)
}

/// What a ticket has beside itself. Most have nothing of it: one look in place of three.
#[expect(
    clippy::struct_excessive_bools,
    reason = "four answers of one statement"
)]
pub struct Kin {
    /// It is linked with others.
    pub linked: bool,
    /// Somebody follows it.
    pub followed: bool,
    has_children: bool,
    /// Others became part of it, whose sub-tickets are its own.
    merged: bool,
}
solmu_db::from_row!(Kin {
    linked,
    followed,
    has_children,
    merged
});

/// Behind the columns of a ticket: one statement in place of two.
const KIN: &str = ", EXISTS (SELECT 1 FROM tickets.ticket_link WHERE ticket_id = ticket.id)
        OR EXISTS (SELECT 1 FROM tickets.ticket_link WHERE other_id = ticket.id) AS linked,
    EXISTS (SELECT 1 FROM tickets.follower WHERE ticket_id = ticket.id) AS followed,
    EXISTS (SELECT 1 FROM tickets.ticket AS child WHERE child.parent_id = ticket.id) AS has_children,
    EXISTS (SELECT 1 FROM tickets.ticket AS part WHERE part.merged_into = ticket.id) AS merged";

impl Kin {
    /// Whether it may have sub-tickets.
    pub const fn may_be_parent(&self) -> bool {
        self.has_children || self.merged
    }
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
    mentions: Vec<Uuid>,
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
    side_conversation_id,
    mentions
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
            mentioned_agent_ids: row.mentions.iter().map(Uuid::to_string).collect(),
        }
    }
}

const MESSAGE_COLUMNS: &str = "id, ticket_id, sequence, channel, author_kind, author_id, author_name, public, \
    body_text, body_html, attachments, created_at, automatic_class, delivery_state, delivery_error, sender_verified, \
    external_id, notices, quote_offset, signature_offset, side_conversation_id, mentions";

/// A page of a ticket's messages, oldest first.
pub async fn messages(
    pool: &PgPool,
    request: &proto::ListMessagesRequest,
    max_page: u32,
) -> Result<proto::ListMessagesResponse, ApiError> {
    let ticket = uuid("ticket_id", &request.ticket_id)?;
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
pub async fn message(pool: &PgPool, id: Uuid) -> Result<proto::Message, ApiError> {
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
pub async fn routing_texts(
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

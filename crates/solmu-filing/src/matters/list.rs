//! Reading what was found.

use solmu_bus::envelope::to_proto_time;
use solmu_db::SqlTimestamp;
use solmu_proto::{
    ticket::v1::{
        self as proto,
        matter_proposal::{Ground, State},
    },
    types::v1::Actor,
};
use solmu_runtime::{ApiError, access::Visibility, page};
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use super::PROPOSED;
use crate::error::TicketError;

/// A row, with what is shown of its tickets.
#[derive(Debug)]
pub struct Row {
    pub(super) id: Uuid,
    pub(super) state: i16,
    message_id: Uuid,
    /// The ticket that was there.
    pub ticket_id: Uuid,
    /// The ticket that the message opened.
    pub opened_id: Option<Uuid>,
    ground: String,
    score: i16,
    proven: bool,
    reference: String,
    channel: i16,
    created_at: SqlTimestamp,
    decided_at: Option<SqlTimestamp>,
    decided_kind: i16,
    decided_by: String,
    number: i64,
    subject: String,
    opened_number: Option<i64>,
    opened_subject: Option<String>,
}
solmu_db::from_row!(Row {
    id,
    state,
    message_id,
    ticket_id,
    opened_id,
    ground,
    score,
    proven,
    reference,
    channel,
    created_at,
    decided_at,
    decided_kind,
    decided_by,
    number,
    subject,
    opened_number,
    opened_subject
});

const SELECT: &str =
    "SELECT matter.*, target.number, target.subject, opened.number AS opened_number,
        opened.subject AS opened_subject
     FROM tickets.matter JOIN tickets.ticket AS target ON target.id = matter.ticket_id
     LEFT JOIN tickets.ticket AS opened ON opened.id = matter.opened_id";

impl From<Row> for proto::MatterProposal {
    fn from(row: Row) -> Self {
        let ground = match row.ground.as_str() {
            "number" => Ground::Number,
            "reference" => Ground::Reference,
            "words" => Ground::Words,
            _ => Ground::Unspecified,
        };
        let state = State::try_from(i32::from(row.state)).unwrap_or_default();
        Self {
            id: row.id.to_string(),
            state: state.into(),
            message_id: row.message_id.to_string(),
            ticket_id: row.ticket_id.to_string(),
            ticket_number: row.number,
            subject: row.subject,
            opened_ticket_id: row.opened_id.map(|id| id.to_string()).unwrap_or_default(),
            opened_ticket_number: row.opened_number.unwrap_or(0),
            opened_subject: row.opened_subject.unwrap_or_default(),
            ground: ground.into(),
            score: row.score.into(),
            proven: row.proven,
            reference: row.reference,
            channel: row.channel.into(),
            create_time: Some(to_proto_time(row.created_at.to_jiff())),
            decided_by: row.decided_at.map(|_| Actor {
                kind: row.decided_kind.into(),
                id: row.decided_by,
            }),
            decide_time: row.decided_at.map(|at| to_proto_time(at.to_jiff())),
        }
    }
}

/// One row; locked if it is `held`.
pub async fn read(tx: &mut PgConnection, id: Uuid, held: bool) -> Result<Row, TicketError> {
    let lock = if held { " FOR UPDATE OF matter" } else { "" };
    let sql = format!("{SELECT} WHERE matter.id = $1{lock}");
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(tx)
        .await?;
    row.ok_or_else(|| TicketError::Unknown {
        what: "matter proposal",
        id: id.to_string(),
    })
}

/// A page of what waits, or of what is known of a ticket. Nobody is shown half of a pair.
pub async fn page(
    pool: &PgPool,
    ticket: Option<Uuid>,
    request: &proto::ListMatterProposalsRequest,
    visibility: &Visibility,
    max_page: u32,
) -> Result<proto::ListMatterProposalsResponse, ApiError> {
    let size = page::size(request.page_size, 50, max_page)?;
    let asked = format!("{ticket:?}");
    let after: Option<(i64, Uuid)> = page::decode(&asked, &request.page_token)?;
    let mut query: QueryBuilder<Postgres> = QueryBuilder::new(SELECT);
    match ticket {
        Some(ticket) => {
            query.push(" WHERE (matter.ticket_id = ").push_bind(ticket);
            query
                .push(" OR matter.opened_id = ")
                .push_bind(ticket)
                .push(")");
        }
        None => {
            query.push(format!(" WHERE matter.state = {PROPOSED}"));
        }
    }
    for side in ["ticket_id", "opened_id"] {
        query.push(format!(
            " AND (matter.{side} IS NULL OR EXISTS (SELECT 1 FROM tickets.ticket WHERE ticket.id = matter.{side}"
        ));
        visibility.push(&mut query);
        query.push("))");
    }
    if let Some((at, id)) = after {
        let at = jiff::Timestamp::from_microsecond(at).map_err(ApiError::internal)?;
        query.push(" AND (matter.created_at, matter.id) < (");
        query.push_bind(solmu_db::ToSqlx::to_sqlx(at)).push(", ");
        query.push_bind(id).push(")");
    }
    query.push(" ORDER BY matter.created_at DESC, matter.id DESC LIMIT ");
    query.push_bind(size + 1);
    let rows = query.build_query_as().fetch_all(pool).await;
    let mut rows: Vec<Row> = rows.map_err(solmu_db::DbError::from)?;
    let more = page::cut(&mut rows, size);
    let next_page_token = match rows.last().filter(|_| more) {
        Some(last) => {
            let at = last.created_at.to_jiff().as_microsecond();
            page::encode(&asked, (at, last.id))
        }
        None => String::new(),
    };
    Ok(proto::ListMatterProposalsResponse {
        proposals: rows.into_iter().map(Into::into).collect(),
        next_page_token,
    })
}

//! Reading tasks.

use solmu_bus::envelope::to_proto_time;
use solmu_db::SqlTimestamp;
use solmu_proto::ticket::v1 as proto;
use solmu_runtime::{ApiError, access::Visibility, page, request::optional_uuid};
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::error::TicketError;

/// A task as it is stored, with the number of its ticket.
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) ticket_id: Uuid,
    number: i64,
    pub(super) title: String,
    pub(super) assignee_id: Option<Uuid>,
    pub(super) due_at: Option<SqlTimestamp>,
    pub(super) remind_at: Option<SqlTimestamp>,
    reminded_at: Option<SqlTimestamp>,
    pub(super) done_at: Option<SqlTimestamp>,
    done_by: String,
    created_by: String,
    pub(super) version: i64,
    created_at: SqlTimestamp,
    updated_at: SqlTimestamp,
}
solmu_db::from_row!(Row {
    id,
    ticket_id,
    number,
    title,
    assignee_id,
    due_at,
    remind_at,
    reminded_at,
    done_at,
    done_by,
    created_by,
    version,
    created_at,
    updated_at
});

impl Row {
    /// The version as an AIP-154 etag.
    pub(super) fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

impl From<Row> for proto::Task {
    fn from(row: Row) -> Self {
        let time = |at: Option<SqlTimestamp>| at.map(|at| to_proto_time(at.to_jiff()));
        Self {
            id: row.id.to_string(),
            ticket_id: row.ticket_id.to_string(),
            ticket_number: row.number,
            etag: row.etag(),
            title: row.title,
            assignee_id: row.assignee_id.map(|id| id.to_string()).unwrap_or_default(),
            due_time: time(row.due_at),
            remind_time: time(row.remind_at),
            reminded_time: time(row.reminded_at),
            done: row.done_at.is_some(),
            done_time: time(row.done_at),
            created_by: row.created_by,
            done_by: row.done_by,
            create_time: time(Some(row.created_at)),
            update_time: time(Some(row.updated_at)),
        }
    }
}

const SELECT: &str = "SELECT task.*, ticket.number FROM tickets.task JOIN tickets.ticket ON ticket.id = task.ticket_id";

/// One task; locked if it is `held`.
pub(super) async fn read(tx: &mut PgConnection, id: Uuid, held: bool) -> Result<Row, TicketError> {
    let lock = if held { " FOR UPDATE OF task" } else { "" };
    let sql = format!("{SELECT} WHERE task.id = $1{lock}");
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(tx)
        .await?;
    row.ok_or_else(|| TicketError::Unknown {
        what: "task",
        id: id.to_string(),
    })
}

/// A page of the tasks of a ticket, of an agent, or of both.
pub async fn list(
    pool: &PgPool,
    ticket: Option<Uuid>,
    request: &proto::ListTasksRequest,
    visibility: &Visibility,
    max_page: u32,
) -> Result<proto::ListTasksResponse, ApiError> {
    let assignee = optional_uuid("assignee_id", &request.assignee_id)?;
    let size = page::size(request.page_size, 50, max_page)?;
    let asked = format!("{ticket:?} {assignee:?} {}", request.show_done);
    let after: Option<(Option<i64>, Uuid)> = page::decode(&asked, &request.page_token)?;
    let mut query: QueryBuilder<Postgres> = QueryBuilder::new(SELECT);
    query.push(" WHERE true");
    if let Some(ticket) = ticket {
        query
            .push(" AND task.ticket_id = ANY(ARRAY(WITH RECURSIVE family AS (SELECT ")
            .push_bind(ticket)
            .push(
                "::uuid AS id UNION ALL SELECT source.id FROM family
                 JOIN tickets.ticket AS source ON source.merged_into = family.id) SELECT id FROM family))",
            );
    }
    visibility.push(&mut query);
    if let Some(assignee) = assignee {
        query.push(" AND task.assignee_id = ").push_bind(assignee);
    }
    if !request.show_done {
        query.push(" AND task.done_at IS NULL");
    }
    match after {
        Some((Some(due), id)) => {
            let due = jiff::Timestamp::from_microsecond(due).map_err(ApiError::internal)?;
            let due = solmu_db::ToSqlx::to_sqlx(due);
            query.push(" AND (task.due_at IS NULL OR (task.due_at, task.id) > (");
            query.push_bind(due).push(", ").push_bind(id).push("))");
        }
        Some((None, id)) => {
            query
                .push(" AND task.due_at IS NULL AND task.id > ")
                .push_bind(id);
        }
        None => {}
    }
    query
        .push(" ORDER BY task.due_at ASC NULLS LAST, task.id LIMIT ")
        .push_bind(size + 1);
    let rows = query.build_query_as().fetch_all(pool).await;
    let mut rows: Vec<Row> = rows.map_err(solmu_db::DbError::from)?;
    let more = page::cut(&mut rows, size);
    let next_page_token = match rows.last().filter(|_| more) {
        Some(last) => {
            let due = last.due_at.map(|at| at.to_jiff().as_microsecond());
            page::encode(&asked, (due, last.id))
        }
        None => String::new(),
    };
    Ok(proto::ListTasksResponse {
        tasks: rows.into_iter().map(Into::into).collect(),
        next_page_token,
    })
}

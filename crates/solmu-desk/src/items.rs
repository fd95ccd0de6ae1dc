//! Canned answers, macros and services as they are kept: one table and one set of rules for all.
//!
//! An item is everybody's, a team's or one agent's. Admins look after the first two, agents after their own. What a
//! caller may not see is not there for them.

use prost::Message;
use solmu_bus::envelope::to_proto_time;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_domain::ids::AgentId;
use solmu_runtime::{
    ApiError,
    access::{Caller, Role},
    api_error::Violation,
    page,
    request::{optional_uuid, uuid},
};
use solmu_tickets::{TicketError, desk::Named};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::context::Context;

/// Longest name, in bytes.
const MAX_NAME: usize = 200;
/// Items in a page, if the caller does not say how many.
const PAGE: i64 = 50;

/// What stands in columns, of any item.
pub(crate) struct Head<'a> {
    pub(crate) id: &'a mut String,
    pub(crate) name: &'a mut String,
    pub(crate) team_id: &'a mut String,
    pub(crate) agent_id: &'a mut String,
    pub(crate) etag: &'a mut String,
    pub(crate) created_by: &'a mut String,
    pub(crate) create_time: &'a mut Option<prost_types::Timestamp>,
    pub(crate) update_time: &'a mut Option<prost_types::Timestamp>,
}

/// A canned answer, a macro or a service of the catalogue.
pub(crate) trait Item: Message + Default + Clone {
    /// In the column.
    const KIND: i16;
    /// For people.
    const RESOURCE: &'static str;
    /// Its field in requests.
    const FIELD: &'static str;
    /// What stands in columns.
    fn head(&mut self) -> Head<'_>;
    /// What is wrong with the rest.
    fn faults(&self) -> Vec<Violation>;
    /// The agents and teams that the rest names.
    fn named(&self) -> Vec<Named> {
        Vec::new()
    }
}

/// An agent and a team in fields of `place`, where they are set and can be read.
pub(crate) fn named(place: &str, (field, agent): (&str, &str), team: &str) -> Vec<Named> {
    let (agent, team) = (Uuid::parse_str(agent).ok(), Uuid::parse_str(team).ok());
    let (agent_field, team_field) = (format!("{place}.{field}"), format!("{place}.team_id"));
    Named::owner((agent, &agent_field), (team, &team_field))
}

/// All agents and teams that an item names: whose it is, and the rest.
fn all_named<I: Item>(item: &I) -> Vec<Named> {
    let mut all = item.named();
    let mut item = item.clone();
    let head = item.head();
    all.extend(named(I::FIELD, ("agent_id", head.agent_id), head.team_id));
    all
}

/// Refuses an item that names who is not there, but for those of `before`.
async fn check_named<I: Item>(
    context: &Context,
    item: &I,
    before: Option<&I>,
) -> Result<(), ApiError> {
    let known = before.map(all_named).unwrap_or_default();
    let mut new = all_named(item);
    new.retain(|it| !known.contains(it));
    let strangers = context.hands.strangers(&new).await;
    if strangers.is_empty() {
        return Ok(());
    }
    Err(ApiError::InvalidArgument {
        violations: strangers.violations(),
    })
}

/// The fields that every item has, as [`Item::head`].
macro_rules! head {
    () => {
        fn head(&mut self) -> crate::items::Head<'_> {
            crate::items::Head {
                id: &mut self.id,
                name: &mut self.name,
                team_id: &mut self.team_id,
                agent_id: &mut self.agent_id,
                etag: &mut self.etag,
                created_by: &mut self.created_by,
                create_time: &mut self.create_time,
                update_time: &mut self.update_time,
            }
        }
    };
}
pub(crate) use head;

struct Row {
    id: Uuid,
    name: String,
    team_id: Option<Uuid>,
    agent_id: Option<Uuid>,
    content: Vec<u8>,
    created_by: String,
    created_at: SqlTimestamp,
    updated_at: SqlTimestamp,
    version: i64,
}
solmu_db::from_row!(Row {
    id,
    name,
    team_id,
    agent_id,
    content,
    created_by,
    created_at,
    updated_at,
    version
});
const COLUMNS: &str =
    "id, name, team_id, agent_id, content, created_by, created_at, updated_at, version";

impl Row {
    fn item<I: Item>(self) -> Result<I, ApiError> {
        let mut item = I::decode(self.content.as_slice()).map_err(ApiError::internal)?;
        let text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        let head = item.head();
        *head.id = self.id.to_string();
        *head.name = self.name;
        *head.team_id = text(self.team_id);
        *head.agent_id = text(self.agent_id);
        *head.etag = format!("\"{}\"", self.version);
        *head.created_by = self.created_by;
        *head.create_time = Some(to_proto_time(self.created_at.to_jiff()));
        *head.update_time = Some(to_proto_time(self.updated_at.to_jiff()));
        Ok(item)
    }
}

/// An item in the parts that are stored.
struct Parts {
    name: String,
    team: Option<Uuid>,
    agent: Option<Uuid>,
    content: Vec<u8>,
    etag: String,
    id: String,
}

/// Takes an item apart, if it is a good one and the caller may look after it.
fn parts<I: Item>(item: Option<I>, caller: &Caller) -> Result<Parts, ApiError> {
    let mut item = item.ok_or_else(|| ApiError::invalid(I::FIELD, "is missing"))?;
    let mut violations = item.faults();
    let head = item.head();
    let (name, id, etag) = (take(head.name), take(head.id), take(head.etag));
    let team = optional_uuid("team_id", &take(head.team_id))?;
    let agent = optional_uuid("agent_id", &take(head.agent_id))?;
    take(head.created_by);
    (*head.create_time, *head.update_time) = (None, None);
    if name.trim().is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
        let why = format!("1 to {MAX_NAME} bytes, without control characters");
        violations.push(Violation::new(format!("{}.name", I::FIELD), why));
    }
    if !violations.is_empty() {
        return Err(ApiError::InvalidArgument { violations });
    }
    may_keep(caller, agent)?;
    Ok(Parts {
        name,
        team,
        agent,
        content: item.encode_to_vec(),
        etag,
        id,
    })
}

fn take(text: &mut String) -> String {
    std::mem::take(text)
}

/// Whether the caller looks after items of this agent, or of everybody or a team if it is nobody's.
fn may_keep(caller: &Caller, agent: Option<Uuid>) -> Result<(), ApiError> {
    let me = caller.agent_id.map(AgentId::as_uuid);
    if caller.role == Role::Admin || (agent.is_some() && agent == me) {
        return Ok(());
    }
    Err(ApiError::PermissionDenied {
        reason: "NOT_YOURS",
        message: "agents look after their own; those of teams and of everybody are an admin's"
            .to_owned(),
    })
}

/// Values for `(agent_id IS NULL OR $admin OR agent_id = $me) AND (team_id IS NULL OR $teams IS NULL OR team_id = ANY)`.
fn sight(caller: &Caller) -> (bool, Option<Uuid>, Option<Vec<Uuid>>) {
    let (teams, _) = caller.visibility().binds();
    let me = caller.agent_id.map(AgentId::as_uuid);
    (caller.role != Role::Agent, me, teams)
}

/// Adds an item; the same request id of the same caller adds it once.
pub(crate) async fn create<I: Item>(
    context: &Context,
    caller: &Caller,
    by: &str,
    item: Option<I>,
    request_id: Option<String>,
) -> Result<I, ApiError> {
    let wanted = item.clone();
    let parts = parts(item, caller)?;
    if let Some(wanted) = &wanted {
        check_named(context, wanted, None).await?;
    }
    let id = context.new_id();
    let asked = (
        parts.name.clone(),
        parts.team,
        parts.agent,
        parts.content.clone(),
    );
    let sql = format!(
        "INSERT INTO tickets.desk_item (id, kind, name, team_id, agent_id, content, created_by, created_at, updated_at,
            request_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)
         ON CONFLICT (kind, created_by, request_id) WHERE request_id IS NOT NULL
            DO UPDATE SET request_id = excluded.request_id RETURNING {COLUMNS}"
    );
    let row: Row = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .bind(I::KIND)
        .bind(parts.name)
        .bind(parts.team)
        .bind(parts.agent)
        .bind(parts.content)
        .bind(by)
        .bind(context.clock.now().to_sqlx())
        .bind(request_id)
        .fetch_one(context.db.pool())
        .await
        .map_err(TicketError::from)?;
    // One that was changed since no longer says what was asked.
    if row.id != id
        && row.version == 1
        && asked
            != (
                row.name.clone(),
                row.team_id,
                row.agent_id,
                row.content.clone(),
            )
    {
        return Err(reused());
    }
    row.item()
}

/// Something else under a request id that was used.
pub(crate) fn reused() -> ApiError {
    let why = "the request id was used for something else: take a new one";
    TicketError::refused("REQUEST_ID_REUSED", why).into()
}

/// One item that the caller sees.
pub(crate) async fn get<I: Item>(
    connection: &mut PgConnection,
    caller: &Caller,
    id: &str,
) -> Result<I, ApiError> {
    let (all, me, teams) = sight(caller);
    let sql = format!(
        "SELECT {COLUMNS} FROM tickets.desk_item WHERE id = $1 AND kind = $2
            AND (agent_id IS NULL OR $3 OR agent_id = $4)
            AND (team_id IS NULL OR $5::uuid[] IS NULL OR team_id = ANY($5))"
    );
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(uuid("id", id)?)
        .bind(I::KIND)
        .bind(all)
        .bind(me)
        .bind(teams)
        .fetch_optional(connection)
        .await
        .map_err(TicketError::from)?;
    row.ok_or_else(|| ApiError::not_found(I::RESOURCE, id))?
        .item()
}

/// Replaces all of an item.
pub(crate) async fn update<I: Item>(
    context: &Context,
    caller: &Caller,
    item: Option<I>,
) -> Result<I, ApiError> {
    let wanted = item.clone();
    let parts = parts(item, caller)?;
    let known: I = own(context, caller, &parts.id).await?;
    if let Some(wanted) = &wanted {
        check_named(context, wanted, Some(&known)).await?;
    }
    let sql = format!(
        "UPDATE tickets.desk_item SET name = $3, team_id = $4, agent_id = $5, content = $6, updated_at = $7,
            version = version + 1 WHERE id = $1 AND kind = $2 AND ($8 = '' OR $8 = '\"' || version || '\"')
         RETURNING {COLUMNS}"
    );
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(uuid("id", &parts.id)?)
        .bind(I::KIND)
        .bind(parts.name)
        .bind(parts.team)
        .bind(parts.agent)
        .bind(parts.content)
        .bind(context.clock.now().to_sqlx())
        .bind(parts.etag)
        .fetch_optional(context.db.pool())
        .await
        .map_err(TicketError::from)?;
    row.ok_or_else(|| stale(known))?.item()
}

/// Removes an item.
pub(crate) async fn delete<I: Item>(
    context: &Context,
    caller: &Caller,
    id: &str,
    etag: &str,
) -> Result<(), ApiError> {
    let known: I = own(context, caller, id).await?;
    let gone = sqlx::query(
        "DELETE FROM tickets.desk_item WHERE id = $1 AND kind = $2 AND ($3 = '' OR $3 = '\"' || version || '\"')",
    )
    .bind(uuid("id", id)?)
    .bind(I::KIND)
    .bind(etag)
    .execute(context.db.pool())
    .await
    .map_err(TicketError::from)?;
    if gone.rows_affected() == 0 {
        return Err(stale(known));
    }
    Ok(())
}

/// The item as it is, if the caller looks after it.
async fn own<I: Item>(context: &Context, caller: &Caller, id: &str) -> Result<I, ApiError> {
    let mut connection = context.connection().await?;
    let mut known: I = get(&mut connection, caller, id).await?;
    may_keep(caller, optional_uuid("agent_id", known.head().agent_id)?)?;
    Ok(known)
}

fn stale<I: Item>(mut known: I) -> ApiError {
    ApiError::Aborted {
        reason: "ETAG_MISMATCH",
        message: format!(
            "the {} has changed since: it is at {}",
            I::RESOURCE,
            known.head().etag
        ),
    }
}

/// A page of items that the caller sees, by name, and the token of the next one. With `team`: only those for it.
pub(crate) async fn list<I: Item>(
    pool: &PgPool,
    caller: &Caller,
    team: &str,
    (asked, token, max): (i32, &str, u32),
) -> Result<(Vec<I>, String), ApiError> {
    let size = page::size(asked, PAGE, max)?;
    let after: Option<(String, Uuid)> = page::decode(team, token)?;
    let (all, me, teams) = sight(caller);
    let (name, id) = after.unzip();
    let sql = format!(
        "SELECT {COLUMNS} FROM tickets.desk_item WHERE kind = $1 AND (agent_id IS NULL OR $2 OR agent_id = $3)
            AND (team_id IS NULL OR $4::uuid[] IS NULL OR team_id = ANY($4))
            AND (team_id IS NULL OR $5::uuid IS NULL OR team_id = $5)
            AND ($6::text IS NULL OR (name, id) > ($6, $7)) ORDER BY name, id LIMIT $8"
    );
    let mut rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(I::KIND)
        .bind(all)
        .bind(me)
        .bind(teams)
        .bind(optional_uuid("team_id", team)?)
        .bind(name)
        .bind(id)
        .bind(size + 1)
        .fetch_all(pool)
        .await
        .map_err(TicketError::from)?;
    let more = page::cut(&mut rows, size);
    let next = rows.last().filter(|_| more);
    let next = next.map(|last| page::encode(team, (&last.name, last.id)));
    let items: Result<Vec<I>, _> = rows.into_iter().map(Row::item).collect();
    Ok((items?, next.unwrap_or_default()))
}

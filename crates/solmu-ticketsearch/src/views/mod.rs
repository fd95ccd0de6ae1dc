//! Saved views: filters under a name, of one person or of a team, with counts.
//!
//! Which teams there are and who is in them only the router knows; a view of a team is shown to whoever asks for that
//! team, and changed by who made it or by an admin. Agents who are bound to their teams make views for these alone.

mod count;
#[cfg(test)]
mod tests;

use solmu_bus::envelope::to_proto_time;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::ids::{AgentId, EventId as ViewId, TeamId};
use solmu_proto::ticket::v1 as proto;
use solmu_runtime::{
    ApiError,
    access::{Caller, Role, Visibility},
    page,
    request::{optional_uuid, uuid},
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    calls::checked_request_id,
    context::Context,
    list::Order,
    search::{Selection, Written},
    strangers::Named,
};

/// Longest name, in characters.
const MAX_NAME: usize = 100;
/// Views of one page, because each may be counted.
const PAGE: u32 = 100;
/// Teams of one list.
const MAX_TEAMS: usize = 100;

struct Row {
    id: Uuid,
    display_name: String,
    filter: String,
    order_by: String,
    time_zone: String,
    team_id: Option<Uuid>,
    created_by: String,
    version: i64,
    created_at: SqlTimestamp,
    updated_at: SqlTimestamp,
}
solmu_db::from_row!(Row {
    id,
    display_name,
    filter,
    order_by,
    time_zone,
    team_id,
    created_by,
    version,
    created_at,
    updated_at
});

const COLUMNS: &str = "id, display_name, filter, order_by, time_zone, team_id, created_by, version, created_at, updated_at";

impl From<Row> for proto::SavedView {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            display_name: row.display_name,
            filter: row.filter,
            order_by: row.order_by,
            time_zone: row.time_zone,
            team_id: row.team_id.map(|id| id.to_string()).unwrap_or_default(),
            created_by: row.created_by,
            create_time: Some(to_proto_time(row.created_at.to_jiff())),
            update_time: Some(to_proto_time(row.updated_at.to_jiff())),
            etag: etag(row.version),
            count: None,
        }
    }
}

fn etag(version: i64) -> String {
    format!("v{version}")
}

/// The name that stands for a caller: the agent, else the token.
fn owner(caller: &Caller) -> String {
    caller
        .agent_id
        .map_or_else(|| caller.token_id.clone(), |agent| agent.to_string())
}

/// Refuses what could not be listed later.
async fn check(
    context: &Context,
    view: &proto::SavedView,
    caller: &Caller,
) -> Result<(), ApiError> {
    let name = view.display_name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.contains(char::is_control) {
        let wanted = format!("1 to {MAX_NAME} printable characters");
        return Err(ApiError::invalid("display_name", wanted));
    }
    Order::read(&view.order_by)?;
    let mut named = caller.clone();
    // `me` is whoever uses the view; that the maker may be nobody in particular does not make it wrong.
    named
        .agent_id
        .get_or_insert(AgentId::from_uuid(Uuid::nil()));
    let written = Written {
        filter: &view.filter,
        time_zone: &view.time_zone,
        caller: Some(&named),
    };
    Selection::read(context, written).await.map(drop)
}

/// Whether a team is none of the caller's, who is neither admin nor manager. Where nobody says who is in which team,
/// agents without any are of all.
fn is_foreign(team: Uuid, caller: &Caller) -> bool {
    let team = TeamId::from_uuid(team);
    match caller.visibility() {
        Visibility::AllTeams { teams, .. } => {
            let agent = caller.role == Role::Agent && !caller.is_manager();
            agent && !teams.is_empty() && !teams.contains(&team)
        }
        seen => seen.excludes_team(Some(team)),
    }
}

/// The team whom a view is for; not one that the caller is not in, whose members would find it among theirs.
fn team_of(view: &proto::SavedView, caller: &Caller) -> Result<Option<Uuid>, ApiError> {
    let team = optional_uuid("team_id", &view.team_id)?;
    if team.is_some_and(|team| is_foreign(team, caller)) {
        return Err(ApiError::PermissionDenied {
            reason: "NOT_YOUR_TEAM",
            message: "you may make views for yourself and for your teams".to_owned(),
        });
    }
    Ok(team)
}

/// Lets one transaction at a time add to the views of a team, or of a person.
async fn lock(tx: &mut PgConnection, team: Option<Uuid>, owner: &str) -> Result<(), DbError> {
    let whose = team.map_or_else(|| owner.to_owned(), |team| team.to_string());
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('tickets.saved_view ' || $1, 0))")
        .bind(whose)
        .execute(tx)
        .await?;
    Ok(())
}

/// Refuses a team that is not there.
async fn check_team(context: &Context, team: Option<Uuid>) -> Result<(), ApiError> {
    let named = team.map(|id| Named::Team(id, "view.team_id".to_owned()));
    let strangers = context.roster.strangers(named.as_slice()).await;
    if strangers.is_empty() {
        return Ok(());
    }
    Err(ApiError::InvalidArgument {
        violations: strangers.violations(),
    })
}

/// Refuses the view that was just added if it is one more than `most`.
async fn bounded(
    tx: &mut PgConnection,
    (team, owner): (Option<Uuid>, &str),
    most: u32,
) -> Result<(), ApiError> {
    let count: i64 = sqlx::query_scalar(match team {
        Some(_) => "SELECT count(*) FROM tickets.saved_view WHERE team_id = $1 AND $2 <> ''",
        None => {
            "SELECT count(*) FROM tickets.saved_view
             WHERE team_id IS NULL AND $1::uuid IS NULL AND created_by = $2"
        }
    })
    .bind(team)
    .bind(owner)
    .fetch_one(tx)
    .await
    .map_err(DbError::from)?;
    if count > i64::from(most) {
        return Err(ApiError::FailedPrecondition {
            reason: "TOO_MANY_VIEWS",
            message: format!("there are {most} views already: delete some first"),
        });
    }
    Ok(())
}

/// Makes a view; with a request id that the caller used before, the one that was made then.
pub(crate) async fn create(
    context: &Context,
    request: &proto::CreateViewRequest,
    caller: &Caller,
) -> Result<proto::SavedView, ApiError> {
    let view = request.view.clone().unwrap_or_default();
    check(context, &view, caller).await?;
    let request_id = checked_request_id(request.request_id.clone())?;
    let sql = format!(
        "INSERT INTO tickets.saved_view
            (id, display_name, filter, order_by, time_zone, team_id, created_by, created_at, updated_at, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)
         ON CONFLICT (created_by, request_id) WHERE request_id IS NOT NULL DO UPDATE SET request_id = excluded.request_id
         RETURNING {COLUMNS}"
    );
    let team = team_of(&view, caller)?;
    check_team(context, team).await?;
    let most = context.config.desk.max_views;
    let row: Row = context
        .db
        .tx("search.create_view", |tx| {
            let (view, owner, sql) = (view.clone(), owner(caller), sql.clone());
            let request_id = request_id.clone();
            let id = ViewId::generate(context.clock.as_ref(), context.rng.as_ref());
            let now = context.clock.now();
            Box::pin(async move {
                lock(tx, team, &owner).await?;
                let row: Row = sqlx::query_as(sqlx::AssertSqlSafe(sql))
                    .bind(id.as_uuid())
                    .bind(view.display_name.trim())
                    .bind(&view.filter)
                    .bind(&view.order_by)
                    .bind(&view.time_zone)
                    .bind(team)
                    .bind(&owner)
                    .bind(now.to_sqlx())
                    .bind(request_id)
                    .fetch_one(&mut *tx)
                    .await
                    .map_err(DbError::from)?;
                bounded(tx, (team, &owner), most).await?;
                Ok::<_, ApiError>(row)
            })
        })
        .await?;
    Ok(row.into())
}

/// A page of views by name: the caller's own, and those of the teams asked for.
pub(crate) async fn list(
    context: &Context,
    request: &proto::ListViewsRequest,
    caller: &Caller,
) -> Result<proto::ListViewsResponse, ApiError> {
    let size = page::size(request.page_size, 50, PAGE)?;
    if request.team_ids.len() > MAX_TEAMS {
        let wanted = format!("at most {MAX_TEAMS} teams");
        return Err(ApiError::invalid("team_ids", wanted));
    }
    let teams: Vec<Uuid> = request
        .team_ids
        .iter()
        .map(|id| uuid("team_ids", id))
        .collect::<Result<_, _>>()?;
    let asked = request.team_ids.join(" ");
    let after: Option<(String, Uuid)> = page::decode(&asked, &request.page_token)?;
    let (name, id) = after.unwrap_or_default();
    let sql = format!(
        "SELECT {COLUMNS} FROM tickets.saved_view
         WHERE (team_id IS NULL AND created_by = $1 OR team_id = ANY($2)) AND (display_name, id) > ($3, $4)
         ORDER BY display_name, id LIMIT $5"
    );
    let mut rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(owner(caller))
        .bind(&teams)
        .bind(&name)
        .bind(id)
        .bind(size + 1)
        .fetch_all(context.db.pool())
        .await
        .map_err(DbError::from)?;
    let more = page::cut(&mut rows, size);
    let next_page_token = match rows.last().filter(|_| more) {
        Some(last) => page::encode(&asked, (last.display_name.clone(), last.id)),
        None => String::new(),
    };
    let mut views: Vec<proto::SavedView> = rows.into_iter().map(Into::into).collect();
    if request.with_counts {
        count::all(context, &mut views, caller).await?;
    }
    Ok(proto::ListViewsResponse {
        views,
        next_page_token,
    })
}

/// Changes what the mask names.
pub(crate) async fn update(
    context: &Context,
    request: &proto::UpdateViewRequest,
    caller: &Caller,
) -> Result<proto::SavedView, ApiError> {
    let asked = request.view.clone().unwrap_or_default();
    let found = changeable(context, &asked.id, &asked.etag, caller).await?;
    let (id, version, before) = (found.id, found.version, found.team_id);
    let maker = found.created_by.clone();
    let mut view = proto::SavedView::from(found);
    let all = ["display_name", "filter", "order_by", "time_zone", "team_id"].map(str::to_owned);
    let paths = request
        .update_mask
        .as_ref()
        .map_or(&[][..], |mask| &mask.paths);
    for path in if paths.is_empty() { &all } else { paths } {
        match path.as_str() {
            "display_name" => view.display_name.clone_from(&asked.display_name),
            "filter" => view.filter.clone_from(&asked.filter),
            "order_by" => view.order_by.clone_from(&asked.order_by),
            "time_zone" => view.time_zone.clone_from(&asked.time_zone),
            "team_id" => view.team_id.clone_from(&asked.team_id),
            other => {
                let what = format!("'{other}' cannot be changed");
                return Err(ApiError::invalid("update_mask", what));
            }
        }
    }
    check(context, &view, caller).await?;
    let sql = format!(
        "UPDATE tickets.saved_view SET display_name = $3, filter = $4, order_by = $5, time_zone = $6, team_id = $7,
            updated_at = $8, version = version + 1 WHERE id = $1 AND version = $2 RETURNING {COLUMNS}"
    );
    let mut team = optional_uuid("team_id", &view.team_id)?;
    if team != before {
        team = team_of(&view, caller)?;
        check_team(context, team).await?;
    }
    let most = context.config.desk.max_views;
    let row: Option<Row> = context
        .db
        .tx("search.update_view", |tx| {
            let (view, maker, sql) = (view.clone(), maker.clone(), sql.clone());
            let now = context.clock.now();
            Box::pin(async move {
                if team != before {
                    lock(tx, team, &maker).await?;
                }
                let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
                    .bind(id)
                    .bind(version)
                    .bind(view.display_name.trim())
                    .bind(&view.filter)
                    .bind(&view.order_by)
                    .bind(&view.time_zone)
                    .bind(team)
                    .bind(now.to_sqlx())
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(DbError::from)?;
                if team != before {
                    bounded(tx, (team, &maker), most).await?;
                }
                Ok::<_, ApiError>(row)
            })
        })
        .await?;
    row.map(Into::into).ok_or_else(stale)
}

/// Removes a view.
pub(crate) async fn delete(
    context: &Context,
    request: &proto::DeleteViewRequest,
    caller: &Caller,
) -> Result<(), ApiError> {
    let found = changeable(context, &request.id, &request.etag, caller).await?;
    let deleted = sqlx::query("DELETE FROM tickets.saved_view WHERE id = $1 AND version = $2")
        .bind(found.id)
        .bind(found.version)
        .execute(context.db.pool())
        .await
        .map_err(DbError::from)?;
    if deleted.rows_affected() == 0 {
        return Err(stale());
    }
    Ok(())
}

fn stale() -> ApiError {
    ApiError::Aborted {
        reason: "ETAG_MISMATCH",
        message: "the view was changed in between; read it again".to_owned(),
    }
}

/// The view, if the caller may change it and has seen its present state.
async fn changeable(
    context: &Context,
    id: &str,
    seen: &str,
    caller: &Caller,
) -> Result<Row, ApiError> {
    let row = fetch(context.db.pool(), uuid("id", id)?, caller).await?;
    if row.created_by != owner(caller) && caller.role != Role::Admin {
        return Err(ApiError::PermissionDenied {
            reason: "NOT_YOUR_VIEW",
            message: "only who made this view and admins may change it".to_owned(),
        });
    }
    if !seen.is_empty() && seen != etag(row.version) {
        return Err(stale());
    }
    Ok(row)
}

/// A view that the caller may see: somebody else's own is as if there were none.
async fn fetch(pool: &PgPool, id: Uuid, caller: &Caller) -> Result<Row, ApiError> {
    let sql = format!("SELECT {COLUMNS} FROM tickets.saved_view WHERE id = $1");
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(pool)
        .await
        .map_err(DbError::from)?;
    row.filter(|row| {
        row.team_id.is_some() || row.created_by == owner(caller) || caller.role == Role::Admin
    })
    .ok_or_else(|| ApiError::not_found("view", &id))
}

/// The request with what its view says, if it names one.
pub(crate) async fn listed(
    context: &Context,
    request: &proto::ListTicketsRequest,
    caller: Option<&Caller>,
) -> Result<proto::ListTicketsRequest, ApiError> {
    let mut request = request.clone();
    if request.view_id.is_empty() {
        return Ok(request);
    }
    let Some(caller) = caller else {
        return Err(ApiError::not_found("view", &request.view_id));
    };
    if ![&request.filter, &request.order_by, &request.time_zone]
        .iter()
        .all(|it| it.is_empty())
    {
        let what = "give a view, or filter, order_by and time_zone";
        return Err(ApiError::invalid("view_id", what));
    }
    let row = fetch(
        context.db.pool(),
        uuid("view_id", &request.view_id)?,
        caller,
    )
    .await?;
    request.filter = row.filter;
    request.order_by = row.order_by;
    request.time_zone = row.time_zone;
    Ok(request)
}

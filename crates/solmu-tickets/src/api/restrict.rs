//! Restricting tickets: what callers say is checked here, [`crate::restrict`] does the rest.

use std::sync::Arc;

use solmu_proto::ticket::v1 as proto;
use solmu_runtime::{
    ApiError,
    access::{Caller, Restriction},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{update, uuid};
use crate::{
    calls::asked,
    context::Context,
    restrict::{self, Wanted},
    sight::{self, ticket_id},
    strangers::{Named, Strangers},
};

/// Agents and teams of one restriction.
const MAX_NAMES: usize = 50;
/// Longest reason, in bytes.
const MAX_REASON: usize = 1000;

/// Restricts a ticket; the answer to who is not named has its id only.
pub(super) async fn ticket(
    context: &Arc<Context>,
    it: sight::Call<proto::RestrictTicketRequest>,
) -> Result<proto::Ticket, ApiError> {
    let request = it.request;
    let ids = |field: &str, ids: &[String]| -> Result<Vec<Uuid>, ApiError> {
        ids.iter().map(|id| uuid(field, id)).collect()
    };
    let restriction = Restriction::new(
        ids("agent_ids", &request.agent_ids)?,
        ids("team_ids", &request.team_ids)?,
    );
    let named = restriction.names().len();
    if named == 0 || named > MAX_NAMES {
        let wanted = format!("name 1 to {MAX_NAMES} agents and teams");
        return Err(ApiError::invalid("agent_ids", wanted));
    }
    let agents = restriction.agents.iter();
    let agents = agents.map(|id| Named::Agent(*id, "agent_ids".to_owned()));
    let teams = restriction.teams.iter();
    let teams = teams.map(|id| Named::Team(*id, "team_ids".to_owned()));
    let strangers = context
        .roster
        .strangers(&agents.chain(teams).collect::<Vec<_>>())
        .await;
    let wanted = Wanted {
        ticket: ticket_id(context, &request.ticket_id).await?,
        restriction: Some(restriction),
        strangers,
        reason: reason(&request.reason)?,
        etag: request.etag.clone(),
        request: asked("restrict", &request.request_id, &request)?,
        by: it.by,
        sight: it.caller.visibility().clone(),
    };
    set(context, wanted, &it.caller).await
}

/// Ends a restriction.
pub(super) async fn end(
    context: &Arc<Context>,
    it: sight::Call<proto::UnrestrictTicketRequest>,
) -> Result<proto::Ticket, ApiError> {
    let request = it.request;
    let wanted = Wanted {
        ticket: ticket_id(context, &request.ticket_id).await?,
        restriction: None,
        strangers: Strangers::default(),
        reason: reason(&request.reason)?,
        etag: request.etag.clone(),
        request: asked("unrestrict", &request.request_id, &request)?,
        by: it.by,
        sight: it.caller.visibility().clone(),
    };
    set(context, wanted, &it.caller).await
}

async fn set(
    context: &Arc<Context>,
    wanted: Wanted,
    caller: &Caller,
) -> Result<proto::Ticket, ApiError> {
    let id = wanted.ticket;
    restrict::set(context, wanted).await?;
    let pool = context.db.pool();
    if sight::among(pool, caller, &[id]).await?.is_empty() {
        return Ok(hidden(id));
    }
    update::whole(pool, caller, &id.to_string()).await
}

/// What a caller is told of a ticket that they have changed: a rule may have restricted it to others for that.
pub(crate) async fn answer(
    context: &Context,
    caller: &Caller,
    ticket: proto::Ticket,
) -> Result<proto::Ticket, ApiError> {
    if !ticket.restricted {
        return Ok(ticket);
    }
    let id = uuid("id", &ticket.id)?;
    let seen = sight::among(context.db.pool(), caller, &[id]).await?;
    if seen.is_empty() {
        return Ok(hidden(id));
    }
    Ok(ticket)
}

/// All that is told of a ticket to who does not see it any more.
fn hidden(id: Uuid) -> proto::Ticket {
    proto::Ticket {
        id: id.to_string(),
        restricted: true,
        ..proto::Ticket::default()
    }
}

/// Says on a restricted ticket who is named.
pub(super) async fn show(
    connection: &mut PgConnection,
    id: Uuid,
    ticket: &mut proto::Ticket,
) -> Result<(), ApiError> {
    let mut known = Restriction::of(connection, &[id]).await?;
    let it = known.remove(&id).unwrap_or_default();
    ticket.restricted_agent_ids = it.agents.iter().map(Uuid::to_string).collect();
    ticket.restricted_team_ids = it.teams.iter().map(Uuid::to_string).collect();
    Ok(())
}

/// The log must say why: what few people see is looked at later.
fn reason(text: &str) -> Result<String, ApiError> {
    let text = text.replace(char::is_control, " ");
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_REASON {
        let wanted = format!("1 to {MAX_REASON} bytes");
        return Err(ApiError::invalid("reason", wanted));
    }
    Ok(text.to_owned())
}

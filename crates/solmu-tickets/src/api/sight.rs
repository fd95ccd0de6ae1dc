//! Refuses calls about tickets that the caller does not see: as if they did not exist.
//!
//! Lists, searches and streams select by [`Visibility`] in their SQL; this is for calls that name a ticket. It is asked
//! before the work and not in its transaction: a ticket that moves to another team in between was seen a moment ago.

use solmu_runtime::{
    ApiError,
    access::{Caller, Visibility},
};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::uuid;
use crate::context::Context;

/// What names a ticket.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named<'a> {
    /// By id or `#number`.
    Ticket(&'a str),
    /// A message on it.
    Message(&'a str),
    /// A task of it.
    Task(&'a str),
}

/// NOT_FOUND unless the caller sees the tickets. What is no name is left to the handler, which says what is wrong.
pub(crate) async fn check<'a>(
    pool: &PgPool,
    caller: &Caller,
    named: impl IntoIterator<Item = Named<'a>> + Send,
) -> Result<(), ApiError> {
    if caller.visibility() == &Visibility::Everything {
        return Ok(());
    }
    let named: Vec<Named<'a>> = named.into_iter().collect();
    for one in named {
        one.check(pool, caller.visibility()).await?;
    }
    Ok(())
}

/// The id of a ticket that is named by id or by `#number` and that the caller sees.
pub(crate) async fn seen_ticket(
    context: &Context,
    caller: &Caller,
    text: &str,
) -> Result<Uuid, ApiError> {
    check(context.db.pool(), caller, [Named::Ticket(text)]).await?;
    super::tickets::ticket_id(context, text).await
}

impl Named<'_> {
    async fn check(self, pool: &PgPool, visibility: &Visibility) -> Result<(), ApiError> {
        const SEEN: &str = "SELECT t.team_id = ANY($2) OR t.assignee_id = $3 FROM tickets.ticket t";
        let (resource, text) = match self {
            Self::Ticket(text) => ("ticket", text),
            Self::Message(text) => ("message", text),
            Self::Task(text) => ("task", text),
        };
        let (teams, agent) = visibility.binds();
        let seen: Option<Option<bool>> = if let (Self::Ticket(_), Some(number)) =
            (self, text.strip_prefix('#'))
        {
            let Ok(number) = number.parse::<i64>() else {
                return Ok(());
            };
            sqlx::query_scalar(AssertSqlSafe(format!("{SEEN} WHERE t.number = $1")))
                .bind(number)
                .bind(teams)
                .bind(agent)
                .fetch_optional(pool)
                .await
        } else {
            let Ok(id): Result<Uuid, _> = uuid(resource, text) else {
                return Ok(());
            };
            let place = match self {
                Self::Ticket(_) => "WHERE t.id = $1",
                Self::Message(_) => "JOIN tickets.message m ON m.ticket_id = t.id WHERE m.id = $1",
                Self::Task(_) => "JOIN tickets.task k ON k.ticket_id = t.id WHERE k.id = $1",
            };
            sqlx::query_scalar(AssertSqlSafe(format!("{SEEN} {place}")))
                .bind(id)
                .bind(teams)
                .bind(agent)
                .fetch_optional(pool)
                .await
        }
        .map_err(solmu_db::DbError::from)?;
        if seen.flatten() == Some(true) {
            return Ok(());
        }
        Err(ApiError::not_found(resource, text))
    }
}

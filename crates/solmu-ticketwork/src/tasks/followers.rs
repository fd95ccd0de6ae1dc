//! Lets agents follow a ticket.

use std::sync::Arc;

use solmu_db::ToSqlx as _;
use solmu_proto::types::v1::Actor;
use sqlx::PgConnection;
use uuid::Uuid;

use super::tell;
use crate::{
    context::Context,
    error::TicketError,
    events::change,
    followers::{MAX_FOLLOWERS, of},
    model::lock_one,
};

/// Lets `agent` follow the ticket, or ends that. What is so already stays so and is not told.
pub async fn set(
    context: &Arc<Context>,
    ticket: Uuid,
    agent: Uuid,
    follows: bool,
    by: Actor,
) -> Result<(), TicketError> {
    let by = Arc::new(by);
    context
        .db
        .tx("ticket.follow", |tx| {
            let (context, by) = (context.clone(), by.clone());
            Box::pin(async move { set_in(tx, &context, ticket, agent, follows, &by).await })
        })
        .await
}

async fn set_in(
    tx: &mut PgConnection,
    context: &Context,
    ticket: Uuid,
    agent: Uuid,
    follows: bool,
    by: &Actor,
) -> Result<(), TicketError> {
    let now = context.clock.now();
    let mut ticket = lock_one(tx, ticket).await?;
    let following = of(tx, ticket.id).await?;
    if following.contains(&agent) == follows {
        return Ok(());
    }
    if follows && i64::try_from(following.len()).is_ok_and(|it| it >= MAX_FOLLOWERS) {
        let why = format!("the ticket has {MAX_FOLLOWERS} followers already");
        return Err(TicketError::refused("TOO_MANY_FOLLOWERS", why));
    }
    let statement = if follows {
        "INSERT INTO tickets.follower (ticket_id, agent_id, created_by, created_at) VALUES ($1, $2, $3, $4)"
    } else {
        "DELETE FROM tickets.follower WHERE ticket_id = $1 AND agent_id = $2
            AND $3::text IS NOT NULL AND $4::timestamptz IS NOT NULL"
    };
    sqlx::query(statement)
        .bind(ticket.id)
        .bind(agent)
        .bind(&by.id)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    let told = if follows {
        change("followers", &"", &agent)
    } else {
        change("followers", &agent, &"")
    };
    tell(tx, context, &mut ticket, told, by).await
}

//! Lets agents follow a ticket.

use std::sync::Arc;

use solmu_db::ToSqlx as _;
use solmu_proto::types::v1::Actor;
use sqlx::PgConnection;
use uuid::Uuid;

use super::tell;
use crate::{
    calls::Asked,
    change::made_before,
    context::Context,
    error::TicketError,
    events::change,
    followers::{MAX_FOLLOWERS, of},
    model::{Ticket, lock_one},
    strangers::{Named, Strangers},
};

/// Lets `agent` follow the ticket, or ends that. What is so already stays so and is not told.
pub async fn set(
    context: &Arc<Context>,
    (ticket, agent): (Uuid, Uuid),
    follows: bool,
    asked: Option<Asked>,
    by: Actor,
) -> Result<(), TicketError> {
    let named = [Named::Agent(agent, "agent_id".to_owned())];
    let strangers = if follows {
        context.roster.strangers(&named).await
    } else {
        Strangers::default()
    };
    let input = Arc::new((asked, by, strangers));
    context
        .db
        .tx("ticket.follow", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move {
                let (asked, by, strangers) = input.as_ref();
                let (mut ticket, now) = (lock_one(tx, ticket).await?, context.clock.now());
                if made_before(tx, ticket.id, asked.as_ref(), now).await? {
                    return Ok(());
                }
                if !strangers.is_empty() {
                    return Err(TicketError::Invalid(strangers.clone().violations()));
                }
                set_in(tx, &context, &mut ticket, agent, follows, by).await
            })
        })
        .await
}

async fn set_in(
    tx: &mut PgConnection,
    context: &Context,
    ticket: &mut Ticket,
    agent: Uuid,
    follows: bool,
    by: &Actor,
) -> Result<(), TicketError> {
    let now = context.clock.now();
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
    tell(tx, context, ticket, told, by).await
}

//! Who has a ticket open, so that two people do not answer the same customer.
//!
//! The state is a table that is not logged: one row for each window, with an expiry that heartbeats move on. So a watcher
//! sees all of it at once on any replica, a crash of a browser or of a replica ends in silence that the expiry turns
//! into absence, and a heartbeat costs no disk sync. That something changed is said on the bus, outside of the streams;
//! should that get lost, watchers look again by themselves after a few seconds. PostgreSQL's NOTIFY would take a lock
//! that all commits share, and state kept on the bus alone would have a newcomer wait for everybody's next heartbeat.

pub(crate) mod watch;

use jiff::{SignedDuration, Timestamp};
use solmu_bus::{Bus, envelope::to_proto_time};
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_proto::{
    ticket::v1::{Viewer, Viewing},
    types::v1::Actor,
};
use solmu_tickets::TicketError;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{context::Context, small};

/// Windows of one ticket that are looked at.
const MAX_ROWS: i64 = 500;
/// Heartbeats that should come within the time that somebody is believed to be there.
const BEATS: u32 = 3;

/// Those who have a ticket open, and when that must be looked at again at the latest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Present {
    pub(crate) viewers: Vec<Viewer>,
    until: Option<Timestamp>,
}

/// Seconds between two heartbeats.
pub(crate) fn interval(context: &Context) -> i32 {
    i32::try_from(context.desk().viewer_ttl_seconds / BEATS).unwrap_or(i32::MAX)
}

/// Notes that somebody looks at a ticket, and tells others if that is new.
pub(crate) async fn beat(
    context: &Context,
    ticket: Uuid,
    by: &Actor,
    session: &str,
    viewing: Viewing,
) -> Result<(), TicketError> {
    let ttl = SignedDuration::from_secs(i64::from(context.desk().viewer_ttl_seconds));
    let now = context.clock.now();
    let expires = now.saturating_add(ttl).unwrap_or(Timestamp::MAX);
    let (known, before): (bool, Option<i16>) = sqlx::query_as(
        "WITH before AS (
            SELECT viewing FROM tickets.viewer
            WHERE ticket_id = $1 AND actor_kind = $2 AND actor_id = $3 AND session = $4 AND expires_at > $6
         ), beat AS (
            INSERT INTO tickets.viewer AS known (ticket_id, actor_kind, actor_id, session, viewing, since, expires_at)
            SELECT id, $2, $3, $4, $5, $6, $7 FROM tickets.ticket WHERE id = $1
            ON CONFLICT (ticket_id, actor_kind, actor_id, session) DO UPDATE SET viewing = excluded.viewing,
                expires_at = excluded.expires_at, since = CASE WHEN known.viewing = excluded.viewing
                    AND known.expires_at > excluded.since THEN known.since ELSE excluded.since END
            RETURNING 1
         )
         SELECT EXISTS (SELECT FROM beat), (SELECT viewing FROM before)",
    )
    .bind(ticket)
    .bind(small(by.kind))
    .bind(&by.id)
    .bind(session)
    .bind(small(viewing.into()))
    .bind(now.to_sqlx())
    .bind(expires.to_sqlx())
    .fetch_one(context.db.pool())
    .await?;
    if !known {
        return Err(TicketError::UnknownTicket(ticket.to_string()));
    }
    if before != Some(small(viewing.into())) {
        tell(&context.bus, ticket).await;
    }
    Ok(())
}

/// Notes that somebody closed a window, and tells others.
pub(crate) async fn leave(
    context: &Context,
    ticket: Uuid,
    by: &Actor,
    session: &str,
) -> Result<(), TicketError> {
    let gone = sqlx::query(
        "DELETE FROM tickets.viewer WHERE ticket_id = $1 AND actor_kind = $2 AND actor_id = $3 AND session = $4",
    )
    .bind(ticket)
    .bind(small(by.kind))
    .bind(&by.id)
    .bind(session)
    .execute(context.db.pool())
    .await?;
    if gone.rows_affected() > 0 {
        tell(&context.bus, ticket).await;
    }
    Ok(())
}

/// Who has the ticket open at `now`; those who answer first, then who came first.
pub(crate) async fn present(
    pool: &PgPool,
    ticket: Uuid,
    now: Timestamp,
) -> Result<Present, TicketError> {
    let rows: Vec<(i16, String, i16, SqlTimestamp, SqlTimestamp)> = sqlx::query_as(
        "SELECT actor_kind, actor_id, viewing, since, expires_at FROM tickets.viewer
         WHERE ticket_id = $1 AND expires_at > $2 ORDER BY viewing DESC, since, actor_kind, actor_id LIMIT $3",
    )
    .bind(ticket)
    .bind(now.to_sqlx())
    .bind(MAX_ROWS)
    .fetch_all(pool)
    .await?;
    let until = rows.iter().map(|row| row.4.to_jiff()).min();
    let mut viewers: Vec<Viewer> = Vec::new();
    for (kind, id, viewing, since, _) in rows {
        let actor = Some(Actor {
            kind: kind.into(),
            id,
        });
        // The first of somebody's windows says most.
        if viewers.iter().all(|known| known.actor != actor) {
            viewers.push(Viewer {
                actor,
                viewing: viewing.into(),
                since_time: Some(to_proto_time(since.to_jiff())),
            });
        }
    }
    Ok(Present { viewers, until })
}

/// Removes rows of those who are gone.
pub(crate) async fn tidy(pool: &PgPool, now: Timestamp) -> Result<(), TicketError> {
    sqlx::query("DELETE FROM tickets.viewer WHERE expires_at <= $1")
        .bind(now.to_sqlx())
        .execute(pool)
        .await?;
    Ok(())
}

/// The subject on which changes are told. No stream keeps it.
fn subject(bus: &Bus, ticket: Uuid) -> String {
    format!("{}.viewers.v1.{ticket}", bus.config().namespace)
}

/// Wakes the watchers of a ticket, on all replicas. They look again by themselves if this gets lost.
async fn tell(bus: &Bus, ticket: Uuid) {
    let told = bus
        .client()
        .publish(subject(bus, ticket), Vec::new().into())
        .await;
    if let Err(error) = told {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "cannot tell that somebody looks at a ticket"
        );
    }
}

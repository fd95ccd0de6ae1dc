//! What waits, as it is stored.

use jiff::Timestamp;
use solmu_db::{DbError, SqlTimestamp};
use solmu_domain::ids::{AgentId, TeamId, TicketId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::ticket::waiting_with;
use crate::{core::ticket::Ticket, error::RoundError};

/// Assignments of a team that an estimate looks at.
const LATELY: i64 = 100;

/// What waits in a team.
#[derive(Debug)]
pub(crate) struct QueueRow {
    pub(crate) team_id: Uuid,
    pub(crate) waiting: i64,
    oldest_at: Option<SqlTimestamp>,
}
solmu_db::from_row!(QueueRow {
    team_id,
    waiting,
    oldest_at
});

impl QueueRow {
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.oldest_at.map(SqlTimestamp::to_jiff)
    }
}

/// What waits in each team, empty ones too.
pub(crate) async fn queues_fetch(pool: &PgPool) -> Result<Vec<QueueRow>, DbError> {
    Ok(sqlx::query_as(
        "SELECT team.id AS team_id, count(ticket.ticket_id) AS waiting, min(ticket.waiting_since) AS oldest_at
         FROM routing.team AS team
         LEFT JOIN routing.ticket AS ticket ON ticket.state = 'waiting' AND ticket.route ->> 'team' = team.id::text
         WHERE team.archived_at IS NULL GROUP BY team.id, team.display_name ORDER BY lower(team.display_name), team.id",
    )
    .fetch_all(pool)
    .await?)
}

/// All that waits in the team of a ticket, itself among them; nothing if it does not wait.
pub(crate) async fn queue_of(pool: &PgPool, id: TicketId) -> Result<Vec<Ticket>, DbError> {
    waiting_with(pool, id).await.map_err(|error| match error {
        RoundError::Db(error) => error,
        other => DbError::Sqlx(sqlx::Error::Decode(Box::new(other))),
    })
}

/// How many tickets of each channel agents have: theirs, or kept for them.
pub(crate) async fn items_of(
    tx: &mut PgConnection,
    agents: &[AgentId],
) -> Result<Vec<(AgentId, String, i64)>, DbError> {
    let ids: Vec<Uuid> = agents.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<(Uuid, String, i64)> = sqlx::query_as(
        "SELECT owner_id, channel, count(*) FROM routing.ticket
         WHERE state <> 'done' AND owner_id = ANY($1) GROUP BY owner_id, channel",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let typed = |(agent, channel, count)| (AgentId::from_uuid(agent), channel, count);
    Ok(rows.into_iter().map(typed).collect())
}

/// Team and owner of a ticket, as the ticket service has them.
pub(crate) async fn owner_of(
    pool: &PgPool,
    id: TicketId,
) -> Result<Option<(Option<TeamId>, Option<AgentId>)>, DbError> {
    let row: Option<(Option<Uuid>, Option<Uuid>)> =
        sqlx::query_as("SELECT team_id, assignee_id FROM routing.ticket WHERE ticket_id = $1")
            .bind(id.as_uuid())
            .fetch_optional(pool)
            .await?;
    let typed = |(team, agent): (Option<Uuid>, Option<Uuid>)| {
        (team.map(TeamId::from_uuid), agent.map(AgentId::from_uuid))
    };
    Ok(row.map(typed))
}

/// When teams (or the one) took their last tickets, oldest first.
pub(crate) async fn taken_lately(
    pool: &PgPool,
    team: Option<TeamId>,
) -> Result<Vec<(TeamId, Timestamp)>, DbError> {
    let rows: Vec<(Uuid, SqlTimestamp)> = sqlx::query_as(
        "SELECT team.id, taken.decided_at FROM routing.team AS team
         CROSS JOIN LATERAL (SELECT decided_at FROM routing.decision
            WHERE team_id = team.id AND agent_id IS NOT NULL
            ORDER BY decided_at DESC LIMIT $2) AS taken
         WHERE $1::uuid IS NULL OR team.id = $1 ORDER BY taken.decided_at",
    )
    .bind(team.map(TeamId::as_uuid))
    .bind(LATELY)
    .fetch_all(pool)
    .await?;
    let typed = |(team, at): (Uuid, SqlTimestamp)| (TeamId::from_uuid(team), at.to_jiff());
    Ok(rows.into_iter().map(typed).collect())
}

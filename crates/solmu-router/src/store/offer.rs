//! Offers, and agents who ask for the next ticket: what agents say in these tables, the leader takes in its transaction.

use jiff::Timestamp;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::ids::{AgentId, DecisionId, TeamId, TicketId};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::{
    core::offers::{Answer, OfferChange, OfferState, Pull, Said, Told},
    error::RoundError,
};

/// Agents who ask for the next ticket that one round answers.
const PULLS_AT_ONCE: i64 = 500;

/// All that agents said, if there is something; `due` are offers that have run out unless they were answered.
pub(crate) async fn said_take(
    tx: &mut PgConnection,
    due: &[DecisionId],
    asked: bool,
    now: Timestamp,
) -> Result<Said, RoundError> {
    let mut said = Said::default();
    if asked {
        said.answers = answers_take(&mut *tx).await?;
        said.pulls = pulls_take(&mut *tx).await?;
    }
    said.expired = offers_expire(tx, due, now).await?;
    Ok(said)
}

/// Tells agents what they are told at once.
pub(crate) async fn said_answer(
    tx: &mut PgConnection,
    told: &Told,
    now: Timestamp,
) -> Result<(), RoundError> {
    if !told.late.is_empty() {
        answers_drop(&mut *tx, &told.late, now).await?;
    }
    for (pull, ticket, reason) in &told.pulls {
        pull_answer(&mut *tx, *pull, *ticket, reason).await?;
    }
    Ok(())
}

/// What agents said, in the order of the offers. Locked, so that nothing else ends them.
async fn answers_take(tx: &mut PgConnection) -> Result<Vec<Answer>, RoundError> {
    let rows: Vec<(Uuid, Uuid, String, String)> = sqlx::query_as(
        "SELECT id, ticket_id, state, reason FROM routing.offer WHERE state IN ('accepting', 'declining')
         ORDER BY id FOR UPDATE",
    )
    .fetch_all(tx)
    .await?;
    let typed = |(id, ticket, state, reason): (Uuid, Uuid, String, String)| Answer {
        offer: DecisionId::from_uuid(id),
        ticket: TicketId::from_uuid(ticket),
        accepted: state == "accepting",
        reason,
    };
    Ok(rows.into_iter().map(typed).collect())
}

/// Ends those of the offers that nobody has answered; returns them. Their agents have missed one more in a row.
async fn offers_expire(
    tx: &mut PgConnection,
    offers: &[DecisionId],
    now: Timestamp,
) -> Result<Vec<DecisionId>, RoundError> {
    if offers.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = offers.iter().map(|id| id.as_uuid()).collect();
    let ended: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "UPDATE routing.offer SET state = 'timed_out', ended_at = $2 WHERE id = ANY($1) AND state = 'open'
         RETURNING id, agent_id",
    )
    .bind(ids)
    .bind(now.to_sqlx())
    .fetch_all(&mut *tx)
    .await?;
    let agents: Vec<Uuid> = ended.iter().map(|(_, agent)| *agent).collect();
    sqlx::query("UPDATE routing.agent SET missed_offers = missed_offers + 1 WHERE id = ANY($1)")
        .bind(agents)
        .execute(tx)
        .await?;
    let ended = ended.into_iter().map(|(id, _)| DecisionId::from_uuid(id));
    Ok(ended.collect())
}

/// Stores offers that began or ended, and what that means for their decisions.
pub(crate) async fn offers_save(
    tx: &mut PgConnection,
    changes: &[OfferChange],
) -> Result<(), RoundError> {
    let (new, ended): (Vec<_>, Vec<_>) = changes
        .iter()
        .partition(|change| change.state == OfferState::Offered);
    if !new.is_empty() {
        let column = |of: fn(&OfferChange) -> Uuid| new.iter().map(|it| of(it)).collect::<Vec<_>>();
        let times = |of: fn(&OfferChange) -> Timestamp| {
            new.iter().map(|it| of(it).to_sqlx()).collect::<Vec<_>>()
        };
        sqlx::query(
            "INSERT INTO routing.offer (id, ticket_id, team_id, agent_id, state, offered_at, expires_at)
             SELECT id, ticket, team, agent, 'open', at, until FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[],
                $5::timestamptz[], $6::timestamptz[]) AS it (id, ticket, team, agent, at, until)",
        )
        .bind(column(|it| it.offer.as_uuid()))
        .bind(column(|it| it.ticket.as_uuid()))
        .bind(column(|it| it.team.as_uuid()))
        .bind(column(|it| it.agent.as_uuid()))
        .bind(times(|it| it.time))
        .bind(times(|it| it.until))
        .execute(&mut *tx)
        .await?;
    }
    if !ended.is_empty() {
        sqlx::query(
            "WITH ending AS (SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[])
                AS it (id, state, reason, at)),
             offers AS (UPDATE routing.offer AS offer SET state = ending.state, ended_at = ending.at
                FROM ending WHERE offer.id = ending.id)
             UPDATE routing.decision AS decision
             SET outcome = ending.state, outcome_cause = ending.reason, outcome_at = ending.at
             FROM ending WHERE decision.id = ending.id AND decision.outcome = 'offered'",
        )
        .bind(
            ended
                .iter()
                .map(|it| it.offer.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind(ended.iter().map(|it| it.state.name()).collect::<Vec<_>>())
        .bind(ended.iter().map(|it| it.reason.as_str()).collect::<Vec<_>>())
        .bind(ended.iter().map(|it| it.time.to_sqlx()).collect::<Vec<_>>())
        .execute(tx)
        .await?;
    }
    Ok(())
}

/// Answers that came to nothing, because their offers had ended.
async fn answers_drop(
    tx: &mut PgConnection,
    offers: &[DecisionId],
    now: Timestamp,
) -> Result<(), RoundError> {
    let ids: Vec<Uuid> = offers.iter().map(|id| id.as_uuid()).collect();
    sqlx::query(
        "UPDATE routing.offer SET state = 'withdrawn', ended_at = $2
         WHERE id = ANY($1) AND state IN ('accepting', 'declining')",
    )
    .bind(ids)
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// An offer as it is shown.
#[derive(Debug)]
pub(crate) struct OfferRow {
    pub(crate) id: Uuid,
    pub(crate) ticket_id: Uuid,
    pub(crate) team_id: Uuid,
    pub(crate) agent_id: Uuid,
    pub(crate) reason: String,
    pub(crate) offered_at: SqlTimestamp,
    pub(crate) expires_at: SqlTimestamp,
}
solmu_db::from_row!(OfferRow {
    id,
    ticket_id,
    team_id,
    agent_id,
    reason,
    offered_at,
    expires_at
});

/// What stands for an agent at `now`.
pub(crate) async fn offers_of(
    db: impl PgExecutor<'_>,
    agent: AgentId,
    now: Timestamp,
) -> Result<Vec<OfferRow>, DbError> {
    Ok(sqlx::query_as(
        "SELECT offer.id, offer.ticket_id, offer.team_id, offer.agent_id, decision.reason, offered_at, expires_at
         FROM routing.offer AS offer JOIN routing.decision AS decision ON decision.id = offer.id
         WHERE offer.agent_id = $1 AND offer.state = 'open' AND expires_at > $2
         ORDER BY expires_at, offer.id",
    )
    .bind(agent.as_uuid())
    .bind(now.to_sqlx())
    .fetch_all(db)
    .await?)
}

/// Notes an agent's answer; returns what the offer was before, absent if they have none of that id.
pub(crate) async fn offer_answer(
    tx: &mut PgConnection,
    offer: DecisionId,
    agent: AgentId,
    accepts: bool,
    reason: &str,
    now: Timestamp,
) -> Result<Option<String>, DbError> {
    let found: Option<(String, SqlTimestamp)> = sqlx::query_as(
        "SELECT state, expires_at FROM routing.offer WHERE id = $1 AND agent_id = $2 FOR UPDATE",
    )
    .bind(offer.as_uuid())
    .bind(agent.as_uuid())
    .fetch_optional(&mut *tx)
    .await?;
    let Some((state, expires)) = found else {
        return Ok(None);
    };
    if state != "open" {
        return Ok(Some(state));
    }
    if expires.to_jiff() <= now {
        return Ok(Some(OfferState::TimedOut.name().to_owned()));
    }
    sqlx::query("UPDATE routing.offer SET state = $2, reason = $3 WHERE id = $1")
        .bind(offer.as_uuid())
        .bind(if accepts { "accepting" } else { "declining" })
        .bind(reason)
        .execute(&mut *tx)
        .await?;
    sqlx::query("UPDATE routing.agent SET missed_offers = 0 WHERE id = $1 AND missed_offers > 0")
        .bind(agent.as_uuid())
        .execute(tx)
        .await?;
    Ok(Some(state))
}

/// Somebody asks for the next ticket. Returns what they asked under this request id before, or else `pull`.
pub(crate) async fn pull_ask(
    tx: &mut PgConnection,
    pull: &Pull,
    request_id: Option<&str>,
    now: Timestamp,
) -> Result<Pull, DbError> {
    let (id, team): (Uuid, Option<Uuid>) = sqlx::query_as(
        "INSERT INTO routing.pull (id, agent_id, team_id, state, asked_at, request_id)
         VALUES ($1, $2, $3, 'asked', $4, $5)
         ON CONFLICT (agent_id, request_id) WHERE request_id IS NOT NULL DO UPDATE SET request_id = excluded.request_id
         RETURNING id, team_id",
    )
    .bind(pull.id)
    .bind(pull.agent.as_uuid())
    .bind(pull.team.map(TeamId::as_uuid))
    .bind(now.to_sqlx())
    .bind(request_id)
    .fetch_one(tx)
    .await?;
    Ok(Pull {
        id,
        agent: pull.agent,
        team: team.map(TeamId::from_uuid),
    })
}

/// Those who ask, in the order in which they did. Locked, so that they do not give up meanwhile.
async fn pulls_take(tx: &mut PgConnection) -> Result<Vec<Pull>, RoundError> {
    let rows: Vec<(Uuid, Uuid, Option<Uuid>)> = sqlx::query_as(
        "SELECT id, agent_id, team_id FROM routing.pull WHERE state = 'asked' ORDER BY asked_at, id LIMIT $1 FOR UPDATE",
    )
    .bind(PULLS_AT_ONCE)
    .fetch_all(tx)
    .await?;
    let typed = |(id, agent, team): (Uuid, Uuid, Option<Uuid>)| Pull {
        id,
        agent: AgentId::from_uuid(agent),
        team: team.map(TeamId::from_uuid),
    };
    Ok(rows.into_iter().map(typed).collect())
}

/// Answers somebody who asked.
async fn pull_answer(
    tx: &mut PgConnection,
    pull: Uuid,
    ticket: Option<TicketId>,
    reason: &str,
) -> Result<(), RoundError> {
    sqlx::query("UPDATE routing.pull SET state = $2, ticket_id = $3, reason = $4 WHERE id = $1")
        .bind(pull)
        .bind(if ticket.is_some() { "given" } else { "nothing" })
        .bind(ticket.map(TicketId::as_uuid))
        .bind(reason)
        .execute(tx)
        .await?;
    Ok(())
}

/// What somebody who asked was told: the ticket if there is one, and why. Nothing as long as they wait. Only once, unless
/// they may ask again for the same and so it `keeps`.
pub(crate) async fn pull_take_answer(
    db: impl PgExecutor<'_>,
    pull: Uuid,
    keeps: bool,
) -> Result<Option<(Option<TicketId>, String)>, DbError> {
    let statement = if keeps {
        "SELECT ticket_id, reason FROM routing.pull WHERE id = $1 AND state IN ('given', 'nothing')"
    } else {
        "DELETE FROM routing.pull WHERE id = $1 AND state IN ('given', 'nothing') RETURNING ticket_id, reason"
    };
    let row: Option<(Option<Uuid>, String)> = sqlx::query_as(statement)
        .bind(pull)
        .fetch_optional(db)
        .await?;
    Ok(row.map(|(ticket, reason)| (ticket.map(TicketId::from_uuid), reason)))
}

/// Does not wait any longer; false if the answer came at the last moment.
pub(crate) async fn pull_give_up(db: impl PgExecutor<'_>, pull: Uuid) -> Result<bool, DbError> {
    let given_up = sqlx::query("DELETE FROM routing.pull WHERE id = $1 AND state = 'asked'")
        .bind(pull)
        .execute(db)
        .await?
        .rows_affected();
    Ok(given_up == 1)
}

/// Removes up to `limit` offers that ended before; how many there were. Decisions name them still.
pub(crate) async fn offers_prune(
    db: impl PgExecutor<'_>,
    ended_before: Timestamp,
    limit: u64,
) -> Result<u64, DbError> {
    let removed = sqlx::query(
        "DELETE FROM routing.offer WHERE id IN (
            SELECT id FROM routing.offer WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)",
    )
    .bind(ended_before.to_sqlx())
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .execute(db)
    .await?;
    Ok(removed.rows_affected())
}

/// Removes questions for the next ticket whose askers are gone.
pub(crate) async fn pulls_prune(
    db: impl PgExecutor<'_>,
    asked_before: Timestamp,
) -> Result<(), DbError> {
    sqlx::query("DELETE FROM routing.pull WHERE asked_at < $1")
        .bind(asked_before.to_sqlx())
        .execute(db)
        .await?;
    Ok(())
}

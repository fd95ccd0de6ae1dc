//! Decisions: append-only, but for what became of them.

use jiff::Timestamp;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::ids::{AgentId, DecisionId, TicketId};
use sqlx::{PgConnection, PgPool, types::Json};
use uuid::Uuid;

use crate::{
    core::{
        decision::{Considered, Decision, Kind, Outcome},
        event::RejectCause,
        offers::OfferState,
    },
    error::RoundError,
};

/// Columns of many decisions, one vector each.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    tickets: Vec<Uuid>,
    teams: Vec<Uuid>,
    agents: Vec<Option<Uuid>>,
    routing_versions: Vec<i64>,
    load_versions: Vec<i64>,
    epochs: Vec<i64>,
    rules: Vec<Option<Uuid>>,
    rule_versions: Vec<i64>,
    reasons: Vec<&'a str>,
    candidates: Vec<Json<&'a [Considered]>>,
    times: Vec<SqlTimestamp>,
    kinds: Vec<&'static str>,
    previous: Vec<Option<Uuid>>,
    outcomes: Vec<&'static str>,
}

/// Appends decisions.
pub(crate) async fn decisions_add(
    tx: &mut PgConnection,
    decisions: &[Decision],
) -> Result<(), RoundError> {
    if decisions.is_empty() {
        return Ok(());
    }
    let mut columns = Columns::default();
    for decision in decisions {
        let rule = decision.rule.as_ref();
        columns.ids.push(decision.id.as_uuid());
        columns.tickets.push(decision.ticket.as_uuid());
        columns.teams.push(decision.team.as_uuid());
        columns.agents.push(decision.agent.map(AgentId::as_uuid));
        columns.routing_versions.push(decision.routing_version);
        columns.load_versions.push(decision.agent_load_version);
        columns.epochs.push(decision.lease_epoch);
        columns.rules.push(rule.map(|rule| rule.id.as_uuid()));
        columns
            .rule_versions
            .push(rule.map_or(0, |rule| rule.version));
        columns.reasons.push(&decision.reason);
        columns.candidates.push(Json(&decision.candidates));
        columns.times.push(decision.time.to_sqlx());
        columns.kinds.push(decision.kind.name());
        columns
            .previous
            .push(decision.previous.map(AgentId::as_uuid));
        columns.outcomes.push(match decision.kind {
            Kind::Offered => OfferState::Offered.name(),
            _ => "reserved",
        });
    }
    sqlx::query(
        "INSERT INTO routing.decision (id, ticket_id, team_id, agent_id, routing_version, agent_load_version,
            lease_epoch, rule_id, rule_version, reason, candidates, decided_at, kind, previous_id,
            outcome)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[],
            $6::bigint[], $7::bigint[], $8::uuid[], $9::bigint[], $10::text[], $11::jsonb[], $12::timestamptz[],
            $13::text[], $14::uuid[], $15::text[])",
    )
    .bind(columns.ids)
    .bind(columns.tickets)
    .bind(columns.teams)
    .bind(columns.agents)
    .bind(columns.routing_versions)
    .bind(columns.load_versions)
    .bind(columns.epochs)
    .bind(columns.rules)
    .bind(columns.rule_versions)
    .bind(columns.reasons)
    .bind(columns.candidates)
    .bind(columns.times)
    .bind(columns.kinds)
    .bind(columns.previous)
    .bind(columns.outcomes)
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes what became of decisions. The first answer stays.
pub(crate) async fn outcomes_note(
    tx: &mut PgConnection,
    outcomes: &[Outcome],
) -> Result<(), RoundError> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = outcomes.iter().map(|it| it.decision.as_uuid()).collect();
    let causes: Vec<Option<&str>> = outcomes
        .iter()
        .map(|it| it.rejected.map(RejectCause::code))
        .collect();
    let times: Vec<SqlTimestamp> = outcomes.iter().map(|it| it.time.to_sqlx()).collect();
    sqlx::query(
        "UPDATE routing.decision AS decision
         SET outcome = CASE WHEN answer.cause IS NULL THEN 'applied' ELSE 'rejected' END,
            outcome_cause = answer.cause, outcome_at = answer.at
         FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS answer (id, cause, at)
         WHERE decision.id = answer.id AND decision.outcome = 'reserved'",
    )
    .bind(ids)
    .bind(causes)
    .bind(times)
    .execute(tx)
    .await?;
    Ok(())
}

/// The tickets that decisions were about.
pub(crate) async fn decided_tickets(
    tx: &mut PgConnection,
    decisions: &[DecisionId],
) -> Result<Vec<(DecisionId, TicketId)>, RoundError> {
    let ids: Vec<Uuid> = decisions.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<(Uuid, Uuid)> =
        sqlx::query_as("SELECT id, ticket_id FROM routing.decision WHERE id = ANY($1)")
            .bind(ids)
            .fetch_all(tx)
            .await?;
    let typed = |(id, ticket)| (DecisionId::from_uuid(id), TicketId::from_uuid(ticket));
    Ok(rows.into_iter().map(typed).collect())
}

/// A decision as it is shown.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) id: Uuid,
    pub(crate) team_id: Uuid,
    pub(crate) agent_id: Option<Uuid>,
    pub(crate) rule_id: Option<Uuid>,
    pub(crate) reason: String,
    decided_at: SqlTimestamp,
    pub(crate) outcome: String,
    pub(crate) kind: String,
    pub(crate) previous_id: Option<Uuid>,
    pub(crate) candidates: Json<Vec<Considered>>,
    pub(crate) rule_version: i64,
    pub(crate) outcome_cause: Option<String>,
}
solmu_db::from_row!(Told {
    id,
    team_id,
    agent_id,
    rule_id,
    reason,
    decided_at,
    outcome,
    kind,
    previous_id,
    candidates,
    rule_version,
    outcome_cause
});

impl Told {
    pub(crate) fn decided_at(&self) -> Timestamp {
        self.decided_at.to_jiff()
    }
}

/// The newest `limit` decisions on a ticket, newest first.
pub(crate) async fn decisions_of(
    pool: &PgPool,
    ticket: TicketId,
    limit: i64,
) -> Result<Vec<Told>, DbError> {
    Ok(sqlx::query_as(
        "SELECT id, team_id, agent_id, rule_id, reason, decided_at, outcome, kind, previous_id, candidates,
            coalesce(rule_version, 0) AS rule_version, outcome_cause
         FROM routing.decision
         WHERE ticket_id = $1 ORDER BY seq DESC LIMIT $2",
    )
    .bind(ticket.as_uuid())
    .bind(limit)
    .fetch_all(pool)
    .await?)
}

/// Why a ticket waits, if it does.
pub(crate) async fn wait_reason(
    pool: &PgPool,
    ticket: TicketId,
) -> Result<Option<Option<String>>, DbError> {
    Ok(
        sqlx::query_scalar("SELECT wait_reason FROM routing.ticket WHERE ticket_id = $1")
            .bind(ticket.as_uuid())
            .fetch_optional(pool)
            .await?,
    )
}

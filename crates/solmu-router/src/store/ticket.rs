//! Tickets as the router knows them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_domain::ids::{AgentId, ContactId, DecisionId, TeamId, TicketId};
use solmu_telemetry::TraceContext;
use sqlx::{PgConnection, PgPool, types::Json};
use uuid::Uuid;

use crate::{
    core::{
        offers::Declined,
        ticket::{Facts, Phase, Route, Ticket, Waiting},
    },
    error::RoundError,
};

struct Row {
    ticket_id: Uuid,
    number: i64,
    version: i64,
    routing_version: i64,
    status: String,
    priority: String,
    channel: String,
    account: String,
    recipient: String,
    language: String,
    tags: Json<Vec<String>>,
    team_id: Option<Uuid>,
    assignee_id: Option<Uuid>,
    created_at: SqlTimestamp,
    next_due: Option<SqlTimestamp>,
    route: Option<Json<Route>>,
    state: String,
    owner_id: Option<Uuid>,
    decision_id: Option<Uuid>,
    waiting_since: Option<SqlTimestamp>,
    wait_reason: Option<String>,
    rejections: i32,
    held_until: Option<SqlTimestamp>,
    traceparent: String,
    tracestate: String,
    contact_id: Option<Uuid>,
    former_id: Option<Uuid>,
    excluded: Json<Vec<Declined>>,
    touched_at: Option<SqlTimestamp>,
    promised_id: Option<Uuid>,
    worked: bool,
    moved_at: Option<SqlTimestamp>,
    handed_at: Option<SqlTimestamp>,
    category: String,
    organization_ids: Json<Vec<String>>,
    fields: Json<BTreeMap<String, Vec<String>>>,
}
solmu_db::from_row!(Row {
    ticket_id,
    number,
    version,
    routing_version,
    status,
    priority,
    channel,
    account,
    recipient,
    language,
    tags,
    team_id,
    assignee_id,
    created_at,
    next_due,
    route,
    state,
    owner_id,
    decision_id,
    waiting_since,
    wait_reason,
    rejections,
    held_until,
    traceparent,
    tracestate,
    contact_id,
    former_id,
    excluded,
    touched_at,
    promised_id,
    worked,
    moved_at,
    handed_at,
    category,
    organization_ids,
    fields
});

impl TryFrom<Row> for Ticket {
    type Error = RoundError;

    fn try_from(row: Row) -> Result<Self, RoundError> {
        let agent = row.owner_id.map(AgentId::from_uuid);
        let decision = row.decision_id.map(DecisionId::from_uuid);
        let phase = match (row.state.as_str(), agent, decision) {
            ("waiting", _, announced) => Phase::Waiting(Waiting {
                reason: row.wait_reason.unwrap_or_default(),
                announced,
                held_until: row.held_until.map(SqlTimestamp::to_jiff),
            }),
            ("reserved", Some(agent), Some(decision)) => Phase::Reserved { agent, decision },
            ("assigned", Some(agent), _) => Phase::Assigned { agent },
            ("offered", Some(agent), Some(offer)) => Phase::Offered {
                agent,
                offer,
                until: row
                    .held_until
                    .ok_or(RoundError::BadRow("held_until"))?
                    .to_jiff(),
            },
            ("moving", Some(owner), Some(decision)) => {
                let from = row.assignee_id.map(AgentId::from_uuid);
                let from = from.ok_or(RoundError::BadRow("assignee_id"))?;
                Phase::Moving {
                    from,
                    to: (owner != from).then_some(owner),
                    decision,
                }
            }
            ("done", ..) => Phase::Done,
            _ => return Err(RoundError::BadRow("state")),
        };
        Ok(Self {
            id: TicketId::from_uuid(row.ticket_id),
            facts: Facts {
                number: row.number,
                version: row.version,
                routing_version: row.routing_version,
                status: row
                    .status
                    .parse()
                    .map_err(|_| RoundError::BadRow("status"))?,
                priority: row
                    .priority
                    .parse()
                    .map_err(|_| RoundError::BadRow("priority"))?,
                channel: row.channel,
                account: row.account,
                recipient: row.recipient,
                language: row.language,
                tags: row.tags.0,
                team: row.team_id.map(TeamId::from_uuid),
                assignee: row.assignee_id.map(AgentId::from_uuid),
                created: row.created_at.to_jiff(),
                next_due: row.next_due.map(SqlTimestamp::to_jiff),
                contact: row.contact_id.map(ContactId::from_uuid),
                category: row.category,
                organizations: row.organization_ids.0,
                fields: row.fields.0,
            },
            route: row.route.map(|route| route.0),
            phase,
            waiting_since: row.waiting_since.map(SqlTimestamp::to_jiff),
            rejections: u32::try_from(row.rejections).unwrap_or(0),
            former: row.former_id.map(AgentId::from_uuid),
            declined: row.excluded.0,
            promised: row.promised_id.map(AgentId::from_uuid),
            worked: row.worked,
            moved: row.moved_at.map(SqlTimestamp::to_jiff),
            within: None,
            handed: row.handed_at.map(SqlTimestamp::to_jiff),
            touched: row.touched_at.unwrap_or(row.created_at).to_jiff(),
            trace: TraceContext {
                traceparent: row.traceparent,
                tracestate: row.tracestate,
            },
        })
    }
}

/// Every ticket that is not done.
pub(crate) async fn tickets_live(tx: &mut PgConnection) -> Result<Vec<Ticket>, RoundError> {
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM routing.ticket WHERE state <> 'done'")
        .fetch_all(tx)
        .await?;
    rows.into_iter().map(Ticket::try_from).collect()
}

/// Those of `ids` that are known.
pub(crate) async fn tickets_fetch(
    tx: &mut PgConnection,
    ids: &[TicketId],
) -> Result<Vec<Ticket>, RoundError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM routing.ticket WHERE ticket_id = ANY($1)")
        .bind(ids)
        .fetch_all(tx)
        .await?;
    rows.into_iter().map(Ticket::try_from).collect()
}

/// Columns of many tickets, one vector each.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    numbers: Vec<i64>,
    versions: Vec<i64>,
    routing_versions: Vec<i64>,
    statuses: Vec<&'static str>,
    priorities: Vec<&'static str>,
    channels: Vec<&'a str>,
    accounts: Vec<&'a str>,
    recipients: Vec<&'a str>,
    languages: Vec<&'a str>,
    tags: Vec<Json<&'a [String]>>,
    teams: Vec<Option<Uuid>>,
    assignees: Vec<Option<Uuid>>,
    created: Vec<SqlTimestamp>,
    next_due: Vec<Option<SqlTimestamp>>,
    routes: Vec<Option<Json<&'a Route>>>,
    states: Vec<&'static str>,
    owners: Vec<Option<Uuid>>,
    decisions: Vec<Option<Uuid>>,
    waiting_since: Vec<Option<SqlTimestamp>>,
    reasons: Vec<Option<&'a str>>,
    rejections: Vec<i32>,
    held_until: Vec<Option<SqlTimestamp>>,
    traceparents: Vec<&'a str>,
    tracestates: Vec<&'a str>,
    contacts: Vec<Option<Uuid>>,
    formers: Vec<Option<Uuid>>,
    excluded: Vec<Json<&'a [Declined]>>,
    touched: Vec<SqlTimestamp>,
    promised: Vec<Option<Uuid>>,
    worked: Vec<bool>,
    moved: Vec<Option<SqlTimestamp>>,
    handed: Vec<Option<SqlTimestamp>>,
    categories: Vec<&'a str>,
    organizations: Vec<Json<&'a [String]>>,
    fields: Vec<Json<&'a BTreeMap<String, Vec<String>>>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, ticket: &'a Ticket) {
        let facts = &ticket.facts;
        let sql = |at: Timestamp| at.to_sqlx();
        self.ids.push(ticket.id.as_uuid());
        self.numbers.push(facts.number);
        self.versions.push(facts.version);
        self.routing_versions.push(facts.routing_version);
        self.statuses.push(facts.status.name());
        self.priorities.push(facts.priority.name());
        self.channels.push(&facts.channel);
        self.accounts.push(&facts.account);
        self.recipients.push(&facts.recipient);
        self.languages.push(&facts.language);
        self.tags.push(Json(&facts.tags));
        self.teams.push(facts.team.map(TeamId::as_uuid));
        self.assignees.push(facts.assignee.map(AgentId::as_uuid));
        self.created.push(sql(facts.created));
        self.next_due.push(facts.next_due.map(sql));
        self.routes.push(ticket.route.as_ref().map(Json));
        self.owners.push(ticket.owner().map(AgentId::as_uuid));
        let offer = match ticket.phase {
            Phase::Offered { offer, .. } => Some(offer),
            _ => ticket.awaits(),
        };
        self.decisions.push(offer.map(DecisionId::as_uuid));
        self.waiting_since.push(ticket.waiting_since.map(sql));
        self.rejections
            .push(i32::try_from(ticket.rejections).unwrap_or(i32::MAX));
        self.traceparents.push(&ticket.trace.traceparent);
        self.tracestates.push(&ticket.trace.tracestate);
        self.contacts.push(facts.contact.map(ContactId::as_uuid));
        self.formers.push(ticket.former.map(AgentId::as_uuid));
        self.excluded.push(Json(&ticket.declined));
        self.touched.push(sql(ticket.touched));
        self.promised.push(ticket.promised.map(AgentId::as_uuid));
        self.worked.push(ticket.worked);
        self.moved.push(ticket.moved.map(sql));
        self.handed.push(ticket.handed.map(sql));
        self.categories.push(&facts.category);
        self.organizations.push(Json(&facts.organizations));
        self.fields.push(Json(&facts.fields));
        let (state, waiting) = match &ticket.phase {
            Phase::Waiting(waiting) => ("waiting", Some(waiting)),
            Phase::Reserved { .. } => ("reserved", None),
            Phase::Offered { .. } => ("offered", None),
            Phase::Assigned { .. } => ("assigned", None),
            Phase::Moving { .. } => ("moving", None),
            Phase::Done => ("done", None),
        };
        self.states.push(state);
        self.reasons
            .push(waiting.map(|waiting| waiting.reason.as_str()));
        let until = match ticket.phase {
            Phase::Offered { until, .. } => Some(until),
            _ => waiting.and_then(|waiting| waiting.held_until),
        };
        self.held_until.push(until.map(sql));
    }
}

/// Stores tickets, new and known ones alike.
pub(crate) async fn tickets_save<'a>(
    tx: &mut PgConnection,
    tickets: impl Iterator<Item = &'a Ticket>,
) -> Result<(), RoundError> {
    let mut columns = Columns::default();
    tickets.for_each(|ticket| columns.push(ticket));
    if columns.ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO routing.ticket (ticket_id, number, version, routing_version, status, priority, channel, account,
            recipient, language, tags, team_id, assignee_id, created_at, next_due, route, state, owner_id, decision_id,
            waiting_since, wait_reason, rejections, held_until, traceparent, tracestate, contact_id, former_id,
            excluded, touched_at, promised_id, worked, moved_at, category, organization_ids, fields,
            handed_at)
         SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::text[], $10::text[], $11::jsonb[], $12::uuid[], $13::uuid[],
            $14::timestamptz[], $15::timestamptz[], $16::jsonb[], $17::text[], $18::uuid[], $19::uuid[],
            $20::timestamptz[], $21::text[], $22::integer[], $23::timestamptz[], $24::text[], $25::text[],
            $26::uuid[], $27::uuid[], $28::jsonb[], $29::timestamptz[],
            $30::uuid[], $31::boolean[], $32::timestamptz[], $33::text[], $34::jsonb[], $35::jsonb[],
            $36::timestamptz[])
         ON CONFLICT (ticket_id) DO UPDATE SET version = excluded.version,
            routing_version = excluded.routing_version, status = excluded.status, priority = excluded.priority,
            account = excluded.account, recipient = excluded.recipient, language = excluded.language,
            tags = excluded.tags, team_id = excluded.team_id, assignee_id = excluded.assignee_id,
            next_due = excluded.next_due, route = excluded.route, state = excluded.state,
            owner_id = excluded.owner_id, decision_id = excluded.decision_id,
            waiting_since = excluded.waiting_since, wait_reason = excluded.wait_reason,
            rejections = excluded.rejections, held_until = excluded.held_until,
            traceparent = excluded.traceparent, tracestate = excluded.tracestate,
            contact_id = excluded.contact_id, former_id = excluded.former_id, excluded = excluded.excluded,
            touched_at = excluded.touched_at, promised_id = excluded.promised_id, worked = excluded.worked,
            moved_at = excluded.moved_at, category = excluded.category,
            organization_ids = excluded.organization_ids, fields = excluded.fields,
            handed_at = excluded.handed_at",
    )
    .bind(columns.ids)
    .bind(columns.numbers)
    .bind(columns.versions)
    .bind(columns.routing_versions)
    .bind(columns.statuses)
    .bind(columns.priorities)
    .bind(columns.channels)
    .bind(columns.accounts)
    .bind(columns.recipients)
    .bind(columns.languages)
    .bind(columns.tags)
    .bind(columns.teams)
    .bind(columns.assignees)
    .bind(columns.created)
    .bind(columns.next_due)
    .bind(columns.routes)
    .bind(columns.states)
    .bind(columns.owners)
    .bind(columns.decisions)
    .bind(columns.waiting_since)
    .bind(columns.reasons)
    .bind(columns.rejections)
    .bind(columns.held_until)
    .bind(columns.traceparents)
    .bind(columns.tracestates)
    .bind(columns.contacts)
    .bind(columns.formers)
    .bind(columns.excluded)
    .bind(columns.touched)
    .bind(columns.promised)
    .bind(columns.worked)
    .bind(columns.moved)
    .bind(columns.categories)
    .bind(columns.organizations)
    .bind(columns.fields)
    .bind(columns.handed)
    .execute(tx)
    .await?;
    Ok(())
}

/// Who had the last ticket of each contact, in which team, if something was heard of it after `since`.
pub(crate) async fn last_agents(
    tx: &mut PgConnection,
    contacts: &[ContactId],
    since: Timestamp,
) -> Result<Vec<(ContactId, AgentId)>, RoundError> {
    if contacts.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = contacts.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT wanted.id, last.assignee_id FROM unnest($1::uuid[]) AS wanted (id)
         CROSS JOIN LATERAL (SELECT assignee_id FROM routing.ticket
            WHERE contact_id = wanted.id AND assignee_id IS NOT NULL AND touched_at > $2
            ORDER BY touched_at DESC LIMIT 1) AS last",
    )
    .bind(ids)
    .bind(since.to_sqlx())
    .fetch_all(tx)
    .await?;
    let typed = |(contact, agent)| (ContactId::from_uuid(contact), AgentId::from_uuid(agent));
    Ok(rows.into_iter().map(typed).collect())
}

/// All that waits in the team of a ticket that waits.
pub(crate) async fn waiting_with(pool: &PgPool, id: TicketId) -> Result<Vec<Ticket>, RoundError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT other.* FROM routing.ticket AS one
         JOIN routing.ticket AS other
            ON other.state = 'waiting' AND other.route ->> 'team' IS NOT DISTINCT FROM one.route ->> 'team'
         WHERE one.ticket_id = $1 AND one.state = 'waiting'",
    )
    .bind(id.as_uuid())
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Ticket::try_from).collect()
}

/// The tickets that were opened last, `limit` at most.
pub(crate) async fn tickets_latest(
    tx: &mut PgConnection,
    limit: i64,
) -> Result<Vec<Ticket>, RoundError> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT * FROM routing.ticket ORDER BY created_at DESC LIMIT $1")
            .bind(limit)
            .fetch_all(tx)
            .await?;
    rows.into_iter().map(Ticket::try_from).collect()
}

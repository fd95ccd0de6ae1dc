//! Agents, teams and rules as the leader reads them, and the loads that it writes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::{Timestamp, tz::TimeZone};
use solmu_conditions::Condition;
use solmu_db::{SqlTimestamp, ToSqlx};
use solmu_domain::{
    ids::{AgentId, RuleId, TeamId},
    sla::{Calendar, CalendarSpec},
};
use solmu_matching::{Location, SECOND, Strategy, TeamPolicy};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{
    core::{
        care::{Care, Mode, TakeBack},
        desk::{Agent, Desk, Hours, Load, Presence, Team},
        rules::{Actions, Rule, RuleSet, SCHEMA},
        ticket::{Effects, Wish},
    },
    error::RoundError,
};

/// Which version of agents, teams and rules was read. All parts only grow, so two equal stamps mean no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stamp {
    agents: i64,
    agent_versions: i64,
    teams: i64,
    rules: i64,
    /// Offers that were answered, and agents who ask for the next ticket.
    pub(crate) asked: i64,
}
solmu_db::from_row!(Stamp {
    agents,
    agent_versions,
    teams,
    rules,
    asked
});

impl Stamp {
    /// Whether agents have changed between the two.
    pub(crate) const fn same_agents(self, other: Self) -> bool {
        self.agents == other.agents && self.agent_versions == other.agent_versions
    }

    /// Whether teams and rules have changed between the two.
    pub(crate) const fn same_rules(self, other: Self) -> bool {
        self.teams == other.teams && self.rules == other.rules
    }
}

/// The present stamp. Read before what it stamps, so that a change in between is seen the next time.
pub(crate) async fn stamp(tx: &mut PgConnection) -> Result<Stamp, RoundError> {
    Ok(sqlx::query_as(
        "SELECT count(*) AS agents, coalesce(sum(version), 0)::bigint AS agent_versions,
            (SELECT count(*) FROM routing.team) AS teams, (SELECT version FROM routing.rule_set) AS rules,
            (SELECT count(*) FROM routing.offer WHERE state IN ('accepting', 'declining'))
                + (SELECT count(*) FROM routing.pull WHERE state = 'asked') AS asked
         FROM routing.agent",
    )
    .fetch_one(tx)
    .await?)
}

struct AgentRow {
    id: Uuid,
    display_name: String,
    capacity: i32,
    presence: String,
    presence_at: SqlTimestamp,
    archived: bool,
    version: i64,
    load: i64,
    load_version: i64,
    last_assigned: i64,
    last_assigned_at: Option<SqlTimestamp>,
    team_ids: Vec<Uuid>,
    backup_ids: Vec<Uuid>,
    skills: Json<BTreeMap<String, u8>>,
    languages: Vec<String>,
    channel_limits: Json<BTreeMap<String, u32>>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    hours: Option<Json<CalendarSpec>>,
}
solmu_db::from_row!(AgentRow {
    id,
    display_name,
    capacity,
    presence,
    presence_at,
    archived,
    version,
    load,
    load_version,
    last_assigned,
    last_assigned_at,
    team_ids,
    backup_ids,
    skills,
    languages,
    channel_limits,
    latitude,
    longitude,
    hours
});

/// All agents, with their stored loads.
pub(crate) async fn agents_load(tx: &mut PgConnection) -> Result<Vec<(Agent, Load)>, RoundError> {
    agents_read(tx, None).await
}

/// The agents who work for one of the teams, or help one of them.
pub(crate) async fn agents_of(
    tx: &mut PgConnection,
    teams: &[TeamId],
) -> Result<Vec<Agent>, RoundError> {
    let teams = teams.iter().map(|id| id.as_uuid()).collect();
    let read = agents_read(tx, Some(teams)).await?.into_iter();
    Ok(read.map(|(agent, _)| agent).collect())
}

async fn agents_read(
    tx: &mut PgConnection,
    teams: Option<Vec<Uuid>>,
) -> Result<Vec<(Agent, Load)>, RoundError> {
    let rows: Vec<AgentRow> = sqlx::query_as(
        "SELECT id, display_name, capacity, presence, presence_at, archived_at IS NOT NULL AS archived, version, load,
            load_version, last_assigned, last_assigned_at,
            ARRAY(SELECT team_id FROM routing.agent_team WHERE agent_id = agent.id AND NOT backup ORDER BY team_id)
                AS team_ids,
            ARRAY(SELECT team_id FROM routing.agent_team WHERE agent_id = agent.id AND backup ORDER BY team_id)
                AS backup_ids,
            skills, languages, channel_limits, latitude, longitude, hours
         FROM routing.agent AS agent
         WHERE $1::uuid[] IS NULL OR id IN (SELECT agent_id FROM routing.agent_team WHERE team_id = ANY($1))",
    )
    .bind(&teams)
    .fetch_all(&mut *tx)
    .await?;
    let ids = teams.map(|_| rows.iter().map(|row| row.id).collect::<Vec<_>>());
    let absences: Vec<(Uuid, SqlTimestamp, SqlTimestamp)> = sqlx::query_as(
        "SELECT agent_id, starts_at, ends_at FROM routing.absence WHERE $1::uuid[] IS NULL OR agent_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let mut absent: HashMap<Uuid, Vec<(Timestamp, Timestamp)>> = HashMap::new();
    for (agent, from, to) in absences {
        absent
            .entry(agent)
            .or_default()
            .push((from.to_jiff(), to.to_jiff()));
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let absences = absent.remove(&row.id).unwrap_or_default();
            row.into_agent(absences)
        })
        .collect())
}

impl AgentRow {
    fn into_agent(self, absences: Vec<(Timestamp, Timestamp)>) -> (Agent, Load) {
        let calendar = self.hours.and_then(|spec| match Calendar::new(&spec) {
            Ok(calendar) => Some(Arc::new(calendar)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(agent.id = %self.id, error, "stored working hours do not check; the agent counts as always open");
                None
            }
        });
        let agent = Agent {
            id: AgentId::from_uuid(self.id),
            name: self.display_name,
            teams: self.team_ids.into_iter().map(TeamId::from_uuid).collect(),
            backup_teams: self.backup_ids.into_iter().map(TeamId::from_uuid).collect(),
            presence: Presence::from_name(&self.presence),
            capacity: u32::try_from(self.capacity).unwrap_or(0),
            skills: self.skills.0,
            languages: self.languages.into_iter().collect(),
            limits: self.channel_limits.0,
            location: self
                .latitude
                .zip(self.longitude)
                .map(|(latitude, longitude)| Location {
                    latitude,
                    longitude,
                }),
            hours: Hours { calendar, absences },
            since: self.presence_at.to_jiff(),
            archived: self.archived,
            version: self.version,
        };
        let load = Load {
            count: u32::try_from(self.load).unwrap_or(0),
            version: self.load_version,
            last_assigned: u64::try_from(self.last_assigned).unwrap_or(0),
            last_assigned_at: self.last_assigned_at.map(SqlTimestamp::to_jiff),
        };
        (agent, load)
    }
}

struct TeamRow {
    id: Uuid,
    display_name: String,
    strategy: Option<String>,
    overflow_after_s: Option<i32>,
    overflow_to: Vec<Uuid>,
    mode: String,
    offer_s: i32,
    decline_s: i32,
    take_back: String,
    take_back_after_s: i32,
    rebalance_s: Option<i32>,
    follow_sun: bool,
    gone: bool,
}
solmu_db::from_row!(TeamRow {
    id,
    display_name,
    strategy,
    overflow_after_s,
    overflow_to,
    mode,
    offer_s,
    decline_s,
    take_back,
    take_back_after_s,
    rebalance_s,
    follow_sun,
    gone
});

impl TeamRow {
    fn care(&self) -> Care {
        let seconds = |count: i32| u32::try_from(count).unwrap_or(0);
        Care {
            mode: Mode::from_name(&self.mode).unwrap_or_default(),
            offer_s: seconds(self.offer_s),
            decline_s: seconds(self.decline_s),
            take_back: TakeBack::from_name(&self.take_back).unwrap_or_default(),
            take_back_after_s: seconds(self.take_back_after_s),
            rebalance_s: self.rebalance_s.map(seconds),
        }
    }
}

/// All teams.
pub(crate) async fn teams_load(tx: &mut PgConnection) -> Result<HashMap<TeamId, Team>, RoundError> {
    let rows: Vec<TeamRow> = sqlx::query_as(
        "SELECT id, display_name, strategy, overflow_after_s, overflow_to, mode, offer_s, decline_s, take_back,
            take_back_after_s, rebalance_s, follow_sun, archived_at IS NOT NULL AS gone
         FROM routing.team",
    )
    .fetch_all(tx)
    .await?;
    let typed = |row: TeamRow| {
        let care = row.care();
        let team = Team {
            care,
            gone: row.gone,
            name: row.display_name,
            policy: TeamPolicy {
                overflow_after: row.overflow_after_s.map(|it| i64::from(it) * SECOND),
                overflow_to: row.overflow_to.into_iter().map(TeamId::from_uuid).collect(),
                strategy: row.strategy.as_deref().and_then(Strategy::from_name),
                pull: care.mode == Mode::Pull,
                follow_sun: row.follow_sun,
            },
        };
        (TeamId::from_uuid(row.id), team)
    };
    Ok(rows.into_iter().map(typed).collect())
}

struct RuleRow {
    id: Uuid,
    display_name: String,
    tree: Json<Condition>,
    team_id: Option<Uuid>,
    set_priority: Option<String>,
    add_tags: Vec<String>,
    version: i64,
    agent_id: Option<Uuid>,
    skills: Json<Vec<Wish>>,
    vip: bool,
    hold_s: i32,
    goes_on: bool,
    position: i32,
    zone: String,
}
solmu_db::from_row!(RuleRow {
    id,
    display_name,
    tree,
    team_id,
    set_priority,
    add_tags,
    version,
    agent_id,
    skills,
    vip,
    hold_s,
    goes_on,
    position,
    zone
});

/// Enabled rules in order, compiled. One that no longer fits the fields is left out, loudly: the others still hold.
pub(crate) async fn rules_load(tx: &mut PgConnection, stamp: Stamp) -> Result<RuleSet, RoundError> {
    let rows: Vec<RuleRow> = sqlx::query_as(
        "SELECT id, display_name, tree, team_id, set_priority, add_tags, version, agent_id, skills, vip, hold_s, goes_on,
            position, zone
         FROM routing.rule WHERE enabled AND NOT restricts ORDER BY position, id",
    )
    .fetch_all(&mut *tx)
    .await?;
    let default: Option<Uuid> = sqlx::query_scalar("SELECT id FROM routing.team WHERE is_default")
        .fetch_optional(tx)
        .await?;
    let mut rules = Vec::with_capacity(rows.len());
    for row in rows {
        let condition = match SCHEMA.check(&row.tree) {
            Ok(condition) => condition,
            Err(violations) => {
                let problems: Vec<_> = violations.iter().map(ToString::to_string).collect();
                tracing::error!(rule.id = %row.id, problems = problems.join("; "), "a stored rule does not check and is left out");
                continue;
            }
        };
        let effects = Effects {
            priority: row.set_priority.and_then(|name| name.parse().ok()),
            tags: row.add_tags,
        };
        let rule = Rule::new(
            RuleId::from_uuid(row.id),
            row.version,
            row.display_name,
            condition,
            Actions {
                team: row.team_id.map(TeamId::from_uuid),
                agent: row.agent_id.map(AgentId::from_uuid),
                effects,
                wishes: row.skills.0,
                vip: row.vip,
                hold_s: u32::try_from(row.hold_s).unwrap_or(0),
                goes_on: row.goes_on,
                // Those that do are asked by the ticket service.
                restrict: None,
            },
        );
        // Checked when it was saved; a zone that this machine does not know counts as not given.
        let zone = Some(&row.zone).filter(|zone| !zone.is_empty());
        let zone = zone.and_then(|zone| TimeZone::get(zone).ok());
        rules.push(rule.at(row.position).in_zone(zone));
    }
    let default = default.map(TeamId::from_uuid);
    Ok(RuleSet::new(stamp.rules, rules, default))
}

/// Writes the loads of `changed` agents, if each of them is still as the desk knows them.
///
/// Errors: [`RoundError::RosterMoved`] when one is not: then decisions were made on what is no longer true.
pub(crate) async fn loads_save(
    tx: &mut PgConnection,
    desk: &Desk,
    changed: &[AgentId],
) -> Result<(), RoundError> {
    // Tickets may name agents that the roster does not have.
    let known: Vec<_> = changed
        .iter()
        .filter_map(|id| Some((desk.agent(*id)?, desk.load(*id))))
        .collect();
    if known.is_empty() {
        return Ok(());
    }
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let ids: Vec<Uuid> = known.iter().map(|(it, _)| it.id.as_uuid()).collect();
    let versions: Vec<i64> = known.iter().map(|(it, _)| it.version).collect();
    let loads: Vec<i64> = known.iter().map(|(_, load)| load.count.into()).collect();
    let load_versions: Vec<i64> = known.iter().map(|(_, load)| load.version).collect();
    let turns: Vec<i64> = known
        .iter()
        .map(|(_, load)| number(load.last_assigned))
        .collect();
    let times: Vec<Option<SqlTimestamp>> = known
        .iter()
        .map(|(_, load)| load.last_assigned_at.map(ToSqlx::to_sqlx))
        .collect();
    let written = sqlx::query(
        "UPDATE routing.agent AS agent
         SET load = new.load, load_version = new.load_version, last_assigned = new.last_assigned,
            last_assigned_at = new.last_assigned_at
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[])
            AS new (id, version, load, load_version, last_assigned, last_assigned_at)
         WHERE agent.id = new.id AND agent.version = new.version",
    )
    .bind(ids)
    .bind(versions)
    .bind(loads)
    .bind(load_versions)
    .bind(turns)
    .bind(times)
    .execute(tx)
    .await?
    .rows_affected();
    if written == known.len() as u64 {
        Ok(())
    } else {
        Err(RoundError::RosterMoved)
    }
}

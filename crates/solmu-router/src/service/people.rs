//! Teams, agents and presence.

use jiff::{SignedDuration, Timestamp};
use solmu_db::outbox::{self, Owner};
use solmu_domain::ids::{AgentId, TeamId};
use solmu_proto::routing::v1 as proto;
use solmu_runtime::{ApiError, api_error::Violation, calls::Asked};
use sqlx::PgConnection;

use super::{Resource, Service, once::CALLS, parse, taken};
use crate::{
    core::desk::Presence,
    store::{
        people::{
            AgentProfile, agent_insert, agent_lock, agent_update, agents_fetch, alive_set,
            presence_set,
        },
        team::{default_team, team_insert, team_update, teams_list, teams_missing},
    },
};

/// Seconds that a heartbeat holds.
const HEARTBEAT_S: i64 = 45;

impl Service {
    pub(super) async fn team_create(
        &self,
        team: Option<proto::Team>,
        asked: Option<Asked>,
    ) -> Result<proto::Team, ApiError> {
        let team = team.ok_or_else(|| ApiError::invalid("team", "is missing"))?;
        let profile = parse::team(&team)?;
        let id = TeamId::generate(self.clock.as_ref(), self.rng.as_ref());
        let event = self.changed(Resource::Team, &id);
        let now = self.clock.now();
        let made = self
            .db
            .tx("routing.create_team", |tx| {
                let (profile, event) = (profile.clone(), event.clone());
                let asked = asked.clone();
                Box::pin(async move {
                    let known = CALLS.first(tx, asked.as_ref(), id.as_uuid(), now).await?;
                    if known != id.as_uuid() {
                        return Ok(TeamId::from_uuid(known));
                    }
                    need_teams(tx, &profile.overflow_to, "team.overflow_team_ids").await?;
                    team_insert(tx, id, &profile, team.default, now)
                        .await
                        .map_err(|error| taken(error, Resource::Team, &profile.display_name))?;
                    outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    Ok::<_, ApiError>(id)
                })
            })
            .await?;
        self.team_get(made).await
    }

    pub(super) async fn team_change(
        &self,
        team: Option<proto::Team>,
    ) -> Result<proto::Team, ApiError> {
        let team = team.ok_or_else(|| ApiError::invalid("team", "is missing"))?;
        let id: TeamId = parse::id("team.id", &team.id)?;
        let profile = parse::team(&team)?;
        let event = self.changed(Resource::Team, &id);
        let now = self.clock.now();
        self.db
            .tx("routing.update_team", |tx| {
                let (profile, event) = (profile.clone(), event.clone());
                Box::pin(async move {
                    need_teams(tx, &profile.overflow_to, "team.overflow_team_ids").await?;
                    let found = team_update(tx, id, &profile)
                        .await
                        .map_err(|error| taken(error, Resource::Team, &profile.display_name))?;
                    if !found {
                        return Err(ApiError::not_found("team", &id));
                    }
                    outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    Ok(())
                })
            })
            .await?;
        self.team_get(id).await
    }

    pub(super) async fn team_get(&self, id: TeamId) -> Result<proto::Team, ApiError> {
        let rows = teams_list(self.db.pool(), true).await?;
        let row = rows.into_iter().find(|row| row.id == id.as_uuid());
        row.map(proto::Team::from)
            .ok_or_else(|| ApiError::not_found("team", &id))
    }

    pub(super) async fn team_list(&self, archived: bool) -> Result<Vec<proto::Team>, ApiError> {
        let rows = teams_list(self.db.pool(), archived).await?;
        Ok(rows.into_iter().map(proto::Team::from).collect())
    }

    /// An agent without teams goes into the default one: otherwise they would silently never get work.
    pub(super) async fn agent_create(
        &self,
        agent: Option<proto::Agent>,
        asked: Option<Asked>,
    ) -> Result<proto::Agent, ApiError> {
        let agent = agent.ok_or_else(|| ApiError::invalid("agent", "is missing"))?;
        let profile = parse::profile(&agent)?;
        let presence = match agent.presence() {
            proto::Presence::Unspecified => Presence::Offline,
            asked => parse::presence(asked)?,
        };
        let id = AgentId::generate(self.clock.as_ref(), self.rng.as_ref());
        let event = self.changed(Resource::Agent, &id);
        let now = self.clock.now();
        let made = self
            .db
            .tx("routing.create_agent", |tx| {
                let (mut profile, event) = (profile.clone(), event.clone());
                let asked = asked.clone();
                Box::pin(async move {
                    let known = CALLS.first(tx, asked.as_ref(), id.as_uuid(), now).await?;
                    if known != id.as_uuid() {
                        return Ok(AgentId::from_uuid(known));
                    }
                    if profile.teams.is_empty() {
                        profile.teams.extend(default_team(tx).await?);
                    }
                    need_agents_teams(tx, &profile).await?;
                    agent_insert(tx, id, &profile, presence, now)
                        .await
                        .map_err(|error| taken(error, Resource::Agent, &profile.display_name))?;
                    outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    Ok::<_, ApiError>(id)
                })
            })
            .await?;
        self.agent_get(made).await
    }

    /// Changes what the mask names. The rest stays as it is, also when somebody else changes it at the same time.
    pub(super) async fn agent_change(
        &self,
        request: proto::UpdateAgentRequest,
    ) -> Result<proto::Agent, ApiError> {
        let agent = request
            .agent
            .ok_or_else(|| ApiError::invalid("agent", "is missing"))?;
        let id: AgentId = parse::id("agent.id", &agent.id)?;
        let mask = request.update_mask.unwrap_or_default();
        let event = self.changed(Resource::Agent, &id);
        let now = self.clock.now();
        self.db
            .tx("routing.update_agent", |tx| {
                let (wanted, mask, event) = (agent.clone(), mask.clone(), event.clone());
                Box::pin(async move {
                    let known = agent_lock(tx, id).await?;
                    let present = agents_fetch(&mut *tx, Some(id), false).await?.pop();
                    let present = present
                        .filter(|_| known)
                        .ok_or_else(|| ApiError::not_found("agent", &id))?;
                    let whole = parse::overlay(present.into(), wanted, &mask)?;
                    let profile: AgentProfile = parse::profile(&whole)?;
                    need_agents_teams(tx, &profile).await?;
                    agent_update(tx, id, &profile)
                        .await
                        .map_err(|error| taken(error, Resource::Agent, &profile.display_name))?;
                    outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    Ok::<_, ApiError>(())
                })
            })
            .await?;
        self.agent_get(id).await
    }

    pub(super) async fn agent_get(&self, id: AgentId) -> Result<proto::Agent, ApiError> {
        let row = agents_fetch(self.db.pool(), Some(id), true).await?.pop();
        row.map(proto::Agent::from)
            .ok_or_else(|| ApiError::not_found("agent", &id))
    }

    pub(super) async fn agent_list(&self, archived: bool) -> Result<Vec<proto::Agent>, ApiError> {
        let rows = agents_fetch(self.db.pool(), None, archived).await?;
        Ok(rows.into_iter().map(proto::Agent::from).collect())
    }

    pub(super) async fn presence_change(
        &self,
        id: AgentId,
        presence: Presence,
    ) -> Result<proto::Agent, ApiError> {
        let event = self.changed(Resource::Agent, &id);
        let now = self.clock.now();
        self.db
            .tx("routing.set_presence", |tx| {
                let event = event.clone();
                Box::pin(async move {
                    if presence_set(tx, id, presence, now).await? {
                        outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    }
                    Ok::<_, ApiError>(())
                })
            })
            .await?;
        self.agent_get(id).await
    }
}

impl Service {
    /// An agent is there for another while; says until when. Somebody who was offline stays so: coming back is a choice.
    pub(super) async fn heartbeat(&self, id: AgentId) -> Result<Timestamp, ApiError> {
        let until = self
            .clock
            .now()
            .checked_add(SignedDuration::from_secs(HEARTBEAT_S))
            .unwrap_or(Timestamp::MAX);
        let found = self
            .db
            .tx("routing.heartbeat", |tx| {
                Box::pin(async move { Ok::<_, ApiError>(alive_set(tx, id, until).await?) })
            })
            .await?;
        if found {
            Ok(until)
        } else {
            Err(ApiError::not_found("agent", &id))
        }
    }
}

async fn need_agents_teams(tx: &mut PgConnection, profile: &AgentProfile) -> Result<(), ApiError> {
    need_teams(tx, &profile.teams, "agent.team_ids").await?;
    need_teams(tx, &profile.backup_teams, "agent.backup_team_ids").await
}

/// Fails with a violation for each team that does not exist.
pub(super) async fn need_teams(
    tx: &mut PgConnection,
    teams: &[TeamId],
    field: &str,
) -> Result<(), ApiError> {
    let missing = teams_missing(tx, teams).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let violations = missing.iter();
    let violations = violations.map(|id| Violation::new(field, format!("there is no team '{id}'")));
    Err(ApiError::InvalidArgument {
        violations: violations.collect(),
    })
}

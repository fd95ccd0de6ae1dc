//! Teams, agents and presence.

use solmu_db::outbox::{self, Owner};
use solmu_domain::ids::{AgentId, TeamId};
use solmu_proto::routing::v1 as proto;
use solmu_runtime::{ApiError, api_error::Violation};
use sqlx::PgConnection;

use super::{Resource, Service, parse, taken};
use crate::{
    core::desk::Presence,
    store::people::{
        AgentProfile, agent_insert, agent_update, agents_fetch, default_team, presence_set,
        team_insert, teams_list, teams_missing,
    },
};

impl Service {
    pub(super) async fn team_create(
        &self,
        team: Option<proto::Team>,
    ) -> Result<proto::Team, ApiError> {
        let team = team.ok_or_else(|| ApiError::invalid("team", "is missing"))?;
        let display_name = parse::team_name(&team.display_name)?;
        let id = TeamId::generate(self.clock.as_ref(), self.rng.as_ref());
        let event = self.changed(Resource::Team, &id);
        let now = self.clock.now();
        let default = self
            .db
            .tx("routing.create_team", |tx| {
                let (name, event) = (display_name.clone(), event.clone());
                Box::pin(async move {
                    let default = team_insert(tx, id, &name, team.default, now)
                        .await
                        .map_err(|error| taken(error, Resource::Team, &name))?;
                    outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    Ok::<_, ApiError>(default)
                })
            })
            .await?;
        self.relay.wake(Owner::Routing);
        Ok(proto::Team {
            id: id.to_string(),
            display_name,
            default,
        })
    }

    pub(super) async fn team_list(&self) -> Result<Vec<proto::Team>, ApiError> {
        let rows = teams_list(self.db.pool()).await?;
        Ok(rows.into_iter().map(proto::Team::from).collect())
    }

    /// An agent without teams goes into the default one: otherwise they would silently never get work.
    pub(super) async fn agent_create(
        &self,
        agent: Option<proto::Agent>,
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
        self.db
            .tx("routing.create_agent", |tx| {
                let (mut profile, event) = (profile.clone(), event.clone());
                Box::pin(async move {
                    if profile.teams.is_empty() {
                        profile.teams.extend(default_team(tx).await?);
                    }
                    need_teams(tx, &profile.teams, "agent.team_ids").await?;
                    agent_insert(tx, id, &profile, presence, now)
                        .await
                        .map_err(|error| taken(error, Resource::Agent, &profile.display_name))?;
                    outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    Ok::<_, ApiError>(())
                })
            })
            .await?;
        self.relay.wake(Owner::Routing);
        self.agent_get(id).await
    }

    pub(super) async fn agent_change(
        &self,
        agent: Option<proto::Agent>,
    ) -> Result<proto::Agent, ApiError> {
        let agent = agent.ok_or_else(|| ApiError::invalid("agent", "is missing"))?;
        let id: AgentId = parse::id("agent.id", &agent.id)?;
        let profile: AgentProfile = parse::profile(&agent)?;
        let event = self.changed(Resource::Agent, &id);
        let now = self.clock.now();
        self.db
            .tx("routing.update_agent", |tx| {
                let (profile, event) = (profile.clone(), event.clone());
                Box::pin(async move {
                    need_teams(tx, &profile.teams, "agent.team_ids").await?;
                    let found = agent_update(tx, id, &profile)
                        .await
                        .map_err(|error| taken(error, Resource::Agent, &profile.display_name))?;
                    if !found {
                        return Err(ApiError::not_found("agent", &id));
                    }
                    outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    Ok(())
                })
            })
            .await?;
        self.relay.wake(Owner::Routing);
        self.agent_get(id).await
    }

    pub(super) async fn agent_get(&self, id: AgentId) -> Result<proto::Agent, ApiError> {
        let row = agents_fetch(self.db.pool(), Some(id)).await?.pop();
        row.map(proto::Agent::from)
            .ok_or_else(|| ApiError::not_found("agent", &id))
    }

    pub(super) async fn agent_list(&self) -> Result<Vec<proto::Agent>, ApiError> {
        let rows = agents_fetch(self.db.pool(), None).await?;
        Ok(rows.into_iter().map(proto::Agent::from).collect())
    }

    pub(super) async fn presence_change(
        &self,
        id: AgentId,
        presence: Presence,
    ) -> Result<proto::Agent, ApiError> {
        let event = self.changed(Resource::Agent, &id);
        let now = self.clock.now();
        let changed = self
            .db
            .tx("routing.set_presence", |tx| {
                let event = event.clone();
                Box::pin(async move {
                    let changed = presence_set(tx, id, presence, now).await?;
                    if changed {
                        outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    }
                    Ok::<_, ApiError>(changed)
                })
            })
            .await?;
        if changed {
            self.relay.wake(Owner::Routing);
        }
        self.agent_get(id).await
    }
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

//! What a fresh installation starts with: a default team and somebody who gets its tickets.

use std::sync::Arc;

use solmu_db::outbox::{self, Owner};
use solmu_domain::ids::{AgentId, TeamId};
use solmu_runtime::Runtime;

use crate::{
    core::desk::Presence,
    error::Error,
    service::{Resource, roster_changed},
    store::{
        people::{AgentProfile, agent_first, agent_insert},
        team::{TeamProfile, default_team, team_insert},
    },
};

/// Name of the team that a fresh installation has.
const FIRST_TEAM: &str = "Support";

/// The agent whom a fresh installation has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstAgent {
    /// Their name.
    pub display_name: String,
    /// Open tickets at most.
    pub capacity: u32,
}

impl Default for FirstAgent {
    fn default() -> Self {
        Self {
            display_name: "First agent".to_owned(),
            capacity: 1_000,
        }
    }
}

/// Makes the default team "Support" and, online in it, the first agent, where there are none. Returns that agent, or
/// the one who was made first. Any number of processes may call this at the same time.
pub async fn bootstrap(runtime: &Runtime, first: FirstAgent) -> Result<AgentId, Error> {
    let (clock, rng) = (Arc::clone(&runtime.clock), Arc::clone(&runtime.rng));
    let new_team = TeamId::generate(clock.as_ref(), rng.as_ref());
    let new_agent = AgentId::generate(clock.as_ref(), rng.as_ref());
    let changed = |kind, id: &str| roster_changed(&runtime.bus, &clock, &rng, kind, id);
    let team_event = changed(Resource::Team, &new_team.to_string());
    let agent_event = changed(Resource::Agent, &new_agent.to_string());
    let now = clock.now();
    let capacity = i32::try_from(first.capacity.clamp(1, 1_000_000)).unwrap_or(i32::MAX);
    let agent = runtime
        .db
        .tx("routing.bootstrap", |tx| {
            let events = (team_event.clone(), agent_event.clone());
            let display_name = first.display_name.clone();
            Box::pin(async move {
                // One at a time: the second finds what the first has made.
                sqlx::query("LOCK TABLE routing.team, routing.agent IN SHARE ROW EXCLUSIVE MODE")
                    .execute(&mut *tx)
                    .await
                    .map_err(solmu_db::DbError::from)?;
                let mut told = Vec::new();
                let team = if let Some(team) = default_team(tx).await? {
                    team
                } else {
                    let profile = TeamProfile {
                        display_name: FIRST_TEAM.to_owned(),
                        ..TeamProfile::default()
                    };
                    team_insert(tx, new_team, &profile, true, now).await?;
                    told.push(events.0);
                    new_team
                };
                let agent = if let Some(agent) = agent_first(tx).await? {
                    agent
                } else {
                    let profile = AgentProfile {
                        display_name,
                        capacity,
                        teams: vec![team],
                        ..AgentProfile::default()
                    };
                    agent_insert(tx, new_agent, &profile, Presence::Online, now).await?;
                    told.push(events.1);
                    new_agent
                };
                outbox::add(tx, Owner::Routing, told, now).await?;
                Ok::<_, Error>(agent)
            })
        })
        .await?;
    Ok(agent)
}

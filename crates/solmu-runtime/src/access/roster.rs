//! Which agent is in which teams, and which agent a person is: asked of the router, who owns it.
//!
//! The answer is kept for some seconds. When the router is away, what was known goes on for a while: agents must not be
//! locked out by a restart of the router, and a team that somebody left ten minutes ago is no secret of the state.
//! Without any answer an agent sees nothing: refusing is the safe side.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use solmu_domain::ids::{AgentId, TeamId};
use solmu_proto::routing::v1::{
    Agent, ListAgentsRequest, routing_service_client::RoutingServiceClient,
};
use tokio::time::Instant;
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

use super::config::AccessConfig;
use crate::api_error::ApiError;

/// How long the router may take to answer.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 120 } else { 5 });
/// How long an old answer holds while the router is away.
const STALE: Duration = Duration::from_mins(10);
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// Why the roster is not known.
#[derive(Debug, thiserror::Error)]
enum RosterError {
    #[error("there is no access.roster_endpoint")]
    NotConfigured,
    #[error("the router does not give the roster")]
    Refused(#[source] Box<Status>),
}

/// The agents at one time.
#[derive(Debug, Default)]
struct Agents {
    teams: HashMap<AgentId, Arc<[TeamId]>>,
    /// By lower-case address; two agents with one address leave it to neither.
    by_email: HashMap<String, Option<AgentId>>,
}

impl Agents {
    fn of(agents: &[Agent]) -> Self {
        let mut all = Self::default();
        for agent in agents {
            let Ok(id) = agent.id.parse::<AgentId>() else {
                continue;
            };
            let teams = agent.team_ids.iter().chain(&agent.backup_team_ids);
            let teams = teams.filter_map(|team| team.parse().ok()).collect();
            all.teams.insert(id, teams);
            if !agent.email.is_empty() {
                all.by_email
                    .entry(agent.email.to_lowercase())
                    .and_modify(|known| *known = None)
                    .or_insert(Some(id));
            }
        }
        all
    }
}

/// What is known of the roster.
#[derive(Debug)]
pub(super) struct Roster {
    client: Option<(RoutingServiceClient<Channel>, String)>,
    fresh: Duration,
    known: Mutex<Option<(Instant, Arc<Agents>)>>,
    /// When the router last gave no answer.
    failed: Mutex<Option<Instant>>,
    /// One question at a time.
    asking: tokio::sync::Mutex<()>,
}

impl Roster {
    pub(super) fn new(config: &AccessConfig) -> Self {
        let endpoint = Endpoint::from_shared(config.roster_endpoint.clone())
            .ok()
            .filter(|_| !config.roster_endpoint.is_empty());
        let client = endpoint.map(|endpoint| {
            let channel = endpoint
                .connect_timeout(PATIENCE)
                .timeout(PATIENCE)
                .connect_lazy();
            let client = RoutingServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER);
            (client, config.roster_token.expose().to_owned())
        });
        Self {
            client,
            fresh: Duration::from_secs(config.roster_seconds),
            known: Mutex::new(None),
            failed: Mutex::new(None),
            asking: tokio::sync::Mutex::new(()),
        }
    }

    /// The teams of an agent; none for one who does not exist. UNAVAILABLE when nobody can say.
    pub(super) async fn teams(&self, agent: AgentId) -> Result<Arc<[TeamId]>, ApiError> {
        let agents = self.agents().await?;
        Ok(agents.teams.get(&agent).cloned().unwrap_or_default())
    }

    /// The teams of an agent, as far as anybody can say: for callers who need no team to be let in. A router that is
    /// away is not asked again by each of them.
    pub(super) async fn known_teams(&self, agent: AgentId) -> Arc<[TeamId]> {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let away = failed.is_some_and(|at| at.elapsed() < self.fresh);
        let agents = if self.client.is_none() || away {
            self.younger_than(STALE)
        } else {
            self.agents().await.ok()
        };
        let teams = agents.and_then(|agents| agents.teams.get(&agent).cloned());
        teams.unwrap_or_default()
    }

    /// Whether there is such an agent.
    pub(super) async fn exists(&self, agent: AgentId) -> Result<bool, ApiError> {
        Ok(self.agents().await?.teams.contains_key(&agent))
    }

    /// The agent with this address, if exactly one has it.
    pub(super) async fn by_email(&self, address: &str) -> Result<Option<AgentId>, ApiError> {
        let agents = self.agents().await?;
        Ok(agents
            .by_email
            .get(&address.to_lowercase())
            .copied()
            .flatten())
    }

    async fn agents(&self) -> Result<Arc<Agents>, ApiError> {
        if let Some(agents) = self.younger_than(self.fresh) {
            return Ok(agents);
        }
        let _one = self.asking.lock().await;
        // Somebody else may have asked while we waited.
        if let Some(agents) = self.younger_than(self.fresh) {
            return Ok(agents);
        }
        match self.ask().await {
            Ok(agents) => {
                let agents = Arc::new(agents);
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((Instant::now(), Arc::clone(&agents)));
                Ok(agents)
            }
            Err(error) => {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot ask for the teams of agents"
                );
                self.younger_than(STALE)
                    .ok_or_else(|| ApiError::unavailable(error))
            }
        }
    }

    fn younger_than(&self, age: Duration) -> Option<Arc<Agents>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, agents) = known.as_ref()?;
        (read.elapsed() < age).then(|| Arc::clone(agents))
    }

    async fn ask(&self) -> Result<Agents, RosterError> {
        let (client, token) = self.client.as_ref().ok_or(RosterError::NotConfigured)?;
        let mut request = Request::new(ListAgentsRequest::default());
        if let Ok(mut value) = MetadataValue::try_from(format!("Bearer {token}")) {
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        let answer = client.clone().list_agents(request).await;
        let answer = answer.map_err(|status| RosterError::Refused(Box::new(status)))?;
        Ok(Agents::of(&answer.into_inner().agents))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_two_agents_is_nobodys() {
        let id = |n: u8| format!("0190b5a0-0000-7000-8000-0000000000{n:02}");
        let agent = |n: u8, email: &str| Agent {
            id: id(n),
            email: email.to_owned(),
            team_ids: vec![id(90)],
            backup_team_ids: vec![id(91)],
            ..Agent::default()
        };
        let agents = Agents::of(&[agent(1, "A@x.fi"), agent(2, "b@x.fi"), agent(3, "a@X.fi")]);
        assert_eq!(agents.by_email["a@x.fi"], None);
        assert_eq!(agents.by_email["b@x.fi"], Some(id(2).parse().unwrap()));
        assert_eq!(agents.teams[&id(1).parse().unwrap()].len(), 2);
    }

    #[tokio::test]
    async fn without_a_router_nobody_is_known() {
        let roster = Roster::new(&AccessConfig::default());
        let error = roster.by_email("a@x.fi").await.unwrap_err();
        assert_eq!(Status::from(error).code(), tonic::Code::Unavailable);
    }
}

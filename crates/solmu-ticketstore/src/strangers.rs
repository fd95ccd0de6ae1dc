//! Agents and teams that people name and that do not exist: asked of the router before a ticket is given to one.
//!
//! A ticket that is given to a team that nobody works in is in no queue, and who is bound to teams sees it no more. So what
//! is named by hand is looked up: what is known to exist is believed for a while, the rest is asked of the router at once, and
//! not of a copy, in which somebody who was added a moment ago would be missing. A router that is away, or not
//! configured, refuses nothing: work goes on without it, and it gives back what was given to nobody once it hears of it.
//!
//! Nothing is asked while a transaction is open. What was found is handed to the change, which refuses it in its own
//! order: a repeat under a request id still has its old answer.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use solmu_proto::routing::v1::{
    GetAgentRequest, ListTeamsRequest, routing_service_client::RoutingServiceClient,
};
use solmu_runtime::api_error::Violation;
use tokio::time::Instant;
use tonic::{
    Code, Request, Status,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use crate::config::AgentMail;

/// How long what is known to exist is believed to. Somebody who is removed meanwhile loses it again by the router.
const BELIEVED: Duration = Duration::from_mins(1);
/// How long a router that did not answer is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(5);
/// Ids that are remembered at most; then all are forgotten.
const MAX_KNOWN: usize = 100_000;

/// Somebody whom a call names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// An agent, in the field that names them.
    Agent(Uuid, String),
    /// A team.
    Team(Uuid, String),
}

impl Named {
    const fn id(&self) -> Uuid {
        match self {
            Self::Agent(id, _) | Self::Team(id, _) => *id,
        }
    }

    /// Those of a change of owner and team that are set, in the fields `agent` and `team`.
    pub fn owner(
        (agent, agent_field): (Option<Uuid>, &str),
        (team, team_field): (Option<Uuid>, &str),
    ) -> Vec<Self> {
        let agent = agent.map(|id| Self::Agent(id, agent_field.to_owned()));
        let team = team.map(|id| Self::Team(id, team_field.to_owned()));
        agent.into_iter().chain(team).collect()
    }
}

/// What was named and is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strangers(Vec<(Uuid, Violation)>);

impl Strangers {
    /// What is wrong with those of `ids` that are not there.
    pub fn among(&self, ids: &[Uuid]) -> Vec<Violation> {
        let found = self.0.iter().filter(|(id, _)| ids.contains(id));
        found.map(|(_, violation)| violation.clone()).collect()
    }

    /// What is wrong with all of them.
    pub fn violations(self) -> Vec<Violation> {
        self.0.into_iter().map(|(_, violation)| violation).collect()
    }

    /// Whether everybody is there, as far as anybody can say.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Who exists, as the router says.
#[derive(Debug)]
pub struct Roster {
    endpoint: Option<Endpoint>,
    token: String,
    client: OnceLock<RoutingServiceClient<Channel>>,
    /// Since when each was known to exist.
    known: Mutex<HashMap<Uuid, Instant>>,
    /// When the router last gave no answer.
    failed: Mutex<Option<Instant>>,
}

impl Roster {
    /// The router that `config` names.
    pub fn new(config: &AgentMail) -> Self {
        let patience = Duration::from_millis(config.roster_patience_ms);
        let endpoint = Endpoint::from_shared(config.roster_endpoint.clone())
            .ok()
            .filter(|_| !config.roster_endpoint.is_empty())
            .map(|it| it.connect_timeout(patience).timeout(patience));
        Self {
            endpoint,
            token: config.roster_token.expose().to_owned(),
            client: OnceLock::new(),
            known: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Those of `named` that are not there; none if nobody can say.
    pub async fn strangers(&self, named: &[Named]) -> Strangers {
        let asked: Vec<&Named> = named.iter().filter(|it| !self.is_known(it.id())).collect();
        if asked.is_empty() || self.is_away() {
            return Strangers::default();
        }
        match self.ask(&asked).await {
            Ok(strangers) => strangers,
            Err(status) => {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                tracing::warn!(
                    error = &status as &dyn std::error::Error,
                    "cannot ask the router whom a call names; it is believed"
                );
                Strangers::default()
            }
        }
    }

    fn is_known(&self, id: Uuid) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&id).is_some_and(|at| at.elapsed() < BELIEVED)
    }

    fn is_away(&self) -> bool {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        self.endpoint.is_none() || failed.is_some_and(|at| at.elapsed() < LEFT_ALONE)
    }

    fn believe(&self, ids: impl IntoIterator<Item = Uuid>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        let now = Instant::now();
        known.extend(ids.into_iter().map(|id| (id, now)));
    }

    async fn ask(&self, asked: &[&Named]) -> Result<Strangers, Status> {
        let mut strangers = Vec::new();
        let mut teams: Option<HashSet<Uuid>> = None;
        let mut seen = HashSet::new();
        for named in asked {
            match named {
                Named::Agent(id, field) => {
                    if !self.has_agent(*id).await? {
                        strangers.push((*id, stranger(field, "agent", *id)));
                    }
                }
                Named::Team(id, field) => {
                    let teams = match &mut teams {
                        Some(teams) => teams,
                        unasked => unasked.insert(self.teams().await?),
                    };
                    if !teams.contains(id) {
                        strangers.push((*id, stranger(field, "team", *id)));
                    }
                }
            }
            seen.insert(named.id());
        }
        let there = seen
            .into_iter()
            .filter(|id| !strangers.iter().any(|(it, _)| it == id));
        self.believe(there);
        Ok(Strangers(strangers))
    }

    async fn has_agent(&self, id: Uuid) -> Result<bool, Status> {
        let request = self.request(GetAgentRequest { id: id.to_string() });
        match self.client()?.get_agent(request).await {
            Ok(answer) => Ok(answer.into_inner().archive_time.is_none()),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => Err(status),
        }
    }

    async fn teams(&self) -> Result<HashSet<Uuid>, Status> {
        let request = self.request(ListTeamsRequest::default());
        let teams = self.client()?.list_teams(request).await?.into_inner().teams;
        Ok(teams.iter().filter_map(|it| it.id.parse().ok()).collect())
    }

    fn client(&self) -> Result<RoutingServiceClient<Channel>, Status> {
        let endpoint = self.endpoint.as_ref();
        let endpoint = endpoint.ok_or_else(|| Status::unavailable("there is no router"))?;
        let client = self
            .client
            .get_or_init(|| RoutingServiceClient::new(endpoint.connect_lazy()));
        Ok(client.clone())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if !self.token.is_empty()
            && let Ok(mut value) = MetadataValue::try_from(format!("Bearer {}", self.token))
        {
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        request
    }
}

fn stranger(field: &str, what: &str, id: Uuid) -> Violation {
    Violation::new(field, format!("there is no {what} '{id}'"))
}

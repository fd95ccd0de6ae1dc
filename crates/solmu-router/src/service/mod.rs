//! `solmu.routing.v1.RoutingService`: teams, agents, presence and rules, and why a ticket is where it is.
//!
//! Each change and its `RosterChanged` commit together; the leader hears of it and matches at once.

mod convert;
mod parse;
mod people;
mod rules;

use std::sync::Arc;

use solmu_bus::{Bus, Event, envelope::to_proto_time};
use solmu_db::{Db, DbError, outbox::OutboxEvent};
use solmu_domain::{
    clock::SharedClock,
    ids::{EventId, TicketId},
    rng::SharedRng,
};
use solmu_proto::routing::v1::{self as proto, routing_service_server::RoutingService};
use solmu_runtime::{
    ApiError, Runtime,
    access::{Caller, Role, caller},
    relay::Wake,
};
use tonic::{Request, Response, Status};

use crate::{
    engine::outbox_event,
    store::decision::{decisions_of, wait_reason},
    texts::RoutingTexts,
};

/// Who may look.
const READERS: [Role; 3] = [Role::Admin, Role::Agent, Role::Service];
/// Who may change things.
const MANAGERS: [Role; 2] = [Role::Admin, Role::Service];
/// Decisions that one answer shows.
const EXPLAINED: i64 = 100;

/// The service.
pub(crate) struct Service {
    db: Db,
    bus: Bus,
    clock: SharedClock,
    rng: SharedRng,
    relay: Wake,
    texts: Arc<dyn RoutingTexts>,
}

impl Service {
    pub(crate) fn new(runtime: &Runtime, texts: Arc<dyn RoutingTexts>) -> Self {
        Self {
            db: runtime.db.clone(),
            bus: runtime.bus.clone(),
            clock: Arc::clone(&runtime.clock),
            rng: Arc::clone(&runtime.rng),
            relay: runtime.outbox.clone(),
            texts,
        }
    }

    /// The event that tells of a change. Made before the transaction, which may run twice.
    fn changed(&self, kind: Resource, id: &impl ToString) -> OutboxEvent {
        roster_changed(&self.bus, &self.clock, &self.rng, kind, &id.to_string())
    }

    async fn explain(&self, ticket: TicketId) -> Result<Vec<proto::Decision>, ApiError> {
        let decisions = decisions_of(self.db.pool(), ticket, EXPLAINED).await?;
        if !decisions.is_empty() {
            return Ok(decisions.into_iter().map(proto::Decision::from).collect());
        }
        match wait_reason(self.db.pool(), ticket).await? {
            None => Err(ApiError::not_found("ticket", &ticket)),
            // Not decided on yet, and that has a reason.
            Some(reason) => Ok(reason
                .map(|reason| proto::Decision {
                    reason,
                    ..proto::Decision::default()
                })
                .into_iter()
                .collect()),
        }
    }
}

/// What changed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Resource {
    Team,
    Agent,
    Rule,
}

impl Resource {
    /// The name in events and errors.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Team => "team",
            Self::Agent => "agent",
            Self::Rule => "rule",
        }
    }
}

/// The event that something on the roster changed, ready for the outbox.
pub(crate) fn roster_changed(
    bus: &Bus,
    clock: &SharedClock,
    rng: &SharedRng,
    kind: Resource,
    id: &str,
) -> OutboxEvent {
    let now = clock.now();
    let body = proto::RosterChanged {
        resource_id: id.to_owned(),
        resource_kind: kind.name().to_owned(),
        change_time: Some(to_proto_time(now)),
    };
    let event = EventId::generate(clock.as_ref(), rng.as_ref());
    outbox_event(bus, &Event::new(event, now, &body))
}

/// A unique key that is taken already is the caller's mistake; all else is ours.
fn taken(error: DbError, resource: Resource, name: &str) -> ApiError {
    let unique = matches!(
        &error,
        DbError::Sqlx(sqlx::Error::Database(error)) if error.is_unique_violation()
    );
    if unique {
        ApiError::AlreadyExists {
            resource: resource.name(),
            id: name.to_owned(),
        }
    } else {
        error.into()
    }
}

fn allow<'a, T>(request: &'a Request<T>, roles: &[Role]) -> Result<&'a Caller, Status> {
    let caller = caller(request)?;
    caller.require(roles)?;
    Ok(caller)
}

#[tonic::async_trait]
impl RoutingService for Service {
    async fn create_team(
        &self,
        request: Request<proto::CreateTeamRequest>,
    ) -> Result<Response<proto::Team>, Status> {
        allow(&request, &MANAGERS)?;
        let team = self.team_create(request.into_inner().team).await?;
        Ok(Response::new(team))
    }

    async fn list_teams(
        &self,
        request: Request<proto::ListTeamsRequest>,
    ) -> Result<Response<proto::ListTeamsResponse>, Status> {
        allow(&request, &READERS)?;
        let teams = self.team_list().await?;
        Ok(Response::new(proto::ListTeamsResponse { teams }))
    }

    async fn create_agent(
        &self,
        request: Request<proto::CreateAgentRequest>,
    ) -> Result<Response<proto::Agent>, Status> {
        allow(&request, &MANAGERS)?;
        let agent = self.agent_create(request.into_inner().agent).await?;
        Ok(Response::new(agent))
    }

    async fn update_agent(
        &self,
        request: Request<proto::UpdateAgentRequest>,
    ) -> Result<Response<proto::Agent>, Status> {
        allow(&request, &MANAGERS)?;
        let agent = self.agent_change(request.into_inner().agent).await?;
        Ok(Response::new(agent))
    }

    async fn get_agent(
        &self,
        request: Request<proto::GetAgentRequest>,
    ) -> Result<Response<proto::Agent>, Status> {
        allow(&request, &READERS)?;
        let id = parse::id("id", &request.into_inner().id)?;
        Ok(Response::new(self.agent_get(id).await?))
    }

    async fn list_agents(
        &self,
        request: Request<proto::ListAgentsRequest>,
    ) -> Result<Response<proto::ListAgentsResponse>, Status> {
        allow(&request, &READERS)?;
        let agents = self.agent_list().await?;
        Ok(Response::new(proto::ListAgentsResponse { agents }))
    }

    async fn set_presence(
        &self,
        request: Request<proto::SetPresenceRequest>,
    ) -> Result<Response<proto::Agent>, Status> {
        let caller = allow(&request, &READERS)?.clone();
        let request = request.into_inner();
        let id = parse::id("agent_id", &request.agent_id)?;
        if caller.role == Role::Agent && caller.agent_id != Some(id) {
            return Err(ApiError::PermissionDenied {
                reason: "OTHER_AGENT",
                message: "an agent sets their own presence only".to_owned(),
            }
            .into());
        }
        let presence = parse::presence(request.presence())?;
        Ok(Response::new(self.presence_change(id, presence).await?))
    }

    async fn create_rule(
        &self,
        request: Request<proto::CreateRuleRequest>,
    ) -> Result<Response<proto::Rule>, Status> {
        allow(&request, &MANAGERS)?;
        let rule = self.rule_create(request.into_inner().rule).await?;
        Ok(Response::new(rule))
    }

    async fn list_rules(
        &self,
        request: Request<proto::ListRulesRequest>,
    ) -> Result<Response<proto::ListRulesResponse>, Status> {
        allow(&request, &READERS)?;
        let rules = self.rule_list().await?;
        Ok(Response::new(proto::ListRulesResponse { rules }))
    }

    async fn update_rule(
        &self,
        request: Request<proto::UpdateRuleRequest>,
    ) -> Result<Response<proto::Rule>, Status> {
        allow(&request, &MANAGERS)?;
        let rule = self.rule_change(request.into_inner().rule).await?;
        Ok(Response::new(rule))
    }

    async fn delete_rule(
        &self,
        request: Request<proto::DeleteRuleRequest>,
    ) -> Result<Response<proto::DeleteRuleResponse>, Status> {
        allow(&request, &MANAGERS)?;
        let id = parse::id("id", &request.into_inner().id)?;
        self.rule_remove(id).await?;
        Ok(Response::new(proto::DeleteRuleResponse {}))
    }

    async fn explain_routing(
        &self,
        request: Request<proto::ExplainRoutingRequest>,
    ) -> Result<Response<proto::ExplainRoutingResponse>, Status> {
        allow(&request, &READERS)?;
        let ticket = parse::id("ticket_id", &request.into_inner().ticket_id)?;
        let decisions = self.explain(ticket).await?;
        Ok(Response::new(proto::ExplainRoutingResponse { decisions }))
    }
}

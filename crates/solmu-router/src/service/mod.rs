//! `solmu.routing.v1.RoutingService`: teams, agents, presence and rules, and why a ticket is where it is.
//!
//! Each change and its `RosterChanged` commit together; the leader hears of it and matches at once.

mod asked;
mod convert;
mod dry_run;
mod fields;
mod offers;
pub(crate) mod once;
mod people;
mod presence;
mod queues;
mod removal;
mod restricting;
mod rules;
mod warnings;

use std::sync::Arc;

use jiff::tz::TimeZone;
use solmu_bus::{Bus, Event, envelope::to_proto_time};
use solmu_db::{Db, DbError, outbox::OutboxEvent};
use solmu_domain::{
    clock::SharedClock,
    ids::{AgentId, EventId, TicketId},
    rng::SharedRng,
};
use solmu_matching::Policy;
use solmu_proto::routing::v1::{self as proto, routing_service_server::RoutingService};
use solmu_roster::parse;
use solmu_runtime::{
    ApiError, Runtime,
    access::{Caller, Restriction, Role, Visibility, caller},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{config::Config, engine::outbox_event, store::queue::owner_of, texts::RoutingTexts};

/// Who may look.
const READERS: [Role; 3] = [Role::Admin, Role::Agent, Role::Service];
/// Who may change things.
const MANAGERS: [Role; 2] = [Role::Admin, Role::Service];

/// The service.
#[derive(Clone)]
pub(crate) struct Service {
    db: Db,
    bus: Bus,
    clock: SharedClock,
    rng: SharedRng,
    texts: Arc<dyn RoutingTexts>,
    /// Of the fields `hour` and `weekday` of rules.
    zone: TimeZone,
    policy: Policy,
    /// Absent: languages do not matter.
    language_relax_s: Option<u32>,
    drain: CancellationToken,
    /// Wakes the leader if it is in this process.
    nudge: Arc<Notify>,
}

impl Service {
    pub(crate) fn new(
        runtime: &Runtime,
        config: &Config,
        texts: Arc<dyn RoutingTexts>,
        nudge: Arc<Notify>,
    ) -> Self {
        let terms = config.matching.terms();
        Self {
            zone: terms.zone,
            policy: terms.policy,
            language_relax_s: terms.language_relax_s,
            drain: runtime.shutdown.drain.clone(),
            db: runtime.db.clone(),
            bus: runtime.bus.clone(),
            clock: Arc::clone(&runtime.clock),
            rng: Arc::clone(&runtime.rng),
            texts,
            nudge,
        }
    }

    /// The event that tells of a change. Made before the transaction, which may run twice.
    fn changed(&self, kind: Resource, id: &impl ToString) -> OutboxEvent {
        roster_changed(&self.bus, &self.clock, &self.rng, kind, &id.to_string())
    }

    /// NOT_FOUND unless the caller sees the ticket, as for one that does not exist.
    async fn check_sight(&self, caller: &Caller, ticket: TicketId) -> Result<(), ApiError> {
        let (pool, visibility) = (self.db.pool(), caller.visibility());
        if visibility == &Visibility::Everything {
            return Ok(());
        }
        let hidden = || ApiError::not_found("ticket", &ticket);
        let (team, owner) = owner_of(pool, ticket).await?.ok_or_else(hidden)?;
        let id = ticket.as_uuid();
        let seen = visibility.sees_ticket(pool, id, team, owner).await?;
        seen.then_some(()).ok_or_else(hidden)
    }

    /// Leaves out restricted tickets that the caller does not see.
    async fn hide_restricted(
        &self,
        caller: &Caller,
        changes: &mut Vec<proto::DryRunChange>,
    ) -> Result<(), ApiError> {
        let Some(names) = caller.visibility().sight_binds().names else {
            return Ok(());
        };
        let ids = changes.iter().filter_map(|it| it.ticket_id.parse().ok());
        let mut connection = self.db.pool().acquire().await.map_err(DbError::from)?;
        let known = Restriction::of(&mut connection, &ids.collect::<Vec<_>>()).await?;
        let hidden = known.into_iter().filter(|(_, it)| {
            let whom = it.names();
            !names.iter().any(|name| whom.contains(name))
        });
        let hidden: Vec<String> = hidden.map(|(id, _)| id.to_string()).collect();
        changes.retain(|it| !hidden.contains(&it.ticket_id));
        Ok(())
    }
}

/// What changed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Resource {
    Team,
    Agent,
    Rule,
    /// An agent has answered it.
    Offer,
    /// An agent asks for the next ticket.
    Pull,
}

impl Resource {
    /// The name in events and errors.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Team => "team",
            Self::Agent => "agent",
            Self::Rule => "rule",
            Self::Offer => "offer",
            Self::Pull => "pull",
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

/// The agent who is meant. Agents speak for themselves only.
fn oneself(caller: &Caller, agent_id: &str) -> Result<AgentId, ApiError> {
    let id = parse::id("agent_id", agent_id)?;
    if caller.role == Role::Agent && caller.agent_id != Some(id) {
        return Err(ApiError::PermissionDenied {
            reason: "OTHER_AGENT",
            message: "an agent speaks for themselves only".to_owned(),
        });
    }
    Ok(id)
}

#[tonic::async_trait]
impl RoutingService for Service {
    async fn create_team(
        &self,
        request: Request<proto::CreateTeamRequest>,
    ) -> Result<Response<proto::Team>, Status> {
        let caller = allow(&request, &MANAGERS)?;
        let asked = once::asked(
            caller,
            "create team",
            &request.get_ref().request_id,
            request.get_ref(),
        )?;
        let team = self.team_create(request.into_inner().team, asked).await?;
        Ok(Response::new(team))
    }

    async fn update_team(
        &self,
        request: Request<proto::UpdateTeamRequest>,
    ) -> Result<Response<proto::Team>, Status> {
        allow(&request, &MANAGERS)?;
        let team = self.team_change(request.into_inner().team).await?;
        Ok(Response::new(team))
    }

    async fn list_teams(
        &self,
        request: Request<proto::ListTeamsRequest>,
    ) -> Result<Response<proto::ListTeamsResponse>, Status> {
        allow(&request, &READERS)?;
        let archived = request.into_inner().show_archived;
        let teams = self.team_list(archived).await?;
        Ok(Response::new(proto::ListTeamsResponse { teams }))
    }

    async fn create_agent(
        &self,
        request: Request<proto::CreateAgentRequest>,
    ) -> Result<Response<proto::Agent>, Status> {
        let caller = allow(&request, &MANAGERS)?;
        let asked = once::asked(
            caller,
            "create agent",
            &request.get_ref().request_id,
            request.get_ref(),
        )?;
        let agent = self.agent_create(request.into_inner().agent, asked).await?;
        Ok(Response::new(agent))
    }

    async fn update_agent(
        &self,
        request: Request<proto::UpdateAgentRequest>,
    ) -> Result<Response<proto::Agent>, Status> {
        allow(&request, &MANAGERS)?;
        let agent = self.agent_change(request.into_inner()).await?;
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
        let archived = request.into_inner().show_archived;
        let agents = self.agent_list(archived).await?;
        Ok(Response::new(proto::ListAgentsResponse { agents }))
    }

    async fn delete_agent(
        &self,
        request: Request<proto::DeleteAgentRequest>,
    ) -> Result<Response<proto::Agent>, Status> {
        allow(&request, &MANAGERS)?;
        let id = parse::id("id", &request.into_inner().id)?;
        Ok(Response::new(self.agent_remove(id).await?))
    }

    async fn delete_team(
        &self,
        request: Request<proto::DeleteTeamRequest>,
    ) -> Result<Response<proto::Team>, Status> {
        allow(&request, &MANAGERS)?;
        let id = parse::id("id", &request.into_inner().id)?;
        Ok(Response::new(self.team_remove(id).await?))
    }

    async fn list_offers(
        &self,
        request: Request<proto::ListOffersRequest>,
    ) -> Result<Response<proto::ListOffersResponse>, Status> {
        let caller = allow(&request, &READERS)?.clone();
        let id = oneself(&caller, &request.into_inner().agent_id)?;
        let offers = self.offer_list(id).await?;
        Ok(Response::new(proto::ListOffersResponse { offers }))
    }

    type WatchOffersStream = offers::Changes;

    async fn watch_offers(
        &self,
        request: Request<proto::WatchOffersRequest>,
    ) -> Result<Response<Self::WatchOffersStream>, Status> {
        let caller = allow(&request, &READERS)?.clone();
        let id = oneself(&caller, &request.into_inner().agent_id)?;
        Ok(Response::new(self.offer_watch(id)))
    }

    async fn accept_offer(
        &self,
        request: Request<proto::AcceptOfferRequest>,
    ) -> Result<Response<proto::AcceptOfferResponse>, Status> {
        let caller = allow(&request, &READERS)?.clone();
        let request = request.into_inner();
        let agent = oneself(&caller, &request.agent_id)?;
        self.offer_answer(agent, &request.offer_id, None).await?;
        Ok(Response::new(proto::AcceptOfferResponse {}))
    }

    async fn decline_offer(
        &self,
        request: Request<proto::DeclineOfferRequest>,
    ) -> Result<Response<proto::DeclineOfferResponse>, Status> {
        let caller = allow(&request, &READERS)?.clone();
        let request = request.into_inner();
        let agent = oneself(&caller, &request.agent_id)?;
        self.offer_answer(agent, &request.offer_id, Some(&request.reason))
            .await?;
        Ok(Response::new(proto::DeclineOfferResponse {}))
    }

    async fn next_ticket(
        &self,
        request: Request<proto::NextTicketRequest>,
    ) -> Result<Response<proto::NextTicketResponse>, Status> {
        let caller = allow(&request, &READERS)?.clone();
        let request = request.into_inner();
        let agent = oneself(&caller, &request.agent_id)?;
        Ok(Response::new(self.pull(agent, &request).await?))
    }

    async fn set_presence(
        &self,
        request: Request<proto::SetPresenceRequest>,
    ) -> Result<Response<proto::Agent>, Status> {
        let caller = allow(&request, &READERS)?.clone();
        let request = request.into_inner();
        let id = oneself(&caller, &request.agent_id)?;
        let presence = parse::presence(request.presence())?;
        Ok(Response::new(self.presence_change(id, presence).await?))
    }

    async fn heartbeat(
        &self,
        request: Request<proto::HeartbeatRequest>,
    ) -> Result<Response<proto::HeartbeatResponse>, Status> {
        let caller = allow(&request, &READERS)?.clone();
        let id = oneself(&caller, &request.into_inner().agent_id)?;
        let until = Service::heartbeat(self, id).await?;
        Ok(Response::new(proto::HeartbeatResponse {
            expire_time: Some(to_proto_time(until)),
        }))
    }

    type KeepPresenceStream = presence::Answers;

    async fn keep_presence(
        &self,
        request: Request<Streaming<proto::KeepPresenceRequest>>,
    ) -> Result<Response<Self::KeepPresenceStream>, Status> {
        let caller = allow(&request, &READERS)?.clone();
        Ok(Response::new(
            self.presence_keep(caller, request.into_inner()),
        ))
    }

    async fn list_queues(
        &self,
        request: Request<proto::ListQueuesRequest>,
    ) -> Result<Response<proto::ListQueuesResponse>, Status> {
        allow(&request, &READERS)?;
        let queues = self.queue_list().await?;
        Ok(Response::new(proto::ListQueuesResponse { queues }))
    }

    async fn get_queue_position(
        &self,
        request: Request<proto::GetQueuePositionRequest>,
    ) -> Result<Response<proto::QueuePosition>, Status> {
        let caller = allow(&request, &READERS)?;
        let ticket = parse::id("ticket_id", &request.get_ref().ticket_id)?;
        self.check_sight(caller, ticket).await?;
        Ok(Response::new(self.queue_position(ticket).await?))
    }

    async fn dry_run_rule(
        &self,
        request: Request<proto::DryRunRuleRequest>,
    ) -> Result<Response<proto::DryRunRuleResponse>, Status> {
        let caller = allow(&request, &MANAGERS)?.clone();
        let mut told = self.rule_try(request.into_inner()).await?;
        self.hide_restricted(&caller, &mut told.changes).await?;
        Ok(Response::new(told))
    }

    async fn list_rule_versions(
        &self,
        request: Request<proto::ListRuleVersionsRequest>,
    ) -> Result<Response<proto::ListRuleVersionsResponse>, Status> {
        allow(&request, &READERS)?;
        let id = parse::id("id", &request.into_inner().id)?;
        let versions = self.rule_history(id).await?;
        Ok(Response::new(proto::ListRuleVersionsResponse { versions }))
    }

    async fn create_rule(
        &self,
        request: Request<proto::CreateRuleRequest>,
    ) -> Result<Response<proto::Rule>, Status> {
        let caller = allow(&request, &MANAGERS)?;
        let asked = once::asked(
            caller,
            "create rule",
            &request.get_ref().request_id,
            request.get_ref(),
        )?;
        let rule = self.rule_create(request.into_inner().rule, asked).await?;
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
        let caller = allow(&request, &READERS)?;
        let ticket = parse::id("ticket_id", &request.get_ref().ticket_id)?;
        self.check_sight(caller, ticket).await?;
        Ok(Response::new(self.explained(ticket).await?))
    }
}

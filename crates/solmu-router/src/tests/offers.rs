//! Offers and the next ticket, with the tables and the API between the agents and the leader.

use std::sync::Arc;

use jiff::SignedDuration;
use solmu_domain::ids::AgentId;
use solmu_proto::routing::v1::{self as proto, routing_service_server::RoutingService as _};
use solmu_runtime::{Runtime, access::Role};
use solmu_testkit::{Harness, wait_for};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request};

use super::{
    engine::{Bench, held},
    support::{FakeTexts, Tickets, admin, agent_request, by, end, service},
};
use crate::{Config, service::Service, start_with};

/// How long an offer stands unless a team says otherwise.
const STANDS: SignedDuration = SignedDuration::from_secs(31);

async fn set_mode(bench: &Bench, mode: &str) {
    sqlx::query("UPDATE routing.team SET mode = $1")
        .bind(mode)
        .execute(bench.harness.db.pool())
        .await
        .unwrap();
}

async fn offers(service: &Service, agent: AgentId) -> Vec<proto::Offer> {
    let request = proto::ListOffersRequest {
        agent_id: agent.to_string(),
    };
    let answer = service.list_offers(by(Role::Agent, Some(agent), request));
    answer.await.unwrap().into_inner().offers
}

fn accept(agent: AgentId, offer: &proto::Offer) -> Request<proto::AcceptOfferRequest> {
    let request = proto::AcceptOfferRequest {
        agent_id: agent.to_string(),
        offer_id: offer.id.clone(),
    };
    by(Role::Agent, Some(agent), request)
}

fn decline(agent: AgentId, offer: &proto::Offer) -> Request<proto::DeclineOfferRequest> {
    let request = proto::DeclineOfferRequest {
        agent_id: agent.to_string(),
        offer_id: offer.id.clone(),
        reason: "on lunch".to_owned(),
    };
    by(Role::Agent, Some(agent), request)
}

/// Kind and outcome of each decision on a ticket, oldest first.
async fn story(service: &Service, id: u128) -> Vec<(String, String)> {
    let request = proto::ExplainRoutingRequest {
        ticket_id: uuid::Uuid::from_u128(id).to_string(),
    };
    let answer = service.explain_routing(admin(request)).await.unwrap();
    let decisions = answer.into_inner().decisions.into_iter().rev();
    decisions.map(|it| (it.kind, it.outcome)).collect()
}

fn told(kind: &str, outcome: &str) -> (String, String) {
    (kind.to_owned(), outcome.to_owned())
}

#[tokio::test]
async fn an_offer_ends_once_whoever_leads() {
    let bench = Bench::new(5).await;
    set_mode(&bench, "offer").await;
    let service = service(&bench.harness.runtime("api"), None);
    let (old, new) = (bench.engine("a"), bench.engine("b"));
    old.round(vec![bench.opened(1)], &held(1)).await.unwrap();
    let offered = offers(&service, bench.agent).await;
    assert_eq!(offered.len(), 1);
    assert!(offered[0].reason.contains("Anna"), "{}", offered[0].reason);
    assert_eq!(bench.load().await.0, 1, "it takes room while it stands");

    // Another leader takes over, and the time of the offer is over: once, though both wake up and the new one twice.
    bench.take_over(2).await;
    bench.harness.clock.advance(STANDS);
    assert!(offers(&service, bench.agent).await.is_empty());
    for _ in 0..2 {
        new.round(Vec::new(), &held(2)).await.unwrap();
    }
    old.round(Vec::new(), &held(1)).await.unwrap_err();
    let ended = story(&service, 1).await;
    assert_eq!(ended[0], told("offered", "timed_out"));
    assert_eq!(ended.len(), 2, "{ended:?}");
    // Nobody else is there, so they are asked again; who declines is not.
    let again = offers(&service, bench.agent).await;
    assert_eq!((again.len(), ended[1].0.as_str()), (1, "offered"));
    let declined = service.decline_offer(decline(bench.agent, &again[0]));
    declined.await.unwrap();
    new.round(Vec::new(), &held(2)).await.unwrap();
    assert_eq!(bench.load().await.0, 0);
    let late = service.accept_offer(accept(bench.agent, &offered[0])).await;
    assert_eq!(late.unwrap_err().code(), Code::FailedPrecondition);

    // Another one is accepted, twice, and taken by a leader that has just started; no other agent can answer for them.
    new.round(vec![bench.opened(2)], &held(2)).await.unwrap();
    let offered = offers(&service, bench.agent).await;
    let stranger = AgentId::from_uuid(uuid::Uuid::from_u128(7));
    let foreign = service.accept_offer(accept(stranger, &offered[0])).await;
    assert_eq!(foreign.unwrap_err().code(), Code::NotFound);
    for _ in 0..2 {
        let accepted = accept(bench.agent, &offered[0]);
        service.accept_offer(accepted).await.unwrap();
    }
    let declined = service
        .decline_offer(decline(bench.agent, &offered[0]))
        .await;
    assert_eq!(declined.unwrap_err().code(), Code::FailedPrecondition);
    // In time is in time, however late the leader hears of it.
    bench.harness.clock.advance(STANDS);
    let fresh = bench.engine("c");
    for _ in 0..2 {
        fresh.round(Vec::new(), &held(2)).await.unwrap();
    }
    let ended = [told("offered", "accepted"), told("accepted", "reserved")];
    assert_eq!(story(&service, 2).await, ended);
    service
        .accept_offer(accept(bench.agent, &offered[0]))
        .await
        .unwrap();
}

#[tokio::test]
async fn who_misses_offers_in_a_row_is_away_and_who_answers_is_not() {
    let bench = Bench::new(5).await;
    set_mode(&bench, "offer").await;
    let service = service(&bench.harness.runtime("api"), None);
    let engine = bench.engine("a");
    let miss = async |id: u128| {
        engine
            .round(vec![bench.opened(id)], &held(1))
            .await
            .unwrap();
        bench.harness.clock.advance(STANDS);
        engine.round(Vec::new(), &held(1)).await.unwrap();
        engine.silence(&held(1)).await.unwrap()
    };
    assert!(!miss(1).await);
    engine.round(vec![bench.opened(2)], &held(1)).await.unwrap();
    let offered = offers(&service, bench.agent).await;
    let answer = service.decline_offer(decline(bench.agent, &offered[0]));
    answer.await.unwrap();
    engine.round(Vec::new(), &held(1)).await.unwrap();
    assert_eq!(story(&service, 2).await[0], told("offered", "declined"));
    assert!(!miss(3).await, "the count began anew");
    assert!(miss(4).await);
    let request = proto::GetAgentRequest {
        id: bench.agent.to_string(),
    };
    let anna = service.get_agent(admin(request)).await.unwrap();
    assert_eq!(anna.into_inner().presence(), proto::Presence::Away);
}

pub(super) struct Desk {
    pub(super) harness: Harness,
    leader: Runtime,
    pub(super) service: Service,
    pub(super) agents: Vec<AgentId>,
    pub(super) tickets: Arc<Tickets>,
    stop: CancellationToken,
}

/// A router at work with a team of two agents.
pub(super) async fn desk(team: proto::Team) -> Desk {
    let harness = Harness::new().await;
    let leader = harness.runtime("a");
    // Not the leader's own service: what it hears comes over the bus.
    let service = service(&harness.runtime("b"), None);
    let team = proto::Team {
        display_name: "Support".to_owned(),
        ..team
    };
    let request = proto::CreateTeamRequest {
        team: Some(team),
        ..proto::CreateTeamRequest::default()
    };
    service.create_team(admin(request)).await.unwrap();
    let mut agents = Vec::new();
    for name in ["Anna", "Berit"] {
        let agent = service.create_agent(admin(agent_request(name, 5, true)));
        agents.push(agent.await.unwrap().into_inner().id.parse().unwrap());
    }
    let tickets = Tickets::new(&harness);
    let stop = CancellationToken::new();
    tickets.serve(stop.clone());
    start_with(&leader, &Config::default(), Arc::new(FakeTexts::default())).unwrap();
    Desk {
        harness,
        leader,
        service,
        agents,
        tickets,
        stop,
    }
}

impl Desk {
    async fn next(&self, agent: AgentId) -> proto::NextTicketResponse {
        loop {
            let asked = proto::NextTicketRequest {
                agent_id: agent.to_string(),
                team_id: String::new(),
                ..proto::NextTicketRequest::default()
            };
            let request = by(Role::Agent, Some(agent), asked);
            match self.service.next_ticket(request).await {
                Ok(answer) => return answer.into_inner(),
                // On a slow machine the leader may take its time: who gave up asks again.
                Err(status) => assert_eq!(status.code(), Code::Unavailable),
            }
        }
    }

    /// Until the leader knows what became of all that it decided.
    pub(super) async fn heard(&self) {
        wait_for("the leader has heard of it", || async {
            let open = "SELECT count(*) FROM routing.decision WHERE outcome = 'reserved'";
            let open: i64 = sqlx::query_scalar(open)
                .fetch_one(self.harness.db.pool())
                .await
                .unwrap();
            open == 0
        })
        .await;
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        end(&self.leader).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_ask_for_the_next_ticket_never_get_the_same() {
    let desk = desk(proto::Team {
        mode: "pull".to_owned(),
        ..proto::Team::default()
    })
    .await;
    let ids = desk.tickets.open(3).await;
    wait_for("all of them wait in the team", || async {
        ids.iter().all(|id| desk.tickets.team(*id).is_some())
    })
    .await;
    desk.heard().await;
    assert_eq!(desk.tickets.owned(), 0, "nobody is given any");
    let (anna, berit) = (desk.agents[0], desk.agents[1]);
    let answers = tokio::join!(
        desk.next(anna),
        desk.next(berit),
        desk.next(anna),
        desk.next(berit)
    );
    let answers = [answers.0, answers.1, answers.2, answers.3];
    let mut given: Vec<_> = answers
        .iter()
        .map(|it| it.ticket_id.clone())
        .filter(|id| !id.is_empty())
        .collect();
    given.sort();
    let mut all: Vec<_> = ids.iter().map(ToString::to_string).collect();
    all.sort();
    assert_eq!(given, all, "three of the four, each once");
    let none = answers.iter().find(|it| it.ticket_id.is_empty()).unwrap();
    assert!(none.reason.starts_with("nothing waits"), "{}", none.reason);
    wait_for("they own them", || async { desk.tickets.owned() == 3 }).await;
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_offer_and_what_is_taken_back_reach_the_ticket_service() {
    let desk = desk(proto::Team {
        mode: "offer".to_owned(),
        ..proto::Team::default()
    })
    .await;
    let id = desk.tickets.open(1).await[0];
    let waits = async || loop {
        for agent in &desk.agents {
            if let Some(offer) = offers(&desk.service, *agent).await.pop() {
                return (*agent, offer);
            }
        }
        tokio::task::yield_now().await;
    };
    let (first, offer) = waits().await;
    let request = accept(first, &offer);
    desk.service.accept_offer(request).await.unwrap();
    wait_for("it is theirs", || async {
        desk.tickets.owner(id) == Some(first)
    })
    .await;
    desk.heard().await;

    // They go home without having begun: it goes back, and the other one is asked.
    let request = proto::SetPresenceRequest {
        agent_id: first.to_string(),
        presence: proto::Presence::Offline.into(),
    };
    desk.service.set_presence(admin(request)).await.unwrap();
    desk.harness.clock.advance(SignedDuration::from_mins(16));
    wait_for("it goes back to the queue", || async {
        desk.tickets.owner(id).is_none()
    })
    .await;
    desk.heard().await;
    let (second, offer) = waits().await;
    assert_ne!(first, second);
    let request = accept(second, &offer);
    desk.service.accept_offer(request).await.unwrap();
    wait_for("it is the other one's", || async {
        desk.tickets.owner(id) == Some(second)
    })
    .await;
    let rejected = desk.tickets.state.lock().unwrap().rejected;
    assert_eq!(rejected, 0);
    desk.end().await;
}

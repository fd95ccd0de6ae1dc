//! The engine alone: fencing, collisions, rejections, restarts.

use std::sync::Arc;

use solmu_bus::Held;
use solmu_db::{DbError, lease};
use solmu_domain::ids::{AgentId, DecisionId, EventId, TicketId};
use solmu_proto::routing::v1::routing_service_server::RoutingService as _;
use solmu_testkit::{Harness, wait_for};
use uuid::Uuid;

use super::support::{admin, agent_request, service};
use crate::{
    Config,
    core::{
        event::{Heard, RejectCause, TicketEvent, What},
        testing::{event, facts},
        ticket::Facts,
    },
    engine::{Arrived, Engine, LEASE},
    error::RoundError,
    texts,
};

pub(super) struct Bench {
    pub(super) harness: Harness,
    pub(super) agent: AgentId,
}

impl Bench {
    /// A default team with one agent, and the lease in the hands of `epoch` 1.
    pub(super) async fn new(capacity: i32) -> Self {
        let harness = Harness::new().await;
        let runtime = harness.runtime("bench");
        let service = service(&runtime, None);
        let team = solmu_proto::routing::v1::Team {
            display_name: "Support".to_owned(),
            ..solmu_proto::routing::v1::Team::default()
        };
        let request = solmu_proto::routing::v1::CreateTeamRequest {
            team: Some(team),
            ..solmu_proto::routing::v1::CreateTeamRequest::default()
        };
        service.create_team(admin(request)).await.unwrap();
        let agent = service
            .create_agent(admin(agent_request("Anna", capacity, true)))
            .await
            .unwrap()
            .into_inner();
        sqlx::query("INSERT INTO platform.lease (name, shard, holder, epoch, expires_at) VALUES ($1, 0, 'a', 1, 'infinity')")
            .bind(LEASE)
            .execute(harness.db.pool())
            .await
            .unwrap();
        Self {
            harness,
            agent: agent.id.parse().unwrap(),
        }
    }

    pub(super) fn engine(&self, instance: &str) -> Arc<Engine> {
        let runtime = self.harness.runtime(instance);
        let texts = texts::of_config(&Config::default()).unwrap();
        Arc::new(Engine::new(&runtime, &Config::default(), Arc::from(texts)))
    }

    pub(super) fn arrived(&self, event: TicketEvent) -> Arrived {
        let id = EventId::generate(&self.harness.clock, self.harness.rng.as_ref());
        (id, Heard::Ticket(Box::new(event)))
    }

    pub(super) fn opened(&self, id: u128) -> Arrived {
        self.arrived(event(id, &facts(1), What::Told, 1))
    }

    /// Agent and outcome of each decision on a ticket, oldest first.
    pub(super) async fn decisions(&self, id: u128) -> Vec<(DecisionId, Option<AgentId>, String)> {
        let rows: Vec<(Uuid, Option<Uuid>, String)> = sqlx::query_as(
            "SELECT id, agent_id, outcome FROM routing.decision WHERE ticket_id = $1 ORDER BY seq",
        )
        .bind(Uuid::from_u128(id))
        .fetch_all(self.harness.db.pool())
        .await
        .unwrap();
        let typed = |(id, agent, outcome): (Uuid, Option<Uuid>, String)| {
            (
                DecisionId::from_uuid(id),
                agent.map(AgentId::from_uuid),
                outcome,
            )
        };
        rows.into_iter().map(typed).collect()
    }

    pub(super) async fn load(&self) -> (i64, i64) {
        sqlx::query_as("SELECT load, load_version FROM routing.agent WHERE id = $1")
            .bind(self.agent.as_uuid())
            .fetch_one(self.harness.db.pool())
            .await
            .unwrap()
    }

    pub(super) async fn take_over(&self, epoch: i64) {
        sqlx::query("UPDATE platform.lease SET holder = 'b', epoch = $2 WHERE name = $1")
            .bind(LEASE)
            .bind(epoch)
            .execute(self.harness.db.pool())
            .await
            .unwrap();
    }
}

pub(super) fn held(epoch: i64) -> Held {
    Held::from([(0, epoch)])
}

pub(super) fn next(facts: &Facts, change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = facts.clone();
    facts.version += 1;
    facts.routing_version += 1;
    change(&mut facts);
    facts
}

#[tokio::test]
async fn a_leader_that_was_paused_finds_its_lease_gone() {
    let bench = Bench::new(1).await;
    let (old, new) = (bench.engine("a"), bench.engine("b"));
    old.round(vec![bench.opened(1)], &held(1)).await.unwrap();
    assert_eq!(bench.load().await.0, 1);

    // The old leader is paused; another one takes over and finds the reservation.
    bench.take_over(2).await;
    new.round(vec![bench.opened(2)], &held(2)).await.unwrap();
    assert_eq!(
        bench.decisions(2).await[0].1,
        None,
        "the capacity is reserved"
    );

    // The old one wakes up with an event in hand.
    let error = old
        .round(vec![bench.opened(3)], &held(1))
        .await
        .unwrap_err();
    assert!(matches!(error, RoundError::Db(DbError::LeaseLost { .. })));
    assert!(error.is_passing());
    assert!(bench.decisions(3).await.is_empty());
    assert_eq!(bench.load().await.0, 1);
    // And is heard again once it leads: its memory comes from the tables.
    bench.take_over(3).await;
    old.round(vec![bench.opened(3)], &held(3)).await.unwrap();
    assert_eq!(bench.decisions(3).await.len(), 1);
    assert_eq!(bench.load().await.0, 1);
}

#[tokio::test]
async fn who_stands_still_in_a_transaction_loses_their_hold_on_the_lease() {
    let bench = Bench::new(1).await;
    let mut stopped = bench.harness.db.pool().begin().await.unwrap();
    lease::fence(&mut stopped, LEASE, &held(1)).await.unwrap();
    // Nothing more is heard of it. Taking the lease waits for its end, which the server brings about.
    bench.take_over(2).await;
    let late = sqlx::query("UPDATE routing.agent SET load = 9")
        .execute(&mut *stopped)
        .await;
    assert!(DbError::from(late.unwrap_err()).is_unavailable());
    let new = bench.engine("b");
    new.round(vec![bench.opened(1)], &held(2)).await.unwrap();
    assert_eq!(bench.load().await.0, 1);
}

#[tokio::test]
async fn an_event_has_one_effect_however_often_it_comes() {
    let bench = Bench::new(5).await;
    let engine = bench.engine("a");
    let opened = bench.opened(1);
    engine
        .round(vec![opened.clone(), opened.clone()], &held(1))
        .await
        .unwrap();
    engine.round(vec![opened.clone()], &held(1)).await.unwrap();
    bench
        .engine("b")
        .round(vec![opened], &held(1))
        .await
        .unwrap();
    assert_eq!(bench.decisions(1).await.len(), 1);
    let outbox: i64 =
        sqlx::query_scalar("SELECT count(*) FROM routing.outbox WHERE family = 'routing'")
            .fetch_one(bench.harness.db.pool())
            .await
            .unwrap();
    assert_eq!(outbox, 1);
}

#[tokio::test]
async fn a_rejected_decision_frees_the_place_and_is_made_anew() {
    let bench = Bench::new(1).await;
    let engine = bench.engine("a");
    engine
        .round(vec![bench.opened(1), bench.opened(2)], &held(1))
        .await
        .unwrap();
    let first = bench.decisions(1).await[0].clone();
    assert_eq!(first.1, Some(bench.agent));

    // It has an owner already, whom a person chose: the place is for the other ticket.
    let by_hand = next(&facts(1), |it| {
        it.assignee = Some(AgentId::from_uuid(Uuid::from_u128(99)));
    });
    let what = What::Rejected {
        decision: first.0,
        cause: RejectCause::AlreadyAssigned,
    };
    engine
        .round(vec![bench.arrived(event(1, &by_hand, what, 2))], &held(1))
        .await
        .unwrap();
    assert_eq!(bench.decisions(1).await[0].2, "rejected");
    let second = bench.decisions(2).await;
    assert_eq!(second.len(), 2, "the queue at first, then the agent");
    assert_eq!(second[1].1, Some(bench.agent));
    assert_eq!(bench.load().await.0, 1);

    // The ticket had changed: decided anew, on the new version, also by a leader who has just started.
    let changed = next(&facts(1), |it| it.tags.push("x".to_owned()));
    let what = What::Rejected {
        decision: second[1].0,
        cause: RejectCause::StaleTicket,
    };
    let fresh = bench.engine("b");
    fresh
        .round(vec![bench.arrived(event(2, &changed, what, 3))], &held(1))
        .await
        .unwrap();
    let third = bench.decisions(2).await;
    assert_eq!(third.len(), 3);
    assert_eq!(
        (third[2].1, third[2].2.as_str()),
        (Some(bench.agent), "reserved")
    );

    // A ticket that the ticket service does not know, named by its decision only.
    let mut gone = event(
        2,
        &changed,
        What::Rejected {
            decision: third[2].0,
            cause: RejectCause::UnknownTicket,
        },
        4,
    );
    (gone.ticket, gone.facts) = (None, None);
    fresh
        .round(vec![bench.arrived(gone)], &held(1))
        .await
        .unwrap();
    assert_eq!(bench.load().await.0, 0);
}

#[tokio::test]
async fn of_three_replicas_only_the_one_with_the_newest_lease_decides() {
    let bench = Bench::new(2).await;
    let replicas = ["a", "b", "c"].map(|name| bench.engine(name));
    // Each leads once and is paused with an event in hand that it never gets through.
    for (number, leader) in (1_u32..).zip(&replicas) {
        bench.take_over(number.into()).await;
        let opened = bench.opened(number.into());
        leader
            .round(vec![opened], &held(number.into()))
            .await
            .unwrap();
    }
    for (number, paused) in (1_u32..).zip(&replicas[..2]) {
        let late = vec![bench.opened(u128::from(number) + 10)];
        let refused = paused.round(late, &held(number.into())).await.unwrap_err();
        assert!(matches!(refused, RoundError::Db(DbError::LeaseLost { .. })));
        let refused = paused.silence(&held(number.into())).await.unwrap_err();
        assert!(matches!(refused, RoundError::Db(DbError::LeaseLost { .. })));
    }
    for id in [11, 12] {
        assert!(
            bench.decisions(id).await.is_empty(),
            "a late decision is none"
        );
    }
    // Two got the agent's two places, by different leaders; the third ticket waits.
    let mut owners = Vec::new();
    for id in 1..=3 {
        let decisions = bench.decisions(id).await;
        assert_eq!(decisions.len(), 1);
        owners.push(decisions[0].1);
    }
    assert_eq!(owners, [Some(bench.agent), Some(bench.agent), None]);
    assert_eq!(bench.load().await.0, 2);
}

#[tokio::test]
async fn nobody_who_goes_away_meanwhile_gets_work() {
    let bench = Bench::new(5).await;
    let engine = bench.engine("a");
    engine.round(Vec::new(), &held(1)).await.unwrap();
    // Anna is about to go: her change is made but not committed when the decision is.
    let mut going = bench.harness.db.pool().begin().await.unwrap();
    sqlx::query("UPDATE routing.agent SET presence = 'offline', version = version + 1")
        .execute(&mut *going)
        .await
        .unwrap();
    let (mine, opened) = (held(1), bench.opened(1));
    let round = engine.round(vec![opened], &mine);
    let goes = async {
        wait_for("the decision waits for her row", || async {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
            )
            .fetch_one(bench.harness.db.pool())
            .await
            .unwrap();
            waiting > 0
        })
        .await;
        going.commit().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(round, goes);
    outcome.unwrap();
    let decisions = bench.decisions(1).await;
    assert_eq!(decisions.len(), 1);
    assert_eq!(decisions[0].1, None);
    assert_eq!(bench.load().await.0, 0);
}

#[tokio::test]
async fn memory_and_tables_agree_after_a_restart() {
    let bench = Bench::new(3).await;
    let engine = bench.engine("a");
    engine
        .round((1..=5).map(|id| bench.opened(id)).collect(), &held(1))
        .await
        .unwrap();
    let before = bench.load().await;
    let fresh = bench.engine("b");
    fresh.round(Vec::new(), &held(1)).await.unwrap();
    assert_eq!(bench.load().await, before, "a restart changes nothing");
    // A place is free: the oldest that waits gets it, by the new leader.
    let done = next(&facts(1), |it| {
        it.status = solmu_domain::ticket::Status::Resolved;
    });
    fresh
        .round(
            vec![bench.arrived(event(1, &done, What::Told, 9))],
            &held(1),
        )
        .await
        .unwrap();
    let state: (String, Option<Uuid>) =
        sqlx::query_as("SELECT state, owner_id FROM routing.ticket WHERE ticket_id = $1")
            .bind(TicketId::from_uuid(Uuid::from_u128(4)).as_uuid())
            .fetch_one(bench.harness.db.pool())
            .await
            .unwrap();
    assert_eq!(state, ("reserved".to_owned(), Some(bench.agent.as_uuid())));
    assert_eq!(bench.load().await.0, 3);
}

//! Two replicas, of which the leading one ends in the middle.

use std::sync::Arc;

use solmu_domain::ids::TicketId;
use solmu_proto::routing::v1::{self as proto, routing_service_server::RoutingService as _};
use solmu_runtime::Runtime;
use solmu_testkit::{Harness, wait_for};
use tokio_util::sync::CancellationToken;

use super::support::{FakeTexts, Tickets, admin, agent_request, end, service};
use crate::{Config, start_with};

const AGENTS: usize = 10;
const CAPACITY: i32 = 20;
const TICKETS: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_never_give_a_ticket_twice_or_exceed_a_capacity() {
    let harness = Harness::new().await;
    let first = harness.runtime("a");
    let second = Runtime {
        bus: harness.second_bus().await,
        ..harness.runtime("b")
    };
    let service = service(&first, None);
    let team = proto::Team {
        display_name: "Support".to_owned(),
        ..proto::Team::default()
    };
    service
        .create_team(admin(proto::CreateTeamRequest {
            team: Some(team),
            ..proto::CreateTeamRequest::default()
        }))
        .await
        .unwrap();
    for number in 0..AGENTS {
        let request = agent_request(&format!("agent {number}"), CAPACITY, true);
        service.create_agent(admin(request)).await.unwrap();
    }
    let tickets = Tickets::new(&harness);
    let stop = CancellationToken::new();
    tickets.serve(stop.clone());
    for replica in [&first, &second] {
        start_with(replica, &Config::default(), Arc::new(FakeTexts::default())).unwrap();
    }

    let mut ids = Vec::new();
    for batch in 0..6 {
        ids.extend(tickets.open(TICKETS / 6).await);
        if batch == 2 {
            end(&first).await;
        }
    }
    let room = AGENTS * usize::try_from(CAPACITY).unwrap();
    wait_for("everybody has as much as they can", || async {
        tickets.owned() == room
    })
    .await;

    // Work is finished: the rest follows.
    let finished: Vec<TicketId> = ids
        .iter()
        .copied()
        .filter(|id| tickets.owner(*id).is_some())
        .take(TICKETS - room)
        .collect();
    for id in finished {
        tickets.resolve(id).await;
    }
    wait_for("every ticket has had an owner", || async {
        tickets.owned() == TICKETS
    })
    .await;

    let loads = tickets.state.lock().unwrap().loads.clone();
    assert_eq!(loads.len(), AGENTS);
    for (now, most) in loads.values() {
        assert!(*most <= 20, "a capacity was exceeded");
        assert_eq!(*now, 20);
    }
    stop.cancel();
    end(&second).await;
}

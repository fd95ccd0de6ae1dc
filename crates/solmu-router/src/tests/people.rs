//! Skills, hours, heartbeats, queues and trying out rules, over the API.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;
use solmu_proto::routing::v1::{
    self as proto,
    routing_service_client::RoutingServiceClient,
    routing_service_server::{RoutingService as _, RoutingServiceServer},
};
use solmu_runtime::{
    Runtime,
    access::{Caller, Role},
};
use solmu_testkit::{Harness, wait_for};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request};

use super::support::{FakeTexts, Tickets, admin, agent_request, by, end, service};
use crate::{Config, service::Service, start_with};

async fn team(service: &Service, name: &str) -> proto::Team {
    let team = proto::Team {
        display_name: name.to_owned(),
        ..proto::Team::default()
    };
    let request = proto::CreateTeamRequest {
        team: Some(team),
        ..proto::CreateTeamRequest::default()
    };
    service
        .create_team(admin(request))
        .await
        .unwrap()
        .into_inner()
}

async fn anna(service: &Service, capacity: i32) -> proto::Agent {
    let request = agent_request("Anna", capacity, true);
    service
        .create_agent(admin(request))
        .await
        .unwrap()
        .into_inner()
}

async fn presence(service: &Service, id: &str) -> proto::Presence {
    let request = proto::GetAgentRequest { id: id.to_owned() };
    service
        .get_agent(admin(request))
        .await
        .unwrap()
        .into_inner()
        .presence()
}

#[tokio::test]
async fn an_agent_keeps_what_the_mask_does_not_name() {
    let harness = Harness::new().await;
    let service = service(&harness.runtime("a"), None);
    team(&service, "Support").await;
    let night = team(&service, "Night").await;
    let anna = anna(&service, 5).await;
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let wanted = proto::Agent {
        id: anna.id.clone(),
        backup_team_ids: vec![night.id.clone()],
        skills: BTreeMap::from([("billing".to_owned(), 3)]),
        languages: vec!["fi".to_owned()],
        channel_limits: BTreeMap::from([("chat".to_owned(), 2)]),
        location: Some(proto::Location {
            latitude: 60.2,
            longitude: 24.9,
        }),
        working_hours: Some(proto::WorkingHours {
            time_zone: "Europe/Helsinki".to_owned(),
            windows: vec![proto::Window {
                day: "mon".to_owned(),
                opens: "08:00".to_owned(),
                closes: "16:00".to_owned(),
            }],
        }),
        absences: vec![proto::Absence {
            start_time: time(10),
            end_time: time(20),
        }],
        ..proto::Agent::default()
    };
    let paths = [
        "backup_team_ids",
        "skills",
        "languages",
        "channel_limits",
        "location",
        "working_hours",
        "absences",
    ];
    let request = proto::UpdateAgentRequest {
        agent: Some(wanted.clone()),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|it| (*it).to_owned()).collect(),
        }),
    };
    let changed = service
        .update_agent(admin(request))
        .await
        .unwrap()
        .into_inner();
    let expected = proto::Agent {
        display_name: anna.display_name.clone(),
        capacity: anna.capacity,
        team_ids: anna.team_ids.clone(),
        presence: anna.presence,
        presence_time: anna.presence_time,
        ..wanted
    };
    assert_eq!(changed, expected);
    // As the first release changes an agent: the rest stays.
    let request = proto::UpdateAgentRequest {
        agent: Some(proto::Agent {
            capacity: 9,
            ..anna.clone()
        }),
        update_mask: None,
    };
    let changed = service
        .update_agent(admin(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        changed,
        proto::Agent {
            capacity: 9,
            ..expected
        }
    );
}

#[tokio::test]
async fn a_team_can_be_changed_and_needs_teams_that_are_there() {
    let harness = Harness::new().await;
    let service = service(&harness.runtime("a"), None);
    let support = team(&service, "Support").await;
    let night = team(&service, "Night").await;
    let wanted = proto::Team {
        strategy: "round_robin".to_owned(),
        overflow_after: Some(prost_types::Duration {
            seconds: 600,
            nanos: 0,
        }),
        overflow_team_ids: vec![night.id],
        ..support
    };
    let request = |team: &proto::Team| {
        admin(proto::UpdateTeamRequest {
            team: Some(team.clone()),
        })
    };
    let changed = service
        .update_team(request(&wanted))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(changed, wanted);
    let unknown = proto::Team {
        overflow_team_ids: vec![uuid::Uuid::nil().to_string()],
        ..wanted.clone()
    };
    let status = service.update_team(request(&unknown)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let odd = proto::Team {
        strategy: "best".to_owned(),
        ..wanted
    };
    let status = service.update_team(request(&odd)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn who_falls_silent_is_offline_and_gets_no_work() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let service = service(&runtime, None);
    team(&service, "Support").await;
    let anna = anna(&service, 5).await;
    let tickets = Tickets::new(&harness);
    let stop = CancellationToken::new();
    tickets.serve(stop.clone());
    start_with(&runtime, &Config::default(), Arc::new(FakeTexts::default())).unwrap();
    let beat = || proto::HeartbeatRequest {
        agent_id: anna.id.clone(),
    };
    let other = by(Role::Agent, None, beat());
    let status = service.heartbeat(other).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    service.heartbeat(admin(beat())).await.unwrap();
    harness.clock.advance(SignedDuration::from_secs(40));
    service.heartbeat(admin(beat())).await.unwrap();
    harness.clock.advance(SignedDuration::from_secs(40));
    let first = tickets.open(1).await;
    wait_for("she is there and gets it", || async {
        tickets.owner(first[0]).is_some()
    })
    .await;
    harness.clock.advance(SignedDuration::from_secs(10));
    wait_for("she is offline", || async {
        presence(&service, &anna.id).await == proto::Presence::Offline
    })
    .await;
    let second = tickets.open(1).await;
    wait_for("it has its team", || async {
        tickets.team(second[0]).is_some()
    })
    .await;
    assert_eq!(tickets.owner(second[0]), None);
    stop.cancel();
    end(&runtime).await;
}

/// A server with this service in it, as an agent calls it.
async fn client(
    runtime: &Runtime,
    agent_id: &str,
) -> RoutingServiceClient<tonic::transport::Channel> {
    let caller = Caller::new("t", Role::Agent, agent_id.parse().ok());
    let service = RoutingServiceServer::with_interceptor(
        service(runtime, None),
        move |mut request: Request<()>| {
            request.extensions_mut().insert(caller.clone());
            Ok(request)
        },
    );
    let incoming =
        tonic::transport::server::TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let stop = runtime.shutdown.drain.clone();
    runtime.spawn("test.server", async move {
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await
            .unwrap();
    });
    RoutingServiceClient::connect(format!("http://{address}"))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_connection_keeps_presence_up() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let service = service(&runtime, None);
    team(&service, "Support").await;
    let anna = anna(&service, 5).await;
    let mut client = client(&runtime, &anna.id).await;
    let (sender, messages) = futures::channel::mpsc::unbounded();
    let busy = proto::KeepPresenceRequest {
        agent_id: anna.id.clone(),
        presence: proto::Presence::Busy.into(),
    };
    sender.unbounded_send(busy).unwrap();
    let mut answers = client.keep_presence(messages).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!(answer.agent.unwrap().presence(), proto::Presence::Busy);
    let first = answer.expire_time.unwrap();
    harness.clock.advance(SignedDuration::from_secs(20));
    sender
        .unbounded_send(proto::KeepPresenceRequest::default())
        .unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!(answer.agent.unwrap().presence(), proto::Presence::Busy);
    assert_eq!(answer.expire_time.unwrap().seconds, first.seconds + 20);
    drop(sender);
    assert!(answers.message().await.unwrap().is_none());
    // Somebody else's presence is not theirs.
    let other = proto::KeepPresenceRequest {
        agent_id: uuid::Uuid::nil().to_string(),
        ..proto::KeepPresenceRequest::default()
    };
    let messages = futures::stream::iter([other]);
    let mut answers = client.keep_presence(messages).await.unwrap().into_inner();
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    drop((answers, client));
    end(&runtime).await;
}

#[tokio::test]
async fn queues_tell_what_waits_and_where() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let service = service(&runtime, None);
    let support = team(&service, "Support").await;
    anna(&service, 4).await;
    let tickets = Tickets::new(&harness);
    let stop = CancellationToken::new();
    tickets.serve(stop.clone());
    start_with(&runtime, &Config::default(), Arc::new(FakeTexts::default())).unwrap();
    tickets.open(4).await;
    wait_for("she is full", || async { tickets.owned() == 4 }).await;
    harness.clock.advance(SignedDuration::from_secs(60));
    let waiting = tickets.open(1).await;
    harness.clock.advance(SignedDuration::from_secs(60));
    let later = tickets.open(1).await;
    let queue = || async {
        let answer = service
            .list_queues(admin(proto::ListQueuesRequest {}))
            .await;
        answer.unwrap().into_inner().queues.remove(0)
    };
    wait_for("both wait", || async { queue().await.waiting == 2 }).await;
    let queue = queue().await;
    assert_eq!(queue.team_id, support.id);
    assert!(queue.estimated_wait.is_some() && queue.oldest_wait_time.is_some());
    let position = |id: &solmu_domain::ids::TicketId| {
        admin(proto::GetQueuePositionRequest {
            ticket_id: id.to_string(),
        })
    };
    let second = service
        .get_queue_position(position(&later[0]))
        .await
        .unwrap();
    let second = second.into_inner();
    assert_eq!((second.position, second.team_id), (2, support.id));
    assert!(second.reason.contains("1 full"), "{}", second.reason);
    let first = service
        .get_queue_position(position(&waiting[0]))
        .await
        .unwrap();
    assert_eq!(first.into_inner().position, 1);
    let owned = {
        let world = tickets.state.lock().unwrap();
        let owned = world
            .tickets
            .iter()
            .find(|(_, it)| !it.assignee_id.is_empty());
        *owned.unwrap().0
    };
    let status = service
        .get_queue_position(position(&owned))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    stop.cancel();
    end(&runtime).await;
}

#[tokio::test]
async fn a_rule_is_tried_on_past_tickets_and_its_versions_are_kept() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let service = service(&runtime, None);
    let support = team(&service, "Support").await;
    let other = team(&service, "Other").await;
    let tickets = Tickets::new(&harness);
    let stop = CancellationToken::new();
    tickets.serve(stop.clone());
    start_with(&runtime, &Config::default(), Arc::new(FakeTexts::default())).unwrap();
    let ids = tickets.open(3).await;
    wait_for("they have their team", || async {
        ids.iter().all(|id| tickets.team(*id).is_some())
    })
    .await;
    let rule = proto::Rule {
        display_name: "mail".to_owned(),
        condition: "channel = email".to_owned(),
        team_id: other.id.clone(),
        set_priority: "high".to_owned(),
        enabled: true,
        ..proto::Rule::default()
    };
    let try_out = |rule: &proto::Rule| {
        admin(proto::DryRunRuleRequest {
            rule: Some(rule.clone()),
            tickets: 0,
        })
    };
    let answer = service
        .dry_run_rule(try_out(&rule))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((answer.tickets, answer.changes.len()), (3, 3));
    let change = &answer.changes[0];
    assert_eq!(
        (&change.team_id, &change.new_team_id),
        (&support.id, &other.id)
    );
    assert_eq!(change.differs, ["priority"]);
    let chat = proto::Rule {
        condition: "channel = chat".to_owned(),
        ..rule.clone()
    };
    let answer = service
        .dry_run_rule(try_out(&chat))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((answer.tickets, answer.changes.len()), (3, 0));
    versions_are_kept(&service, chat).await;
    stop.cancel();
    end(&runtime).await;
}

/// Made, changed and removed: each version is there, with what it said.
async fn versions_are_kept(service: &Service, rule: proto::Rule) {
    let created = proto::CreateRuleRequest {
        rule: Some(rule),
        ..proto::CreateRuleRequest::default()
    };
    let created = service
        .create_rule(admin(created))
        .await
        .unwrap()
        .into_inner();
    let changed = proto::Rule {
        goes_on: true,
        team_id: String::new(),
        vip: true,
        ..created.clone()
    };
    let request = proto::UpdateRuleRequest {
        rule: Some(changed),
    };
    service.update_rule(admin(request)).await.unwrap();
    let id = created.id.clone();
    service
        .delete_rule(admin(proto::DeleteRuleRequest { id: id.clone() }))
        .await
        .unwrap();
    let versions = service
        .list_rule_versions(admin(proto::ListRuleVersionsRequest { id }))
        .await
        .unwrap()
        .into_inner()
        .versions;
    let told: Vec<_> = versions
        .iter()
        .map(|it| {
            let rule = it.rule.as_ref().unwrap();
            (rule.version, rule.vip, it.deleted)
        })
        .collect();
    assert_eq!(told, [(2, true, true), (2, true, false), (1, false, false)]);
    // Warnings are of the moment in which it was saved.
    let kept = proto::Rule {
        warnings: Vec::new(),
        ..created
    };
    assert_eq!(versions[2].rule.as_ref(), Some(&kept));
}

//! What is told about what waits is as things are when somebody asks, and what is told about a rule when it is saved.

use std::sync::Arc;

use jiff::SignedDuration;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::{clock::Clock as _, ids::TicketId};
use solmu_proto::routing::v1::{self as proto, routing_service_server::RoutingService as _};
use solmu_testkit::{Harness, wait_for};
use tokio_util::sync::CancellationToken;

use super::support::{FakeTexts, Tickets, admin, agent_request, end, service};
use crate::{Config, service::Service, start_with};

async fn team(service: &Service, name: &str) -> String {
    let team = proto::Team {
        display_name: name.to_owned(),
        ..proto::Team::default()
    };
    let request = proto::CreateTeamRequest {
        team: Some(team),
        ..proto::CreateTeamRequest::default()
    };
    let made = service.create_team(admin(request)).await.unwrap();
    made.into_inner().id
}

async fn agent(service: &Service, request: proto::CreateAgentRequest) -> String {
    let made = service.create_agent(admin(request)).await.unwrap();
    made.into_inner().id
}

async fn presence(service: &Service, agent: &str, presence: proto::Presence) {
    let request = proto::SetPresenceRequest {
        agent_id: agent.to_owned(),
        presence: presence.into(),
    };
    service.set_presence(admin(request)).await.unwrap();
}

/// Why a ticket waits, whether a wait is expected of it and of a new one, and what explains it.
async fn told(service: &Service, id: TicketId) -> (String, bool, bool, String) {
    let request = proto::GetQueuePositionRequest {
        ticket_id: id.to_string(),
    };
    let position = service.get_queue_position(admin(request)).await.unwrap();
    let position = position.into_inner();
    let queues = service
        .list_queues(admin(proto::ListQueuesRequest {}))
        .await;
    let queue = queues.unwrap().into_inner().queues.remove(0);
    let request = proto::ExplainRoutingRequest {
        ticket_id: id.to_string(),
    };
    let explained = service.explain_routing(admin(request)).await.unwrap();
    (
        position.reason,
        position.estimated_wait.is_some(),
        queue.estimated_wait.is_some(),
        explained.into_inner().waiting_reason,
    )
}

#[tokio::test]
async fn why_a_ticket_waits_and_for_how_long_is_as_things_are_now() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let service = service(&runtime, None);
    team(&service, "Support").await;
    let anna = agent(&service, agent_request("Anna", 4, true)).await;
    let tickets = Tickets::new(&harness);
    let stop = CancellationToken::new();
    tickets.serve(stop.clone());
    start_with(&runtime, &Config::default(), Arc::new(FakeTexts::default())).unwrap();
    tickets.open(4).await;
    wait_for("she is full", || async { tickets.owned() == 4 }).await;
    harness.clock.advance(SignedDuration::from_secs(60));
    let waits = tickets.open(1).await[0];
    wait_for("it has its team", || async {
        tickets.team(waits).is_some()
    })
    .await;
    let full = "nobody of the team is free: 1 full".to_owned();
    assert_eq!(
        told(&service, waits).await,
        (full.clone(), true, true, full.clone())
    );

    // Nothing is decided about it when she goes, and when somebody comes who is on holiday.
    presence(&service, &anna, proto::Presence::Offline).await;
    let offline = "nobody of the team is free: 1 offline".to_owned();
    assert_eq!(
        told(&service, waits).await,
        (offline.clone(), false, false, offline)
    );
    let now = harness.clock.now();
    let mut bo = agent_request("Bo", 4, true);
    if let Some(bo) = &mut bo.agent {
        bo.absences = vec![proto::Absence {
            start_time: Some(to_proto_time(now - SignedDuration::from_hours(1))),
            end_time: Some(to_proto_time(now + SignedDuration::from_hours(1))),
        }];
    }
    agent(&service, bo).await;
    let nobody = "nobody of the team is free: 1 offline, 1 outside working hours".to_owned();
    assert_eq!(
        told(&service, waits).await,
        (nobody.clone(), false, false, nobody)
    );
    presence(&service, &anna, proto::Presence::Online).await;
    let (reason, expected, of_new, _) = told(&service, waits).await;
    assert_eq!(reason, format!("{full}, 1 outside working hours"));
    assert!(expected && of_new);

    // The decision says what it was made on.
    let request = proto::ExplainRoutingRequest {
        ticket_id: waits.to_string(),
    };
    let explained = service.explain_routing(admin(request)).await.unwrap();
    let decisions = explained.into_inner().decisions;
    assert!(
        decisions[0].reason.ends_with(&full),
        "{}",
        decisions[0].reason
    );
    let considered = &decisions[0].candidates;
    assert_eq!(
        (considered.len(), considered[0].agent_id.as_str()),
        (1, anna.as_str())
    );
    assert_eq!(considered[0].note, "full: 4 of 4 open tickets");
    assert!(!considered[0].eligible);
    stop.cancel();
    end(&runtime).await;
}

#[tokio::test]
async fn a_rule_is_saved_with_what_it_probably_does_not_mean() {
    let harness = Harness::new().await;
    let service = service(&harness.runtime("a"), None);
    let billing = team(&service, "Billing").await;
    let rule = proto::Rule {
        display_name: "invoices".to_owned(),
        condition: "channel = email".to_owned(),
        team_id: billing.clone(),
        enabled: true,
        skills: vec![proto::SkillWish {
            skill: "billing".to_owned(),
            level: 1,
            required: true,
            relax_after: None,
        }],
        // What a client sends of an answer is no part of the rule.
        warnings: vec!["sent back".to_owned()],
        ..proto::Rule::default()
    };
    let request = proto::CreateRuleRequest {
        rule: Some(rule.clone()),
        ..proto::CreateRuleRequest::default()
    };
    let made = service.create_rule(admin(request)).await.unwrap();
    let made = made.into_inner();
    assert_eq!(
        made.warnings,
        ["team 'Billing' has no agents: its tickets wait until it has one"]
    );
    let mut anna = agent_request("Anna", 4, true);
    if let Some(anna) = &mut anna.agent {
        anna.team_ids = vec![billing];
    }
    agent(&service, anna).await;
    let lack = "nobody has the skill 'billing': its tickets wait until somebody does";
    let tried = proto::DryRunRuleRequest {
        rule: Some(rule),
        tickets: 1,
    };
    let tried = service.dry_run_rule(admin(tried)).await.unwrap();
    assert_eq!(tried.into_inner().warnings, [lack]);
    let changed = |skills| proto::UpdateRuleRequest {
        rule: Some(proto::Rule {
            version: 0,
            skills,
            ..made.clone()
        }),
    };
    let saved = service
        .update_rule(admin(changed(made.skills.clone())))
        .await;
    assert_eq!(saved.unwrap().into_inner().warnings, [lack]);
    let saved = service.update_rule(admin(changed(Vec::new()))).await;
    assert!(saved.unwrap().into_inner().warnings.is_empty());
    let rules = service.list_rules(admin(proto::ListRulesRequest {})).await;
    let rules = rules.unwrap().into_inner().rules;
    assert!(rules.len() == 1 && rules[0].warnings.is_empty());
}

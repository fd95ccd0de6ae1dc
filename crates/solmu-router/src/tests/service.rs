//! The gRPC service, and what its changes set off.

use std::{collections::HashMap, sync::Arc};

use solmu_domain::ids::{AgentId, TeamId};
use solmu_proto::routing::v1::{self as proto, routing_service_server::RoutingService as _};
use solmu_runtime::access::Role;
use solmu_testkit::{Harness, wait_for};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::support::{FakeTexts, Tickets, admin, agent_request, by, end, service};
use crate::{Config, FirstAgent, RoutingTexts, bootstrap, start_with};

fn team_request(name: &str, default: bool) -> proto::CreateTeamRequest {
    proto::CreateTeamRequest {
        team: Some(proto::Team {
            display_name: name.to_owned(),
            default,
            ..proto::Team::default()
        }),
        ..proto::CreateTeamRequest::default()
    }
}

fn rule_request(condition: &str, team_id: &str) -> proto::CreateRuleRequest {
    proto::CreateRuleRequest {
        rule: Some(proto::Rule {
            display_name: "a rule".to_owned(),
            condition: condition.to_owned(),
            team_id: team_id.to_owned(),
            set_priority: "high".to_owned(),
            add_tags: vec!["routed".to_owned()],
            enabled: true,
            ..proto::Rule::default()
        }),
        ..proto::CreateRuleRequest::default()
    }
}

#[tokio::test]
async fn a_fresh_installation_has_a_team_and_an_agent_once() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let (one, two) = tokio::join!(
        bootstrap(&runtime, FirstAgent::default()),
        bootstrap(&runtime, FirstAgent::default())
    );
    let id = one.unwrap();
    assert_eq!(two.unwrap(), id);
    let service = service(&runtime, None);
    let teams = service
        .list_teams(admin(proto::ListTeamsRequest::default()))
        .await
        .unwrap();
    let teams = teams.into_inner().teams;
    assert_eq!(teams.len(), 1);
    assert!(teams[0].default && teams[0].display_name == "Support");
    let request = proto::GetAgentRequest { id: id.to_string() };
    let agent = service
        .get_agent(by(Role::Agent, Some(id), request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(agent.presence(), proto::Presence::Online);
    assert_eq!(agent.team_ids, [teams[0].id.clone()]);
}

#[tokio::test]
async fn teams_and_rules_keep_their_promises() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let service = service(&runtime, None);
    let first = service
        .create_team(admin(team_request("One", false)))
        .await
        .unwrap()
        .into_inner();
    assert!(first.default, "the first team is the default");
    let second = service
        .create_team(admin(team_request("Two", true)))
        .await
        .unwrap()
        .into_inner();
    let again = service
        .create_team(admin(team_request("two", false)))
        .await
        .unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    let teams = service
        .list_teams(admin(proto::ListTeamsRequest::default()))
        .await
        .unwrap();
    let defaults: Vec<_> = teams
        .into_inner()
        .teams
        .into_iter()
        .filter(|it| it.default)
        .collect();
    assert_eq!(defaults, [second]);
}

#[tokio::test]
async fn rules_are_checked_and_versioned() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let service = service(&runtime, None);
    let first = service
        .create_team(admin(team_request("One", false)))
        .await
        .unwrap()
        .into_inner();
    let wrong = service
        .create_rule(admin(rule_request("chanel = email", &first.id)))
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    let violations = wrong
        .get_error_details()
        .bad_request()
        .unwrap()
        .field_violations
        .clone();
    assert_eq!(violations[0].field, "rule.condition");
    assert!(
        violations[0]
            .description
            .contains("did you mean \"channel\"?"),
        "{violations:?}"
    );
    let nowhere = TeamId::from_uuid(uuid::Uuid::from_u128(5)).to_string();
    let wrong = service
        .create_rule(admin(rule_request("", &nowhere)))
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    let words = service
        .create_rule(admin(rule_request("invoice", &first.id)))
        .await
        .unwrap_err();
    assert_eq!(words.code(), Code::FailedPrecondition);

    let rule = service
        .create_rule(admin(rule_request("channel = email", &first.id)))
        .await
        .unwrap();
    let mut rule = rule.into_inner();
    assert_eq!(
        (rule.version, rule.condition.as_str()),
        (1, "channel = email")
    );
    rule.position = 7;
    let changed = proto::UpdateRuleRequest {
        rule: Some(rule.clone()),
    };
    assert_eq!(
        service
            .update_rule(admin(changed.clone()))
            .await
            .unwrap()
            .into_inner()
            .version,
        2
    );
    assert_eq!(
        service
            .update_rule(admin(changed))
            .await
            .unwrap_err()
            .code(),
        Code::Aborted
    );
    let delete = proto::DeleteRuleRequest { id: rule.id };
    service.delete_rule(admin(delete.clone())).await.unwrap();
    assert_eq!(
        service.delete_rule(admin(delete)).await.unwrap_err().code(),
        Code::NotFound
    );
    let rules = service
        .list_rules(admin(proto::ListRulesRequest {}))
        .await
        .unwrap()
        .into_inner();
    assert!(rules.rules.is_empty());
}

#[tokio::test]
async fn roles_are_checked() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let service = service(&runtime, None);
    let anna = bootstrap(&runtime, FirstAgent::default()).await.unwrap();
    let other = AgentId::from_uuid(uuid::Uuid::from_u128(3));
    let refused = service
        .create_team(by(Role::Agent, Some(anna), team_request("X", false)))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let nobody = service
        .list_teams(tonic::Request::new(proto::ListTeamsRequest::default()))
        .await;
    assert_eq!(nobody.unwrap_err().code(), Code::Unauthenticated);
    let away = proto::SetPresenceRequest {
        agent_id: anna.to_string(),
        presence: proto::Presence::Away.into(),
    };
    let refused = service
        .set_presence(by(Role::Agent, Some(other), away.clone()))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let agent = service
        .set_presence(by(Role::Agent, Some(anna), away))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(agent.presence(), proto::Presence::Away);
    let unknown = proto::ExplainRoutingRequest {
        ticket_id: other.to_string(),
    };
    let unknown = service
        .explain_routing(by(Role::Agent, Some(anna), unknown))
        .await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    let changed = proto::UpdateAgentRequest {
        update_mask: None,
        agent: Some(proto::Agent {
            id: other.to_string(),
            display_name: "Nobody".to_owned(),
            capacity: 1,
            ..proto::Agent::default()
        }),
    };
    assert_eq!(
        service
            .update_agent(admin(changed))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn the_queue_drains_when_somebody_comes_online_and_when_they_can_take_more() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let service = service(&runtime, None);
    service
        .create_team(admin(team_request("Support", true)))
        .await
        .unwrap();
    let anna = service
        .create_agent(admin(agent_request("Anna", 1, false)))
        .await
        .unwrap()
        .into_inner();
    let tickets = Tickets::new(&harness);
    let stop = CancellationToken::new();
    tickets.serve(stop.clone());
    let parts = start_with(&runtime, &Config::default(), Arc::new(FakeTexts::default())).unwrap();
    assert!(parts.grpc.is_some());

    let ids = tickets.open(2).await;
    wait_for("both tickets have their team", || async {
        ids.iter().all(|id| tickets.team(*id).is_some())
    })
    .await;
    assert_eq!(tickets.owned(), 0);
    let why = proto::ExplainRoutingRequest {
        ticket_id: ids[0].to_string(),
    };
    let why = service
        .explain_routing(admin(why))
        .await
        .unwrap()
        .into_inner()
        .decisions;
    assert!(
        why[0]
            .reason
            .ends_with("nobody of the team is free: 1 offline"),
        "{}",
        why[0].reason
    );

    let online = proto::SetPresenceRequest {
        agent_id: anna.id.clone(),
        presence: proto::Presence::Online.into(),
    };
    service.set_presence(admin(online)).await.unwrap();
    wait_for("she gets the first", || async { tickets.owned() == 1 }).await;
    let more = proto::UpdateAgentRequest {
        update_mask: None,
        agent: Some(proto::Agent {
            capacity: 2,
            ..anna.clone()
        }),
    };
    service.update_agent(admin(more)).await.unwrap();
    wait_for("and the second", || async { tickets.owned() == 2 }).await;
    assert_eq!(tickets.state.lock().unwrap().loads[&anna.id].1, 2);
    wait_for("the decisions are known as applied", || async {
        let why = proto::ExplainRoutingRequest {
            ticket_id: ids[1].to_string(),
        };
        let why = service
            .explain_routing(admin(why))
            .await
            .unwrap()
            .into_inner()
            .decisions;
        // One that was made before the ticket's newest change was heard of is refused, and made again.
        why[0].outcome == "applied" && why[0].agent_id == anna.id
    })
    .await;
    let agents = service
        .list_agents(admin(proto::ListAgentsRequest::default()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(agents.agents[0].load, 2);
    stop.cancel();
    end(&runtime).await;
}

#[tokio::test]
async fn rules_on_words_wait_for_the_words() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let texts = Arc::new(FakeTexts::default());
    let service = service(&runtime, Some(Arc::clone(&texts) as Arc<dyn RoutingTexts>));
    service
        .create_team(admin(team_request("Support", true)))
        .await
        .unwrap();
    let billing = service
        .create_team(admin(team_request("Billing", false)))
        .await
        .unwrap()
        .into_inner();
    service
        .create_rule(admin(rule_request("lasku*", &billing.id)))
        .await
        .unwrap();
    let tickets = Tickets::new(&harness);
    let stop = CancellationToken::new();
    tickets.serve(stop.clone());
    start_with(
        &runtime,
        &Config::default(),
        Arc::clone(&texts) as Arc<dyn RoutingTexts>,
    )
    .unwrap();

    let ids = tickets.open(2).await;
    wait_for("the tickets wait for their words, and say so", || async {
        let why = proto::ExplainRoutingRequest {
            ticket_id: ids[0].to_string(),
        };
        let why = service.explain_routing(admin(why)).await;
        why.is_ok_and(|why| why.into_inner().decisions[0].reason.contains("its text"))
    })
    .await;
    let words = HashMap::from([(ids[0], "Laskuni on väärin".to_owned())]);
    *texts.words.lock().unwrap() = Some(words);
    wait_for("both are routed", || async {
        ids.iter().all(|id| tickets.team(*id).is_some())
    })
    .await;
    assert_eq!(tickets.team(ids[0]).unwrap().to_string(), billing.id);
    assert_ne!(tickets.team(ids[1]).unwrap().to_string(), billing.id);
    stop.cancel();
    end(&runtime).await;
}

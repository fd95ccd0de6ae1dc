//! Agents and teams that are removed, over the API.

use solmu_proto::routing::v1::{self as proto, routing_service_server::RoutingService as _};
use solmu_runtime::access::Role;
use tonic::Code;

use super::{
    engine::{Bench, held},
    support::{admin, agent_request, by, service},
};
use crate::service::Service;

async fn remove_agent(service: &Service, id: &str) -> Result<proto::Agent, tonic::Status> {
    let request = proto::DeleteAgentRequest { id: id.to_owned() };
    let answer = service.delete_agent(admin(request)).await?;
    Ok(answer.into_inner())
}

async fn remove_team(service: &Service, id: &str) -> Result<proto::Team, tonic::Status> {
    let request = proto::DeleteTeamRequest { id: id.to_owned() };
    let answer = service.delete_team(admin(request)).await?;
    Ok(answer.into_inner())
}

#[tokio::test]
async fn the_work_of_a_removed_agent_goes_to_others_and_history_stays() {
    let bench = Bench::new(5).await;
    let service = service(&bench.harness.runtime("api"), None);
    let engine = bench.engine("a");
    engine.round(vec![bench.opened(1)], &held(1)).await.unwrap();
    let anna = bench.agent.to_string();
    let by_agent = by(
        Role::Agent,
        Some(bench.agent),
        proto::DeleteAgentRequest { id: anna.clone() },
    );
    let refused = service.delete_agent(by_agent).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    let removed = remove_agent(&service, &anna).await.unwrap();
    assert!(removed.archive_time.is_some());
    assert_eq!(removed.presence(), proto::Presence::Offline);
    let again = remove_agent(&service, &anna).await.unwrap();
    assert_eq!(again.archive_time, removed.archive_time, "once");
    let gone = remove_agent(&service, &uuid::Uuid::from_u128(5).to_string()).await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
    let listed = async |show_archived: bool| {
        let request = proto::ListAgentsRequest { show_archived };
        let answer = service.list_agents(admin(request)).await.unwrap();
        answer.into_inner().agents.len()
    };
    assert_eq!((listed(false).await, listed(true).await), (0, 1));
    let request = proto::UpdateAgentRequest {
        agent: Some(removed.clone()),
        update_mask: None,
    };
    let changed = service.update_agent(admin(request)).await.unwrap_err();
    assert_eq!(changed.code(), Code::NotFound);
    let request = proto::SetPresenceRequest {
        agent_id: anna.clone(),
        presence: proto::Presence::Online.into(),
    };
    let present = service.set_presence(admin(request)).await.unwrap();
    assert_eq!(present.into_inner().presence(), proto::Presence::Offline);

    // Somebody of the same address may come after them, and gets what they had once the ticket service has said so.
    let berit = service.create_agent(admin(agent_request("Berit", 5, true)));
    berit.await.unwrap();
    engine.round(vec![bench.opened(2)], &held(1)).await.unwrap();
    let owner = bench.decisions(2).await[0].1;
    assert!(owner.is_some() && owner != Some(bench.agent));
}

#[tokio::test]
async fn a_team_goes_when_nothing_needs_it() {
    let bench = Bench::new(5).await;
    let service = service(&bench.harness.runtime("api"), None);
    let make = async |name: &str| {
        let team = proto::Team {
            display_name: name.to_owned(),
            ..proto::Team::default()
        };
        let request = proto::CreateTeamRequest {
            team: Some(team),
            ..proto::CreateTeamRequest::default()
        };
        let answer = service.create_team(admin(request)).await;
        answer.map(tonic::Response::into_inner)
    };
    let billing = make("Billing").await.unwrap();
    let usual = (billing.mode.as_str(), billing.take_back.as_str());
    assert_eq!(usual, ("direct", "untouched"));
    let teams = service
        .list_teams(admin(proto::ListTeamsRequest::default()))
        .await
        .unwrap()
        .into_inner()
        .teams;
    let default = teams.iter().find(|team| team.default).unwrap();
    let refused = remove_team(&service, &default.id).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);

    let rule = proto::Rule {
        display_name: "invoices".to_owned(),
        team_id: billing.id.clone(),
        condition: "category:billing AND fields.order_value:9 AND country = fi".to_owned(),
        enabled: true,
        ..proto::Rule::default()
    };
    let request = proto::CreateRuleRequest {
        rule: Some(rule),
        ..proto::CreateRuleRequest::default()
    };
    let rule = service.create_rule(admin(request)).await.unwrap();
    let refused = remove_team(&service, &billing.id).await.unwrap_err();
    assert_eq!(refused.message(), "rule 'invoices' chooses this team");
    let request = proto::DeleteRuleRequest {
        id: rule.into_inner().id,
    };
    service.delete_rule(admin(request)).await.unwrap();
    let removed = remove_team(&service, &billing.id).await.unwrap();
    assert!(removed.archive_time.is_some());
    let request = proto::UpdateTeamRequest {
        team: Some(removed),
    };
    let changed = service.update_team(admin(request)).await.unwrap_err();
    assert_eq!(changed.code(), Code::NotFound);
    // Its name is free again.
    assert_ne!(make("Billing").await.unwrap().id, billing.id);
}

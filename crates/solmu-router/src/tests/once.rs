//! The same call under a request id is made once.

use solmu_domain::ids::AgentId;
use solmu_proto::routing::v1::{self as proto, routing_service_server::RoutingService as _};
use solmu_runtime::access::Role;
use solmu_testkit::{Harness, wait_for};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{
    offers::{Desk, desk},
    support::{admin, agent_request, by, service},
};

fn team(name: &str, request_id: &str) -> proto::CreateTeamRequest {
    proto::CreateTeamRequest {
        team: Some(proto::Team {
            display_name: name.to_owned(),
            ..proto::Team::default()
        }),
        request_id: request_id.to_owned(),
    }
}

fn rule(name: &str, team_id: &str, request_id: &str) -> proto::CreateRuleRequest {
    proto::CreateRuleRequest {
        rule: Some(proto::Rule {
            display_name: name.to_owned(),
            team_id: team_id.to_owned(),
            condition: "channel = email".to_owned(),
            enabled: true,
            ..proto::Rule::default()
        }),
        request_id: request_id.to_owned(),
    }
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map_or_else(String::new, |it| it.reason.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn teams_agents_and_rules_are_made_once() {
    let harness = Harness::new().await;
    let service = service(&harness.runtime("api"), None);
    let made = service.create_team(admin(team("Support", "t-1"))).await;
    let first = made.unwrap().into_inner();
    let again = service.create_team(admin(team("Support", "t-1"))).await;
    assert_eq!(again.unwrap().into_inner(), first);
    let other = service.create_team(admin(team("Sales", "t-1"))).await;
    assert_eq!(reason(&other.unwrap_err()), "REQUEST_ID_REUSED");

    // Without an address nothing but the request id tells two agents apart.
    let anna = || proto::CreateAgentRequest {
        request_id: "a-1".to_owned(),
        ..agent_request("Anna", 5, false)
    };
    let both = tokio::join!(
        service.create_agent(admin(anna())),
        service.create_agent(admin(anna()))
    );
    let ids = [both.0, both.1].map(|it| it.unwrap().into_inner().id);
    assert_eq!(ids[0], ids[1]);
    let listed = service
        .list_agents(admin(proto::ListAgentsRequest::default()))
        .await;
    assert_eq!(listed.unwrap().into_inner().agents.len(), 1);

    let calls = [(); 10].map(|()| service.create_rule(admin(rule("mail", &first.id, "r-1"))));
    let mut ids = Vec::new();
    for made in futures::future::join_all(calls).await {
        ids.push(made.unwrap().into_inner().id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let rules = service.list_rules(admin(proto::ListRulesRequest {})).await;
    assert_eq!(rules.unwrap().into_inner().rules.len(), 1);
    let other = service
        .create_rule(admin(rule("other", &first.id, "r-1")))
        .await;
    assert_eq!(reason(&other.unwrap_err()), "REQUEST_ID_REUSED");
    // A call that failed is not remembered.
    let ghost = uuid::Uuid::from_u128(9).to_string();
    let refused = service
        .create_rule(admin(rule("late", &ghost, "r-2")))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let made = service
        .create_rule(admin(rule("late", &first.id, "r-2")))
        .await;
    made.unwrap();
    // Another caller's ids are theirs.
    let manager = by(Role::Service, None, rule("theirs", &first.id, "r-1"));
    assert_eq!(
        service
            .create_rule(manager)
            .await
            .unwrap()
            .into_inner()
            .display_name,
        "theirs"
    );
}

async fn next(desk: &Desk, agent: AgentId, request_id: &str) -> Result<String, Status> {
    loop {
        let asked = proto::NextTicketRequest {
            agent_id: agent.to_string(),
            request_id: request_id.to_owned(),
            ..proto::NextTicketRequest::default()
        };
        match desk
            .service
            .next_ticket(by(Role::Agent, Some(agent), asked))
            .await
        {
            Ok(answer) => return Ok(answer.into_inner().ticket_id),
            // On a slow machine the leader may take its time: who gave up asks again.
            Err(status) if status.code() == Code::Unavailable => {}
            Err(status) => return Err(status),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_again_for_the_next_ticket_gets_the_same() {
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
    let (anna, berit) = (desk.agents[0], desk.agents[1]);
    let first = next(&desk, anna, "n-1").await.unwrap();
    assert!(!first.is_empty());
    let both = tokio::join!(next(&desk, anna, "n-1"), next(&desk, anna, "n-1"));
    assert_eq!(
        (both.0.unwrap(), both.1.unwrap()),
        (first.clone(), first.clone())
    );
    let others = [
        next(&desk, anna, "n-2").await,
        next(&desk, berit, "n-1").await,
    ];
    let others = others.map(Result::unwrap);
    assert!(
        !others.contains(&first) && others[0] != others[1],
        "{others:?}"
    );
    let elsewhere = proto::NextTicketRequest {
        agent_id: anna.to_string(),
        team_id: uuid::Uuid::from_u128(1).to_string(),
        request_id: "n-1".to_owned(),
    };
    let refused = desk
        .service
        .next_ticket(by(Role::Agent, Some(anna), elsewhere))
        .await;
    assert_eq!(reason(&refused.unwrap_err()), "REQUEST_ID_REUSED");
    wait_for("they own them", || async { desk.tickets.owned() == 3 }).await;
    desk.end().await;
}

//! Rules that restrict: what is refused, what the ticket service finds of them, and what one would have done.

use std::{collections::HashMap, sync::Arc};

use solmu_proto::routing::v1::{self as proto, routing_service_server::RoutingService as _};
use solmu_testkit::{Harness, wait_for};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::support::{FakeTexts, Tickets, admin, agent_request, end, service};
use crate::{Config, core::rules::SCHEMA, service::Service, start_with};

async fn team(service: &Service, name: &str, default: bool) -> String {
    let team = proto::Team {
        display_name: name.to_owned(),
        default,
        ..proto::Team::default()
    };
    let request = proto::CreateTeamRequest {
        team: Some(team),
        ..proto::CreateTeamRequest::default()
    };
    let team = service.create_team(admin(request)).await.unwrap();
    team.into_inner().id
}

fn threats(team: &str) -> proto::Rule {
    proto::Rule {
        display_name: "threats".to_owned(),
        condition: "uhka* AND hour >= 0".to_owned(),
        team_id: team.to_owned(),
        set_priority: "urgent".to_owned(),
        add_tags: vec!["threat".to_owned()],
        enabled: true,
        restrict: Some(proto::RuleRestriction::default()),
        ..proto::Rule::default()
    }
}

async fn create(service: &Service, rule: proto::Rule) -> Result<proto::Rule, Status> {
    let request = proto::CreateRuleRequest {
        rule: Some(rule),
        ..proto::CreateRuleRequest::default()
    };
    let made = service.create_rule(admin(request)).await;
    made.map(tonic::Response::into_inner)
}

async fn update(service: &Service, rule: proto::Rule) -> proto::Rule {
    let request = proto::UpdateRuleRequest { rule: Some(rule) };
    let changed = service.update_rule(admin(request)).await.unwrap();
    changed.into_inner()
}

/// What the ticket service finds: names with versions, and how many each names.
async fn in_force(harness: &Harness) -> Vec<(String, i64, usize, usize)> {
    let mut connection = harness.db.pool().acquire().await.unwrap();
    let rules = solmu_restrict::all(&mut connection).await.unwrap();
    let rules = rules.into_iter();
    let told = rules.map(|it| (it.name, it.version, it.agents.len(), it.teams.len()));
    told.collect()
}

#[test]
fn what_they_may_look_at_every_rule_may() {
    let all: Vec<String> = SCHEMA.fields().map(|it| format!("{it:?}")).collect();
    for field in solmu_restrict::SCHEMA.fields() {
        assert!(all.contains(&format!("{field:?}")), "{field:?}");
    }
}

#[tokio::test]
async fn the_ticket_service_finds_what_is_in_force() {
    let harness = Harness::new().await;
    // Nobody here can say words: who asks these rules can.
    let service = service(&harness.runtime("api"), None);
    team(&service, "Support", true).await;
    let security = team(&service, "Security", false).await;
    let legal = team(&service, "Legal", false).await;
    let agent = service.create_agent(admin(agent_request("Liisa", 1, false)));
    let agent = agent.await.unwrap().into_inner().id;
    let made = create(&service, threats(&security)).await.unwrap();
    assert_eq!(made.restrict, Some(proto::RuleRestriction::default()));
    assert_eq!(in_force(&harness).await, [("threats".to_owned(), 1, 0, 1)]);
    let wider = proto::Rule {
        restrict: Some(proto::RuleRestriction {
            agent_ids: vec![agent],
            team_ids: vec![legal.clone(), security.clone()],
        }),
        ..made.clone()
    };
    let wider = update(&service, wider).await;
    assert_eq!(in_force(&harness).await, [("threats".to_owned(), 2, 1, 2)]);
    for team in [&security, &legal] {
        let request = proto::DeleteTeamRequest { id: team.clone() };
        let kept = service.delete_team(admin(request)).await.unwrap_err();
        assert_eq!(kept.message(), "rule 'threats' chooses this team");
    }
    let off = proto::Rule {
        enabled: false,
        ..wider.clone()
    };
    let off = update(&service, off).await;
    assert!(in_force(&harness).await.is_empty() && off.restrict.is_some());
    let on = proto::Rule {
        version: off.version,
        ..wider
    };
    let on = update(&service, on).await;
    assert_eq!(in_force(&harness).await.len(), 1);
    let ordinary = proto::Rule {
        condition: "channel = email".to_owned(),
        restrict: None,
        ..on
    };
    let ordinary = update(&service, ordinary).await;
    assert!(in_force(&harness).await.is_empty() && ordinary.restrict.is_none());
    let again = proto::Rule {
        restrict: made.restrict,
        ..ordinary
    };
    let again = update(&service, again).await;
    let request = proto::DeleteRuleRequest { id: again.id };
    service.delete_rule(admin(request)).await.unwrap();
    assert!(in_force(&harness).await.is_empty());
}

/// Rules that ask for what they cannot have, each with a part of what is said about it.
fn wrong_rules(security: &str, agent: &str) -> Vec<(proto::Rule, &'static str)> {
    let nobody = uuid::Uuid::from_u128(99).to_string();
    let whom = |agents: &[&str], teams: &[&str]| {
        let texts = |ids: &[&str]| ids.iter().map(|it| (*it).to_owned()).collect();
        Some(proto::RuleRestriction {
            agent_ids: texts(agents),
            team_ids: texts(teams),
        })
    };
    let usual = || threats(security);
    vec![
        (
            proto::Rule {
                agent_id: agent.to_owned(),
                ..usual()
            },
            "and nothing else",
        ),
        (
            proto::Rule {
                vip: true,
                ..usual()
            },
            "and nothing else",
        ),
        (
            proto::Rule {
                goes_on: true,
                team_id: String::new(),
                ..usual()
            },
            "and nothing else",
        ),
        (
            proto::Rule {
                hold: Some(prost_types::Duration {
                    seconds: 5,
                    nanos: 0,
                }),
                ..usual()
            },
            "and nothing else",
        ),
        (
            proto::Rule {
                team_id: String::new(),
                ..usual()
            },
            "rule.team_id",
        ),
        (
            proto::Rule {
                condition: "nonsense = 5".to_owned(),
                ..usual()
            },
            "rule.condition",
        ),
        (
            proto::Rule {
                restrict: whom(&[&nobody], &[]),
                ..usual()
            },
            "there is no agent",
        ),
        (
            proto::Rule {
                restrict: whom(&[], &[&nobody]),
                ..usual()
            },
            "there is no team",
        ),
        (
            proto::Rule {
                restrict: whom(&[agent; 51], &[]),
                ..usual()
            },
            "at most 50",
        ),
    ]
}

#[tokio::test]
async fn what_they_cannot_do_is_refused() {
    let harness = Harness::new().await;
    let texts = Arc::new(FakeTexts::default());
    let service = service(&harness.runtime("api"), Some(texts));
    team(&service, "Support", true).await;
    let security = team(&service, "Security", false).await;
    let agent = service.create_agent(admin(agent_request("Liisa", 1, false)));
    let agent = agent.await.unwrap().into_inner().id;
    for (wrong, said) in wrong_rules(&security, &agent) {
        let refused = create(&service, wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let details = tonic_types::StatusExt::get_error_details(&refused);
        let told = format!("{details:?}");
        assert!(told.contains(said), "{said}: {told}");
    }
    assert!(
        in_force(&harness).await.is_empty(),
        "nothing is kept of them"
    );
}

#[tokio::test]
async fn a_trial_lists_what_it_would_have_restricted_and_routes_nothing() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let texts = Arc::new(FakeTexts::default());
    let service = service(&runtime, Some(texts.clone()));
    let support = team(&service, "Support", true).await;
    let security = team(&service, "Security", false).await;
    let tickets = Tickets::new(&harness);
    let stop = CancellationToken::new();
    tickets.serve(stop.clone());
    start_with(&runtime, &Config::default(), texts.clone()).unwrap();
    let ids = tickets.open(2).await;
    wait_for("they have their team", || async {
        ids.iter().all(|id| tickets.team(*id).is_some())
    })
    .await;
    let trial = |rule: proto::Rule| async {
        let request = proto::DryRunRuleRequest {
            rule: Some(rule),
            tickets: 0,
        };
        service.dry_run_rule(admin(request)).await
    };
    let silent = trial(threats(&security)).await.unwrap_err();
    assert_eq!(
        silent.code(),
        Code::FailedPrecondition,
        "words are not there"
    );
    let words = HashMap::from([(ids[0], "Uhkaan teitä".to_owned())]);
    *texts.words.lock().unwrap() = Some(words);
    let found = trial(threats(&security)).await.unwrap().into_inner();
    assert_eq!((found.tickets, found.changes.len()), (2, 1));
    let change = &found.changes[0];
    assert_eq!(
        (&change.ticket_id, &change.team_id, &change.new_team_id),
        (&ids[0].to_string(), &support, &security)
    );
    assert_eq!(change.differs, ["restricted"]);
    // What another rule restricts already is no difference.
    let made = create(&service, threats(&security)).await.unwrap();
    let again = trial(threats(&security)).await.unwrap().into_inner();
    assert!(again.changes.is_empty());
    let itself = trial(made.clone()).await.unwrap().into_inner();
    assert_eq!(itself.changes.len(), 1);
    // It routes nothing: what waits, and what comes, goes where it went.
    let next = tickets.open(1).await;
    let words = HashMap::from([(next[0], "Uhkaan teitä".to_owned())]);
    *texts.words.lock().unwrap() = Some(words);
    wait_for("it has its team", || async {
        tickets.team(next[0]).is_some()
    })
    .await;
    for id in ids.iter().chain(&next) {
        assert_eq!(tickets.team(*id).unwrap().to_string(), support);
    }
    stop.cancel();
    end(&runtime).await;
}

//! What is stored of rules and teams, what is refused of custom fields, and what is removed after a time.

use std::sync::Arc;

use jiff::SignedDuration;
use solmu_db::ToSqlx as _;
use solmu_domain::clock::Clock as _;
use solmu_proto::{
    routing::v1::{self as proto, routing_service_server::RoutingService as _},
    ticket::v1::{FieldDefinition, field_definition::Kind},
};
use tonic::Code;
use uuid::Uuid;

use super::{
    engine::Bench,
    support::{FakeTexts, admin, service},
};

fn rule(condition: &str, zone: &str, team_id: &str) -> proto::CreateRuleRequest {
    proto::CreateRuleRequest {
        rule: Some(proto::Rule {
            display_name: "rule".to_owned(),
            condition: condition.to_owned(),
            time_zone: zone.to_owned(),
            team_id: team_id.to_owned(),
            enabled: true,
            ..proto::Rule::default()
        }),
        ..proto::CreateRuleRequest::default()
    }
}

#[tokio::test]
async fn rules_keep_their_zone_and_custom_fields_are_checked_as_far_as_they_are_known() {
    let bench = Bench::new(1).await;
    let texts = Arc::new(FakeTexts::default());
    let service = service(&bench.harness.runtime("api"), Some(texts.clone()));
    let teams = service.list_teams(admin(proto::ListTeamsRequest::default()));
    let team = teams.await.unwrap().into_inner().teams[0].id.clone();

    // Nobody knows the fields now: what is asked of them is taken as it is.
    let unknown = rule("fields.amuont > 5 AND hour >= 16", "Europe/Helsinki", &team);
    let made = service.create_rule(admin(unknown.clone())).await.unwrap();
    let made = made.into_inner();
    assert_eq!(made.time_zone, "Europe/Helsinki");
    let request = proto::ListRuleVersionsRequest { id: made.id };
    let versions = service.list_rule_versions(admin(request)).await.unwrap();
    let kept = versions.into_inner().versions.remove(0).rule.unwrap();
    assert_eq!(kept.time_zone, "Europe/Helsinki");

    *texts.definitions.lock().unwrap() = Some(vec![FieldDefinition {
        key: "amount".to_owned(),
        kind: Kind::Number.into(),
        ..FieldDefinition::default()
    }]);
    let refused = service.create_rule(admin(unknown)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let tried = proto::DryRunRuleRequest {
        rule: rule("fields.amount = many", "", &team).rule,
        tickets: 1,
    };
    let refused = service.dry_run_rule(admin(tried)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let good = rule("fields.amount > 5", "", &team);
    service.create_rule(admin(good)).await.unwrap();
    let nowhere = rule("", "Mars/Olympus", &team);
    let refused = service.create_rule(admin(nowhere)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_team_that_follows_the_sun_says_so() {
    let bench = Bench::new(1).await;
    let service = service(&bench.harness.runtime("api"), None);
    let teams = service.list_teams(admin(proto::ListTeamsRequest::default()));
    let helper = teams.await.unwrap().into_inner().teams[0].id.clone();
    let sydney = |follow_sun| proto::CreateTeamRequest {
        team: Some(proto::Team {
            display_name: "Sydney".to_owned(),
            overflow_team_ids: vec![helper.clone()],
            follow_sun,
            ..proto::Team::default()
        }),
        ..proto::CreateTeamRequest::default()
    };
    let refused = service.create_team(admin(sydney(false))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let made = service.create_team(admin(sydney(true))).await.unwrap();
    let mut made = made.into_inner();
    assert!(made.follow_sun);
    made.follow_sun = false;
    made.overflow_team_ids.clear();
    let request = proto::UpdateTeamRequest { team: Some(made) };
    let changed = service.update_team(admin(request)).await.unwrap();
    assert!(!changed.into_inner().follow_sun);
}

#[tokio::test]
async fn old_offers_and_questions_are_removed() {
    let bench = Bench::new(1).await;
    let pool = bench.harness.db.pool();
    let now = bench.harness.clock.now();
    for (id, ended) in [(1_u128, Some(31)), (2, Some(29)), (3, None)] {
        let ago = |days: i64| now - SignedDuration::from_hours(days * 24);
        sqlx::query(
            "INSERT INTO routing.offer (id, ticket_id, team_id, agent_id, state, offered_at, expires_at, ended_at)
             VALUES ($1, $1, $1, $1, CASE WHEN $3::timestamptz IS NULL THEN 'open' ELSE 'declined' END, $2, $2, $3)",
        )
        .bind(Uuid::from_u128(id))
        .bind(ago(40).to_sqlx())
        .bind(ended.map(|days| ago(days).to_sqlx()))
        .execute(pool)
        .await
        .unwrap();
    }
    for (id, minutes) in [(1_u128, 24 * 60 + 1), (2, 1)] {
        sqlx::query(
            "INSERT INTO routing.pull (id, agent_id, state, asked_at) VALUES ($1, $1, 'asked', $2)",
        )
        .bind(Uuid::from_u128(id))
        .bind((now - SignedDuration::from_mins(minutes)).to_sqlx())
        .execute(pool)
        .await
        .unwrap();
    }
    let engine = bench.engine("a");
    engine.sweep().await.unwrap();
    let left = async |table: &'static str| -> Vec<Uuid> {
        let question = match table {
            "offer" => "SELECT id FROM routing.offer ORDER BY id",
            _ => "SELECT id FROM routing.pull ORDER BY id",
        };
        sqlx::query_scalar(question).fetch_all(pool).await.unwrap()
    };
    assert_eq!(
        left("offer").await,
        [Uuid::from_u128(2), Uuid::from_u128(3)]
    );
    assert_eq!(left("pull").await, [Uuid::from_u128(2)]);
    // Looked at again only after a while.
    bench.harness.clock.advance(SignedDuration::from_hours(48));
    engine.sweep().await.unwrap();
    assert_eq!(
        left("offer").await,
        [Uuid::from_u128(3)],
        "what stands stays"
    );
}

//! Whose views there are, and how many.

use solmu_runtime::access::Visibility;
use solmu_testkit::Harness;

use super::*;

/// Views of one person or team, here.
const MOST: u32 = 3;

fn of_team(team: u128) -> proto::SavedView {
    proto::SavedView {
        team_id: Uuid::from_u128(team).to_string(),
        ..proto::SavedView::default()
    }
}

#[test]
fn who_is_bound_makes_views_for_their_own_teams() {
    let agent = AgentId::from_uuid(Uuid::from_u128(1));
    let free = Caller::new("a", Role::Agent, Some(agent));
    let bound = free.clone().seeing(Visibility::Teams {
        agent,
        teams: [TeamId::from_uuid(Uuid::from_u128(7))].into(),
    });
    let seven = Some(Uuid::from_u128(7));
    assert_eq!(team_of(&of_team(7), &bound).unwrap(), seven);
    assert_eq!(
        team_of(&proto::SavedView::default(), &bound).unwrap(),
        None,
        "one of their own"
    );
    let refused = team_of(&of_team(8), &bound).unwrap_err();
    assert_eq!(refused.reason(), "NOT_YOUR_TEAM");
    assert!(team_of(&of_team(8), &free).is_ok());
}

#[test]
fn who_sees_every_team_makes_views_for_their_own_unless_they_manage() {
    let agent = AgentId::from_uuid(Uuid::from_u128(1));
    let of_seven = |teams: &[u128]| Visibility::AllTeams {
        agent: Some(agent),
        teams: teams
            .iter()
            .map(|it| TeamId::from_uuid(Uuid::from_u128(*it)))
            .collect(),
    };
    let one = Caller::new("a", Role::Agent, Some(agent)).seeing(of_seven(&[7]));
    assert!(team_of(&of_team(7), &one).is_ok());
    let refused = team_of(&of_team(8), &one).unwrap_err();
    assert_eq!(refused.reason(), "NOT_YOUR_TEAM");
    let manager = one.clone().managing();
    assert!(team_of(&of_team(8), &manager).is_ok());
    let unknown = Caller::new("a", Role::Agent, Some(agent)).seeing(of_seven(&[]));
    assert!(
        team_of(&of_team(8), &unknown).is_ok(),
        "nobody says whose they are"
    );
    let service = Caller::new("s", Role::Service, None).seeing(of_seven(&[7]));
    assert!(team_of(&of_team(8), &service).is_ok());
}

#[tokio::test]
async fn views_are_bounded_for_each_person_and_each_team() {
    let harness = Harness::new().await;
    let mut connection = harness.db.pool().acquire().await.unwrap();
    for team in [None, Some(Uuid::from_u128(7))] {
        let add = |count: i64| {
            sqlx::query(
                "INSERT INTO tickets.saved_view (id, display_name, filter, team_id, created_by, created_at, updated_at)
                 SELECT gen_random_uuid(), 'a', '', $1, 'me', now(), now() FROM generate_series(1, $2)",
            )
            .bind(team)
            .bind(count)
        };
        add(i64::from(MOST))
            .execute(&mut *connection)
            .await
            .unwrap();
        lock(&mut connection, team, "me").await.unwrap();
        bounded(&mut connection, (team, "me"), MOST).await.unwrap();
        add(1).execute(&mut *connection).await.unwrap();
        let refused = bounded(&mut connection, (team, "me"), MOST)
            .await
            .unwrap_err();
        assert_eq!(refused.reason(), "TOO_MANY_VIEWS");
    }
    let other = Some(Uuid::from_u128(8));
    bounded(&mut connection, (other, "me"), MOST).await.unwrap();
    bounded(&mut connection, (None, "you"), MOST).await.unwrap();
}

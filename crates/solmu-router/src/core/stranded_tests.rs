//! Nothing is stranded with somebody who cannot do it, and tickets that have to be done somewhere go to who is near.

use std::collections::{BTreeMap, HashMap};

use solmu_matching::Location;

use super::{
    decision::Kind,
    desk::{
        Agent, Hours,
        Presence::{Offline, Online},
        Team,
    },
    event::What,
    rules::RuleSet,
    state::State,
    testing::{agent, event, facts, person, round, state, team, ticket},
    ticket::{Facts, LOCATION, Phase},
};

fn given(owner: u128, to: u128) -> Facts {
    Facts {
        team: Some(team(to)),
        assignee: Some(agent(owner)),
        ..facts(1)
    }
}

fn named(name: &str, gone: bool) -> Team {
    Team {
        name: name.to_owned(),
        gone,
        ..Team::default()
    }
}

#[test]
fn what_is_given_to_nobody_on_the_roster_goes_back_to_the_queue() {
    let mut state = state([person(1, &[1], Online, 5)]);
    let known = given(77, 1);
    let by_hand = What::Assigned { decision: None };
    let decided = round(&mut state, &[event(1, &known, by_hand, 10)], 10);
    assert_eq!(decided.len(), 1);
    assert_eq!(decided[0].kind, Kind::TakenBack);
    assert_eq!(decided[0].previous, Some(agent(77)));
    assert_eq!(
        decided[0].reason,
        "its owner is no agent that the router knows; it goes back to the queue"
    );
    let back = Facts {
        assignee: None,
        version: 2,
        routing_version: 2,
        ..known
    };
    let applied = What::Assigned {
        decision: Some(decided[0].id),
    };
    let decided = round(&mut state, &[event(1, &back, applied, 11)], 11);
    assert_eq!(decided[0].agent, Some(agent(1)));
}

#[test]
fn who_is_restored_after_their_tickets_is_no_stranger() {
    let mut fresh = State::default();
    fresh.set_rules(RuleSet::new(1, Vec::new(), Some(team(1))));
    round(&mut fresh, &[], 1);
    fresh.learn(&event(1, &given(1, 1), What::Told, 1));
    fresh.desk_mut().set_agent(person(1, &[1], Online, 5));
    assert!(round(&mut fresh, &[], 2).is_empty());
    assert!(matches!(
        fresh.ticket(ticket(1)).unwrap().phase,
        Phase::Assigned { .. }
    ));
}

#[test]
fn without_a_default_team_the_work_of_who_left_goes_to_a_team_that_is_there() {
    let mut state = State::default();
    state.set_rules(RuleSet::new(1, Vec::new(), None));
    state.set_teams(HashMap::from([
        (team(1), named("Old", true)),
        (team(2), named("Sales", false)),
        (team(3), named("Billing", false)),
    ]));
    state.desk_mut().set_agent(person(1, &[1], Online, 5));
    assert!(round(&mut state, &[event(1, &given(1, 1), What::Told, 1)], 1).is_empty());
    state.desk_mut().set_agent(Agent {
        archived: true,
        ..person(1, &[], Offline, 5)
    });
    let decided = round(&mut state, &[], 2);
    assert_eq!(decided[0].kind, Kind::TakenBack);
    assert_eq!(decided[0].team, team(3), "the first by name");
}

#[test]
fn what_has_to_be_done_somewhere_goes_to_the_nearest() {
    let at = |id, latitude, longitude| Agent {
        location: Some(Location {
            latitude,
            longitude,
        }),
        ..person(id, &[1], Online, 5)
    };
    let helsinki = at(1, 60.17, 24.94);
    let tampere = at(2, 61.50, 23.76);
    let mut desk = state([helsinki, tampere, person(3, &[1], Online, 50)]);
    for (id, place, owner) in [
        (1, "61.45, 23.85", 2),
        (2, "60.2,25.0", 1),
        (3, "60.3, 24.9", 1),
        // What cannot be read counts as no place: the least loaded.
        (4, "somewhere", 3),
        (5, "91, 200", 3),
    ] {
        let fields = BTreeMap::from([(LOCATION.to_owned(), vec![place.to_owned()])]);
        let known = Facts { fields, ..facts(1) };
        let decided = round(&mut desk, &[event(id, &known, What::Told, 1)], 1);
        assert_eq!(decided[0].agent, Some(agent(owner)), "{place}");
    }
}

#[test]
fn hours_of_many_are_looked_at_when_they_change() {
    let calendar = |opens: &str, closes: &str| {
        let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let hours: BTreeMap<&str, [[&str; 2]; 1]> = days
            .map(|day| (day, [[opens, closes]]))
            .into_iter()
            .collect();
        let spec = serde_json::json!({"tz": "UTC", "hours": hours});
        let spec: solmu_domain::sla::CalendarSpec = serde_json::from_value(spec).unwrap();
        Hours {
            calendar: Some(std::sync::Arc::new(
                solmu_domain::sla::Calendar::new(&spec).unwrap(),
            )),
            absences: Vec::new(),
        }
    };
    let early = Agent {
        hours: calendar("06:00", "14:00"),
        ..person(1, &[1], Online, 1)
    };
    let late = Agent {
        hours: calendar("14:00", "22:00"),
        ..person(2, &[1], Online, 1)
    };
    let mut state = state([early, late]);
    let hour = 3_600;
    let opened = |id, second| [event(id, &facts(second), What::Told, second)];
    // Ten days on, at night, at once: what was computed long ago is looked at again.
    let night = 10 * 24 * hour + 2 * hour;
    assert_eq!(round(&mut state, &opened(1, night), night)[0].agent, None);
    let is_ripe = |state: &State, second| state.is_ripe(super::testing::at(second));
    assert!(!is_ripe(&state, night + hour));
    assert!(is_ripe(&state, night + 4 * hour));
    let decided = round(&mut state, &[], night + 4 * hour);
    assert_eq!(decided[0].agent, Some(agent(1)));
    let noon = night + 10 * hour;
    assert_eq!(round(&mut state, &opened(2, noon), noon)[0].agent, None);
    let decided = round(&mut state, &[], noon + 2 * hour);
    assert_eq!(decided[0].agent, Some(agent(2)));
}

#[test]
fn what_is_given_to_a_team_that_is_not_there_is_routed() {
    let mut state = state([person(1, &[1], Online, 5)]);
    state.set_teams(HashMap::from([(team(1), named("First", false))]));
    let nowhere = Facts {
        team: Some(team(99)),
        ..facts(1)
    };
    let by_hand = What::Assigned { decision: None };
    let decided = round(&mut state, &[event(1, &nowhere, by_hand, 1)], 1);
    let told: Vec<_> = decided.iter().map(|it| (it.team, it.agent)).collect();
    assert_eq!(told, [(team(1), Some(agent(1)))]);
    assert_eq!(
        decided[0].reason,
        "the team that it was with is not there; no rule matches, so default team 'First'; \
         agent 1 has the least load there, 0 of 5"
    );
    // Whoever owns one keeps it: it is in no queue, but somebody has it.
    let owned = Facts {
        assignee: Some(agent(1)),
        ..nowhere
    };
    assert!(round(&mut state, &[event(2, &owned, by_hand, 2)], 2).is_empty());
}

#[test]
fn without_a_default_team_too() {
    let mut state = State::default();
    state.set_rules(RuleSet::new(1, Vec::new(), None));
    state.set_teams(HashMap::from([
        (team(2), named("Sales", false)),
        (team(3), named("Billing", false)),
    ]));
    let nowhere = Facts {
        team: Some(team(99)),
        ..facts(1)
    };
    let told = round(&mut state, &[event(1, &nowhere, What::Told, 1)], 1);
    let told: Vec<_> = told.iter().map(|it| it.team).collect();
    assert_eq!(told, [team(3)], "the first by name");
}

#[test]
fn a_team_is_believed_in_until_the_teams_were_read() {
    let mut state = state([person(1, &[7], Online, 5)]);
    let given = Facts {
        team: Some(team(7)),
        ..facts(1)
    };
    let decided = round(&mut state, &[event(1, &given, What::Told, 1)], 1);
    assert_eq!(
        (decided[0].team, decided[0].agent),
        (team(7), Some(agent(1)))
    );
}

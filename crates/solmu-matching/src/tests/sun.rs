//! Follow the sun: who helps while it is night for a team.

use super::support::{decide, floor, mail, on, person, run, s, skilled, team, ticket};
use crate::{Agent, TeamPolicy};

/// Helsinki has agent 1, Sydney agent 2; Sydney helps after an hour, and at once at night.
fn teams() -> crate::Floor {
    let sydney = Agent {
        teams: vec![team(2)],
        ..skilled(2, &[("fi", 1)])
    };
    let mut desk = floor([person(1), sydney]);
    let policy = TeamPolicy {
        overflow_after: Some(s(3_600)),
        overflow_to: vec![team(2)],
        follow_sun: true,
        ..TeamPolicy::default()
    };
    desk.set_team(team(1), policy, 0);
    desk
}

fn hours(desk: &mut crate::Floor, id: u128, open: bool) {
    desk.set_open(super::support::agent(id), open);
}

#[test]
fn helpers_take_over_at_once_at_night_and_not_by_day() {
    let mut desk = teams();
    // By day a full team keeps its tickets.
    desk.own(ticket(100), super::support::agent(1), "phone");
    assert!(run(&mut desk, [mail(1, 0)], 0).is_empty());
    hours(&mut desk, 1, false);
    assert!(desk.has_work(s(1)));
    assert_eq!(decide(&mut desk, 1), [(1, 2)]);
    assert_eq!(run(&mut desk, [mail(2, 2)], 2), [(2, 2)]);
    // In the morning what comes waits for its own people.
    hours(&mut desk, 1, true);
    assert!(run(&mut desk, [mail(3, 3)], 3).is_empty());
    desk.release(ticket(100));
    assert_eq!(decide(&mut desk, 4), [(3, 1)]);
}

#[test]
fn what_waited_in_the_night_is_for_its_own_people_in_the_morning() {
    let mut desk = teams();
    hours(&mut desk, 1, false);
    hours(&mut desk, 2, false);
    assert!(run(&mut desk, [mail(1, 0)], 0).is_empty());
    hours(&mut desk, 1, true);
    hours(&mut desk, 2, true);
    assert_eq!(decide(&mut desk, 10), [(1, 1)]);
}

#[test]
fn a_helper_needs_the_skills_at_night_too() {
    let mut desk = teams();
    hours(&mut desk, 1, false);
    let wants = |skill| crate::Ticket {
        wants: vec![super::support::needs(skill, 1, None)],
        ..on("email", 1, 0)
    };
    assert!(run(&mut desk, [wants("sv")], 0).is_empty());
    assert_eq!(run(&mut desk, [wants("fi")], 1), [(1, 2)]);
}

#[test]
fn a_member_who_comes_or_goes_counts() {
    let mut desk = teams();
    hours(&mut desk, 1, false);
    // Somebody of the team is awake again, though full.
    desk.set_agent(Agent {
        capacity: 0,
        ..person(3)
    });
    assert!(run(&mut desk, [mail(1, 0)], 0).is_empty());
    desk.set_agent(Agent {
        capacity: 0,
        teams: Vec::new(),
        ..person(3)
    });
    assert_eq!(decide(&mut desk, 1), [(1, 2)]);
}

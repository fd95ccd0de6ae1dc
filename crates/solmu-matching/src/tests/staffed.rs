//! Whether anybody works who could take what waits, and what is said where somebody could.

use super::support::{decide, floor, mail, needs, person, s, skilled, team, ticket};
use crate::{Agent, Availability, TeamPolicy, Ticket, Want};

fn away(id: u128) -> Agent {
    Agent {
        availability: Availability::Away,
        ..person(id)
    }
}

#[test]
fn who_is_full_works_and_who_is_gone_does_not() {
    let full = Agent {
        capacity: 0,
        ..person(1)
    };
    let mut floor = floor([full.clone(), away(2)]);
    floor.wait(&mail(10, 0), s(0));
    assert!(floor.is_staffed_for(ticket(10)) && floor.is_staffed(team(1)));
    floor.set_agent(Agent {
        open: false,
        ..full.clone()
    });
    assert!(!floor.is_staffed_for(ticket(10)) && !floor.is_staffed(team(1)));
    let other = Agent {
        availability: Availability::OnlineFor(["chat".to_owned()].into()),
        ..full
    };
    floor.set_agent(other);
    assert!(!floor.is_staffed_for(ticket(10)), "she does no mail");
    assert!(floor.is_staffed(team(1)));
    assert!(!floor.is_staffed_for(ticket(99)) && !floor.is_staffed(team(9)));
}

#[test]
fn skills_count_that_are_insisted_on_for_ever() {
    let mut floor = floor([skilled(1, &[("fi", 1)])]);
    let wants = |id, wants: Vec<Want>| Ticket {
        wants,
        ..mail(id, 0)
    };
    floor.wait(&wants(10, vec![needs("sv", 1, None)]), s(0));
    floor.wait(&wants(11, vec![needs("sv", 1, Some(600))]), s(0));
    assert!(!floor.is_staffed_for(ticket(10)));
    assert!(
        floor.is_staffed_for(ticket(11)),
        "in ten minutes at the latest"
    );
}

#[test]
fn helpers_count_where_they_ever_help() {
    let helper = Agent {
        teams: vec![team(2)],
        ..person(2)
    };
    let mut floor = floor([away(1), helper]);
    floor.wait(&mail(10, 0), s(0));
    let helps = |overflow_after| TeamPolicy {
        overflow_after,
        overflow_to: vec![team(2)],
        ..TeamPolicy::default()
    };
    floor.set_team(team(1), helps(None), s(0));
    assert!(!floor.is_staffed_for(ticket(10)) && !floor.is_staffed(team(1)));
    floor.set_team(team(1), helps(Some(s(600))), s(0));
    assert!(floor.is_staffed_for(ticket(10)) && floor.is_staffed(team(1)));
}

#[test]
fn what_is_about_to_be_given_out_does_not_wait_for_people() {
    let mut floor = floor([person(1)]);
    floor.wait(&mail(10, 0), s(0));
    let why = floor.why(ticket(10), 5).unwrap();
    assert_eq!(why.free, 1);
    assert_eq!(
        why.sentence(),
        "somebody of the team is free, and it is about to be given out"
    );
    assert_eq!(decide(&mut floor, 1), [(10, 1)]);
}

use std::collections::HashMap;

use super::*;
use crate::core::{
    desk::{
        Agent,
        Presence::{Offline, Online},
        Team,
    },
    event::{RejectCause, TicketEvent, What},
    testing::{agent, applied, event, facts, owned, person, round, state, team, ticket},
    ticket::Facts,
};

fn teams() -> HashMap<TeamId, Team> {
    let named = |name: &str, gone| Team {
        name: name.to_owned(),
        gone,
        ..Team::default()
    };
    HashMap::from([
        (team(1), named("Support", false)),
        (team(2), named("Security", false)),
        (team(3), named("Old", true)),
    ])
}

fn removed(id: u128) -> Agent {
    Agent {
        archived: true,
        ..person(id, &[], Offline, 5)
    }
}

/// A decision was refused, because the ticket names these alone.
fn refused(
    known: &Facts,
    decision: &Decision,
    agents: &[u128],
    teams: &[u128],
    second: i64,
) -> TicketEvent {
    let what = What::Rejected {
        decision: decision.id,
        cause: RejectCause::Restricted,
    };
    TicketEvent {
        within: Some(Within {
            agents: agents.iter().map(|id| agent(*id)).collect(),
            teams: teams.iter().map(|id| team(*id)).collect(),
        }),
        ..event(1, known, what, second)
    }
}

/// Anna, who is removed, owns a restricted ticket; the router has tried to take it back.
fn lost(agents: &[u128], teams_named: &[u128]) -> (State, Facts) {
    let mut state = state([
        person(1, &[1], Online, 5),
        person(2, &[1], Online, 5),
        person(3, &[2], Offline, 5),
    ]);
    state.set_teams(teams());
    let known = owned(&mut state, 1, 1, |_| ());
    state.desk_mut().set_agent(removed(1));
    let tried = round(&mut state, &[], 10).remove(0);
    assert_eq!(tried.kind, Kind::TakenBack);
    let no = refused(&known, &tried, agents, teams_named, 11);
    assert!(round(&mut state, &[no], 11).is_empty());
    (state, known)
}

#[test]
fn what_a_removed_agent_owns_goes_to_the_team_that_it_names() {
    let (mut state, known) = lost(&[1], &[3, 2]);
    assert_eq!(state.stuck(), 0);
    let again = round(&mut state, &[], 80).remove(0);
    assert_eq!(
        (again.kind, again.agent, again.team),
        (Kind::TakenBack, None, team(2))
    );
    assert_eq!(
        again.reason,
        "agent 1 does not work here any more; it is restricted, and names team 'Security'"
    );
    applied(&mut state, &known, 1, &again, 81);
    assert!(
        round(&mut state, &[], 82)
            .iter()
            .all(|it| it.team == team(2))
    );
}

#[test]
fn it_goes_to_an_agent_who_is_named_rather_to_one_who_is_there() {
    let (mut state, _) = lost(&[1, 3, 2], &[]);
    let again = round(&mut state, &[], 80).remove(0);
    assert_eq!(
        (again.kind, again.agent),
        (Kind::Rebalanced, Some(agent(2)))
    );
    assert!(
        again
            .reason
            .ends_with("it is restricted, and names agent 2"),
        "{}",
        again.reason
    );
    assert_eq!(state.desk().load(agent(2)).count, 1);
}

#[test]
fn with_nobody_else_it_stays_and_that_is_told_not_tried_for_ever() {
    let (mut state, known) = lost(&[1], &[3]);
    assert_eq!(state.stuck(), 1);
    for minute in 2..200 {
        assert!(
            round(&mut state, &[], minute * 60).is_empty(),
            "minute {minute}"
        );
    }
    // An admin names somebody else: the ticket changes, so it is tried anew.
    let changed = Facts {
        version: known.version + 1,
        ..known
    };
    let told = event(1, &changed, What::Told, 20_000);
    assert_eq!(round(&mut state, &[told], 20_000)[0].kind, Kind::TakenBack);
    assert_eq!(state.stuck(), 0);
    // Who was removed comes back: it is theirs.
    let (mut state, _) = lost(&[1], &[]);
    state.desk_mut().set_agent(person(1, &[1], Online, 5));
    assert_eq!(state.stuck(), 0);
}

#[test]
fn one_that_waits_goes_to_whom_it_names_or_rests() {
    for (agents, teams_named, who, whose) in [
        (&[1_u128, 2][..], &[][..], Some(2), 1),
        (&[1], &[2], Some(3), 2),
        (&[1], &[], None, 0),
    ] {
        let mut state = state([
            person(4, &[1], Online, 5),
            person(2, &[1], Online, 5),
            person(3, &[2], Online, 5),
        ]);
        state.set_teams(teams());
        state.desk_mut().set_agent(removed(1));
        let known = facts(1);
        let tried = round(&mut state, &[event(1, &known, What::Told, 1)], 1).remove(0);
        assert!(tried.agent.is_some());
        let no = refused(&known, &tried, agents, teams_named, 2);
        let decided = round(&mut state, &[no], 2);
        let Some(who) = who else {
            assert!(decided.is_empty(), "{decided:?}");
            assert_eq!(state.stuck(), 1);
            let Phase::Waiting(waiting) = &state.ticket(ticket(1)).unwrap().phase else {
                panic!("it has somebody");
            };
            assert_eq!(waiting.reason, NOBODY);
            for minute in 1..60 {
                assert!(
                    round(&mut state, &[], minute * 60).is_empty(),
                    "minute {minute}"
                );
            }
            continue;
        };
        assert_eq!(
            (decided[0].agent, decided[0].team),
            (Some(agent(who)), team(whose))
        );
    }
}

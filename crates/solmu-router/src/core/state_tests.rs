//! The rules of routing, one by one.

use std::collections::HashMap;

use solmu_conditions::{Checked, parse};
use solmu_domain::ticket::{Priority, Status};

use super::{
    answers::Answers,
    desk::{
        Presence::{Away, Offline, Online},
        Team,
    },
    event::{RejectCause, What},
    rules::{Actions, Rule, RuleSet, SCHEMA},
    state::State,
    testing::{agent, at, event, facts, person, round, rule_id, state, team, ticket},
    ticket::{Effects, Facts, Phase},
};

fn to_team_two(condition: Checked, effects: Effects) -> Rule {
    let actions = Actions {
        team: Some(team(2)),
        effects,
        ..Actions::default()
    };
    Rule::new(rule_id(1), 1, "to two".to_owned(), condition, actions)
}

fn opened(second: i64) -> Facts {
    facts(second)
}

fn next(facts: &Facts, change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = facts.clone();
    facts.version += 1;
    facts.routing_version += 1;
    change(&mut facts);
    facts
}

#[test]
fn opened_ticket_goes_to_the_least_loaded_and_says_why() {
    let mut state = state([person(1, &[1], Online, 5), person(2, &[1], Online, 5)]);
    let decisions = round(
        &mut state,
        &[
            event(1, &opened(1), What::Told, 1),
            event(2, &opened(2), What::Told, 2),
            event(3, &opened(3), What::Told, 3),
        ],
        5,
    );
    let agents: Vec<_> = decisions.iter().map(|it| it.agent.unwrap()).collect();
    assert_eq!(agents, [agent(1), agent(2), agent(1)]);
    assert_eq!(
        decisions[2].reason,
        "no rule matches, so default team '(unknown)'; agent 1 has the least load there, 1 of 5"
    );
    assert_eq!(decisions[2].candidates.len(), 2);
    assert_eq!(decisions[2].candidates[0].note, "1 of 5 open tickets");
    assert_eq!(state.desk().load(agent(1)).count, 2);
}

#[test]
fn nobody_free_means_the_queue_and_the_queue_drains_at_once() {
    let mut state = state([person(1, &[1], Offline, 1), person(2, &[1], Away, 1)]);
    let urgent = Facts {
        priority: Priority::Urgent,
        ..opened(2)
    };
    let decisions = round(
        &mut state,
        &[
            event(1, &opened(1), What::Told, 1),
            event(2, &urgent, What::Told, 2),
        ],
        5,
    );
    assert!(decisions.iter().all(|it| it.agent.is_none()));
    assert!(
        decisions[0]
            .reason
            .ends_with("nobody of the team is free: 1 away, 1 offline")
    );
    assert_eq!(state.waiting(), 2);
    // The team is told once.
    assert!(round(&mut state, &[], 6).is_empty());

    state.desk_mut().set_agent(person(1, &[1], Online, 1));
    let decisions = round(&mut state, &[], 7);
    assert_eq!(decisions.len(), 1);
    assert_eq!(
        (decisions[0].ticket, decisions[0].agent),
        (ticket(2), Some(agent(1)))
    );

    // Their capacity grows: the other one follows.
    state.desk_mut().set_agent(person(1, &[1], Online, 2));
    assert_eq!(round(&mut state, &[], 8)[0].ticket, ticket(1));
}

#[test]
fn a_team_without_anybody_does_not_hold_up_the_others() {
    let mut state = state([person(1, &[2], Online, 5)]);
    let elsewhere = Facts {
        team: Some(team(2)),
        ..opened(9)
    };
    let decisions = round(
        &mut state,
        &[
            event(1, &opened(1), What::Told, 1),
            event(2, &elsewhere, What::Told, 9),
        ],
        10,
    );
    assert_eq!(decisions[0].ticket, ticket(2));
    assert_eq!(decisions[0].agent, Some(agent(1)));
    assert_eq!(decisions[1].agent, None);
    assert!(decisions[1].reason.ends_with("the team has no agents"));
}

#[test]
fn applied_then_resolved_frees_the_place() {
    let mut state = state([person(1, &[1], Online, 1)]);
    let first = opened(1);
    let decision = round(&mut state, &[event(1, &first, What::Told, 1)], 1).remove(0);
    let assigned = next(&first, |it| {
        it.team = Some(team(1));
        it.assignee = decision.agent;
    });
    let what = What::Assigned {
        decision: Some(decision.id),
    };
    let second = round(
        &mut state,
        &[
            event(1, &assigned, what, 2),
            event(2, &opened(2), What::Told, 2),
        ],
        2,
    );
    assert_eq!(second[0].agent, None, "the only one is full");
    assert_eq!(
        state.ticket(ticket(1)).unwrap().phase,
        Phase::Assigned { agent: agent(1) }
    );
    let resolved = next(&assigned, |it| it.status = Status::Resolved);
    let third = round(&mut state, &[event(1, &resolved, What::Told, 3)], 3);
    assert_eq!(
        (third[0].ticket, third[0].agent),
        (ticket(2), Some(agent(1)))
    );
    assert!(
        state.ticket(ticket(1)).is_none(),
        "done tickets are forgotten"
    );
}

#[test]
fn manual_assignment_wins_and_may_exceed_the_capacity() {
    let mut state = state([person(1, &[1], Online, 1), person(2, &[1], Online, 5)]);
    let first = opened(1);
    let decision = round(&mut state, &[event(1, &first, What::Told, 1)], 1).remove(0);
    assert_eq!(decision.agent, Some(agent(1)));
    let by_hand = next(&first, |it| it.assignee = Some(agent(2)));
    round(
        &mut state,
        &[event(1, &by_hand, What::Assigned { decision: None }, 2)],
        2,
    );
    assert_eq!(
        state.desk().load(agent(1)).count,
        0,
        "the reservation is free"
    );
    assert_eq!(state.desk().load(agent(2)).count, 1);
    // Our decision comes too late, which changes nothing.
    let what = What::Rejected {
        decision: decision.id,
        cause: RejectCause::AlreadyAssigned,
    };
    assert!(round(&mut state, &[event(1, &by_hand, what, 3)], 3).is_empty());
    // Two more for agent 1, by hand, who can take one.
    for id in [5, 6] {
        let facts = Facts {
            assignee: Some(agent(1)),
            ..opened(4)
        };
        round(&mut state, &[event(id, &facts, What::Told, 4)], 4);
    }
    assert_eq!(state.desk().load(agent(1)).count, 2);
    let decisions = round(&mut state, &[event(7, &opened(5), What::Told, 5)], 5);
    assert_eq!(decisions[0].agent, Some(agent(2)));
}

#[test]
fn rejected_decisions_are_made_anew_at_first_at_once_then_with_patience() {
    let mut state = state([person(1, &[1], Online, 1)]);
    let mut facts = opened(1);
    let mut decisions = round(&mut state, &[event(1, &facts, What::Told, 1)], 1);
    for second in 2..4 {
        facts = next(&facts, |it| it.tags.push("x".to_owned()));
        let what = What::Rejected {
            decision: decisions[0].id,
            cause: RejectCause::StaleTicket,
        };
        decisions = round(&mut state, &[event(1, &facts, what, second)], second);
        assert_eq!(decisions.len(), 1);
        assert_eq!(decisions[0].routing_version, facts.routing_version);
        assert_eq!(state.desk().load(agent(1)).count, 1);
    }
    let what = What::Rejected {
        decision: decisions[0].id,
        cause: RejectCause::StaleTicket,
    };
    assert!(round(&mut state, &[event(1, &facts, what, 10)], 10).is_empty());
    assert_eq!(state.desk().load(agent(1)).count, 0);
    assert_eq!(state.next_hold(), Some(at(11)));
    assert_eq!(round(&mut state, &[], 11).len(), 1);
}

#[test]
fn reopened_stays_with_its_owner_and_waits_without_one() {
    let mut state = state([person(1, &[1], Offline, 5), person(2, &[1], Online, 5)]);
    let resolved = Facts {
        status: Status::Resolved,
        assignee: Some(agent(1)),
        team: Some(team(1)),
        ..opened(1)
    };
    round(&mut state, &[event(1, &resolved, What::Told, 1)], 1);
    assert_eq!(state.desk().load(agent(1)).count, 0);
    let reopened = next(&resolved, |it| it.status = Status::CustomerReplied);
    assert!(round(&mut state, &[event(1, &reopened, What::Told, 2)], 2).is_empty());
    assert_eq!(state.desk().load(agent(1)).count, 1);

    let nobodys = next(&reopened, |it| it.assignee = None);
    let decisions = round(
        &mut state,
        &[event(1, &nobodys, What::Assigned { decision: None }, 3)],
        3,
    );
    assert_eq!(decisions[0].agent, Some(agent(2)));
    assert_eq!(decisions[0].waiting_since, Some(at(3)));
}

#[test]
fn older_events_change_nothing() {
    let mut state = state([person(1, &[1], Online, 5)]);
    let first = opened(1);
    let newer = next(&first, |it| it.status = Status::Resolved);
    let newest = next(&newer, |it| it.status = Status::Open);
    round(&mut state, &[event(1, &newest, What::Told, 3)], 3);
    assert!(
        round(
            &mut state,
            &[
                event(1, &newer, What::Told, 2),
                event(1, &first, What::Told, 1)
            ],
            4
        )
        .is_empty()
    );
    assert_eq!(state.ticket(ticket(1)).unwrap().facts, newest);
}

#[test]
fn changed_rules_move_what_waits_but_not_what_a_person_placed() {
    let mut state = state([person(1, &[2], Online, 1)]);
    let by_hand = next(&opened(2), |it| it.team = Some(team(3)));
    round(
        &mut state,
        &[
            event(1, &opened(1), What::Told, 1),
            event(2, &opened(2), What::Told, 2),
            event(2, &by_hand, What::Assigned { decision: None }, 3),
        ],
        3,
    );
    assert_eq!(state.waiting(), 2);
    let condition = parse("channel = email", &SCHEMA).unwrap();
    let effects = Effects {
        priority: Some(Priority::Urgent),
        tags: vec!["moved".to_owned()],
    };
    let rule = to_team_two(condition, effects.clone());
    state.set_rules(RuleSet::new(2, vec![rule], Some(team(1))));
    let decisions = round(&mut state, &[], 4);
    assert_eq!(decisions.len(), 1);
    assert_eq!(
        (decisions[0].ticket, decisions[0].agent),
        (ticket(1), Some(agent(1)))
    );
    assert_eq!(decisions[0].effects, effects);
    assert_eq!(decisions[0].rule.as_ref().unwrap().id, rule_id(1));
    assert!(!state.has_unrouted());
}

#[test]
fn a_ticket_that_does_not_exist_is_given_up() {
    let mut state = state([person(1, &[1], Online, 1)]);
    let decision = round(&mut state, &[event(1, &opened(1), What::Told, 1)], 1).remove(0);
    let mut rejected = event(
        1,
        &opened(1),
        What::Rejected {
            decision: decision.id,
            cause: RejectCause::UnknownTicket,
        },
        2,
    );
    rejected.facts = None;
    assert!(round(&mut state, &[rejected], 2).is_empty());
    assert_eq!(state.desk().load(agent(1)).count, 0);
    assert_eq!(state.waiting(), 0);
}

#[test]
fn tickets_without_a_team_wait_with_a_reason_and_are_asked_about_in_turn() {
    let mut state = State::default();
    for id in 1..=5 {
        state.learn(&event(id, &opened(1), What::Told, 1));
    }
    for _ in 0..3 {
        assert!(!state.route(&Answers::default(), 2), "nothing can be done");
    }
    for known in state.tickets() {
        let Phase::Waiting(waiting) = &known.phase else {
            panic!("nobody could get it")
        };
        assert!(waiting.reason.contains("no default team"));
    }
    state.set_rules(RuleSet::new(2, Vec::new(), Some(team(1))));
    let mut rounds = 0;
    while state.route(&Answers::default(), 2) {
        rounds += 1;
    }
    assert_eq!(rounds, 2, "two, two and then the last one");
    assert!(!state.has_unrouted());
}

#[test]
fn a_rejected_way_into_the_queue_is_told_again_and_its_effects_with_it() {
    let mut state = state([]);
    let condition = parse("", &SCHEMA).unwrap();
    let effects = Effects {
        priority: Some(Priority::High),
        tags: Vec::new(),
    };
    let rule = to_team_two(condition, effects);
    state.set_rules(RuleSet::new(2, vec![rule], None));
    let first = round(&mut state, &[event(1, &opened(1), What::Told, 1)], 1);
    let changed = next(&opened(1), |it| it.tags.push("x".to_owned()));
    let what = What::Rejected {
        decision: first[0].id,
        cause: RejectCause::StaleTicket,
    };
    let second = round(&mut state, &[event(1, &changed, what, 2)], 2);
    assert_eq!(second[0].effects.priority, Some(Priority::High));
    assert_eq!(second[0].routing_version, changed.routing_version);
    let applied = next(&changed, |it| {
        it.team = Some(team(2));
        it.priority = Priority::High;
    });
    let what = What::Assigned {
        decision: Some(second[0].id),
    };
    assert!(round(&mut state, &[event(1, &applied, what, 3)], 3).is_empty());
    let known = state.ticket(ticket(1)).unwrap();
    assert!(known.has_its_team());
    assert!(known.route.as_ref().is_some_and(|route| !route.by_hand));
}

#[test]
fn what_waits_in_a_team_that_was_removed_is_routed_anew() {
    let mut state = state([person(1, &[1], Offline, 5)]);
    let teams = |gone: bool| {
        let of = |name: &str, gone| Team {
            name: name.to_owned(),
            gone,
            ..Team::default()
        };
        HashMap::from([(team(1), of("First", false)), (team(2), of("Second", gone))])
    };
    state.set_teams(teams(false));
    let by_hand = Facts {
        team: Some(team(2)),
        ..facts(1)
    };
    assert!(round(&mut state, &[event(1, &by_hand, What::Told, 1)], 1).is_empty());
    state.set_teams(teams(true));
    let decided = round(&mut state, &[], 2);
    assert_eq!((decided[0].team, decided[0].agent), (team(1), None));
    // Also what comes back to it later.
    let owner = Facts {
        assignee: Some(agent(1)),
        ..by_hand
    };
    round(&mut state, &[event(2, &owner, What::Told, 3)], 3);
    let left = Facts {
        version: 2,
        assignee: None,
        ..owner
    };
    let what = What::Assigned { decision: None };
    assert_eq!(
        round(&mut state, &[event(2, &left, what, 4)], 4)[0].team,
        team(1)
    );
}

//! What rules, skills, languages, former agents and hours do to decisions, and how that is said.

use std::{collections::HashMap, sync::Arc};

use solmu_conditions::parse;
use solmu_domain::{
    ids::ContactId,
    sla::{Calendar, CalendarSpec},
    ticket::Priority,
};
use solmu_matching::{ChannelPolicy, Policy, SECOND, TeamPolicy};
use uuid::Uuid;

use super::{
    desk::{Agent, Hours, Presence::Online, Team},
    event::What,
    rules::{Actions, Rule, RuleSet, SCHEMA},
    state::State,
    testing::{agent, at, event, facts, person, round, rule_id, state, team, ticket},
    ticket::{Facts, Phase, Wish},
};

fn always(actions: Actions) -> RuleSet {
    let condition = parse("", &SCHEMA).unwrap();
    let actions = Actions {
        team: Some(team(1)),
        ..actions
    };
    let rule = Rule::new(rule_id(1), 1, "all".to_owned(), condition, actions);
    RuleSet::new(2, vec![rule], None)
}

fn wish(skill: &str, required: bool, relax_after_s: Option<u32>) -> Wish {
    Wish {
        skill: skill.to_owned(),
        level: 2,
        required,
        relax_after_s,
    }
}

fn skilled(id: u128, level: u8) -> Agent {
    Agent {
        skills: [("billing".to_owned(), level)].into(),
        ..person(id, &[1], Online, 5)
    }
}

fn reason_of(state: &State, id: u128) -> String {
    match &state.ticket(ticket(id)).unwrap().phase {
        Phase::Waiting(waiting) => waiting.reason.clone(),
        other => panic!("{other:?} does not wait"),
    }
}

#[test]
fn a_skill_that_a_rule_asks_for_is_insisted_on_and_then_wanted() {
    let mut state = state([person(1, &[1], Online, 5), skilled(2, 1)]);
    state.set_rules(always(Actions {
        wishes: vec![wish("billing", true, Some(60))],
        ..Actions::default()
    }));
    let queued = round(&mut state, &[event(1, &facts(100), What::Told, 100)], 100);
    assert_eq!(queued[0].agent, None);
    assert_eq!(
        reason_of(&state, 1),
        "nobody of the team is free: 2 without the skills"
    );
    assert!(!state.is_ripe(at(159)));
    assert!(state.is_ripe(at(160)));
    let decided = round(&mut state, &[], 160);
    assert_eq!(decided[0].agent, Some(agent(1)));
    assert!(
        decided[0]
            .reason
            .contains("nobody with all skills came free, and agent 1"),
        "{}",
        decided[0].reason
    );
    assert!(
        decided[0].candidates[0]
            .note
            .contains("lacks 1 of the skills")
    );
    state.desk_mut().set_agent(skilled(3, 2));
    let decided = round(&mut state, &[event(2, &facts(200), What::Told, 200)], 200);
    assert_eq!(decided[0].agent, Some(agent(3)));
}

#[test]
fn a_wanted_skill_comes_before_load_and_is_said() {
    let mut state = state([person(1, &[1], Online, 5), skilled(2, 3)]);
    state.set_rules(always(Actions {
        wishes: vec![wish("billing", false, None)],
        ..Actions::default()
    }));
    for id in 1..=3 {
        let decided = round(&mut state, &[event(id, &facts(1), What::Told, 1)], 1);
        assert_eq!(decided[0].agent, Some(agent(2)));
        assert!(decided[0].reason.contains("agent 2 has the wanted skills"));
    }
}

#[test]
fn vip_priority_and_agent_of_a_rule_count() {
    let mut state = state([]);
    let condition = parse("tags:vip", &SCHEMA).unwrap();
    let vip = Rule::new(
        rule_id(1),
        1,
        "vip".to_owned(),
        condition,
        Actions {
            vip: true,
            goes_on: true,
            agent: Some(agent(2)),
            ..Actions::default()
        },
    );
    state.set_rules(RuleSet::new(2, vec![vip], Some(team(1))));
    let important = Facts {
        priority: Priority::High,
        tags: vec!["vip".to_owned()],
        ..facts(5)
    };
    let high = Facts {
        priority: Priority::High,
        ..facts(1)
    };
    let told = [
        event(1, &high, What::Told, 5),
        event(2, &important, What::Told, 5),
    ];
    round(&mut state, &told, 6);
    state.desk_mut().set_agent(person(2, &[1], Online, 2));
    state.desk_mut().set_agent(person(1, &[1], Online, 2));
    let decided = round(&mut state, &[], 7);
    let who: Vec<_> = decided.iter().map(|it| (it.ticket, it.agent)).collect();
    assert_eq!(
        who[0],
        (ticket(2), Some(agent(2))),
        "high and VIP is as urgent"
    );
    assert_eq!(who[1], (ticket(1), Some(agent(1))));
    assert!(
        decided[0]
            .reason
            .contains("agent 2 knows it or its customer")
    );
}

#[test]
fn a_hold_ends_by_itself() {
    let mut state = state([person(1, &[1], Online, 5)]);
    state.set_rules(always(Actions {
        hold_s: 60,
        ..Actions::default()
    }));
    assert!(round(&mut state, &[event(1, &facts(100), What::Told, 101)], 101).is_empty());
    assert_eq!(reason_of(&state, 1), "a rule holds it for a while");
    assert_eq!(state.next_hold(), Some(at(160)));
    assert!(round(&mut state, &[], 159).is_empty());
    assert_eq!(round(&mut state, &[], 160)[0].agent, Some(agent(1)));
}

#[test]
fn a_returning_contact_comes_back_to_their_agent() {
    let mut state = state([person(1, &[1], Online, 5), person(2, &[1], Online, 1)]);
    let contact = ContactId::from_uuid(Uuid::from_u128(7));
    state.set_formers(HashMap::from([(contact, agent(2))]));
    let of_contact = Facts {
        contact: Some(contact),
        ..facts(1)
    };
    let decided = round(&mut state, &[event(1, &of_contact, What::Told, 1)], 1);
    assert_eq!(decided[0].agent, Some(agent(2)));
    // Full, and nothing is waited for in this policy: somebody else.
    let decided = round(&mut state, &[event(2, &of_contact, What::Told, 2)], 2);
    assert_eq!(decided[0].agent, Some(agent(1)));
}

#[test]
fn a_language_binds_for_a_while_and_a_full_former_agent_is_waited_for() {
    let policy = Policy {
        other: ChannelPolicy {
            sticky_hold: 90 * SECOND,
            ..ChannelPolicy::default()
        },
        ..Policy::default()
    };
    let mut state = State::new(policy, Some(1_800));
    state.set_rules(RuleSet::new(1, Vec::new(), Some(team(1))));
    let mut swede = person(1, &[1], Online, 5);
    swede.languages.insert("sv".to_owned());
    state.desk_mut().set_agent(swede);
    let finnish = Facts {
        language: "fi".to_owned(),
        ..facts(10)
    };
    assert_eq!(
        round(&mut state, &[event(1, &finnish, What::Told, 10)], 10)[0].agent,
        None
    );
    assert_eq!(round(&mut state, &[], 1_810)[0].agent, Some(agent(1)));

    state.desk_mut().set_agent(person(2, &[1], Online, 1));
    let contact = ContactId::from_uuid(Uuid::from_u128(7));
    state.set_formers(HashMap::from([(contact, agent(2))]));
    let of_contact = Facts {
        contact: Some(contact),
        ..facts(2_000)
    };
    let told = [2, 3].map(|id| event(id, &of_contact, What::Told, 2_000));
    let decided = round(&mut state, &told, 2_000);
    assert_eq!((decided[0].agent, decided[1].agent), (Some(agent(2)), None));
    assert_eq!(
        reason_of(&state, 3),
        "it waits for agent 2, who had it and is full"
    );
    assert_eq!(round(&mut state, &[], 2_090)[0].agent, Some(agent(1)));
}

#[test]
fn hours_begin_and_end_and_absences_count() {
    let spec = CalendarSpec {
        hours: [(
            "thu".to_owned(),
            vec![["08:00".to_owned(), "16:00".to_owned()]],
        )]
        .into(),
        ..CalendarSpec::default()
    };
    let calendar = Some(Arc::new(Calendar::new(&spec).unwrap()));
    let hour = 3_600;
    let working = Agent {
        hours: Hours {
            calendar,
            absences: vec![(at(9 * hour), at(10 * hour))],
        },
        ..person(1, &[1], Online, 1)
    };
    // The first day of 1970 was a Thursday.
    let mut state = state([working]);
    assert_eq!(
        round(&mut state, &[event(1, &facts(5), What::Told, 5)], 7 * hour)[0].agent,
        None
    );
    assert_eq!(
        reason_of(&state, 1),
        "nobody of the team is free: 1 outside working hours"
    );
    assert!(!state.is_ripe(at(7 * hour + 1)));
    assert!(!state.is_ripe(at(9 * hour)), "absent");
    assert!(state.is_ripe(at(8 * hour)) && state.is_ripe(at(10 * hour)));
    assert_eq!(round(&mut state, &[], 10 * hour)[0].agent, Some(agent(1)));
}

#[test]
fn helpers_of_another_team_come_after_the_wait() {
    let mut state = state([person(1, &[2], Online, 5)]);
    let policy = TeamPolicy {
        overflow_after: Some(300 * SECOND),
        overflow_to: vec![team(2)],
        ..TeamPolicy::default()
    };
    let first = Team {
        name: "First".to_owned(),
        policy,
        ..Team::default()
    };
    state
        .desk_mut()
        .set_teams(HashMap::from([(team(1), first)]));
    assert_eq!(
        round(&mut state, &[event(1, &facts(1), What::Told, 1)], 1)[0].agent,
        None
    );
    assert!(round(&mut state, &[], 300).is_empty());
    let decided = round(&mut state, &[], 301);
    assert_eq!(decided[0].agent, Some(agent(1)));
    assert!(decided[0].reason.contains("default team 'First'"));
}

#[test]
fn skills_are_the_same_in_large_and_small_letters() {
    let mut state = state([person(1, &[1], Online, 5), skilled(2, 3)]);
    state.set_rules(always(Actions {
        wishes: vec![wish("Billing", true, None)],
        ..Actions::default()
    }));
    let decided = round(&mut state, &[event(1, &facts(1), What::Told, 1)], 1);
    assert_eq!(decided[0].agent, Some(agent(2)));
}

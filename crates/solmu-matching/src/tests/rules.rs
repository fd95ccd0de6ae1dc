//! One rule after the other.

use solmu_domain::ticket::Priority;

use super::support::{
    agent, decide, floor, mail, needs, on, person, policy, run, s, skilled, team, ticket,
};
use crate::{
    Agent, Availability, Floor, How, Kind, Location, Obstacle, Round, Strategy, TeamPolicy, Ticket,
    Want,
};

/// Occupies somebody with so many e-mails.
fn busy(floor: &mut Floor, who: u128, mails: u128) {
    for number in 0..mails {
        floor.own(ticket(who * 1_000_000 + number), agent(who), "email");
    }
}

#[test]
fn smallest_share_of_capacity_then_longest_idle_then_id() {
    let mut desk = floor([person(1), person(2)]);
    busy(&mut desk, 1, 1);
    assert_eq!(run(&mut desk, [mail(1, 0)], 1), [(1, 2)]);
    // Both have 10 of 100 now; 2 had a turn.
    assert_eq!(run(&mut desk, [mail(2, 1)], 2), [(2, 1)]);
    let mut desk = floor([person(2), person(1)]);
    assert_eq!(run(&mut desk, [mail(1, 0)], 1), [(1, 1)]);
    let mut large = floor([
        person(1),
        Agent {
            capacity: 1_000,
            ..person(2)
        },
    ]);
    busy(&mut large, 1, 1);
    busy(&mut large, 2, 5);
    assert_eq!(
        run(&mut large, [mail(1, 0)], 1),
        [(1, 2)],
        "5 % is less than 10 %"
    );
}

#[test]
fn only_who_is_there_for_the_channel_and_inside_their_hours() {
    let states: [(Availability, bool, Option<Obstacle>); 7] = [
        (Availability::Online, true, None),
        (
            Availability::OnlineFor(["email".to_owned()].into()),
            true,
            None,
        ),
        (
            Availability::OnlineFor(["chat".to_owned()].into()),
            true,
            Some(Obstacle::OtherChannel),
        ),
        (Availability::Busy, true, Some(Obstacle::Busy)),
        (Availability::Away, true, Some(Obstacle::Away)),
        (Availability::Offline, true, Some(Obstacle::Offline)),
        (Availability::Online, false, Some(Obstacle::Closed)),
    ];
    for (availability, open, obstacle) in states {
        let mut desk = floor([Agent {
            availability: availability.clone(),
            open,
            ..person(1)
        }]);
        let placed = run(&mut desk, [mail(1, 0)], 1);
        assert_eq!(
            placed.is_empty(),
            obstacle.is_some(),
            "{availability:?} {open}"
        );
        let why = desk.why(ticket(1), 5).map(|why| why.agents);
        assert_eq!(
            why,
            obstacle.map(|it| vec![(agent(1), it)]),
            "{availability:?}"
        );
    }
}

#[test]
fn capacity_counts_units_and_channels_have_limits() {
    let mut desk = floor([Agent {
        limits: [("chat".to_owned(), 2)].into(),
        ..person(1)
    }]);
    let chats = [on("chat", 1, 0), on("chat", 2, 1), on("chat", 3, 2)];
    assert_eq!(run(&mut desk, chats, 5), [(1, 1), (2, 1)]);
    let why = desk.why(ticket(3), 5).unwrap();
    assert_eq!(
        why.sentence(),
        "nobody of the team is free: 1 full in this channel"
    );
    // 60 units are used: four e-mails fit, a fifth does not.
    let mails = (10..15).map(|id| mail(id, 3));
    assert_eq!(run(&mut desk, mails, 6).len(), 4);
    assert_eq!(desk.units(agent(1)), (100, 100));
    assert_eq!(desk.why(ticket(14), 5).unwrap().counts[&Obstacle::Full], 1);
    // A chat ends: the e-mail, but no chat, for 30 are free and one e-mail takes 10 of them.
    desk.release(ticket(1));
    assert_eq!(decide(&mut desk, 7), [(3, 1)], "the older one goes first");
}

#[test]
fn a_call_blocks_everything_and_needs_somebody_without_a_live_talk() {
    let mut desk = floor([person(1), person(2)]);
    desk.own(ticket(90), agent(1), "chat");
    busy(&mut desk, 2, 1);
    // 10 units of e-mail and 100 of the call do not fit together.
    assert!(run(&mut desk, [on("phone", 1, 0)], 1).is_empty());
    let why = desk.why(ticket(1), 5).unwrap();
    assert_eq!(why.counts[&Obstacle::InLiveTalk], 1);
    assert_eq!(why.counts[&Obstacle::Full], 1);
    desk.release(ticket(2_000_000));
    assert_eq!(decide(&mut desk, 2), [(1, 2)]);
    let mut small = policy();
    small.channels.get_mut("phone").unwrap().units = 50;
    desk.set_policy(small, s(3));
    assert_eq!(
        run(&mut desk, [mail(2, 2)], 3),
        [(2, 1)],
        "who is on a call gets nothing"
    );
}

#[test]
fn priority_age_vip_and_deadline_make_one_order() {
    let with = |id, second, priority, vip, due: Option<i64>| Ticket {
        priority,
        vip,
        due: due.map(s),
        ..mail(id, second)
    };
    let order = |tickets: Vec<Ticket>| {
        let mut places: Vec<_> = tickets.iter().map(|it| it.place(&policy())).collect();
        places.sort_unstable();
        let ids = places.iter().map(|it| it.ticket.as_uuid().as_u128());
        ids.collect::<Vec<_>>()
    };
    let urgent = with(1, 2_000, Priority::Urgent, false, None);
    // A step is 900 s: two of them passed, or nearly.
    let old = with(2, 199, Priority::Normal, false, None);
    let young = with(3, 201, Priority::Normal, false, None);
    assert_eq!(order(vec![young.clone(), urgent.clone(), old]), [2, 1, 3]);
    // A VIP counts one higher, but an urgent one not more than urgent.
    let vip = with(4, 1_099, Priority::Normal, true, None);
    assert_eq!(order(vec![urgent.clone(), vip]), [4, 1]);
    let top = with(5, 2_001, Priority::Urgent, true, None);
    assert_eq!(order(vec![top, urgent.clone()]), [1, 5]);
    // Fifteen minutes before its time, a low one is as urgent as what comes now.
    let due = with(6, 1_990, Priority::Low, false, Some(2_890));
    let later = with(7, 1_990, Priority::Low, false, Some(99_000));
    assert_eq!(order(vec![later, urgent, due]), [6, 1, 7]);
}

#[test]
fn what_nobody_can_take_holds_up_nobody() {
    let mut desk = floor([skilled(1, &[("fi", 3)])]);
    let first = Ticket {
        wants: vec![needs("de", 1, None)],
        priority: Priority::Urgent,
        ..mail(1, 0)
    };
    assert_eq!(run(&mut desk, [first, mail(2, 5)], 6), [(2, 1)]);
    assert_eq!(desk.waiting(), 1);
}

#[test]
fn skills_need_their_level_and_are_given_up_after_a_while() {
    let mut desk = floor([skilled(1, &[("fi", 1)]), skilled(2, &[("fi", 3)])]);
    busy(&mut desk, 2, 5);
    let wants = |id, level, relax| Ticket {
        wants: vec![needs("fi", level, relax)],
        ..mail(id, 0)
    };
    assert_eq!(run(&mut desk, [wants(1, 2, None)], 1), [(1, 2)]);
    assert!(run(&mut desk, [wants(2, 4, Some(60)), wants(3, 4, None)], 2).is_empty());
    assert_eq!(desk.next_change(), Some(s(60)));
    assert!(!desk.has_work(s(59)));
    assert!(decide(&mut desk, 59).is_empty());
    assert!(desk.has_work(s(60)));
    // Nobody has level 4 after a minute either: the least loaded of those who lack it.
    assert_eq!(decide(&mut desk, 60), [(2, 1)]);
    assert!(
        decide(&mut desk, 1_000_000).is_empty(),
        "the other one insists"
    );
    let why = desk.why(ticket(3), 5).unwrap();
    assert_eq!(
        why.sentence(),
        "nobody of the team is free: 2 without the skills"
    );
}

#[test]
fn a_skill_that_was_given_up_is_still_preferred() {
    let mut desk = floor([person(1), skilled(2, &[("fi", 3)])]);
    busy(&mut desk, 2, 8);
    let ticket = Ticket {
        wants: vec![needs("fi", 1, Some(60))],
        ..mail(1, 0)
    };
    desk.wait(&ticket, s(100));
    let round = Round {
        now: s(100),
        top: 3,
        most: 10,
    };
    let placed = desk.decide(&round).remove(0);
    assert_eq!((placed.agent, placed.how), (agent(2), How::Best));
    let considered: Vec<_> = placed
        .considered
        .iter()
        .map(|it| (it.agent, it.missing))
        .collect();
    assert_eq!(considered, [(agent(2), 0), (agent(1), 1)]);
}

#[test]
fn preferred_skills_come_before_load() {
    let mut desk = floor([person(1), skilled(2, &[("vip", 1)])]);
    busy(&mut desk, 2, 8);
    let ticket = Ticket {
        wants: vec![Want {
            kind: Kind::Preferred,
            ..needs("vip", 1, None)
        }],
        ..mail(1, 0)
    };
    assert_eq!(run(&mut desk, [ticket], 1), [(1, 2)]);
}

#[test]
fn languages_bind_only_those_of_whom_they_are_known() {
    let speaks = |id, languages: &[&str]| Agent {
        languages: languages.iter().map(|it| (*it).to_owned()).collect(),
        ..person(id)
    };
    let in_finnish = |id| Ticket {
        wants: vec![Want {
            language: true,
            ..needs("fi", 1, Some(1_800))
        }],
        ..mail(id, 0)
    };
    let mut desk = floor([speaks(1, &["sv"]), speaks(2, &["fi", "en"])]);
    busy(&mut desk, 2, 5);
    assert_eq!(run(&mut desk, [in_finnish(1)], 1), [(1, 2)]);
    let mut desk = floor([speaks(1, &["sv"]), speaks(2, &[])]);
    busy(&mut desk, 2, 5);
    assert_eq!(
        run(&mut desk, [in_finnish(1)], 1),
        [(1, 2)],
        "nobody said what 2 speaks"
    );
    let mut desk = floor([speaks(1, &["sv"])]);
    assert!(run(&mut desk, [in_finnish(1)], 1).is_empty());
    assert_eq!(decide(&mut desk, 1_800), [(1, 1)]);
}

#[test]
fn the_former_agent_has_it_again_or_is_waited_for() {
    let again = |id, second| Ticket {
        former: Some(agent(2)),
        ..mail(id, second)
    };
    let mut desk = floor([person(1), person(2)]);
    busy(&mut desk, 2, 9);
    assert_eq!(run(&mut desk, [again(1, 0)], 1), [(1, 2)], "however loaded");
    // Full but there: it waits two minutes.
    assert!(run(&mut desk, [again(2, 10)], 10).is_empty());
    assert_eq!(
        desk.why(ticket(2), 5).unwrap().sentence(),
        "it waits for its former agent, who is full"
    );
    assert_eq!(decide(&mut desk, 130), [(2, 1)]);
    // A place comes free before that.
    assert!(run(&mut desk, [again(3, 200)], 200).is_empty());
    desk.release(ticket(1));
    assert_eq!(decide(&mut desk, 201), [(3, 2)]);
    // They go: nobody is waited for.
    assert!(run(&mut desk, [again(4, 210)], 210).is_empty());
    desk.set_agent(Agent {
        availability: Availability::Offline,
        ..person(2)
    });
    assert_eq!(decide(&mut desk, 211), [(4, 1)]);
    // Who declined is not waited for.
    desk.set_agent(person(2));
    let declined = Ticket {
        excluded: vec![agent(2)],
        ..again(5, 220)
    };
    assert_eq!(run(&mut desk, [declined], 220), [(5, 1)]);
}

#[test]
fn who_declined_does_not_get_it() {
    let mut desk = floor([person(1)]);
    let declined = Ticket {
        excluded: vec![agent(1)],
        ..mail(1, 0)
    };
    assert!(run(&mut desk, [declined.clone()], 1).is_empty());
    let why = desk.why(ticket(1), 1).unwrap();
    assert_eq!(why.agents, [(agent(1), Obstacle::Declined)]);
    desk.set_agent(person(2));
    assert_eq!(decide(&mut desk, 2), [(1, 2)]);
}

#[test]
fn nearest_first_and_who_is_nowhere_last() {
    let at = |id, latitude, longitude| Agent {
        location: Some(Location {
            latitude,
            longitude,
        }),
        ..person(id)
    };
    // Helsinki, Espoo (within 25 km of it), Tampere, unknown.
    let mut desk = floor([
        person(1),
        at(2, 61.5, 23.8),
        at(3, 60.2, 24.65),
        at(4, 60.17, 24.94),
    ]);
    busy(&mut desk, 4, 3);
    let located = |id| Ticket {
        location: Some(Location {
            latitude: 60.17,
            longitude: 24.94,
        }),
        ..mail(id, 0)
    };
    assert_eq!(
        run(&mut desk, [located(1)], 1),
        [(1, 3)],
        "as near, and less loaded"
    );
    busy(&mut desk, 3, 9);
    busy(&mut desk, 4, 10);
    assert_eq!(
        run(&mut desk, [located(2), located(3)], 2),
        [(2, 2), (3, 2)]
    );
    assert_eq!(
        run(&mut desk, [mail(4, 0)], 3),
        [(4, 1)],
        "without a place, load decides"
    );
}

#[test]
fn helpers_come_after_the_wait() {
    let helper = Agent {
        teams: vec![team(2)],
        ..person(2)
    };
    let backup = Agent {
        teams: vec![team(3)],
        backup_teams: vec![team(1)],
        ..person(3)
    };
    for (who, id) in [(helper, 2), (backup, 3)] {
        let mut desk = floor([who]);
        let policy = TeamPolicy {
            overflow_after: Some(s(600)),
            overflow_to: vec![team(2)],
            ..TeamPolicy::default()
        };
        desk.set_team(team(1), policy, 0);
        assert!(run(&mut desk, [mail(1, 0)], 599).is_empty());
        assert_eq!(
            desk.why(ticket(1), 5).unwrap().sentence(),
            "the team has no agents"
        );
        assert_eq!(decide(&mut desk, 600), [(1, id)]);
    }
}

#[test]
fn strategies_differ_where_they_should() {
    let specialist = skilled(1, &[("fi", 1), ("sv", 1)]);
    let generalist = Agent {
        limits: [("email".to_owned(), 4)].into(),
        ..skilled(2, &[("fi", 1)])
    };
    let chosen = |strategy| {
        let mut desk = floor([specialist.clone(), generalist.clone()]);
        desk.set_team(
            team(1),
            TeamPolicy {
                strategy: Some(strategy),
                ..TeamPolicy::default()
            },
            0,
        );
        busy(&mut desk, 2, 1);
        desk.set_last_assigned(agent(1), 9);
        run(&mut desk, [mail(1, 0)], 1)[0].1
    };
    assert_eq!(chosen(Strategy::Balanced), 1, "less loaded");
    assert_eq!(chosen(Strategy::RoundRobin), 2, "longer without one");
    assert_eq!(chosen(Strategy::Spare), 1, "no limit");
    assert_eq!(chosen(Strategy::FewestSkills), 2);
    for strategy in Strategy::ALL {
        assert_eq!(Strategy::from_name(strategy.name()), Some(strategy));
    }
}

#[test]
fn repair_moves_what_was_just_placed_and_nothing_else() {
    let one_slot = |agent: Agent| Agent {
        capacity: 10,
        ..agent
    };
    let tickets = [
        mail(1, 0),
        Ticket {
            wants: vec![needs("fi", 1, None)],
            ..mail(2, 1)
        },
    ];
    // The first goes to the lower id, who alone could take the second.
    let agents = [one_slot(skilled(1, &[("fi", 1)])), one_slot(person(2))];
    let mut desk = floor(agents.clone());
    let mut placed = run(&mut desk, tickets.clone(), 2);
    placed.sort_unstable();
    assert_eq!(placed, [(1, 2), (2, 1)]);
    let mut without = floor(agents);
    without.set_policy(
        crate::Policy {
            repair: false,
            ..policy()
        },
        0,
    );
    assert_eq!(run(&mut without, tickets.clone(), 2), [(1, 1)]);
    // The next round does not move what the agent has.
    without.set_policy(policy(), 0);
    without.leave(ticket(2));
    assert!(run(&mut without, [tickets[1].clone()], 3).is_empty());
}

#[test]
fn a_line_that_found_nobody_is_asked_when_somebody_changes() {
    let mut desk = floor([person(1)]);
    busy(&mut desk, 1, 10);
    assert!(run(&mut desk, (1..=50).map(|id| mail(id, 0)), 1).is_empty());
    assert!(!desk.has_work(s(2)));
    desk.wait(&mail(51, 2), s(2));
    assert!(!desk.has_work(s(2)), "nobody changed");
    desk.wait(&mail(51, 2), s(2));
    assert!(!desk.has_work(s(2)), "it waits just so already");
    desk.set_agent(person(2));
    assert!(desk.has_work(s(2)));
    assert_eq!(decide(&mut desk, 3).len(), 10);
    assert_eq!(
        (desk.position(ticket(51)), desk.position(ticket(1))),
        (Some(41), None)
    );
    assert_eq!(desk.queue(team(1)).len(), 41);
    desk.set_agent(Agent {
        capacity: 200,
        ..person(1)
    });
    let round = Round {
        now: s(4),
        top: 1,
        most: 3,
    };
    assert_eq!(desk.decide(&round).len(), 3);
    assert!(desk.has_work(s(4)), "the rest is for the next round");
    assert_eq!(desk.decide(&round).len(), 3);
}

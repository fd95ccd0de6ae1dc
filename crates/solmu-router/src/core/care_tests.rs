//! Offers, the next ticket, taking back, moving what is at risk, and teams and agents that are removed.

use solmu_domain::{ids::DecisionId, ticket::Status};
use uuid::Uuid;

use super::{
    care::{Care, Mode, TakeBack},
    decision::Kind,
    desk::{
        Agent,
        Presence::{Away, Busy, Offline, Online},
    },
    event::{RejectCause, What},
    offers::{Answer, OfferState, Pull, Said},
    state::State,
    testing::{
        agent, applied, at, cared, event, facts, owned, person, round, say, state, team, ticket,
    },
    ticket::{Facts, Phase},
};

fn offering(agents: impl IntoIterator<Item = Agent>) -> State {
    let care = Care {
        mode: Mode::Offer,
        offer_s: 30,
        decline_s: 600,
        ..Care::default()
    };
    cared(state(agents), care)
}

fn answers(offer: DecisionId, id: u128, accepted: bool) -> Said {
    Said {
        answers: vec![Answer {
            offer,
            ticket: ticket(id),
            accepted,
            reason: "on lunch".to_owned(),
        }],
        ..Said::default()
    }
}

fn with(state: &mut State, id: u128, presence: super::desk::Presence, since: i64) {
    state.desk_mut().set_agent(Agent {
        since: at(since),
        ..person(id, &[1], presence, 5)
    });
}

#[test]
fn an_offer_takes_room_and_who_accepts_gets_the_ticket() {
    let mut state = offering([person(1, &[1], Online, 1)]);
    let new = [
        event(1, &facts(1), What::Told, 1),
        event(2, &facts(2), What::Told, 2),
    ];
    let decided = round(&mut state, &new, 2);
    assert_eq!(
        (decided[0].kind, decided[0].agent),
        (Kind::Offered, Some(agent(1)))
    );
    assert_eq!((decided[1].kind, decided[1].agent), (Kind::Queued, None));
    assert_eq!(
        state.desk().load(agent(1)).count,
        1,
        "it takes room while it stands"
    );
    assert_eq!(state.next_hold(), Some(at(32)));

    let (accepted, _) = say(&mut state, &answers(decided[0].id, 1, true), 20);
    assert_eq!(
        (accepted[0].kind, accepted[0].agent),
        (Kind::Accepted, Some(agent(1)))
    );
    assert!(
        accepted[0].reason.ends_with("agent 1 accepted it"),
        "{}",
        accepted[0].reason
    );
    // Once more: it is told that the offer has ended, and nothing happens.
    let (again, told) = say(&mut state, &answers(decided[0].id, 1, true), 21);
    assert!(again.is_empty());
    assert_eq!(told.late, [decided[0].id]);
    let changes = state.take_changes();
    assert_eq!(
        changes.offers.last().map(|it| it.state),
        Some(OfferState::Accepted)
    );

    // The ticket had changed meanwhile: they get it all the same, and are not asked again.
    let newer = Facts {
        version: 2,
        routing_version: 2,
        ..facts(1)
    };
    let what = What::Rejected {
        decision: accepted[0].id,
        cause: RejectCause::StaleTicket,
    };
    let decided = round(&mut state, &[event(1, &newer, what, 22)], 22);
    assert_eq!(
        (decided[0].kind, decided[0].agent),
        (Kind::Assigned, Some(agent(1)))
    );
    assert_eq!(decided[0].ticket, ticket(1));
}

#[test]
fn who_declines_or_says_nothing_is_not_asked_again_for_a_while() {
    let mut state = offering([person(1, &[1], Online, 5), person(2, &[1], Online, 5)]);
    let first = round(&mut state, &[event(1, &facts(1), What::Told, 1)], 1).remove(0);
    assert_eq!(first.agent, Some(agent(1)));
    say(&mut state, &answers(first.id, 1, false), 5);
    let second = round(&mut state, &[], 5).remove(0);
    assert_eq!((second.kind, second.agent), (Kind::Offered, Some(agent(2))));

    // The other one says nothing: it is over when its time is over, not before.
    assert!(state.offers_due(at(34)).is_empty());
    assert_eq!(state.offers_due(at(35)), [second.id]);
    let expired = Said {
        expired: vec![second.id],
        ..Said::default()
    };
    say(&mut state, &expired, 35);
    // Nobody else is there, and who said nothing did not decline: they are asked once more, at once.
    let again = round(&mut state, &[], 35).remove(0);
    assert_eq!((again.kind, again.agent), (Kind::Offered, Some(agent(2))));
    say(&mut state, &answers(again.id, 1, false), 36);
    let queued = round(&mut state, &[], 36).remove(0);
    assert_eq!(queued.kind, Kind::Queued);
    let reason = "2 declined it or did not answer";
    assert!(queued.reason.contains(reason), "{}", queued.reason);
    let offers = state.take_changes().offers;
    assert!(offers.is_empty(), "taken with the round");

    // An answer after the end has no effect.
    let (late, told) = say(&mut state, &answers(second.id, 1, true), 37);
    assert!(late.is_empty() && told.late == [second.id]);
    // After a while they are asked again.
    assert!(round(&mut state, &[], 604).is_empty());
    assert_eq!(state.next_hold(), Some(at(605)));
    let third = round(&mut state, &[], 605).remove(0);
    assert_eq!((third.kind, third.agent), (Kind::Offered, Some(agent(1))));
}

#[test]
fn a_person_who_assigns_and_an_agent_who_leaves_withdraw_an_offer() {
    let mut state = offering([person(1, &[1], Online, 5), person(2, &[1], Busy, 5)]);
    let offer = round(&mut state, &[event(1, &facts(1), What::Told, 1)], 1).remove(0);
    let by_hand = Facts {
        version: 2,
        routing_version: 2,
        assignee: Some(agent(2)),
        ..facts(1)
    };
    let what = What::Assigned { decision: None };
    state.learn(&event(1, &by_hand, what, 3));
    let changes = state.take_changes();
    assert_eq!(changes.offers[0].offer, offer.id);
    assert_eq!(changes.offers[0].state, OfferState::Withdrawn);
    assert_eq!(state.desk().load(agent(1)).count, 0);
    let (none, _) = say(&mut state, &answers(offer.id, 1, true), 4);
    assert!(none.is_empty(), "a manual assignment wins");

    let offer = round(&mut state, &[event(2, &facts(5), What::Told, 5)], 5).remove(0);
    assert_eq!(offer.agent, Some(agent(1)));
    with(&mut state, 1, Offline, 6);
    let queued = round(&mut state, &[], 6).remove(0);
    assert_eq!((queued.kind, queued.agent), (Kind::Queued, None));
    // They were not asked in earnest: back again, they are.
    with(&mut state, 1, Online, 7);
    assert_eq!(round(&mut state, &[], 7)[0].kind, Kind::Offered);
}

#[test]
fn a_transfer_wins_over_an_offer() {
    let mut state = offering([person(1, &[1], Online, 5), person(2, &[2], Offline, 5)]);
    let offer = round(&mut state, &[event(1, &facts(1), What::Told, 1)], 1).remove(0);
    let moved = Facts {
        version: 2,
        routing_version: 2,
        team: Some(team(2)),
        ..facts(1)
    };
    state.learn(&event(1, &moved, What::Assigned { decision: None }, 3));
    let ended = state.take_changes().offers;
    assert_eq!(
        (ended[0].offer, ended[0].state),
        (offer.id, OfferState::Withdrawn)
    );
    assert!(round(&mut state, &[], 3).is_empty(), "it has its team");
    assert_eq!(state.desk().load(agent(1)).count, 0);
}

#[test]
fn offers_outlive_a_leader() {
    let mut state = offering([person(1, &[1], Online, 5)]);
    let offer = round(&mut state, &[event(1, &facts(1), What::Told, 1)], 1).remove(0);
    let mut fresh = offering([person(1, &[1], Online, 5)]);
    fresh.restore(state.ticket(ticket(1)).unwrap().clone());
    assert_eq!(fresh.offers_due(at(31)), [offer.id]);
    assert_eq!(fresh.desk().load(agent(1)).count, 1);
    let (accepted, _) = say(&mut fresh, &answers(offer.id, 1, true), 9);
    assert_eq!(accepted[0].agent, Some(agent(1)));
}

#[test]
fn agents_of_a_pull_team_take_the_next_one_and_never_the_same() {
    let care = Care {
        mode: Mode::Pull,
        ..Care::default()
    };
    let people = [
        person(1, &[1], Online, 1),
        person(2, &[1], Online, 5),
        person(3, &[1], Away, 5),
    ];
    let mut state = cared(state(people), care);
    let new = [
        event(1, &facts(1), What::Told, 1),
        event(2, &facts(2), What::Told, 2),
    ];
    let decided = round(&mut state, &new, 2);
    assert!(
        decided.iter().all(|it| it.kind == Kind::Queued),
        "nobody is given any"
    );
    assert!(
        decided[0]
            .reason
            .ends_with("it waits until somebody of the team takes the next one")
    );
    let ask = |agents: &[u128]| Said {
        pulls: agents
            .iter()
            .map(|id| Pull {
                id: Uuid::from_u128(*id),
                agent: agent(*id),
                team: Some(team(1)),
            })
            .collect(),
        ..Said::default()
    };
    let (given, told) = say(&mut state, &ask(&[1, 2, 1, 3, 2]), 3);
    let given: Vec<_> = given
        .iter()
        .map(|it| (it.ticket, it.agent, it.kind))
        .collect();
    assert_eq!(
        given,
        [
            (ticket(1), Some(agent(1)), Kind::Pulled),
            (ticket(2), Some(agent(2)), Kind::Pulled)
        ]
    );
    let told: Vec<_> = told.pulls.iter().skip(2).map(|it| it.2.as_str()).collect();
    assert_eq!(
        told,
        [
            "agent 1 is full: 1 of 1 open tickets",
            "agent 3 is away",
            "nothing waits that agent 2 may do now"
        ]
    );
}

#[test]
fn work_goes_back_from_who_is_away_for_too_long() {
    let cases = [
        (TakeBack::Never, Status::New, false, false),
        (TakeBack::Untouched, Status::New, false, true),
        (TakeBack::Untouched, Status::CustomerReplied, false, true),
        (TakeBack::Untouched, Status::New, true, false),
        (TakeBack::Untouched, Status::WaitingOnCustomer, false, false),
        (TakeBack::All, Status::WaitingOnCustomer, true, true),
    ];
    for (take_back, status, answered, taken) in cases {
        let care = Care {
            take_back,
            take_back_after_s: 600,
            ..Care::default()
        };
        let mut state = cared(state([person(1, &[1], Online, 5)]), care);
        let known = owned(&mut state, 1, 1, |it| it.status = status);
        if answered {
            let mut answer = event(1, &known, What::Told, 2);
            answer.answered = true;
            state.learn(&answer);
        }
        with(&mut state, 1, Away, 100);
        assert!(round(&mut state, &[], 699).is_empty());
        let decided = round(&mut state, &[], 700);
        let which = format!("{take_back:?} {status:?} {answered}");
        assert_eq!(decided.len(), usize::from(taken), "{which}");
        let Some(decision) = decided.first() else {
            continue;
        };
        assert_eq!(decision.kind, Kind::TakenBack);
        assert_eq!((decision.previous, decision.agent), (Some(agent(1)), None));
        assert!(
            decision
                .reason
                .starts_with("agent 1 is away since 10 minutes"),
            "{}",
            decision.reason
        );
        assert!(round(&mut state, &[], 702).is_empty(), "once");
        applied(&mut state, &known, 1, decision, 703);
        assert!(matches!(
            state.ticket(ticket(1)).unwrap().phase,
            Phase::Waiting(_)
        ));
        assert_eq!(state.desk().load(agent(1)).count, 0);
    }
}

#[test]
fn nothing_is_taken_from_who_is_back_or_from_who_begins_meanwhile() {
    let mut state = cared(state([person(1, &[1], Online, 5)]), Care::default());
    let known = owned(&mut state, 1, 1, |_| ());
    with(&mut state, 1, Offline, 100);
    with(&mut state, 1, Online, 900);
    assert!(round(&mut state, &[], 2_000).is_empty());
    with(&mut state, 1, Offline, 2_001);
    let decided = round(&mut state, &[], 2_901).remove(0);
    // They answered at the last moment, so the ticket service says no: it stays theirs, and is not taken at once again.
    let answered = Facts {
        version: 2,
        routing_version: 2,
        status: Status::WaitingOnCustomer,
        ..known
    };
    let what = What::Rejected {
        decision: decided.id,
        cause: RejectCause::StaleTicket,
    };
    assert!(round(&mut state, &[event(1, &answered, what, 2_902)], 2_902).is_empty());
    assert_eq!(
        state.ticket(ticket(1)).unwrap().phase,
        Phase::Assigned { agent: agent(1) }
    );
    assert_eq!(state.desk().load(agent(1)).count, 1);
    assert!(round(&mut state, &[], 9_000).is_empty());
}

#[test]
fn what_is_about_to_be_late_moves_once_to_somebody_who_can_begin() {
    let care = Care {
        rebalance_s: Some(900),
        ..Care::default()
    };
    let mut state = cared(
        state([person(1, &[1], Online, 5), person(2, &[1], Offline, 5)]),
        care,
    );
    let due = |it: &mut Facts, second: i64| it.next_due = Some(at(second));
    owned(&mut state, 1, 1, |it| due(it, 9_000));
    owned(&mut state, 2, 1, |it| due(it, 9_100));
    let known = owned(&mut state, 3, 1, |it| due(it, 10_000));
    // Nobody else is there: it stays.
    assert!(round(&mut state, &[], 9_110).is_empty());
    with(&mut state, 2, Online, 9_120);
    let decided = round(&mut state, &[], 9_130);
    assert_eq!(decided.len(), 1, "those before it are next");
    let moved = &decided[0];
    assert_eq!((moved.kind, moved.ticket), (Kind::Rebalanced, ticket(3)));
    assert_eq!(
        (moved.previous, moved.agent),
        (Some(agent(1)), Some(agent(2)))
    );
    assert_eq!(
        moved.reason,
        "it is due in 14 minutes and agent 1 has 2 that are due earlier; agent 2 can begin, 0 of 5"
    );
    assert_eq!(state.desk().load(agent(2)).count, 1, "their place is kept");
    applied(&mut state, &known, 3, moved, 9_131);
    // It rests, even if its new owner goes.
    with(&mut state, 2, Busy, 9_140);
    assert!(round(&mut state, &[], 9_200).is_empty());
}

#[test]
fn the_work_of_who_was_removed_goes_back_at_once() {
    let care = Care {
        take_back: TakeBack::Never,
        ..Care::default()
    };
    let mut state = cared(
        state([person(1, &[1], Online, 5), person(2, &[1], Online, 5)]),
        care,
    );
    let known = owned(&mut state, 1, 1, |it| it.status = Status::WaitingOnCustomer);
    state.desk_mut().set_agent(Agent {
        archived: true,
        ..person(1, &[], Offline, 5)
    });
    let decided = round(&mut state, &[], 1);
    assert_eq!(decided[0].kind, Kind::TakenBack);
    assert!(
        decided[0]
            .reason
            .starts_with("agent 1 does not work here any more")
    );
    applied(&mut state, &known, 1, &decided[0], 2);
    assert_eq!(round(&mut state, &[], 2)[0].agent, Some(agent(2)));
}

#[test]
fn what_a_person_gave_to_who_was_away_waits_for_them() {
    let mut state = cared(state([person(1, &[1], Online, 5)]), Care::default());
    with(&mut state, 1, Offline, 100);
    let given = Facts {
        team: Some(team(1)),
        assignee: Some(agent(1)),
        ..facts(1)
    };
    let by_hand = What::Assigned { decision: None };
    round(&mut state, &[event(1, &given, by_hand, 200)], 200);
    assert!(round(&mut state, &[], 9_000).is_empty());
    // They were back, and went again without having begun it.
    with(&mut state, 1, Online, 9_001);
    with(&mut state, 1, Offline, 9_002);
    assert_eq!(round(&mut state, &[], 9_902)[0].kind, Kind::TakenBack);
}

//! Who misses an offer, and work of people whose shift has ended or who are absent.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use solmu_domain::{
    ids::DecisionId,
    sla::{Calendar, CalendarSpec},
};
use uuid::Uuid;

use super::{
    care::{Care, Mode, TakeBack},
    decision::Kind,
    desk::{
        Agent, Hours,
        Presence::{Away, Busy, Offline, Online},
    },
    event::What,
    offers::{Answer, Pull, Said},
    state::State,
    testing::{agent, applied, at, cared, event, facts, owned, person, round, say, state, ticket},
    ticket::Phase,
};

const HOUR: i64 = 3_600;

fn offering(agents: impl IntoIterator<Item = Agent>) -> State {
    let care = Care {
        mode: Mode::Offer,
        offer_s: 30,
        decline_s: 900,
        ..Care::default()
    };
    cared(state(agents), care)
}

fn silence(offer: DecisionId) -> Said {
    Said {
        expired: vec![offer],
        ..Said::default()
    }
}

fn wish(id: u128) -> Said {
    Said {
        pulls: vec![Pull {
            id: Uuid::from_u128(9),
            agent: agent(id),
            team: None,
        }],
        ..Said::default()
    }
}

#[test]
fn who_is_alone_and_misses_an_offer_is_asked_again() {
    let mut state = offering([person(1, &[1], Online, 5), person(2, &[1], Away, 5)]);
    let mut offer = round(&mut state, &[event(1, &facts(1), What::Told, 1)], 1).remove(0);
    // At once, then after one, three, seven times as long as an offer stands, and never later than who declined.
    for (missed, again) in [(31, 31), (61, 91), (121, 211), (241, 451), (481, 931)] {
        assert_eq!((offer.kind, offer.agent), (Kind::Offered, Some(agent(1))));
        say(&mut state, &silence(offer.id), missed);
        if again > missed {
            let early = round(&mut state, &[], again - 1);
            assert!(early.iter().all(|it| it.agent.is_none()), "{early:?}");
        }
        offer = round(&mut state, &[], again).remove(0);
    }
    assert_eq!(offer.agent, Some(agent(1)));
}

#[test]
fn who_misses_an_offer_is_passed_over_while_others_are_there() {
    // The other one is full: they may come free, and are there.
    let mut state = offering([person(1, &[1], Online, 5), person(2, &[1], Online, 1)]);
    owned(&mut state, 9, 2, |_| ());
    let offer = round(&mut state, &[event(1, &facts(1), What::Told, 1)], 1).remove(0);
    assert_eq!(offer.agent, Some(agent(1)));
    say(&mut state, &silence(offer.id), 31);
    let waits = round(&mut state, &[], 31);
    assert!(waits.iter().all(|it| it.agent.is_none()), "{waits:?}");
    assert!(round(&mut state, &[], 300).is_empty());
    // The other one goes: now the first is asked again.
    state.desk_mut().set_agent(person(2, &[1], Offline, 1));
    let again = round(&mut state, &[], 301).remove(0);
    assert_eq!((again.kind, again.agent), (Kind::Offered, Some(agent(1))));
}

#[test]
fn who_asks_for_the_next_ticket_gets_what_they_let_go_before() {
    for declined in [false, true] {
        let mut state = offering([person(1, &[1], Online, 5), person(2, &[1], Busy, 5)]);
        let offer = round(&mut state, &[event(1, &facts(1), What::Told, 1)], 1).remove(0);
        let said = if declined {
            let answer = Answer {
                offer: offer.id,
                ticket: ticket(1),
                accepted: false,
                reason: String::new(),
            };
            Said {
                answers: vec![answer],
                ..Said::default()
            }
        } else {
            silence(offer.id)
        };
        say(&mut state, &said, 31);
        let (given, told) = say(&mut state, &wish(1), 32);
        assert_eq!(given.len(), 1, "{:?}", told.pulls);
        assert_eq!(
            (given[0].kind, given[0].agent),
            (Kind::Pulled, Some(agent(1)))
        );
        assert!(state.ticket(ticket(1)).unwrap().declined.is_empty());
    }
}

/// Every day from 8 to 16, in UTC.
fn office() -> Arc<Calendar> {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let window = ["08:00".to_owned(), "16:00".to_owned()];
    let hours = days.map(|day| (day.to_owned(), vec![window.clone()]));
    let spec = CalendarSpec {
        hours: BTreeMap::from(hours),
        ..CalendarSpec::default()
    };
    Arc::new(Calendar::new(&spec).unwrap())
}

fn working(
    id: u128,
    calendar: Option<Arc<Calendar>>,
    absences: Vec<(Timestamp, Timestamp)>,
) -> Agent {
    Agent {
        hours: Hours { calendar, absences },
        ..person(id, &[1], Online, 5)
    }
}

fn caring(take_back: TakeBack, agents: impl IntoIterator<Item = Agent>) -> State {
    let care = Care {
        take_back,
        take_back_after_s: 600,
        ..Care::default()
    };
    cared(state(agents), care)
}

#[test]
fn at_the_end_of_a_shift_work_goes_back_by_the_policy() {
    for (take_back, taken) in [
        (TakeBack::Never, false),
        (TakeBack::Untouched, true),
        (TakeBack::All, true),
    ] {
        let mut state = caring(take_back, [working(1, Some(office()), Vec::new())]);
        let known = owned(&mut state, 1, 1, |_| ());
        assert!(round(&mut state, &[], 15 * HOUR).is_empty());
        assert!(round(&mut state, &[], 16 * HOUR + 599).is_empty());
        let decided = round(&mut state, &[], 16 * HOUR + 600);
        assert_eq!(decided.len(), usize::from(taken), "{take_back:?}");
        let Some(back) = decided.first() else {
            continue;
        };
        assert_eq!(
            (back.kind, back.previous),
            (Kind::TakenBack, Some(agent(1)))
        );
        let said = "agent 1 is outside working hours since 10 minutes";
        assert!(back.reason.starts_with(said), "{}", back.reason);
        applied(&mut state, &known, 1, back, 16 * HOUR + 601);
        // The next morning they are the first to get it.
        let morning = round(&mut state, &[], 32 * HOUR).remove(0);
        assert_eq!(morning.agent, Some(agent(1)));
    }
}

#[test]
fn who_is_absent_and_says_online_loses_their_work_and_no_one_else_does() {
    let away = vec![(at(9 * HOUR), at(900 * HOUR))];
    let mut state = caring(
        TakeBack::All,
        [
            working(1, None, away),
            working(2, Some(office()), Vec::new()),
        ],
    );
    round(&mut state, &[], 8 * HOUR + 1);
    owned(&mut state, 1, 1, |_| ());
    owned(&mut state, 2, 2, |_| ());
    assert!(round(&mut state, &[], 9 * HOUR + 599).is_empty());
    assert!(state.has_chores(at(9 * HOUR + 600)));
    let decided = round(&mut state, &[], 9 * HOUR + 600);
    assert_eq!(decided[0].previous, Some(agent(1)));
    assert!(
        decided[0]
            .reason
            .starts_with("agent 1 is absent since 10 minutes")
    );
    assert_eq!(
        decided
            .iter()
            .filter(|it| it.kind == Kind::TakenBack)
            .count(),
        1
    );
    // What a person gives to who is absent waits for them.
    let meant = super::ticket::Facts {
        team: Some(super::testing::team(1)),
        assignee: Some(agent(1)),
        ..facts(3)
    };
    let by_hand = event(3, &meant, What::Assigned { decision: None }, 10 * HOUR);
    assert!(round(&mut state, &[by_hand], 10 * HOUR).is_empty());
    let later = round(&mut state, &[], 300 * HOUR);
    assert!(later.iter().all(|it| it.ticket != ticket(3)), "{later:?}");
}

#[test]
fn an_offer_ends_with_the_shift() {
    let mut state = offering([working(1, Some(office()), Vec::new())]);
    let opened = 16 * HOUR - 5;
    let offer = round(
        &mut state,
        &[event(1, &facts(opened), What::Told, opened)],
        opened,
    )
    .remove(0);
    assert_eq!(offer.kind, Kind::Offered);
    round(&mut state, &[], 16 * HOUR);
    assert!(matches!(
        state.ticket(ticket(1)).unwrap().phase,
        Phase::Waiting(_)
    ));
}

#[test]
fn a_closed_time_begins_where_the_last_work_ended() {
    let since = |hours: &Hours, hour: i64| {
        let since = hours.closed_since(at(hour * HOUR));
        since.map(|at| at.as_second() / HOUR)
    };
    let hours = Hours {
        calendar: Some(office()),
        absences: vec![
            (at(20 * HOUR), at(56 * HOUR)),
            (at(56 * HOUR), at(60 * HOUR)),
        ],
    };
    assert_eq!(since(&hours, 9), None);
    assert_eq!(since(&hours, 16), Some(16));
    // A night, an absence that begins in it, the next one, and what is left of the day.
    for hour in [18, 30, 40, 57] {
        assert_eq!(since(&hours, hour), Some(16), "{hour}");
    }
    assert_eq!(since(&hours, 60), None);
    let absent = Hours {
        calendar: None,
        absences: vec![(at(5 * HOUR), at(5_000 * HOUR))],
    };
    assert_eq!(since(&absent, 4_000), Some(5));
}

//! The fold of one ticket: what is told when, and that it is told once.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::prelude::*;
use solmu_domain::{
    ids::PolicyId,
    sla::{ANY_PRIORITY, Calendar, CalendarSpec, ClockStatus, MetricTargets, Policy, StepAt},
};
use uuid::Uuid;

use super::*;
use crate::policy_set::PolicyKey;

const CALENDAR: &str = "always@1";

fn at(minutes: i64) -> Timestamp {
    let start: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
    start + SignedDuration::from_mins(minutes)
}

struct World {
    policy: Policy,
    calendars: BTreeMap<String, Calendar>,
}

impl World {
    /// First response in 60 minutes, next in 30, resolution in 240; a warning 15 before.
    fn new() -> Self {
        let targets = MetricTargets {
            first_response: Some(3_600),
            next_response: Some(1_800),
            resolution: Some(14_400),
            ..MetricTargets::default()
        };
        let mut policy = Policy::new(BTreeMap::from([(ANY_PRIORITY.to_owned(), targets)]));
        policy.remind_before_s = Some(900);
        let spec = CalendarSpec {
            always_open: true,
            ..CalendarSpec::default()
        };
        let calendar = Calendar::new(&spec).unwrap();
        Self {
            policy,
            calendars: BTreeMap::from([(CALENDAR.to_owned(), calendar)]),
        }
    }

    fn terms(&self) -> Terms<'_> {
        Terms::new(&self.policy, &self.calendars)
    }

    fn open(&self) -> Promise {
        let start = TicketStart {
            at: at(0),
            status: ClockStatus::New,
            priority: "normal".to_owned(),
            calendar: CALENDAR.to_owned(),
            outbound: false,
            calendars: BTreeMap::new(),
            policy: String::new(),
            team: None,
        };
        let policy = PolicySet::one(PolicyKey {
            id: PolicyId::from_uuid(Uuid::nil()),
            version: 1,
        });
        Promise::open(policy, start, Vec::new(), &self.terms()).unwrap()
    }
}

fn reply(minutes: i64) -> ClockEvent {
    ClockEvent::new(at(minutes), ClockEventKind::AgentReply)
}

fn status(minutes: i64, to: ClockStatus) -> ClockEvent {
    ClockEvent::new(at(minutes), ClockEventKind::Status { to })
}

fn kinds(notices: &[Notice]) -> Vec<(InstantKind, Metric)> {
    notices
        .iter()
        .map(|notice| (notice.kind, notice.metric))
        .collect()
}

#[test]
fn a_warning_and_a_breach_are_told_once() {
    use {
        InstantKind::{Breach, Warning},
        Metric::FirstResponse,
    };
    let world = World::new();
    let terms = world.terms();
    let mut promise = world.open();
    assert_eq!(promise.wake_at(&terms).unwrap(), Some(at(45)));
    assert!(promise.fire(at(44), &terms).unwrap().is_empty());
    assert_eq!(
        kinds(&promise.fire(at(45), &terms).unwrap()),
        [(Warning, FirstResponse)]
    );
    assert!(promise.fire(at(46), &terms).unwrap().is_empty());
    assert!(
        promise.fire(at(60), &terms).unwrap().is_empty(),
        "due is in time"
    );
    let late = promise.fire(at(70), &terms).unwrap();
    assert_eq!(kinds(&late), [(Breach, FirstResponse)]);
    assert_eq!(late[0].due, at(60));
    assert!(promise.fire(at(80), &terms).unwrap().is_empty());
    assert!(promise.decide(&terms).unwrap().breached);
}

#[test]
fn after_an_outage_all_is_told_at_once_with_its_own_time() {
    let world = World::new();
    let mut promise = world.open();
    let notices = promise.fire(at(300), &world.terms()).unwrap();
    let scheduled: Vec<_> = notices.iter().map(|it| it.scheduled_at).collect();
    let late = SignedDuration::from_micros(1);
    assert_eq!(scheduled, [at(45), at(60) + late, at(225), at(240) + late]);
    assert!(
        notices
            .iter()
            .all(|it| it.fired_at == at(300) && it.by_timer)
    );
}

#[test]
fn a_breach_that_an_event_shows_is_told_once() {
    let world = World::new();
    let terms = world.terms();
    let mut promise = world.open();
    promise.apply(vec![reply(90)], &terms).unwrap();
    let notices = promise.tell_breaches(at(91), false, &terms).unwrap();
    assert_eq!(
        kinds(&notices),
        [(InstantKind::Breach, Metric::FirstResponse)]
    );
    assert!(
        promise
            .tell_breaches(at(92), false, &terms)
            .unwrap()
            .is_empty()
    );
    let fired = promise.fire(at(92), &terms).unwrap();
    assert!(fired.is_empty(), "{fired:?}");
    assert!(!promise.decide(&terms).unwrap().breached, "it is answered");
}

#[test]
fn a_late_answer_takes_the_breach_back() {
    let world = World::new();
    let terms = world.terms();
    let mut promise = world.open();
    assert_eq!(promise.fire(at(61), &terms).unwrap().len(), 2);
    let late = vec![reply(50)];
    assert!(promise.is_late(&late));
    promise.replay(late, &terms).unwrap();
    let decided = promise.decide(&terms).unwrap();
    assert!(!decided.breached && decided.due.first_response_due.is_none());
    let told: Vec<_> = promise.announced.iter().map(|it| it.kind).collect();
    assert_eq!(
        told,
        [InstantKind::Warning],
        "the warning was right when it was told"
    );
}

#[test]
fn a_replay_notes_again_what_a_timer_had_noted() {
    let world = World::new();
    let terms = world.terms();
    let mut promise = world.open();
    promise.fire(at(61), &terms).unwrap();
    let seen = ClockEvent::new(at(10), ClockEventKind::CustomerMessage);
    promise.replay(vec![seen], &terms).unwrap();
    assert!(promise.decide(&terms).unwrap().breached);
    assert!(
        promise
            .tell_breaches(at(62), false, &terms)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_warning_comes_again_only_when_its_deadline_moved() {
    let world = World::new();
    let terms = world.terms();
    let mut promise = world.open();
    assert_eq!(promise.fire(at(46), &terms).unwrap().len(), 1);
    let waiting = ClockStatus::WaitingOnCustomer;
    let rest = vec![status(47, waiting), status(57, ClockStatus::Open)];
    promise.apply(rest, &terms).unwrap();
    let again = promise.fire(at(57), &terms).unwrap();
    assert_eq!(
        kinds(&again),
        [(InstantKind::Warning, Metric::FirstResponse)]
    );
    assert_eq!(again[0].due, at(70));
    assert!(promise.fire(at(58), &terms).unwrap().is_empty());
}

#[test]
fn events_before_the_opening_are_counted_from_it() {
    let world = World::new();
    let terms = world.terms();
    let mut promise = world.open();
    promise.replay(vec![reply(-5)], &terms).unwrap();
    assert_eq!(promise.decide(&terms).unwrap().due.first_response_due, None);
}

fn step(at: StepAt, action: ActionKind, target: &str) -> Step {
    Step {
        metric: Some(Metric::FirstResponse),
        at,
        action,
        target: target.to_owned(),
        event_only: false,
    }
}

#[test]
fn a_chain_is_taken_once_step_by_step_and_is_cancelled_by_the_answer() {
    let mut world = World::new();
    world.policy.remind_before_s = None;
    world.policy.rules.steps = vec![
        step(StepAt::UsedPercent(50), ActionKind::Warn, ""),
        step(StepAt::UsedPercent(75), ActionKind::Warn, ""),
        step(StepAt::AfterS(0), ActionKind::RaisePriority, ""),
        step(StepAt::AfterS(1_800), ActionKind::Notify, "team_lead"),
        step(StepAt::AfterS(7_200), ActionKind::Reassign, ""),
    ];
    let terms = world.terms();
    let mut promise = world.open();
    let steps =
        |notices: &[Notice]| -> Vec<String> { notices.iter().map(|it| it.step.clone()).collect() };
    assert_eq!(
        steps(&promise.fire(at(31), &terms).unwrap()),
        ["used 50% warn"]
    );
    assert!(promise.fire(at(40), &terms).unwrap().is_empty());
    // Nobody worked for an hour: all that was due meanwhile is told at once, in order, marked late.
    let told = promise.fire(at(91), &terms).unwrap();
    assert_eq!(
        steps(&told),
        [
            "used 75% warn",
            "",
            "after 0 raise_priority",
            "after 1800 notify team_lead"
        ]
    );
    assert!(told.iter().all(Notice::is_late));
    assert_eq!(told[3].target, "team_lead");
    assert!(promise.fire(at(100), &terms).unwrap().is_empty());
    assert_eq!(promise.wake_at(&terms).unwrap(), Some(at(180)));
    promise.apply(vec![reply(150)], &terms).unwrap();
    assert_eq!(
        promise.wake_at(&terms).unwrap(),
        Some(after(at(240))),
        "only resolution is left"
    );
}

#[test]
fn a_quiet_policy_tells_a_breach_in_the_morning_and_knows_it_at_night() {
    let mut world = World::new();
    world.policy.remind_before_s = None;
    world.policy.rules.quiet = true;
    let hours: CalendarSpec = serde_json::from_value(serde_json::json!({"tz": "UTC", "hours": {
        "mon": [["08:00", "09:00"]], "tue": [["08:00", "09:00"]]}}))
    .unwrap();
    let office = Calendar::new(&hours).unwrap();
    world.calendars.insert(CALENDAR.to_owned(), office);
    let terms = world.terms();
    let mut promise = world.open();
    // The hour is used up at closing time on Monday.
    assert!(promise.fire(at(70), &terms).unwrap().is_empty());
    assert!(promise.decide(&terms).unwrap().breached);
    assert_eq!(promise.wake_at(&terms).unwrap(), Some(at(24 * 60)));
    let told = promise.fire(at(24 * 60), &terms).unwrap();
    assert_eq!(kinds(&told), [(InstantKind::Breach, Metric::FirstResponse)]);
    assert!(!told[0].is_late(), "it was meant for the morning");
}

#[test]
fn what_counts_for_attainment() {
    let world = World::new();
    let terms = world.terms();
    let mut promise = world.open();
    assert!(promise.bookings().is_empty());
    promise.fire(at(61), &terms).unwrap();
    let late = promise.bookings();
    assert_eq!(
        (late.len(), late[0].ended, late[0].breached),
        (1, false, true)
    );
    assert_eq!(late[0].counted_at, at(60));
    promise.apply(vec![reply(70)], &terms).unwrap();
    let answered = promise.bookings();
    assert_eq!(
        (answered[0].counted_at, answered[0].elapsed_s),
        (at(70), 4_200)
    );
    promise
        .apply(vec![status(80, ClockStatus::Resolved)], &terms)
        .unwrap();
    assert_eq!(promise.bookings().len(), 2);
    promise
        .apply(vec![status(90, ClockStatus::Open)], &terms)
        .unwrap();
    assert_eq!(
        promise.bookings().len(),
        1,
        "a reopened resolution is undecided again"
    );
}

fn any_event() -> impl Strategy<Value = ClockEvent> {
    let kind = prop_oneof![
        Just(ClockEventKind::AgentReply),
        Just(ClockEventKind::CustomerMessage),
        Just(ClockEventKind::Merged),
        Just(ClockEventKind::Unmerged),
        (0_i64..400).prop_map(|minutes| ClockEventKind::Absorbed {
            from: Some("a".to_owned()),
            unanswered_since: Some(at(minutes)),
        }),
        Just(ClockEventKind::Unabsorbed {
            from: "a".to_owned()
        }),
        prop_oneof![
            Just(ClockStatus::Open),
            Just(ClockStatus::WaitingOnCustomer),
            Just(ClockStatus::Resolved),
        ]
        .prop_map(|to| ClockEventKind::Status { to }),
    ];
    (0_i64..400, kind).prop_map(|(minutes, kind)| ClockEvent::new(at(minutes), kind))
}

proptest! {
    /// However events arrive (in order, late, in batches), and whenever timers fire between them, the clocks end the
    /// same.
    #[test]
    fn arrival_does_not_matter(
        events in proptest::collection::vec(any_event(), 0..12),
        size in 1_usize..4,
        looks in proptest::collection::vec(0_i64..500, 0..6),
    ) {
        let world = World::new();
        let terms = world.terms();
        let mut promise = world.open();
        let mut seen: Vec<ClockEvent> = Vec::new();
        let mut looks = looks.into_iter();
        for batch in events.chunks(size) {
            if let Some(look) = looks.next() {
                promise.fire(at(look), &terms).unwrap();
            }
            seen.extend(batch.iter().cloned());
            if promise.is_late(batch) {
                promise.replay(seen.clone(), &terms).unwrap();
            } else {
                promise.apply(batch.to_vec(), &terms).unwrap();
            }
            promise.tell_breaches(at(500), false, &terms).unwrap();
        }
        promise.fire(at(2_000), &terms).unwrap();

        let mut at_once = world.open();
        at_once.replay(seen, &terms).unwrap();
        at_once.fire(at(2_000), &terms).unwrap();
        let report = |promise: &Promise| promise.clocks.report(at(2_000), &terms).unwrap();
        prop_assert_eq!(report(&promise), report(&at_once));
        prop_assert_eq!(promise.wake_at(&terms).unwrap(), None);
    }

    /// While nothing comes late, a breach of a cycle is told once, and a warning once per deadline; and the clocks are
    /// breached where it was told.
    #[test]
    fn each_is_told_once(mut events in proptest::collection::vec(any_event(), 0..12)) {
        let world = World::new();
        let terms = world.terms();
        let mut promise = world.open();
        let mut told = Vec::new();
        sort_events(&mut events);
        for event in events {
            told.extend(promise.fire(event.at, &terms).unwrap());
            let now = event.at;
            promise.apply(vec![event], &terms).unwrap();
            told.extend(promise.tell_breaches(now, false, &terms).unwrap());
        }
        told.extend(promise.fire(at(2_000), &terms).unwrap());
        let of = |kind| told.iter().filter(move |notice: &&Notice| notice.kind == kind);
        let mut breaches: Vec<_> = of(InstantKind::Breach).map(|it| (it.metric, it.cycle)).collect();
        let mut warnings: Vec<_> = of(InstantKind::Warning).map(|it| (it.metric, it.cycle, it.due)).collect();
        let count = (breaches.len(), warnings.len());
        breaches.sort_unstable();
        breaches.dedup();
        warnings.sort_unstable();
        warnings.dedup();
        prop_assert_eq!(count, (breaches.len(), warnings.len()));
        let report = promise.clocks.report(at(2_000), &terms).unwrap();
        let missed = report.metrics.iter().filter(|metric| metric.breached);
        let mut missed: Vec<_> = missed.map(|metric| (metric.metric, metric.cycle)).collect();
        missed.sort_unstable();
        prop_assert_eq!(missed, breaches);
    }
}

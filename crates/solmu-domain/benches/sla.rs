//! How fast due times are computed, and how much a running ticket weighs.
//!
//! ```text
//! cargo bench -p solmu-domain
//! ```
//!
//! One thread, a calendar with lunch breaks, holidays, half days and changes of the clocks. `due` is asked for start times
//! spread over a year, so that no question is the one before; the target is a month or a year of business time. `event` is
//! the whole of what a ticket event costs: state changed, due times and timers computed. `a million tickets` holds the
//! clocks of as many open tickets in memory; the service itself keeps them in its database and only the next timer here.
//! Rows take turns and the best turn of each counts, because other programs only ever slow one down.

use std::{
    collections::BTreeMap,
    fs,
    hint::black_box,
    io::Write as _,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use solmu_domain::sla::{
    Calendar, ClockEvent, ClockEventKind, ClockStatus, Policy, Terms, TicketClocks, TicketStart,
};

/// Questions of one turn.
const QUESTIONS: i64 = 200_000;
/// Turns of each row.
const TURNS: u32 = 7;
/// Tickets that are held at once.
const TICKETS: i64 = 1_000_000;

const DAY: i64 = 86_400;
/// Eight hours less the break, five days a week, four weeks and fifty-two.
const MONTH_S: i64 = 20 * 27_000;
const YEAR_S: i64 = 260 * 27_000;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let calendar = office();
    let start: Timestamp = "2026-01-05T06:00:00Z".parse().expect("it is a time");
    for (name, target) in [("a day", 27_000), ("a month", MONTH_S), ("a year", YEAR_S)] {
        let rate = best(QUESTIONS, || {
            for question in 0..QUESTIONS {
                let from = start + SignedDuration::from_secs(question * 157 % (365 * DAY));
                black_box(calendar.due(from, target));
            }
        });
        writeln!(out, "due, {name} ahead: {rate:.0} per second")?;
    }
    let rate = best(QUESTIONS, || {
        for question in 0..QUESTIONS {
            let from = start + SignedDuration::from_secs(question * 157 % (365 * DAY));
            black_box(calendar.elapsed(from, from + SignedDuration::from_secs(30 * DAY)));
        }
    });
    writeln!(out, "elapsed over a month: {rate:.0} per second")?;
    let policy = policy();
    let calendars = BTreeMap::from([(KEY.to_owned(), calendar)]);
    let terms = Terms::new(&policy, &calendars);
    let rate = best(QUESTIONS / 10, || {
        for question in 0..QUESTIONS / 10 {
            let mut clocks = TicketClocks::start(&ticket(start, question), &terms).expect("known");
            let event = ClockEvent::new(clocks.last_event_at(), ClockEventKind::AgentReply);
            clocks.apply(&event, &terms).expect("it is in order");
            black_box(clocks.due_times(&terms).expect("known"));
            black_box(clocks.next_instants(&terms).expect("known"));
        }
    });
    writeln!(
        out,
        "ticket opened and answered, with due times and timers: {rate:.0} per second"
    )?;
    let before = resident();
    let began = Instant::now();
    let tickets: Vec<TicketClocks> = (0..TICKETS)
        .map(|number| TicketClocks::start(&ticket(start, number), &terms).expect("known"))
        .collect();
    let seconds = began.elapsed().as_secs_f64();
    let megabytes = resident().saturating_sub(before) / 1_000_000;
    writeln!(
        out,
        "{} tickets in memory: {megabytes} MB, {seconds:.2} s",
        black_box(&tickets).len()
    )
}

/// The highest rate of several turns.
fn best(questions: i64, mut turn: impl FnMut()) -> f64 {
    let mut shortest = Duration::MAX;
    for _ in 0..TURNS {
        let began = Instant::now();
        turn();
        shortest = shortest.min(began.elapsed());
    }
    let questions = f64::from(i32::try_from(questions).expect("it is a small number"));
    questions / shortest.as_secs_f64()
}

const KEY: &str = "0198c5d2-7a10-7bb2-8e4f-0242ac120002@1";

fn ticket(start: Timestamp, number: i64) -> TicketStart {
    TicketStart {
        at: start + SignedDuration::from_secs(number * 157 % (365 * DAY)),
        status: ClockStatus::New,
        priority: "normal".to_owned(),
        calendar: KEY.to_owned(),
        outbound: false,
        calendars: BTreeMap::new(),
        policy: String::new(),
        team: None,
    }
}

fn office() -> Calendar {
    let hours = json!([["08:00", "11:30"], ["12:00", "16:00"]]);
    let spec = json!({
        "tz": "Europe/Helsinki",
        "hours": {"mon": hours, "tue": hours, "wed": hours, "thu": hours, "fri": hours},
        "holidays": ["*-01-01", "*-01-06", "*-05-01", "*-12-06", "*-12-25", "*-12-26", "2026-04-03", "2026-04-06",
            "2026-05-14", "2026-06-19", "2027-03-26", "2027-03-29"],
        "overrides": {"2026-12-24": [["08:00", "12:00"]], "2026-12-31": [["08:00", "13:00"]]},
    });
    let spec = serde_json::from_value(spec).expect("the calendar has the right form");
    Calendar::new(&spec).expect("the calendar is valid")
}

fn policy() -> Policy {
    let policy = json!({
        "targets": {"*": {"first_response": 14_400, "next_response": 14_400, "resolution": MONTH_S}},
        "remind_before_s": 3_600,
    });
    serde_json::from_value(policy).expect("the policy is valid")
}

/// Bytes of memory that this process has; 0 where the system does not say.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024
}

//! Many running clocks, and timers that are due one after the other: what it costs, in figures that are printed.
//!
//! A test run takes few of both. For the figures in docs/sla.md:
//!
//! ```text
//! SOLMU_SLA_CLOCKS=1000000 SOLMU_SLA_TIMERS=20000 cargo xtask test -p solmu-sla load_of --no-capture --cargo-profile release
//! ```

use std::{collections::BTreeMap, fs, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use solmu_db::ToSqlx as _;
use solmu_domain::{
    clock::{Clock as _, SystemClock},
    ids::TicketId,
    sla::{ClockStatus, Policy, Terms, TicketClocks, TicketStart},
};
use solmu_proto::{
    sla::v1 as proto,
    sla::v1::{
        Calendar, CreateCalendarRequest, CreatePolicyRequest, Policy as ProtoPolicy, Target,
    },
};
use solmu_runtime::access::Role;
use solmu_testkit::{Harness, wait_for};
use sqlx::types::Json;

use crate::support::{Node, breaches, time_of};

/// Timers that are due in each second.
const RATE: usize = 1_000;
/// Business seconds to the first response.
const TARGET_S: i32 = 3_600;

fn wanted(name: &str, default: usize) -> usize {
    #[expect(
        clippy::disallowed_methods,
        reason = "how a developer asks for more; no configuration of the program"
    )]
    let given = std::env::var(name).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn terms(node: &Node) -> (proto::Policy, proto::Calendar) {
    let mut admin = node.client(Role::Admin);
    let calendar = Some(Calendar {
        display_name: "Always".to_owned(),
        definition_json: r#"{"always_open": true}"#.to_owned(),
        ..Calendar::default()
    });
    let calendar = admin
        .create_calendar(CreateCalendarRequest {
            calendar,
            validate_only: false,
        })
        .await;
    let calendar = calendar.expect("it is valid").into_inner();
    let policy = Some(ProtoPolicy {
        display_name: "Load".to_owned(),
        calendar_id: calendar.id.clone(),
        targets: vec![Target {
            priority: "*".to_owned(),
            first_response_seconds: TARGET_S,
            ..Target::default()
        }],
        ..ProtoPolicy::default()
    });
    let policy = admin
        .create_policy(CreatePolicyRequest {
            policy,
            validate_only: false,
        })
        .await;
    (policy.expect("it is valid").into_inner(), calendar)
}

/// The start and the clocks of a ticket whose first response is due at `due`.
fn running(
    due: Timestamp,
    policy: &proto::Policy,
    calendar: &proto::Calendar,
) -> (TicketStart, TicketClocks) {
    let targets = serde_json::json!({"targets": {"*": {"first_response": TARGET_S}}});
    let terms: Policy = serde_json::from_value(targets).expect("it is valid");
    let always = serde_json::json!({"always_open": true});
    let always = serde_json::from_value(always).expect("it is valid");
    let always = solmu_domain::sla::Calendar::new(&always).expect("it is valid");
    let key = format!("{}@1", calendar.id);
    let start = TicketStart {
        at: due - SignedDuration::from_secs(i64::from(TARGET_S)),
        status: ClockStatus::New,
        priority: "normal".to_owned(),
        calendar: key.clone(),
        outbound: false,
        calendars: BTreeMap::new(),
        policy: format!("{}@1", policy.id),
        team: None,
    };
    let calendars = BTreeMap::from([(key, always)]);
    let policies = BTreeMap::from([(start.policy.clone(), Arc::new(terms.clone()))]);
    let terms = Terms {
        policy: &terms,
        calendars: &calendars,
        policies: &policies,
    };
    let clocks = TicketClocks::start(&start, &terms).expect("all is known");
    (start, clocks)
}

const INSERT: &str = "INSERT INTO sla.ticket_clock
    (ticket_id, ticket_version, policy_id, policy_version, policies, opening, state, announced, first_response_due,
     breached, wake_at, updated_at) ";

/// Clocks that run and are due in a year.
async fn fill(harness: &Harness, count: usize, policy: &proto::Policy, calendar: &proto::Calendar) {
    let due = SystemClock.now() + SignedDuration::from_hours(24 * 365);
    let (start, clocks) = running(due, policy, calendar);
    let sql = format!(
        "{INSERT} SELECT gen_random_uuid(), 1, $1::uuid, 1, ARRAY[$1 || '@1'], $2, $3, '[]', $4, false,
            $4 + number * interval '1 millisecond', $4 FROM generate_series(1, $5) AS number"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&policy.id)
        .bind(Json(&start))
        .bind(Json(&clocks))
        .bind(due.to_sqlx())
        .bind(i64::try_from(count).expect("a count"))
        .execute(harness.db.pool())
        .await
        .expect("a good query");
    // As a table is that was filled over weeks: not with the work of the filling still to be done.
    for statement in ["VACUUM (ANALYZE) sla.ticket_clock", "CHECKPOINT"] {
        let done = sqlx::query(statement).execute(harness.db.pool()).await;
        done.expect("a good statement");
    }
}

/// How many events were told; a figure that costs nothing to ask for while others work.
async fn last_told(harness: &Harness) -> i64 {
    sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM sla.told")
        .fetch_one(harness.db.pool())
        .await
        .expect("a good query")
}

/// Timers that are due from `first` on, so many in each second.
async fn arm(
    harness: &Harness,
    count: usize,
    first: Timestamp,
    policy: &proto::Policy,
    calendar: &proto::Calendar,
) {
    let (mut ids, mut starts, mut states, mut dues) = (vec![], vec![], vec![], vec![]);
    for number in 0..count {
        let micros = i64::try_from(number * 1_000_000 / RATE).expect("a short time");
        let due = first + SignedDuration::from_micros(micros);
        let (start, clocks) = running(due, policy, calendar);
        ids.push(TicketId::generate(&harness.clock, harness.rng.as_ref()).as_uuid());
        starts.push(Json(start));
        states.push(Json(clocks));
        dues.push(due.to_sqlx());
    }
    let sql = format!(
        "{INSERT} SELECT id, 1, $1::uuid, 1, ARRAY[$1 || '@1'], start, state, '[]', due, false,
            due + interval '1 microsecond', due
         FROM unnest($2::uuid[], $3::jsonb[], $4::jsonb[], $5::timestamptz[]) AS row (id, start, state, due)"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&policy.id)
        .bind(ids)
        .bind(starts)
        .bind(states)
        .bind(dues)
        .execute(harness.db.pool())
        .await
        .expect("a good query");
}

/// Megabytes of this process.
fn resident_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1_000
}

#[tokio::test]
async fn load_of_many_running_clocks() {
    let (clocks, timers) = (
        wanted("SOLMU_SLA_CLOCKS", 2_000),
        wanted("SOLMU_SLA_TIMERS", 200),
    );
    let harness = Harness::new().await;
    let maker = Node::start_with(&harness, "maker", Arc::new(SystemClock)).await;
    let (policy, calendar) = terms(&maker).await;
    maker.stop().await;
    fill(&harness, clocks, &policy, &calendar).await;
    // One that is overdue shows when a fresh process leads and fires.
    let overdue = SystemClock.now() - SignedDuration::from_secs(60);
    arm(&harness, 1, overdue, &policy, &calendar).await;
    let began = SystemClock.now();
    let node = Node::start_with(&harness, "a", Arc::new(SystemClock)).await;
    wait_for("the overdue one is told", || async {
        breaches(&harness).await.len() == 1
    })
    .await;
    let ready = SystemClock.now().duration_since(began);
    eprintln!(
        "{clocks} running clocks: first timer after {:.2} s, process {} MB",
        ready.as_secs_f64(),
        resident_mb()
    );
    // Timers are written while the leader looks at its table every few seconds: they begin after its next look, and
    // after all of them are there.
    let writing = i64::try_from(timers / 2_000).expect("a short time");
    let first = SystemClock.now() + SignedDuration::from_secs(8 + writing);
    // Each timer tells of its breach and of the ticket's due times.
    let before = last_told(&harness).await;
    arm(&harness, timers, first, &policy, &calendar).await;
    if SystemClock.now() > first {
        eprintln!("the timers were written too slowly: the first ones are late for that reason");
    }
    for quarter in 1..=4 {
        let wanted = before + i64::try_from(timers * 2 * quarter / 4).expect("a count");
        wait_for(&format!("event {wanted}"), || async {
            last_told(&harness).await >= wanted
        })
        .await;
    }
    wait_for("the last breaches", || async {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM sla.cycle WHERE breached")
            .fetch_one(harness.db.pool())
            .await
            .expect("a good query");
        usize::try_from(count).is_ok_and(|count| count > timers)
    })
    .await;
    let told = breaches(&harness).await;
    assert_eq!(told.len(), timers + 1, "each is told once");
    let ids: std::collections::BTreeSet<&str> =
        told.iter().map(|it| it.ticket_id.as_str()).collect();
    assert_eq!(ids.len(), timers + 1);
    let mut late: Vec<f64> = told
        .iter()
        .skip(1)
        .map(|it| {
            let gap = time_of(it.fire_time.as_ref()).duration_since(time_of(it.due_time.as_ref()));
            gap.as_secs_f64() * 1_000.0
        })
        .collect();
    late.sort_by(f64::total_cmp);
    let at = |share: usize| {
        late.get((late.len() * share / 100).min(late.len() - 1))
            .copied()
    };
    eprintln!(
        "{timers} timers at {RATE} a second: late p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms, most {:.0} ms; process {} MB",
        at(50).unwrap_or_default(),
        at(95).unwrap_or_default(),
        at(99).unwrap_or_default(),
        at(100).unwrap_or_default(),
        resident_mb()
    );
    node.stop().await;
}

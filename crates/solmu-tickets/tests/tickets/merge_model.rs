//! Random mails, chats, merges, unmerges, splits, reopenings, sleeps and restrictions, beside a simple model of what should
//! come of them. A sequence that goes wrong is made shorter until nothing can be left out.
//!
//! The same sequences each time; `SOLMU_SEED=7` takes others and `PROPTEST_CASES=2000` more of them. What was
//! mended stands below as sequences of their own.

mod compare;
mod model;
mod play;

use std::sync::atomic::{AtomicUsize, Ordering};

use play::Play;
use proptest::{
    prelude::*,
    test_runner::{Config as Cases, TestCaseError, TestError, TestRunner},
};
use solmu_domain::ticket::Status;
use solmu_proto::{
    ticket::v1::{CreateSubstatusRequest, Substatus},
    types::v1::TicketStatus,
};
use solmu_tickets::{Config, Matter};

use crate::api_world::Api;

/// Sequences of a run, unless `PROPTEST_CASES` says more.
const CASES: u32 = 20;
/// Steps of the longest one.
const STEPS: usize = 28;
/// How long a sequence that goes wrong is made shorter, in milliseconds.
const SHRINKING: u32 = 100_000;

/// Sub-statuses of the desk, one of each of these.
const SUBSTATUSES: [(&str, Status); 4] = [
    ("triage", Status::Open),
    ("parts", Status::WaitingOnThirdParty),
    ("upset", Status::CustomerReplied),
    ("refunded", Status::Resolved),
];
const PARTS: [TicketStatus; 4] = [
    TicketStatus::Open,
    TicketStatus::WaitingOnThirdParty,
    TicketStatus::CustomerReplied,
    TicketStatus::Resolved,
];

/// A step. Numbers count tickets, messages or people round and round, so that a step means something whatever came
/// before it.
#[derive(Debug, Clone, Copy)]
enum Op {
    /// A person writes a mail about something new.
    Begin(u8),
    /// An answer to a mail, by a person.
    Answer(u8, u8),
    /// A chat that names the number of a ticket, by a person.
    Chat(u8, u8),
    /// The next line of a chat.
    NextLine(u8),
    Note(u8),
    Status(u8, Status),
    Substatus(u8, u8),
    /// Until a time, or until the customer writes.
    Snooze(u8, bool),
    Wake(u8),
    /// One or two tickets into another one.
    Merge(u8, Option<u8>, u8),
    Unmerge(u8),
    Split(u8),
    Restrict(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let any = 0_u8..24;
    let person = 0_u8..2;
    let status = prop::sample::select(vec![
        Status::Open,
        Status::Resolved,
        Status::WaitingOnCustomer,
        Status::CustomerReplied,
        Status::WaitingOnThirdParty,
    ]);
    let source = prop::option::weighted(0.25, any.clone());
    prop_oneof![
        1 => person.clone().prop_map(Op::Begin),
        4 => (any.clone(), person.clone()).prop_map(|(it, who)| Op::Answer(it, who)),
        3 => (any.clone(), person).prop_map(|(it, who)| Op::Chat(it, who)),
        2 => any.clone().prop_map(Op::NextLine),
        1 => any.clone().prop_map(Op::Note),
        5 => (any.clone(), status).prop_map(|(it, to)| Op::Status(it, to)),
        2 => (any.clone(), 0_u8..5).prop_map(|(it, to)| Op::Substatus(it, to)),
        2 => (any.clone(), prop::bool::ANY).prop_map(|(it, timed)| Op::Snooze(it, timed)),
        1 => any.clone().prop_map(Op::Wake),
        7 => (any.clone(), source, any.clone()).prop_map(|(one, other, to)| Op::Merge(one, other, to)),
        7 => any.clone().prop_map(Op::Unmerge),
        4 => any.clone().prop_map(Op::Split),
        2 => any.prop_map(Op::Restrict),
    ]
}

/// `cases` sequences, unless somebody wants more of them.
pub(crate) fn config(cases: u32) -> Cases {
    #[expect(
        clippy::disallowed_methods,
        reason = "how whoever looks longer says how long"
    )]
    let asked = std::env::var("PROPTEST_CASES");
    Cases {
        cases: asked.ok().and_then(|it| it.parse().ok()).unwrap_or(cases),
        failure_persistence: None,
        max_shrink_time: SHRINKING,
        ..Cases::default()
    }
}

/// Who begins, and what happens then.
fn sequence() -> impl Strategy<Value = (Vec<u8>, Vec<Op>)> {
    let first = prop::collection::vec(0_u8..2, 1..4);
    (first, prop::collection::vec(op(), 1..STEPS))
}

/// Whatever happens in a sequence happens to tickets of its own.
async fn world() -> Api {
    // Nobody has so many open tickets.
    let all_tickets = Config {
        matter: Matter {
            max_tickets: 10_000,
            ..Matter::default()
        },
        ..Config::default()
    };
    let api = Api::configured(all_tickets).await;
    for (name, status) in Play::substatus_names() {
        let request = CreateSubstatusRequest {
            substatus: Some(Substatus {
                name: name.to_owned(),
                label: "For people".to_owned(),
                status: status.into(),
                ..Substatus::default()
            }),
            ..CreateSubstatusRequest::default()
        };
        let call = api.admin(request);
        api.substatuses().create_substatus(call).await.unwrap();
    }
    api
}

async fn play(api: &Api, first: &[u8], ops: &[Op]) -> Result<(), String> {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let mut play = Play::new(api, RUNS.fetch_add(1, Ordering::Relaxed));
    for person in first {
        play.step(&Op::Begin(*person)).await?;
    }
    for op in ops {
        let step = play.step(op).await;
        step.map_err(|what| play.failed(&what))?;
        let step = play.compare().await;
        step.map_err(|what| play.failed(&what))?;
    }
    let logs = play.compare_logs().await;
    logs.map_err(|what| play.failed(&what))
}

/// Sequences for which the code was mended: the fourth was seen to go wrong, the others were found by writing the model.
const FOUND: [(&str, &[u8], &[Op]); 5] = [
    (
        "a status that was left and taken again is a decision",
        &[0, 0],
        &[
            Op::Status(0, Status::Resolved),
            Op::Merge(1, None, 0),
            Op::Status(0, Status::Open),
            Op::Status(0, Status::CustomerReplied),
            Op::Unmerge(1),
        ],
    ),
    (
        "a decision between two merges, of which the first is taken back first",
        &[0, 0, 0],
        &[
            Op::Status(0, Status::Resolved),
            Op::Merge(1, None, 0),
            Op::Status(0, Status::Open),
            Op::Merge(2, None, 0),
            Op::Unmerge(1),
            Op::Unmerge(2),
        ],
    ),
    (
        "a decision, and then a message that is split out again",
        &[0, 0],
        &[
            Op::Status(0, Status::Resolved),
            Op::Merge(1, None, 0),
            Op::Status(0, Status::Open),
            Op::Answer(0, 0),
            Op::Split(2),
            Op::Unmerge(1),
        ],
    ),
    (
        "a message that was split out of a merge and came again with its own ticket",
        &[0, 0],
        &[
            Op::Answer(1, 0),
            Op::Merge(1, None, 0),
            Op::Split(2),
            Op::Merge(2, None, 0),
            Op::Unmerge(1),
            Op::Unmerge(2),
        ],
    ),
    (
        "somebody who takes part because of two merges",
        &[0, 1, 1],
        &[
            Op::Merge(1, None, 0),
            Op::Merge(2, None, 0),
            Op::Unmerge(1),
            Op::Unmerge(2),
        ],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_wrong_once_is_as_the_model_says() {
    let api = world().await;
    for (what, first, ops) in FOUND {
        if let Err(why) = play(&api, first, ops).await {
            panic!("{what}: {why}");
        }
    }
}

#[test]
fn any_sequence_is_what_the_model_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let api = runtime.block_on(world());
    let outcome = TestRunner::new(config(CASES)).run(&sequence(), |(first, ops)| {
        let done = runtime.block_on(play(&api, &first, &ops));
        done.map_err(TestCaseError::fail)
    });
    runtime.block_on(async { drop(api) });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, shortest)) => panic!("{shortest:?}: {why}"),
        Err(other) => panic!("{other}"),
    }
}

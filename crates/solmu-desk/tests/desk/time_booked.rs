//! Bills that go on from each other: each entry is in one of them, whenever it began and however its booking was committed.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use jiff::SignedDuration;
use serde_json::Value;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::ticket::v1::{
    CreateMacroRequest, CreateTimeEntryRequest, ExportTimeRequest, GetTimerRequest, Macro,
    MacroStep, StartTimerRequest, StopTimerRequest, TimeEntry, TimeFormat, UpdateTimeEntryRequest,
    macro_step,
};
use solmu_testkit::wait_for;
use tonic::Code;

use crate::{
    support::{Api, Ticket, fields, mail, opened, reason},
    time::by_hand,
};

/// An export of what was booked since another one: ids and seconds, and where the next one begins.
async fn since(api: &Api, token: &str) -> (Vec<(String, i64)>, String) {
    let request = ExportTimeRequest {
        format: TimeFormat::JsonLines.into(),
        since_token: token.to_owned(),
        ..ExportTimeRequest::default()
    };
    let stream = api.time().export_time(api.admin(request)).await;
    let parts = stream.unwrap().into_inner().collect::<Vec<_>>().await;
    let (mut entries, mut next) = (Vec::new(), String::new());
    for part in parts {
        assert!(next.is_empty(), "it is not the last part");
        let part = part.unwrap();
        for line in part.text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let id = line["entry_id"].as_str().unwrap().to_owned();
            entries.push((id, line["seconds"].as_i64().unwrap()));
        }
        next = part.next_token;
    }
    assert!(!next.is_empty(), "the last part says where to go on");
    (entries, next)
}

async fn start(api: &Api, ticket: &Ticket) -> TimeEntry {
    let request = StartTimerRequest {
        ticket_id: ticket.id.to_string(),
        ..StartTimerRequest::default()
    };
    let started = api.time().start_timer(api.agent(request)).await;
    started.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_began_before_a_bill_and_ended_after_it_is_in_the_next_one() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let (nothing, first) = since(&api, "").await;
    assert_eq!(nothing, [], "nothing was booked");
    let timer = start(&api, &ticket).await;
    assert_eq!(timer.book_time, None);
    let by_hand = by_hand(&ticket, 60, "");
    let by_hand = api.time().create_time_entry(api.agent(by_hand)).await;
    let by_hand = by_hand.unwrap().into_inner();
    assert_eq!(by_hand.book_time, by_hand.create_time);
    let (bill, second) = since(&api, &first).await;
    assert_eq!(bill, [(by_hand.id.clone(), 60)]);
    // A month of the calendar has it by when it began, a bill by when it was booked.
    let hour = SignedDuration::from_hours(1);
    let begun = api.world.harness.clock.now();
    api.world.harness.clock.advance(hour);
    let stopped = api
        .time()
        .stop_timer(api.agent(StopTimerRequest::default()))
        .await;
    let stopped = stopped.unwrap().into_inner();
    assert_eq!(stopped.book_time, Some(to_proto_time(begun + hour)));
    let (bill, third) = since(&api, &second).await;
    assert_eq!(bill, [(timer.id, 3_600)]);
    let (rest, fourth) = since(&api, &third).await;
    assert_eq!((rest, &fourth), (Vec::new(), &third));
    // From the same place again: the same.
    assert_eq!(since(&api, &second).await, (bill, third));

    // A token is of the other fields, but not of the format.
    let request = |from: bool| ExportTimeRequest {
        from_time: from.then(|| to_proto_time(begun)),
        since_token: second.clone(),
        ..ExportTimeRequest::default()
    };
    let as_csv = api.time().export_time(api.admin(request(false))).await;
    let mut as_csv = as_csv.unwrap().into_inner();
    let part = as_csv.message().await.unwrap().unwrap();
    assert_eq!((part.entries, part.text.lines().count()), (1, 2));
    let period = ExportTimeRequest {
        until_time: Some(to_proto_time(begun + hour)),
        ..request(true)
    };
    let nonsense = ExportTimeRequest {
        since_token: "x".to_owned(),
        ..request(false)
    };
    for bad in [request(true), period, nonsense] {
        let refused = api.time().export_time(api.admin(bad)).await.map(drop);
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(fields(&refused), ["since_token"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bill_waits_for_bookings_under_way() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let timer = start(&api, &ticket).await;
    let mut under_way = api.world.pool().begin().await.unwrap();
    sqlx::query("UPDATE tickets.time_entry SET seconds = 60 WHERE id = $1")
        .bind(uuid::Uuid::parse_str(&timer.id).unwrap())
        .execute(&mut *under_way)
        .await
        .unwrap();
    let commits = async {
        wait_for("the bill waits for the booking", || async {
            let waiting =
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            api.world.count(waiting).await == 1
        })
        .await;
        under_way.commit().await.unwrap();
    };
    let ((bill, next), ()) = tokio::join!(since(&api, ""), commits);
    assert_eq!(bill, [(timer.id, 60)]);
    assert_eq!(since(&api, &next).await.0, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bills_made_while_many_book_have_each_entry_once() {
    const TICKETS: usize = 4;
    const ENTRIES: usize = 15;
    let api = Api::new().await;
    let mut tickets = Vec::new();
    for n in 0..TICKETS {
        let mail = mail(&format!("{n}@c.example"), &format!("{n}@d.example"));
        tickets.push(api.world.file(&mail).await.unwrap());
    }
    let books = async |ticket: &Ticket| {
        let mut ids = Vec::new();
        for _ in 0..ENTRIES {
            let request: CreateTimeEntryRequest = by_hand(ticket, 60, "");
            let made = api.time().create_time_entry(api.agent(request)).await;
            ids.push(made.unwrap().into_inner().id);
        }
        ids
    };
    let timers = async {
        let mut ids = Vec::new();
        for n in 0..ENTRIES {
            // Now and then by switching, which books on one ticket and starts on another.
            let request = StartTimerRequest {
                ticket_id: tickets[n % TICKETS].id.to_string(),
                stop_running: true,
                ..StartTimerRequest::default()
            };
            let started = api.time().start_timer(api.admin(request)).await;
            ids.push(started.unwrap().into_inner().id);
        }
        let stop = StopTimerRequest::default();
        api.time().stop_timer(api.admin(stop)).await.unwrap();
        let none = api.time().get_timer(api.admin(GetTimerRequest {})).await;
        assert_eq!(none.unwrap_err().code(), Code::NotFound);
        ids
    };
    let working = std::cell::Cell::new(true);
    let work = async {
        let (hands, timed) = tokio::join!(
            futures::future::join_all(tickets.iter().map(&books)),
            timers
        );
        working.set(false);
        hands.into_iter().flatten().chain(timed).collect::<Vec<_>>()
    };
    let bills = async {
        let (mut billed, mut token) = (Vec::new(), String::new());
        loop {
            let last = !working.get();
            let (entries, next) = since(&api, &token).await;
            billed.extend(entries.into_iter().map(|(id, _)| id));
            token = next;
            if last {
                return billed;
            }
        }
    };
    let (booked, billed) = tokio::join!(work, bills);
    let once: BTreeSet<&String> = billed.iter().collect();
    assert_eq!(once.len(), billed.len(), "an entry is in two bills");
    assert!(
        once == booked.iter().collect(),
        "{} of {} entries are billed",
        once.len(),
        booked.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_of_one_request() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let add = async |seconds: i64| {
        let request = by_hand(&ticket, seconds, "once");
        api.time().create_time_entry(api.agent(request)).await
    };
    let made = add(60).await.unwrap().into_inner();
    assert_eq!(add(60).await.unwrap().into_inner(), made);
    let refused = add(61).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    // As a timer it is something else, too.
    let timer = StartTimerRequest {
        ticket_id: ticket.id.to_string(),
        request_id: "once".to_owned(),
        ..StartTimerRequest::default()
    };
    let refused = api.time().start_timer(api.agent(timer)).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    // What was changed since is answered as it is: nobody can tell any more what was asked.
    let change = UpdateTimeEntryRequest {
        entry: Some(TimeEntry {
            id: made.id.clone(),
            seconds: 90,
            ..TimeEntry::default()
        }),
        ..UpdateTimeEntryRequest::default()
    };
    let changed = api.time().update_time_entry(api.agent(change)).await;
    assert_eq!(
        add(60).await.unwrap().into_inner(),
        changed.unwrap().into_inner()
    );

    let create = async |name: &str| {
        let step = MacroStep {
            step: Some(macro_step::Step::SetCategory("sales".to_owned())),
        };
        let request = CreateMacroRequest {
            r#macro: Some(Macro {
                name: name.to_owned(),
                steps: vec![step],
                ..Macro::default()
            }),
            request_id: "once".to_owned(),
        };
        api.desk().create_macro(api.admin(request)).await
    };
    let made = create("Sales").await.unwrap().into_inner();
    assert_eq!(create("Sales").await.unwrap().into_inner(), made);
    let refused = create("Sails").await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
}

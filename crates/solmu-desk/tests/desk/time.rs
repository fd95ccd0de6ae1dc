//! Time by hand and by timer, over the wire.

use jiff::SignedDuration;
use prost_types::FieldMask;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::{
    access::v1::Role,
    ticket::v1::{
        CreateTimeEntryRequest, DeleteTimeEntryRequest, DiscardTimerRequest, GetTimeTotalsRequest,
        GetTimerRequest, ListTimeEntriesRequest, MergeTicketsRequest, StartTimerRequest,
        StopTimerRequest, TimeEntry, TimeTotals, UpdateTimeEntryRequest,
    },
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::support::{AGENT, Api, Ticket, fields, mail, opened, reason, with};

pub(crate) fn by_hand(ticket: &Ticket, seconds: i64, request_id: &str) -> CreateTimeEntryRequest {
    CreateTimeEntryRequest {
        entry: Some(TimeEntry {
            ticket_id: ticket.id.to_string(),
            seconds,
            billable: true,
            ..TimeEntry::default()
        }),
        request_id: request_id.to_owned(),
    }
}

fn start(ticket: &Ticket, request_id: &str) -> StartTimerRequest {
    StartTimerRequest {
        ticket_id: format!("#{}", ticket.number),
        request_id: request_id.to_owned(),
        ..StartTimerRequest::default()
    }
}

async fn totals(api: &Api, ticket: &Ticket) -> TimeTotals {
    let request = GetTimeTotalsRequest {
        ticket_id: ticket.id.to_string(),
        with_sub_tickets: true,
    };
    let totals = api.time().get_time_totals(api.service(request)).await;
    totals.unwrap().into_inner()
}

/// What the log says of time, as from and to without the ids.
async fn logged(api: &Api, ticket: &Ticket) -> Vec<(String, String)> {
    let told = api.logged(ticket.id, "time_entries").await;
    let words = |text: &str| text.split_once(' ').map_or("", |(_, it)| it).to_owned();
    let told = told
        .into_iter()
        .map(|(it, _)| (words(&it.from), words(&it.to)));
    told.collect()
}

fn pair(from: &str, to: &str) -> (String, String) {
    (from.to_owned(), to.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_by_hand_is_kept_changed_and_removed_with_a_log() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let other = api
        .token(Role::Agent, &Uuid::from_u128(78).to_string())
        .await;
    let request = by_hand(&ticket, 1_800, "once");
    let made = api
        .time()
        .create_time_entry(api.agent(request.clone()))
        .await;
    let again = api.time().create_time_entry(api.agent(request)).await;
    let made = made.unwrap().into_inner();
    assert_eq!(made, again.unwrap().into_inner());
    assert_eq!(
        (made.agent_id.as_str(), made.ticket_number, made.seconds),
        (AGENT.to_string().as_str(), ticket.number, 1_800)
    );
    let now = api.world.harness.clock.now();
    let began = to_proto_time(now - SignedDuration::from_secs(1_800));
    assert_eq!(made.start_time, Some(began), "it ended now");

    let change = |entry: TimeEntry, paths: &[&str]| UpdateTimeEntryRequest {
        entry: Some(entry),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(|&it| it.to_owned()).collect(),
        }),
    };
    let longer = TimeEntry {
        seconds: 2_400,
        hourly_rate: "85.50".to_owned(),
        currency: "EUR".to_owned(),
        ..made.clone()
    };
    let wanted = change(longer, &["seconds", "hourly_rate", "currency", "billable"]);
    let theirs = with(wanted.clone(), &other);
    let refused = api.time().update_time_entry(theirs).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_YOURS");
    let changed = api
        .time()
        .update_time_entry(api.agent(wanted.clone()))
        .await;
    let changed = changed.unwrap().into_inner();
    assert_eq!(
        (changed.seconds, changed.hourly_rate.as_str()),
        (2_400, "85.5")
    );
    let stale = api.time().update_time_entry(api.agent(wanted)).await;
    assert_eq!(reason(&stale.unwrap_err()), "ETAG_MISMATCH");
    // The same again changes nothing and tells nothing.
    let same = change(changed.clone(), &["note"]);
    let same = api.time().update_time_entry(api.agent(same)).await.unwrap();
    assert_eq!(same.into_inner().etag, changed.etag);
    assert_eq!(totals(&api, &ticket).await.billable_seconds, 2_400);

    let delete = DeleteTimeEntryRequest {
        id: changed.id,
        etag: changed.etag,
    };
    let theirs = with(delete.clone(), &other);
    let refused = api.time().delete_time_entry(theirs).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    api.time()
        .delete_time_entry(api.admin(delete.clone()))
        .await
        .unwrap();
    let gone = api.time().delete_time_entry(api.admin(delete)).await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
    assert_eq!(totals(&api, &ticket).await, TimeTotals::default());
    assert_eq!(
        logged(&api, &ticket).await,
        [
            pair("", "1800 s billable"),
            pair("1800 s billable", "2400 s billable"),
            pair("2400 s billable", "")
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let call = async |entry: TimeEntry| -> Status {
        let request = CreateTimeEntryRequest {
            entry: Some(TimeEntry {
                ticket_id: ticket.id.to_string(),
                ..entry
            }),
            request_id: String::new(),
        };
        let made = api.time().create_time_entry(api.agent(request)).await;
        made.unwrap_err()
    };
    let hour = TimeEntry {
        seconds: 3_600,
        ..TimeEntry::default()
    };
    for seconds in [0, -1, 360_001] {
        let bad = call(TimeEntry {
            seconds,
            ..hour.clone()
        });
        assert_eq!(fields(&bad.await), ["seconds"]);
    }
    let soon = api.world.harness.clock.now() + SignedDuration::from_secs(60);
    let bad = call(TimeEntry {
        start_time: Some(to_proto_time(soon)),
        ..hour.clone()
    });
    assert_eq!(fields(&bad.await), ["start_time"]);
    let bad = call(TimeEntry {
        hourly_rate: "much".to_owned(),
        ..hour.clone()
    });
    assert_eq!(fields(&bad.await), ["hourly_rate", "currency"]);
    let bad = call(TimeEntry {
        agent_id: Uuid::from_u128(78).to_string(),
        ..hour.clone()
    });
    assert_eq!(reason(&bad.await), "NOT_YOURS");
    let unknown = CreateTimeEntryRequest {
        entry: Some(TimeEntry {
            ticket_id: Uuid::from_u128(9).to_string(),
            ..hour
        }),
        request_id: String::new(),
    };
    let unknown = api.time().create_time_entry(api.agent(unknown)).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    let service = by_hand(&ticket, 60, "");
    let refused = api.time().create_time_entry(api.service(service)).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_timer_runs_and_becomes_an_entry() {
    let api = Api::new().await;
    let first = opened(&api).await;
    let second = mail("two@c.example", "pia@c.example");
    let second = api.world.file(&second).await.unwrap();
    let mut time = api.time();
    let none = time.get_timer(api.agent(GetTimerRequest {})).await;
    assert_eq!(none.unwrap_err().code(), Code::NotFound);
    let stop = |request_id: &str| StopTimerRequest {
        request_id: request_id.to_owned(),
        ..StopTimerRequest::default()
    };
    let idle = time.stop_timer(api.agent(stop(""))).await.unwrap_err();
    assert_eq!(reason(&idle), "NO_TIMER");

    let begun = time
        .start_timer(api.agent(start(&first, "a")))
        .await
        .unwrap();
    let again = time
        .start_timer(api.agent(start(&first, "a")))
        .await
        .unwrap();
    assert_eq!(begun.into_inner(), again.into_inner());
    let busy = time.start_timer(api.agent(start(&second, "b"))).await;
    assert_eq!(reason(&busy.unwrap_err()), "TIMER_RUNNING");
    assert_eq!(totals(&api, &first).await.running, 1);
    // Somebody else's is another one.
    time.start_timer(api.admin(start(&first, "c")))
        .await
        .unwrap();
    time.discard_timer(api.admin(DiscardTimerRequest {}))
        .await
        .unwrap();

    api.world
        .harness
        .clock
        .advance(SignedDuration::from_secs(90));
    let switched = StartTimerRequest {
        stop_running: true,
        ..start(&second, "d")
    };
    time.start_timer(api.agent(switched)).await.unwrap();
    assert_eq!(totals(&api, &first).await.seconds, 90);
    assert_eq!(logged(&api, &first).await, [pair("", "90 s")]);

    // Forgotten for a week: nobody guesses how long it was.
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_hours(7 * 24));
    let long = time.stop_timer(api.agent(stop("e"))).await.unwrap_err();
    assert_eq!(reason(&long), "TIMER_TOO_LONG");
    let said = StopTimerRequest {
        seconds: 600,
        note: "on the phone".to_owned(),
        ..stop("e")
    };
    let stopped = time.stop_timer(api.agent(said.clone())).await.unwrap();
    let again = time.stop_timer(api.agent(said)).await.unwrap().into_inner();
    assert_eq!((again.seconds, again.note.as_str()), (600, "on the phone"));
    assert_eq!(stopped.into_inner(), again);
    assert_eq!(totals(&api, &second).await.running, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_start_at_once_one_timer_runs() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let calls = (0..8).map(|n| {
        // Half of them are the same call, made again.
        let request_id = if n % 2 == 0 {
            "same".to_owned()
        } else {
            n.to_string()
        };
        let mut time = api.time();
        let request = api.agent(start(&ticket, &request_id));
        async move { time.start_timer(request).await }
    });
    let answers = futures::future::join_all(calls).await;
    for answer in &answers {
        if let Err(status) = answer {
            assert_eq!(reason(status), "TIMER_RUNNING");
        }
    }
    let running = "SELECT count(*) FROM tickets.time_entry WHERE seconds IS NULL";
    assert_eq!(api.world.count(running).await, 1);
    assert!(answers.iter().any(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_paged_and_totals_follow_merges() {
    let api = Api::new().await;
    let first = opened(&api).await;
    let second = mail("two@c.example", "pia@c.example");
    let second = api.world.file(&second).await.unwrap();
    for (n, ticket) in [(1, &first), (2, &second), (3, &second)] {
        api.world
            .harness
            .clock
            .advance(SignedDuration::from_secs(1_000));
        let request = by_hand(ticket, n * 60, "");
        api.time()
            .create_time_entry(api.agent(request))
            .await
            .unwrap();
    }
    let merge = MergeTicketsRequest {
        target_id: first.id.to_string(),
        source_ids: vec![second.id.to_string()],
        ..MergeTicketsRequest::default()
    };
    api.tickets().merge_tickets(api.admin(merge)).await.unwrap();
    let all = totals(&api, &first).await;
    assert_eq!((all.seconds, all.entries, all.agents.len()), (360, 3, 1));

    let mut seconds = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListTimeEntriesRequest {
            ticket_id: first.id.to_string(),
            agent_id: AGENT.to_string(),
            page_size: 2,
            page_token,
        };
        let page = api.time().list_time_entries(api.service(request)).await;
        let page = page.unwrap().into_inner();
        seconds.extend(page.entries.iter().map(|it| it.seconds));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seconds, [180, 120, 60], "the newest first");
    let whose = api
        .time()
        .list_time_entries(api.service(ListTimeEntriesRequest::default()))
        .await;
    assert_eq!(whose.unwrap_err().code(), Code::InvalidArgument);
}

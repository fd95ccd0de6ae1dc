//! What timers do to a ticket (a reminder, waking, closing) is a trace of its own that leads back to the mail which opened
//! the ticket, and on to what others do about it.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::trace::v1::Span;
use solmu_client::proto::{
    ticket::v1::{CreateTaskRequest, SnoozeTicketRequest, Task, Ticket},
    types::v1::TicketStatus,
};
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::{
    support::{Api, Home, Letter, Ports, Settings, Smtp, Solmu, wait},
    trace::{Collector, attribute},
};

/// What each of three tickets waits for, and the name of the event that tells of it; a consumer of ours reads all but the
/// first.
const KINDS: [(&str, &str); 3] = [
    ("reminder", ""),
    ("wake", "process solmu.ticket.changed.v1"),
    ("close", "process solmu.ticket.changed.v1"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_of_tickets_lead_back_to_their_mails() {
    let (home, ports, collector) = (Home::new(), Ports::free(), Collector::start().await);
    Settings {
        otlp: Some(collector.address),
        ..Settings::default()
    }
    .write(&home);
    let (solmu, _) = Solmu::start(&home, "solmu", ports, &[]).await;
    let mut smtp = Smtp::open(ports.smtp).await.unwrap();
    let api = Api::agent(&home, &solmu);
    let mut tickets = Vec::new();
    for (kind, _) in KINDS {
        let sender = format!("patient.{kind}@customer.example");
        let letter = Letter::new(&sender, &format!("About the {kind}"), "Hello?");
        assert_eq!(smtp.send(&letter).await.unwrap().code, 250);
        tickets.push(api.routed(&format!("About the {kind}")).await);
    }
    let (postgres, _) = home.engine_urls();
    let pool = PgPoolOptions::new().max_connections(1);
    let pool = pool.connect(&postgres).await.unwrap();
    set_timers(&api, &pool, &tickets).await;

    let timers = wait("every timer has fired and was heard of", async || {
        let spans = collector.spans();
        let timers: BTreeMap<String, Span> = timers(&spans);
        let heard = |(kind, next): &(&str, &str)| {
            let trace = timers.get(*kind).map(|span| &span.trace_id)?;
            let mut heard = spans.iter().filter(|span| span.trace_id == *trace);
            (next.is_empty() || heard.any(|span| span.name == *next)).then_some(())
        };
        KINDS.iter().map(heard).collect::<Option<()>>()?;
        Some(timers)
    })
    .await;
    // What is still buffered is handed over at the end.
    pool.close().await;
    solmu.stop().await;
    let spans = collector.spans();
    let mails: BTreeSet<&[u8]> = spans
        .iter()
        .filter(|span| span.name == "email.receive")
        .map(|span| span.trace_id.as_slice())
        .collect();
    let mut led = BTreeSet::new();
    for ((kind, _), ticket) in KINDS.iter().zip(&tickets) {
        let timer = &timers[*kind];
        assert_eq!(attribute(timer, "ticket.id"), Some(ticket.id.clone()));
        assert!(timer.parent_span_id.is_empty(), "{kind} is a root");
        assert!(!mails.contains(timer.trace_id.as_slice()), "{kind}");
        assert_eq!(timer.links.len(), 1, "{kind} is linked with one trace");
        let first = timer.links[0].trace_id.as_slice();
        assert!(mails.contains(first), "{kind} leads back to a mail");
        led.insert(first.to_vec());
    }
    assert_eq!(led.len(), KINDS.len(), "each to its own");
    let written = format!("{spans:?}");
    assert!(
        !written.contains("customer.example"),
        "a span says who wrote"
    );
}

/// Gives each ticket what falls due at once: the time stands in the database, and nobody has to wait for it.
async fn set_timers(api: &Api, pool: &PgPool, tickets: &[Ticket]) {
    let task = Task {
        ticket_id: tickets[0].id.clone(),
        title: "Call them".to_owned(),
        ..Task::default()
    };
    let task = CreateTaskRequest {
        task: Some(task),
        ..CreateTaskRequest::default()
    };
    api.client.work().create_task(task).await.unwrap();
    let snooze = SnoozeTicketRequest {
        ticket_id: tickets[1].id.clone(),
        ..SnoozeTicketRequest::default()
    };
    api.client.work().snooze_ticket(snooze).await.unwrap();
    api.set_status(&tickets[2].id, TicketStatus::Resolved).await;
    for statement in [
        "UPDATE tickets.task SET remind_at = clock_timestamp()",
        "UPDATE tickets.ticket SET wake_at = clock_timestamp() WHERE snoozed",
        "UPDATE tickets.ticket SET close_at = clock_timestamp() WHERE status = 'resolved'",
    ] {
        let done = sqlx::query(statement).execute(pool).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{statement}");
    }
}

/// The spans of timers, by kind.
fn timers(spans: &[Span]) -> BTreeMap<String, Span> {
    let timers = spans.iter().filter(|span| span.name == "ticket.timer");
    timers
        .filter_map(|span| Some((attribute(span, "kind")?, span.clone())))
        .collect()
}

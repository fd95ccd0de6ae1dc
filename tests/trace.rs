//! One trace from the mail server's connection to the assignment, batches linked with what they hold, and nothing personal
//! in any of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::support::{Api, Home, Letter, Ports, Settings, Smtp, Solmu, wait};

const SENDER: &str = "secretive.sender@customer.example";
const SUBJECT: &str = "Confidential subject line";
const BODY: &str = "Nobody but us may read this sentence";
/// How often mails are sent side by side at most, over how many connections, and how many over each.
const ROUNDS: usize = 20;
const SENDERS: usize = 4;
const MAILS: usize = 3;

/// A collector that keeps what it is sent. Ends when it is dropped.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    spans: Spans,
    _tasks: JoinSet<()>,
}

type Spans = Arc<Mutex<Vec<Span>>>;

struct Keeper(Spans);

#[tonic::async_trait]
impl TraceService for Keeper {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources
            .into_iter()
            .flat_map(|resource| resource.scope_spans);
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Spans::default();
        let service = TraceServiceServer::new(Keeper(Arc::clone(&spans)));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            drop(
                Server::builder()
                    .add_service(service)
                    .serve_with_incoming(incoming)
                    .await,
            );
        });
        Self {
            address,
            spans,
            _tasks: tasks,
        }
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The steps from the mail to its owner: the span's name, and the consumer where there are several.
const STEPS: [(&str, &str); 4] = [
    ("email.receive", ""),
    ("process solmu.inbound.message_received.v1", "tickets"),
    ("process solmu.ticket.opened.v1", "router"),
    ("process solmu.routing.assignment_decided.v1", "tickets"),
];

fn is_step(span: &Span, (name, consumer): (&str, &str)) -> bool {
    let group = attribute(span, "messaging.consumer.group.name").unwrap_or_default();
    span.name == name && group.starts_with(consumer)
}

pub(crate) fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|pair| pair.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

/// How many events a span of a batch says that it holds; none for other spans.
fn events_of(span: &Span) -> Option<usize> {
    attribute(span, "messaging.batch.message_count").map(|count| count.parse().unwrap())
}

/// The batches that a consumer handled.
fn batches(spans: &[Span]) -> impl Iterator<Item = &Span> {
    spans.iter().filter(|span| {
        events_of(span).is_some()
            && attribute(span, "messaging.operation.type").as_deref() == Some("process")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_mail_is_one_trace_without_anything_personal() {
    let (home, ports, collector) = (Home::new(), Ports::free(), Collector::start().await);
    Settings {
        otlp: Some(collector.address),
        ..Settings::default()
    }
    .write(&home);
    let (solmu, _) = Solmu::start(&home, "solmu", ports, &[]).await;
    let mut smtp = Smtp::open(ports.smtp).await.unwrap();
    assert_eq!(
        smtp.send(&Letter::new(SENDER, SUBJECT, BODY))
            .await
            .unwrap()
            .code,
        250
    );
    let api = Api::agent(&home, &solmu);
    let ticket = api.routed(SUBJECT).await;

    wait("every step is exported", async || {
        let spans = collector.spans();
        STEPS
            .iter()
            .all(|step| spans.iter().any(|span| is_step(span, *step)))
            .then_some(())
    })
    .await;
    mails_at_once(ports.smtp, &collector).await;
    // What is still buffered is handed over at the end.
    solmu.stop().await;
    let spans = collector.spans();
    let begin = spans
        .iter()
        .filter(|span| span.name == "email.receive")
        .min_by_key(|span| span.start_time_unix_nano)
        .unwrap();
    assert!(
        begin.parent_span_id.is_empty(),
        "the trace begins here, whatever the sender says"
    );
    let by_id: BTreeMap<&[u8], &Span> = spans
        .iter()
        .map(|span| (span.span_id.as_slice(), span))
        .collect();
    for step in STEPS {
        let of_step: Vec<&Span> = spans
            .iter()
            .filter(|span| is_step(span, step) && span.trace_id == begin.trace_id)
            .collect();
        assert_eq!(of_step.len(), 1, "{step:?} happens once in the trace");
        assert!(
            leads_to(of_step[0], begin, &by_id),
            "{step:?} follows from the mail"
        );
    }
    let traces: BTreeSet<&[u8]> = spans
        .iter()
        .filter(|span| span.name == "email.receive")
        .map(|span| span.trace_id.as_slice())
        .collect();
    let others: BTreeSet<&str> = spans
        .iter()
        .filter(|span| span.name.starts_with("process solmu.ticket."))
        .filter(|span| !traces.contains(span.trace_id.as_slice()))
        .map(|span| span.name.as_str())
        .collect();
    assert!(
        others.is_empty(),
        "all that happened to a ticket is in the trace of its mail: {others:?}"
    );
    batches_are_linked(&spans, &by_id);
    sending_is_traced(&spans, begin);

    let written = format!("{spans:?}");
    for private in [SENDER, "secretive", SUBJECT, BODY, "Aino Virtanen"] {
        assert!(!written.contains(private), "a span says '{private}'");
    }
    let log = solmu_log(&home);
    for private in [SENDER, "secretive", SUBJECT, BODY, "Aino Virtanen"] {
        assert!(!log.contains(private), "the log says '{private}'");
    }
    assert!(!ticket.assignee_id.is_empty());
}

/// Sends mails side by side until some were handled in one batch. Which are is nobody's to say; that some are is a matter
/// of trying.
async fn mails_at_once(smtp: SocketAddr, collector: &Collector) {
    for round in 1..=ROUNDS {
        let senders = (0..SENDERS).map(async |sender| {
            let mut connection = Smtp::open(smtp).await.unwrap();
            for mail in 0..MAILS {
                let from = format!("s{round}-{sender}-{mail}@customer.example");
                let letter = Letter::new(&from, SUBJECT, BODY);
                assert_eq!(connection.send(&letter).await.unwrap().code, 250);
            }
        });
        futures::future::join_all(senders).await;
        // Not more than the exporter can hold before it hands them over.
        let filed = 1 + round * SENDERS * MAILS;
        let several = wait("the mails' spans are exported", async || {
            let spans = collector.spans();
            let done = spans.iter().filter(|span| is_step(span, STEPS[1])).count();
            (done >= filed).then(|| batches(&spans).any(|batch| batch.links.len() > 1))
        })
        .await;
        if several {
            return;
        }
    }
    panic!("no two mails were handled in one batch");
}

/// Each batch is a trace of its own with a link to the creation of each of its events, and each event's span has that
/// creation as its parent and a link to the batch. The transaction of a batch is inside of it.
fn batches_are_linked(spans: &[Span], by_id: &BTreeMap<&[u8], &Span>) {
    let mut transactions = 0;
    let mut held: BTreeMap<&[u8], BTreeSet<&[u8]>> = BTreeMap::new();
    for event in spans
        .iter()
        .filter(|span| span.name.starts_with("process solmu."))
    {
        assert_eq!(event.kind(), SpanKind::Consumer, "{}", event.name);
        for link in &event.links {
            let batch = by_id[link.span_id.as_slice()];
            let group = |span| attribute(span, "messaging.consumer.group.name");
            assert_eq!(group(batch), group(event), "{} was in it", event.name);
            held.entry(&link.span_id)
                .or_default()
                .insert(&event.parent_span_id);
        }
    }
    for batch in batches(spans) {
        assert_eq!(batch.kind(), SpanKind::Consumer, "{}", batch.name);
        assert!(batch.parent_span_id.is_empty(), "{} is a root", batch.name);
        assert_eq!(batch.dropped_links_count, 0, "{}", batch.name);
        assert!(
            events_of(batch) >= Some(batch.links.len()),
            "{}",
            batch.name
        );
        let creations = batch.links.iter().map(|link| link.span_id.as_slice());
        assert_eq!(
            held.remove(batch.span_id.as_slice()),
            Some(creations.collect()),
            "{} leads to the creations of what it holds, and that leads to it",
            batch.name
        );
        let inside = spans
            .iter()
            .filter(|span| span.parent_span_id == batch.span_id);
        transactions += inside
            .filter(|span| attribute(span, "db.system.name").is_some())
            .inspect(|span| assert_eq!(span.kind(), SpanKind::Client, "{}", span.name))
            .count();
    }
    assert!(held.is_empty(), "every link leads to a batch");
    assert!(transactions > 0, "a batch has its transaction inside");
}

/// What an intake sends is a part of the trace of the mail, or linked with those of several.
fn sending_is_traced(spans: &[Span], begin: &Span) {
    let sends: Vec<&Span> = spans
        .iter()
        .filter(|span| span.name == "send inbound")
        .collect();
    assert!(!sends.is_empty(), "sending is traced");
    for send in &sends {
        assert_eq!(send.kind(), SpanKind::Client);
        assert_eq!(events_of(send) == Some(1), send.links.is_empty());
        assert_eq!(send.parent_span_id.is_empty(), !send.links.is_empty());
    }
    assert!(
        sends.iter().any(|send| send.trace_id == begin.trace_id),
        "the first mail came alone"
    );
}

/// Whether the chain of parents ends at `begin`.
fn leads_to(span: &Span, begin: &Span, by_id: &BTreeMap<&[u8], &Span>) -> bool {
    let mut at = span;
    for _ in 0..by_id.len() {
        if at.span_id == begin.span_id {
            return true;
        }
        match by_id.get(at.parent_span_id.as_slice()) {
            Some(parent) => at = parent,
            None => return false,
        }
    }
    false
}

fn solmu_log(home: &Home) -> String {
    String::from_utf8_lossy(&std::fs::read(home.beside("solmu.log")).unwrap()).into_owned()
}

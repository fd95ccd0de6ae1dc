//! One trace from the mail server's connection to the assignment, and nothing personal in it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::support::{Api, Home, Letter, Ports, Settings, Smtp, Solmu, wait};

const SENDER: &str = "secretive.sender@customer.example";
const SUBJECT: &str = "Confidential subject line";
const BODY: &str = "Nobody but us may read this sentence";

/// A collector that keeps what it is sent. Ends when it is dropped.
struct Collector {
    address: SocketAddr,
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
    async fn start() -> Self {
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

    fn spans(&self) -> Vec<Span> {
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

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|pair| pair.key == key)?;
    Some(format!("{:?}", found.value)).map(|text| {
        let inner = text
            .split_once("StringValue(\"")
            .map_or("", |(_, inner)| inner);
        inner.split('"').next().unwrap_or_default().to_owned()
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
    // What is still buffered is handed over at the end.
    solmu.stop().await;
    let spans = collector.spans();
    let begin = spans
        .iter()
        .find(|span| span.name == "email.receive")
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
        let of_step: Vec<&Span> = spans.iter().filter(|span| is_step(span, step)).collect();
        assert_eq!(of_step.len(), 1, "{step:?} happens once: {of_step:#?}");
        assert_eq!(
            of_step[0].trace_id, begin.trace_id,
            "{step:?} is part of the trace"
        );
        assert!(
            leads_to(of_step[0], begin, &by_id),
            "{step:?} follows from the mail"
        );
    }
    let others: Vec<&str> = spans
        .iter()
        .filter(|span| span.name.contains("ticket") && span.name.starts_with("process"))
        .filter(|span| span.trace_id != begin.trace_id)
        .map(|span| span.name.as_str())
        .collect();
    assert!(
        others.is_empty(),
        "all that happened to the ticket is in its trace: {others:?}"
    );

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

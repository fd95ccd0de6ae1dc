//! Export to a collector: one that answers, and one that is away.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::to_bytes, extract::Request, http::HeaderMap, response::IntoResponse};
use tokio::net::TcpListener;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};

use super::*;

/// Path and body of each export.
type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

fn exporting(endpoint: String, sample_ratio: f64) -> (Dispatch, Guard) {
    let config = TelemetryConfig {
        otlp_endpoint: Some(endpoint),
        sample_ratio,
        ..TelemetryConfig::default()
    };
    build(&config, Box::new(|_| {}), false).expect("a good configuration")
}

/// A collector that notes the path and body of each export. Returns its endpoint.
async fn collector(seen: Seen) -> String {
    let answer = move |request: Request| {
        let seen = Arc::clone(&seen);
        async move {
            let path = request.uri().path().to_owned();
            let body = to_bytes(request.into_body(), 1 << 20)
                .await
                .expect("a small body");
            seen.lock().expect("lock").push((path, body.to_vec()));
            let headers = [("content-type", "application/grpc"), ("grpc-status", "0")];
            let headers: HeaderMap = headers
                .into_iter()
                .map(|(name, value)| {
                    (
                        name.parse().expect("a name"),
                        value.parse().expect("a value"),
                    )
                })
                .collect();
            // The frame of an empty message: no compression, no bytes.
            (headers, vec![0_u8; 5]).into_response()
        }
    };
    let routes = Routes::from(Router::new().fallback(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let incoming = TcpIncoming::from(listener);
    #[expect(clippy::disallowed_methods, reason = "a test's own server")]
    tokio::spawn(
        Server::builder()
            .add_routes(routes)
            .serve_with_incoming(incoming),
    );
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_the_collector_at_shutdown() {
    let seen = Arc::default();
    let (dispatch, guard) = exporting(collector(Arc::clone(&seen)).await, 1.0);
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info_span!("ticket.checked", ticket.id = "t-1").in_scope(|| {
            tracing::debug_span!("ticket.detail").in_scope(|| {});
            tracing::debug_span!("db.inside").in_scope(|| {});
        });
        tracing::debug_span!("db.poll").in_scope(|| {});
    });
    guard.shutdown().await;
    let seen = seen.lock().expect("lock");
    let (path, body) = seen.first().expect("an export");
    assert_eq!(
        path,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    );
    let text = String::from_utf8_lossy(body);
    for part in [
        "ticket.checked",
        "ticket.id",
        "db.inside",
        "service.version",
        VERSION,
    ] {
        assert!(text.contains(part), "{part} is not in the export");
    }
    for part in ["ticket.detail", "db.poll"] {
        assert!(!text.contains(part), "{part} is exported");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_histogram_names_a_trace_that_can_be_looked_up() {
    let observed = |sample_ratio: f64| {
        let (dispatch, guard) = exporting("http://127.0.0.1:1".to_owned(), sample_ratio);
        let metrics = crate::Metrics::new();
        let trace_id = tracing::dispatcher::with_default(&dispatch, || {
            let took = metrics.histogram(
                "solmu_call_duration_seconds",
                "Calls",
                crate::metrics::Unit::Seconds,
                [],
                crate::metrics::CALL_SECONDS,
            );
            let span = tracing::info_span!("call");
            span.in_scope(|| took.observe([], 0.2));
            took.observe([], 20.0);
            crate::TraceContext::of(&span).trace_id()
        });
        drop(guard);
        (metrics.encode(), trace_id.expect("spans have ids"))
    };
    let (text, trace_id) = observed(1.0);
    let exemplar = format!("le=\"0.25\"}} 1 # {{trace_id=\"{trace_id}\"}} 0.2");
    assert!(text.contains(&exemplar), "{exemplar} is not in\n{text}");
    assert_eq!(
        text.matches("trace_id").count(),
        1,
        "outside of a span there is none"
    );
    let (text, _) = observed(0.0);
    assert!(
        !text.contains("trace_id"),
        "what is not exported cannot be looked up"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_exported_at_ratio_zero_and_ids_remain() {
    let seen = Arc::default();
    let (dispatch, guard) = exporting(collector(Arc::clone(&seen)).await, 0.0);
    tracing::dispatcher::with_default(&dispatch, || {
        let span = tracing::info_span!("unsampled");
        let context = crate::TraceContext::of(&span);
        assert!(context.traceparent.ends_with("-00"), "{context:?}");
    });
    guard.shutdown().await;
    assert!(seen.lock().expect("lock").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_linked_to_an_exported_trace_is_exported_at_any_ratio() {
    let seen = Arc::default();
    let (dispatch, guard) = exporting(collector(Arc::clone(&seen)).await, 0.0);
    let first = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    tracing::dispatcher::with_default(&dispatch, || {
        for (stored, exported) in [
            (first.to_owned(), true),
            (first.replace("-01", "-00"), false),
        ] {
            let first = crate::TraceContext::stored(&stored);
            let span = tracing::info_span!("timer.fired", sampling.priority = first.priority());
            crate::trace_context::add_link(&span, &first);
            let context = crate::TraceContext::of(&span);
            assert_eq!(context.is_exported(), exported, "{stored}: {context:?}");
            assert_ne!(context.trace_id(), first.trace_id(), "a link is no parent");
            span.in_scope(|| {
                let inside = crate::TraceContext::of(&tracing::info_span!("timer.effect"));
                assert_eq!(inside.is_exported(), exported, "what is inside follows");
            });
        }
    });
    guard.shutdown().await;
    let seen = seen.lock().expect("lock");
    let text: String = seen
        .iter()
        .map(|(_, body)| String::from_utf8_lossy(body))
        .collect();
    assert_eq!(text.matches("timer.fired").count(), 1);
    assert_eq!(text.matches("timer.effect").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_does_not_hold_up_the_exit() {
    let (dispatch, guard) = exporting("http://127.0.0.1:1".to_owned(), 1.0);
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info_span!("lost").in_scope(|| {});
    });
    let started = Instant::now();
    guard.shutdown().await;
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_bad_configuration_is_refused() {
    let refuse = |config: &TelemetryConfig| {
        build(config, Box::new(|_| {}), false).expect_err("it is refused")
    };
    let bad = TelemetryConfig {
        filter: "a=b=c".to_owned(),
        ..TelemetryConfig::default()
    };
    assert!(matches!(refuse(&bad), TelemetryError::Filter { .. }));
    let bad = TelemetryConfig {
        sample_ratio: 1.5,
        ..TelemetryConfig::default()
    };
    assert!(matches!(refuse(&bad), TelemetryError::SampleRatio(_)));
}

//! What a log line looks like.

use std::sync::{Arc, Mutex};

use super::*;
use crate::{TelemetryConfig, build};

fn lines(config: &TelemetryConfig, run: impl FnOnce()) -> Vec<String> {
    let written = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&written);
    let sink: Sink = Box::new(move |line| {
        sink.lock()
            .expect("lock")
            .push(String::from_utf8(line.to_vec()).expect("utf-8"));
    });
    let (dispatch, _guard) = build(config, sink, false).expect("telemetry");
    tracing::dispatcher::with_default(&dispatch, run);
    written.lock().expect("lock").clone()
}

fn json(run: impl FnOnce()) -> Vec<Value> {
    let config = TelemetryConfig {
        format: LogFormat::Json,
        ..Default::default()
    };
    lines(&config, run)
        .iter()
        .map(|line| serde_json::from_str(line).expect("a JSON object per line"))
        .collect()
}

#[test]
fn a_line_has_the_promised_members() {
    let lines = json(|| {
        let span = tracing::info_span!(
            "ticket.file",
            ticket.id = "t-1",
            attempts = tracing::field::Empty
        );
        span.record("attempts", 2);
        span.in_scope(|| tracing::info!(count = 3, "message filed"));
    });
    let line = &lines[0];
    assert_eq!(line["level"], "info");
    assert_eq!(line["message"], "message filed");
    assert_eq!(line["service"], "solmu");
    assert_eq!(line["version"], VERSION);
    assert_eq!(line["ticket.id"], "t-1");
    assert_eq!(line["attempts"], 2);
    assert_eq!(line["count"], 3);
    assert_eq!(line["target"], module_path!());
    assert_eq!(line["trace_id"].as_str().map(str::len), Some(32));
    assert_eq!(line["span_id"].as_str().map(str::len), Some(16));
    assert!(
        line["ts"]
            .as_str()
            .is_some_and(|ts| ts.ends_with('Z') && ts.as_bytes()[10] == b'T')
    );
}

#[test]
fn a_line_without_span_has_no_trace() {
    let lines = json(|| tracing::warn!("alone"));
    assert!(lines[0].get("trace_id").is_none());
}

#[test]
fn lines_of_one_span_share_the_trace() {
    let lines = json(|| {
        let outer = tracing::info_span!("outer").entered();
        tracing::info!("one");
        tracing::info_span!("inner").in_scope(|| tracing::info!("two"));
        drop(outer);
    });
    assert_eq!(lines[0]["trace_id"], lines[1]["trace_id"]);
    assert_ne!(lines[0]["span_id"], lines[1]["span_id"]);
}

#[test]
fn secrets_are_blotted_out_by_name() {
    let lines = json(|| {
        let span = tracing::info_span!("call", access_token = "s3cret");
        span.in_scope(|| {
            tracing::info!(
                password = "s3cret",
                sender.email = "s3cret",
                token_id = "t-1",
                "caller known"
            );
        });
    });
    assert!(!lines[0].to_string().contains("s3cret"), "{}", lines[0]);
    assert_eq!(lines[0]["token_id"], "t-1");
    assert_eq!(lines[0]["access_token"], REDACTED);
}

#[test]
fn errors_carry_their_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot read mail")]
    struct Outer(#[source] std::io::Error);
    let lines = json(|| {
        let error = Outer(std::io::Error::other("disk gone"));
        tracing::error!(error = &error as &dyn std::error::Error, "poll failed");
    });
    assert_eq!(lines[0]["error"], "cannot read mail: disk gone");
}

#[test]
fn text_stays_on_one_line() {
    let lines = lines(&TelemetryConfig::default(), || {
        tracing::info!(cause = "two words", code = "plain", "forged\nline");
    });
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].ends_with("forged\\nline cause=\"two words\" code=plain\n"),
        "{}",
        lines[0]
    );
}

#[test]
fn the_filter_can_change_while_running() {
    let (dispatch, guard) =
        build(&TelemetryConfig::default(), Box::new(|_| {}), false).expect("telemetry");
    tracing::dispatcher::with_default(&dispatch, || {
        assert!(!tracing::enabled!(Level::DEBUG));
        guard.set_filter("debug").expect("valid filter");
        assert!(tracing::enabled!(Level::DEBUG));
        assert!(guard.set_filter("no=such=level").is_err());
    });
}

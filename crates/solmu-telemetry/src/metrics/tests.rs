//! Names, handles and what is scraped.

use super::*;

#[test]
fn names_are_scraped_as_they_are_written() {
    let metrics = Metrics::new();
    let sent = metrics.counter(
        "solmu_sent_total",
        "Messages sent",
        Unit::Count,
        ["channel"],
    );
    sent.add(["email"], 2);
    metrics
        .gauge(
            "solmu_oldest_age_seconds",
            "Age of the oldest",
            Unit::Seconds,
            [],
        )
        .set([], 1.5);
    let took = metrics.histogram(
        "solmu_call_duration_seconds",
        "Calls",
        Unit::Seconds,
        [],
        CALL_SECONDS,
    );
    took.observe([], 0.2);
    let text = metrics.encode();
    for line in [
        "solmu_sent_total{channel=\"email\"} 2",
        "solmu_oldest_age_seconds{} 1.5",
        "solmu_call_duration_seconds_count{} 1",
        "# HELP solmu_sent Messages sent.",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn the_same_metric_has_one_handle() {
    let metrics = Metrics::new();
    let first = metrics.counter("solmu_x_total", "X", Unit::Count, ["a"]);
    let second = metrics.counter("solmu_x_total", "X", Unit::Count, ["a"]);
    first.inc(["b"]);
    second.inc(["b"]);
    assert_eq!(first.get(["b"]), 2);
    assert_eq!(metrics.catalogue().len(), 1);
    assert_eq!(metrics.encode().matches("# TYPE solmu_x ").count(), 1);
}

#[test]
#[should_panic(expected = "different meanings")]
fn a_name_has_one_meaning() {
    let metrics = Metrics::new();
    let _ = metrics.counter("solmu_x_total", "X", Unit::Count, ["a"]);
    let _ = metrics.counter("solmu_x_total", "X", Unit::Count, ["b"]);
}

#[test]
#[should_panic(expected = "does not tell its unit")]
fn a_name_tells_its_unit() {
    let _ = Metrics::new().gauge("solmu_age", "Age", Unit::Seconds, []);
}

#[test]
fn unlabelled_metrics_exist_before_their_first_value() {
    let metrics = Metrics::new();
    let _ = metrics.counter("solmu_dead_letters_total", "Dead letters", Unit::Count, []);
    assert!(metrics.encode().contains("solmu_dead_letters_total{} 0"));
}

#[test]
fn the_process_is_measured() {
    let metrics = Metrics::for_process();
    let text = metrics.encode();
    assert!(text.contains("solmu_build_info{version="), "{text}");
    if cfg!(target_os = "linux") {
        for name in [
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "process_open_fds ",
        ] {
            assert!(text.contains(name), "{name} is not in\n{text}");
        }
    }
}

#[test]
fn interned_texts_are_kept_once() {
    assert!(std::ptr::eq(intern("/livez"), intern("/livez")));
}

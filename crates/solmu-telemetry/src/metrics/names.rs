//! What names of metrics look like, and label values that are known only at run time.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use prometheus_client::registry::Unit as RawUnit;

use super::{Kind, MetricInfo, Unit};

/// The name without what the encoder adds (unit and `_total`), with the checks that keep names regular.
pub(super) fn base_name(info: &MetricInfo) -> (&'static str, Option<RawUnit>) {
    let name = info.name;
    assert!(
        name.bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            && !name.is_empty(),
        "metric name '{name}' is not snake_case"
    );
    assert!(
        !info.help.is_empty() && !info.help.ends_with('.'),
        "help of '{name}' is empty or ends in a full stop"
    );
    let base = match (info.kind, name.strip_suffix("_total")) {
        (Kind::Counter, Some(base)) => base,
        (Kind::Counter, None) => panic!("counter '{name}' does not end in _total"),
        (_, Some(_)) => panic!("'{name}' ends in _total and is no counter"),
        (_, None) => name,
    };
    let (suffix, unit) = match info.unit {
        Unit::Count => return (base, None),
        Unit::Seconds => ("_seconds", RawUnit::Seconds),
        Unit::Bytes => ("_bytes", RawUnit::Bytes),
        Unit::Ratio => ("_ratio", RawUnit::Other("ratio".to_owned())),
    };
    match base.strip_suffix(suffix) {
        Some(base) => (base, Some(unit)),
        None => panic!("metric name '{name}' does not tell its unit {suffix}"),
    }
}

/// How many names [`intern`] keeps before it answers `other`.
const INTERNED_MAX: usize = 1000;

/// A label value out of a bounded set that is known only at run time: a route, a method, a consumer.
///
/// Each new text is kept for the life of the process, so there is a cap: what comes after it is `other`, which also
/// keeps the number of series bounded when a caller is mistaken about its set.
#[must_use]
pub fn intern(text: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(text) {
        return known;
    }
    if names.len() >= INTERNED_MAX {
        return "other";
    }
    let kept: &'static str = Box::leak(text.to_owned().into_boxed_str());
    names.insert(kept);
    kept
}

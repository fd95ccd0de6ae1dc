//! What the tests of this crate share: a runtime on the engines of the test run.

use std::sync::Arc;

use solmu_telemetry::Metrics;
use solmu_testkit::Harness;

use crate::{Keyring, Runtime, RuntimeParts};

/// A runtime over the database and bus of `harness`, as one process of a deployment has.
pub(crate) fn runtime(harness: &Harness, instance: &str) -> Runtime {
    Runtime::new(RuntimeParts {
        clock: Arc::new(harness.clock.clone()),
        rng: harness.rng.clone(),
        db: harness.db.clone(),
        bus: harness.bus.clone(),
        metrics: Metrics::new(),
        instance: instance.to_owned(),
        secrets: Keyring::new([("a".to_owned(), vec![1; 32])]).expect("a good key"),
    })
}

//! Waiting on conditions: the only way in which a test waits.

use std::{future::Future, time::Duration};

/// Polls `condition` until it holds.
///
/// # Panics
/// With `what` after two minutes: long enough for a loaded machine, so that only a condition that will never hold fails.
pub async fn wait_for<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    const PATIENCE: Duration = Duration::from_mins(2);
    let started = tokio::time::Instant::now();
    while !condition().await {
        assert!(
            started.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! Waiting on conditions: the only way in which a test waits.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);
/// Long enough for a loaded machine, so that only a condition that will never hold fails.
const PATIENCE: Duration = Duration::from_mins(2);

/// Looks until there is something to see.
pub(crate) async fn wait<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    until(what, PATIENCE, look).await
}

/// As [`wait`], with another limit.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
}

//! The figure of tokens that will stop working soon: somebody has to make new ones before a service falls silent.

use std::time::Duration;

use jiff::SignedDuration;
use solmu_telemetry::metrics::Unit;

use super::store;
use crate::runtime::Runtime;

/// What "soon" is: time for two weekly looks at the dashboards.
pub(super) const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
/// How often it is counted. Dates move slowly, but a token that was just renewed should leave the figure soon.
const INTERVAL: Duration = Duration::from_mins(1);

/// Counts until the process stops.
pub(super) fn watch(runtime: &Runtime) {
    let gauge = runtime.metrics.gauge(
        "solmu_access_tokens_expiring",
        "Tokens that work now and expire within 14 days",
        Unit::Count,
        [],
    );
    let next = runtime.metrics.gauge(
        "solmu_access_token_next_expiry_seconds",
        "time until the next token that works now expires; not told if none does",
        Unit::Seconds,
        [],
    );
    let (db, clock) = (runtime.db.clone(), runtime.clock.clone());
    let stop = runtime.shutdown.stop.clone();
    // Also while it waits for a database that does not answer.
    let watching = async move {
        loop {
            let now = clock.now();
            let until = now.saturating_add(SOON).unwrap_or(jiff::Timestamp::MAX);
            match store::token_count_expiring(db.pool(), now, until).await {
                Ok(count) => gauge.set([], f64::from(u32::try_from(count).unwrap_or(u32::MAX))),
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "cannot count the tokens that expire"
                ),
            }
            match store::token_next_expiry(db.pool(), now).await {
                Ok(Some(at)) => next.set([], at.duration_since(now).as_secs_f64()),
                Ok(None) => next.remove([]),
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for the token that expires next"
                ),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    runtime.spawn_background("access.expiry", async move {
        stop.run_until_cancelled(watching).await;
    });
}

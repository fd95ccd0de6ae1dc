//! How late this service is with what it does by the clock: reminders, wake-ups, closings, and the search index.
//!
//! It asks for the oldest of each that is not done, by the indexes that the work itself uses. A figure noted by the work
//! would say nothing in the one case that matters: that nobody does it.

use jiff::Timestamp;
use solmu_db::SqlTimestamp;
use solmu_domain::ticket::Status;

use crate::{context::Context, error::TicketError};

/// The oldest reminder, wake-up and closing that is not done, and the oldest change that is not indexed.
type Oldest = [Option<SqlTimestamp>; 4];

/// Tells how late what is.
pub(crate) async fn measure(context: &Context) -> Result<(), TicketError> {
    let (reminder, wake, close, change) = sqlx::query_as(
        "SELECT (SELECT remind_at FROM tickets.task
                 WHERE reminded_at IS NULL AND done_at IS NULL AND remind_at IS NOT NULL ORDER BY remind_at LIMIT 1),
                (SELECT wake_at FROM tickets.ticket WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1),
                (SELECT close_at FROM tickets.ticket WHERE close_at IS NOT NULL AND status = $1 ORDER BY close_at LIMIT 1),
                (SELECT queued_at FROM tickets.search_queue ORDER BY id LIMIT 1)",
    )
    .bind(Status::Resolved.name())
    .fetch_one(context.db.pool())
    .await?;
    note(
        context,
        [reminder, wake, close, change],
        context.clock.now(),
    );
    Ok(())
}

fn note(context: &Context, [reminder, wake, close, change]: Oldest, now: Timestamp) {
    let late = |at: Option<SqlTimestamp>| {
        at.map_or(0.0, |at| {
            now.duration_since(at.to_jiff()).as_secs_f64().max(0.0)
        })
    };
    for (kind, at) in [("reminder", reminder), ("wake", wake), ("close", close)] {
        context.metrics.overdue(kind, late(at));
    }
    context.metrics.search_lag(late(change));
}

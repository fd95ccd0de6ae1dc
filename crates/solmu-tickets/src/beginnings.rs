//! Where tickets began: what timers do to them is linked with it.
//!
//! A timer fires days after what set it, in a process that knows nothing of that. So the ticket keeps the trace in which it
//! was opened, and only the timers read it: no list and no call pays for it.

use std::collections::HashMap;

use solmu_telemetry::{TraceContext, timer_span};
use sqlx::PgConnection;
use tracing::Span;
use uuid::Uuid;

use crate::error::TicketError;

/// The traces in which tickets were opened, as far as they are exported.
#[derive(Debug, Default)]
pub(crate) struct Beginnings(HashMap<Uuid, TraceContext>);

impl Beginnings {
    /// Those of `tickets`.
    pub(crate) async fn of(tx: &mut PgConnection, tickets: &[Uuid]) -> Result<Self, TicketError> {
        let rows: Vec<(Uuid, String)> = sqlx::query_as(
            "SELECT id, first_trace FROM tickets.ticket WHERE id = ANY($1) AND first_trace <> ''",
        )
        .bind(tickets)
        .fetch_all(tx)
        .await?;
        let stored = |(id, trace): (Uuid, String)| (id, TraceContext::stored(&trace));
        Ok(Self(rows.into_iter().map(stored).collect()))
    }

    /// The span of what a timer of `kind` does to a ticket. Events of it go on from there.
    pub(crate) fn timer(&self, ticket: Uuid, kind: &'static str) -> Span {
        let none = TraceContext::default();
        let first = self.0.get(&ticket).unwrap_or(&none);
        timer_span!("ticket.timer", first, ticket.id = %ticket, kind)
    }
}

//! Follows who has a ticket open.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, stream::BoxStream};
use solmu_proto::ticket::v1::{Viewer, WatchViewersResponse};
use solmu_runtime::ApiError;
use solmu_tickets::TicketError;
use tonic::Status;
use uuid::Uuid;

use super::{Present, present, subject};
use crate::context::Context;

struct Watching {
    context: Arc<Context>,
    ticket: Uuid,
    /// Each item says that something changed.
    told: BoxStream<'static, ()>,
    /// What the caller knows.
    known: Option<Vec<Viewer>>,
}

/// Who has the ticket open: now, and whenever it changes, until the process drains.
pub(crate) async fn watch(
    context: Arc<Context>,
    ticket: Uuid,
) -> Result<impl Stream<Item = Result<WatchViewersResponse, Status>> + Send, ApiError> {
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM tickets.ticket WHERE id = $1)")
            .bind(ticket)
            .fetch_one(context.db.pool())
            .await
            .map_err(TicketError::from)?;
    if !exists {
        return Err(TicketError::UnknownTicket(ticket.to_string()).into());
    }
    // Before the first look, so that no change falls in between.
    let told = context
        .bus
        .client()
        .subscribe(subject(&context.bus, ticket))
        .await
        .map_err(ApiError::unavailable)?
        .map(|_| ())
        .boxed();
    let drain = context.drained();
    let watching = Watching {
        context,
        ticket,
        told,
        known: None,
    };
    let changes = futures::stream::try_unfold(watching, |mut watching| async move {
        let viewers = watching.next().await.map_err(ApiError::from)?;
        Ok(Some((WatchViewersResponse { viewers }, watching)))
    });
    Ok(changes.take_until(drain))
}

impl Watching {
    /// Waits until others look at the ticket than the caller knows of.
    async fn next(&mut self) -> Result<Vec<Viewer>, TicketError> {
        loop {
            let now = self.context.clock.now();
            let present = present(self.context.db.pool(), self.ticket, now).await?;
            if self.known.as_ref() != Some(&present.viewers) {
                self.known = Some(present.viewers.clone());
                return Ok(present.viewers);
            }
            let pause = self.pause(&present);
            tokio::select! {
                // When the bus is gone, only the clock is left.
                Some(()) = self.told.next() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// How long to wait if nobody tells of a change: until the first of those who are there is gone, if nothing is
    /// heard of them.
    fn pause(&self, present: &Present) -> Duration {
        let poll = Duration::from_millis(self.context.desk().viewer_poll_ms);
        let left = present
            .until
            .map(|until| until.duration_since(self.context.clock.now()));
        let left = left.map(|left| Duration::try_from(left).unwrap_or_default());
        left.map_or(poll, |left| left.min(poll))
            .max(Duration::from_millis(1))
    }
}

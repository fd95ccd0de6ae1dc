//! Brings to the bus what a crash or an absence of the bus left behind, and forgets what is over.
//!
//! Each round takes no input but the rows: messages that are stored and not published, marks of the visitors' side that
//! were not reported, sessions that are over. It runs at start, when woken, and by the clock; several replicas may do
//! the same at once, because events have stable ids.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use solmu_bus::envelope::to_proto_time;
use solmu_connector::{InboundEvent, Intake};
use solmu_db::{Db, DbError};
use solmu_domain::clock::SharedClock;
use solmu_proto::{
    inbound::v1::DeliveryReported,
    types::v1::{Channel, DeliveryState},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{metrics::ChatMetrics, session, store};

/// Time that the writer has for its own publish, before a row counts as left behind.
const GRACE: SignedDuration = SignedDuration::from_secs(10);
/// Rows of one round.
const LIMIT: i64 = 500;
/// Time between two rounds.
const INTERVAL: Duration = Duration::from_secs(5);
/// Rounds between two sweeps of old sessions: an hour.
const SWEEP_EVERY: u32 = 720;

/// What the rounds work with.
#[derive(Debug)]
pub(crate) struct Reconciler {
    pub(crate) db: Db,
    pub(crate) intake: Intake,
    pub(crate) clock: SharedClock,
    pub(crate) metrics: ChatMetrics,
    /// Woken when a mark has moved.
    pub(crate) marked: Arc<Notify>,
}

struct Mark {
    session_id: Uuid,
    inbox: String,
    delivered_seq: i64,
    read_seq: i64,
    reported_delivered_seq: i64,
    reported_read_seq: i64,
}
solmu_db::from_row!(Mark {
    session_id,
    inbox,
    delivered_seq,
    read_seq,
    reported_delivered_seq,
    reported_read_seq
});

impl Reconciler {
    /// Runs until drained.
    pub(crate) async fn run(self, drain: CancellationToken) {
        let mut until_sweep = 0;
        loop {
            if let Err(error) = self.round(until_sweep == 0).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a round of the chat reconciler failed"
                );
            }
            if until_sweep == 0 {
                until_sweep = SWEEP_EVERY;
            }
            tokio::select! {
                () = drain.cancelled() => return,
                () = self.marked.notified() => {}
                () = tokio::time::sleep(INTERVAL) => until_sweep -= 1,
            }
        }
    }

    async fn round(&self, sweep: bool) -> Result<(), DbError> {
        self.report_marks().await?;
        self.publish_left_behind().await?;
        if sweep {
            session::sweep(&self.db, self.clock.now(), LIMIT).await?;
        }
        Ok(())
    }

    /// Publishes messages whose publish did not come to an end.
    pub(crate) async fn publish_left_behind(&self) -> Result<(), DbError> {
        let before = self.clock.now().saturating_sub(GRACE).unwrap_or_default();
        let rows = store::unpublished(&self.db, before, LIMIT).await?;
        self.metrics.unpublished(rows.len());
        let (ids, events): (Vec<Uuid>, Vec<InboundEvent>) = rows
            .into_iter()
            .map(|(id, event)| (id, event.into()))
            .unzip();
        if !ids.is_empty() && self.intake.accept_all(events).await.is_ok() {
            tracing::info!(
                messages = ids.len(),
                "chat messages left behind were published"
            );
            store::published(&self.db, &ids).await?;
        }
        Ok(())
    }

    /// Reports which of the agents' messages have arrived and were read.
    async fn report_marks(&self) -> Result<(), DbError> {
        let marks: Vec<Mark> = sqlx::query_as(
            "SELECT id AS session_id, inbox, delivered_seq, read_seq, reported_delivered_seq, reported_read_seq \
             FROM chat.session WHERE delivered_seq > reported_delivered_seq OR read_seq > reported_read_seq LIMIT $1",
        )
        .bind(LIMIT)
        .fetch_all(self.db.pool())
        .await?;
        for mark in marks {
            self.report(&mark).await?;
        }
        Ok(())
    }

    async fn report(&self, mark: &Mark) -> Result<(), DbError> {
        let from = mark.reported_delivered_seq.min(mark.reported_read_seq);
        let answers: Vec<(i64, Uuid)> = sqlx::query_as(
            "SELECT seq, message_id FROM chat.message \
             WHERE session_id = $1 AND direction = 'out' AND seq > $2 AND seq <= $3 ORDER BY seq",
        )
        .bind(mark.session_id)
        .bind(from)
        .bind(mark.delivered_seq)
        .fetch_all(self.db.pool())
        .await?;
        let now = self.clock.now();
        let mut events: Vec<InboundEvent> = Vec::new();
        for (seq, message_id) in answers {
            let state = if seq <= mark.read_seq {
                DeliveryState::Read
            } else {
                DeliveryState::Delivered
            };
            let report = DeliveryReported {
                message_id: message_id.to_string(),
                channel: Channel::Chat.into(),
                account: mark.inbox.clone(),
                external_id: external_id(mark.session_id, seq),
                state: state.into(),
                report_time: Some(to_proto_time(now)),
                ..DeliveryReported::default()
            };
            events.push(report.into());
        }
        if self.intake.accept_all(events).await.is_err() {
            return Ok(());
        }
        sqlx::query(
            "UPDATE chat.session SET reported_delivered_seq = greatest(reported_delivered_seq, $2), \
             reported_read_seq = greatest(reported_read_seq, $3) WHERE id = $1",
        )
        .bind(mark.session_id)
        .bind(mark.delivered_seq)
        .bind(mark.read_seq)
        .execute(self.db.pool())
        .await?;
        Ok(())
    }
}

/// Our name for an agent's message in a conversation.
pub(crate) fn external_id(session: Uuid, seq: i64) -> String {
    format!("{session}:{seq}")
}

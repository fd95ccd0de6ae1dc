//! Forgets erased contacts: their sessions, what was said in them, and what visitors said of themselves.
//!
//! The ticket service tells which sessions were theirs, because only it knows who is one person. Deleting twice is
//! deleting once, so there is no inbox: every replica may get any of these events, in any order, again and again.
//!
//! A session with a message that the bus does not have yet is emptied and ended; the sweep takes the rest once that
//! message is handed over, as it was accepted before the erasure.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use solmu_bus::{
    Cause, ConsumerSpec, Delivered, EventBody as _, Family, Handler, Held, Lane, OneByOne, Verdict,
    consumer, metrics::ConsumerMetrics,
};
use solmu_db::{Db, DbError, ToSqlx as _};
use solmu_domain::clock::SharedClock;
use solmu_proto::contact::v1::ContactErased;
use solmu_runtime::Runtime;
use sqlx::PgConnection;
use tokio::sync::watch;
use uuid::Uuid;

/// Name of the durable that all replicas share.
const CONSUMER: &str = "chat-forget";
/// Events that are looked at together.
const MAX_EVENTS: usize = 500;
/// Failed attempts after which an event is dead-lettered.
const MAX_ATTEMPTS: u32 = 8;
/// How long events are gathered: nearly all are of no interest.
const LINGER: Duration = Duration::from_millis(50);

struct Forgetter {
    db: Db,
    clock: SharedClock,
}

impl Handler for Forgetter {
    fn handle<'a>(
        &'a self,
        batch: &'a [Delivered],
        _: &'a Held,
    ) -> Pin<Box<dyn Future<Output = Vec<Verdict>> + Send + 'a>> {
        Box::pin(async move {
            let mut order = OneByOne::default();
            for delivered in batch {
                if order.may_handle(delivered) {
                    order.note(delivered, self.one(delivered).await);
                }
            }
            order.verdicts()
        })
    }
}

impl Forgetter {
    async fn one(&self, delivered: &Delivered) -> Verdict {
        if delivered.event.event_type != ContactErased::TYPE {
            return Verdict::Done;
        }
        let erased: ContactErased = match delivered.event.decode() {
            Ok(erased) => erased,
            Err(error) => return Verdict::Reject(Cause::new("undecodable", &error)),
        };
        let sessions: Vec<Uuid> = erased
            .chat_session_ids
            .iter()
            .filter_map(|id| Uuid::parse_str(id).ok())
            .collect();
        match forget(&self.db, sessions, self.clock.now()).await {
            Ok(()) => Verdict::Done,
            Err(error) if error.is_unavailable() => {
                Verdict::Retry(Cause::passing("database", &error))
            }
            Err(error) => Verdict::Retry(Cause::new("database", &error)),
        }
    }
}

/// Listens for erased contacts until the process takes no more work.
pub(crate) fn start(runtime: &Runtime) {
    let (sender, held) = watch::channel(Held::from([(0, 0)]));
    let bus = runtime.bus.clone();
    let spec = ConsumerSpec {
        name: CONSUMER,
        lanes: Box::new(move |_| {
            // The sender lives in this closure, so that the one shard is held for as long as the consumer runs.
            let _ = &sender;
            vec![Lane {
                stream: "TICKETS",
                durable: CONSUMER.to_owned(),
                filters: vec![bus.subject_filter(Family::Tickets)],
                leased: false,
            }]
        }),
        max_events: MAX_EVENTS,
        linger: LINGER,
        max_attempts: MAX_ATTEMPTS,
    };
    let handler = Forgetter {
        db: runtime.db.clone(),
        clock: runtime.clock.clone(),
    };
    let work = consumer::run(
        runtime.bus.clone(),
        spec,
        Arc::new(handler),
        held,
        runtime.clock.clone(),
        ConsumerMetrics::new(&runtime.metrics),
        runtime.shutdown.drain.clone(),
    );
    runtime.spawn("chat.forget", work);
}

/// Deletes `sessions`, with what was said in them.
pub(crate) async fn forget(db: &Db, sessions: Vec<Uuid>, now: Timestamp) -> Result<(), DbError> {
    if sessions.is_empty() {
        return Ok(());
    }
    let sessions = Arc::new(sessions);
    db.tx("chat.forget", |tx| {
        let sessions = Arc::clone(&sessions);
        Box::pin(async move { forget_in(tx, &sessions, now).await })
    })
    .await
}

async fn forget_in(
    tx: &mut PgConnection,
    sessions: &[Uuid],
    now: Timestamp,
) -> Result<(), DbError> {
    // Whoever is writing into them comes first, so that what they accept is seen below.
    sqlx::query("SELECT id FROM chat.session WHERE id = ANY($1) ORDER BY id FOR UPDATE")
        .bind(sessions)
        .execute(&mut *tx)
        .await?;
    for statement in [
        "DELETE FROM chat.session AS old WHERE id = ANY($1) AND $2::timestamptz IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM chat.message WHERE session_id = old.id AND pending IS NOT NULL)",
        "DELETE FROM chat.message WHERE session_id = ANY($1) AND pending IS NULL AND $2::timestamptz IS NOT NULL",
        "UPDATE chat.session SET visitor_name = '', visitor_email = '', ended_at = coalesce(ended_at, $2), expires_at = $2
            WHERE id = ANY($1)",
    ] {
        sqlx::query(statement)
            .bind(sessions)
            .bind(now.to_sqlx())
            .execute(&mut *tx)
            .await?;
    }
    sqlx::query("SELECT pg_notify($2, id::text) FROM unnest($1::uuid[]) AS gone (id)")
        .bind(sessions)
        .bind(crate::hub::CHANNEL)
        .execute(tx)
        .await?;
    Ok(())
}

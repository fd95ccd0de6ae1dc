//! Wakes connections of this process for what other processes stored, by PostgreSQL's LISTEN.

use std::time::Duration;

use solmu_db::Db;
use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::hub::{CHANNEL, Hub};

/// Wait before connecting again.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens until drained. After each gap everybody is woken, because a notification may have been missed.
pub(crate) async fn run(db: Db, hub: Hub, drain: CancellationToken) {
    while !drain.is_cancelled() {
        tokio::select! {
            () = drain.cancelled() => return,
            outcome = listen(&db, &hub) => {
                if let Err(error) = outcome {
                    tracing::warn!(error = &error as &dyn std::error::Error, "not listening for chat messages of other processes");
                }
            }
        }
        tokio::select! {
            () = drain.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn listen(db: &Db, hub: &Hub) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(db.pool()).await?;
    listener.listen(CHANNEL).await?;
    hub.wake_all();
    loop {
        match listener.try_recv().await? {
            Some(notification) => {
                if let Ok(session) = Uuid::parse_str(notification.payload()) {
                    hub.wake(session);
                }
            }
            // Connected again after a gap.
            None => hub.wake_all(),
        }
    }
}

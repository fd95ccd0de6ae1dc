//! Removes the bytes of files that only erased contacts needed.
//!
//! The erasure notes their keys in its own transaction; the bytes go afterwards, by a loop that runs wherever the object
//! store is: with the connectors, which are the ones that have its folder. Each key is claimed for a while and forgotten
//! only when its bytes are gone, so a crash in between means another attempt, and removing twice is removing once.
//!
//! Keys are made of the content: somebody else may have sent the same file, or send it at this moment. So the bytes stay
//! for a while ([`Limits::erased_files`]), then are looked for in everything that is kept, and stay for that long again
//! if they were written anew meanwhile. What is left is a file that somebody sends again in the instant between that look
//! and the removal; a lock over every file that comes in was rejected as too dear for it.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use solmu_db::{Db, DbError, ToSqlx as _};
use solmu_domain::clock::SharedClock;
use solmu_runtime::{Runtime, api_error::BoxError};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use crate::Limits;

/// Time between two looks for what is due.
const ROUND: Duration = Duration::from_secs(30);
/// Objects that are claimed together.
const BATCH: i64 = 50;
/// How long a claim holds: whoever has not removed the object by then has crashed.
const CLAIM: SignedDuration = SignedDuration::from_mins(10);
/// The first pause after a failure; it doubles.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// How often it doubles: up to about an hour.
const DOUBLINGS: u32 = 6;

/// Where files lie.
pub trait Objects: Debug + Send + Sync + 'static {
    /// Removes the object `key`, unless it was written after `newest`: then it answers false. An object that is not there
    /// counts as removed.
    fn remove<'a>(
        &'a self,
        key: &'a str,
        newest: Timestamp,
    ) -> BoxFuture<'a, Result<bool, BoxError>>;
}

/// Removes what is due from `objects` until the process ends. Any number of processes may do so.
pub fn start(runtime: &Runtime, limits: Limits, objects: Arc<dyn Objects>) {
    let remover = Remover {
        clock: runtime.clock.clone(),
        db: runtime.db.clone(),
        stay: limits.erased_files,
        objects,
    };
    runtime.spawn(
        "tickets.erased_objects",
        remover.run(runtime.shutdown.drain.clone()),
    );
}

/// Notes objects that nobody needs any more, to be removed at `due`.
pub(crate) async fn add(
    tx: &mut PgConnection,
    keys: &BTreeSet<String>,
    due: Timestamp,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO tickets.erased_object (key, due_at) SELECT key, $2 FROM unnest($1::text[]) AS new (key)
         ON CONFLICT (key) DO UPDATE SET due_at = excluded.due_at, attempts = 0",
    )
    .bind(keys.iter().map(String::as_str).collect::<Vec<_>>())
    .bind(due.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// Those of `keys` that something needs: a message, an original, a message in the quarantine. What waits there since an
/// older release does not list its files; its bytes are searched.
pub(crate) async fn needed(
    connection: &mut PgConnection,
    keys: &[&str],
) -> Result<BTreeSet<String>, DbError> {
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT key FROM unnest($1::text[]) AS wanted (key)
         WHERE EXISTS (SELECT 1 FROM tickets.message WHERE attachments <> '[]'
                AND attachments @> jsonb_build_array(jsonb_build_object('object_key', key)))
            OR EXISTS (SELECT 1 FROM tickets.raw_original WHERE object_key = key)
            OR EXISTS (SELECT 1 FROM tickets.quarantine WHERE object_keys ? key)
            OR EXISTS (SELECT 1 FROM tickets.quarantine WHERE object_keys IS NULL
                AND position(convert_to(key, 'UTF8') IN message) > 0)",
    )
    .bind(keys)
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().collect())
}

#[derive(Debug)]
struct Remover {
    clock: SharedClock,
    db: Db,
    stay: SignedDuration,
    objects: Arc<dyn Objects>,
}

/// What is to be noted of the claimed objects.
#[derive(Debug, Default)]
struct Outcome {
    /// Removed, or needed again.
    done: Vec<String>,
    /// To be looked at again then.
    later: Vec<(String, Timestamp)>,
}

impl Remover {
    async fn run(self, stop: CancellationToken) {
        loop {
            match self.round().await {
                Ok(looked) if looked >= BATCH && !stop.is_cancelled() => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for files of erased contacts; trying again"
                ),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(ROUND) => {}
            }
        }
    }

    /// Removes what is due; returns how many were looked at.
    async fn round(&self) -> Result<i64, DbError> {
        let now = self.clock.now();
        let until = now.saturating_add(CLAIM).unwrap_or(Timestamp::MAX);
        let claimed = self.claim(now, until).await?;
        let keys: Vec<&str> = claimed.iter().map(|(key, _)| key.as_str()).collect();
        if keys.is_empty() {
            return Ok(0);
        }
        let mut connection = self.db.pool().acquire().await?;
        let needed = needed(&mut connection, &keys).await?;
        drop(connection);
        let mut outcome = Outcome::default();
        for (key, attempts) in &claimed {
            if needed.contains(key) {
                outcome.done.push(key.clone());
            } else {
                self.remove(key, *attempts, now, &mut outcome).await;
            }
        }
        self.note(outcome, until).await?;
        Ok(i64::try_from(claimed.len()).unwrap_or(BATCH))
    }

    async fn claim(&self, now: Timestamp, until: Timestamp) -> Result<Vec<(String, i32)>, DbError> {
        let claimed = sqlx::query_as(
            "UPDATE tickets.erased_object AS it SET due_at = $2, attempts = it.attempts + 1
             FROM (SELECT key FROM tickets.erased_object WHERE due_at <= $1 ORDER BY due_at LIMIT $3
                FOR UPDATE SKIP LOCKED) AS due
             WHERE it.key = due.key RETURNING it.key, it.attempts",
        )
        .bind(now.to_sqlx())
        .bind(until.to_sqlx())
        .bind(BATCH)
        .fetch_all(self.db.pool())
        .await?;
        Ok(claimed)
    }

    async fn remove(&self, key: &str, attempts: i32, now: Timestamp, outcome: &mut Outcome) {
        let newest = now.saturating_sub(self.stay).unwrap_or(Timestamp::MIN);
        let after = |pause| now.saturating_add(pause).unwrap_or(Timestamp::MAX);
        match self.objects.remove(key, newest).await {
            Ok(true) => outcome.done.push(key.to_owned()),
            // Somebody sent the same: the message is on its way, or came to nothing.
            Ok(false) => outcome.later.push((key.to_owned(), after(self.stay))),
            Err(error) => {
                tracing::warn!(
                    error = error.as_ref() as &dyn std::error::Error,
                    attempts,
                    "cannot remove a file of an erased contact; trying again"
                );
                outcome.later.push((key.to_owned(), after(pause(attempts))));
            }
        }
    }

    /// Notes what became of the objects that are still ours: an erasure may have named one again meanwhile.
    async fn note(&self, outcome: Outcome, until: Timestamp) -> Result<(), DbError> {
        sqlx::query("DELETE FROM tickets.erased_object WHERE key = ANY($1) AND due_at = $2")
            .bind(&outcome.done)
            .bind(until.to_sqlx())
            .execute(self.db.pool())
            .await?;
        let (keys, due): (Vec<String>, Vec<_>) = outcome
            .later
            .into_iter()
            .map(|(key, due)| (key, due.to_sqlx()))
            .unzip();
        sqlx::query(
            "UPDATE tickets.erased_object AS it SET due_at = new.due
             FROM unnest($1::text[], $2::timestamptz[]) AS new (key, due) WHERE it.key = new.key AND it.due_at = $3",
        )
        .bind(&keys)
        .bind(&due)
        .bind(until.to_sqlx())
        .execute(self.db.pool())
        .await?;
        Ok(())
    }
}

/// How long to wait after so many attempts.
fn pause(attempts: i32) -> SignedDuration {
    let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(DOUBLINGS);
    FIRST_PAUSE * (1 << doublings)
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;

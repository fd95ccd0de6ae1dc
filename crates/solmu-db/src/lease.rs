//! Leases: who may act on a shard, proven inside the transaction that acts.
//!
//! Expiry is judged by PostgreSQL's clock, so machines need not agree on the time. A holder that was paused longer
//! than its lease finds a newer epoch in [`fence`] and its transaction rolls back: it cannot act on what it lost.
//! Shards are shared evenly between the live members of a group, within one round of the keeper.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{PgConnection, PgPool};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Db, DbError};

/// How long a transaction that holds on to a lease (a fenced one, or a renewal) may do nothing before the server ends it:
/// a process that is stopped in the middle of one must not keep others from taking over. Shorter than a lease lives.
pub const FENCED_IDLE: Duration = Duration::from_secs(3);

/// Shards that this process holds, with the epoch of each.
pub type Held = BTreeMap<i32, i64>;

/// A group of leases that processes share.
#[derive(Debug, Clone)]
pub struct LeaseGroup {
    /// Stable name, e.g. "tickets.inbound".
    pub name: String,
    /// Number of shards; 1 for a single leader.
    pub shards: i32,
    /// This process.
    pub holder: String,
    /// How long a lease lives without being renewed. Failover takes at most this and one renewal.
    pub ttl: Duration,
}

impl LeaseGroup {
    /// A group with the usual time to live.
    #[must_use]
    pub fn new(name: impl Into<String>, shards: u16, holder: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            shards: i32::from(shards),
            holder: holder.into(),
            ttl: Duration::from_secs(4),
        }
    }
}

/// Keeps this process's share of `group` until `stop`, then gives it back at once. The receiver sees what is held;
/// it is empty while the database is away for longer than the time to live.
pub fn keep(
    db: &Db,
    group: LeaseGroup,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> watch::Receiver<Held> {
    let (sender, receiver) = watch::channel(Held::new());
    let pool = db.pool().clone();
    tasks.spawn(async move {
        keep_until(&pool, &group, &sender, &stop).await;
        sender.send_replace(Held::new());
        if let Err(error) = release_all(&pool, &group).await {
            tracing::warn!(
                lease = group.name,
                error = &error as &dyn std::error::Error,
                "cannot give leases back; they expire"
            );
        }
    });
    receiver
}

async fn keep_until(
    pool: &PgPool,
    group: &LeaseGroup,
    sender: &watch::Sender<Held>,
    stop: &CancellationToken,
) {
    let mut renewed = tokio::time::Instant::now();
    loop {
        match tokio::time::timeout(group.ttl, round(pool, group)).await {
            Ok(Ok(held)) => {
                renewed = tokio::time::Instant::now();
                sender.send_if_modified(|now| std::mem::replace(now, held.clone()) != held);
            }
            Ok(Err(error)) => {
                tracing::warn!(
                    lease = group.name,
                    error = &error as &dyn std::error::Error,
                    "cannot renew leases"
                );
            }
            Err(_) => tracing::warn!(lease = group.name, "renewing leases takes too long"),
        }
        if renewed.elapsed() > group.ttl {
            sender.send_if_modified(|now| !std::mem::take(now).is_empty());
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(group.ttl / 4) => {}
        }
    }
}

/// One round: say that we live, renew what we hold, give back what is over our share, take what is free.
async fn round(pool: &PgPool, group: &LeaseGroup) -> Result<Held, DbError> {
    let ttl = group.ttl.as_secs_f64();
    let mut tx = pool.begin().await?;
    sqlx::query(
        "INSERT INTO platform.member (name, holder, expires_at)
         SELECT $1, $2, clock_timestamp() + make_interval(secs => $3)
         WHERE set_config('idle_in_transaction_session_timeout', $4, true) <> ''
         ON CONFLICT (name, holder) DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind(&group.name)
    .bind(&group.holder)
    .bind(ttl)
    .bind(FENCED_IDLE.as_millis().to_string())
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM platform.member WHERE name = $1 AND expires_at < clock_timestamp() - interval '1 hour'")
        .bind(&group.name)
        .execute(&mut *tx)
        .await?;
    let members: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM platform.member WHERE name = $1 AND expires_at > clock_timestamp()",
    )
    .bind(&group.name)
    .fetch_one(&mut *tx)
    .await?;
    let members = i32::try_from(members.max(1)).unwrap_or(i32::MAX);
    let share = (group.shards + members - 1) / members;
    sqlx::query(
        "UPDATE platform.lease SET expires_at = clock_timestamp()
         WHERE name = $1 AND holder = $2 AND shard IN (
            SELECT shard FROM platform.lease WHERE name = $1 AND holder = $2 AND expires_at > clock_timestamp()
            ORDER BY shard OFFSET $3)",
    )
    .bind(&group.name)
    .bind(&group.holder)
    .bind(i64::from(share))
    .execute(&mut *tx)
    .await?;
    take_free(&mut tx, group, share).await?;
    let held: Vec<(i32, i64)> = sqlx::query_as(
        "UPDATE platform.lease SET expires_at = clock_timestamp() + make_interval(secs => $3)
         WHERE name = $1 AND holder = $2 AND expires_at > clock_timestamp() RETURNING shard, epoch",
    )
    .bind(&group.name)
    .bind(&group.holder)
    .bind(ttl)
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(held.into_iter().collect())
}

async fn take_free(tx: &mut PgConnection, group: &LeaseGroup, share: i32) -> Result<(), DbError> {
    sqlx::query(
        "WITH mine AS (
            SELECT count(*) AS held FROM platform.lease
            WHERE name = $1 AND holder = $2 AND expires_at > clock_timestamp()
         ), free AS (
            SELECT wanted.shard FROM generate_series(0, $3 - 1) AS wanted (shard)
            LEFT JOIN platform.lease AS lease ON lease.name = $1 AND lease.shard = wanted.shard
            WHERE lease.shard IS NULL OR lease.expires_at <= clock_timestamp()
            ORDER BY wanted.shard LIMIT greatest(0, $4 - (SELECT held FROM mine))
         )
         INSERT INTO platform.lease AS lease (name, shard, holder, epoch, expires_at)
         SELECT $1, free.shard, $2, 1, clock_timestamp() + make_interval(secs => $5) FROM free
         ON CONFLICT (name, shard) DO UPDATE
            SET holder = excluded.holder, epoch = lease.epoch + 1, expires_at = excluded.expires_at
            WHERE lease.expires_at <= clock_timestamp()",
    )
    .bind(&group.name)
    .bind(&group.holder)
    .bind(group.shards)
    .bind(i64::from(share))
    .bind(group.ttl.as_secs_f64())
    .execute(tx)
    .await?;
    Ok(())
}

async fn release_all(pool: &PgPool, group: &LeaseGroup) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE platform.lease SET expires_at = clock_timestamp() WHERE name = $1 AND holder = $2",
    )
    .bind(&group.name)
    .bind(&group.holder)
    .execute(pool)
    .await?;
    sqlx::query("DELETE FROM platform.member WHERE name = $1 AND holder = $2")
        .bind(&group.name)
        .bind(&group.holder)
        .execute(pool)
        .await?;
    Ok(())
}

/// Fails with [`DbError::LeaseLost`] unless each shard still has the given epoch. Call it first in the transaction:
/// the shared row locks keep the lease from changing hands until the commit, or until the transaction has done nothing for
/// [`FENCED_IDLE`] and is ended by the server.
pub async fn fence(tx: &mut PgConnection, name: &str, shards: &Held) -> Result<(), DbError> {
    let wanted: Vec<i32> = shards.keys().copied().collect();
    let current: Vec<(i32, i64)> = sqlx::query_as(
        "SELECT shard, epoch FROM platform.lease WHERE name = $1 AND shard = ANY($2)
            AND set_config('idle_in_transaction_session_timeout', $3, true) <> '' FOR SHARE",
    )
    .bind(name)
    .bind(&wanted)
    .bind(FENCED_IDLE.as_millis().to_string())
    .fetch_all(tx)
    .await?;
    let current: Held = current.into_iter().collect();
    for (shard, epoch) in shards {
        if current.get(shard) != Some(epoch) {
            return Err(DbError::LeaseLost {
                name: name.to_owned(),
                shard: *shard,
            });
        }
    }
    Ok(())
}

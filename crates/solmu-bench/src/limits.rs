//! What the same machine and the same engines reach when they do nothing but the least: the figures to hold the
//! system's against. They are measured right after the run, on scratch objects that are removed again.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use async_nats::jetstream::{self, stream::StorageType};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{engines::postgres, generate::Generated};

/// Rows of one insert, its connections, and publishes in flight.
const BATCH: usize = 100;
const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 64;
/// Bytes of one synced write: a page.
const PAGE: usize = 4_096;

const STREAM: &str = "SOLMU_BENCH_SCRATCH";
const SUBJECT: &str = "solmu_bench_scratch.mail";

/// Operations per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Limits {
    /// Mails that plain batched inserts store: 100 rows a transaction, 4 connections.
    pub(crate) inserts: f64,
    /// Publishes that JetStream acknowledges, one mail each, 64 in flight.
    pub(crate) publishes: f64,
    /// Writes of 4 KiB to a file, each synced.
    pub(crate) syncs: f64,
}

impl Limits {
    /// Measures one after the other, each for `time`.
    pub(crate) async fn measure(
        postgres_url: &str,
        nats: &async_nats::Client,
        folder: &Path,
        mails: &Arc<Vec<Generated>>,
        time: Duration,
    ) -> anyhow::Result<Self> {
        let folder = folder.to_owned();
        Ok(Self {
            inserts: inserts(postgres_url, mails, time).await?,
            publishes: publishes(nats, mails, time).await?,
            syncs: tokio::task::spawn_blocking(move || syncs(&folder, time)).await??,
        })
    }
}

async fn inserts(url: &str, mails: &Arc<Vec<Generated>>, time: Duration) -> anyhow::Result<f64> {
    let mut admin = postgres(url).await?;
    for statement in [
        "DROP TABLE IF EXISTS public.solmu_bench_scratch",
        "CREATE TABLE public.solmu_bench_scratch (id uuid PRIMARY KEY, external_id text NOT NULL, sender text NOT NULL, \
         raw bytea NOT NULL, created_at timestamptz NOT NULL DEFAULT now())",
        "ALTER TABLE public.solmu_bench_scratch ALTER COLUMN raw SET STORAGE EXTERNAL",
    ] {
        sqlx::query(statement)
            .execute(&mut admin)
            .await
            .context("cannot make the scratch table")?;
    }
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..CONNECTIONS {
        let connection = postgres(url).await?;
        let mails = Arc::clone(mails);
        workers.spawn(async move { insert(connection, worker, &mails, begun + time).await });
    }
    let mut rows = 0;
    while let Some(done) = workers.join_next().await {
        rows += done??;
    }
    let rate = per_second(rows, begun.elapsed());
    sqlx::query("DROP TABLE public.solmu_bench_scratch")
        .execute(&mut admin)
        .await
        .context("cannot drop the scratch table")?;
    admin.close().await?;
    Ok(rate)
}

async fn insert(
    mut connection: PgConnection,
    worker: usize,
    mails: &[Generated],
    until: Instant,
) -> anyhow::Result<usize> {
    let (mut rows, mut batch) = (0, 0_usize);
    while Instant::now() < until {
        let chosen: Vec<&Generated> = mails
            .iter()
            .cycle()
            .skip((batch * CONNECTIONS + worker) * BATCH % mails.len())
            .take(BATCH)
            .collect();
        let name = |index: usize| format!("{worker}/{batch}/{index}");
        let ids: Vec<Uuid> = (0..BATCH)
            .map(|index| Uuid::new_v5(&Uuid::NAMESPACE_OID, name(index).as_bytes()))
            .collect();
        let externals: Vec<&str> = chosen.iter().map(|mail| mail.id.as_str()).collect();
        let senders: Vec<&str> = chosen.iter().map(|mail| mail.from.as_str()).collect();
        let originals: Vec<&[u8]> = chosen.iter().map(|mail| mail.bytes.as_slice()).collect();
        sqlx::query(
            "INSERT INTO public.solmu_bench_scratch (id, external_id, sender, raw) \
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[])",
        )
        .bind(&ids)
        .bind(&externals)
        .bind(&senders)
        .bind(&originals)
        .execute(&mut connection)
        .await
        .context("cannot insert into the scratch table")?;
        rows += BATCH;
        batch += 1;
    }
    connection.close().await?;
    Ok(rows)
}

async fn publishes(
    nats: &async_nats::Client,
    mails: &[Generated],
    time: Duration,
) -> anyhow::Result<f64> {
    let jetstream = jetstream::new(nats.clone());
    let config = jetstream::stream::Config {
        name: STREAM.to_owned(),
        subjects: vec![SUBJECT.to_owned()],
        storage: StorageType::File,
        max_bytes: 512 * 1024 * 1024,
        ..jetstream::stream::Config::default()
    };
    // Left over from a run that was cut off.
    let _ = jetstream.delete_stream(STREAM).await;
    jetstream
        .create_stream(config)
        .await
        .context("cannot make the scratch stream")?;
    let payloads: Vec<Bytes> = mails
        .iter()
        .take(5_000)
        .map(|mail| Bytes::from(mail.bytes.clone()))
        .collect();
    let begun = Instant::now();
    let until = begun + time;
    let acknowledged = stream::iter(
        payloads
            .iter()
            .cycle()
            .take_while(|_| Instant::now() < until),
    )
    .map(|payload| publish(&jetstream, payload.clone()))
    .buffer_unordered(IN_FLIGHT)
    .filter(|ok| futures::future::ready(*ok))
    .count()
    .await;
    let rate = per_second(acknowledged, begun.elapsed());
    jetstream
        .delete_stream(STREAM)
        .await
        .context("cannot remove the scratch stream")?;
    Ok(rate)
}

async fn publish(jetstream: &jetstream::Context, payload: Bytes) -> bool {
    match jetstream.publish(SUBJECT, payload).await {
        Ok(acknowledgement) => acknowledgement.await.is_ok(),
        Err(_) => false,
    }
}

fn syncs(folder: &Path, time: Duration) -> anyhow::Result<f64> {
    let path = folder.join(format!("solmu-bench-{}.scratch", std::process::id()));
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot make the scratch file '{}'", path.display()))?;
    let page = [b'x'; PAGE];
    let begun = Instant::now();
    let mut count = 0;
    let mut written = Ok(());
    while written.is_ok() && begun.elapsed() < time {
        written = file.write_all(&page).and_then(|()| file.sync_data());
        count += 1;
    }
    let rate = per_second(count, begun.elapsed());
    fs::remove_file(&path).with_context(|| format!("cannot remove '{}'", path.display()))?;
    written.context("cannot write the scratch file")?;
    Ok(rate)
}

pub(crate) fn per_second(count: usize, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let count = count as f64;
    if time.is_zero() {
        0.0
    } else {
        count / time.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use solmu_testkit::Harness;

    use super::*;
    use crate::{
        engines::{self, Work},
        generate::generate,
    };

    #[test]
    fn rates() {
        assert!((per_second(300, Duration::from_secs(3)) - 100.0).abs() < f64::EPSILON);
        assert!(per_second(3, Duration::ZERO).abs() < f64::EPSILON);
    }

    #[tokio::test]
    async fn the_real_engines_have_limits_and_count_their_work() {
        let harness = Harness::new().await;
        let nats = engines::nats(&harness.nats_url).await.unwrap();
        let mails = Arc::new(generate(200, 1, "r", "support@desk.example", 10));
        let namespace = &harness.bus.config().namespace;
        let before = Work::read(&nats, &harness.db_url, namespace).await.unwrap();
        let time = Duration::from_secs(2);
        let folder = std::env::temp_dir();
        let measured = Limits::measure(&harness.db_url, &nats, &folder, &mails, time);
        let Limits {
            inserts,
            publishes,
            syncs,
        } = measured.await.unwrap();
        assert!(
            inserts > 0.0 && publishes > 0.0 && syncs > 0.0,
            "{inserts} {publishes} {syncs}"
        );
        let work = Work::read(&nats, &harness.db_url, namespace)
            .await
            .unwrap()
            .since(before);
        assert_eq!(
            work.publishes, 0,
            "the scratch stream is none of the system's"
        );
        let left: Option<String> =
            sqlx::query_scalar("SELECT to_regclass('public.solmu_bench_scratch')::text")
                .fetch_one(harness.db.pool())
                .await
                .unwrap();
        assert_eq!(left, None);
    }
}

//! The engines under the system: where they are, and how much they had to do.

use std::{fs, path::Path};

use anyhow::{Context as _, anyhow};
use async_nats::{ConnectOptions, ServerAddr, jetstream};
use futures::TryStreamExt as _;
use serde::Deserialize;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};

/// The file that `solmu serve` writes for other commands on the same machine.
const FILE: &str = "engines.json";

/// Addresses of the engines.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) postgres: String,
    pub(crate) nats: String,
}

impl Addresses {
    /// Flags win over what the data directory says.
    pub(crate) fn find(
        postgres: Option<String>,
        nats: Option<String>,
        data: &Path,
    ) -> anyhow::Result<Self> {
        if let (Some(postgres), Some(nats)) = (&postgres, &nats) {
            return Ok(Self {
                postgres: postgres.clone(),
                nats: nats.clone(),
            });
        }
        let path = data.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "'{}' does not say where the engines are: name them with --postgres and --nats",
                path.display()
            )
        })?;
        let found: Self = serde_json::from_str(&text)
            .with_context(|| format!("cannot use '{}'", path.display()))?;
        Ok(Self {
            postgres: postgres.unwrap_or(found.postgres),
            nats: nats.unwrap_or(found.nats),
        })
    }
}

/// Connects to NATS. The client itself does not use the credentials of a URL.
pub(crate) async fn nats(url: &str) -> anyhow::Result<async_nats::Client> {
    let server: ServerAddr = url
        .parse()
        .map_err(|_| anyhow!("the NATS URL cannot be used"))?;
    let options = ConnectOptions::new().subscription_capacity(1 << 20);
    let options = match (server.username(), server.password()) {
        (Some(user), Some(password)) => {
            options.user_and_password(user.to_owned(), password.to_owned())
        }
        (Some(token), None) => options.token(token.to_owned()),
        _ => options,
    };
    options
        .connect(server)
        .await
        .context("cannot connect to NATS")
}

/// Connects to PostgreSQL.
pub(crate) async fn postgres(url: &str) -> anyhow::Result<PgConnection> {
    let options: PgConnectOptions = url.parse().context("the PostgreSQL URL cannot be used")?;
    options
        .application_name("solmu-bench")
        .connect()
        .await
        .context("cannot connect to PostgreSQL")
}

/// What the engines have done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Messages that the system's streams took. Each is a synced write of its own.
    pub(crate) publishes: u64,
    /// Transactions of the database, also those that only read.
    pub(crate) transactions: u64,
    /// Syncs of the write-ahead log; `None` where the server does not tell (its view changed with PostgreSQL 18).
    pub(crate) wal_syncs: Option<u64>,
}

impl Work {
    /// Reads the counters.
    pub(crate) async fn read(
        nats: &async_nats::Client,
        postgres: &str,
        namespace: &str,
    ) -> anyhow::Result<Self> {
        let prefix = format!("{}_", namespace.to_uppercase());
        let streams: Vec<jetstream::stream::Info> = jetstream::new(nats.clone())
            .streams()
            .try_collect()
            .await
            .context("cannot list the streams")?;
        let ours = streams
            .iter()
            .filter(|info| info.config.name.starts_with(&prefix));
        let publishes = ours.map(|info| info.state.last_sequence).sum();
        let mut connection = self::postgres(postgres).await?;
        let transactions: i64 = sqlx::query_scalar(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(&mut connection)
        .await
        .context("cannot read pg_stat_database")?;
        let wal_syncs: Option<i64> = sqlx::query_scalar("SELECT wal_sync FROM pg_stat_wal")
            .fetch_one(&mut connection)
            .await
            .ok();
        connection.close().await?;
        Ok(Self {
            publishes,
            transactions: u64::try_from(transactions).unwrap_or(0),
            wal_syncs: wal_syncs.and_then(|count| u64::try_from(count).ok()),
        })
    }

    /// What was done since an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            publishes: self.publishes.saturating_sub(earlier.publishes),
            transactions: self.transactions.saturating_sub(earlier.transactions),
            wal_syncs: self
                .wal_syncs
                .zip(earlier.wal_syncs)
                .map(|(now, before)| now.saturating_sub(before)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let folder = std::env::temp_dir().join(format!("solmu-cli-engines-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let error = Addresses::find(None, Some("n".to_owned()), &folder)
            .unwrap_err()
            .to_string();
        assert!(error.contains("--postgres and --nats"), "{error}");
        fs::write(
            folder.join(FILE),
            r#"{"postgres": "p1", "nats": "n1", "more": 1}"#,
        )
        .unwrap();
        let found = Addresses::find(None, Some("n2".to_owned()), &folder).unwrap();
        assert_eq!((found.postgres.as_str(), found.nats.as_str()), ("p1", "n2"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn work_is_a_difference() {
        let before = Work {
            publishes: 5,
            transactions: 10,
            wal_syncs: None,
        };
        let after = Work {
            publishes: 9,
            transactions: 8,
            wal_syncs: Some(3),
        };
        assert_eq!(
            after.since(before),
            Work {
                publishes: 4,
                transactions: 0,
                wal_syncs: None
            }
        );
    }
}

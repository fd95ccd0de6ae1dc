//! A database, a bus namespace and a clock of one test's own.

use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use solmu_bus::{Bus, BusConfig};
use solmu_db::{Db, DbConfig};
use solmu_domain::{clock::FakeClock, rng::SeededRng};
use solmu_runtime::{Keyring, Runtime, RuntimeParts};
use solmu_telemetry::Metrics;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

/// What one test has to itself.
#[derive(Debug, Clone)]
pub struct Harness {
    /// A migrated database.
    pub db: Db,
    /// Its URL.
    pub db_url: String,
    /// A bus with its own streams.
    pub bus: Bus,
    /// URL of the server behind it.
    pub nats_url: String,
    /// Stands at 2 November 2026, 08:00 UTC, a Monday, until moved.
    pub clock: FakeClock,
    /// Seeded.
    pub rng: Arc<SeededRng>,
}

impl Harness {
    /// A fresh database and namespace.
    ///
    /// # Panics
    /// When the engines of the test run cannot be used: then no test can run.
    pub async fn new() -> Self {
        let name = format!("t{}", Uuid::new_v4().simple());
        let db_url = make_database(&name).await;
        let db = Db::new(
            &db_url,
            &DbConfig {
                // 8 and, for lists, 2.
                max_connections: 10,
                ..DbConfig::default()
            },
        )
        .expect("the URL is ours");
        let nats_url = variable(crate::NATS_VARIABLE);
        let config = BusConfig {
            namespace: name,
            partitions: 4,
            max_stream_bytes: 16 << 20,
            ..BusConfig::default()
        };
        let bus = Bus::connect(&nats_url, config)
            .await
            .expect("the test engine answers");
        solmu_bus::streams::apply(&bus, 1)
            .await
            .expect("streams can be made");
        let start: Timestamp = "2026-11-02T08:00:00Z".parse().expect("a valid instant");
        Self {
            db,
            db_url,
            bus,
            nats_url,
            clock: FakeClock::new(start),
            rng: Arc::new(SeededRng::new(1)),
        }
    }

    /// A runtime over this database, bus and clock, as one process of a deployment has.
    ///
    /// # Panics
    /// Never: the key is a good one.
    pub fn runtime(&self, instance: &str) -> Runtime {
        Runtime::new(RuntimeParts {
            clock: Arc::new(self.clock.clone()),
            rng: self.rng.clone(),
            db: self.db.clone(),
            bus: self.bus.clone(),
            metrics: Metrics::new(),
            instance: instance.to_owned(),
            secrets: Keyring::new([("a".to_owned(), vec![1; 32])]).expect("a good key"),
        })
    }

    /// Another connection to the same bus namespace, as a second replica has.
    ///
    /// # Panics
    /// When the engine of the test run is gone.
    pub async fn second_bus(&self) -> Bus {
        Bus::connect(&self.nats_url, self.bus.config().clone())
            .await
            .expect("the test engine answers")
    }
}

fn variable(name: &str) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "how `cargo xtask test` says where the engines are"
    )]
    let value = std::env::var(name);
    value.unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs the engines, run it through `cargo xtask test`")
    })
}

/// Copies the migrated template, which the first test of a run makes.
async fn make_database(name: &str) -> String {
    let admin_url = variable(crate::POSTGRES_VARIABLE);
    let mut admin = PgConnection::connect(&admin_url)
        .await
        .expect("the test engine answers");
    let template = template_name();
    // One maker at a time, over all test processes; also PostgreSQL allows one copy of a template at a time.
    sqlx::query("SELECT pg_advisory_lock(7310)")
        .execute(&mut admin)
        .await
        .expect("an advisory lock");
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
            .bind(&template)
            .fetch_one(&mut admin)
            .await
            .expect("a catalogue query");
    if !exists {
        make_template(&mut admin, &admin_url, &template).await;
    }
    let copy = format!("CREATE DATABASE {name} TEMPLATE {template}");
    sqlx::query(AssertSqlSafe(copy))
        .execute(&mut admin)
        .await
        .expect("a database from the template");
    admin
        .close()
        .await
        .expect("a clean close, which frees the lock");
    with_database(&admin_url, name)
}

async fn make_template(admin: &mut PgConnection, admin_url: &str, template: &str) {
    let making = format!("{template}_making");
    for statement in [
        format!("DROP DATABASE IF EXISTS {making}"),
        format!("CREATE DATABASE {making}"),
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut *admin)
            .await
            .expect("a fresh database");
    }
    let db =
        Db::new(&with_database(admin_url, &making), &DbConfig::default()).expect("the URL is ours");
    solmu_db::migrate::migrate(&db)
        .await
        .expect("migrations apply");
    db.pool().close().await;
    let rename = format!("ALTER DATABASE {making} RENAME TO {template}");
    sqlx::query(AssertSqlSafe(rename))
        .execute(admin)
        .await
        .expect("the template gets its name");
}

/// The template's name changes with the migrations, so that a kept engine never serves an old schema.
fn template_name() -> String {
    let mut hash = Sha256::new();
    for file in solmu_db::migrate::HISTORY {
        hash.update(file.sql);
    }
    format!("template_{}", hex::encode(&hash.finalize()[..8]))
}

/// The same server, another database.
fn with_database(url: &str, database: &str) -> String {
    let (base, query) = url
        .split_once('?')
        .map_or((url, String::new()), |(base, query)| {
            (base, format!("?{query}"))
        });
    let server = base.rsplit_once('/').map_or(base, |(server, _)| server);
    format!("{server}/{database}{query}")
}

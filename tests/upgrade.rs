//! The release before this one: its database goes on under this program, and its writes are taken by this schema.
//!
//! `tests/released` holds a database that the released program has made (`deploy/checks/snapshot.py`). In a rolling upgrade the schema
//! changes first and the old processes run on, so each row that they write must satisfy what is new: that is tested
//! with the rows that they wrote. Old events are tested by their golden bytes (`crates/solmu-bus/tests/golden.rs`). Before the first tag there
//! is no old binary; `SOLMU_OLD_BIN` names one, and then both run side by side.

use std::{fs, path::Path};

use solmu_client::proto::ticket::v1::Ticket;
use solmu_engines::{Durability, EngineConfig, Engines};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqlSafeStr as _};

use crate::support::{Api, Home, Letter, Ports, Settings, Smtp, Solmu, binary, wait};

/// A file of the released database.
fn released(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("released")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Engines, and what a command needs to find them.
struct World {
    home: Home,
    engines: Engines,
}

impl World {
    async fn start() -> Self {
        let home = Home::new();
        Settings {
            connections: Some(15),
            ..Settings::default()
        }
        .write(&home);
        let config = EngineConfig {
            launcher: Some(binary()),
            durability: Durability::Volatile,
            ..EngineConfig::new(home.data())
        };
        let starting = tokio::task::spawn_blocking(move || {
            Engines::start(&config, &|line| eprintln!("{line}"))
        });
        let engines = starting.await.unwrap().unwrap();
        Self { home, engines }
    }

    fn target(&self) -> [String; 4] {
        [
            "--postgres".to_owned(),
            self.engines.postgres_url(),
            "--nats".to_owned(),
            self.engines.nats_url(),
        ]
    }

    /// Runs a command of the program on these engines.
    fn run(&self, words: &[&str]) -> String {
        let target = self.target();
        let all: Vec<&str> = words
            .iter()
            .copied()
            .chain(target.iter().map(String::as_str))
            .collect();
        self.home.run(&all)
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.engines.postgres_url())
            .await
            .unwrap()
    }

    async fn stop(self) {
        let Self { home, engines } = self;
        tokio::task::spawn_blocking(|| engines.stop())
            .await
            .unwrap()
            .unwrap();
        drop(home);
    }
}

/// Runs statements as they are written.
async fn execute(connection: &mut PgConnection, what: &str, sql: String) {
    let done = connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql).into_sql_str()))
        .await;
    if let Err(error) = done {
        panic!("{what}: {error}");
    }
}

async fn count(connection: &mut PgConnection, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(AssertSqlSafe(sql).into_sql_str())
        .fetch_one(connection)
        .await
        .unwrap()
}

/// The tables that rows were written to.
fn tables(rows: &str) -> Vec<String> {
    let mut found: Vec<String> = rows
        .lines()
        .filter_map(|line| line.strip_prefix("INSERT INTO "))
        .filter_map(|rest| rest.split_once(' '))
        .map(|(table, _)| table.to_owned())
        // The history of the schema is not written by those who run.
        .filter(|table| !table.starts_with("public."))
        .collect();
    found.sort();
    found.dedup();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_released_database_is_taken_over() {
    let world = World::start().await;
    let mut connection = world.connect().await;
    execute(
        &mut connection,
        "the released schema",
        released("schema.sql"),
    )
    .await;
    execute(&mut connection, "its rows", released("rows.sql")).await;
    let before: i64 = count(&mut connection, "tickets.ticket").await;
    let migrated = world.run(&["migrate"]);
    eprint!("{migrated}");
    world.run(&["streams", "apply"]);
    assert_eq!(count(&mut connection, "tickets.ticket").await, before);
    let (thread, subject): (String, String) = sqlx::query_as(
        "SELECT m.external_id, t.subject FROM tickets.message m JOIN tickets.ticket t ON t.id = m.ticket_id \
         WHERE m.author_kind = 1 AND m.external_id LIKE '%@%' AND m.public AND t.subject <> '' \
         ORDER BY m.created_at LIMIT 1",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();

    let (solmu, _) = Solmu::start(&world.home, "new", Ports::free(), &world.target()).await;
    // Its tokens, its tickets, its threads.
    let api = Api::with_token(&solmu, released("token").trim());
    let tickets = api.tickets().await;
    assert_eq!(i64::try_from(tickets.len()).unwrap(), before);
    let old = |ticket: &&Ticket| ticket.subject == subject;
    let ticket = tickets.iter().find(old).unwrap().clone();
    let messages = api.messages(&ticket.id).await;
    assert!(messages.iter().any(|message| !message.text.is_empty()));
    let mut smtp = Smtp::open(solmu.ports.smtp).await.unwrap();
    let mut letter = Letter::new(
        "later@customer.example",
        "Something new",
        "After the upgrade.",
    );
    assert_eq!(smtp.send(&letter).await.unwrap().code, 250);
    api.ticket("a new mail is a ticket", |it| it.subject == "Something new")
        .await;
    letter.subject = format!("Re: {subject}");
    letter.message_id = "answer.after.upgrade@customer.example".to_owned();
    letter.in_reply_to = Some(thread);
    assert_eq!(smtp.send(&letter).await.unwrap().code, 250);
    // Whether it joins or is held for a look is the policy of the day; it is filed either way.
    let mut connection = world.connect().await;
    wait("an answer to an old thread is filed", async || {
        let known: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM tickets.message WHERE external_id = 'answer.after.upgrade@customer.example')",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        known.then_some(())
    })
    .await;
    connection.close().await.unwrap();
    api.reply(&ticket.id, "We have moved on.").await;
    solmu.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_released_program_writes_satisfies_this_schema() {
    let world = World::start().await;
    world.run(&["migrate"]);
    let mut connection = world.connect().await;
    let rows = released("rows.sql");
    let tables = tables(&rows);
    assert!(tables.len() > 20, "{tables:?}");
    let writes: String = statements(&rows)
        .filter(|statement| !statement.starts_with("INSERT INTO public."))
        .collect();
    // What the migrations bring along is among the rows. Keys that point in a circle are looked at in the end.
    let all = tables.join(", ");
    let script =
        format!("BEGIN; SET CONSTRAINTS ALL DEFERRED; TRUNCATE {all} CASCADE; {writes} COMMIT;");
    execute(
        &mut connection,
        "a row of the released program is refused",
        script,
    )
    .await;
    for table in &tables {
        assert!(count(&mut connection, table).await > 0, "{table} is empty");
    }
    connection.close().await.unwrap();
    world.stop().await;
}

/// Statements of a dump: each begins a line with its word and ends one with a semicolon.
fn statements(rows: &str) -> impl Iterator<Item = String> {
    let mut found: Vec<String> = Vec::new();
    for line in rows.lines() {
        if line.starts_with("INSERT INTO ") || line.starts_with("SELECT pg_catalog.setval") {
            found.push(String::new());
        }
        if let Some(statement) = found.last_mut() {
            statement.push_str(line);
            statement.push('\n');
        }
    }
    found.into_iter()
}

/// Both at once, where there is an old one: the schema first, then one process after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_before_runs_on_under_the_new_schema() {
    let Some(before) = std::env::var_os("SOLMU_OLD_BIN") else {
        println!(
            "not run: the program before beside this one (SOLMU_OLD_BIN names none; nothing is tagged yet)"
        );
        return;
    };
    let world = World::start().await;
    world.run(&["migrate"]);
    world.run(&["streams", "apply"]);
    let token = world.run(&["first-token"]).trim().to_owned();
    let flags = world.target();
    let mut old = Solmu::spawn_other(before.as_ref(), &world.home, "old", Ports::free(), &flags);
    old.ready().await;
    mail(&old, "Before").await;
    let api = Api::with_token(&old, &token);
    api.routed("Before").await;
    let (new, _) = Solmu::start(&world.home, "new", Ports::free(), &flags).await;
    for (process, subject) in [
        (&old, "Taken by the old one"),
        (&new, "Taken by the new one"),
    ] {
        mail(process, subject).await;
        api.routed(subject).await;
    }
    // What the new one has written is read by the old one, and what the old one leaves is finished by the new one.
    mail(&old, "Left behind").await;
    old.stop().await;
    let api = Api::with_token(&new, &token);
    assert_eq!(api.routed("Left behind").await.message_count, 1);
    assert_eq!(api.tickets().await.len(), 4);
    new.stop().await;
    world.stop().await;
}

async fn mail(process: &Solmu, subject: &str) {
    let mut smtp = Smtp::open(process.ports.smtp).await.unwrap();
    let letter = Letter::new("aino@customer.example", subject, "Please help me.");
    assert_eq!(smtp.send(&letter).await.unwrap().code, 250);
}

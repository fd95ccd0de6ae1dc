//! An import that is killed with -9 again and again, and with it the server and its engines: in the end each mail is
//! filed exactly once.
//!
//! Run with every other test, it imports a few mails; `make check-import MAILS=100000` imports many into an optimised
//! build. What dies, and when, follows from a seed that is printed; `SOLMU_CRASH_SEED` plays one again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::support::{Engine, Home, Ports, Settings, Solmu, binary, command, until, wait};

/// Mails unless `SOLMU_IMPORT_MAILS` says how many.
const MAILS: usize = 2_000;
/// Mails between two kills.
const BATCH: usize = 125;
/// Mails between two kills of a large import: there, starts are not what is tested.
const LARGE_BATCH: usize = 1_000;
/// One mail in so many has a file that is larger than what travels inside an event.
const WITH_FILE: usize = 200;
/// How long an import and the filing of a mail may take at most once nothing is killed any more, on the slowest machine.
const PER_MAIL: Duration = Duration::from_millis(60);
const SETTLE: Duration = Duration::from_mins(2);
/// Mails that are filed, and those that wait for somebody to look at them.
const FILED: &str = "SELECT count(*) FROM tickets.message WHERE author_kind = 1";
const PUT_ASIDE: &str = "SELECT count(*) FROM tickets.quarantine";

/// What dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Import,
    Postgres,
    Nats,
    /// The server, and its engines with it.
    Server,
}

/// A running system and an import into it.
struct System {
    server: Solmu,
    import: Option<Child>,
    runs: usize,
    /// The last to go, after what lives in it.
    home: Home,
}

impl System {
    async fn start() -> Self {
        let home = Home::new();
        Settings::default().write(&home);
        fs::create_dir_all(home.beside("mail")).unwrap();
        let (server, _) = Solmu::start(&home, "server", Ports::free(), &[]).await;
        Self {
            server,
            import: None,
            runs: 0,
            home,
        }
    }

    /// Starts an import of everything that is there by now.
    fn import(&mut self) {
        self.runs += 1;
        let log = File::create(self.home.beside("import.log")).unwrap();
        let import = command(&binary())
            .arg("--data")
            .arg(self.home.data())
            .arg("import")
            .arg(self.home.beside("mail"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.import = Some(import);
    }

    async fn kill(&mut self, target: Target) {
        match target {
            Target::Import => {}
            Target::Postgres => self.kill_engine(Engine::Postgres),
            Target::Nats => self.kill_engine(Engine::Nats),
            Target::Server => {
                self.server.kill();
                self.server = Solmu::spawn(&self.home, "server", self.server.ports, &[]);
                self.end_import();
                self.server.ready().await;
            }
        }
        if target == Target::Import {
            self.end_import();
        }
    }

    fn kill_engine(&self, engine: Engine) {
        if let Some(pid) = self.home.engine_pid(engine) {
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
    }

    fn end_import(&mut self) {
        if let Some(mut import) = self.import.take() {
            import.kill().unwrap();
            import.wait().unwrap();
        }
    }

    /// How the import ended, if it did.
    fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.import.as_mut()?.try_wait().unwrap()?;
        self.import = None;
        Some(status)
    }

    fn said(&self) -> String {
        fs::read_to_string(self.home.beside("import.log")).unwrap_or_default()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.end_import();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_imported_is_filed_once_whatever_dies() {
    let begun = Instant::now();
    let given = |name: &str| {
        std::env::var_os(name).map(|text| text.to_string_lossy().parse::<u64>().unwrap())
    };
    let seed = given("SOLMU_CRASH_SEED").unwrap_or_else(rand::random);
    let mails = given("SOLMU_IMPORT_MAILS").map_or(MAILS, |count| usize::try_from(count).unwrap());
    let batch = if mails > MAILS { LARGE_BATCH } else { BATCH };
    eprintln!("seed {seed}, {mails} mails");
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut system = System::start().await;
    let mut killed: BTreeMap<Target, usize> = BTreeMap::new();
    let mut written = 0;
    while written < mails {
        let end = mails.min(written + batch);
        write_mails(&system.home.beside("mail"), written..end);
        written = end;
        system.ended();
        if system.import.is_none() {
            system.import();
        }
        // Long enough to be in the middle of something, sometimes of the start.
        let pause = chance.random_range(5..1_500);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let target = match chance.random_range(0..10) {
            0..5 => Target::Import,
            5 | 6 => Target::Nats,
            7 => Target::Postgres,
            _ => Target::Server,
        };
        system.kill(target).await;
        *killed.entry(target).or_default() += 1;
    }
    eprintln!("{:?}: the killing is over: {killed:?}", begun.elapsed());
    finish(&mut system, mails).await;
    eprintln!("{:?}: imported in {} runs", begun.elapsed(), system.runs);

    let (postgres, _) = system.home.engine_urls();
    let pool = wait("the database is back", async || {
        let connecting = PgPoolOptions::new().max_connections(2).connect(&postgres);
        connecting.await.ok()
    })
    .await;
    until_all_are_filed(&system, &pool, mails).await;
    filed_exactly_once(&pool, mails).await;
    let dead = system.home.run(&["dead", "list", "--json"]);
    assert_eq!(dead, "", "nothing was given up");
    pool.close().await;
    eprintln!(
        "{mails} mails imported in {} runs and {} kills, each filed once; {:?} in all",
        system.runs,
        killed.values().sum::<usize>(),
        begun.elapsed()
    );
}

/// Imports until an import says that all is done.
async fn finish(system: &mut System, mails: usize) {
    let limit = SETTLE + PER_MAIL * u32::try_from(mails).unwrap();
    until("the import is done", limit, async || {
        match system.ended() {
            Some(status) if status.success() => return Some(()),
            Some(_) => {
                // Engines that were killed a moment ago come back.
                tokio::time::sleep(Duration::from_millis(500)).await;
                system.import();
            }
            None if system.import.is_none() => system.import(),
            None => {}
        }
        None
    })
    .await;
    eprintln!("{}", system.said().lines().last().unwrap_or_default());
}

/// Waits until every mail is filed. If that takes too long, or one was put aside, it says what is known of it.
async fn until_all_are_filed(system: &System, pool: &PgPool, mails: usize) {
    let limit = SETTLE + PER_MAIL * u32::try_from(mails).unwrap();
    let wanted = i64::try_from(mails).unwrap();
    let begun = Instant::now();
    let mut count = 0;
    while count < wanted {
        // While the database comes back, nobody answers.
        if let Ok(filed) = sqlx::query_scalar(FILED).fetch_one(pool).await {
            count = filed;
        }
        let waiting = sqlx::query_scalar(PUT_ASIDE).fetch_one(pool).await;
        let waiting = waiting.unwrap_or(0_i64);
        assert!(
            waiting == 0 && begun.elapsed() < limit,
            "{count} of {mails} mails are filed, {waiting} were put aside, after {:?}\n{}",
            begun.elapsed(),
            known_of(system, pool, mails).await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What helps to find out why a mail is not filed: which, dead letters, what `doctor` finds, who holds what, and what
/// the server warned of last.
async fn known_of(system: &System, pool: &PgPool, mails: usize) -> String {
    let filed: Vec<String> = sqlx::query_scalar("SELECT subject FROM tickets.message")
        .fetch_all(pool)
        .await
        .unwrap_or_default();
    let filed: BTreeSet<String> = filed.into_iter().collect();
    let missing: Vec<String> = (0..mails)
        .map(subject)
        .filter(|subject| !filed.contains(subject))
        .take(10)
        .collect();
    let leases: Vec<String> = sqlx::query_scalar(
        "SELECT concat_ws(' ', name, shard, holder, epoch, expires_at - clock_timestamp()) FROM platform.lease ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap_or_default();
    let says = |arguments: &[&str]| {
        let said = system.home.try_run(arguments);
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    let output = system.server.output();
    let mut warnings: Vec<&str> = output
        .lines()
        .rev()
        .filter(|line| line.contains("WARN") || line.contains("ERROR"))
        .take(20)
        .collect();
    warnings.reverse();
    format!(
        "missing: {missing:?}\ndead letters: {}\nleases: {leases:#?}\ndoctor: {}\nwarnings: {warnings:#?}",
        says(&["dead", "list"]),
        says(&["doctor"])
    )
}

async fn filed_exactly_once(pool: &PgPool, mails: usize) {
    let filed: Vec<(String, i64)> = sqlx::query_as(
        "SELECT subject, count(*) FROM tickets.message WHERE author_kind = 1 GROUP BY subject",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let filed: BTreeMap<String, i64> = filed.into_iter().collect();
    let missing: Vec<String> = (0..mails)
        .map(subject)
        .filter(|subject| !filed.contains_key(subject))
        .take(10)
        .collect();
    let twice: Vec<_> = filed
        .iter()
        .filter(|(_, count)| **count != 1)
        .take(10)
        .collect();
    assert!(
        missing.is_empty() && twice.is_empty(),
        "missing {missing:?}, not once {twice:?}"
    );
    assert_eq!(filed.len(), mails, "something else was filed");
    let waiting: i64 = sqlx::query_scalar(PUT_ASIDE).fetch_one(pool).await.unwrap();
    assert_eq!(waiting, 0, "nothing was put aside");
}

/// Every mail has a subject of its own: some have no Message-ID.
fn subject(number: usize) -> String {
    format!("Imported mail {number}")
}

fn mail(number: usize) -> String {
    let mut mail = format!(
        "From: Customer {number} <c{}@customer.example>\nTo: support@desk.example\nSubject: {}\n\
         Date: Mon, 02 Nov 2026 10:00:00 +0200\n",
        number % 997,
        subject(number)
    );
    if !number.is_multiple_of(17) {
        let _ = writeln!(mail, "Message-ID: <{number}@customer.example>");
    }
    if number % 3 == 2 {
        let _ = writeln!(mail, "In-Reply-To: <{}@customer.example>", number - 1);
    }
    if number % WITH_FILE == WITH_FILE - 1 {
        mail.push_str("Content-Type: text/csv; name=\"a.csv\"\nContent-Disposition: attachment; filename=\"a.csv\"\n\n");
        for row in 0..20_000 {
            let _ = writeln!(mail, "{number};{row}");
        }
    } else {
        let _ = writeln!(mail, "\nThis is mail {number}.");
    }
    mail
}

/// Of each batch, most go into a mailbox file, the rest into a Maildir and into single files.
fn write_mails(root: &Path, numbers: std::ops::Range<usize>) {
    let (maildir, loose) = (root.join("Maildir"), root.join("loose"));
    for folder in [
        &maildir.join("cur"),
        &maildir.join("new"),
        &maildir.join("tmp"),
        &loose,
    ] {
        fs::create_dir_all(folder).unwrap();
    }
    // As whoever exports mail does it: a file is there as a whole or not at all.
    let write = |place: PathBuf, text: &str| {
        let part = root.with_file_name("part");
        fs::write(&part, text).unwrap();
        fs::rename(part, place).unwrap();
    };
    let place = root.join(format!("{:06}.mbox", numbers.start));
    let mut mbox = String::new();
    for number in numbers {
        let mail = mail(number);
        match number % 10 {
            8 => write(maildir.join(format!("new/{number}.x")), &mail),
            9 => write(loose.join(format!("{number:06}.eml")), &mail),
            _ => {
                mbox.push_str("From x@customer.example Mon Nov  2 00:00:00 2026\n");
                mbox.push_str(&mail);
                mbox.push('\n');
            }
        }
    }
    write(place, &mbox);
}

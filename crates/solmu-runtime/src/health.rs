//! Whether this process is started and whether it can serve, by named checks.
//!
//! A role registers a check for what it cannot serve without and reports on it; readiness is the conjunction. Liveness
//! has no checks on purpose: a database that is away must not make the platform kill every pod. A check may also be
//! for information only: a pure consumer stays ready while the bus is away, because nobody is routed to it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use solmu_telemetry::metrics::{Gauge, Unit};
use tokio::sync::watch;

use crate::runtime::Runtime;

/// One check, as it is reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Whether it holds.
    pub ready: bool,
    /// Whether the process is not ready without it.
    pub required: bool,
    /// Why it does not hold; empty when it does. A safe sentence: everybody in the cluster can read it.
    pub reason: String,
}

/// The state of all checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether calls should come here.
    pub ready: bool,
    /// Whether all required checks have held at the same time at least once.
    pub started: bool,
    /// Whether the process is on its way out.
    pub draining: bool,
    /// The checks, by name.
    pub checks: Vec<Check>,
}

#[derive(Debug, Default)]
struct State {
    checks: BTreeMap<String, Check>,
    complete: bool,
    started: bool,
    draining: bool,
    /// What the start waits for.
    waits_for: String,
}

/// Name of the check that does not hold until all roles have started.
const START: &str = "start";

/// The checks of a process. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Readiness {
    state: Arc<Mutex<State>>,
    ready: watch::Sender<bool>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

/// Reports on one check.
#[derive(Debug, Clone)]
pub struct CheckHandle {
    readiness: Readiness,
    name: String,
}

impl Readiness {
    /// No checks yet, and not ready before [`Readiness::complete`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            ready: watch::Sender::new(false),
        }
    }

    /// Adds a check that the process is not ready without. It does not hold until it is reported to.
    #[must_use]
    pub fn require(&self, name: impl Into<String>) -> CheckHandle {
        self.add(name.into(), true)
    }

    /// Adds a check that is only shown.
    #[must_use]
    pub fn inform(&self, name: impl Into<String>) -> CheckHandle {
        self.add(name.into(), false)
    }

    fn add(&self, name: String, required: bool) -> CheckHandle {
        let mut state = self.lock();
        let check = Check {
            name: name.clone(),
            ready: false,
            required,
            reason: "starting".to_owned(),
        };
        state.checks.insert(name.clone(), check);
        self.publish(state);
        CheckHandle {
            readiness: self.clone(),
            name,
        }
    }

    /// All roles have registered their checks: from here on the process is ready when all of them hold.
    pub fn complete(&self) {
        let mut state = self.lock();
        state.complete = true;
        self.publish(state);
    }

    /// Says what the start of the roles waits for: a safe sentence.
    pub fn waits_for(&self, reason: impl Into<String>) {
        self.lock().waits_for = reason.into();
    }

    /// The process is on its way out: not ready from here on, whatever the checks say.
    pub fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        self.publish(state);
    }

    /// The present state.
    #[must_use]
    pub fn report(&self) -> Report {
        let state = self.lock();
        // It is not a check of its own: once all roles have started there is nothing more to tell.
        let start = (!state.complete).then(|| Check {
            name: START.to_owned(),
            ready: false,
            required: true,
            reason: match state.waits_for.as_str() {
                "" => "the roles are starting".to_owned(),
                reason => reason.to_owned(),
            },
        });
        Report {
            ready: is_ready(&state),
            started: state.started,
            draining: state.draining,
            checks: state.checks.values().cloned().chain(start).collect(),
        }
    }

    /// Sees each change of readiness.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, mut state: MutexGuard<'_, State>) {
        let ready = is_ready(&state);
        state.started |= ready;
        self.ready
            .send_if_modified(|now| std::mem::replace(now, ready) != ready);
    }
}

fn is_ready(state: &State) -> bool {
    let all = state
        .checks
        .values()
        .filter(|check| check.required)
        .all(|check| check.ready);
    state.complete && !state.draining && all
}

impl CheckHandle {
    /// The check holds.
    pub fn ready(&self) {
        self.set(true, String::new());
    }

    /// The check does not hold, with a safe sentence that says why.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(false, reason.into());
    }

    fn is_ready(&self) -> bool {
        let state = self.readiness.lock();
        state
            .checks
            .get(&self.name)
            .is_some_and(|check| check.ready)
    }

    fn set(&self, ready: bool, reason: String) {
        let mut state = self.readiness.lock();
        let Some(check) = state.checks.get_mut(&self.name) else {
            return;
        };
        if check.ready != ready {
            // The change is worth a line, each poll is not.
            tracing::info!(check = self.name, ready, reason, "readiness changed");
        }
        (check.ready, check.reason) = (ready, reason);
        self.readiness.publish(state);
    }
}

/// How often the engines are asked.
const POLL: Duration = Duration::from_secs(2);
/// How often while one of them is away: a process that has just started is wanted soon.
const POLL_AWAY: Duration = Duration::from_millis(100);
/// How long they may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Without which engine a process is not ready: what it is asked for it cannot do then. Of the others it only tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// It answers from the database. One that only takes messages in does not: NATS keeps them until they can be filed.
    pub postgres: bool,
    /// It publishes before it answers.
    pub nats: bool,
}

/// What alerts look at: it must not depend on anybody being routed here.
struct Told {
    ready: Gauge,
    engine: Gauge<1>,
}

impl Told {
    fn register(runtime: &Runtime) -> Self {
        Self {
            ready: runtime.metrics.gauge(
                "solmu_ready",
                "1 while calls should come to this process, else 0",
                Unit::Count,
                [],
            ),
            engine: runtime.metrics.gauge(
                "solmu_engine_ready",
                "1 while this process can work with an engine, else 0: it answers, and the schema is new enough",
                Unit::Count,
                ["engine"],
            ),
        }
    }

    fn tell(&self, readiness: &Readiness, postgres: &CheckHandle, nats: &CheckHandle) {
        let number = |holds: bool| f64::from(u8::from(holds));
        self.ready.set([], number(readiness.report().ready));
        self.engine.set(["postgres"], number(postgres.is_ready()));
        self.engine.set(["nats"], number(nats.is_ready()));
    }
}

/// Watches PostgreSQL (with the version of its schema) and NATS until the process stops.
pub fn watch_engines(runtime: &Runtime, needs: Needs) {
    let add = |name: &str, needed: bool| {
        if needed {
            runtime.readiness.require(name)
        } else {
            runtime.readiness.inform(name)
        }
    };
    let (postgres, nats) = (add("postgres", needs.postgres), add("nats", needs.nats));
    let (told, readiness) = (Told::register(runtime), runtime.readiness.clone());
    let (db, bus, stop) = (
        runtime.db.clone(),
        runtime.bus.clone(),
        runtime.shutdown.stop.clone(),
    );
    runtime.spawn_background("health.engines", async move {
        loop {
            let version = solmu_db::migrate::current_version(&db);
            match tokio::time::timeout(PATIENCE, version).await {
                Ok(Ok(version)) if version >= solmu_db::migrate::needed_version() => {
                    postgres.ready();
                }
                Ok(Ok(_)) => postgres.not_ready("the schema is not migrated: run `solmu migrate`"),
                Ok(Err(error)) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "no answer from postgres"
                    );
                    postgres.not_ready("postgres does not answer");
                }
                Err(_) => postgres.not_ready("postgres does not answer in time"),
            }
            match tokio::time::timeout(PATIENCE, bus.answers()).await {
                Ok(true) => nats.ready(),
                Ok(false) => nats.not_ready("nats is not connected"),
                Err(_) => nats.not_ready("nats does not answer in time"),
            }
            told.tell(&readiness, &postgres, &nats);
            let pause = if postgres.is_ready() && nats.is_ready() {
                POLL
            } else {
                POLL_AWAY
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_complete_and_all_required_checks_hold() {
        let readiness = Readiness::new();
        let (postgres, nats) = (readiness.require("postgres"), readiness.inform("nats"));
        assert!(!readiness.report().ready);
        let start = |report: Report| report.checks.into_iter().find(|it| it.name == START);
        readiness.waits_for("run `solmu migrate`");
        assert_eq!(
            start(readiness.report()).unwrap().reason,
            "run `solmu migrate`"
        );
        postgres.ready();
        assert!(!readiness.report().ready, "another role may still register");
        readiness.complete();
        assert!(readiness.report().ready && readiness.report().started);
        assert_eq!(start(readiness.report()), None);

        nats.not_ready("away");
        assert!(readiness.report().ready, "only shown");
        postgres.not_ready("away");
        let report = readiness.report();
        assert!(!report.ready && report.started);
        assert_eq!(report.checks[1].reason, "away");
    }

    #[tokio::test]
    async fn a_database_that_is_away_stops_only_who_answers_from_it() {
        let harness = solmu_testkit::Harness::new().await;
        let mut takes_mail = crate::testing::runtime(&harness, "email");
        takes_mail.db = solmu_db::Db::new(
            "postgres://nobody@127.0.0.1:1/nothing",
            &solmu_db::DbConfig::default(),
        )
        .unwrap();
        let mut answers = crate::testing::runtime(&harness, "tickets");
        answers.db = takes_mail.db.clone();
        for (runtime, postgres) in [(&takes_mail, false), (&answers, true)] {
            runtime.readiness.complete();
            let needs = Needs {
                postgres,
                nats: true,
            };
            watch_engines(runtime, needs);
            // One look later both figures are told.
            solmu_testkit::wait_for("NATS is seen", async || {
                let text = runtime.metrics.encode();
                text.contains("solmu_engine_ready{engine=\"nats\"} 1")
                    && text.contains("solmu_engine_ready{engine=\"postgres\"} 0")
                    && text.contains(&format!("solmu_ready{{}} {}", u8::from(!postgres)))
            })
            .await;
            let report = runtime.readiness.report();
            assert_eq!(report.ready, !postgres);
            let check = &report.checks[1];
            assert!(check.name == "postgres" && !check.ready && check.required == postgres);
            runtime.shutdown.stop.cancel();
        }
    }

    #[tokio::test]
    async fn a_bus_that_is_away_stops_only_who_publishes_before_it_answers() {
        let harness = solmu_testkit::Harness::new().await;
        let config = solmu_bus::BusConfig::default();
        let away = solmu_bus::Bus::connect("nats://127.0.0.1:1", config)
            .await
            .unwrap();
        for nats in [false, true] {
            let mut runtime = crate::testing::runtime(&harness, "tickets");
            runtime.bus = away.clone();
            runtime.readiness.complete();
            let needs = Needs {
                postgres: true,
                nats,
            };
            watch_engines(&runtime, needs);
            solmu_testkit::wait_for("both engines are seen", async || {
                let text = runtime.metrics.encode();
                text.contains("solmu_engine_ready{engine=\"nats\"} 0")
                    && text.contains("solmu_engine_ready{engine=\"postgres\"} 1")
                    && text.contains(&format!("solmu_ready{{}} {}", u8::from(!nats)))
            })
            .await;
            assert_eq!(runtime.readiness.report().ready, !nats);
            runtime.shutdown.stop.cancel();
        }
    }

    #[test]
    fn draining_wins() {
        let readiness = Readiness::new();
        readiness.complete();
        let mut changes = readiness.subscribe();
        assert!(*changes.borrow_and_update());
        readiness.drain();
        assert!(changes.has_changed().unwrap() && !*changes.borrow());
        readiness.complete();
        assert!(!readiness.report().ready);
    }
}

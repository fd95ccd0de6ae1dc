//! From the signal to the exit, in an order that loses nothing.
//!
//! Readiness goes first, and a delay follows, so that load balancers send new calls elsewhere while this process still
//! answers. Then intake stops and what is in hand is finished; only then end the things that the work leans on
//! (outbox relays, lease keepers, the admin server). Telemetry is flushed last, by the binary, because everything
//! before it is worth a log line.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{health::Readiness, runtime::Runtime};

/// How a process ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LifecycleConfig {
    /// How long the process still takes calls after it stopped being ready, in milliseconds. 0 without load balancer.
    pub drain_delay_ms: u64,
    /// How long work in hand may take to finish, in milliseconds.
    pub drain_timeout_ms: u64,
    /// How long relays and servers may take to end after that, in milliseconds.
    pub stop_timeout_ms: u64,
}

impl Default for LifecycleConfig {
    fn default() -> Self {
        Self {
            drain_delay_ms: 0,
            drain_timeout_ms: 25_000,
            stop_timeout_ms: 5_000,
        }
    }
}

/// Tells tasks when to stop. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Take nothing new; finish what is in hand.
    pub drain: CancellationToken,
    /// All work is finished: end.
    pub stop: CancellationToken,
    requested: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl Shutdown {
    /// Nothing has been asked for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the process to drain and exit, as a signal does. The first reason is kept for the log and the exit code.
    pub fn request(&self, reason: impl Into<String>) {
        // A later reason is a consequence of the first.
        drop(self.reason.set(reason.into()));
        self.requested.cancel();
    }

    /// Why the process ends, when it was not a signal.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }
}

/// How the drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything in hand was finished.
    Clean,
    /// This many tasks were still at work when the time was up.
    TimedOut {
        /// Tasks that were left.
        left: usize,
    },
    /// Somebody asked a second time: exit at once.
    Forced,
}

/// SIGINT and SIGTERM, counted.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Starts to listen, so that the signals no longer end the process by themselves.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The name of the next signal.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Waits for a signal or a [`Shutdown::request`], then drains. A second signal cuts the drain short.
pub async fn run(runtime: &Runtime, config: &LifecycleConfig, signals: &mut Signals) -> Outcome {
    tokio::select! {
        name = signals.next() => tracing::info!(signal = name, "draining"),
        () = runtime.shutdown.requested.cancelled() => {
            tracing::warn!(reason = runtime.shutdown.reason().unwrap_or_default(), "draining");
        }
    }
    let drain = Drain {
        shutdown: &runtime.shutdown,
        readiness: &runtime.readiness,
        tasks: &runtime.tasks,
        background: &runtime.background,
    };
    let outcome = tokio::select! {
        outcome = drain.run(config) => outcome,
        name = signals.next() => {
            tracing::warn!(signal = name, "a second signal: exiting at once");
            return Outcome::Forced;
        }
    };
    match outcome {
        Outcome::TimedOut { left } => {
            tracing::warn!(tasks = left, "drained, but not everything was finished");
        }
        Outcome::Clean | Outcome::Forced => tracing::info!("drained"),
    }
    outcome
}

/// The phases of a drain, over the parts of a runtime that they touch.
struct Drain<'a> {
    shutdown: &'a Shutdown,
    readiness: &'a Readiness,
    tasks: &'a TaskTracker,
    background: &'a TaskTracker,
}

impl Drain<'_> {
    async fn run(&self, config: &LifecycleConfig) -> Outcome {
        self.readiness.drain();
        tokio::time::sleep(Duration::from_millis(config.drain_delay_ms)).await;

        self.shutdown.drain.cancel();
        let in_hand = finish(self.tasks, Duration::from_millis(config.drain_timeout_ms)).await;

        self.shutdown.stop.cancel();
        let leaned_on = finish(
            self.background,
            Duration::from_millis(config.stop_timeout_ms),
        )
        .await;
        match in_hand + leaned_on {
            0 => Outcome::Clean,
            left => Outcome::TimedOut { left },
        }
    }
}

/// Waits for the tasks, at most `limit`. Returns how many are left.
async fn finish(tasks: &TaskTracker, limit: Duration) -> usize {
    tasks.close();
    // Being late shows in the number that is left.
    drop(tokio::time::timeout(limit, tasks.wait()).await);
    tasks.len()
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    #[derive(Default)]
    struct World {
        shutdown: Shutdown,
        readiness: Readiness,
        tasks: TaskTracker,
        background: TaskTracker,
        log: Arc<Mutex<Vec<&'static str>>>,
    }

    impl World {
        async fn drain(&self, config: &LifecycleConfig) -> Outcome {
            let drain = Drain {
                shutdown: &self.shutdown,
                readiness: &self.readiness,
                tasks: &self.tasks,
                background: &self.background,
            };
            drain.run(config).await
        }

        fn note(&self) -> impl Fn(&'static str) + Send + 'static {
            let log = Arc::clone(&self.log);
            move |what| {
                log.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(what);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn phases_come_in_order() {
        let world = World::default();
        let (shutdown, note) = (world.shutdown.clone(), world.note());
        world.tasks.spawn(async move {
            shutdown.drain.cancelled().await;
            note("intake stopped");
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert!(!shutdown.stop.is_cancelled(), "work in hand comes first");
            note("work finished");
        });
        let (shutdown, note) = (world.shutdown.clone(), world.note());
        world.background.spawn(async move {
            shutdown.stop.cancelled().await;
            note("relay ended");
        });
        let (readiness, shutdown, note) = (
            world.readiness.clone(),
            world.shutdown.clone(),
            world.note(),
        );
        let watch = TaskTracker::new().spawn(async move {
            readiness
                .subscribe()
                .wait_for(|ready| !ready)
                .await
                .expect("readiness lives");
            assert!(
                !shutdown.drain.is_cancelled(),
                "load balancers hear of it first"
            );
            note("not ready");
        });

        let config = LifecycleConfig {
            drain_delay_ms: 5_000,
            ..LifecycleConfig::default()
        };
        let started = tokio::time::Instant::now();
        assert_eq!(world.drain(&config).await, Outcome::Clean);
        watch.await.unwrap();
        assert_eq!(started.elapsed().as_secs(), 8);
        let log = world.log.lock().unwrap();
        assert_eq!(
            *log,
            [
                "not ready",
                "intake stopped",
                "work finished",
                "relay ended"
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_is_bounded() {
        let world = World::default();
        world.tasks.spawn(std::future::pending::<()>());
        let started = tokio::time::Instant::now();
        let outcome = world.drain(&LifecycleConfig::default()).await;
        assert_eq!(outcome, Outcome::TimedOut { left: 1 });
        assert_eq!(started.elapsed().as_secs(), 25);
    }

    #[test]
    fn the_first_reason_is_kept() {
        let shutdown = Shutdown::new();
        shutdown.request("disk gone");
        shutdown.request("and then everything else");
        assert_eq!(shutdown.reason(), Some("disk gone"));
    }

    #[tokio::test]
    async fn a_panic_in_a_task_drains_the_process() {
        let harness = solmu_testkit::Harness::new().await;
        let runtime = crate::testing::runtime(&harness, "one");
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let admin = crate::admin::serve(&runtime, any).await.unwrap();
        let needs = crate::health::Needs {
            postgres: true,
            nats: true,
        };
        crate::health::watch_engines(&runtime, needs);
        runtime.readiness.complete();
        let mut ready = runtime.readiness.subscribe();
        ready.wait_for(|ready| *ready).await.unwrap();

        runtime.spawn("broken", async { panic!("on purpose") });
        let mut signals = Signals::listen().unwrap();
        let outcome = run(&runtime, &LifecycleConfig::default(), &mut signals).await;
        assert_eq!(outcome, Outcome::Clean);
        assert_eq!(runtime.shutdown.reason(), Some("task 'broken' panicked"));
        assert!(!*ready.borrow_and_update());
        assert!(
            tokio::net::TcpStream::connect(admin).await.is_err(),
            "the servers are closed"
        );
    }
}

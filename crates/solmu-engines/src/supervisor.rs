//! One permanent thread per engine: it starts the child, waits until it serves, starts it again when it dies, and stops
//! it when the handle is dropped. Only this thread signals the child, so no signal ever meets a reused process id.

use std::{
    process::Child,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    engine::{Engine, EngineHealth, EngineState, Event, Helper},
    error::EngineError,
    exec::Launcher,
    files::Log,
    process::{send, wait_until},
};

/// How often a running child is looked at; a death is noticed this much later at most.
const WATCH: Duration = Duration::from_millis(50);
/// How often a serving child is asked whether it can still do its work.
const ASK: Duration = Duration::from_secs(15);
/// One that says no for so long is started again.
const UNWELL_LIMIT: Duration = Duration::from_mins(2);
/// How often a starting child is asked whether it serves.
const READY_POLL: Duration = Duration::from_millis(3);
/// Crash recovery of a large database takes its time; past this something is wrong.
const READY_LIMIT: Duration = Duration::from_mins(10);
/// A first start that ends at once is tried again this often: leftovers of a crash may need a moment to go away.
const FIRST_TRIES: u32 = 5;
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Having served this long, an engine is taken for healthy again and the next pause is the shortest.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);
/// A supervised engine. Dropping it stops the engine.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// Dropped to ask for the stop.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<bool>>,
    health: Arc<Mutex<EngineHealth>>,
}

impl Supervisor {
    /// Starts the thread; what comes of it is told on `events`.
    pub(crate) fn start<E: Engine>(
        engine: E,
        launcher: Launcher,
        log: Log,
        events: Sender<Event>,
    ) -> Result<Self, EngineError> {
        let (stop, stopped) = channel();
        let health = Arc::new(Mutex::new(EngineHealth {
            state: EngineState::Starting,
            pid: None,
            restarts: 0,
            last_failure: None,
        }));
        let worker = Worker {
            engine,
            launcher,
            log,
            stop: stopped,
            health: Arc::clone(&health),
        };
        let thread = std::thread::Builder::new()
            .name(format!("solmu-{}", E::NAME.as_str().to_lowercase()))
            .spawn(move || worker.run(&events))
            .map_err(EngineError::io(
                "start a thread for",
                std::path::Path::new(E::NAME.as_str()),
            ))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
            health,
        })
    }

    pub(crate) fn health(&self) -> EngineHealth {
        self.health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Stops the engine and waits for it; says whether the ordinary signal was enough.
    pub(crate) fn stop(&mut self) -> bool {
        self.stop = None;
        self.thread
            .take()
            .is_none_or(|thread| thread.join().unwrap_or(false))
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// How long an engine has said that it cannot do its work.
struct Patience {
    next_question: Instant,
    unwell_since: Option<Instant>,
}

impl Patience {
    fn new(now: Instant) -> Self {
        Self {
            next_question: now + ASK,
            unwell_since: None,
        }
    }

    /// Asks when it is time to. What the engine says, once it has said so for too long.
    fn lost(&mut self, now: Instant, complaint: impl FnOnce() -> Option<String>) -> Option<String> {
        if now < self.next_question {
            return None;
        }
        self.next_question = now + ASK;
        let Some(why) = complaint() else {
            self.unwell_since = None;
            return None;
        };
        let since = *self.unwell_since.get_or_insert(now);
        (now.duration_since(since) >= UNWELL_LIMIT).then_some(why)
    }
}

/// The state of a supervisor's thread.
struct Worker<E> {
    engine: E,
    launcher: Launcher,
    log: Log,
    stop: Receiver<()>,
    health: Arc<Mutex<EngineHealth>>,
}

impl<E: Engine> Worker<E> {
    /// Says whether the engine stopped by the ordinary signal.
    fn run(mut self, events: &Sender<Event>) -> bool {
        let begin = Instant::now();
        let mut child = match self.first_start(events) {
            Ok(child) => child,
            Err(error) => {
                self.note(|health| (health.state, health.pid) = (EngineState::Stopped, None));
                let _ = events.send(Event::Failed(error));
                return true;
            }
        };
        let _ = events.send(Event::Progress(format!(
            "{} is ready ({} ms)",
            self.engine.title(),
            begin.elapsed().as_millis()
        )));
        let _ = events.send(Event::Ready(E::NAME, self.engine.address()));

        let mut pause = SHORTEST_PAUSE;
        loop {
            let serving_since = Instant::now();
            let Some(why) = self.watch(&mut child) else {
                return self.end(&mut child);
            };
            if serving_since.elapsed() >= HEALTHY_AFTER {
                pause = SHORTEST_PAUSE;
            }
            tracing::error!(engine = E::NAME.as_str(), pid = child.id(), %why, "engine ended unexpectedly");
            self.note(|health| {
                (health.state, health.pid) = (EngineState::Down, None);
                health.last_failure = Some(why);
            });
            match self.start_again(&mut pause) {
                Some(next) => child = next,
                None => return true,
            }
        }
    }

    fn first_start(&mut self, events: &Sender<Event>) -> Result<Child, EngineError> {
        let mut helper = Helper {
            launcher: &self.launcher,
            log: &mut self.log,
            events,
            stop: &self.stop,
        };
        self.engine.prepare(&mut helper)?;
        let mut pause = SHORTEST_PAUSE;
        let mut tries = 1;
        loop {
            match self.launch() {
                Err(EngineError::Ended { status, .. }) if tries < FIRST_TRIES => {
                    tracing::debug!(engine = E::NAME.as_str(), %status, tries, "engine ended while starting");
                    tries += 1;
                    if self.pause(&mut pause) {
                        return Err(EngineError::Cancelled(E::NAME));
                    }
                }
                other => return other,
            }
        }
    }

    /// Tries until it runs again; `None` when asked to stop meanwhile.
    fn start_again(&mut self, pause: &mut Duration) -> Option<Child> {
        loop {
            if self.pause(pause) {
                self.note(|health| health.state = EngineState::Stopped);
                return None;
            }
            self.note(|health| health.state = EngineState::Starting);
            match self.launch() {
                Ok(child) => {
                    self.note(|health| health.restarts += 1);
                    tracing::info!(
                        engine = E::NAME.as_str(),
                        pid = child.id(),
                        "engine restarted"
                    );
                    return Some(child);
                }
                Err(error) => {
                    tracing::error!(
                        engine = E::NAME.as_str(),
                        error = &error as &dyn std::error::Error,
                        "engine restart failed"
                    );
                    self.note(|health| {
                        (health.state, health.pid) = (EngineState::Down, None);
                        health.last_failure = Some(error.to_string());
                    });
                }
            }
        }
    }

    /// Waits for `pause` and doubles it; says whether the stop came first.
    fn pause(&self, pause: &mut Duration) -> bool {
        let length = *pause;
        *pause = (length * 2).min(LONGEST_PAUSE);
        self.stop.recv_timeout(length) == Err(RecvTimeoutError::Disconnected)
    }

    /// Starts the engine and waits until it serves.
    fn launch(&mut self) -> Result<Child, EngineError> {
        self.engine.recover()?;
        let log_file = self
            .log
            .open()
            .map_err(EngineError::io("open the log", self.log.path()))?;
        let (program, arguments) = self.engine.program();
        let mut child = self
            .launcher
            .command(&program, arguments)
            .stderr(log_file)
            .spawn()
            .map_err(EngineError::io("start", &program))?;
        let pid = child.id();
        self.note(|health| (health.state, health.pid) = (EngineState::Starting, Some(pid)));
        match self.wait_until_ready(&mut child) {
            Ok(()) => {
                self.note(|health| health.state = EngineState::Ready);
                Ok(child)
            }
            Err(error) => {
                self.end(&mut child);
                Err(error)
            }
        }
    }

    fn wait_until_ready(&self, child: &mut Child) -> Result<(), EngineError> {
        let (engine, log_file) = (E::NAME, self.log.path().to_owned());
        let begin = Instant::now();
        while !self.engine.is_ready(child.id()) {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(EngineError::Ended {
                    engine,
                    status,
                    log_file,
                    log: self.log.tail(),
                });
            }
            if begin.elapsed() > READY_LIMIT {
                return Err(EngineError::NotReady {
                    engine,
                    waited: READY_LIMIT,
                    log_file,
                    log: self.log.tail(),
                });
            }
            if self.stop.recv_timeout(READY_POLL) == Err(RecvTimeoutError::Disconnected) {
                return Err(EngineError::Cancelled(engine));
            }
        }
        Ok(())
    }

    /// Waits until the child ends by itself, or is of no use any more and was stopped, and says why; `None` when asked to
    /// stop it.
    fn watch(&self, child: &mut Child) -> Option<String> {
        let mut patience = Patience::new(Instant::now());
        loop {
            match self.stop.recv_timeout(WATCH) {
                Err(RecvTimeoutError::Disconnected) => return None,
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status.to_string());
            }
            if let Some(why) = patience.lost(Instant::now(), || self.engine.complaint()) {
                self.end(child);
                return Some(format!("it ran and could not work: {why}"));
            }
        }
    }

    /// Stops the child; says whether the ordinary signal was enough.
    fn end(&self, child: &mut Child) -> bool {
        let pid = child.id().cast_signed();
        let ended = E::STOP.iter().position(|(signal, limit)| {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return true;
            }
            send(pid, *signal);
            wait_until(*limit, || !matches!(child.try_wait(), Ok(None)))
        });
        self.note(|health| (health.state, health.pid) = (EngineState::Stopped, None));
        ended == Some(0)
    }

    fn note(&self, change: impl FnOnce(&mut EngineHealth)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_with_an_engine_that_stays_unwell() {
        let begin = Instant::now();
        let mut patience = Patience::new(begin);
        let mut ask = |seconds: u64, unwell: bool| {
            let said = || unwell.then(|| "full".to_owned());
            patience.lost(begin + Duration::from_secs(seconds), said)
        };
        assert_eq!(ask(14, true), None, "it is not asked yet");
        assert_eq!(ask(15, true), None);
        assert_eq!(ask(120, false), None, "it is well again");
        assert_eq!(ask(140, true), None);
        assert_eq!(ask(250, true), None);
        assert_eq!(ask(260, true), None, "not asked, though it is time");
        assert_eq!(ask(265, true).as_deref(), Some("full"));
    }
}

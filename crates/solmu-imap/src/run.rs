//! The life of a mailbox: connect, look, wait, look; and after a failure wait longer each time.

use std::time::Duration;

use solmu_domain::rng::Rng;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    care::Care,
    error::ImapError,
    pass::{Folder, Pass},
    session::{Selected, Session, Woke},
    settings::{AfterImport, From, Settings},
    sink::{Event, Known, Position, Sink},
};

/// When we are to stop, what is under way may take this long.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// A connection that lived this long, or on which mail was taken, was a good one.
const STEADY: Duration = Duration::from_mins(1);
/// A server that announces mail which is not there is not asked more often than this.
const FALSE_NEWS_REST: Duration = Duration::from_secs(1);

/// Reads a mailbox until `stop`. All failures are dealt with here.
pub async fn run<S: Sink>(settings: &Settings, sink: &S, rng: &dyn Rng, stop: &CancellationToken) {
    let grace = async {
        stop.cancelled().await;
        sleep(STOP_GRACE).await;
    };
    let mut reader = Reader {
        settings,
        sink,
        rng,
        stop,
        care: Care::default(),
        failures: 0,
        told: None,
    };
    tokio::select! {
        () = reader.live() => {}
        () = grace => {}
    }
}

struct Reader<'a, S> {
    settings: &'a Settings,
    sink: &'a S,
    rng: &'a dyn Rng,
    stop: &'a CancellationToken,
    care: Care,
    /// Failed connections in a row.
    failures: u32,
    /// The kind of failure that was logged and has not ended.
    told: Option<&'static str>,
}

impl<S: Sink> Reader<'_, S> {
    async fn live(&mut self) {
        while !self.stop.is_cancelled() {
            let begun = Instant::now();
            let Err(error) = Box::pin(self.connection()).await else {
                return;
            };
            // A server that lets us in and throws us out again is not to be asked every second.
            if std::mem::take(&mut self.care.progress) || begun.elapsed() >= STEADY {
                self.failures = 0;
            }
            self.tell(&error);
            let wait = self.wait_after(&error);
            self.failures = self.failures.saturating_add(1);
            tokio::select! {
                () = sleep(wait) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// A failure is told once, until it ends or becomes another.
    fn tell(&mut self, error: &ImapError) {
        let label = error.label();
        self.sink.event(Event::Down(label));
        if error.is_throttling() {
            self.sink.event(Event::Throttled);
        }
        if self.told == Some(label) {
            return;
        }
        // A connection that breaks now and then is the way of the world; it is told when it does not come back.
        let is_blip =
            matches!(error, ImapError::Broken(_) | ImapError::Bye(_)) && self.failures == 0;
        let error_text = error as &dyn std::error::Error;
        let (mailbox, host) = (&self.settings.name, &self.settings.host);
        if is_blip {
            tracing::debug!(
                mailbox,
                host,
                error = error_text,
                "the mailbox's connection ended"
            );
            return;
        }
        self.told = Some(label);
        if error.needs_person() {
            tracing::error!(
                mailbox,
                host,
                error = error_text,
                retry_seconds = self.settings.times.retry_login.as_secs(),
                "the mailbox cannot be read until somebody changes something"
            );
        } else {
            tracing::warn!(
                mailbox,
                host,
                error = error_text,
                "the mailbox cannot be read now"
            );
        }
    }

    fn is_up(&mut self) {
        self.sink.event(Event::Up);
        if self.told.take().is_some() {
            tracing::info!(
                mailbox = self.settings.name,
                "the mailbox can be read again"
            );
        }
    }

    /// Doubles from the first wait to the longest, then between half and all of it, by chance.
    fn wait_after(&self, error: &ImapError) -> Duration {
        let times = &self.settings.times;
        let full = if error.needs_person() {
            times.retry_login
        } else {
            let doubled = times.retry_min.saturating_mul(1 << self.failures.min(20));
            doubled.min(times.retry_max)
        };
        full.mul_f64(0.5 + 0.5 * self.chance())
    }

    /// From 0 to 1.
    fn chance(&self) -> f64 {
        f64::from(u32::try_from(self.rng.next_u64() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    /// One connection, from its begin to its failure; `Ok` when we are to stop.
    async fn connection(&mut self) -> Result<(), ImapError> {
        let stop = self.stop.clone();
        let mut session = tokio::select! {
            session = Session::open(self.settings) => session?,
            () = stop.cancelled() => return Ok(()),
        };
        self.care.connected();
        let outcome = self.read(&mut session).await;
        if outcome.is_ok() {
            session.log_out().await;
        }
        outcome
    }

    async fn read(&mut self, session: &mut Session) -> Result<(), ImapError> {
        let writes = self.settings.after != AfterImport::Nothing;
        let mut can_idle = session.can("IDLE");
        let mut open: Option<Folder> = None;
        loop {
            let selected = session.select(&self.settings.folder, writes).await?;
            let mut folder = match open.take() {
                Some(known) if known.selected.uid_validity == selected.uid_validity => known,
                _ => self.begin(session, selected).await?,
            };
            let until = Instant::now() + self.poll(can_idle);
            self.follow(session, &mut folder, until, &mut can_idle)
                .await?;
            open = Some(folder);
            if self.stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Looks whenever the server says that mail came, until it is time to open the folder anew.
    async fn follow(
        &mut self,
        session: &mut Session,
        folder: &mut Folder,
        until: Instant,
        can_idle: &mut bool,
    ) -> Result<(), ImapError> {
        let mut woke = Woke::Time;
        loop {
            let found = self.pass(session, folder).run().await?;
            self.is_up();
            if woke == Woke::News && found == 0 {
                self.rest(FALSE_NEWS_REST).await;
            }
            woke = self.wait(session, until, can_idle).await?;
            if woke != Woke::News {
                return Ok(());
            }
        }
    }

    fn pass<'b>(&'b mut self, session: &'b mut Session, folder: &'b mut Folder) -> Pass<'b, S> {
        Pass {
            session,
            settings: self.settings,
            sink: self.sink,
            folder,
            care: &mut self.care,
            stop: self.stop,
        }
    }

    /// Where to go on in a folder, and what an earlier connection left to be marked or moved.
    async fn begin(
        &mut self,
        session: &mut Session,
        selected: Selected,
    ) -> Result<Folder, ImapError> {
        let uid_validity = selected.uid_validity;
        let known = self.sink.known(uid_validity).await;
        let known = known.map_err(ImapError::Sink)?;
        let start = match known {
            Known::At(position) => Some(position),
            Known::Never if self.settings.from == From::New => {
                let last = match selected.uid_next {
                    Some(next) => next.saturating_sub(1),
                    None => session.uids_from(1).await?.last().copied().unwrap_or(0),
                };
                tracing::info!(
                    mailbox = self.settings.name,
                    "the mailbox is read for the first time, from now on"
                );
                Some(Position {
                    uid_validity,
                    taken: last,
                    settled: last,
                })
            }
            Known::Never | Known::Otherwise => None,
        };
        if known == Known::Otherwise {
            self.sink.event(Event::Resync);
            tracing::warn!(
                mailbox = self.settings.name,
                "the folder's uidvalidity changed: all of its mail is handed over again, and known mail has no second effect"
            );
        }
        let position = start.unwrap_or(Position {
            uid_validity,
            taken: 0,
            settled: 0,
        });
        if !matches!(known, Known::At(_)) {
            self.sink.begin(position).await.map_err(ImapError::Sink)?;
            self.care.forget();
        }
        let mut folder = Folder {
            selected,
            position,
            unsettled: false,
        };
        if self.settings.after == AfterImport::Mark && !folder.selected.keeps_keywords {
            tracing::info!(
                mailbox = self.settings.name,
                "the server keeps no keywords: mails are taken but not marked"
            );
        }
        self.pass(session, &mut folder).catch_up().await?;
        Ok(folder)
    }

    /// Waits for news at most `until`; on servers that cannot tell, or do not want to, just waits.
    async fn wait(
        &self,
        session: &mut Session,
        until: Instant,
        can_idle: &mut bool,
    ) -> Result<Woke, ImapError> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.stop.is_cancelled() {
                return Ok(Woke::Stop);
            }
            if left.is_zero() {
                return Ok(Woke::Time);
            }
            if !*can_idle {
                self.rest(left.min(self.settings.times.poll_without_idle))
                    .await;
                return Ok(Woke::Time);
            }
            match session
                .idle(left.min(self.settings.times.idle), self.stop)
                .await?
            {
                Woke::Unable => *can_idle = false,
                Woke::Time => {}
                woke @ (Woke::News | Woke::Stop) => return Ok(woke),
            }
        }
    }

    /// The time to the next look that nobody asked for.
    fn poll(&self, can_idle: bool) -> Duration {
        let times = &self.settings.times;
        let base = if can_idle {
            times.poll
        } else {
            times.poll_without_idle
        };
        base.mul_f64(0.9 + 0.2 * self.chance())
    }

    async fn rest(&self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

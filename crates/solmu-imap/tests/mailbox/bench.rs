//! A mailbox that runs, with a sink that keeps everything in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use solmu_domain::rng::SeededRng;
use solmu_imap::{
    AfterImport, Event, From, Known, Limits, Login, Mail, MailContent, Position, Settings, Sink,
    SinkError, Times, Tls, run,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use solmu_imap::testing::{Model, Server};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) taken: Vec<(u32, Mail)>,
    pub(crate) positions: BTreeMap<u32, Position>,
    pub(crate) stay: Vec<u32>,
    pub(crate) events: Vec<Event>,
    /// Mails of each hand-over.
    pub(crate) handed: Vec<usize>,
    /// The next hand-overs that fail.
    pub(crate) failures: u32,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Desk(Arc<Mutex<Kept>>);

impl Desk {
    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }

    pub(crate) fn uids(&self) -> Vec<u32> {
        self.kept().taken.iter().map(|(_, mail)| mail.uid).collect()
    }

    pub(crate) fn content(&self, uid: u32) -> Option<MailContent> {
        let kept = self.kept();
        let found = kept.taken.iter().find(|(_, mail)| mail.uid == uid);
        found.map(|(_, mail)| mail.content.clone())
    }

    pub(crate) fn count(&self, event: Event) -> usize {
        self.kept()
            .events
            .iter()
            .filter(|seen| **seen == event)
            .count()
    }
}

impl Sink for Desk {
    async fn known(&self, uid_validity: u32) -> Result<Known, SinkError> {
        let kept = self.kept();
        Ok(match kept.positions.get(&uid_validity) {
            Some(position) => Known::At(*position),
            None if kept.positions.is_empty() => Known::Never,
            None => Known::Otherwise,
        })
    }

    async fn begin(&self, position: Position) -> Result<(), SinkError> {
        self.kept()
            .positions
            .insert(position.uid_validity, position);
        Ok(())
    }

    async fn take(&self, mails: Vec<Mail>, position: Position) -> Result<Vec<u32>, SinkError> {
        let mut kept = self.kept();
        if kept.failures > 0 {
            kept.failures -= 1;
            return Err("the bus is away".into());
        }
        kept.handed.push(mails.len());
        let stays = |mail: &Mail| !matches!(mail.content, MailContent::Whole(_));
        let stay: Vec<u32> = mails
            .iter()
            .filter(|mail| stays(mail))
            .map(|mail| mail.uid)
            .collect();
        kept.stay.extend(&stay);
        kept.taken
            .extend(mails.into_iter().map(|mail| (position.uid_validity, mail)));
        kept.positions.insert(position.uid_validity, position);
        Ok(stay)
    }

    async fn settled(&self, position: Position) -> Result<(), SinkError> {
        self.kept()
            .positions
            .insert(position.uid_validity, position);
        Ok(())
    }

    async fn stay(&self, _: Position) -> Result<Vec<u32>, SinkError> {
        Ok(self.kept().stay.clone())
    }

    fn event(&self, event: Event) {
        self.kept().events.push(event);
    }
}

pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) desk: Desk,
    pub(crate) settings: Settings,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Bench {
    pub(crate) async fn new(change: impl FnOnce(&mut Model)) -> Self {
        let server = Server::start(change).await;
        let settings = Settings {
            name: "support".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: server.port,
            tls: Tls::None,
            ca_file: None,
            username: "anna".to_owned(),
            login: Login::Password("secret".into()),
            folder: "INBOX".to_owned(),
            after: AfterImport::Mark,
            from: From::All,
            limits: Limits {
                batch_mails: 4,
                tries_per_mail: 2,
                ..Limits::default()
            },
            times: Times {
                silence: PATIENCE,
                connect: PATIENCE,
                retry_min: Duration::from_millis(2),
                retry_max: Duration::from_millis(20),
                ..Times::default()
            },
        };
        Self {
            server,
            desk: Desk::default(),
            settings,
            running: None,
        }
    }

    /// With mails named m1, m2 and so on.
    pub(crate) async fn with_mails(count: u32, change: impl FnOnce(&mut Model)) -> Self {
        let bench = Self::new(change).await;
        for number in 1..=count {
            bench.server.deliver(&format!("m{number}"));
        }
        bench
    }

    pub(crate) fn start(&mut self) {
        let (settings, desk) = (self.settings.clone(), self.desk.clone());
        let stop = CancellationToken::new();
        let token = stop.clone();
        #[expect(clippy::disallowed_methods, reason = "a test's task")]
        let task = tokio::spawn(async move {
            run(&settings, &desk, &SeededRng::new(1), &token).await;
        });
        self.running = Some((stop, task));
    }

    pub(crate) async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.cancel();
            tokio::time::timeout(PATIENCE, task)
                .await
                .expect("it stops soon")
                .expect("it does not panic");
        }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some((_, task)) = self.running.take() {
            task.abort();
        }
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let kept = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(
            kept.is_ok(),
            "waited in vain until {what}: taken {:?}, events {:?}, asked {:?}",
            self.desk.uids(),
            self.desk.kept().events,
            self.server.model().commands,
        );
    }

    /// Runs until so many mails were taken and the server is asked to wait.
    pub(crate) async fn until_taken(&self, count: usize) {
        self.until("mails are taken", |bench| bench.desk.uids().len() >= count)
            .await;
        assert_eq!(self.desk.uids().len(), count);
    }
}

//! What the tests of this crate share: a receiver without engines, and the samples of others.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use solmu_connector::{InboundEvent, IntakeError, ObjectStore};
use solmu_domain::{clock::FakeClock, signed::Signer};
use solmu_proto::inbound::v1::MessageReceived;
use solmu_telemetry::Metrics;

use crate::{
    accounts::Accounts,
    config::Config,
    metrics::EmailMetrics,
    receive::{Accept, Receiver, ReceiverParts},
};

/// What the fake intake does and has.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    accepted: Mutex<Vec<InboundEvent>>,
    refuse: Mutex<Option<IntakeError>>,
    refused_account: Mutex<Option<(String, IntakeError)>>,
}

impl Desk {
    pub(crate) fn refuse_with(&self, error: Option<IntakeError>) {
        *self.refuse.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// From now on refuses what is for `account`, and takes the rest.
    pub(crate) fn refuse_account(&self, account: &str, error: IntakeError) {
        let mut refused = self
            .refused_account
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *refused = Some((account.to_owned(), error));
    }

    /// Why `events` are refused, if they are.
    fn refusal(&self, events: &[InboundEvent]) -> Option<IntakeError> {
        let all = *self.refuse.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = self
            .refused_account
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some((account, error)) = refused.as_ref() else {
            return all;
        };
        let is_for_it = |event: &InboundEvent| match event {
            InboundEvent::Message(message) => message.account == *account,
            InboundEvent::Delivery(report) => report.account == *account,
        };
        all.or_else(|| events.iter().any(is_for_it).then_some(*error))
    }

    pub(crate) fn events(&self) -> Vec<InboundEvent> {
        self.accepted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn messages(&self) -> Vec<MessageReceived> {
        let messages = self.events().into_iter().filter_map(|event| match event {
            InboundEvent::Message(message) => Some(*message),
            InboundEvent::Delivery(_) => None,
        });
        messages.collect()
    }
}

/// A handle to a [`Desk`] that takes events.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeIntake(pub(crate) Arc<Desk>);

impl Accept for FakeIntake {
    async fn accept_all(&self, events: Vec<InboundEvent>) -> Result<(), IntakeError> {
        if let Some(error) = self.0.refusal(&events) {
            return Err(error);
        }
        self.0
            .accepted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(events);
        Ok(())
    }
}

pub(crate) fn signer() -> Signer {
    Signer::new([("a".to_owned(), vec![1; 32])]).expect("the key is long enough")
}

/// A receiver over a temporary store; the folder lives as long as the value.
pub(crate) struct Bench {
    pub(crate) receiver: Receiver<FakeIntake>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) store: ObjectStore,
    pub(crate) metrics: EmailMetrics,
    pub(crate) clock: Arc<FakeClock>,
    config: Config,
    folder: tempfile::TempDir,
}

impl Bench {
    /// A folder that lives as long as the value.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

pub(crate) fn bench(config: &Config) -> Bench {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = ObjectStore::open_local(folder.path()).expect("a store in it");
    let intake = FakeIntake::default();
    let desk = Arc::clone(&intake.0);
    let metrics = EmailMetrics::new(&Metrics::new());
    let start: Timestamp = "2026-11-02T08:00:00Z".parse().expect("a time");
    let clock = Arc::new(FakeClock::new(start));
    let parts = ReceiverParts {
        accounts: Arc::new(Accounts::new(config, &signer()).expect("a valid configuration")),
        signer: signer(),
        store: store.clone(),
        intake,
        clock: Arc::clone(&clock) as _,
        metrics: metrics.clone(),
    };
    Bench {
        receiver: Receiver::new(parts, config),
        desk,
        store,
        metrics,
        clock,
        config: config.clone(),
        folder,
    }
}

/// The receiver of a bench before another intake.
pub(crate) fn receiver_with<A: Accept>(bench: &Bench, intake: A) -> Receiver<A> {
    let accounts =
        Arc::new(Accounts::new(&bench.config, &signer()).expect("a valid configuration"));
    let parts = ReceiverParts {
        accounts,
        signer: signer(),
        store: bench.store.clone(),
        intake,
        clock: Arc::clone(&bench.clock) as _,
        metrics: bench.metrics.clone(),
    };
    Receiver::new(parts, &bench.config)
}

/// A folder of samples of others, or `None` with a line that says so.
pub(crate) fn fixtures(folder: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/fixtures")
        .join(folder);
    if root.is_dir() {
        return Some(root);
    }
    eprintln!("the samples of '{folder}' are not here: this test did not run");
    None
}

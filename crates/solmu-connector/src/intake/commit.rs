//! The committer: gathers, publishes, answers.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use solmu_bus::Event;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{IntakeConfig, IntakeError, Pending};

type Answer = oneshot::Sender<Result<(), IntakeError>>;

/// A commit that is under way.
struct Commit {
    keys: HashSet<u64>,
    answers: Vec<(usize, Answer)>,
    events: Vec<Event>,
}

/// Runs until every handle is gone, or `stop`, and everybody is answered.
pub(super) async fn run<F>(
    mut queue: mpsc::Receiver<Pending>,
    publish: impl Fn(Arc<[Event]>) -> F + Send + Sync,
    config: IntakeConfig,
    stop: CancellationToken,
) where
    F: Future<Output = Result<(), IntakeError>> + Send,
{
    let mut gatherer = Gatherer::new(config);
    let mut under_way = FuturesUnordered::new();
    while !(gatherer.is_finished() && under_way.is_empty()) {
        if under_way.len() < config.max_commits.max(1)
            && let Some(commit) = gatherer.take(Instant::now())
        {
            under_way.push(perform(commit, &publish));
            continue;
        }
        let deadline = gatherer
            .deadline()
            .filter(|_| under_way.len() < config.max_commits.max(1));
        tokio::select! {
            biased;
            Some(keys) = under_way.next() => gatherer.release(&keys),
            pending = queue.recv(), if gatherer.has_room() => match pending {
                Some(pending) => {
                    gatherer.add(pending, Instant::now());
                    while gatherer.has_room() && let Some(Some(more)) = queue.recv().now_or_never() {
                        gatherer.add(more, Instant::now());
                    }
                }
                None => gatherer.close(),
            },
            () = sleep_until(deadline), if deadline.is_some() => {}
            // What was handed in is still published; what comes later is refused.
            () = stop.cancelled(), if !queue.is_closed() => queue.close(),
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Publishes a commit and answers its senders; returns the keys that are free again.
async fn perform<F>(
    commit: Commit,
    publish: &(impl Fn(Arc<[Event]>) -> F + Send + Sync),
) -> HashSet<u64>
where
    F: Future<Output = Result<(), IntakeError>> + Send,
{
    let Commit {
        keys,
        answers,
        events,
    } = commit;
    let events: Arc<[Event]> = events.into();
    match publish(Arc::clone(&events)).await {
        // One event that does not fit must not cost the others their place: each sender's events go by themselves.
        Err(IntakeError::TooLarge) if answers.len() > 1 => {
            let mut rest = &*events;
            for (count, answer) in answers {
                let (own, others) = rest.split_at(count);
                rest = others;
                reply(answer, publish(own.into()).await);
            }
        }
        outcome => answers
            .into_iter()
            .for_each(|(_, answer)| reply(answer, outcome)),
    }
    keys
}

fn reply(answer: Answer, outcome: Result<(), IntakeError>) {
    if answer.send(outcome).is_err() {
        // The sender hung up: it will come again, and its event id makes that a repeat.
        tracing::debug!("a sender did not wait for its answer");
    }
}

/// What waits, in the order of arrival.
struct Gatherer {
    config: IntakeConfig,
    hasher: RandomState,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Partition keys of commits that are under way.
    busy: HashSet<u64>,
    /// Not before this does the next commit begin, unless it is full.
    next_commit: Instant,
    closed: bool,
}

struct Waiting {
    pending: Pending,
    since: Instant,
    /// Hashes of the partition keys: a collision makes a conversation wait for nothing, no more.
    keys: Vec<u64>,
}

impl Gatherer {
    fn new(config: IntakeConfig) -> Self {
        Self {
            config,
            hasher: RandomState::new(),
            waiting: VecDeque::new(),
            bytes: 0,
            busy: HashSet::new(),
            next_commit: Instant::now(),
            closed: false,
        }
    }

    fn is_finished(&self) -> bool {
        self.closed && self.waiting.is_empty()
    }

    fn has_room(&self) -> bool {
        !self.closed && self.waiting.len() < self.config.max_events.max(1) * 2
    }

    /// Nothing comes any more: what waits need not linger.
    fn close(&mut self) {
        self.closed = true;
    }

    fn add(&mut self, pending: Pending, now: Instant) {
        let keys = pending
            .events
            .iter()
            .map(|event| self.hasher.hash_one(&event.partition_key))
            .collect();
        self.bytes += pending.bytes;
        self.waiting.push_back(Waiting {
            pending,
            since: now,
            keys,
        });
    }

    fn release(&mut self, keys: &HashSet<u64>) {
        self.busy.retain(|key| !keys.contains(key));
    }

    /// When the first that could go may go: at once after a pause, else so much later than the last commit.
    fn deadline(&self) -> Option<Instant> {
        let free = self
            .waiting
            .iter()
            .find(|waiting| waiting.keys.iter().all(|key| !self.busy.contains(key)));
        free.map(|waiting| waiting.since.max(self.next_commit))
    }

    fn is_due(&self, now: Instant) -> bool {
        self.closed
            || self.waiting.len() >= self.config.max_events
            || self.bytes >= self.config.max_bytes
            || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// The next commit, if it is time: what is first in line and not behind an event of its own conversation.
    fn take(&mut self, now: Instant) -> Option<Commit> {
        if !self.is_due(now) {
            return None;
        }
        let mut commit = Commit {
            keys: HashSet::new(),
            answers: Vec::new(),
            events: Vec::new(),
        };
        let mut behind: HashSet<u64> = HashSet::new();
        let mut bytes = 0;
        let mut left = VecDeque::new();
        for waiting in std::mem::take(&mut self.waiting) {
            let Waiting { pending, keys, .. } = &waiting;
            let must_wait = keys
                .iter()
                .any(|key| self.busy.contains(key) || behind.contains(key));
            let full = !commit.answers.is_empty()
                && (bytes + pending.bytes > self.config.max_bytes
                    || commit.events.len() + pending.events.len() > self.config.max_events);
            if must_wait || full {
                behind.extend(keys);
                left.push_back(waiting);
                continue;
            }
            bytes += pending.bytes;
            commit.keys.extend(waiting.keys);
            commit
                .answers
                .push((waiting.pending.events.len(), waiting.pending.answer));
            commit.events.extend(waiting.pending.events);
        }
        self.waiting = left;
        self.bytes -= bytes;
        if commit.answers.is_empty() {
            return None;
        }
        self.busy.extend(&commit.keys);
        self.next_commit = now + self.config.linger;
        Some(commit)
    }
}

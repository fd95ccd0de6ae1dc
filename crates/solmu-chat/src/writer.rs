//! Takes visitors' messages in, many at a time: one transaction for the rows, one publish for the events, then the
//! answers.
//!
//! The row is written first, with its event, and the visitor hears "ack" only when both the row and the event are on
//! disk. A crash between the two leaves a row that [`crate::reconcile`] publishes; a crash before leaves nothing that
//! was acknowledged, and the visitor's side sends again under the same `client_msg_id`. While one batch is on its way
//! the next gathers, so that under load a disk sync is shared and without load nothing waits.

use std::collections::BTreeSet;

use futures::future::join_all;
use solmu_connector::Intake;
use solmu_db::Db;
use solmu_domain::clock::SharedClock;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    frame::Code,
    hub::Hub,
    metrics::ChatMetrics,
    store::{self, NewMessage, Stored},
};

/// Messages of one batch at most.
const BATCH: usize = 128;
/// Messages that may wait for their batch.
const QUEUE: usize = 1024;

/// The number of a message that is stored and published, or why it is not.
pub(crate) type Outcome = Result<i64, Code>;

struct Waiting {
    message: NewMessage,
    answer: oneshot::Sender<Outcome>,
}

/// A handle to hand messages in.
#[derive(Debug, Clone)]
pub(crate) struct Writer(mpsc::Sender<Waiting>);

/// What the writer works with.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) db: Db,
    pub(crate) intake: Intake,
    pub(crate) clock: SharedClock,
    pub(crate) hub: Hub,
    pub(crate) metrics: ChatMetrics,
    pub(crate) session_days: u32,
}

impl Writer {
    /// A handle, and what has to run for it until `stop`.
    pub(crate) fn new(
        desk: Desk,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        (Self(queue), run(desk, receiver, stop))
    }

    /// Hands a message in; those of one caller keep their order. The answer comes when it is stored and published.
    pub(crate) fn hand_in(&self, message: NewMessage) -> Result<oneshot::Receiver<Outcome>, Code> {
        let (answer, answered) = oneshot::channel();
        self.0
            .try_send(Waiting { message, answer })
            .map_err(|_| Code::Unavailable)?;
        Ok(answered)
    }
}

async fn run(desk: Desk, mut queue: mpsc::Receiver<Waiting>, stop: CancellationToken) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let gathered = tokio::select! {
            biased;
            gathered = queue.recv_many(&mut batch, BATCH) => gathered,
            () = stop.cancelled() => return,
        };
        if gathered == 0 {
            return;
        }
        let (messages, answers): (Vec<_>, Vec<_>) = batch
            .drain(..)
            .map(|Waiting { message, answer }| (message, answer))
            .unzip();
        let outcomes = desk.take_in(&messages).await;
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            desk.metrics.inbound(outcome.map(|_| ()));
            // Who is gone sends again after it came back.
            let _gone = answer.send(outcome).is_err();
        }
    }
}

impl Desk {
    async fn take_in(&self, messages: &[NewMessage]) -> Vec<Outcome> {
        let stored =
            match store::append(&self.db, messages, self.clock.now(), self.session_days).await {
                Ok(stored) => stored,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "chat messages could not be stored; visitors send again"
                    );
                    return vec![Err(Code::Unavailable); messages.len()];
                }
            };
        let sessions: BTreeSet<_> = messages.iter().map(|message| message.session).collect();
        for session in sessions {
            self.hub.wake(session);
        }
        let publishing = stored.into_iter().zip(messages).map(|(stored, message)| {
            // In the message's own span, so that its trace begins at the visitor.
            self.publish(stored).instrument(message.span.clone())
        });
        // Polled in order, so a conversation keeps its order; the intake joins them into one commit.
        let (outcomes, marks): (Vec<_>, Vec<_>) = join_all(publishing).await.into_iter().unzip();
        self.mark(marks.into_iter().flatten().collect()).await;
        outcomes
    }

    /// Publishes a row that the bus does not have. Returns the answer, and which message is to be marked.
    async fn publish(&self, stored: Stored) -> (Outcome, Option<Uuid>) {
        match stored {
            Stored::NoSession => (Err(Code::SessionEnded), None),
            Stored::Row {
                seq, event: None, ..
            } => (Ok(seq), None),
            Stored::Row {
                seq,
                message_id,
                event: Some(event),
            } => match self.intake.accept(*event).await {
                Ok(()) => (Ok(seq), Some(message_id)),
                // The intake has logged it. The row keeps its event, so it is published even if nobody sends again.
                Err(_) => (Err(Code::Unavailable), None),
            },
        }
    }

    async fn mark(&self, published: Vec<Uuid>) {
        if published.is_empty() {
            return;
        }
        if let Err(error) = store::published(&self.db, &published).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "published chat messages could not be marked; they repeat without effect"
            );
        }
    }
}

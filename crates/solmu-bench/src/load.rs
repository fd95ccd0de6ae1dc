//! The load: a number of SMTP connections that are kept open, each sending the next mail as soon as the last one was
//! accepted, or when its time has come.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::{task::JoinSet, time::Instant};

use crate::{figures::histogram, generate::Generated, stamps::Stamps};
use solmu_cli::parts::{Connection, Mail};

/// Between two tries of a mail that was put off, or of a connection that was lost.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a mail is tried before it counts as refused.
const TRIES: u32 = 50;

/// What is sent, where to and how fast.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) smtp: String,
    pub(crate) to: String,
    pub(crate) connections: usize,
    /// Mails per second; as fast as they are taken if `None`.
    pub(crate) rate: Option<f64>,
    pub(crate) mails: Arc<Vec<Generated>>,
    pub(crate) stamps: Arc<Stamps>,
}

/// What the sending side saw.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Mails that were refused for good, with the first reason.
    pub(crate) refused: usize,
    pub(crate) first_refusal: Option<String>,
    /// Tries that were put off (4xx) or lost.
    pub(crate) retries: usize,
    /// Microseconds from the command to the acceptance.
    pub(crate) latency: Histogram<u64>,
}

impl Sent {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            refused: 0,
            first_refusal: None,
            retries: 0,
            latency: histogram()?,
        })
    }

    fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.refused += other.refused;
        self.retries += other.retries;
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
        self.latency.add(&other.latency)?;
        Ok(())
    }
}

impl Load {
    /// Sends everything. Fails only if no connection can be made at the beginning.
    pub(crate) async fn run(&self) -> anyhow::Result<Sent> {
        let mut connections = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            connections.push(Connection::open(&self.smtp).await?);
        }
        let next = Arc::new(AtomicUsize::new(0));
        let begun = Instant::now();
        let mut workers = JoinSet::new();
        for connection in connections {
            let (load, next) = (self.clone(), Arc::clone(&next));
            workers.spawn(async move { load.work(connection, &next, begun).await });
        }
        let mut sent = Sent::new()?;
        while let Some(worker) = workers.join_next().await {
            sent.add(worker??)?;
        }
        Ok(sent)
    }

    async fn work(
        &self,
        connection: Connection,
        next: &AtomicUsize,
        begun: Instant,
    ) -> anyhow::Result<Sent> {
        let mut sent = Sent::new()?;
        let mut connection = Some(connection);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(mail) = self.mails.get(index) else {
                break;
            };
            if let Some(rate) = self.rate {
                #[expect(clippy::cast_precision_loss, reason = "an index is far below 2^52")]
                let due = Duration::from_secs_f64(index as f64 / rate);
                tokio::time::sleep_until(begun + due).await;
            }
            self.deliver(&mut connection, mail, index, &mut sent).await;
        }
        if let Some(connection) = connection {
            // All was accepted; how the server takes the goodbye does not matter.
            let _ = connection.quit().await;
        }
        Ok(sent)
    }

    async fn deliver(
        &self,
        connection: &mut Option<Connection>,
        mail: &Generated,
        index: usize,
        sent: &mut Sent,
    ) {
        let mut reason = String::new();
        for _ in 0..TRIES {
            let mut open = match connection.take() {
                Some(open) => open,
                None => match Connection::open(&self.smtp).await {
                    Ok(open) => open,
                    Err(error) => {
                        reason = format!("{error:#}");
                        sent.retries += 1;
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            let wire = Mail {
                from: &mail.from,
                to: &self.to,
                bytes: &mail.bytes,
            };
            let begun = Instant::now();
            match open.send(wire).await {
                Ok(reply) if reply.is_positive() => {
                    self.stamps.mark_accepted(index);
                    sent.latency.saturating_record(
                        u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
                    );
                    *connection = Some(open);
                    return;
                }
                Ok(reply) => {
                    reason = reply.to_string();
                    *connection = Some(open);
                    if !reply.is_transient() {
                        break;
                    }
                }
                Err(error) => reason = format!("{error:#}"),
            }
            sent.retries += 1;
            tokio::time::sleep(PAUSE).await;
        }
        sent.refused += 1;
        sent.first_refusal.get_or_insert(reason);
    }
}

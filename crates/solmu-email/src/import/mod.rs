//! Imports stored mail: mbox, Maildir and .eml files, through the same door as mail that comes by SMTP.
//!
//! There is no cursor: every mail has the same id on each run, so an import that broke is started again and what was
//! taken before has no second effect. Mails are handed in strictly in their order, so that an answer never overtakes
//! what it answers; the next ones are taken apart while the bus still writes the last ones.

mod mbox;
mod source;
#[cfg(test)]
mod tests;

use std::{path::Path, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use solmu_connector::InboundEvent;

use crate::receive::{Accept, Incoming, Receiver, Refusal};

pub use source::{ImportError, Source, StoredMail};

/// How an import goes.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Account for mails whose recipients are not ours. None: the default account.
    pub account: Option<String>,
    /// Mails that are handed in together.
    pub batch: usize,
    /// Mails that are taken apart at the same time.
    pub parallel: usize,
    /// Bytes of the largest mail that is taken.
    pub max_bytes: usize,
    /// How often the bus may be away in a row before the import gives up.
    pub tries: u32,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            account: None,
            batch: 64,
            parallel: 8,
            max_bytes: 100 * 1024 * 1024,
            tries: 10,
        }
    }
}

/// How far an import is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Mails read so far.
    pub read: u64,
    /// Mails that the bus has on disk.
    pub accepted: u64,
    /// Mails that could not be taken.
    pub refused: u64,
    /// Bytes read so far.
    pub bytes: u64,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Counts.
    pub progress: Progress,
    /// The first mails that were not taken: where they lie and why. At most [`Summary::NAMED`].
    pub refused: Vec<(String, String)>,
}

impl Summary {
    /// How many refused mails are named.
    pub const NAMED: usize = 50;

    fn refuse(&mut self, place: String, why: &dyn ToString) {
        self.progress.refused += 1;
        if self.refused.len() < Self::NAMED {
            self.refused.push((place, why.to_string()));
        }
    }
}

/// Imports everything under `path`. `progress` is called after each batch.
pub async fn run<A: Accept>(
    receiver: &Receiver<A>,
    path: &Path,
    options: &ImportOptions,
    progress: impl Fn(Progress),
) -> Result<Summary, ImportError> {
    let accounts = receiver.accounts();
    let fallback = match &options.account {
        Some(name) => Some(
            accounts
                .named(name)
                .cloned()
                .ok_or_else(|| ImportError::NoAccount(name.clone()))?,
        ),
        None => accounts.default_account().cloned(),
    };
    let mut source = Source::open(path, options.max_bytes)?;
    let mut summary = Summary::default();
    let mut waiting: Vec<(Vec<InboundEvent>, u64)> = Vec::new();
    loop {
        // Reads block this thread for one batch at most, while the bus writes the last one; an import has a process of
        // its own.
        let batch: Vec<StoredMail> = source
            .by_ref()
            .take(options.batch.max(1))
            .collect::<Result<_, _>>()?;
        let is_last = batch.is_empty();
        let taking_apart = async {
            let prepare = |mail: StoredMail| {
                let incoming = Incoming {
                    raw: Bytes::from(mail.raw),
                    mail_from: None,
                    recipients: Vec::new(),
                    fallback: fallback.clone(),
                    own_hops: 0,
                };
                async move {
                    (
                        mail.place,
                        incoming.raw.len() as u64,
                        receiver.prepare(incoming).await,
                    )
                }
            };
            stream::iter(batch)
                .map(prepare)
                .buffered(options.parallel.max(1))
                .collect::<Vec<_>>()
                .await
        };
        let ready = std::mem::take(&mut waiting);
        let (handed_in, prepared) =
            futures::join!(hand_in(receiver, ready, options.tries), taking_apart);
        summary.progress.accepted += handed_in?;
        for (place, bytes, outcome) in prepared {
            summary.progress.read += 1;
            summary.progress.bytes += bytes;
            match outcome {
                Ok(events) => waiting.push((events, 1)),
                Err(error @ (Refusal::Store(_) | Refusal::Interrupted)) => {
                    return Err(ImportError::Refused(error));
                }
                Err(error) => summary.refuse(place, &error),
            }
        }
        for place in source.take_oversized() {
            summary.refuse(place, &"larger than the limit");
        }
        progress(summary.progress);
        if is_last && waiting.is_empty() {
            return Ok(summary);
        }
    }
}

/// Hands a batch in; returns how many mails the bus has. While the bus is away it waits, longer each time.
async fn hand_in<A: Accept>(
    receiver: &Receiver<A>,
    batch: Vec<(Vec<InboundEvent>, u64)>,
    tries: u32,
) -> Result<u64, ImportError> {
    let mails: u64 = batch.iter().map(|(_, mails)| mails).sum();
    let events: Vec<InboundEvent> = batch.into_iter().flat_map(|(events, _)| events).collect();
    let mut attempt = 0;
    loop {
        match receiver.hand_in(events.clone()).await {
            Ok(()) => return Ok(mails),
            Err(Refusal::Unavailable(_)) if attempt < tries => {
                attempt += 1;
                tokio::time::sleep(Duration::from_millis(100 << attempt.min(7))).await;
            }
            Err(error) => return Err(ImportError::Refused(error)),
        }
    }
}

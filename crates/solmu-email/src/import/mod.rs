//! Imports stored mail: mbox, Maildir and .eml files, through the same door as mail that comes by SMTP.
//!
//! Every mail has the same id on each run, so handing one in twice has no second effect; a [`Journal`] of what the bus
//! has acknowledged lets an import that was killed go on where it was. Mails are handed in strictly in their order, so
//! that an answer never overtakes what it answers; the next ones are taken apart while the bus still writes the last
//! ones.

mod summary;
#[cfg(test)]
mod tests;

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use solmu_connector::InboundEvent;

use crate::{
    accounts::Account,
    receive::{Accept, Incoming, Receiver, Refusal},
};

use solmu_mailfiles::{Content, FileId, Source, Step, StoredMail};
pub use solmu_mailfiles::{Journal, SourceError};
pub use summary::{Progress, Summary};

/// Why an import stopped. It can be started again: it goes on where it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There is nothing that can be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is no such account.
    #[error("there is no account '{0}'")]
    NoAccount(String),
    /// Bus or store stayed away.
    #[error("a mail could not be handed in")]
    Refused(#[source] Refusal),
    /// What was done cannot be noted.
    #[error("the journal of the import cannot be written")]
    Journal(#[source] io::Error),
}

/// How an import goes.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Account for mails whose recipients are not ours. None: the default account.
    pub account: Option<String>,
    /// Mails that are handed in together.
    pub batch: usize,
    /// Bytes that are handed in together; a larger mail goes alone.
    pub batch_bytes: usize,
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
            batch_bytes: 32 * 1024 * 1024,
            parallel: 8,
            max_bytes: 100 * 1024 * 1024,
            tries: 10,
        }
    }
}

/// A mail on its way to the bus.
struct Prepared {
    place: String,
    file: Option<Arc<FileId>>,
    start: u64,
    end: u64,
    again: bool,
    outcome: Outcome,
}

/// What a mail came to before it is handed in.
enum Outcome {
    Events(Vec<InboundEvent>),
    /// Why not: a word for counting and a sentence.
    Refused(&'static str, String),
    Unreadable(String),
}

/// Imports everything under `path` that `journal` does not have as done. `progress` is called after each batch.
pub async fn run<A: Accept>(
    receiver: &Receiver<A>,
    path: &Path,
    options: &ImportOptions,
    journal: &mut Journal,
    progress: impl Fn(Progress),
) -> Result<Summary, ImportError> {
    let fallback = fallback(receiver, options)?;
    let mut source = Source::open(path, options.max_bytes, journal)?;
    let mut summary = Summary::of(source.extent());
    let mut waiting: Vec<Prepared> = Vec::new();
    loop {
        // Reads block this thread for one batch at most, while the bus writes the last one; an import has a process of
        // its own.
        let batch = read_batch(&mut source, options);
        let is_last = batch.is_empty();
        let taking_apart = stream::iter(batch)
            .map(|mail| prepare(receiver, mail, fallback.clone()))
            .buffered(options.parallel.max(1))
            .collect::<Vec<_>>();
        let mut ready = std::mem::take(&mut waiting);
        let (handed_in, prepared) =
            futures::join!(hand_in(receiver, &mut ready, options.tries), taking_apart);
        handed_in?;
        settle(ready, journal, &mut summary)?;
        progress(summary.progress);
        waiting = prepared.into_iter().collect::<Result<_, _>>()?;
        if is_last && waiting.is_empty() {
            return Ok(summary);
        }
    }
}

/// Counts what an import would read, without reading further than the files and without handing anything in.
pub fn dry_run(
    path: &Path,
    options: &ImportOptions,
    journal: &Journal,
) -> Result<Summary, ImportError> {
    let mut source = Source::open(path, options.max_bytes, journal)?;
    let mut summary = Summary::of(source.extent());
    while let Some(mail) = source.next_mail() {
        let bytes = mail.end.saturating_sub(mail.start);
        summary.seen(if mail.again { 0 } else { bytes });
        match mail.content {
            Content::Whole(_) => summary.progress.read += 1,
            Content::TooLarge => {
                summary.progress.read += 1;
                summary.refuse(mail.place, "too_large", TOO_LARGE.to_owned());
            }
            Content::Unreadable(error) => summary.unreadable(mail.place, error.to_string()),
        }
    }
    Ok(summary)
}

/// Said of a mail over [`ImportOptions::max_bytes`].
const TOO_LARGE: &str = "larger than the limit";

fn fallback<A: Accept>(
    receiver: &Receiver<A>,
    options: &ImportOptions,
) -> Result<Option<Arc<Account>>, ImportError> {
    let accounts = receiver.accounts();
    match &options.account {
        Some(name) => match accounts.named(name) {
            Some(account) => Ok(Some(Arc::clone(account))),
            None => Err(ImportError::NoAccount(name.clone())),
        },
        None => Ok(accounts.default_account().cloned()),
    }
}

fn read_batch(source: &mut Source, options: &ImportOptions) -> Vec<StoredMail> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while batch.len() < options.batch.max(1) && bytes < options.batch_bytes.max(1) {
        let Some(mail) = source.next_mail() else {
            break;
        };
        if let Content::Whole(raw) = &mail.content {
            bytes += raw.len();
        }
        batch.push(mail);
    }
    batch
}

/// Takes a mail apart. An error is one of ours and stops the import; what is wrong with the mail is an outcome.
async fn prepare<A: Accept>(
    receiver: &Receiver<A>,
    mail: StoredMail,
    fallback: Option<Arc<Account>>,
) -> Result<Prepared, ImportError> {
    let outcome = match mail.content {
        Content::TooLarge => Outcome::Refused("too_large", TOO_LARGE.to_owned()),
        Content::Unreadable(error) => Outcome::Unreadable(error.to_string()),
        Content::Whole(raw) => {
            let incoming = Incoming {
                raw: Bytes::from(raw),
                mail_from: None,
                recipients: Vec::new(),
                fallback,
                own_hops: 0,
                connection: None,
            };
            match receiver.prepare(incoming).await {
                Ok(events) => Outcome::Events(events),
                Err(
                    error @ (Refusal::Store(_) | Refusal::Interrupted | Refusal::Unavailable(_)),
                ) => {
                    return Err(ImportError::Refused(error));
                }
                Err(error) => Outcome::Refused(cause(&error), error.to_string()),
            }
        }
    };
    Ok(Prepared {
        place: mail.place,
        file: mail.file,
        start: mail.start,
        end: mail.end,
        again: mail.again,
        outcome,
    })
}

/// Why a mail was refused, as a word.
fn cause(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Loop { .. } => "loop",
        Refusal::NoAccount => "no_account",
        Refusal::TooLarge => "too_large",
        _ => "other",
    }
}

/// Hands a batch in. What is too large for the bus becomes a refusal and does not cost its neighbours their place.
async fn hand_in<A: Accept>(
    receiver: &Receiver<A>,
    batch: &mut [Prepared],
    tries: u32,
) -> Result<(), ImportError> {
    let events_of = |mail: &Prepared| match &mail.outcome {
        Outcome::Events(events) => events.clone(),
        _ => Vec::new(),
    };
    let all: Vec<InboundEvent> = batch.iter().flat_map(events_of).collect();
    if all.is_empty() || publish(receiver, all, tries).await? {
        return Ok(());
    }
    for mail in batch {
        let events = events_of(mail);
        if !events.is_empty() && !publish(receiver, events, tries).await? {
            let error = Refusal::TooLarge;
            mail.outcome = Outcome::Refused(cause(&error), error.to_string());
        }
    }
    Ok(())
}

/// `Ok(false)` if they are too large for the bus. While the bus is away it waits, longer each time.
async fn publish<A: Accept>(
    receiver: &Receiver<A>,
    events: Vec<InboundEvent>,
    tries: u32,
) -> Result<bool, ImportError> {
    let mut attempt = 0;
    loop {
        match receiver.hand_in(events.clone()).await {
            Ok(()) => return Ok(true),
            Err(Refusal::TooLarge) => return Ok(false),
            Err(Refusal::Unavailable(_)) if attempt < tries => {
                attempt += 1;
                tokio::time::sleep(Duration::from_millis(100 << attempt.min(7))).await;
            }
            Err(error) => return Err(ImportError::Refused(error)),
        }
    }
}

/// Notes and counts a batch that the bus has. In this order: what is noted has been acknowledged.
fn settle(
    batch: Vec<Prepared>,
    journal: &mut Journal,
    summary: &mut Summary,
) -> Result<(), ImportError> {
    let mut steps: Vec<(FileId, Step)> = Vec::new();
    for mail in batch {
        if let Some(file) = &mail.file
            && !matches!(mail.outcome, Outcome::Unreadable(_))
        {
            if steps.last().is_none_or(|(last, _)| last != &**file) {
                steps.push(((**file).clone(), Step::default()));
            }
            if let Some((_, step)) = steps.last_mut() {
                add(step, &mail);
            }
        }
        if !mail.again {
            summary.seen(mail.end.saturating_sub(mail.start));
        }
        if !matches!(mail.outcome, Outcome::Unreadable(_)) {
            summary.progress.read += 1;
        }
        match mail.outcome {
            Outcome::Events(_) => summary.progress.accepted += 1,
            Outcome::Refused(cause, why) => summary.refuse(mail.place, cause, why),
            Outcome::Unreadable(why) => summary.unreadable(mail.place, why),
        }
    }
    if steps.is_empty() {
        return Ok(());
    }
    journal.note(steps).map_err(ImportError::Journal)
}

fn add(step: &mut Step, mail: &Prepared) {
    step.offset = step.offset.max(mail.end);
    match (&mail.outcome, mail.again) {
        (Outcome::Events(_), again) => {
            step.accepted += 1;
            if again {
                step.taken.push(mail.start);
            }
        }
        (_, false) => step.refused.push(mail.start),
        (_, true) => {}
    }
}

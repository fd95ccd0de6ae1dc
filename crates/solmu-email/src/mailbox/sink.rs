//! Hands mails of a mailbox to the receiver, and keeps how far it was read once the bus has them.

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use solmu_connector::InboundEvent;
use solmu_db::Db;
use solmu_domain::clock::SharedClock;
use solmu_imap::{Event, Known, Left, Mail, MailContent, Position, Sink, SinkError};
use solmu_mime::{
    address::Address,
    parse::{ParseLimits, parse},
};
use solmu_runtime::health::CheckHandle;
use solmu_telemetry::vendor::Call;

use super::{
    metrics::{MailboxMetrics, Standing},
    notice::notice,
    store::{self, FolderKey, Skipped},
};
use crate::{
    accounts::Account,
    message::recipients_of,
    receive::{Accept, Incoming, Receiver, Refusal},
};

/// Mails that are taken apart at the same time.
const PARALLEL: usize = 4;
/// Tries for a mail that ends the thread which takes it apart.
const TRIES_APART: usize = 3;

/// Where mails of one folder go.
pub(super) struct MailboxSink<A> {
    pub(super) receiver: Receiver<A>,
    pub(super) db: Db,
    pub(super) key: FolderKey,
    pub(super) folder: String,
    pub(super) account: Arc<Account>,
    pub(super) limits: ParseLimits,
    pub(super) clock: SharedClock,
    pub(super) metrics: MailboxMetrics,
    pub(super) standing: Standing,
    pub(super) health: CheckHandle,
}

/// What became of a mail before it is handed in.
struct Prepared {
    uid: u32,
    size: u64,
    events: Vec<InboundEvent>,
    /// Why it stays in the mailbox.
    stays: Option<&'static str>,
}

impl<A: Accept> MailboxSink<A> {
    /// An error is one of ours and passes; what is wrong with the mail is a cause.
    async fn prepare(&self, mail: Mail) -> Result<Prepared, Refusal> {
        let Mail { uid, size, content } = mail;
        let (raw, mut stays) = match content {
            MailContent::Whole(raw) => (raw, None),
            MailContent::Header { header, why } => {
                let raw = notice(&header, why, size, &self.key.mailbox, &self.folder);
                let cause = match why {
                    Left::TooLarge => "too_large",
                    Left::Unreadable => "unreadable",
                };
                (raw, Some(cause))
            }
            MailContent::Nothing => (Bytes::new(), Some("unreadable")),
        };
        let mut events = Vec::new();
        if !raw.is_empty() || stays.is_none() {
            match self.take_apart(raw).await? {
                Ok(taken) => events = taken,
                Err(cause) => stays = Some(cause),
            }
        }
        Ok(Prepared {
            uid,
            size,
            events,
            stays,
        })
    }

    async fn take_apart(
        &self,
        raw: Bytes,
    ) -> Result<Result<Vec<InboundEvent>, &'static str>, Refusal> {
        for _ in 0..TRIES_APART {
            // One mail that nobody thought of must not end the process, and with it all mailboxes, again and again.
            let preparing = async {
                let incoming = Incoming {
                    recipients: self.recipients(&raw),
                    raw: raw.clone(),
                    mail_from: None,
                    fallback: Some(Arc::clone(&self.account)),
                    own_hops: 0,
                    connection: None,
                };
                self.receiver.prepare(incoming).await
            };
            return Ok(match AssertUnwindSafe(preparing).catch_unwind().await {
                Ok(Ok(events)) => Ok(events),
                Ok(Err(Refusal::Interrupted)) | Err(_) => continue,
                Ok(Err(passing @ (Refusal::Unavailable(_) | Refusal::Store(_)))) => {
                    return Err(passing);
                }
                Ok(Err(Refusal::Loop { .. })) => Err("loop"),
                Ok(Err(Refusal::NoAccount)) => Err("no_account"),
                Ok(Err(Refusal::TooLarge)) => Err("too_large_for_the_bus"),
            });
        }
        Ok(Err("cannot_be_taken_apart"))
    }

    /// The mailbox says whose mail it is; the header says which of the account's addresses was written to. Another
    /// account's address in it does not take the mail away: that account has a copy of its own.
    fn recipients(&self, raw: &[u8]) -> Vec<Address> {
        let end = header_end(raw);
        let header = parse(&Bytes::copy_from_slice(&raw[..end]), &self.limits);
        let accounts = self.receiver.accounts();
        let ours = |address: &Address| {
            accounts
                .resolve(address)
                .is_some_and(|account| account.name == self.account.name)
        };
        let mut found: Vec<Address> = recipients_of(&header).filter(ours).collect();
        if found.is_empty() {
            found.extend(self.account.addresses.first().cloned());
        }
        found
    }

    /// Hands mails in together; if they are too much together, one by one.
    async fn hand_in(&self, mails: &mut [Prepared]) -> Result<(), Refusal> {
        let events: Vec<InboundEvent> = mails
            .iter()
            .flat_map(|mail| mail.events.iter().cloned())
            .collect();
        if events.is_empty() {
            return Ok(());
        }
        match self.receiver.hand_in(events).await {
            Err(Refusal::TooLarge) => {}
            other => return other,
        }
        for mail in mails.iter_mut().filter(|mail| !mail.events.is_empty()) {
            match self.receiver.hand_in(mail.events.clone()).await {
                Ok(()) => {}
                Err(Refusal::TooLarge) => {
                    mail.events.clear();
                    mail.stays = Some("too_large_for_the_bus");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The events of a batch begin one trace together, because they go to the bus together.
    #[tracing::instrument(name = "email.mailbox_take", parent = None, skip_all, fields(mailbox = self.key.mailbox, mails = mails.len()))]
    async fn take_batch(
        &self,
        mails: Vec<Mail>,
        position: Position,
    ) -> Result<Vec<u32>, SinkError> {
        let preparing = stream::iter(mails)
            .map(|mail| self.prepare(mail))
            .buffered(PARALLEL);
        let outcomes: Vec<Result<Prepared, Refusal>> = preparing.collect().await;
        let mut prepared = outcomes
            .into_iter()
            .collect::<Result<Vec<Prepared>, Refusal>>()?;
        self.hand_in(&mut prepared).await?;
        let skipped: Vec<Skipped> = prepared
            .iter()
            .filter_map(|mail| {
                Some(Skipped {
                    uid: mail.uid,
                    cause: mail.stays?,
                    noticed: !mail.events.is_empty(),
                    size: mail.size,
                })
            })
            .collect();
        store::cursor_advance(&self.db, &self.key, position, &skipped, self.clock.now()).await?;
        self.tell(&prepared);
        Ok(skipped.into_iter().map(|mail| mail.uid).collect())
    }

    fn tell(&self, mails: &[Prepared]) {
        for mail in mails {
            let outcome = match (mail.stays, mail.events.is_empty()) {
                (None, _) => "taken",
                (Some(_), false) => "header_only",
                (Some(_), true) => "skipped",
            };
            self.metrics.mails.inc([outcome]);
            if let Some(cause) = mail.stays {
                tracing::warn!(
                    mailbox = self.key.mailbox,
                    uid = mail.uid,
                    bytes = mail.size,
                    cause,
                    noticed = !mail.events.is_empty(),
                    "a mail stays in its mailbox because it could not be taken whole"
                );
            }
        }
    }
}

/// Where the header ends, with the empty line.
fn header_end(raw: &[u8]) -> usize {
    let crlf = raw
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .map(|at| at + 4);
    let lf = raw
        .windows(2)
        .position(|end| end == b"\n\n")
        .map(|at| at + 2);
    crlf.into_iter().chain(lf).min().unwrap_or(raw.len())
}

impl<A: Accept> Sink for MailboxSink<A> {
    async fn known(&self, uid_validity: u32) -> Result<Known, SinkError> {
        Ok(store::cursor_known(&self.db, &self.key, uid_validity).await?)
    }

    async fn begin(&self, position: Position) -> Result<(), SinkError> {
        let now = self.clock.now();
        Ok(store::cursor_begin(&self.db, &self.key, position, now).await?)
    }

    async fn take(&self, mails: Vec<Mail>, position: Position) -> Result<Vec<u32>, SinkError> {
        Box::pin(self.take_batch(mails, position)).await
    }

    async fn settled(&self, position: Position) -> Result<(), SinkError> {
        let now = self.clock.now();
        Ok(store::cursor_advance(&self.db, &self.key, position, &[], now).await?)
    }

    async fn stay(&self, position: Position) -> Result<Vec<u32>, SinkError> {
        Ok(store::skipped_between(&self.db, &self.key, position).await?)
    }

    fn event(&self, event: Event) {
        match event {
            Event::Up => {
                self.standing.is("up");
                self.health.ready();
            }
            Event::Down(why) => {
                self.metrics.failures.inc([why]);
                self.standing.is("down");
                self.health.not_ready(why);
            }
            // IMAP has no word for how long.
            Event::Throttled => self.metrics.vendors.throttled("email", Call::Read, None),
            Event::Resync => self.metrics.resyncs.inc([]),
            Event::Vanished(count) => self.metrics.mails.add(["vanished"], count),
            Event::Unsettled => self.metrics.unsettled.inc([]),
        }
    }
}

//! The way of a mail from its bytes to the bus, the same for SMTP and for import: take it apart, judge it, keep files
//! and original, hand it in.
//!
//! Files go to the store before the event goes to the bus: an event that names a file which is not there would be a
//! promise broken, a file without an event is swept up later.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use jiff::Timestamp;
use solmu_connector::{
    InboundEvent, Intake, IntakeError, ObjectStore, object_store::ObjectStoreError,
    outbound::Deliveries, raw,
};
use solmu_domain::{clock::SharedClock, signed::Signer};
use solmu_mailhooks::Verdicts;
use solmu_proto::types::v1::Attachment;

use crate::{
    accounts::{Account, Accounts},
    authenticity::Authenticity,
    config::Config,
    message::{Known, delivery_report, recipients_of, to_event},
    metrics::EmailMetrics,
    outgoing::verp,
    reply_to,
};
use solmu_mime::{
    address::Address,
    authenticity::{Findings, Trust, judge},
    automatic::{Classified, Surroundings, classify},
    describe::class_name,
    mail::{ParsedAttachment, ParsedMail},
    parse::{ParseLimits, parse},
};

/// Media type of the original (RFC 2046 section 5.2.1).
const RAW_TYPE: &str = "message/rfc822";
/// A mail larger than this, in bytes, is taken apart on a thread of its own, so that it does not hold up others.
const OWN_THREAD_BYTES: usize = 1024 * 1024;

/// Where events are handed in. [`Intake`] is the real one; tests have their own.
pub trait Accept: Send + Sync + 'static {
    /// Hands in the events of one mail; `Ok` means that they are on the bus's disk.
    fn accept_all(
        &self,
        events: Vec<InboundEvent>,
    ) -> impl Future<Output = Result<(), IntakeError>> + Send;
}

impl Accept for Intake {
    async fn accept_all(&self, events: Vec<InboundEvent>) -> Result<(), IntakeError> {
        Self::accept_all(self, events).await
    }
}

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It has more Received headers than any mail that arrives.
    #[error("the mail goes round in circles: {hops} hops")]
    Loop {
        /// Received headers.
        hops: usize,
    },
    /// Nobody here takes it.
    #[error("the mail has no recipient of ours")]
    NoAccount,
    /// Even its texts and header are too much for the bus.
    #[error("the mail is too large for the bus")]
    TooLarge,
    /// The bus did not acknowledge: the sender has to try again.
    #[error("the bus is away")]
    Unavailable(#[source] IntakeError),
    /// Files could not be kept: the sender has to try again.
    #[error("the object store failed")]
    Store(#[source] ObjectStoreError),
    /// The thread that took the mail apart ended early.
    #[error("taking the mail apart was interrupted")]
    Interrupted,
}

/// A mail as it came in.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The original, with our trace header.
    pub raw: Bytes,
    /// Envelope sender; `Some("")` is the null reverse-path, `None` means that no envelope is known.
    pub mail_from: Option<String>,
    /// Envelope recipients; empty where no envelope is known.
    pub recipients: Vec<Address>,
    /// Account for a mail without an envelope whose recipients are not ours.
    pub fallback: Option<Arc<Account>>,
    /// Received headers of ours that stand on top.
    pub own_hops: usize,
    /// The connection that it came in over; `None` where we did not take it from a stranger by SMTP: over LMTP a server
    /// of ours stands between, and so it does for everything that is fetched.
    pub connection: Option<ConnectionFacts>,
}

/// What a connection of ours says about its other end. With the envelope sender this is what SPF looks at (RFC 7208
/// section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// Address of the other end.
    pub peer: IpAddr,
    /// Name that the other end gave itself in HELO or EHLO; as sent, so not to be believed.
    pub helo: String,
    /// Whether the mail came over TLS.
    pub tls: bool,
}

/// Takes mails in. Cheap to clone.
#[derive(Debug)]
pub struct Receiver<A> {
    shared: Arc<Shared>,
    intake: Arc<A>,
    deliveries: Option<Deliveries>,
    /// Of a mail provider: the only name under which Authentication-Results count; none if empty.
    header_of: Option<Arc<str>>,
    /// What a provider that proved itself says of the mail.
    verdicts: Option<Arc<Verdicts>>,
}

impl<A> Clone for Receiver<A> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            intake: Arc::clone(&self.intake),
            deliveries: self.deliveries.clone(),
            header_of: self.header_of.clone(),
            verdicts: self.verdicts.clone(),
        }
    }
}

#[derive(Debug)]
struct Shared {
    accounts: Arc<Accounts>,
    signer: Signer,
    store: ObjectStore,
    clock: SharedClock,
    metrics: EmailMetrics,
    limits: ParseLimits,
    authenticity: Authenticity,
    max_hops: usize,
}

/// What a [`Receiver`] is made of.
#[derive(Debug)]
pub struct ReceiverParts<A> {
    /// Our mailboxes.
    pub accounts: Arc<Accounts>,
    /// Knows our signatures.
    pub signer: Signer,
    /// Where files go.
    pub store: ObjectStore,
    /// Where events go.
    pub intake: A,
    /// The time.
    pub clock: SharedClock,
    /// Counters.
    pub metrics: EmailMetrics,
}

impl<A: Accept> Receiver<A> {
    /// A receiver with the limits of `config`.
    #[must_use]
    pub fn new(parts: ReceiverParts<A>, config: &Config) -> Self {
        let authenticity =
            Authenticity::new(config, parts.accounts.hostname(), parts.metrics.clone());
        let shared = Shared {
            accounts: parts.accounts,
            signer: parts.signer,
            store: parts.store,
            clock: parts.clock,
            metrics: parts.metrics,
            limits: config.parse.clone(),
            authenticity,
            max_hops: config.smtp.max_hops,
        };
        Self {
            shared: Arc::new(shared),
            intake: Arc::new(parts.intake),
            deliveries: None,
            header_of: None,
            verdicts: None,
        }
    }

    /// Lets the memory of what was sent know what reports say.
    #[must_use]
    pub fn with_deliveries(mut self, deliveries: Deliveries) -> Self {
        self.deliveries = Some(deliveries);
        self
    }

    /// A receiver for mail that a provider took in for us: no exchanger of ours has seen it, so a header that bears our
    /// exchanger's name was written by the sender. Only the provider's own `authserv_id` counts; none if empty.
    #[must_use]
    pub fn for_provider(&self, authserv_id: &str) -> Self {
        Self {
            header_of: Some(authserv_id.into()),
            ..self.clone()
        }
    }

    /// A receiver for one mail of which its provider, who proved to be it, says this.
    #[must_use]
    pub fn with_verdicts(mut self, verdicts: Option<Verdicts>) -> Self {
        self.verdicts = verdicts.map(Arc::new);
        self
    }

    /// Our mailboxes.
    #[must_use]
    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.shared.accounts
    }

    /// The time.
    #[must_use]
    pub fn clock(&self) -> &SharedClock {
        &self.shared.clock
    }

    /// Takes a mail in; `Ok` means that the bus has it on disk.
    #[tracing::instrument(name = "email.receive", parent = None, skip_all, fields(mail.bytes = incoming.raw.len()))]
    pub async fn receive(&self, incoming: Incoming) -> Result<(), Refusal> {
        let events = self.prepare(incoming).await?;
        self.hand_in(events).await
    }

    /// As [`Self::receive`], with an outcome for each account that the mail is for: one account's failure is not told
    /// as another's. What concerns the mail itself fails for all.
    #[tracing::instrument(name = "email.receive_each", parent = None, skip_all, fields(mail.bytes = incoming.raw.len()))]
    pub async fn receive_each(&self, incoming: Incoming) -> Result<Vec<AccountOutcome>, Refusal> {
        let mut by_account: Vec<(String, Vec<InboundEvent>)> = Vec::new();
        for event in self.prepare(incoming).await? {
            let account = match &event {
                InboundEvent::Message(message) => &message.account,
                InboundEvent::Delivery(report) => &report.account,
            };
            match by_account.iter_mut().find(|(name, _)| name == account) {
                Some((_, events)) => events.push(event),
                None => by_account.push((account.clone(), vec![event])),
            }
        }
        let handing_in = by_account.into_iter().map(|(account, events)| async move {
            let outcome = self.hand_in(events).await;
            AccountOutcome { account, outcome }
        });
        Ok(join_all(handing_in).await)
    }

    /// Takes a mail apart and keeps its files; what comes back has to be handed in.
    pub async fn prepare(&self, incoming: Incoming) -> Result<Vec<InboundEvent>, Refusal> {
        let mut mail = self.shared.take_apart(&incoming.raw).await?;
        let hops = mail.fields.all("received").count();
        if hops > self.shared.max_hops {
            return Err(Refusal::Loop { hops });
        }
        let findings = match (&self.verdicts, &self.header_of) {
            (Some(verdicts), _) if verdicts.says_who() => {
                self.shared.authenticity.by_provider(&mail, verdicts)
            }
            (_, Some(authserv_id)) => provider_findings(&mail, authserv_id),
            (_, None) => Box::pin(self.shared.authenticity.of(&mail, &incoming)).await,
        };
        if let Some(verdicts) = &self.verdicts {
            mail.notices.extend(verdicts.notices.iter().cloned());
        }
        let deliveries = self.shared.deliveries(&mail, &incoming, &findings)?;
        let attachments = self
            .shared
            .keep_files(std::mem::take(&mut mail.attachments))
            .await?;
        let original = raw::keep_shared(
            &self.shared.store,
            &incoming.raw,
            RAW_TYPE,
            deliveries.len(),
        )
        .await
        .map_err(store_refusal)?;
        let mut events = Vec::with_capacity(deliveries.len());
        for mut delivery in deliveries {
            delivery.message.attachments.clone_from(&attachments);
            delivery.message.raw = Some(original.clone());
            events.push(InboundEvent::from(delivery.message));
            events.extend(delivery.report.map(InboundEvent::from));
        }
        Ok(events)
    }

    /// Hands events in, in their order.
    pub async fn hand_in(&self, events: Vec<InboundEvent>) -> Result<(), Refusal> {
        let reports: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                InboundEvent::Delivery(report) => Some(report.clone()),
                InboundEvent::Message(_) => None,
            })
            .collect();
        self.intake
            .accept_all(events)
            .await
            .map_err(|error| match error {
                IntakeError::TooLarge => Refusal::TooLarge,
                IntakeError::Unavailable => Refusal::Unavailable(error),
            })?;
        if let Some(deliveries) = &self.deliveries {
            for report in reports {
                deliveries.note(&report).await;
            }
        }
        Ok(())
    }
}

/// What became of a mail for one account.
#[derive(Debug)]
pub struct AccountOutcome {
    /// Name of the account.
    pub account: String,
    /// `Ok` means that the bus has it on disk.
    pub outcome: Result<(), Refusal>,
}

/// A mail as one account gets it.
struct Delivery {
    message: solmu_proto::inbound::v1::MessageReceived,
    report: Option<solmu_proto::inbound::v1::DeliveryReported>,
}

/// What a provider's own header says of the sender. It stands below the one Received header that the provider wrote.
fn provider_findings(mail: &ParsedMail, authserv_id: &str) -> Findings {
    const PROVIDER_HOPS: usize = 1;
    let trust = Trust {
        authserv_id: Some(authserv_id).filter(|id| !id.is_empty()),
        trusted_hops: PROVIDER_HOPS,
    };
    judge(mail, trust)
}

fn store_refusal(error: ObjectStoreError) -> Refusal {
    match error {
        ObjectStoreError::TooLarge { .. } => Refusal::TooLarge,
        other => Refusal::Store(other),
    }
}

impl Shared {
    async fn take_apart(self: &Arc<Self>, raw: &Bytes) -> Result<ParsedMail, Refusal> {
        if raw.len() <= OWN_THREAD_BYTES {
            return Ok(parse(raw, &self.limits));
        }
        let (shared, raw) = (Arc::clone(self), raw.clone());
        let parsed = tokio::task::spawn_blocking(move || parse(&raw, &shared.limits));
        parsed.await.map_err(|_| Refusal::Interrupted)
    }

    fn classify(&self, mail: &ParsedMail, incoming: &Incoming) -> Classified {
        let around = Surroundings {
            mail_from: incoming.mail_from.as_deref(),
            is_own: &|address| self.accounts.is_own(address),
            signer: &self.signer,
        };
        let classified = verp::judged(
            classify(mail, &around),
            &incoming.recipients,
            incoming.mail_from.as_deref(),
            &self.signer,
        );
        self.metrics.classified.inc([class_name(classified.class)]);
        classified
    }

    /// One event for each account that the mail is for: the account is part of the unique key.
    fn deliveries(
        &self,
        mail: &ParsedMail,
        incoming: &Incoming,
        findings: &Findings,
    ) -> Result<Vec<Delivery>, Refusal> {
        let classified = self.classify(mail, incoming);
        let received = self.clock.now();
        let by_account = self.by_account(mail, incoming);
        if by_account.is_empty() {
            return Err(Refusal::NoAccount);
        }
        let deliver = |(account, recipients): &(Arc<Account>, Vec<Address>)| {
            let known = Known {
                mail,
                classified: &classified,
                findings,
                recipients,
                mail_from: incoming.mail_from.as_deref(),
                received,
            };
            let mut message = to_event(&known, account, &self.signer);
            reply_to::retain(&mut message, mail, &self.accounts);
            Delivery {
                message,
                report: delivery_report(&known, account, &self.signer),
            }
        };
        Ok(by_account.iter().map(deliver).collect())
    }

    /// By envelope; without one by delivery headers, To and Cc (the first account of ours); else the fallback.
    fn by_account(
        &self,
        mail: &ParsedMail,
        incoming: &Incoming,
    ) -> Vec<(Arc<Account>, Vec<Address>)> {
        let mut found: Vec<(Arc<Account>, Vec<Address>)> = Vec::new();
        for recipient in &incoming.recipients {
            let Some(account) = self.accounts.for_recipient(recipient) else {
                continue;
            };
            match found
                .iter_mut()
                .find(|(known, _)| known.name == account.name)
            {
                Some((_, recipients)) => recipients.push(recipient.clone()),
                None => found.push((Arc::clone(account), vec![recipient.clone()])),
            }
        }
        if found.is_empty() && incoming.recipients.is_empty() {
            let written =
                recipients_of(mail).find_map(|address| self.accounts.resolve(&address).cloned());
            found.extend(
                written
                    .or_else(|| incoming.fallback.clone())
                    .map(|account| (account, Vec::new())),
            );
        }
        found
    }

    /// Keeps the files side by side, because each waits for the disk.
    async fn keep_files(&self, files: Vec<ParsedAttachment>) -> Result<Vec<Attachment>, Refusal> {
        try_join_all(files.into_iter().map(|file| self.keep_file(file)))
            .await
            .map_err(store_refusal)
    }

    async fn keep_file(&self, file: ParsedAttachment) -> Result<Attachment, ObjectStoreError> {
        let object = self.store.put(file.bytes).await?;
        Ok(Attachment {
            object_key: object.key,
            filename: file.filename,
            content_type: file.content_type,
            size_bytes: i64::try_from(object.size).unwrap_or(i64::MAX),
            sha256: object.sha256,
            content_id: file.content_id,
            inline: file.inline,
        })
    }
}

/// The time of a trace header (RFC 5322 section 3.3), in UTC.
pub(crate) fn rfc5322_date(at: Timestamp) -> String {
    let zoned = at.to_zoned(jiff::tz::TimeZone::UTC);
    zoned.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

//! Webhooks of mail providers: inbound parse of Mailgun, SendGrid, Postmark and Amazon SES, and what they report on
//! mail that we sent.
//!
//! Whatever a provider posts becomes the bytes of a mail and its envelope, and goes the way of every other mail: raw
//! MIME where the provider gives it, else a mail built from the fields ([`build`]). The order of work is the promise:
//! verify, read, hand in, wait for the bus, answer. What a mail means and whose it is, the [`Desk`] knows.
//!
//! Providers differ in what makes them come again, so each has its own "no" ([`Vendor::stop`]):
//!
//! | | Mailgun | SendGrid | Postmark | SES over SNS |
//! |---|---|---|---|---|
//! | taken, on the bus | 200 | 200 | 200 | 200 |
//! | bus or store away, too busy: come again | 503 | 503 | 503 | 503 |
//! | not signed as it should be | 401 | 401 | 401 | 401 |
//! | no account for the recipients, a loop, unreadable: do not come again | 406 | 403 | 403 | 403 |
//! | not supported as it is set up (stored mail, a bucket that is not configured) | 422 | 422 | 422 | 422 |
//! | no such webhook | 404 | 404 | 404 | 404 |
//!
//! Mailgun stops at 406 and Postmark at 403; SendGrid repeats only after 5xx, SNS gives up on 4xx and puts the message
//! into the subscription's dead-letter queue. A wrong secret is mostly a mistake in a configuration: Mailgun and
//! Postmark repeat after 401 for hours, which leaves time to mend it.

mod budget;
mod build;
mod check;
mod config;
mod desk;
mod form;
mod mailgun;
mod memory;
mod metrics;
mod postmark;
mod report;
mod sendgrid;
mod ses;
mod ses_notice;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, StatusCode, header::CONTENT_LENGTH},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use solmu_domain::{clock::SharedClock, signed::Signer};
use solmu_mime::address::Address;
use solmu_secret::signature::SignatureError;
use solmu_telemetry::metrics::Metrics;

pub use config::{
    BucketConfig, HookError, MailgunHook, PostmarkHook, SendgridHook, SesHook, WebhooksConfig,
};
pub use desk::{Desk, ProviderMail, Refusal, Verdicts};
pub use memory::{Memory, MemoryError};
pub use ses::{Get, GetError};

use budget::{Budget, Share};
use check::{Checked, CheckedHooks};
use metrics::HookMetrics;
use report::{Outcome, ReportWords};
use ses::Certificates;

/// Bytes of work beyond which reading a request goes to a thread of its own.
const OWN_THREAD_BYTES: usize = 1024 * 1024;
/// Bytes of a message of SNS at most: it carries 256 KiB, and quoting within quotes makes them more.
const SNS_MAX_BYTES: usize = 1024 * 1024;

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vendor {
    Mailgun,
    Sendgrid,
    Postmark,
    Ses,
}

impl Vendor {
    pub(crate) const ALL: [Self; 4] = [Self::Mailgun, Self::Sendgrid, Self::Postmark, Self::Ses];

    /// Its place in [`Self::ALL`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Mailgun => 0,
            Self::Sendgrid => 1,
            Self::Postmark => 2,
            Self::Ses => 3,
        }
    }

    /// Bytes of a request at most.
    pub(crate) fn max_body_bytes(self, config: &WebhooksConfig) -> usize {
        match self {
            Self::Ses => config.max_body_bytes.min(SNS_MAX_BYTES),
            Self::Mailgun | Self::Sendgrid | Self::Postmark => config.max_body_bytes,
        }
    }

    /// In paths and labels.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Mailgun => "mailgun",
            Self::Sendgrid => "sendgrid",
            Self::Postmark => "postmark",
            Self::Ses => "ses",
        }
    }

    /// The answer after which the provider does not come again with this request.
    fn stop(self) -> StatusCode {
        match self {
            Self::Mailgun => StatusCode::NOT_ACCEPTABLE,
            Self::Sendgrid | Self::Postmark | Self::Ses => StatusCode::FORBIDDEN,
        }
    }
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("there is no such webhook")]
    Unknown,
    #[error("the request is not the provider's")]
    Signature(#[from] SignatureError),
    #[error("the token of the signature was used for another request")]
    Replay,
    #[error("the topic is none of ours")]
    Topic,
    #[error("the body is larger than the limit")]
    TooLarge,
    #[error("too many bytes are worked on already")]
    Busy,
    #[error("the request cannot be read: {0}")]
    Malformed(&'static str),
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    #[error("whether the token was used is not known now")]
    Memory(#[source] MemoryError),
    #[error("amazon could not be asked")]
    Amazon(#[source] ses::AmazonError),
    #[error("reading the request was interrupted")]
    Interrupted,
    #[error("the mail was not taken")]
    Mail(#[from] Refusal),
}

impl Refused {
    /// The answer, and why as a metric label.
    fn answer(&self, vendor: Vendor) -> (StatusCode, &'static str) {
        match self {
            Self::Unknown => (StatusCode::NOT_FOUND, "unknown_webhook"),
            Self::Signature(SignatureError::Stale) => (StatusCode::UNAUTHORIZED, "stale"),
            Self::Signature(_) => (StatusCode::UNAUTHORIZED, "signature"),
            Self::Topic => (StatusCode::UNAUTHORIZED, "topic"),
            Self::Replay => (vendor.stop(), "replay"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Malformed(_) => (vendor.stop(), "malformed"),
            Self::Unsupported(_) => (StatusCode::UNPROCESSABLE_ENTITY, "unsupported"),
            Self::Amazon(_) => (StatusCode::SERVICE_UNAVAILABLE, "amazon"),
            Self::Mail(Refusal::NoAccount) => (vendor.stop(), "no_account"),
            Self::Mail(Refusal::Loop) => (vendor.stop(), "loop"),
            Self::Mail(Refusal::TooLarge) => (vendor.stop(), "too_large"),
            Self::Mail(Refusal::Unavailable(_)) | Self::Interrupted | Self::Memory(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
        }
    }
}

/// A mail as a provider hands it over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct HookMail {
    raw: Bytes,
    /// As in [`ProviderMail::mail_from`].
    mail_from: Option<String>,
    /// Envelope recipients as the provider writes them.
    recipients: Vec<String>,
    /// As in [`ProviderMail::verdicts`].
    verdicts: Option<Verdicts>,
}

/// What the webhooks work with.
#[derive(Debug)]
pub struct HookParts<D, G, M> {
    /// Takes what comes.
    pub desk: D,
    /// Gets Amazon's certificates and mails from buckets, and confirms subscriptions.
    pub amazon: G,
    /// Knows which tokens were used, in this process or another.
    pub memory: M,
    /// Knows our Message-IDs.
    pub signer: Signer,
    /// The time.
    pub clock: SharedClock,
    /// Where counters are registered.
    pub metrics: Metrics,
}

/// What all handlers share.
#[derive(Debug)]
struct Hooks<D> {
    desk: D,
    signer: Signer,
    clock: SharedClock,
    metrics: HookMetrics,
    max_body_bytes: [usize; Vendor::ALL.len()],
    budget: Budget,
}

/// Whether all webhooks could start; `has_account` knows the names of accounts.
pub fn check(config: &WebhooksConfig, has_account: impl Fn(&str) -> bool) -> Result<(), HookError> {
    config.checked(&has_account).map(drop)
}

/// The routes of all configured webhooks.
pub fn routes<D: Desk>(
    config: &WebhooksConfig,
    parts: HookParts<D, impl Get, impl Memory>,
) -> Result<Router, HookError> {
    let checked = config.checked(&|name| parts.desk.has_account(name))?;
    Ok(routes_of(config, checked, parts))
}

fn routes_of<D: Desk>(
    config: &WebhooksConfig,
    checked: CheckedHooks,
    parts: HookParts<D, impl Get, impl Memory>,
) -> Router {
    let hooks = Arc::new(Hooks {
        desk: parts.desk,
        signer: parts.signer,
        clock: parts.clock,
        metrics: HookMetrics::new(&parts.metrics),
        max_body_bytes: Vendor::ALL.map(|vendor| vendor.max_body_bytes(config)),
        budget: Budget::new(config),
    });
    mailgun::routes(Arc::clone(&hooks), by_name(checked.mailgun), parts.memory)
        .merge(sendgrid::routes(
            Arc::clone(&hooks),
            by_name(checked.sendgrid),
        ))
        .merge(postmark::routes(
            Arc::clone(&hooks),
            by_name(checked.postmark),
        ))
        .merge(ses::routes(
            hooks,
            by_name(checked.ses),
            Certificates::new(parts.amazon),
        ))
}

fn by_name<T>(hooks: Vec<Checked<T>>) -> HashMap<String, Checked<T>> {
    hooks
        .into_iter()
        .map(|hook| (hook.name.clone(), hook))
        .collect()
}

/// A header's value, if there is exactly one.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

/// A header's value as text, or the empty text.
fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    header(headers, name)
        .and_then(|value| std::str::from_utf8(value).ok())
        .unwrap_or_default()
}

/// An envelope sender without its angle brackets; the null reverse-path is the empty text.
fn reverse_path(text: &str) -> String {
    let text = text.trim();
    let inner = text
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'));
    inner.unwrap_or(text).trim().to_owned()
}

/// Does what takes long on a thread of its own, so that it does not hold up others.
async fn read_aside<T: Send + 'static>(
    bytes: usize,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    if bytes <= OWN_THREAD_BYTES {
        return Ok(read());
    }
    let done = tokio::task::spawn_blocking(read).await;
    done.map_err(|_| Refused::Interrupted)
}

impl<D: Desk> Hooks<D> {
    /// The body within the limit, and its share of the memory that requests may take together. The share grows with
    /// what comes, so that nobody holds a place by announcing much and sending nothing.
    async fn body(
        &self,
        vendor: Vendor,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Bytes, Share<'_>), Refused> {
        let max = self.max_body_bytes[vendor.index()];
        let announced: Option<usize> = header_text(headers, CONTENT_LENGTH.as_str()).parse().ok();
        if announced.is_some_and(|length| length > max) {
            return Err(Refused::TooLarge);
        }
        let mut share = self.budget.share(vendor)?;
        let mut whole = BytesMut::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Refused::Malformed("the body was cut off"))?;
            if whole.len() + chunk.len() > max {
                return Err(Refused::TooLarge);
            }
            share.grow(chunk.len())?;
            whole.extend_from_slice(&chunk);
        }
        Ok((whole.freeze(), share))
    }

    /// Hands a mail in; `Ok` means that the bus has it.
    async fn take<T>(&self, hook: &Checked<T>, mail: HookMail) -> Result<(), Refused> {
        let recipients = mail.recipients.iter();
        let mail = ProviderMail {
            raw: mail.raw,
            mail_from: mail.mail_from,
            recipients: recipients
                .filter_map(|text| Address::parse(text).ok())
                .collect(),
            fallback: hook.account.clone(),
            authserv_id: hook.authserv_id.clone(),
            verdicts: mail.verdicts,
        };
        Ok(self.desk.take(mail).await?)
    }

    /// Hands reports in, as far as they are about messages of ours.
    async fn report(
        &self,
        vendor: Vendor,
        account: &str,
        reports: Vec<(Outcome, ReportWords)>,
    ) -> Result<(), Refused> {
        let now = self.clock.now();
        let account = self.desk.reporting_account(account);
        let mut ours = Vec::new();
        for (outcome, words) in reports {
            let event = report::report(outcome, words, &account, &self.signer, now);
            let what = if event.is_some() {
                outcome.label()
            } else {
                "not_ours"
            };
            self.metrics.reports.inc([vendor.label(), what]);
            ours.extend(event);
        }
        if ours.is_empty() {
            return Ok(());
        }
        Ok(self.desk.report(ours).await?)
    }

    /// Counts and logs the outcome, and makes the answer of it.
    fn answer(&self, vendor: Vendor, outcome: Result<(), Refused>) -> StatusCode {
        let status = match outcome {
            Ok(()) => StatusCode::OK,
            Err(error) => {
                let (status, why) = error.answer(vendor);
                self.metrics.refused.inc([vendor.label(), why]);
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    vendor = vendor.label(),
                    answer = status.as_u16(),
                    "a mail provider's request was not taken"
                );
                status
            }
        };
        self.metrics.answered(vendor, status)
    }

    /// Counts an event that says nothing about the fate of a message.
    fn ignored(&self, vendor: Vendor) {
        self.metrics.reports.inc([vendor.label(), "ignored"]);
    }
}

//! Decides what becomes of a post; knows no HTTP.
//!
//! A post that fills the hidden field is thanked and dropped: an error would teach the program what to leave empty. It
//! is counted and logged without its content; that is the one post that gets a reference and is not filed.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use solmu_domain::{
    clock::SharedClock,
    rng::SharedRng,
    signed::{Signer, base32},
};
use solmu_proto::inbound::v1::MessageReceived;

use crate::{
    definition::Form,
    message::{self, Received},
    metrics::{FormMetrics, Outcome},
    page::Pages,
    submission::Submission,
    token::{self, Refused},
    validate::{FieldError, validate},
};
use solmu_connector::{
    address::{Proxies, subscriber},
    limit::Limiter,
};

/// Why the bus did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// It is away: the same post may succeed later.
    Unavailable,
    /// It is too large, and will be next time.
    TooLarge,
}

/// Hands an event to the bus; `Ok` when it is on its disk.
pub(crate) type Accept =
    Arc<dyn Fn(MessageReceived) -> BoxFuture<'static, Result<(), NotTaken>> + Send + Sync>;

/// Everything that the routes share.
pub(crate) struct Service {
    pub(crate) forms: BTreeMap<String, Form>,
    pub(crate) pages: Pages,
    pub(crate) signer: Signer,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
    pub(crate) proxies: Proxies,
    pub(crate) per_address: Limiter<IpAddr>,
    pub(crate) per_email: Limiter<String>,
    pub(crate) body_limit: usize,
    pub(crate) accept: Accept,
    pub(crate) metrics: FormMetrics,
}

/// A post as it came.
#[derive(Debug)]
pub(crate) struct Post<'a> {
    pub(crate) submission: &'a Submission,
    pub(crate) raw: &'a Bytes,
    pub(crate) content_type: &'static str,
    pub(crate) language: &'a str,
    /// JSON, not a page's post.
    pub(crate) api: bool,
    pub(crate) idempotency_key: Option<&'a str>,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The bus has it (or the sender is to believe so).
    Accepted { reference: String },
    /// Fields are wrong.
    Invalid(Vec<FieldError>),
    /// Sent sooner than a person can type.
    TooFast,
    /// The token is missing, old or not ours.
    Expired,
    /// Too many; try again after this time.
    RateLimited(Duration),
    /// The bus is away.
    Unavailable,
    /// Larger than an event may be.
    TooLarge,
}

impl Answer {
    const fn outcome(&self) -> Outcome {
        match self {
            Self::Accepted { .. } => Outcome::Accepted,
            Self::Invalid(_) => Outcome::Invalid,
            Self::TooFast => Outcome::TooFast,
            Self::Expired => Outcome::Expired,
            Self::RateLimited(_) => Outcome::RateLimited,
            Self::Unavailable => Outcome::Unavailable,
            Self::TooLarge => Outcome::Refused,
        }
    }
}

impl Service {
    /// A new token for a page of `form`.
    pub(crate) fn token(&self, form: &Form) -> String {
        token::issue(&self.signer, form.id(), self.clock.now(), &*self.rng)
    }

    /// Counts a post of this address.
    pub(crate) fn admit(&self, form: &Form, client: IpAddr) -> Result<(), Answer> {
        self.per_address.check(&subscriber(client)).map_err(|wait| {
            self.metrics.post(form.id(), Outcome::RateLimited);
            Answer::RateLimited(wait)
        })
    }

    /// Judges a post and, if it is good, publishes it.
    pub(crate) async fn take(&self, form: &Form, post: &Post<'_>) -> Answer {
        if post.submission.trapped {
            self.metrics.post(form.id(), Outcome::Trapped);
            tracing::info!(form = form.id(), "form post of a program dropped");
            return Answer::Accepted {
                reference: message::reference(form.id(), &token::nonce(&*self.rng)),
            };
        }
        let answer = match self.judge(form, post) {
            Ok(nonce) => self.publish(form, post, &nonce).await,
            Err(answer) => answer,
        };
        self.metrics.post(form.id(), answer.outcome());
        answer
    }

    fn judge(&self, form: &Form, post: &Post<'_>) -> Result<String, Answer> {
        let errors = validate(form, &post.submission.fields, post.language);
        if !errors.is_empty() {
            return Err(Answer::Invalid(errors));
        }
        let nonce = self.nonce(form, post)?;
        if let Some(email) = message::email(form, &post.submission.fields) {
            self.per_email
                .check(&email.as_str().to_owned())
                .map_err(Answer::RateLimited)?;
        }
        Ok(nonce)
    }

    /// The nonce of the page's token; for servers that are allowed to do without one, made of their idempotency key.
    fn nonce(&self, form: &Form, post: &Post<'_>) -> Result<String, Answer> {
        let definition = &form.definition;
        let Some(text) = &post.submission.token else {
            if !(post.api && definition.json_without_token) {
                return Err(Answer::Expired);
            }
            let keyed = |key: &str| {
                base32(&Sha256::digest(format!("idempotency-key\n{}\n{key}", form.id()))[..16])
            };
            return Ok(post
                .idempotency_key
                .map_or_else(|| token::nonce(&*self.rng), keyed));
        };
        let now = self.clock.now();
        token::verify(
            &self.signer,
            form.id(),
            text,
            now,
            definition.min_seconds,
            definition.max_hours,
        )
        .map(|token| token.nonce)
        .map_err(|refused| match refused {
            Refused::TooFast => Answer::TooFast,
            Refused::Invalid | Refused::Expired => Answer::Expired,
        })
    }

    async fn publish(&self, form: &Form, post: &Post<'_>, nonce: &str) -> Answer {
        let received = Received {
            nonce,
            language: post.language,
            content_type: post.content_type,
            raw: post.raw,
            at: self.clock.now(),
        };
        let event = message::message(form, post.submission, &received);
        match (self.accept)(event).await {
            Ok(()) => Answer::Accepted {
                reference: message::reference(form.id(), nonce),
            },
            Err(NotTaken::Unavailable) => Answer::Unavailable,
            Err(NotTaken::TooLarge) => Answer::TooLarge,
        }
    }
}

//! Amazon SES: mail by the SNS action of a receipt rule, and bounces, complaints and deliveries.
//!
//! SNS signs with a certificate that lies on its own host and is fetched once. A signature proves Amazon and not us:
//! only topics of the configuration are believed. The SNS action carries mails of up to 150 KB; larger ones need the
//! S3 action, whose mails lie in a bucket. What is fetched, and where, the configuration says: of the notification only
//! the key counts, and only under the configured prefix.

use std::{collections::HashMap, error::Error, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use bytes::Bytes;
use solmu_secret::signature::{
    SignatureError,
    sns::{SnsCertificate, SnsCertificateError, SnsMessage, is_certificate_url, is_sns_url},
};
use solmu_text::json;
use tokio::sync::Mutex;

use crate::{
    Desk, HookMail, Hooks, Refused, Vendor,
    budget::Share,
    check::{Checked, Ses},
    read_aside,
    ses_notice::{Notice, Stored, read, too_large},
};

const VENDOR: Vendor = Vendor::Ses;
/// Bytes of a certificate at most; they have about two thousand.
const CERTIFICATE_MAX: usize = 64 * 1024;
/// Bytes of the answer to a confirmation at most.
const CONFIRMATION_MAX: usize = 64 * 1024;
/// Certificates that are kept: one is in use per region, two while it changes.
const CERTIFICATES: usize = 16;

/// Why an address could not be read; the desk's side knows which errors its client has.
pub type GetError = Box<dyn Error + Send + Sync>;

/// Why Amazon's certificate or confirmation could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AmazonError {
    #[error("the request to amazon failed")]
    Http(#[source] GetError),
    #[error("amazon's certificate cannot be read")]
    Certificate(#[from] SnsCertificateError),
}

/// Gets from an address that came in a request. Whoever implements this must never go into our own network.
pub trait Get: Send + Sync + 'static {
    /// The body at `url`, of `max_bytes` at most.
    fn get(
        &self,
        url: &str,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Bytes, GetError>> + Send;

    /// Bytes of an object in the bucket of the webhook `hook`.
    fn object_size(
        &self,
        hook: &str,
        key: &str,
    ) -> impl Future<Output = Result<u64, GetError>> + Send;

    /// The object, of `max_bytes` at most.
    fn object(
        &self,
        hook: &str,
        key: &str,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Bytes, GetError>> + Send;
}

/// Certificates by their address, each fetched once.
#[derive(Debug)]
pub(crate) struct Certificates<G> {
    amazon: G,
    known: Mutex<HashMap<String, Arc<SnsCertificate>>>,
}

impl<G: Get> Certificates<G> {
    pub(crate) fn new(amazon: G) -> Self {
        Self {
            amazon,
            known: Mutex::default(),
        }
    }

    /// The certificate at `url`. Requests that need it while it is fetched wait for it.
    async fn at(&self, url: &str) -> Result<Arc<SnsCertificate>, AmazonError> {
        let mut known = self.known.lock().await;
        if let Some(certificate) = known.get(url) {
            return Ok(Arc::clone(certificate));
        }
        let pem = self.amazon.get(url, CERTIFICATE_MAX).await;
        let pem = pem.map_err(AmazonError::Http)?;
        let certificate = Arc::new(SnsCertificate::from_pem(&pem)?);
        if known.len() >= CERTIFICATES {
            known.clear();
        }
        known.insert(url.to_owned(), Arc::clone(&certificate));
        Ok(certificate)
    }
}

#[derive(Debug)]
struct Shared<D, G> {
    hooks: Arc<Hooks<D>>,
    accounts: HashMap<String, Checked<Ses>>,
    certificates: Certificates<G>,
}

pub(crate) fn routes<D: Desk, G: Get>(
    hooks: Arc<Hooks<D>>,
    accounts: HashMap<String, Checked<Ses>>,
    certificates: Certificates<G>,
) -> Router {
    let shared = Arc::new(Shared {
        hooks,
        accounts,
        certificates,
    });
    Router::new()
        .route("/webhooks/ses/{name}", post(receive::<D, G>))
        .with_state(shared)
}

#[tracing::instrument(name = "webhook.ses", skip_all, fields(webhook = name, otel.kind = "server"))]
async fn receive<D: Desk, G: Get>(
    State(shared): State<Arc<Shared<D, G>>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    let outcome = shared.take(&name, &headers, body).await;
    shared.hooks.answer(VENDOR, outcome)
}

impl<D: Desk, G: Get> Shared<D, G> {
    async fn take(&self, name: &str, headers: &HeaderMap, body: Body) -> Result<(), Refused> {
        let hook = self.accounts.get(name).ok_or(Refused::Unknown)?;
        let (body, mut share) = self.hooks.body(VENDOR, headers, body).await?;
        let message =
            json::read(&body).and_then(|value| serde_json::from_value::<SnsMessage>(value).ok());
        let message = message.ok_or(Refused::Malformed("not a message of SNS"))?;
        self.verify(hook, &message).await?;
        match message.r#type.as_str() {
            "Notification" => self.notified(hook, message, &mut share).await,
            "SubscriptionConfirmation" => self.confirm(&message).await,
            "UnsubscribeConfirmation" => {
                tracing::warn!(webhook = hook.name, "a topic was unsubscribed");
                self.hooks.ignored(VENDOR);
                Ok(())
            }
            _ => Err(Refused::Malformed("an unknown type of message")),
        }
    }

    /// Checks topic and host before anything is fetched, then the signature.
    async fn verify(&self, hook: &Checked<Ses>, message: &SnsMessage) -> Result<(), Refused> {
        if !hook.proof.topics.contains(&message.topic_arn) {
            return Err(Refused::Topic);
        }
        if !is_certificate_url(&message.signing_cert_url) {
            return Err(SignatureError::Malformed("SigningCertURL").into());
        }
        let certificate = self.certificates.at(&message.signing_cert_url).await;
        message.verify(&*certificate.map_err(Refused::Amazon)?)?;
        Ok(())
    }

    /// Confirms a subscription to a topic of ours by visiting the address that came with it.
    async fn confirm(&self, message: &SnsMessage) -> Result<(), Refused> {
        let url = message.subscribe_url.as_deref().unwrap_or_default();
        if !is_sns_url(url) {
            return Err(Refused::Malformed("SubscribeURL does not lead to SNS"));
        }
        let visited = self.certificates.amazon.get(url, CONFIRMATION_MAX).await;
        visited.map_err(|error| Refused::Amazon(AmazonError::Http(error)))?;
        tracing::info!("a subscription to a topic was confirmed");
        self.hooks.ignored(VENDOR);
        Ok(())
    }

    async fn notified(
        &self,
        hook: &Checked<Ses>,
        message: SnsMessage,
        share: &mut Share<'_>,
    ) -> Result<(), Refused> {
        let bytes = message.message.len();
        match read_aside(bytes, move || read(&message.message)).await?? {
            Notice::Mail(mail) => self.hooks.take(hook, mail).await,
            Notice::Stored(stored) => {
                let mail = self.fetch(hook, *stored, share).await?;
                self.hooks.take(hook, mail).await
            }
            Notice::Reports(reports) => self.hooks.report(VENDOR, &hook.account, reports).await,
            Notice::Other => {
                self.hooks.ignored(VENDOR);
                Ok(())
            }
        }
    }

    /// Fetches a mail from its bucket. Whatever fails there may work later, so SNS is told to come again.
    async fn fetch(
        &self,
        hook: &Checked<Ses>,
        stored: Stored,
        share: &mut Share<'_>,
    ) -> Result<HookMail, Refused> {
        let Some(bucket) = &hook.proof.bucket else {
            return Err(Refused::Unsupported(
                "mail in S3: configure the webhook's 'bucket'",
            ));
        };
        if stored.bucket != bucket.name || !stored.key.starts_with(&bucket.prefix) {
            return Err(Refused::Unsupported(
                "mail in S3, but not in the configured bucket and prefix",
            ));
        }
        let failed = |error| Refused::Amazon(AmazonError::Http(error));
        let amazon = &self.certificates.amazon;
        let size = amazon.object_size(&hook.name, &stored.key).await;
        let size = size.map_err(failed)?;
        let Some(bytes) = usize::try_from(size)
            .ok()
            .filter(|bytes| *bytes <= bucket.max_object_bytes)
        else {
            tracing::warn!(
                webhook = hook.name,
                bytes = size,
                "a mail stays in its bucket because it is larger than what is taken"
            );
            return Ok(too_large(stored, size));
        };
        share.grow(bytes)?;
        let raw = amazon.object(&hook.name, &stored.key, bytes).await;
        Ok(HookMail {
            raw: raw.map_err(failed)?,
            ..stored.mail
        })
    }
}

//! Amazon SES: mail by the SNS action of a receipt rule, and bounces, complaints and deliveries.
//!
//! SNS signs with a certificate that lies on its own host and is fetched once. A signature proves Amazon and not us:
//! only topics of the configuration are believed. The SNS action carries mails of up to 150 KB; larger ones need the
//! S3 action, whose mails lie in a bucket that this connector does not read: it says so with 422 and a metric, and the
//! mail stays in the bucket.

use std::{collections::HashMap, error::Error, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde_json::Value;
use solmu_secret::signature::{
    SignatureError,
    sns::{SnsCertificate, SnsCertificateError, SnsMessage, is_certificate_url, is_sns_url},
};
use solmu_text::json;
use tokio::sync::Mutex;

use crate::{
    Desk, HookMail, Hooks, Refused, Vendor,
    check::{Checked, Ses},
    read_aside,
    report::{Outcome, ReportWords, is_bad_address, status_in},
    reverse_path,
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

/// What a notification of SES is.
#[derive(Debug)]
pub(crate) enum Notice {
    Mail(HookMail),
    Reports(Vec<(Outcome, ReportWords)>),
    /// Nothing about a mail or its fate.
    Other,
}

impl<D: Desk, G: Get> Shared<D, G> {
    async fn take(&self, name: &str, headers: &HeaderMap, body: Body) -> Result<(), Refused> {
        let hook = self.accounts.get(name).ok_or(Refused::Unknown)?;
        let (body, _share) = self.hooks.body(headers, body).await?;
        let message =
            json::read(&body).and_then(|value| serde_json::from_value::<SnsMessage>(value).ok());
        let message = message.ok_or(Refused::Malformed("not a message of SNS"))?;
        self.verify(hook, &message).await?;
        match message.r#type.as_str() {
            "Notification" => self.notified(hook, message).await,
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

    async fn notified(&self, hook: &Checked<Ses>, message: SnsMessage) -> Result<(), Refused> {
        let bytes = message.message.len();
        match read_aside(bytes, move || read(&message.message)).await?? {
            Notice::Mail(mail) => self.hooks.take(hook, mail).await,
            Notice::Reports(reports) => self.hooks.report(VENDOR, &hook.account, reports).await,
            Notice::Other => {
                self.hooks.ignored(VENDOR);
                Ok(())
            }
        }
    }
}

pub(crate) fn read(message: &str) -> Result<Notice, Refused> {
    // What SES says when a topic is set up is plain words.
    let Some(value) = json::read(message.as_bytes()) else {
        return Ok(Notice::Other);
    };
    let kind = value["notificationType"]
        .as_str()
        .or_else(|| value["eventType"].as_str());
    match kind.unwrap_or_default() {
        "Received" => received(&value).map(Notice::Mail),
        "Bounce" => Ok(Notice::Reports(bounces(&value))),
        "Complaint" => Ok(Notice::Reports(complaints(&value))),
        "Delivery" => Ok(Notice::Reports(deliveries(&value))),
        "Reject" | "Rendering Failure" => Ok(Notice::Reports(rejections(&value))),
        _ => Ok(Notice::Other),
    }
}

fn received(value: &Value) -> Result<HookMail, Refused> {
    let action = &value["receipt"]["action"];
    let Some(content) = value["content"].as_str() else {
        return Err(match action["type"].as_str() {
            Some("S3") => Refused::Unsupported(
                "mail in S3: use the SNS action, or fetch the bucket by other means",
            ),
            _ => Refused::Malformed("no content"),
        });
    };
    let is_base64 = action["encoding"]
        .as_str()
        .is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64"));
    let raw = if is_base64 {
        let packed: String = content.split_whitespace().collect();
        BASE64
            .decode(packed)
            .map_err(|_| Refused::Malformed("content is not base64"))?
    } else {
        content.as_bytes().to_vec()
    };
    let recipients = value["receipt"]["recipients"]
        .as_array()
        .or_else(|| value["mail"]["destination"].as_array());
    Ok(HookMail {
        raw: raw.into(),
        mail_from: value["mail"]["source"].as_str().map(reverse_path),
        recipients: texts(recipients),
    })
}

fn texts(list: Option<&Vec<Value>>) -> Vec<String> {
    let list = list.into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

/// Our Message-ID: SES replaces it on the way, but its reports list the header as we wrote it.
fn words(value: &Value, address: &str, at: &Value) -> ReportWords {
    let headers = value["mail"]["headers"].as_array().into_iter().flatten();
    let message_id = headers
        .filter(|field| {
            field["name"]
                .as_str()
                .is_some_and(|name| name.eq_ignore_ascii_case("message-id"))
        })
        .find_map(|field| field["value"].as_str())
        .or_else(|| value["mail"]["commonHeaders"]["messageId"].as_str());
    ReportWords {
        message_id: message_id.unwrap_or_default().to_owned(),
        address: address.to_owned(),
        at: at.as_str().and_then(|at| at.parse().ok()),
        ..ReportWords::default()
    }
}

fn bounces(value: &Value) -> Vec<(Outcome, ReportWords)> {
    let bounce = &value["bounce"];
    let is_permanent = bounce["bounceType"] == "Permanent";
    let subtype = bounce["bounceSubType"].as_str().unwrap_or_default();
    let one = |recipient: &Value| {
        let said = recipient["diagnosticCode"].as_str().unwrap_or_default();
        let status = recipient["status"]
            .as_str()
            .filter(|status| !status.is_empty())
            .or_else(|| status_in(said));
        let bad = match status {
            Some(status) => is_bad_address(status),
            None => matches!(subtype, "General" | "NoEmail"),
        };
        let suppressed = matches!(
            subtype,
            "NoEmail" | "Suppressed" | "OnAccountSuppressionList"
        );
        let address_invalid = is_permanent && (bad || suppressed);
        let words = ReportWords {
            code: status.unwrap_or(subtype).to_owned(),
            text: said.to_owned(),
            ..words(
                value,
                recipient["emailAddress"].as_str().unwrap_or_default(),
                &bounce["timestamp"],
            )
        };
        (Outcome::Failed { address_invalid }, words)
    };
    bounce["bouncedRecipients"]
        .as_array()
        .into_iter()
        .flatten()
        .map(one)
        .collect()
}

fn complaints(value: &Value) -> Vec<(Outcome, ReportWords)> {
    let complaint = &value["complaint"];
    let kind = complaint["complaintFeedbackType"]
        .as_str()
        .unwrap_or_default();
    let one = |recipient: &Value| {
        let words = ReportWords {
            text: kind.to_owned(),
            ..words(
                value,
                recipient["emailAddress"].as_str().unwrap_or_default(),
                &complaint["timestamp"],
            )
        };
        (Outcome::Complaint, words)
    };
    complaint["complainedRecipients"]
        .as_array()
        .into_iter()
        .flatten()
        .map(one)
        .collect()
}

fn deliveries(value: &Value) -> Vec<(Outcome, ReportWords)> {
    let delivery = &value["delivery"];
    let recipients = texts(delivery["recipients"].as_array());
    let one = |address: String| {
        (
            Outcome::Delivered,
            words(value, &address, &delivery["timestamp"]),
        )
    };
    recipients.into_iter().map(one).collect()
}

/// SES itself would not send it: a virus, or a template without its values.
fn rejections(value: &Value) -> Vec<(Outcome, ReportWords)> {
    let reason = value["reject"]["reason"]
        .as_str()
        .or_else(|| value["failure"]["errorMessage"].as_str());
    let words = ReportWords {
        code: "rejected".to_owned(),
        text: reason.unwrap_or_default().to_owned(),
        ..words(value, "", &value["mail"]["timestamp"])
    };
    vec![(
        Outcome::Failed {
            address_invalid: false,
        },
        words,
    )]
}

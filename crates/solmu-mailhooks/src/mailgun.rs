//! Mailgun: routes with `forward()`, and events of sent mail.
//!
//! A URL that ends in `/mime` makes Mailgun post the raw mail, which is the better way. The signature covers no
//! content, so each token is good for one content only, and only for a while.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    routing::post,
};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use solmu_secret::signature::{MailgunFields, mailgun as verify};
use solmu_text::json;

use crate::{
    Desk, HookMail, Hooks, Refused, Vendor,
    build::{FilePart, Pieces, TextPart},
    check::{Checked, Mailgun},
    form::Form,
    header_text, read_aside,
    report::{Outcome, ReportWords, is_bad_address, status_in},
    reverse_path,
};

const VENDOR: Vendor = Vendor::Mailgun;

/// Tokens that were used, oldest first, with a digest of what came with them.
///
/// A token is remembered once its request is taken: a repeat after a 503 must be able to come. The same content again
/// is such a repeat and has no second effect; another content is a forgery.
#[derive(Debug)]
pub(crate) struct Tokens {
    used: Mutex<UsedTokens>,
    capacity: usize,
}

/// Digests of tokens and of what came with them.
#[derive(Debug, Default)]
struct UsedTokens {
    contents: HashMap<[u8; 32], [u8; 32]>,
    by_age: VecDeque<[u8; 32]>,
}

impl Tokens {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            used: Mutex::default(),
            capacity,
        }
    }

    pub(crate) fn is_free(&self, token: &[u8], content: &[u8; 32]) -> bool {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let known = used.contents.get(&<[u8; 32]>::from(Sha256::digest(token)));
        known.is_none_or(|known| known == content)
    }

    pub(crate) fn remember(&self, token: &[u8], content: [u8; 32]) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let token: [u8; 32] = Sha256::digest(token).into();
        if used.contents.insert(token, content).is_none() {
            used.by_age.push_back(token);
        }
        while used.by_age.len() > self.capacity {
            if let Some(oldest) = used.by_age.pop_front() {
                used.contents.remove(&oldest);
            }
        }
    }
}

#[derive(Debug)]
struct Shared<D> {
    hooks: Arc<Hooks<D>>,
    accounts: HashMap<String, Checked<Mailgun>>,
    tokens: Tokens,
}

pub(crate) fn routes<D: Desk>(
    hooks: Arc<Hooks<D>>,
    accounts: HashMap<String, Checked<Mailgun>>,
    tokens: Tokens,
) -> Router {
    let shared = Arc::new(Shared {
        hooks,
        accounts,
        tokens,
    });
    Router::new()
        .route("/webhooks/mailgun/{name}", post(receive::<D>))
        .route("/webhooks/mailgun/{name}/mime", post(receive::<D>))
        .with_state(shared)
}

#[tracing::instrument(name = "webhook.mailgun", skip_all, fields(webhook = name, otel.kind = "server"))]
async fn receive<D: Desk>(
    State(shared): State<Arc<Shared<D>>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    let outcome = shared.take(&name, &headers, body).await;
    shared.hooks.answer(VENDOR, outcome)
}

impl<D: Desk> Shared<D> {
    async fn take(&self, name: &str, headers: &HeaderMap, body: Body) -> Result<(), Refused> {
        let hook = self.accounts.get(name).ok_or(Refused::Unknown)?;
        let (body, _share) = self.hooks.body(headers, body).await?;
        let kind = header_text(headers, CONTENT_TYPE.as_str());
        if kind.trim_start().starts_with("application/json") {
            return self.event(hook, &body).await;
        }
        let form = Form::read(kind, &body).await.map_err(|error| {
            tracing::debug!(error = &error as &dyn std::error::Error, "no form");
            Refused::Malformed("not a form")
        })?;
        let fields = MailgunFields {
            timestamp: form.bytes("timestamp").map(AsRef::as_ref),
            token: form.bytes("token").map(AsRef::as_ref),
            signature: form.bytes("signature").map(AsRef::as_ref),
        };
        let token = self.verify(hook, fields, &form.digest())?;
        let digest = form.digest();
        let mail = read_aside(body.len(), move || mail(&form)).await??;
        self.hooks.take(hook, mail).await?;
        self.tokens.remember(&token, digest);
        Ok(())
    }

    /// Checks signature, age and token; returns the token.
    fn verify(
        &self,
        hook: &Checked<Mailgun>,
        fields: MailgunFields<'_>,
        content: &[u8; 32],
    ) -> Result<Vec<u8>, Refused> {
        let now = self.hooks.clock.now();
        verify(&hook.proof.keys, fields, now, hook.proof.max_age)?;
        let token = fields.token.unwrap_or_default();
        if self.tokens.is_free(token, content) {
            Ok(token.to_vec())
        } else {
            Err(Refused::Replay)
        }
    }

    async fn event(&self, hook: &Checked<Mailgun>, body: &Bytes) -> Result<(), Refused> {
        let value = json::read(body).ok_or(Refused::Malformed("not JSON"))?;
        let signed = |name: &str| value["signature"][name].as_str().map(str::as_bytes);
        let fields = MailgunFields {
            timestamp: signed("timestamp"),
            token: signed("token"),
            signature: signed("signature"),
        };
        let digest: [u8; 32] = Sha256::digest(value["event-data"].to_string()).into();
        let token = self.verify(hook, fields, &digest)?;
        match outcome(&value["event-data"]) {
            Some(report) => {
                self.hooks
                    .report(VENDOR, &hook.account, vec![report])
                    .await?;
            }
            None => self.hooks.ignored(VENDOR),
        }
        self.tokens.remember(&token, digest);
        Ok(())
    }
}

/// The mail of a form: raw if there is one, else built.
fn mail(form: &Form) -> Result<HookMail, Refused> {
    let recipients = form.text("recipient").unwrap_or_default();
    let recipients = recipients.split(',').map(|text| text.trim().to_owned());
    let raw = match form.bytes("body-mime") {
        Some(raw) => raw.clone(),
        None => pieces(form)?.build(),
    };
    Ok(HookMail {
        raw,
        mail_from: form.text("sender").map(|sender| reverse_path(&sender)),
        recipients: recipients.filter(|text| !text.is_empty()).collect(),
    })
}

fn pieces(form: &Form) -> Result<Pieces, Refused> {
    // store() posts links to attachments instead of attachments; what is not here cannot be kept.
    let stored = form
        .json("attachments")
        .is_some_and(|list| list.as_array().is_some_and(|list| !list.is_empty()));
    if stored {
        return Err(Refused::Unsupported(
            "attachments of a store() route: use forward() to the /mime address",
        ));
    }
    let listed = form.json("message-headers").unwrap_or_default();
    let mut pieces = Pieces::default();
    for pair in listed.as_array().into_iter().flatten() {
        if let (Some(name), Some(value)) = (pair[0].as_str(), pair[1].as_str()) {
            pieces.headers.push((name.to_owned(), value.to_owned()));
        }
    }
    for (header, field) in [
        ("From", "from"),
        ("To", "To"),
        ("Subject", "subject"),
        ("Message-Id", "Message-Id"),
        ("Date", "Date"),
    ] {
        pieces.add_missing(header, &form.text(field).unwrap_or_default());
    }
    let text = |name: &str| {
        let bytes = form.bytes(name).filter(|bytes| !bytes.is_empty())?.clone();
        Some(TextPart {
            bytes,
            charset: "utf-8".to_owned(),
        })
    };
    pieces.text = text("body-plain");
    pieces.html = text("body-html");
    let ids = content_ids(form);
    for field in form
        .0
        .iter()
        .filter(|field| field.name.starts_with("attachment-"))
    {
        if field.name == "attachment-count" {
            continue;
        }
        pieces.files.push(FilePart {
            filename: field.filename.clone().unwrap_or_default(),
            content_type: field.content_type.clone().unwrap_or_default(),
            content_id: ids.get(&field.name).cloned().unwrap_or_default(),
            bytes: field.value.clone(),
        });
    }
    Ok(pieces)
}

/// `content-id-map` turned round: from the attachment's field to its id. Ids may be empty or come twice.
fn content_ids(form: &Form) -> HashMap<String, String> {
    let map = form.json("content-id-map").unwrap_or_default();
    let pairs = map.as_object().into_iter().flatten();
    pairs
        .filter_map(|(id, field)| {
            Some((
                field.as_str()?.to_owned(),
                id.trim_matches(['<', '>']).to_owned(),
            ))
        })
        .collect()
}

/// What an event says; `None` for those that say nothing about the fate of a message.
fn outcome(event: &Value) -> Option<(Outcome, ReportWords)> {
    let status = &event["delivery-status"];
    let said = status["message"].as_str().filter(|text| !text.is_empty());
    let text = said
        .or_else(|| status["description"].as_str())
        .unwrap_or_default();
    let reason = event["reason"].as_str().unwrap_or_default();
    let enhanced = status["enhanced-code"]
        .as_str()
        .filter(|code| !code.is_empty());
    let enhanced = enhanced.or_else(|| status_in(text));
    let outcome = match (event["event"].as_str()?, event["severity"].as_str()) {
        ("delivered", _) => Outcome::Delivered,
        ("failed", Some("temporary")) => return None,
        ("failed", _) => Outcome::Failed {
            // Mailgun sends nothing more to an address that bounced for good before.
            address_invalid: reason == "suppress-bounce" || enhanced.is_some_and(is_bad_address),
        },
        ("rejected", _) => Outcome::Failed {
            address_invalid: false,
        },
        ("complained", _) => Outcome::Complaint,
        _ => return None,
    };
    let code = enhanced.map_or_else(|| status["code"].to_string(), str::to_owned);
    let words = ReportWords {
        message_id: event["message"]["headers"]["message-id"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        address: event["recipient"].as_str().unwrap_or_default().to_owned(),
        code: if code == "null" {
            reason.to_owned()
        } else {
            code
        },
        text: if text.is_empty() { reason } else { text }.to_owned(),
        at: event["timestamp"].as_f64().and_then(seconds),
    };
    Some((outcome, words))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "milliseconds of this era fit"
)]
fn seconds(at: f64) -> Option<Timestamp> {
    Timestamp::from_millisecond((at * 1_000.0) as i64).ok()
}

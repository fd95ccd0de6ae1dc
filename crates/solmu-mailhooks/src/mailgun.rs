//! Mailgun: routes with `forward()`, and events of sent mail.
//!
//! A URL that ends in `/mime` makes Mailgun post the raw mail, which is the better way. The signature covers no
//! content, so each token is good for one content only, and only for a while. Its first request claims it, before
//! anything is taken: of two contents that come at the same moment, at two processes, one is refused. The same content
//! again is a repeat, also after a 503, and has no second effect.

use std::{collections::HashMap, sync::Arc};

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
    Desk, HookMail, Hooks, Memory, Refused, Vendor,
    build::{FilePart, Pieces, TextPart},
    check::{Checked, Mailgun},
    form::Form,
    header_text, read_aside,
    report::{Outcome, ReportWords, is_bad_address, status_in},
    reverse_path,
};

const VENDOR: Vendor = Vendor::Mailgun;

#[derive(Debug)]
struct Shared<D, M> {
    hooks: Arc<Hooks<D>>,
    accounts: HashMap<String, Checked<Mailgun>>,
    memory: M,
}

pub(crate) fn routes<D: Desk, M: Memory>(
    hooks: Arc<Hooks<D>>,
    accounts: HashMap<String, Checked<Mailgun>>,
    memory: M,
) -> Router {
    let shared = Arc::new(Shared {
        hooks,
        accounts,
        memory,
    });
    Router::new()
        .route("/webhooks/mailgun/{name}", post(receive::<D, M>))
        .route("/webhooks/mailgun/{name}/mime", post(receive::<D, M>))
        .with_state(shared)
}

#[tracing::instrument(name = "webhook.mailgun", skip_all, fields(webhook = name, otel.kind = "server"))]
async fn receive<D: Desk, M: Memory>(
    State(shared): State<Arc<Shared<D, M>>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    let outcome = shared.take(&name, &headers, body).await;
    shared.hooks.answer(VENDOR, outcome)
}

impl<D: Desk, M: Memory> Shared<D, M> {
    async fn take(&self, name: &str, headers: &HeaderMap, body: Body) -> Result<(), Refused> {
        let hook = self.accounts.get(name).ok_or(Refused::Unknown)?;
        let (body, _share) = self.hooks.body(VENDOR, headers, body).await?;
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
        let now = self.hooks.clock.now();
        verify(&hook.proof.keys, fields, now, hook.proof.max_age)?;
        let token = digest(fields.token);
        // Long work on a large form, which only the provider may ask for.
        let (content, mail) = read_aside(body.len(), move || (form.digest(), mail(&form))).await?;
        self.claim(hook, token, content).await?;
        self.hooks.take(hook, mail?).await
    }

    /// Each token is good for one content.
    async fn claim(
        &self,
        hook: &Checked<Mailgun>,
        token: [u8; 32],
        content: [u8; 32],
    ) -> Result<(), Refused> {
        // A signature may be ahead of our clock by as much as it may be behind.
        let until = self.hooks.clock.now() + hook.proof.max_age + hook.proof.max_age;
        let first = self.memory.first_content(token, content, until).await;
        if first.map_err(Refused::Memory)? == content {
            Ok(())
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
        let now = self.hooks.clock.now();
        verify(&hook.proof.keys, fields, now, hook.proof.max_age)?;
        let content = Sha256::digest(value["event-data"].to_string()).into();
        self.claim(hook, digest(fields.token), content).await?;
        match outcome(&value["event-data"]) {
            Some(report) => {
                self.hooks
                    .report(VENDOR, &hook.account, vec![report])
                    .await?;
            }
            None => self.hooks.ignored(VENDOR),
        }
        Ok(())
    }
}

fn digest(token: Option<&[u8]>) -> [u8; 32] {
    Sha256::digest(token.unwrap_or_default()).into()
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
        verdicts: None,
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

//! Postmark: inbound, bounce, delivery and spam webhooks, all at one address.
//!
//! Postmark signs nothing: basic authentication is the proof. `RawEmail` (a switch of the inbound stream) is the better
//! way. Its reports name Postmark's own id of the message, not ours; ours is looked for in the metadata and, of a
//! bounce, in the returned mail.

use std::{collections::HashMap, sync::Arc};

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
use solmu_domain::signed::Signer;
use solmu_mime::reply_address::own_message;
use solmu_secret::signature::{AUTHORIZATION_HEADER, basic};
use solmu_text::json;

use crate::{
    Desk, HookMail, Hooks, Refused, Vendor,
    build::{FilePart, Pieces, TextPart, header_fields, mailbox},
    check::{Basic, Checked},
    header, read_aside,
    report::{Outcome, ReportWords, is_bad_address, status_in},
    reverse_path,
};

const VENDOR: Vendor = Vendor::Postmark;

#[derive(Debug)]
struct Shared<D> {
    hooks: Arc<Hooks<D>>,
    accounts: HashMap<String, Checked<Basic>>,
}

pub(crate) fn routes<D: Desk>(
    hooks: Arc<Hooks<D>>,
    accounts: HashMap<String, Checked<Basic>>,
) -> Router {
    let shared = Arc::new(Shared { hooks, accounts });
    Router::new()
        .route("/webhooks/postmark/{name}", post(receive::<D>))
        .with_state(shared)
}

#[tracing::instrument(name = "webhook.postmark", skip_all, fields(webhook = name, otel.kind = "server"))]
async fn receive<D: Desk>(
    State(shared): State<Arc<Shared<D>>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    let outcome = shared.take(&name, &headers, body).await;
    shared.hooks.answer(VENDOR, outcome)
}

/// What a request is.
enum Posted {
    Mail(HookMail),
    Report(Option<(Outcome, ReportWords)>),
}

impl<D: Desk> Shared<D> {
    async fn take(&self, name: &str, headers: &HeaderMap, body: Body) -> Result<(), Refused> {
        let hook = self.accounts.get(name).ok_or(Refused::Unknown)?;
        let given = header(headers, AUTHORIZATION_HEADER);
        basic(&hook.proof.user, &hook.proof.passwords, given)?;
        let (body, _share) = self.hooks.body(VENDOR, headers, body).await?;
        let signer = self.hooks.signer.clone();
        match read_aside(body.len(), move || read(&body, &signer)).await?? {
            Posted::Mail(mail) => self.hooks.take(hook, mail).await,
            Posted::Report(Some(report)) => {
                self.hooks.report(VENDOR, &hook.account, vec![report]).await
            }
            Posted::Report(None) => {
                self.hooks.ignored(VENDOR);
                Ok(())
            }
        }
    }
}

fn read(body: &Bytes, signer: &Signer) -> Result<Posted, Refused> {
    let value = json::read(body)
        .filter(Value::is_object)
        .ok_or(Refused::Malformed("not a JSON object"))?;
    match value["RecordType"].as_str() {
        None | Some("Inbound") => Ok(Posted::Mail(mail(&value))),
        Some(kind) => Ok(Posted::Report(outcome(kind, &value, signer))),
    }
}

fn mail(value: &Value) -> HookMail {
    let listed = headers_of(value);
    let return_path = listed
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("return-path"))
        .map(|(_, path)| reverse_path(path));
    let original = value["OriginalRecipient"].as_str().unwrap_or_default();
    let raw = match value["RawEmail"].as_str().filter(|raw| !raw.is_empty()) {
        Some(raw) => Bytes::copy_from_slice(raw.as_bytes()),
        None => pieces(value, listed).build(),
    };
    HookMail {
        raw,
        mail_from: return_path,
        recipients: Some(original.to_owned())
            .filter(|to| !to.is_empty())
            .into_iter()
            .collect(),
        verdicts: None,
    }
}

fn headers_of(value: &Value) -> Vec<(String, String)> {
    let list = value["Headers"].as_array().into_iter().flatten();
    list.filter_map(|pair| {
        Some((
            pair["Name"].as_str()?.to_owned(),
            pair["Value"].as_str()?.to_owned(),
        ))
    })
    .collect()
}

fn pieces(value: &Value, headers: Vec<(String, String)>) -> Pieces {
    let word = |name: &str| value[name].as_str().unwrap_or_default();
    let mut pieces = Pieces {
        headers,
        ..Pieces::default()
    };
    let people = |name: &str| {
        let list = value[name].as_array().into_iter().flatten();
        let people: Vec<String> = list.filter_map(person).collect();
        people.join(",\r\n ")
    };
    pieces.add_missing(
        "From",
        &person(&value["FromFull"]).unwrap_or_else(|| word("From").to_owned()),
    );
    for (header, full, plain) in [("To", "ToFull", "To"), ("Cc", "CcFull", "Cc")] {
        let people = people(full);
        pieces.add_missing(
            header,
            if people.is_empty() {
                word(plain)
            } else {
                &people
            },
        );
    }
    for (header, field) in [
        ("Reply-To", "ReplyTo"),
        ("Subject", "Subject"),
        ("Date", "Date"),
    ] {
        pieces.add_missing(header, word(field));
    }
    let text = |name: &str| {
        let text = value[name].as_str().filter(|text| !text.is_empty())?;
        Some(TextPart {
            bytes: Bytes::copy_from_slice(text.as_bytes()),
            charset: "utf-8".to_owned(),
        })
    };
    pieces.text = text("TextBody");
    pieces.html = text("HtmlBody");
    let files = value["Attachments"].as_array().into_iter().flatten();
    pieces.files = files.map(file).collect();
    pieces
}

fn person(value: &Value) -> Option<String> {
    let address = value["Email"]
        .as_str()
        .filter(|address| !address.is_empty())?;
    Some(mailbox(value["Name"].as_str().unwrap_or_default(), address))
}

fn file(value: &Value) -> FilePart {
    let word = |name: &str| value[name].as_str().unwrap_or_default();
    let content = value["Content"]
        .as_str()
        .or_else(|| value["Data"].as_str())
        .unwrap_or_default();
    // A file that cannot be decoded is kept as it came: an agent can make more of it than of nothing.
    let bytes = BASE64
        .decode(content)
        .unwrap_or_else(|_| content.as_bytes().to_vec());
    FilePart {
        filename: word("Name").to_owned(),
        content_type: word("ContentType").to_owned(),
        content_id: word("ContentID").trim_start_matches("cid:").to_owned(),
        bytes: bytes.into(),
    }
}

/// What a report says; `None` for those that say nothing about the fate of a message.
fn outcome(kind: &str, value: &Value, signer: &Signer) -> Option<(Outcome, ReportWords)> {
    let word = |name: &str| value[name].as_str().unwrap_or_default();
    let said = [word("Details"), word("Description")]
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_default();
    let bad = status_in(said).is_some_and(is_bad_address);
    let outcome = match (kind, word("Type")) {
        ("Delivery", _) => Outcome::Delivered,
        ("SpamComplaint", _) | ("Bounce", "SpamComplaint") => Outcome::Complaint,
        ("Bounce", "HardBounce" | "BadEmailAddress") => Outcome::Failed {
            address_invalid: true,
        },
        (
            "Bounce",
            "SoftBounce"
            | "Blocked"
            | "DnsError"
            | "SpamNotification"
            | "VirusNotification"
            | "DMARCPolicy"
            | "Unknown"
            | "SMTPApiError"
            | "ManuallyDeactivated",
        ) => Outcome::Failed {
            address_invalid: bad,
        },
        // Transient ones are tried again; auto-replies and address changes are no failures.
        _ => return None,
    };
    let at = [word("BouncedAt"), word("DeliveredAt")]
        .into_iter()
        .find_map(|at| at.parse().ok());
    let words = ReportWords {
        message_id: own_id(value, signer).unwrap_or_default(),
        address: [word("Email"), word("Recipient")]
            .into_iter()
            .find(|to| !to.is_empty())
            .unwrap_or_default()
            .to_owned(),
        code: status_in(said).unwrap_or(word("Type")).to_owned(),
        text: said.to_owned(),
        at,
    };
    Some((outcome, words))
}

/// Our Message-ID: any metadata that carries it, or the header of the returned mail.
fn own_id(value: &Value, signer: &Signer) -> Option<String> {
    let metadata = value["Metadata"].as_object().into_iter().flatten();
    let metadata = metadata.filter_map(|(_, value)| value.as_str().map(str::to_owned));
    let returned = value["Content"].as_str().unwrap_or_default();
    let returned = header_fields(returned)
        .into_iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("message-id"))
        .map(|(_, id)| id);
    metadata
        .chain(returned)
        .map(|id| id.trim().trim_matches(['<', '>']).to_owned())
        .find(|id| own_message(id, signer).is_some())
}

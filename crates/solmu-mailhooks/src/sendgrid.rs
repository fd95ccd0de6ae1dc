//! SendGrid: Inbound Parse, raw or parsed, and the event webhook.
//!
//! Inbound Parse is signed only under a security policy; without one a secret last segment of the path or basic
//! authentication has to do, and what SendGrid says of SPF and DKIM does not count. In parsed mode each field is in the charset of the mail that it came from, so the fields stay bytes and the built mail
//! names their charsets.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    routing::post,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use solmu_mime::authenticity::ResultWord;
use solmu_secret::signature::{
    AUTHORIZATION_HEADER, SENDGRID_SIGNATURE_HEADER, SENDGRID_TIMESTAMP_HEADER, SendgridKey,
    SignatureError, basic,
};
use solmu_text::json;

use crate::{
    Desk, HookMail, Hooks, Refused, Vendor, Verdicts,
    budget::Share,
    build::{FilePart, Pieces, TextPart, encoded_words, header_fields},
    check::{Checked, Sendgrid},
    desk::SPAM_NOTICE,
    form::Form,
    header, header_text, read_aside,
    report::{Outcome, ReportWords, is_bad_address, status_in},
    reverse_path,
};

const VENDOR: Vendor = Vendor::Sendgrid;
/// The score from which SpamAssassin, whose score it is, takes a mail for spam.
const SPAM_SCORE: f64 = 5.0;

#[derive(Debug)]
struct Shared<D> {
    hooks: Arc<Hooks<D>>,
    accounts: HashMap<String, Checked<Sendgrid>>,
}

pub(crate) fn routes<D: Desk>(
    hooks: Arc<Hooks<D>>,
    accounts: HashMap<String, Checked<Sendgrid>>,
) -> Router {
    let shared = Arc::new(Shared { hooks, accounts });
    Router::new()
        .route("/webhooks/sendgrid/{name}", post(parse::<D>))
        .route("/webhooks/sendgrid/{name}/{token}", post(parse::<D>))
        .route("/webhooks/sendgrid/{name}/events", post(events::<D>))
        .route(
            "/webhooks/sendgrid/{name}/events/{token}",
            post(events::<D>),
        )
        .with_state(shared)
}

/// The end of a path: whose webhook, and its token where that is the proof.
#[derive(Debug, Deserialize)]
struct Place {
    name: String,
    token: Option<String>,
}

async fn parse<D: Desk>(
    State(shared): State<Arc<Shared<D>>>,
    Path(Place { name, token }): Path<Place>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    shared.parsed(&name, token.as_deref(), &headers, body).await
}

async fn events<D: Desk>(
    State(shared): State<Arc<Shared<D>>>,
    Path(Place { name, token }): Path<Place>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    shared
        .reported(&name, token.as_deref(), &headers, body)
        .await
}

impl<D: Desk> Shared<D> {
    #[tracing::instrument(name = "webhook.sendgrid", skip_all, fields(webhook = name, otel.kind = "server"))]
    async fn parsed(
        &self,
        name: &str,
        token: Option<&str>,
        headers: &HeaderMap,
        body: Body,
    ) -> StatusCode {
        let outcome = self.take(name, token, headers, body).await;
        self.hooks.answer(VENDOR, outcome)
    }

    #[tracing::instrument(name = "webhook.sendgrid_events", skip_all, fields(webhook = name, otel.kind = "server"))]
    async fn reported(
        &self,
        name: &str,
        token: Option<&str>,
        headers: &HeaderMap,
        body: Body,
    ) -> StatusCode {
        let outcome = self.take_events(name, token, headers, body).await;
        self.hooks.answer(VENDOR, outcome)
    }

    /// The body of a post that SendGrid signed, where a key is configured; else of one with our token or password, which
    /// is looked at before the body is read.
    async fn proven_body(
        &self,
        hook: &Checked<Sendgrid>,
        key: Option<&SendgridKey>,
        token: Option<&str>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Bytes, Share<'_>), Refused> {
        if key.is_none() {
            proven(&hook.proof, token, headers)?;
        }
        let (body, share) = self.hooks.body(VENDOR, headers, body).await?;
        if let Some(key) = key {
            signed(key, headers, &body)?;
        }
        Ok((body, share))
    }

    async fn take(
        &self,
        name: &str,
        token: Option<&str>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(), Refused> {
        let hook = self.accounts.get(name).ok_or(Refused::Unknown)?;
        let key = hook.proof.parse_key.as_ref();
        let (body, _share) = self.proven_body(hook, key, token, headers, body).await?;
        let is_signed = key.is_some();
        let kind = header_text(headers, CONTENT_TYPE.as_str());
        let form = Form::read(kind, &body).await.map_err(|error| {
            tracing::debug!(error = &error as &dyn std::error::Error, "no form");
            Refused::Malformed("not a form")
        })?;
        let mail = read_aside(body.len(), move || mail(&form, is_signed)).await?;
        self.hooks.take(hook, mail).await
    }

    async fn take_events(
        &self,
        name: &str,
        token: Option<&str>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(), Refused> {
        let hook = self.accounts.get(name).ok_or(Refused::Unknown)?;
        let key = hook.proof.event_key.as_ref();
        let (body, _share) = self.proven_body(hook, key, token, headers, body).await?;
        let value = json::read(&body).ok_or(Refused::Malformed("not JSON"))?;
        let mut reports = Vec::new();
        for event in value.as_array().into_iter().flatten() {
            match outcome(event) {
                Some(report) => reports.push(report),
                None => self.hooks.ignored(VENDOR),
            }
        }
        self.hooks.report(VENDOR, &hook.account, reports).await
    }
}

/// Whether a request has SendGrid's signature.
fn signed(key: &SendgridKey, headers: &HeaderMap, body: &[u8]) -> Result<(), SignatureError> {
    let signature = header(headers, SENDGRID_SIGNATURE_HEADER);
    key.verify(signature, header(headers, SENDGRID_TIMESTAMP_HEADER), body)
}

/// Whether the path or the header proves who posts; each that is configured is enough.
fn proven(
    proof: &Sendgrid,
    token: Option<&str>,
    headers: &HeaderMap,
) -> Result<(), SignatureError> {
    let by_path = match (&proof.path_token, token) {
        (Some(tokens), Some(token)) => tokens.contain(token.as_bytes()),
        _ => false,
    };
    match &proof.basic {
        _ if by_path => Ok(()),
        Some(expected) => basic(
            &expected.user,
            &expected.passwords,
            header(headers, AUTHORIZATION_HEADER),
        ),
        None => Err(SignatureError::Mismatch),
    }
}

/// The mail of a form: raw if there is one, else built.
fn mail(form: &Form, is_signed: bool) -> HookMail {
    let envelope = form.json("envelope").unwrap_or_default();
    let recipients = envelope["to"].as_array().into_iter().flatten();
    let recipients = recipients
        .filter_map(|to| to.as_str().map(str::to_owned))
        .collect();
    let raw = match form.bytes("email") {
        Some(raw) => raw.clone(),
        None => pieces(form).build(),
    };
    HookMail {
        raw,
        mail_from: envelope["from"].as_str().map(reverse_path),
        recipients,
        verdicts: is_signed.then(|| verdicts(form)),
    }
}

/// `SPF` is a word, `dkim` is `{@c.example : pass, ...}`, which is no JSON.
fn verdicts(form: &Form) -> Verdicts {
    let text = |name: &str| form.text(name).unwrap_or_default();
    let dkim = text("dkim");
    let pairs = dkim.trim().trim_matches(['{', '}']).split(',');
    let signatures: Vec<(String, ResultWord)> = pairs
        .filter_map(|pair| {
            let (domain, word) = pair.rsplit_once(':')?;
            let domain = domain.trim().trim_start_matches('@').to_ascii_lowercase();
            Some((domain, ResultWord::parse(word.trim())?))
        })
        .collect();
    let passed = |(_, word): &&(String, ResultWord)| *word == ResultWord::Pass;
    let best = signatures.iter().find(passed).or(signatures.first());
    let signed_by = signatures.iter().filter(passed);
    let is_spam = text("spam_score")
        .trim()
        .parse()
        .is_ok_and(|score: f64| score >= SPAM_SCORE);
    Verdicts {
        spf: ResultWord::parse(text("SPF").trim()),
        dkim: best.map(|(_, word)| *word),
        signed_by: signed_by.map(|(domain, _)| domain.clone()).collect(),
        notices: is_spam
            .then(|| SPAM_NOTICE.to_owned())
            .into_iter()
            .collect(),
        ..Verdicts::default()
    }
}

fn pieces(form: &Form) -> Pieces {
    let charsets = form.json("charsets").unwrap_or_default();
    let charset = |name: &str| charsets[name].as_str().unwrap_or_default().to_owned();
    let mut pieces = Pieces {
        headers: header_fields(&form.text("headers").unwrap_or_default()),
        ..Pieces::default()
    };
    for (header, field) in [
        ("From", "from"),
        ("To", "to"),
        ("Cc", "cc"),
        ("Subject", "subject"),
    ] {
        let value = form.bytes(field).map(AsRef::as_ref).unwrap_or_default();
        pieces.add_missing(header, &unicode(value, &charset(field), field != "subject"));
    }
    let text = |name: &str| {
        let bytes = form.bytes(name).filter(|bytes| !bytes.is_empty())?.clone();
        let charset = charset(name);
        Some(TextPart { bytes, charset })
    };
    pieces.text = text("text");
    pieces.html = text("html");
    pieces.files = files(form);
    pieces
}

/// A field as it stands in a header. What is not UTF-8 becomes encoded words; of an address only the name may.
fn unicode(value: &[u8], charset: &str, is_address: bool) -> String {
    match std::str::from_utf8(value) {
        Ok(text)
            if text.is_ascii() || charset.is_empty() || charset.eq_ignore_ascii_case("utf-8") =>
        {
            text.to_owned()
        }
        _ if !is_address => encoded_words(value, charset),
        _ => {
            let bracket = value.iter().rposition(|byte| *byte == b'<').unwrap_or(0);
            let (name, address) = value.split_at(bracket);
            let name = encoded_words(name.trim_ascii(), charset);
            format!("{name} {}", String::from_utf8_lossy(address))
        }
    }
}

fn files(form: &Form) -> Vec<FilePart> {
    let info = form.json("attachment-info").unwrap_or_default();
    let ids = form.json("content-ids").unwrap_or_default();
    let fields = form.0.iter().filter(|field| {
        let number = field.name.strip_prefix("attachment");
        number.is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    });
    let file = |field: &crate::form::FormField| {
        let about = &info[&field.name];
        let word = |name: &str| {
            about[name]
                .as_str()
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
        };
        let mapped = ids.as_object().into_iter().flatten();
        let mapped = mapped
            .filter(|(_, name)| name.as_str() == Some(&field.name))
            .map(|(id, _)| id.clone())
            .next();
        FilePart {
            filename: word("filename")
                .or_else(|| field.filename.clone())
                .unwrap_or_default(),
            content_type: word("type")
                .or_else(|| field.content_type.clone())
                .unwrap_or_default(),
            content_id: word("content-id").or(mapped).unwrap_or_default(),
            bytes: field.value.clone(),
        }
    };
    fields.map(file).collect()
}

/// What an event says; `None` for those that say nothing about the fate of a message.
fn outcome(event: &Value) -> Option<(Outcome, ReportWords)> {
    let word = |name: &str| event[name].as_str().unwrap_or_default();
    let text = [word("reason"), word("response")]
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_default();
    let status = Some(word("status"))
        .filter(|status| !status.is_empty())
        .or_else(|| status_in(text));
    let outcome = match (word("event"), word("type")) {
        ("delivered", _) => Outcome::Delivered,
        ("bounce", "blocked") => Outcome::Failed {
            address_invalid: false,
        },
        ("bounce", _) => Outcome::Failed {
            address_invalid: status.is_some_and(is_bad_address),
        },
        ("dropped", _) => Outcome::Failed {
            // What SendGrid will not try again, because of an earlier bounce or because it is no address.
            address_invalid: matches!(text, "Bounced Address" | "Invalid"),
        },
        ("spamreport", _) => Outcome::Complaint,
        _ => return None,
    };
    let words = ReportWords {
        message_id: word("smtp-id").to_owned(),
        address: word("email").to_owned(),
        code: status.unwrap_or(word("event")).to_owned(),
        text: text.to_owned(),
        at: event["timestamp"]
            .as_i64()
            .and_then(|at| Timestamp::from_second(at).ok()),
    };
    Some((outcome, words))
}

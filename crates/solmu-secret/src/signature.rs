//! Proof that a webhook comes from its vendor.
//!
//! Everything is checked over the raw bytes as they came: Meta signs text with `\u00e4` escapes, others sign a
//! trailing CRLF, so a body that was parsed and written again no longer fits its signature. Comparisons take constant
//! time and try every secret, so that a rotation needs no downtime. A list of secrets cannot be empty: an account
//! without one does not start, instead of accepting everything.

mod basic;
mod mailgun;
mod sendgrid;
pub mod sns;

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

pub use basic::{AUTHORIZATION_HEADER, basic};
pub use mailgun::{MailgunFields, mailgun};
pub use sendgrid::{
    SENDGRID_SIGNATURE_HEADER, SENDGRID_TIMESTAMP_HEADER, SendgridKey, SendgridKeyError,
};

/// How far a Standard Webhooks timestamp may be from our clock (the specification's five minutes).
pub const STANDARD_WEBHOOKS_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Longest header that is looked at; longer ones are malformed.
const MAX_HEADER: usize = 4 * 1024;

/// Secrets of one webhook account, newest first; never empty, never printed.
#[derive(Clone)]
pub struct WebhookSecrets(Vec<Vec<u8>>);

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookSecrets({})", self.0.len())
    }
}

/// Secrets that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// An account without a secret would accept everything.
    #[error("no secret is configured")]
    None,
    /// An empty secret proves nothing.
    #[error("a configured secret is empty")]
    Empty,
    /// Standard Webhooks secrets are `whsec_` and base64.
    #[error("a configured secret is not 'whsec_' followed by base64")]
    NotBase64,
}

impl WebhookSecrets {
    /// Takes the secrets as text, as Meta, Telegram and most vendors use them.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, SecretError> {
        Self::checked(
            secrets
                .into_iter()
                .map(|secret| Ok(secret.as_bytes().to_vec())),
        )
    }

    /// Takes secrets in the form of Standard Webhooks: base64, after an optional `whsec_`.
    pub fn standard<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, SecretError> {
        Self::checked(secrets.into_iter().map(|text| {
            BASE64
                .decode(text.strip_prefix("whsec_").unwrap_or(text))
                .map_err(|_| SecretError::NotBase64)
        }))
    }

    fn checked(
        secrets: impl Iterator<Item = Result<Vec<u8>, SecretError>>,
    ) -> Result<Self, SecretError> {
        let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
        if secrets.is_empty() {
            return Err(SecretError::None);
        }
        if secrets.iter().any(Vec::is_empty) {
            return Err(SecretError::Empty);
        }
        Ok(Self(secrets))
    }

    /// Whether `given` is one of the secrets: for tokens that travel as they are.
    #[must_use]
    pub fn contain(&self, given: &[u8]) -> bool {
        self.0
            .iter()
            .fold(Choice::from(0), |found, secret| found | secret.ct_eq(given))
            .into()
    }

    /// The `webhook-signature` of what we send by Standard Webhooks 1.0: one for each secret, so that the receiver can
    /// change over at any time.
    #[must_use]
    pub fn sign_standard(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let seconds = at.as_second().to_string();
        let parts = [id.as_bytes(), b".", seconds.as_bytes(), b".", body];
        let tags = self.0.iter().map(|key| hmac_sha256_base64(key, &parts));
        let signatures: Vec<String> = tags.map(|tag| format!("v1,{tag}")).collect();
        signatures.join(" ")
    }

    /// Whether `tag` is the HMAC-SHA256 of the joined `parts` under one of the secrets.
    #[must_use]
    pub fn verify_hmac_sha256(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.0
            .iter()
            .fold(Choice::from(0), |found, secret| {
                found | hmac_sha256(secret, parts).ct_eq(tag)
            })
            .into()
    }
}

/// Why a request is not the vendor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The header is not there.
    #[error("header '{0}' is missing")]
    Missing(&'static str),
    /// The header has another form.
    #[error("header '{0}' is malformed")]
    Malformed(&'static str),
    /// No configured secret gives this signature.
    #[error("the signature fits no configured secret")]
    Mismatch,
    /// The signature is too old or from the future: a replay, or a wrong clock.
    #[error("the signature's time is out of tolerance")]
    Stale,
}

/// Header of Meta's signature.
pub const META_HEADER: &str = "x-hub-signature-256";

/// Checks Meta's `X-Hub-Signature-256: sha256=<hex HMAC-SHA256(app secret, raw body)>`.
pub fn meta(
    secrets: &WebhookSecrets,
    header: Option<&[u8]>,
    body: &[u8],
) -> Result<(), SignatureError> {
    let header = present(header, META_HEADER)?;
    let hex = header
        .strip_prefix(b"sha256=")
        .ok_or(SignatureError::Malformed(META_HEADER))?;
    let tag = hex::decode(hex).map_err(|_| SignatureError::Malformed(META_HEADER))?;
    verdict(secrets.verify_hmac_sha256(&[body], &tag))
}

/// Header of Telegram's secret token.
pub const TELEGRAM_HEADER: &str = "x-telegram-bot-api-secret-token";

/// Checks Telegram's `X-Telegram-Bot-Api-Secret-Token` against the token that was given to `setWebhook`.
pub fn telegram(secrets: &WebhookSecrets, header: Option<&[u8]>) -> Result<(), SignatureError> {
    verdict(secrets.contain(present(header, TELEGRAM_HEADER)?))
}

/// The three headers of Standard Webhooks 1.0.
#[derive(Debug, Clone, Copy)]
pub struct StandardHeaders<'a> {
    /// `webhook-id`.
    pub id: Option<&'a [u8]>,
    /// `webhook-timestamp`, Unix seconds.
    pub timestamp: Option<&'a [u8]>,
    /// `webhook-signature`, `v1,<base64>` one or more times, separated by spaces.
    pub signature: Option<&'a [u8]>,
}

/// Checks a Standard Webhooks `v1` signature, HMAC-SHA256 over `id.timestamp.body`.
pub fn standard_webhooks(
    secrets: &WebhookSecrets,
    headers: StandardHeaders<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<(), SignatureError> {
    let id = present(headers.id, "webhook-id")?;
    let timestamp = present(headers.timestamp, "webhook-timestamp")?;
    let signatures = present(headers.signature, "webhook-signature")?;
    let signed_at = std::str::from_utf8(timestamp)
        .ok()
        .and_then(|text| text.parse().ok())
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or(SignatureError::Malformed("webhook-timestamp"))?;
    if now.duration_since(signed_at).abs() > STANDARD_WEBHOOKS_TOLERANCE {
        return Err(SignatureError::Stale);
    }
    let parts: [&[u8]; 5] = [id, b".", timestamp, b".", body];
    let mut fits = false;
    for signature in signatures.split(|byte| *byte == b' ') {
        // Other versions (v1a is ed25519) may stand beside ours.
        let Some(encoded) = signature.strip_prefix(b"v1,") else {
            continue;
        };
        let tag = BASE64
            .decode(encoded)
            .map_err(|_| SignatureError::Malformed("webhook-signature"))?;
        fits |= secrets.verify_hmac_sha256(&parts, &tag);
    }
    verdict(fits)
}

/// Whether a token of a set-up request (Meta's `hub.verify_token`) is the configured one. An empty one never is.
#[must_use]
pub fn tokens_equal(given: &str, configured: &str) -> bool {
    !configured.is_empty() && bool::from(given.as_bytes().ct_eq(configured.as_bytes()))
}

/// HMAC-SHA256 of the joined `parts`, raw.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "HMAC takes keys of any length")]
pub fn hmac_sha256(secret: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HMAC-SHA256 of the joined `parts` in lower-case hexadecimal.
#[must_use]
pub fn hmac_sha256_hex(secret: &[u8], parts: &[&[u8]]) -> String {
    hex::encode(hmac_sha256(secret, parts))
}

/// HMAC-SHA256 of the joined `parts` in standard base64.
#[must_use]
pub fn hmac_sha256_base64(secret: &[u8], parts: &[&[u8]]) -> String {
    BASE64.encode(hmac_sha256(secret, parts))
}

fn present<'a>(header: Option<&'a [u8]>, name: &'static str) -> Result<&'a [u8], SignatureError> {
    match header {
        None | Some([]) => Err(SignatureError::Missing(name)),
        Some(value) if value.len() > MAX_HEADER => Err(SignatureError::Malformed(name)),
        Some(value) => Ok(value),
    }
}

fn verdict(fits: bool) -> Result<(), SignatureError> {
    if fits {
        Ok(())
    } else {
        Err(SignatureError::Mismatch)
    }
}

#[cfg(test)]
mod tests;

//! SendGrid's signed event webhook: ECDSA P-256 with SHA-256 over timestamp and body.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{SignatureError, present, verdict};

/// Header of the signature: base64 of its DER form.
pub const SENDGRID_SIGNATURE_HEADER: &str = "x-twilio-email-event-webhook-signature";
/// Header of the time that is signed with the body.
pub const SENDGRID_TIMESTAMP_HEADER: &str = "x-twilio-email-event-webhook-timestamp";

/// Bytes of a P-256 key as SubjectPublicKeyInfo with an uncompressed point (RFC 5480 section 2).
const P256_SPKI_BYTES: usize = 91;

/// The key with which SendGrid signs events, as its settings show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SendgridKey(Vec<u8>);

impl std::fmt::Debug for SendgridKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SendgridKey")
    }
}

/// A text that is no P-256 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a P-256 public key in base64 (SubjectPublicKeyInfo)")]
pub struct SendgridKeyError;

impl SendgridKey {
    /// Takes the base64 text of the verification key.
    pub fn parse(text: &str) -> Result<Self, SendgridKeyError> {
        let der = BASE64.decode(text.trim()).map_err(|_| SendgridKeyError)?;
        if der.len() == P256_SPKI_BYTES {
            Ok(Self(der))
        } else {
            Err(SendgridKeyError)
        }
    }

    /// Checks a request over its raw body; SendGrid's ends in CRLF, which is signed too.
    pub fn verify(
        &self,
        signature: Option<&[u8]>,
        timestamp: Option<&[u8]>,
        body: &[u8],
    ) -> Result<(), SignatureError> {
        let signature = present(signature, SENDGRID_SIGNATURE_HEADER)?;
        let timestamp = present(timestamp, SENDGRID_TIMESTAMP_HEADER)?;
        let der = BASE64
            .decode(signature)
            .map_err(|_| SignatureError::Malformed(SENDGRID_SIGNATURE_HEADER))?;
        let signed = [timestamp, body].concat();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0);
        verdict(key.verify(&signed, &der).is_ok())
    }
}

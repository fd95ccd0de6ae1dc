//! Mailgun's signature: hexadecimal HMAC-SHA256 of timestamp and token under the domain's signing key.
//!
//! It covers no content. Who saw one signed request could send another content with it, so its age is limited here and
//! the receiver must remember the tokens that it has seen.

use jiff::{SignedDuration, Timestamp};

use super::{SignatureError, WebhookSecrets, present, verdict};

/// The three fields of a Mailgun signature.
#[derive(Debug, Clone, Copy)]
pub struct MailgunFields<'a> {
    /// `timestamp`, Unix seconds as text.
    pub timestamp: Option<&'a [u8]>,
    /// `token`, 50 random characters.
    pub token: Option<&'a [u8]>,
    /// `signature`, hexadecimal.
    pub signature: Option<&'a [u8]>,
}

/// Checks a Mailgun signature that must be younger than `max_age` and not further than that in the future.
pub fn mailgun(
    secrets: &WebhookSecrets,
    fields: MailgunFields<'_>,
    now: Timestamp,
    max_age: SignedDuration,
) -> Result<(), SignatureError> {
    let timestamp = present(fields.timestamp, "timestamp")?;
    let token = present(fields.token, "token")?;
    let signature = present(fields.signature, "signature")?;
    let tag = hex::decode(signature).map_err(|_| SignatureError::Malformed("signature"))?;
    let signed_at = std::str::from_utf8(timestamp)
        .ok()
        .and_then(|text| text.parse().ok())
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or(SignatureError::Malformed("timestamp"))?;
    verdict(secrets.verify_hmac_sha256(&[timestamp, token], &tag))?;
    if now.duration_since(signed_at).abs() > max_age {
        return Err(SignatureError::Stale);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::hmac_sha256_hex, *};

    const AGE: SignedDuration = SignedDuration::from_mins(15);

    fn check(
        timestamp: &str,
        token: &str,
        signature: &str,
        now: i64,
    ) -> Result<(), SignatureError> {
        let fields = MailgunFields {
            timestamp: Some(timestamp.as_bytes()),
            token: Some(token.as_bytes()),
            signature: Some(signature.as_bytes()),
        };
        let secrets = WebhookSecrets::new(["new", "key"]).unwrap();
        mailgun(&secrets, fields, Timestamp::from_second(now).unwrap(), AGE)
    }

    #[test]
    fn time_and_token_are_signed_and_the_age_is_limited() {
        let good = hmac_sha256_hex(b"key", &[b"1539112500", b"tok"]);
        assert_eq!(
            check("1539112500", "tok", &good, 1_539_112_500 + 900),
            Ok(())
        );
        assert_eq!(
            check("1539112500", "tok", &good.to_uppercase(), 1_539_112_500),
            Ok(())
        );
        for now in [1_539_112_500 + 901, 1_539_112_500 - 901] {
            assert_eq!(
                check("1539112500", "tok", &good, now),
                Err(SignatureError::Stale)
            );
        }
        for (timestamp, token) in [("1539112501", "tok"), ("1539112500", "tok2")] {
            let error = check(timestamp, token, &good, 1_539_112_500);
            assert_eq!(error, Err(SignatureError::Mismatch));
        }
        assert_eq!(
            check("", "tok", &good, 0),
            Err(SignatureError::Missing("timestamp"))
        );
        assert_eq!(
            check("x", "tok", &good, 0),
            Err(SignatureError::Malformed("timestamp"))
        );
        assert_eq!(
            check("1", "tok", "zz", 0),
            Err(SignatureError::Malformed("signature"))
        );
    }
}

//! HTTP basic authentication (RFC 7617): all that some mail providers offer as a proof.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use subtle::ConstantTimeEq as _;

use super::{SignatureError, WebhookSecrets, present, verdict};

/// Header of basic authentication.
pub const AUTHORIZATION_HEADER: &str = "authorization";

/// Checks `Authorization: Basic base64(user:password)` against a user and any of the passwords.
pub fn basic(
    user: &str,
    passwords: &WebhookSecrets,
    header: Option<&[u8]>,
) -> Result<(), SignatureError> {
    const MALFORMED: SignatureError = SignatureError::Malformed(AUTHORIZATION_HEADER);
    let header = present(header, AUTHORIZATION_HEADER)?;
    let scheme = header.get(..6).ok_or(MALFORMED)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return Err(MALFORMED);
    }
    let pair = BASE64
        .decode(header[6..].trim_ascii())
        .map_err(|_| MALFORMED)?;
    let colon = pair
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(MALFORMED)?;
    let same_user = bool::from(pair[..colon].ct_eq(user.as_bytes()));
    let same_password = passwords.contain(&pair[colon + 1..]);
    verdict(same_user & same_password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_must_both_fit() {
        let passwords = WebhookSecrets::new(["new:er", "old"]).unwrap();
        let check = |text: &str| {
            let header = format!("Basic {}", BASE64.encode(text));
            basic("post", &passwords, Some(header.as_bytes()))
        };
        assert_eq!(check("post:new:er"), Ok(()));
        assert_eq!(check("post:old"), Ok(()));
        for wrong in ["post:", "post:ol", "Post:old", ":old", "other:old"] {
            assert_eq!(check(wrong), Err(SignatureError::Mismatch), "{wrong}");
        }
        let header = AUTHORIZATION_HEADER;
        for (given, error) in [
            (None, SignatureError::Missing(header)),
            (Some(&b"Basic"[..]), SignatureError::Malformed(header)),
            (Some(&b"Bearer abc"[..]), SignatureError::Malformed(header)),
            (Some(&b"Basic !"[..]), SignatureError::Malformed(header)),
            (
                Some(&b"Basic cG9zdA=="[..]),
                SignatureError::Malformed(header),
            ),
        ] {
            assert_eq!(basic("post", &passwords, given), Err(error));
        }
        let lower = format!("basic {}", BASE64.encode("post:old"));
        assert_eq!(basic("post", &passwords, Some(lower.as_bytes())), Ok(()));
    }
}

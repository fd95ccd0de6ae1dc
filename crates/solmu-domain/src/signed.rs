//! Signed ids: what proves that a reply address or a Message-ID was made by us.
//!
//! HMAC-SHA256 (RFC 2104) cut to 80 bits, with a key id, so that keys can be rotated: the first key signs, all verify.
//! The text is lower-case base32 (RFC 4648 alphabet without padding), because mail systems may change the case of a
//! local part, and case-folded base64 would be lost. 80 bits withstand guessing over SMTP: one try costs a message.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// Octets of the MAC that are kept.
const MAC_OCTETS: usize = 10;
/// Characters of a key id: short, because a local part has 64 octets (RFC 5321 section 4.5.3.1.1).
const KEY_ID_MAX: usize = 4;
/// Shortest secret that is accepted.
const SECRET_MIN: usize = 16;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key id is empty, too long, or has other characters than `a-z2-7`.
    #[error("key id '{0}' must be 1 to {KEY_ID_MAX} characters of a-z and 2-7")]
    BadId(String),
    /// The secret is too short to be worth anything.
    #[error("the secret of key '{0}' must have at least {SECRET_MIN} bytes")]
    ShortSecret(String),
    /// There is no key at all.
    #[error("a keyring needs at least one key")]
    Empty,
}

#[derive(Clone)]
struct Key {
    id: String,
    secret: Vec<u8>,
}

/// Keys that sign and verify. The first one signs.
#[derive(Clone)]
pub struct Signer {
    signing: Key,
    retired: Vec<Key>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.keys().map(|key| &key.id))
            .finish()
    }
}

impl Signer {
    /// Takes `(key id, secret)` pairs, the signing one first.
    pub fn new(keys: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, KeyError> {
        let mut keys = keys.into_iter().map(|(id, secret)| check_key(id, secret));
        let signing = keys.next().ok_or(KeyError::Empty)??;
        Ok(Self {
            signing,
            retired: keys.collect::<Result<_, _>>()?,
        })
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.signing).chain(&self.retired)
    }

    /// The token `kid.mac` of `payload`. Tokens of one `purpose` are worth nothing for another.
    #[must_use]
    pub fn sign(&self, purpose: &str, payload: &[u8]) -> String {
        format!(
            "{}.{}",
            self.signing.id,
            base32(&mac(&self.signing.secret, purpose, payload))
        )
    }

    /// Whether `token` was made by one of the keys for this purpose and payload. Case does not matter.
    #[must_use]
    pub fn verify(&self, purpose: &str, payload: &[u8], token: &str) -> bool {
        let token = token.to_ascii_lowercase();
        let Some((id, given)) = token.split_once('.') else {
            return false;
        };
        self.keys().filter(|key| key.id == id).any(|key| {
            let expected = base32(&mac(&key.secret, purpose, payload));
            expected.as_bytes().ct_eq(given.as_bytes()).into()
        })
    }
}

fn check_key(id: String, secret: Vec<u8>) -> Result<Key, KeyError> {
    let legal =
        (1..=KEY_ID_MAX).contains(&id.len()) && id.bytes().all(|byte| ALPHABET.contains(&byte));
    if !legal {
        return Err(KeyError::BadId(id));
    }
    if secret.len() < SECRET_MIN {
        return Err(KeyError::ShortSecret(id));
    }
    Ok(Key { id, secret })
}

fn mac(secret: &[u8], purpose: &str, payload: &[u8]) -> [u8; MAC_OCTETS] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(purpose.as_bytes());
    mac.update(&[0]);
    mac.update(payload);
    let full = mac.finalize().into_bytes();
    let mut cut = [0; MAC_OCTETS];
    cut.copy_from_slice(&full[..MAC_OCTETS]);
    cut
}

/// Lower-case base32 without padding (RFC 4648 section 6).
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[((buffer >> bits) & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[((buffer << (5 - bits)) & 31) as usize]));
    }
    text
}

/// The bytes of a base32 text in either case; `None` if it is none.
#[must_use]
pub fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for character in text.bytes() {
        let value = ALPHABET
            .iter()
            .position(|&known| known == character.to_ascii_lowercase())?;
        buffer = (buffer << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((buffer >> bits) & 255).ok()?);
        }
    }
    Some(bytes)
}

/// A UUID in 26 characters of base32.
#[must_use]
pub fn uuid_to_base32(id: Uuid) -> String {
    base32(id.as_bytes())
}

/// The UUID of 26 characters of base32.
#[must_use]
pub fn uuid_from_base32(text: &str) -> Option<Uuid> {
    Uuid::from_slice(&from_base32(text)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signer(keys: &[(&str, u8)]) -> Signer {
        Signer::new(
            keys.iter()
                .map(|(id, byte)| ((*id).to_owned(), vec![*byte; 32])),
        )
        .unwrap()
    }

    #[test]
    fn rotated_keys_still_verify_and_removed_ones_do_not() {
        let old = signer(&[("a", 1)]);
        let token = old.sign("reply", b"ticket");
        assert!(signer(&[("b", 2), ("a", 1)]).verify("reply", b"ticket", &token));
        assert!(!signer(&[("b", 2)]).verify("reply", b"ticket", &token));
    }

    #[test]
    fn purpose_payload_and_case() {
        let signer = signer(&[("a", 1)]);
        let token = signer.sign("reply", b"ticket");
        assert!(signer.verify("reply", b"ticket", &token.to_uppercase()));
        assert!(!signer.verify("message-id", b"ticket", &token));
        assert!(!signer.verify("reply", b"ticke", &token));
        assert!(!signer.verify("reply", b"ticket", "a."));
        assert!(!signer.verify("reply", b"ticket", ""));
    }

    #[test]
    fn bad_keys_are_refused() {
        assert_eq!(Signer::new([]).unwrap_err(), KeyError::Empty);
        assert!(matches!(
            Signer::new([("A!".to_owned(), vec![0; 32])]),
            Err(KeyError::BadId(_))
        ));
        assert!(matches!(
            Signer::new([("a".to_owned(), vec![0; 3])]),
            Err(KeyError::ShortSecret(_))
        ));
    }

    proptest! {
        #[test]
        fn base32_round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(from_base32(&base32(&bytes)), Some(bytes));
        }
    }
}

//! The token of a link: its id, and our signature over it.

use solmu_domain::signed::{Signer, uuid_from_base32, uuid_to_base32};
use uuid::Uuid;

/// What the signature is for: one of a reply address opens no page.
const PURPOSE: &str = "public-ticket-link";
/// Longest text that may be a token; what is longer is not looked at.
const MAX_TOKEN: usize = 80;

/// The token of link `id`.
pub(crate) fn of(signer: &Signer, id: Uuid) -> String {
    format!(
        "{}-{}",
        uuid_to_base32(id),
        signer.sign(PURPOSE, id.as_bytes())
    )
}

/// The link that a token proves.
pub(crate) fn proven(signer: &Signer, token: &str) -> Option<Uuid> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    let (id, signature) = token.split_once('-')?;
    let id = uuid_from_base32(id)?;
    signer
        .verify(PURPOSE, id.as_bytes(), signature)
        .then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_signature_proves_a_link() {
        let signer = |byte| Signer::new([("a".to_owned(), vec![byte; 32])]).unwrap();
        let (id, other) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let token = of(&signer(1), id);
        assert_eq!(proven(&signer(1), &token), Some(id));
        assert_eq!(proven(&signer(2), &token), None);
        let (_, signature) = token.split_once('-').unwrap();
        let moved = format!("{}-{signature}", uuid_to_base32(other));
        let reply = signer(1).sign("reply", id.as_bytes());
        let reply = format!("{}-{reply}", uuid_to_base32(id));
        let long = format!("{token}{}", "a".repeat(MAX_TOKEN));
        for bad in [
            "",
            "-",
            "x",
            &moved,
            &reply,
            &long,
            &token[..token.len() - 1],
        ] {
            assert_eq!(proven(&signer(1), bad), None, "{bad}");
        }
    }
}

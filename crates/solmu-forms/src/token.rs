//! The token in a served form: a nonce, the time of issue, and our signature over both and the form's id.
//!
//! It does two things without any stored state. The time shows posts that no person can have typed, and pages that
//! stood open too long. The nonce makes a repeated post the same message: its id is derived from it.

use jiff::Timestamp;
use solmu_domain::{
    rng::Rng,
    signed::{Signer, base32, from_base32},
};

const PURPOSE: &str = "form-token";
const NONCE_BYTES: usize = 16;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Identifies the served page; base32.
    pub(crate) nonce: String,
    pub(crate) issued: Timestamp,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Missing, changed, of another form, or signed with a key that is gone.
    Invalid,
    /// Younger than a person needs to type.
    TooFast,
    /// The page stood open too long.
    Expired,
}

/// A new nonce.
pub(crate) fn nonce(rng: &dyn Rng) -> String {
    let mut bytes = [0; NONCE_BYTES];
    rng.fill(&mut bytes);
    base32(&bytes)
}

/// The token of a page that is served `now`.
pub(crate) fn issue(signer: &Signer, form: &str, now: Timestamp, rng: &dyn Rng) -> String {
    let nonce = nonce(rng);
    let second = now.as_second();
    let mac = signer.sign(PURPOSE, payload(form, &nonce, second).as_bytes());
    format!("{nonce}.{second}.{mac}")
}

/// Checks the signature and the time trap.
pub(crate) fn verify(
    signer: &Signer,
    form: &str,
    text: &str,
    now: Timestamp,
    min_seconds: u32,
    max_hours: u32,
) -> Result<Token, Refused> {
    let mut parts = text.splitn(3, '.');
    let (Some(nonce), Some(second), Some(mac)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Refused::Invalid);
    };
    let second: i64 = second.parse().map_err(|_| Refused::Invalid)?;
    let issued = Timestamp::from_second(second).map_err(|_| Refused::Invalid)?;
    let shaped = from_base32(nonce).is_some_and(|bytes| bytes.len() == NONCE_BYTES);
    // The nonce becomes part of an id: one spelling only.
    let lower = nonce.bytes().all(|byte| !byte.is_ascii_uppercase());
    if !shaped || !lower || !signer.verify(PURPOSE, payload(form, nonce, second).as_bytes(), mac) {
        return Err(Refused::Invalid);
    }
    let age = now.as_second().saturating_sub(second);
    if age < i64::from(min_seconds) {
        return Err(Refused::TooFast);
    }
    if age > i64::from(max_hours) * 3600 {
        return Err(Refused::Expired);
    }
    Ok(Token {
        nonce: nonce.to_owned(),
        issued,
    })
}

fn payload(form: &str, nonce: &str, second: i64) -> String {
    format!("{form}\n{nonce}\n{second}")
}

#[cfg(test)]
mod tests {
    use solmu_domain::rng::SeededRng;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn the_time_trap() {
        let signer = Signer::new([("a".to_owned(), vec![7; 32])]).unwrap();
        let token = issue(&signer, "contact", at(0), &SeededRng::new(1));
        let check = |form: &str, second| verify(&signer, form, &token, at(second), 3, 24);
        assert_eq!(check("contact", 2), Err(Refused::TooFast));
        assert_eq!(check("contact", 3).unwrap().issued, at(0));
        assert!(check("contact", 24 * 3600).is_ok());
        assert_eq!(check("contact", 24 * 3600 + 1), Err(Refused::Expired));
        assert_eq!(check("contact", -5), Err(Refused::TooFast));
        assert_eq!(check("order", 10), Err(Refused::Invalid));
    }

    #[test]
    fn changed_tokens_are_refused() {
        let signer = Signer::new([("a".to_owned(), vec![7; 32])]).unwrap();
        let token = issue(&signer, "contact", at(0), &SeededRng::new(1));
        let later = token.replacen(".1800000000.", ".1799999990.", 1);
        let upper = {
            let (nonce, rest) = token.split_once('.').unwrap();
            format!("{}.{rest}", nonce.to_uppercase())
        };
        for text in [
            later.as_str(),
            &upper,
            "",
            ".",
            "..",
            "a.b.c",
            &token[1..],
            &format!("{token}x"),
        ] {
            assert_eq!(
                verify(&signer, "contact", text, at(60), 3, 24),
                Err(Refused::Invalid),
                "{text}"
            );
        }
    }
}

//! Contacts and their identities: the normalised names by which a person is known.

use std::fmt;

/// How far a value was proven to belong to the sender. Ordered: later is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assurance {
    /// Caller id, cookie: a hint.
    Weak,
    /// The sender says so.
    Claimed,
    /// Attested: DMARC-aligned mail, a signed token, a platform's own id.
    Proven,
}

impl Assurance {
    /// Stable code, as stored.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Weak => 1,
            Self::Claimed => 2,
            Self::Proven => 3,
        }
    }

    /// From the stored code; unknown codes are the weakest.
    #[must_use]
    pub const fn from_code(code: i16) -> Self {
        match code {
            3 => Self::Proven,
            2 => Self::Claimed,
            _ => Self::Weak,
        }
    }
}

/// An e-mail address, normalised for matching: trimmed, lower case.
///
/// Plus tags and dots are kept: stripping them merges people who are not the same. The raw form is kept for sending.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailAddress(String);

/// Text that is no e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address: expected 'local@domain'")]
pub struct BadEmailAddress;

impl EmailAddress {
    /// Takes the addr-spec of RFC 5322 section 3.4.1, without display name. At most 320 octets.
    pub fn parse(text: &str) -> Result<Self, BadEmailAddress> {
        let text = text.trim().trim_start_matches('<').trim_end_matches('>');
        let (local, domain) = text.rsplit_once('@').ok_or(BadEmailAddress)?;
        let legal = !local.is_empty()
            && !domain.is_empty()
            && text.len() <= 320
            && !text.chars().any(|c| c.is_control() || c.is_whitespace());
        if legal {
            Ok(Self(text.to_lowercase()))
        } else {
            Err(BadEmailAddress)
        }
    }

    /// The normalised address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the at sign.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_normalised() {
        assert_eq!(
            EmailAddress::parse(" Aino.M@Example.COM ")
                .unwrap()
                .as_str(),
            "aino.m@example.com"
        );
        assert_eq!(EmailAddress::parse("<a+b@c.fi>").unwrap().domain(), "c.fi");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "a", "@b", "a@", "a b@c", "a@b\n"] {
            let parsed = EmailAddress::parse(text);
            assert_eq!(parsed.is_err(), text != "a@b\n", "{text:?}");
        }
    }

    #[test]
    fn assurance_is_ordered() {
        assert!(Assurance::Proven > Assurance::Claimed && Assurance::Claimed > Assurance::Weak);
        assert_eq!(
            Assurance::from_code(Assurance::Claimed.code()),
            Assurance::Claimed
        );
    }
}

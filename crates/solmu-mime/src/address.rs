//! E-mail addresses as SMTP and headers write them.
//!
//! Two forms are kept: as received, for sending, and normalised, for matching (lower case, domain in ASCII by IDNA).
//! Dots and plus tags stay in the normalised form: stripping them merges people who are not the same. Only our own
//! addresses are compared without their tag, because there we know what the tag means.

use std::fmt;

/// Octets of a local part (RFC 5321 section 4.5.3.1.1).
pub const LOCAL_PART_MAX: usize = 64;
/// Octets of a domain (RFC 5321 section 4.5.3.1.2).
const DOMAIN_MAX: usize = 255;

/// An address that was taken apart: `local@domain`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// As received, without the quotes of a quoted string.
    local: String,
    /// Lower case, ASCII (`xn--` labels for others).
    domain: String,
}

/// Text that is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no `@`, or nothing on one side of it.
    #[error("expected 'local@domain'")]
    Shape,
    /// The local part is longer than 64 octets.
    #[error("the part before the at sign has more than {LOCAL_PART_MAX} octets")]
    LongLocalPart,
    /// A character that no address may have.
    #[error("a character is not allowed in an address")]
    BadCharacter,
    /// The domain is no domain.
    #[error("the part after the at sign is no domain")]
    BadDomain,
}

impl Address {
    /// Takes an addr-spec (RFC 5322 section 3.4.1), with or without angle brackets.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let text = text
            .strip_prefix('<')
            .and_then(|inner| inner.strip_suffix('>'))
            .unwrap_or(text);
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Shape)?;
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Shape);
        }
        let local = local_part(local)?;
        if local.len() > LOCAL_PART_MAX {
            return Err(AddressError::LongLocalPart);
        }
        Ok(Self {
            local,
            domain: domain_part(domain)?,
        })
    }

    /// The part before the at sign, as received.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The part after the at sign, lower case and ASCII.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// For matching: lower case, ASCII domain, tag kept.
    #[must_use]
    pub fn normalised(&self) -> String {
        format!("{}@{}", self.local.to_lowercase(), self.domain)
    }

    /// For matching one of our own addresses: lower case, without the part from the first `+` on.
    #[must_use]
    pub fn without_tag(&self) -> String {
        let base = self
            .local
            .split_once('+')
            .map_or(self.local.as_str(), |(base, _)| base);
        format!("{}@{}", base.to_lowercase(), self.domain)
    }

    /// What follows the first `+` of the local part.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.local.split_once('+').map(|(_, tag)| tag)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.local.chars().all(is_atom_text) {
            return write!(f, "{}@{}", self.local, self.domain);
        }
        let escaped = self.local.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "\"{escaped}\"@{}", self.domain)
    }
}

/// `dot-atom` characters (RFC 5322 section 3.2.3), and anything outside ASCII (RFC 6532) but its controls: a C1 control
/// may end a line (NEL, U+0085).
fn is_atom_text(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~.".contains(character)
        || !(character.is_ascii() || character.is_control())
}

fn local_part(text: &str) -> Result<String, AddressError> {
    if let Some(quoted) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        return unquote(quoted);
    }
    if text.chars().all(is_atom_text) {
        Ok(text.to_owned())
    } else {
        Err(AddressError::BadCharacter)
    }
}

/// The content of a quoted string (RFC 5321 section 4.1.2): a backslash protects the next character.
fn unquote(quoted: &str) -> Result<String, AddressError> {
    let mut plain = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        let taken = match character {
            '\\' => characters.next().ok_or(AddressError::BadCharacter)?,
            '"' => return Err(AddressError::BadCharacter),
            other => other,
        };
        if taken.is_control() {
            return Err(AddressError::BadCharacter);
        }
        plain.push(taken);
    }
    if plain.is_empty() {
        Err(AddressError::Shape)
    } else {
        Ok(plain)
    }
}

fn domain_part(text: &str) -> Result<String, AddressError> {
    let literal = text.starts_with('[') && text.ends_with(']');
    if literal
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"[]:.-".contains(&byte))
    {
        return Ok(text.to_ascii_lowercase());
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let ascii = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(text).map_err(|_| AddressError::BadDomain)?
    };
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let fits = ascii.len() <= DOMAIN_MAX && ascii.split('.').all(label_fits);
    if fits {
        Ok(ascii)
    } else {
        Err(AddressError::BadDomain)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms() {
        let address = Address::parse(" <Aino.M+Tag@ÄLYKÄS.example> ").unwrap();
        assert_eq!(address.normalised(), "aino.m+tag@xn--lyks-koad.example");
        assert_eq!(address.without_tag(), "aino.m@xn--lyks-koad.example");
        assert_eq!(address.tag(), Some("Tag"));
        assert_eq!(address.to_string(), "Aino.M+Tag@xn--lyks-koad.example");
    }

    #[test]
    fn quoted_local_parts_lose_and_regain_their_quotes() {
        let address = Address::parse(r#""a \"b\""@c.example"#).unwrap();
        assert_eq!(address.local(), "a \"b\"");
        assert_eq!(address.to_string(), r#""a \"b\""@c.example"#);
        assert_eq!(
            Address::parse(r#""support"@desk.example"#)
                .unwrap()
                .to_string(),
            "support@desk.example"
        );
    }

    #[test]
    fn what_is_no_address_says_why() {
        let long = format!("{}@a.example", "x".repeat(65));
        for (text, error) in [
            ("", AddressError::Shape),
            ("a", AddressError::Shape),
            ("@b", AddressError::Shape),
            ("a@", AddressError::Shape),
            ("a b@c", AddressError::BadCharacter),
            ("a\r\nb@c", AddressError::BadCharacter),
            ("a\u{85}b@c", AddressError::BadCharacter),
            ("a@b..c", AddressError::BadDomain),
            ("a@b c", AddressError::BadDomain),
            ("a@<b", AddressError::BadDomain),
            (long.as_str(), AddressError::LongLocalPart),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(
            Address::parse("a@[192.0.2.1]").unwrap().domain(),
            "[192.0.2.1]"
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(text in "\\PC{0,40}@\\PC{1,30}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        }
    }
}

//! An identifier's value: as it is kept, and as it is compared.

use crate::{Kind, email, phone, phone::Region};

/// Longest value of an id that is neither an address nor a number, in bytes: an index entry has its limit.
const MAX_ID: usize = 512;

/// Text that is no value of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// No address.
    #[error("not an e-mail address: expected 'local@domain'")]
    Email,
    /// No number.
    #[error("not a phone number: expected 7 to 15 digits")]
    Phone,
    /// No id.
    #[error("not an id: expected 1 to 512 bytes without control characters")]
    Id,
}

/// A normalised value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// Kind to compare under: a WhatsApp id that is a number counts as the number.
    pub kind: Kind,
    /// Unique form, as it is stored.
    pub canonical: String,
    /// Form of the one mailbox, number or id behind it, as far as that is certain: for the ACCESS graph.
    pub certain: String,
    /// Form for guessing: for the PROFILE graph, where a wrong guess can be taken back.
    pub matching: String,
}

/// Normalises `raw`. A number without a country code is read as people of `region` write it.
pub fn normalise(kind: Kind, raw: &str, region: Region) -> Result<Value, BadValue> {
    let plain = |kind, text: String| Value {
        kind,
        certain: text.clone(),
        matching: text.clone(),
        canonical: text,
    };
    match kind {
        Kind::Email => {
            let canonical = email::canonical(raw)?;
            Ok(Value {
                kind,
                certain: email::mailbox(&canonical),
                matching: email::matching(&canonical),
                canonical,
            })
        }
        Kind::Phone => Ok(plain(kind, phone::e164(raw, region)?)),
        Kind::Whatsapp if is_number(raw) => {
            let raw = raw.trim();
            // A wa_id is E.164 without the plus sign.
            let number = format!("+{}", raw.trim_start_matches('+'));
            Ok(plain(Kind::Phone, phone::e164(&number, region)?))
        }
        Kind::CustomerNumber => {
            // Printed on invoices and typed by people: "K-10 42" is "k1042".
            let text: String = raw.chars().filter(|c| c.is_alphanumeric()).collect();
            id(&text.to_lowercase()).map(|text| plain(kind, text))
        }
        Kind::Whatsapp
        | Kind::Telegram
        | Kind::ChatSession
        | Kind::External
        | Kind::Psid
        | Kind::Igsid
        | Kind::XUser
        | Kind::Cookie => id(raw).map(|text| plain(kind, text)),
    }
}

fn id(raw: &str) -> Result<String, BadValue> {
    let text = raw.trim();
    if text.is_empty() || text.len() > MAX_ID || text.contains(char::is_control) {
        Err(BadValue::Id)
    } else {
        Ok(text.to_owned())
    }
}

fn is_number(raw: &str) -> bool {
    let text = raw.trim();
    let digits = text.strip_prefix('+').unwrap_or(text);
    digits.len() >= 7
        && digits
            .chars()
            .all(|c| c.is_ascii_digit() || c == ' ' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_normalised() {
        let region = Region::default();
        for (kind, raw, wanted) in [
            (
                Kind::Email,
                " A+x@Gmail.com ",
                (Kind::Email, "a+x@gmail.com", "a@gmail.com"),
            ),
            (
                Kind::Phone,
                "040 1234 567",
                (Kind::Phone, "+358401234567", "+358401234567"),
            ),
            (
                Kind::Whatsapp,
                "358401234567",
                (Kind::Phone, "+358401234567", "+358401234567"),
            ),
            (
                Kind::Whatsapp,
                "FI.1349",
                (Kind::Whatsapp, "FI.1349", "FI.1349"),
            ),
            (
                Kind::CustomerNumber,
                " K-10 42",
                (Kind::CustomerNumber, "k1042", "k1042"),
            ),
            (Kind::XUser, " 42 ", (Kind::XUser, "42", "42")),
        ] {
            let value = normalise(kind, raw, region).unwrap();
            let found = (value.kind, value.canonical.as_str(), value.certain.as_str());
            assert_eq!(found, wanted, "{raw}");
        }
        for kind in Kind::ALL {
            assert!(normalise(kind, " \n", region).is_err(), "{}", kind.name());
        }
        assert!(normalise(Kind::Psid, &"9".repeat(513), region).is_err());
    }
}

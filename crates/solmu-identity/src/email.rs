//! E-mail addresses, made comparable.

use unicode_normalization::UnicodeNormalization as _;

use crate::value::BadValue;

/// Longest address in bytes (RFC 5321, 4.5.3.1: 64 + 1 + 255).
const MAX: usize = 320;

/// Providers whose mailboxes are the same with and without what follows a plus sign.
const TAGGING: [&str; 10] = [
    "gmail.com",
    "outlook.com",
    "hotmail.com",
    "live.com",
    "icloud.com",
    "me.com",
    "proton.me",
    "protonmail.com",
    "fastmail.com",
    "pm.me",
];

/// The address for sending back: trimmed, NFC, lower case, with an ASCII domain.
pub(crate) fn canonical(raw: &str) -> Result<String, BadValue> {
    let text: String = raw
        .trim()
        .trim_start_matches('<')
        .trim_end_matches('>')
        .nfc()
        .collect();
    let (local, domain) = text.rsplit_once('@').ok_or(BadValue::Email)?;
    let local = local.to_lowercase();
    let domain =
        idna::domain_to_ascii(domain.trim_end_matches('.')).map_err(|_| BadValue::Email)?;
    let legal = !local.is_empty()
        && !domain.is_empty()
        && local.len() + domain.len() < MAX
        && !local.contains('@')
        && ![local.as_str(), &domain]
            .concat()
            .contains(|c: char| c.is_control() || c.is_whitespace());
    if legal {
        Ok(format!("{local}@{domain}"))
    } else {
        Err(BadValue::Email)
    }
}

/// The mailbox behind a canonical address, as far as it is certain: tags and dots go only where the provider says that
/// they do not matter. Elsewhere `a+b@c` may be somebody else than `a@c`.
pub(crate) fn mailbox(canonical: &str) -> String {
    let Some((local, domain)) = canonical.rsplit_once('@') else {
        return canonical.to_owned();
    };
    let domain = if domain == "googlemail.com" {
        "gmail.com"
    } else {
        domain
    };
    if TAGGING.contains(&domain) {
        format!("{}@{domain}", undotted(untagged(local), domain))
    } else {
        format!("{local}@{domain}")
    }
}

/// The address for guessing who it is: without the tag wherever it is.
pub(crate) fn matching(canonical: &str) -> String {
    let mailbox = mailbox(canonical);
    match mailbox.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{domain}", untagged(local)),
        None => mailbox,
    }
}

/// The part after the at sign.
pub(crate) fn domain(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// The part before the at sign.
pub(crate) fn local(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(local, _)| local)
}

fn untagged(local: &str) -> &str {
    match local.split_once('+') {
        // An address may begin with a plus sign; nothing would be left of it.
        Some((name, _)) if !name.is_empty() => name,
        _ => local,
    }
}

fn undotted(local: &str, domain: &str) -> String {
    if domain == "gmail.com" {
        local.replace('.', "")
    } else {
        local.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_one() {
        for (raw, wanted) in [
            (" Aino.V@Example.COM ", "aino.v@example.com"),
            ("<a+b@c.example>", "a+b@c.example"),
            ("aino@ääkköset.example", "aino@xn--kkset-ira7nba.example"),
            ("a@c.example.", "a@c.example"),
        ] {
            let found = canonical(raw);
            if raw.contains("ääkk") {
                let found = found.unwrap();
                assert!(
                    found.is_ascii() && found.starts_with("aino@xn--"),
                    "{found}"
                );
            } else {
                assert_eq!(found.unwrap(), wanted);
            }
        }
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b c"] {
            assert!(canonical(bad).is_err(), "{bad:?}");
        }
        assert!(canonical(&format!("{}@c.example", "a".repeat(320))).is_err());
    }

    #[test]
    fn only_sure_mailboxes_lose_their_tags() {
        assert_eq!(mailbox("a.b+x@googlemail.com"), "ab@gmail.com");
        assert_eq!(mailbox("a.b+x@outlook.com"), "a.b@outlook.com");
        assert_eq!(mailbox("a+x@c.example"), "a+x@c.example");
        assert_eq!(matching("a+x@c.example"), "a@c.example");
        assert_eq!(matching("+x@c.example"), "+x@c.example");
    }
}

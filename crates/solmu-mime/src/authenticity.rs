//! Whether the sender is who the From header says, as our own mail exchanger saw it (RFC 8601).
//!
//! Anybody can write an `Authentication-Results` header. It counts only with the configured authserv-id, only the
//! topmost one, and only above the Received headers of strangers: our exchanger writes at the top, so what stands
//! lower came with the mail.

use crate::{
    address::Address,
    mail::{Fields, ParsedMail},
};

/// What our mail exchanger found out about the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// DMARC passed for the domain of From: the domain's owner let this mail be sent.
    Verified,
    /// Anything else, including a failure: shown, never trusted.
    Unverified,
}

/// How far results are trusted.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// Name that our mail exchanger signs its results with; `None` trusts nobody.
    pub authserv_id: Option<&'a str>,
    /// Received headers of our own machines that may stand above the results.
    pub trusted_hops: usize,
}

/// Judges the sender of `mail`.
#[must_use]
pub fn judge(mail: &ParsedMail, trust: Trust<'_>) -> Verdict {
    let Some(authserv_id) = trust.authserv_id else {
        return Verdict::Unverified;
    };
    let Some(results) = topmost_results(&mail.fields, trust.trusted_hops) else {
        return Verdict::Unverified;
    };
    // More than one author, and DMARC has vouched for at most one of them (RFC 7489 section 6.6.1).
    let [from] = mail.from.as_slice() else {
        return Verdict::Unverified;
    };
    let Ok(from) = Address::parse(&from.address) else {
        return Verdict::Unverified;
    };
    if passes(results, authserv_id, from.domain()) {
        Verdict::Verified
    } else {
        Verdict::Unverified
    }
}

/// The first results of all, if no more than `hops` Received headers stand above it.
fn topmost_results(fields: &Fields, hops: usize) -> Option<&str> {
    let mut received = 0;
    for field in &fields.0 {
        match field.name.as_str() {
            "received" => received += 1,
            "authentication-results" => return (received <= hops).then_some(field.value.as_str()),
            _ => {}
        }
    }
    None
}

/// Whether the results are ours and say `dmarc=pass` for `from_domain`.
fn passes(results: &str, authserv_id: &str, from_domain: &str) -> bool {
    let plain = without_comments(results);
    let mut parts = plain.split(';');
    let id = parts
        .next()
        .and_then(|head| head.split_whitespace().next())
        .unwrap_or_default();
    if !id.eq_ignore_ascii_case(authserv_id) {
        return false;
    }
    let mut passed = false;
    for part in parts {
        let mut words = part.split_whitespace();
        let method = words.next().unwrap_or_default().to_ascii_lowercase();
        let Some(result) = method.strip_prefix("dmarc=") else {
            continue;
        };
        if result != "pass" {
            return false;
        }
        let header_from = words.find_map(|word| {
            word.to_ascii_lowercase()
                .strip_prefix("header.from=")
                .map(str::to_owned)
        });
        passed = header_from.is_none_or(|domain| is_domain_of(&domain, from_domain));
    }
    passed
}

/// Some exchangers write the organisational domain, some the domain of From.
fn is_domain_of(checked: &str, from_domain: &str) -> bool {
    let checked = checked.trim_matches('"');
    from_domain == checked
        || from_domain
            .strip_suffix(checked)
            .is_some_and(|rest| rest.ends_with('.') && checked.contains('.'))
}

/// Comments (RFC 5322 section 3.2.2) may hold anything, also `dmarc=pass`.
fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut depth = 0_usize;
    let mut quoted = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                if let (Some(next), 0) = (characters.next(), depth) {
                    plain.push(next);
                }
            }
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth > 0 => depth -= 1,
            // A quoted separator must not end its part.
            ';' if quoted => {}
            other if depth == 0 => plain.push(other),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{ParseLimits, parse};

    fn verdict(mail: &str) -> Verdict {
        let mail = parse(mail.as_bytes(), &ParseLimits::default());
        judge(
            &mail,
            Trust {
                authserv_id: Some("mx.desk.example"),
                trusted_hops: 1,
            },
        )
    }

    const OWN: &str = "Authentication-Results: mx.desk.example; spf=pass; dmarc=pass (p=reject) header.from=c.example\r\n";

    #[test]
    fn only_our_topmost_results_count() {
        let from = "From: A <a@c.example>\r\n\r\nx";
        let other = "Authentication-Results: evil.example; dmarc=pass\r\n";
        let hop = "Received: from x by y; Mon, 2 Nov 2026 10:00:00 +0200\r\n";
        for (head, wanted) in [
            (OWN.to_owned(), Verdict::Verified),
            (format!("{hop}{OWN}"), Verdict::Verified),
            (format!("{hop}{hop}{OWN}"), Verdict::Unverified),
            (format!("{other}{OWN}"), Verdict::Unverified),
            (format!("{OWN}{other}"), Verdict::Verified),
            (other.to_owned(), Verdict::Unverified),
            (String::new(), Verdict::Unverified),
            (
                "Authentication-Results: mx.desk.example; dmarc=fail (dmarc=pass)\r\n".to_owned(),
                Verdict::Unverified,
            ),
            (
                "Authentication-Results: mx.desk.example; none (; dmarc=pass)\r\n".to_owned(),
                Verdict::Unverified,
            ),
            (
                "Authentication-Results: mx.desk.example; x=\"; dmarc=pass\"\r\n".to_owned(),
                Verdict::Unverified,
            ),
            (
                OWN.replace("header.from=c.example", "header.from=d.example"),
                Verdict::Unverified,
            ),
            (
                "Authentication-Results: MX.desk.example 1;\r\n dmarc=pass\r\n".to_owned(),
                Verdict::Verified,
            ),
        ] {
            assert_eq!(verdict(&format!("{head}{from}")), wanted, "{head}");
        }
    }

    #[test]
    fn two_authors_are_nobody() {
        assert_eq!(
            verdict(&format!("{OWN}From: a@c.example, b@c.example\r\n\r\nx")),
            Verdict::Unverified
        );
        let nobody = Trust {
            authserv_id: None,
            trusted_hops: 9,
        };
        let mail = parse(
            format!("{OWN}From: a@c.example\r\n\r\nx").as_bytes(),
            &ParseLimits::default(),
        );
        assert_eq!(judge(&mail, nobody), Verdict::Unverified);
    }
}

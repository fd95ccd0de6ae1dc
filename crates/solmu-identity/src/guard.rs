//! Values that say nothing about who somebody is: placeholders, and mailboxes of a role.

use crate::{Kind, email};

/// What people type who do not want to give an address.
const NOBODY: [&str; 28] = [
    "test", "testi", "testing", "tester", "none", "null", "nobody", "noone", "na", "ei", "eiole",
    "asd", "asdf", "qwerty", "xxx", "foo", "bar", "abc", "example", "user", "username", "name",
    "nimi", "email", "mail", "asiakas", "customer", "someone",
];

/// Domains of documentation and of people who do not want to give an address.
const NOWHERE: [&str; 10] = [
    "example.com",
    "example.net",
    "test.com",
    "test.fi",
    "none.com",
    "none.fi",
    "email.com",
    "domain.com",
    "asd.com",
    "foo.com",
];

/// Local parts of mailboxes that several people read and write from (RFC 2142 and what companies use).
const ROLES: [&str; 53] = [
    "abuse",
    "accounts",
    "admin",
    "asiakaspalvelu",
    "billing",
    "booking",
    "contact",
    "enquiries",
    "faktura",
    "finance",
    "hallinto",
    "hello",
    "help",
    "helpdesk",
    "hostmaster",
    "hr",
    "info",
    "invoice",
    "invoices",
    "it",
    "jobs",
    "kauppa",
    "kirjaamo",
    "kontakt",
    "kundtjanst",
    "lasku",
    "laskut",
    "laskutus",
    "legal",
    "marketing",
    "markkinointi",
    "moi",
    "myynti",
    "no-reply",
    "noreply",
    "office",
    "order",
    "orders",
    "ostolaskut",
    "posti",
    "postmaster",
    "press",
    "reception",
    "rekry",
    "sales",
    "security",
    "service",
    "support",
    "team",
    "tilaukset",
    "toimisto",
    "tuki",
    "webmaster",
];

/// Times that a digit stands in a row in numbers that nobody has.
const SAME_DIGITS: usize = 6;

/// Whether several people write from this address: then it names a mailbox and not a person.
#[must_use]
pub fn is_role(kind: Kind, value: &str) -> bool {
    kind == Kind::Email && ROLES.binary_search(&email::local(value)).is_ok()
}

/// Whether this is what people type when they have nothing to give. Says nothing about a proven value.
#[must_use]
pub fn is_placeholder(kind: Kind, value: &str) -> bool {
    match kind {
        Kind::Email => {
            let (local, domain) = (email::local(value), email::domain(value));
            let label = domain.split('.').next().unwrap_or_default();
            // Not any name at a domain of that name: people own such domains.
            NOBODY.contains(&local) && (local == label || NOWHERE.contains(&domain))
        }
        Kind::Phone => {
            let digits = value.trim_start_matches('+');
            digits.contains("1234567") || repeats(digits)
        }
        Kind::External | Kind::CustomerNumber | Kind::Cookie => {
            matches!(
                value,
                "-1" | "0" | "null" | "undefined" | "none" | "nan" | "anonymous" | "guest"
            ) || value.chars().all(|c| c == '0' || c == '-')
        }
        Kind::Whatsapp
        | Kind::Telegram
        | Kind::ChatSession
        | Kind::Psid
        | Kind::Igsid
        | Kind::XUser => false,
    }
}

fn repeats(digits: &str) -> bool {
    let digits = digits.as_bytes();
    digits
        .windows(SAME_DIGITS)
        .any(|window| window.iter().all(|digit| *digit == window[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_sorted_and_found() {
        assert!(ROLES.is_sorted());
        assert!(
            is_role(Kind::Email, "info@c.example") && is_role(Kind::Email, "laskutus@c.example")
        );
        assert!(!is_role(Kind::Email, "aino@c.example") && !is_role(Kind::XUser, "info"));
    }

    #[test]
    fn placeholders_are_found() {
        for (kind, value) in [
            (Kind::Email, "test@test.com"),
            (Kind::Email, "asiakas@example.com"),
            (Kind::Email, "none@none.com"),
            (Kind::Phone, "+358400000000"),
            (Kind::Phone, "+358501234567"),
            (Kind::External, "-1"),
            (Kind::Cookie, "undefined"),
        ] {
            assert!(is_placeholder(kind, value), "{value}");
        }
        for (kind, value) in [
            (Kind::Email, "aino@example.com"),
            (Kind::Email, "test@c.example"),
            (Kind::Email, "aino@aino.example"),
            (Kind::Phone, "+358401112223"),
            (Kind::External, "u-000001"),
        ] {
            assert!(!is_placeholder(kind, value), "{value}");
        }
    }
}

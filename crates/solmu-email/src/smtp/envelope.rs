//! What a dialogue says of a mail before its data.

use std::fmt;

use super::Path;
use solmu_mime::address::Address;

/// Which of the two protocols a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// SMTP: one answer for a mail.
    Smtp,
    /// LMTP (RFC 2033): one answer for each recipient.
    Lmtp,
}

/// How a mail was transmitted, for the `with` of the trace header (RFC 3848, RFC 6531 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// SMTP or LMTP.
    pub role: Role,
    /// Whether the client said EHLO, not HELO.
    pub extended: bool,
    /// Whether MAIL had SMTPUTF8.
    pub utf8: bool,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.role, self.extended, self.utf8) {
            (Role::Smtp, false, _) => return f.write_str("SMTP"),
            (Role::Smtp, true, false) => "ESMTP",
            (Role::Smtp, true, true) => "UTF8SMTP",
            (Role::Lmtp, _, false) => "LMTP",
            (Role::Lmtp, _, true) => "UTF8LMTP",
        };
        let suffix = if self.tls { "S" } else { "" };
        write!(f, "{name}{suffix}")
    }
}

/// Envelope of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Reverse-path.
    pub from: Path,
    /// Recipients, all of them ours, each once.
    pub recipients: Vec<Address>,
    /// For each RCPT that was answered with 250, in order, which of `recipients` it named. LMTP owes one answer for
    /// each.
    pub accepted: Vec<usize>,
    /// The client's own name.
    pub client_name: String,
    /// For the trace header.
    pub protocol: Protocol,
    /// Cipher suite of an encrypted connection.
    pub cipher: Option<&'static str>,
    /// Announced size in bytes.
    pub size: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_registered_ones() {
        let name = |role, extended, utf8, tls| {
            let protocol = Protocol {
                role,
                extended,
                utf8,
                tls,
            };
            protocol.to_string()
        };
        assert_eq!(name(Role::Smtp, false, false, true), "SMTP");
        assert_eq!(name(Role::Smtp, true, false, false), "ESMTP");
        assert_eq!(name(Role::Smtp, true, false, true), "ESMTPS");
        assert_eq!(name(Role::Smtp, true, true, true), "UTF8SMTPS");
        assert_eq!(name(Role::Lmtp, true, false, false), "LMTP");
        assert_eq!(name(Role::Lmtp, true, true, false), "UTF8LMTP");
    }
}

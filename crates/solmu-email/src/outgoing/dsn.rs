//! Delivery status notifications: asked for when a mail goes out (RFC 3461), read when they come back (RFC 3464).
//!
//! The envelope id that we give is the local part of our Message-ID. It carries our signature, so that a report which
//! returns no header still proves which message it is about.

use lettre::{
    Address as LettreAddress,
    transport::smtp::extension::{MailParameter, RcptParameter},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_domain::signed::Signer;

use solmu_mime::{
    address::Address,
    mail::ParsedMail,
    reply_address::{OwnMessage, own_message},
};

/// Longest value of ENVID and ORCPT in octets (RFC 3461 sections 4.2 and 4.4).
const ENVELOPE_ID_MAX: usize = 100;
const ORIGINAL_RECIPIENT_MAX: usize = 500;

/// When a server on the way tells us what became of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Notify {
    /// When it arrived.
    Success,
    /// When it could not be delivered.
    Failure,
    /// When it takes longer than usual.
    Delay,
}

impl Notify {
    /// Everything that can be asked for.
    #[must_use]
    pub fn all() -> Vec<Self> {
        vec![Self::Success, Self::Failure, Self::Delay]
    }

    fn word(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Delay => "DELAY",
        }
    }
}

/// Parameters of MAIL FROM: the header is enough, and the id.
pub(super) fn sender_parameters(message_id: &str) -> Vec<MailParameter> {
    let other = |keyword: &str, value: &str| MailParameter::Other {
        keyword: keyword.to_owned(),
        value: Some(value.to_owned()),
    };
    let mut parameters = vec![other("RET", "HDRS")];
    let id = message_id.split('@').next().unwrap_or_default();
    if !id.is_empty() && id.len() <= ENVELOPE_ID_MAX && id.bytes().all(|b| b.is_ascii_graphic()) {
        parameters.push(other("ENVID", id));
    }
    parameters
}

/// Parameters of RCPT TO. A copy that arrives says nothing about the customer, so that is not asked.
pub(super) fn recipient_parameters(
    notify: &[Notify],
    address: &LettreAddress,
    is_main: bool,
) -> Vec<RcptParameter> {
    let other = |keyword: &str, value: String| RcptParameter::Other {
        keyword: keyword.to_owned(),
        value: Some(value),
    };
    let wanted: Vec<&str> = [Notify::Success, Notify::Failure, Notify::Delay]
        .into_iter()
        .filter(|kind| notify.contains(kind) && (is_main || *kind == Notify::Failure))
        .map(Notify::word)
        .collect();
    let wanted = if wanted.is_empty() {
        "NEVER".to_owned()
    } else {
        wanted.join(",")
    };
    let mut parameters = vec![other("NOTIFY", wanted)];
    let original = format!("rfc822;{address}");
    if original.is_ascii() && original.len() <= ORIGINAL_RECIPIENT_MAX {
        parameters.push(other("ORCPT", original));
    }
    parameters
}

/// What a report says about one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// `failed`, `delayed`, `delivered`, `relayed` or `expanded`, lower case; empty if the report does not say.
    pub action: String,
    /// Normalised; empty if the report does not say.
    pub address: String,
    /// The report is about somebody who only got a copy.
    pub is_copy: bool,
    /// Our message, by the envelope id that we gave it.
    pub own: Option<OwnMessage>,
}

/// Reads the machine-readable part of a report. Of several recipients the one that failed counts, and one who is no
/// copy before those who are.
#[must_use]
pub fn read(mail: &ParsedMail, signer: &Signer) -> Option<Told> {
    let report = mail
        .reports
        .iter()
        .find(|report| report.content_type.ends_with("delivery-status"))?;
    let fields = unfolded(&report.text);
    let envelope = fields
        .iter()
        .find(|(name, _)| name == "original-envelope-id")
        .and_then(|(_, value)| own_message(&format!("{value}@envelope"), signer));
    let copies = addresses_of_returned(mail, "cc");
    let mains = addresses_of_returned(mail, "to");
    let mut recipients: Vec<Told> = Vec::new();
    for (name, value) in &fields {
        match name.as_str() {
            // Original-Recipient comes first in a group where there is one (RFC 3464 section 2.3).
            "original-recipient" | "final-recipient" => {
                let address = address_of(value);
                let is_copy = copies.contains(&address) && !mains.contains(&address);
                match recipients.last_mut() {
                    Some(last) if last.action.is_empty() => {
                        if last.address.is_empty() {
                            last.address = address;
                        }
                        last.is_copy |= is_copy;
                    }
                    _ => recipients.push(Told {
                        action: String::new(),
                        address,
                        is_copy,
                        own: envelope,
                    }),
                }
            }
            "action" => {
                let word = value.split_whitespace().next().unwrap_or_default();
                if let Some(last) = recipients.last_mut() {
                    last.action = word.to_ascii_lowercase();
                }
            }
            _ => {}
        }
    }
    recipients
        .into_iter()
        .min_by_key(|told| (told.is_copy, told.action != "failed"))
}

/// Lines of a delivery status as name (lower case) and value.
fn unfolded(text: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    fields
}

/// `rfc822; a@b` or `utf-8; ä@b`; qmail and others leave the type out.
fn address_of(value: &str) -> String {
    let address = value.split_once(';').map_or(value, |(_, address)| address);
    Address::parse(address)
        .map(|address| address.normalised())
        .unwrap_or_default()
}

fn addresses_of_returned(mail: &ParsedMail, header: &str) -> Vec<String> {
    let Some(returned) = &mail.returned else {
        return Vec::new();
    };
    let between = |text: &str| {
        let inner = text
            .rsplit_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .map_or(text, |(inner, _)| inner);
        Address::parse(inner)
            .map(|address| address.normalised())
            .ok()
    };
    returned
        .all(header)
        .flat_map(|value| value.split(','))
        .filter_map(between)
        .collect()
}

//! What providers say became of mail of ours, as one kind of event.
//!
//! Only reports on a Message-ID that we signed are passed on: a provider's account may send other mail too, and what
//! names no message of ours would wait for one for ever.

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::signed::Signer;
use solmu_mime::{address::Address, reply_address::own_message};
use solmu_proto::{
    inbound::v1::DeliveryReported,
    types::v1::{Channel, DeliveryState},
};

/// Bytes of a diagnostic text at most.
const TEXT_MAX: usize = 2_000;

/// What an event amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The recipient's server has it.
    Delivered,
    /// It will not arrive.
    Failed {
        /// And nothing ever will at that address.
        address_invalid: bool,
    },
    /// It arrived, and the recipient called it spam.
    Complaint,
}

/// An event of a provider in our words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReportWords {
    /// Message-ID of our message, with or without angle brackets.
    pub(crate) message_id: String,
    /// The recipient.
    pub(crate) address: String,
    /// Status or reply code.
    pub(crate) code: String,
    /// What the other side said.
    pub(crate) text: String,
    /// When it happened.
    pub(crate) at: Option<Timestamp>,
}

/// The event of a report; `None` if the message is none of ours.
pub(crate) fn report(
    outcome: Outcome,
    words: ReportWords,
    account: &str,
    signer: &Signer,
    now: Timestamp,
) -> Option<DeliveryReported> {
    let external_id = words.message_id.trim().trim_matches(['<', '>']).to_owned();
    let own = own_message(&external_id, signer)?;
    let state = match outcome {
        Outcome::Delivered | Outcome::Complaint => DeliveryState::Delivered,
        Outcome::Failed { .. } => DeliveryState::Failed,
    };
    let code = match outcome {
        Outcome::Delivered => String::new(),
        Outcome::Complaint => "complaint".to_owned(),
        Outcome::Failed { .. } => words.code,
    };
    let mut text = if outcome == Outcome::Delivered {
        String::new()
    } else {
        words.text
    };
    solmu_text::shorten(&mut text, TEXT_MAX);
    let address = Address::parse(&words.address);
    Some(DeliveryReported {
        message_id: own.message.to_string(),
        channel: Channel::Email.into(),
        account: account.to_owned(),
        external_id,
        state: state.into(),
        report_time: Some(to_proto_time(words.at.unwrap_or(now))),
        error_code: code,
        error_text: text,
        address_invalid: outcome
            == Outcome::Failed {
                address_invalid: true,
            },
        address: address
            .map(|address| address.normalised())
            .unwrap_or_default(),
    })
}

/// The first enhanced status code (RFC 3463) in a text.
pub(crate) fn status_in(text: &str) -> Option<&str> {
    text.split(|char: char| !(char.is_ascii_digit() || char == '.'))
        .find(|word| {
            let mut parts = word.split('.');
            let class = parts
                .next()
                .is_some_and(|part| matches!(part, "2" | "4" | "5"));
            let number =
                |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && part.len() <= 3);
            class && number(parts.next()) && number(parts.next()) && parts.next().is_none()
        })
}

/// Whether a status says that the address is bad (RFC 3463 section 3.2): no such mailbox, host or recipient. A full
/// mailbox, a size or a policy says nothing about the address.
pub(crate) fn is_bad_address(status: &str) -> bool {
    matches!(
        status,
        "5.1.0" | "5.1.1" | "5.1.2" | "5.1.3" | "5.1.6" | "5.1.10" | "5.2.1" | "5.4.4"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_found_and_judged() {
        for (text, status, bad) in [
            ("550 5.1.1 no such user", Some("5.1.1"), true),
            ("smtp; 550-5.1.10 gone", Some("5.1.10"), true),
            ("552 5.2.2 full", Some("5.2.2"), false),
            ("550 5.7.1 blocked by 192.0.2.1", Some("5.7.1"), false),
            ("550 no", None, false),
            ("at 10.1.2.3", None, false),
        ] {
            assert_eq!(status_in(text), status, "{text}");
            assert_eq!(status_in(text).is_some_and(is_bad_address), bad, "{text}");
        }
    }
}

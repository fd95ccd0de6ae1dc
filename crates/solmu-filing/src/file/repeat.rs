//! Tells a mail that came again from another mail under the same Message-ID.
//!
//! A Message-ID is written by the sender, so it names a message only as long as everybody is honest and no script has
//! one fixed id. The first mail under an id keeps it. A mail of another sender, with another date, subject, text or
//! attachment, is a message of its own: dropping it as a repeat would let anybody swallow a mail whose id they guess.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use solmu_bus::envelope::from_proto_time;
use solmu_proto::{inbound::v1::MessageReceived, types::v1::Channel};
use uuid::Uuid;

use super::words::sender_address;
use crate::error::TicketError;

/// Hexadecimal digits of the new id that are added to the external id, so that it stays unique.
const MARK: usize = 12;

/// What makes a mail the mail that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) sender: String,
    pub(crate) subject: String,
    /// SHA-256, hexadecimal.
    pub(crate) text: String,
    /// Microseconds since 1970, as PostgreSQL keeps them.
    pub(crate) sent: Option<i64>,
    /// SHA-256 of each.
    pub(crate) attachments: Vec<String>,
    /// SHA-256 of the original; empty if there is none.
    pub(crate) raw: String,
}

/// Under what a message is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) id: Uuid,
    pub(crate) external_id: String,
    /// Where `external_id` had to differ from it.
    pub(crate) message_id_header: String,
}

/// Under what `message` is stored beside what is `known`, where it is noted; `None` for a repeat, which has no effect.
pub(crate) fn choose(
    known: &mut HashMap<Uuid, Option<Stamp>>,
    message: &MessageReceived,
) -> Result<Option<Names>, TicketError> {
    let id =
        Uuid::parse_str(&message.message_id).map_err(|_| TicketError::BadEvent("message_id"))?;
    let stamp = Stamp::of(message);
    let names = match known.get(&id) {
        None => Some(Names::first(message, id)),
        Some(first) => match (first, &stamp) {
            (Some(first), Some(stamp)) if !first.same(stamp) => {
                Names::other(message, id).filter(|other| !known.contains_key(&other.id))
            }
            _ => None,
        },
    };
    if let Some(names) = &names {
        known.insert(names.id, stamp);
    }
    Ok(names)
}

impl Stamp {
    /// The stamp of `message`; `None` on channels whose platform gives out the ids.
    pub(crate) fn of(message: &MessageReceived) -> Option<Self> {
        let sent = message.sent_time.as_ref().map(from_proto_time);
        (message.channel() == Channel::Email).then(|| Self {
            sender: sender_address(message),
            subject: message.subject.clone(),
            text: hex::encode(Sha256::digest(&message.text)),
            sent: sent.map(jiff::Timestamp::as_microsecond),
            attachments: message
                .attachments
                .iter()
                .map(|it| it.sha256.clone())
                .collect(),
            raw: message
                .raw
                .as_ref()
                .map(|raw| raw.sha256.clone())
                .unwrap_or_default(),
        })
    }

    /// Whether both are of one mail. Equal originals are, even if another release read another text out of one;
    /// servers on the way add headers, so originals may differ.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let originals = !self.raw.is_empty() && self.raw == other.raw;
        let contents = self.subject == other.subject
            && self.text == other.text
            && self.sent == other.sent
            && self.attachments == other.attachments;
        self.sender == other.sender && (originals || contents)
    }

    /// The same each time that this mail comes, and no other's.
    pub(super) fn derive(&self, id: Uuid) -> Uuid {
        let sent = self.sent.map(|sent| sent.to_string()).unwrap_or_default();
        let mut name = Vec::new();
        let parts = [&self.sender, &self.subject, &self.text, &sent];
        for part in parts.into_iter().chain(&self.attachments) {
            name.extend_from_slice(&(part.len() as u64).to_be_bytes());
            name.extend_from_slice(part.as_bytes());
        }
        Uuid::new_v5(&id, &name)
    }
}

impl Names {
    /// The names that the first message under its id has.
    pub(crate) fn first(message: &MessageReceived, id: Uuid) -> Self {
        Self {
            id,
            external_id: message.external_id.clone(),
            message_id_header: String::new(),
        }
    }

    /// The names that it has if the id is taken; `None` where an id is never used twice.
    pub(crate) fn other(message: &MessageReceived, id: Uuid) -> Option<Self> {
        let other = Stamp::of(message)?.derive(id);
        let mark = other.simple().to_string();
        Some(Self {
            id: other,
            external_id: format!("{}#{}", message.external_id, &mark[..MARK]),
            message_id_header: message.external_id.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solmu_proto::inbound::v1::RawOriginal;

    #[test]
    fn another_text_is_another_message_each_time_under_the_same_id() {
        let mail = MessageReceived {
            channel: Channel::Email.into(),
            external_id: "x@y".to_owned(),
            text: "one".to_owned(),
            ..MessageReceived::default()
        };
        let two = MessageReceived {
            text: "two".to_owned(),
            ..mail.clone()
        };
        let id = Uuid::from_u128(1);
        let same = |a: &MessageReceived, b: &MessageReceived| {
            Stamp::of(a).unwrap().same(&Stamp::of(b).unwrap())
        };
        assert!(same(&mail, &mail) && !same(&mail, &two));
        let raw = |it: &MessageReceived| MessageReceived {
            raw: Some(RawOriginal {
                sha256: "ab".to_owned(),
                ..RawOriginal::default()
            }),
            ..it.clone()
        };
        assert!(same(&raw(&mail), &raw(&two)) && same(&raw(&mail), &mail));
        let names = Names::other(&two, id).unwrap();
        assert_eq!(names, Names::other(&two, id).unwrap());
        assert_ne!(names.id, Names::other(&mail, id).unwrap().id);
        assert!(names.external_id.starts_with("x@y#") && names.message_id_header == "x@y");
        let chat = MessageReceived {
            channel: Channel::Chat.into(),
            ..two
        };
        assert!(Stamp::of(&chat).is_none() && Names::other(&chat, id).is_none());
    }
}

//! A visitor's message as the event that every channel makes.
//!
//! The token proves the session and nothing about the person: the session is a PROVEN identity of its own kind, and a
//! typed e-mail address is CLAIMED, so that it opens nobody's history.

use jiff::Timestamp;
use serde_json::json;
use solmu_bus::envelope::to_proto_time;
use solmu_connector::{channel_name, object_store::ObjectRef};
use solmu_domain::{contact::EmailAddress, ids::MessageId};
use solmu_proto::{
    inbound::v1::{
        Authenticity, ContentKind, MessageReceived, RawOriginal, Sender, authenticity::Verdict,
        raw_original::Place,
    },
    types::v1::{Assurance, AutomaticClass, Channel, Identity, IdentityKind},
};
use solmu_text as text;

use crate::session::Session;

/// Characters of a subject.
const SUBJECT_MAX: usize = 78;

/// What was said, and when.
#[derive(Debug)]
pub(crate) struct Spoken<'a> {
    pub(crate) client_msg_id: &'a str,
    pub(crate) text: &'a str,
    /// What the visitor's clock says.
    pub(crate) sent: Option<Timestamp>,
    pub(crate) at: Timestamp,
}

/// Makes the event.
pub(crate) fn message(session: &Session, spoken: &Spoken<'_>) -> MessageReceived {
    let id = session.id.to_string();
    let external_id = format!("{id}:{}", spoken.client_msg_id);
    let channel = channel_name(Channel::Chat);
    let mut identities = vec![Identity {
        kind: IdentityKind::ChatSession.into(),
        value: id.clone(),
        raw: id.clone(),
        assurance: Assurance::Proven.into(),
        attested_by: "session-token".to_owned(),
        scope: session.inbox.clone(),
        ..Identity::default()
    }];
    if let Ok(address) = EmailAddress::parse(&session.visitor.email) {
        identities.push(Identity {
            kind: IdentityKind::Email.into(),
            value: address.as_str().to_owned(),
            raw: session.visitor.email.clone(),
            assurance: Assurance::Claimed.into(),
            attested_by: "chat-visitor".to_owned(),
            ..Identity::default()
        });
    }
    let raw = json!({"client_msg_id": spoken.client_msg_id, "text": spoken.text})
        .to_string()
        .into_bytes();
    let object = ObjectRef::of(&raw);
    let first_line = spoken.text.lines().next().unwrap_or_default();
    let language =
        text::language(spoken.text).map_or_else(|| session.language.clone(), str::to_owned);
    MessageReceived {
        message_id: MessageId::of_inbound(channel, &session.inbox, &external_id).to_string(),
        channel: Channel::Chat.into(),
        account: session.inbox.clone(),
        external_id,
        conversation_key: id,
        sender: Some(Sender {
            display_name: session.visitor.name.clone(),
            identities,
        }),
        subject: text::truncate_chars(first_line, SUBJECT_MAX).to_owned(),
        text: spoken.text.to_owned(),
        sent_time: spoken.sent.map(to_proto_time),
        received_time: Some(to_proto_time(spoken.at)),
        authenticity: Some(Authenticity {
            verdict: Verdict::Verified.into(),
            method: "session-token".to_owned(),
            ..Authenticity::default()
        }),
        automatic_class: AutomaticClass::Human.into(),
        raw: Some(RawOriginal {
            content_type: "application/json".to_owned(),
            size_bytes: i64::try_from(object.size).unwrap_or(i64::MAX),
            sha256: object.sha256,
            place: Some(Place::Inline(raw)),
        }),
        language,
        content_kind: ContentKind::Message.into(),
        ..MessageReceived::default()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::frame::Visitor;

    #[test]
    fn the_session_is_proven_and_the_address_is_not() {
        let visitor = Visitor {
            name: "Aino".to_owned(),
            email: "Aino@Example.fi".to_owned(),
        };
        let session = Session {
            id: Uuid::from_u128(1),
            inbox: "main".to_owned(),
            visitor,
            language: "fi".to_owned(),
            last_seq: 0,
        };
        let spoken = Spoken {
            client_msg_id: "c1",
            text: "Hei\nsinä",
            sent: None,
            at: Timestamp::UNIX_EPOCH,
        };
        let event = message(&session, &spoken);
        let identities = &event.sender.as_ref().unwrap().identities;
        assert_eq!(
            (identities[0].assurance(), identities[0].scope.as_str()),
            (Assurance::Proven, "main")
        );
        assert_eq!(
            (identities[1].assurance(), identities[1].value.as_str()),
            (Assurance::Claimed, "aino@example.fi")
        );
        assert_eq!(
            (
                event.subject.as_str(),
                event.text.as_str(),
                event.language.as_str()
            ),
            ("Hei", "Hei\nsinä", "fi")
        );
        assert_eq!(event.conversation_key, session.id.to_string());
        assert_eq!(
            event,
            message(&session, &spoken),
            "the same message has the same id"
        );
    }
}

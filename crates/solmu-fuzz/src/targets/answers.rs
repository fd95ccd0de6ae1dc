//! What we send: subjects, names, ids and texts come from customers, and none of them may write a header of its own.

use solmu_email::outgoing::build;
use solmu_mime::{parse::parse, reply_address::own_message};
use solmu_proto::{
    outbound::v1::{MessageQueued, Quoted},
    types::v1::{Channel, Identity, IdentityKind, Mailbox},
};

use super::{
    Target,
    desk::{Desk, now},
    size_class, way,
};
use crate::seeds;

/// Octets of a line (RFC 5322 section 2.1.1), its end not counted.
const LINE_MAX: usize = 998;
/// Fields that a mail has at most once (RFC 5322 section 3.6).
const ONCE: [&str; 12] = [
    "from",
    "to",
    "cc",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "x-solmu-instance",
];

/// A message in lines: subject, recipient's name, recipient, our name, ids, copies, then the text.
#[derive(Debug, Default)]
pub(super) struct AnswerTarget {
    desk: Desk,
}

impl Target for AnswerTarget {
    fn name(&self) -> &'static str {
        "answers"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        seeds::answers()
    }

    fn words(&self) -> &'static [&'static str] {
        &seeds::ANSWER_WORDS
    }

    fn longest(&self) -> usize {
        32 * 1024
    }

    fn read(&mut self, input: &[u8]) -> u64 {
        let text = String::from_utf8_lossy(input);
        // A unit separator ends a field, so that a field can have line ends in it.
        let mut fields = text.split('\u{1f}').map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        let message = message(&mut next);
        let files = Vec::new();
        let built = build(
            &message,
            &self.desk.account,
            &self.desk.accounts,
            &self.desk.signer,
            now(),
            files,
        );
        let built = match built {
            Ok(built) => built,
            Err(error) => return way(error.code()),
        };
        check_bytes(&built.bytes);
        let mail = parse(&built.bytes, &self.desk.limits);
        for name in ONCE {
            assert!(
                mail.fields.all(name).count() <= 1,
                "{name} stands there twice"
            );
        }
        for name in ["bcc", "x-evil", "sender", "resent-to"] {
            assert!(!mail.fields.has(name), "{name} was smuggled in");
        }
        assert!(
            mail.message_id.as_ref() == Some(&built.message_id),
            "another Message-ID"
        );
        assert!(
            own_message(&built.message_id, &self.desk.signer).is_some(),
            "a Message-ID that we do not know"
        );
        assert_eq!(mail.to.len(), 1, "other recipients than one");
        assert!(mail.from.len() == 1, "other authors than one");
        way((
            built.mail_from.is_some(),
            built.copies.len().min(4),
            size_class(mail.references.len()),
            mail.in_reply_to.len(),
            (mail.subject.is_ascii(), size_class(mail.subject.len())),
            (
                mail.text.is_ascii(),
                size_class(mail.text.len()),
                mail.html.is_empty(),
            ),
            &mail.content_type,
        ))
    }
}

fn message(next: &mut impl FnMut() -> String) -> MessageQueued {
    let (subject, recipient_name, recipient) = (next(), next(), next());
    let (from_name, ids, copies) = (next(), next(), next());
    let (html, text) = (next(), next());
    let mut ids = ids.split(' ').map(str::to_owned);
    MessageQueued {
        message_id: "01900000-0000-7000-8000-000000000002".to_owned(),
        ticket_id: "01900000-0000-7000-8000-000000000001".to_owned(),
        ticket_number: 12,
        channel: Channel::Email.into(),
        account: "main".to_owned(),
        recipient: Some(Identity {
            kind: IdentityKind::Email.into(),
            value: recipient.to_lowercase(),
            raw: recipient.clone(),
            ..Identity::default()
        }),
        in_reply_to: ids.next().unwrap_or_default(),
        references: ids.collect(),
        cc: copies
            .split(' ')
            .filter(|address| !address.is_empty())
            .take(20)
            .map(|address| Mailbox {
                name: recipient_name.clone(),
                address: address.to_owned(),
            })
            .collect(),
        quoted: Some(Quoted {
            author_name: recipient_name.clone(),
            author_address: recipient,
            text: text.clone(),
            ..Quoted::default()
        }),
        language: "fi".to_owned(),
        automatic: subject.ends_with('!'),
        subject,
        recipient_name,
        from_name,
        text,
        html,
        ..MessageQueued::default()
    }
}

/// Lines end as RFC 5321 section 2.3.8 wants it and are not too long: a relay would change or refuse others.
fn check_bytes(bytes: &[u8]) {
    let mut before = 0;
    let mut length = 0;
    for byte in bytes {
        match byte {
            b'\n' => {
                assert!(before == b'\r', "a bare line feed");
                length = 0;
            }
            b'\r' => assert!(before != b'\r', "a bare carriage return"),
            0 => panic!("a NUL"),
            _ => {
                assert!(before != b'\r', "a bare carriage return");
                length += 1;
                assert!(length <= LINE_MAX, "a line that is too long");
            }
        }
        before = *byte;
    }
}

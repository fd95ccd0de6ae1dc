//! A post as the event that every channel makes.
//!
//! Everything in it is the sender's claim: a form proves nothing, so the address is CLAIMED and opens nobody's history.
//! Its ids come from the page's nonce and the content: the same post again is the same message, and a corrected one
//! (the visitor went back, changed a word and sent again) is a second message of the same conversation. With the nonce
//! alone as id, the correction would be thanked for and lost. Another e-mail address is another conversation: answers
//! go to the first one's, so that a mended address would get none and a shared screen's next visitor a stranger's.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use solmu_bus::envelope::to_proto_time;
use solmu_connector::{channel_name, object_store::ObjectRef};
use solmu_domain::{contact::EmailAddress, ids::MessageId};
use solmu_proto::{
    inbound::v1::{
        Authenticity, ContentKind, MessageReceived, RawOriginal, Sender, authenticity::Verdict,
        raw_original::Place,
    },
    types::v1::{Assurance, AutomaticClass, Channel, Identity, IdentityKind, Mailbox},
};
use solmu_text as text;

use crate::{
    config::Widget,
    definition::{Form, plain},
    submission::Submission,
};

/// Name of the channel in ids.
const CHANNEL: &str = channel_name(Channel::Form);
/// Crockford's base32: no I, L, O, U, so that a reference survives the telephone.
const REFERENCE_ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What a post is, besides its fields.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    pub(crate) nonce: &'a str,
    pub(crate) language: &'a str,
    pub(crate) content_type: &'static str,
    pub(crate) raw: &'a Bytes,
    pub(crate) at: Timestamp,
}

/// The code that the customer is shown: the same for every post of one page.
pub(crate) fn reference(form: &str, nonce: &str) -> String {
    let id = MessageId::of_inbound(CHANNEL, form, nonce).as_uuid();
    // 50 bits: with a million posts the chance that any two share a code is 1 in 2,000. It is a help, not a key.
    let bits = u64::from_be_bytes(id.as_bytes()[..8].try_into().expect("a UUID has 16 bytes"));
    let mut code = String::with_capacity(11);
    for position in 0..10 {
        if position == 5 {
            code.push('-');
        }
        code.push(char::from(
            REFERENCE_ALPHABET[((bits >> (59 - 5 * position)) & 31) as usize],
        ));
    }
    code
}

/// Whether a text has the shape of a reference.
pub(crate) fn is_reference(text: &str) -> bool {
    text.len() == 11
        && text.bytes().enumerate().all(|(at, byte)| {
            if at == 5 {
                byte == b'-'
            } else {
                REFERENCE_ALPHABET.contains(&byte)
            }
        })
}

/// The sender's e-mail address, if the form asks for one and it is one.
pub(crate) fn email(form: &Form, fields: &Map<String, Value>) -> Option<EmailAddress> {
    let name = form.definition.email_field.as_ref()?;
    EmailAddress::parse(fields.get(name)?.as_str()?).ok()
}

/// Makes the event.
pub(crate) fn message(form: &Form, post: &Submission, received: &Received<'_>) -> MessageReceived {
    let external_id = format!("{}.{}", received.nonce, fingerprint(&post.fields));
    let text_of = |name: &Option<String>| {
        name.as_ref()
            .and_then(|name| post.fields.get(name)?.as_str())
            .unwrap_or_default()
    };
    let name = text_of(&form.definition.name_field).to_owned();
    let address = email(form, &post.fields);
    let identities = address.iter().map(|address| Identity {
        kind: IdentityKind::Email.into(),
        value: address.as_str().to_owned(),
        raw: text_of(&form.definition.email_field).to_owned(),
        assurance: Assurance::Claimed.into(),
        attested_by: "form-field".to_owned(),
        ..Identity::default()
    });
    let reply_to = address.iter().map(|address| Mailbox {
        name: name.clone(),
        address: address.as_str().to_owned(),
    });
    let body = body(form, &post.fields);
    let object = ObjectRef::of(received.raw);
    MessageReceived {
        message_id: MessageId::of_inbound(CHANNEL, form.id(), &external_id).to_string(),
        channel: Channel::Form.into(),
        account: form.id().to_owned(),
        external_id,
        conversation_key: conversation_key(received.nonce, address.as_ref()),
        reply_to: reply_to.collect(),
        sender: Some(Sender {
            display_name: name.clone(),
            identities: identities.collect(),
        }),
        subject: form.subject(&post.fields),
        language: text::language(&body)
            .unwrap_or(received.language)
            .to_owned(),
        text: body,
        received_time: Some(to_proto_time(received.at)),
        authenticity: Some(Authenticity {
            verdict: Verdict::Unverified.into(),
            method: "none".to_owned(),
            ..Authenticity::default()
        }),
        automatic_class: AutomaticClass::Human.into(),
        raw: Some(RawOriginal {
            content_type: received.content_type.to_owned(),
            size_bytes: i64::try_from(object.size).unwrap_or(i64::MAX),
            sha256: object.sha256,
            place: Some(Place::Inline(received.raw.to_vec())),
        }),
        notices: vec![format!(
            "reference given to the customer: {}",
            reference(form.id(), received.nonce)
        )],
        content_kind: ContentKind::Message.into(),
        fields_json: fields_json(post),
        ..MessageReceived::default()
    }
}

/// The page's nonce, with a digest of the address: keys stand in subjects and logs.
fn conversation_key(nonce: &str, address: Option<&EmailAddress>) -> String {
    address.map_or_else(
        || nonce.to_owned(),
        |address| format!("{nonce}.{}", short_digest(address.as_str().as_bytes())),
    )
}

/// Sixteen hexadecimal digits of the content, whatever the order of its keys.
fn fingerprint(fields: &Map<String, Value>) -> String {
    let sorted: std::collections::BTreeMap<_, _> = fields.iter().collect();
    let bytes = serde_json::to_vec(&sorted).expect("JSON values with text keys always encode");
    short_digest(&bytes)
}

fn short_digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let first: [u8; 8] = digest[..8].try_into().expect("SHA-256 has 32 bytes");
    format!("{:016x}", u64::from_be_bytes(first))
}

fn fields_json(post: &Submission) -> String {
    let mut all = post.fields.clone();
    if !post.meta.is_empty() {
        all.insert("_meta".to_owned(), Value::Object(post.meta.clone()));
    }
    Value::Object(all).to_string()
}

/// The fields with their labels, in the form's default language: agents read all posts of a form alike.
fn body(form: &Form, fields: &Map<String, Value>) -> String {
    let language = &form.definition.default_language;
    let mut text = String::new();
    for field in &form.fields {
        let Some(value) = fields.get(&field.name) else {
            continue;
        };
        let shown = match value {
            Value::Bool(true) => "✓".to_owned(),
            Value::Bool(false) => "–".to_owned(),
            Value::Array(chosen) => chosen
                .iter()
                .map(|value| form.option_label(field, value, language))
                .collect::<Vec<_>>()
                .join(", "),
            _ if field.options.is_empty() => plain(value),
            value => form.option_label(field, value, language),
        };
        let label = form.label(field, language);
        let block = field.widget == Widget::Textarea;
        let entry = if block {
            format!("\n{label}:\n{shown}\n")
        } else {
            format!("{label}: {shown}\n")
        };
        text.push_str(&entry);
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{builtin, submission::from_json};

    fn made(body: Value, nonce: &str) -> MessageReceived {
        let form = Form::compile(builtin::contact()).unwrap();
        let post = from_json(&form, body).unwrap();
        let raw = Bytes::from_static(b"raw");
        let received = Received {
            nonce,
            language: "fi",
            content_type: "application/json",
            raw: &raw,
            at: Timestamp::UNIX_EPOCH,
        };
        message(&form, &post, &received)
    }

    #[test]
    fn everything_is_a_claim() {
        let message = made(
            json!({"name": "Aino", "email": "Aino@Example.FI", "subject": "Hei", "message": "rivi 1\nrivi 2", "_meta": {"page_url": "u"}}),
            "n",
        );
        let sender = message.sender.clone().unwrap();
        assert_eq!(sender.display_name, "Aino");
        let identity = &sender.identities[0];
        assert_eq!(
            (identity.value.as_str(), identity.raw.as_str()),
            ("aino@example.fi", "Aino@Example.FI")
        );
        assert_eq!(
            (identity.assurance(), identity.attested_by.as_str()),
            (Assurance::Claimed, "form-field")
        );
        assert_eq!(
            message.text,
            "Your name: Aino\nE-mail address: Aino@Example.FI\nSubject: Hei\n\nMessage:\nrivi 1\nrivi 2"
        );
        assert_eq!(message.subject, "Hei");
        assert_eq!(message.language, "fi");
        let fields: Value = serde_json::from_str(&message.fields_json).unwrap();
        assert_eq!(fields["_meta"]["page_url"], "u");
        assert_eq!(message.raw.unwrap().size_bytes, 3);
    }

    #[test]
    fn the_same_post_is_the_same_message_and_a_corrected_one_a_second_of_the_conversation() {
        let first = made(json!({"name": "a", "message": "m"}), "n");
        let again = made(json!({"message": "m", "name": "a"}), "n");
        let corrected = made(json!({"name": "a", "message": "m!"}), "n");
        assert_eq!(first.message_id, again.message_id);
        assert_ne!(first.message_id, corrected.message_id);
        assert_eq!(first.conversation_key, corrected.conversation_key);
        assert_eq!(first.notices, corrected.notices);
        assert_ne!(
            first.message_id,
            made(json!({"name": "a", "message": "m"}), "other").message_id
        );
    }

    #[test]
    fn another_address_is_another_conversation() {
        let first = made(
            json!({"name": "a", "email": "a@x.example", "message": "m"}),
            "n",
        );
        let more = made(
            json!({"name": "a", "email": "A@X.example", "message": "m!"}),
            "n",
        );
        let other = made(
            json!({"name": "b", "email": "b@x.example", "message": "m"}),
            "n",
        );
        assert_eq!(first.conversation_key, more.conversation_key);
        assert_ne!(first.conversation_key, other.conversation_key);
    }

    #[test]
    fn references() {
        let code = reference("contact", "n");
        assert!(is_reference(&code), "{code}");
        assert_eq!(code, reference("contact", "n"));
        assert_ne!(code, reference("order", "n"));
        assert!(!is_reference("<script>xx") && !is_reference("ABCDE-FGHIJ"));
    }
}

//! A customer's message: one element of `messages[]`.
//!
//! Every type becomes text that an agent can read, because an unknown type must still be seen. Since 2026 a customer
//! may hide the phone number: the business-scoped user id (BSUID, `FI.1349...`) is then the only name, so it is the key
//! of a contact where it is there, and the number is one more identity that ties it to what was known before.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use solmu_bus::envelope::to_proto_time;
use solmu_proto::{
    inbound::v1::{ContentKind, MessageReceived, Sender, Threading},
    types::v1::{Assurance, Attachment, AutomaticClass, Identity, IdentityKind},
};
use solmu_text as text;

use super::envelope::Change;
use crate::{batch::new_message, json};

mod content;

use content::Content;

/// Reads one message; nothing if it names no sender.
pub(crate) fn read(change: &Change<'_>, element: &Value) -> Option<MessageReceived> {
    let sender = SenderIds::of(change, element)?;
    let kind = json::text_or_empty(element, "type");
    let content = content::read(&kind, element);
    let mut message = new_message(Change::CHANNEL, &change.route.account);
    message.external_id = json::text(element, "id").unwrap_or_else(|| stable_id(element));
    message.conversation_key = match json::text(element, "group_id") {
        Some(group) => format!("{}:group:{group}", change.number),
        None => format!("{}:{}", change.number, sender.key),
    };
    message.sender = Some(sender.into_sender(change));
    message.delivered_to.extend(
        json::text(change.value, "metadata.display_phone_number").map(|number| e164(&number)),
    );
    message.sent_time = json::instant(element, "timestamp").map(to_proto_time);
    message.notices = notices(change, element);
    message.threading = threading(element, content.about.clone());
    apply(&mut message, content);
    Some(message)
}

fn apply(message: &mut MessageReceived, content: Content) {
    message.text = text::clean(&content.text).into_owned();
    message.language = text::language(&message.text).unwrap_or_default().to_owned();
    message.content_kind = content.kind.into();
    message.attachments = content.attachment.into_iter().collect();
    message.notices.extend(content.notices);
    message.fields_json = content.fields_json;
    if let Some(reason) = content.report {
        message.automatic_class = AutomaticClass::Report.into();
        reason.clone_into(&mut message.automatic_reason);
    }
    if let Some(number) = content.new_number {
        // The customer has a new number: both are theirs, says the platform.
        let sender = message.sender.get_or_insert_with(Sender::default);
        sender.identities.push(whatsapp_identity(&number, ""));
        sender.identities.push(phone_identity(&number));
    }
}

/// Ids of a sender, as far as they are known.
struct SenderIds {
    /// BSUID, else the WhatsApp number.
    key: String,
    user_id: Option<String>,
    number: Option<String>,
    name: String,
}

impl SenderIds {
    fn of(change: &Change<'_>, element: &Value) -> Option<Self> {
        // A sender without a number may stand in `from` with the BSUID.
        let (from_number, from_user) = match json::text(element, "from") {
            Some(from) if is_user_id(&from) => (None, Some(from)),
            from => (from, None),
        };
        let user_id = json::text(element, "from_user_id").or(from_user);
        let contacts = json::list(change.value, "contacts");
        let same = |contact: &&Value, name: &str, wanted: &Option<String>| {
            wanted.is_some() && json::text(contact, name) == *wanted
        };
        let contact = contacts.iter().find(|contact| {
            same(contact, "user_id", &user_id) || same(contact, "wa_id", &from_number)
        });
        let user_id =
            user_id.or_else(|| contact.and_then(|contact| json::text(contact, "user_id")));
        let number = from_number
            .or_else(|| contact.and_then(|contact| json::text(contact, "wa_id")))
            .filter(|number| !is_user_id(number));
        // A name does no harm on the wrong contact; an id would. So only the name is taken from one that fits nobody.
        let named = contact.or(if let [only] = contacts {
            Some(only)
        } else {
            None
        });
        let name = named
            .and_then(|contact| {
                json::text(contact, "profile.name")
                    .or_else(|| json::text(contact, "profile.username"))
            })
            .unwrap_or_default();
        Some(Self {
            key: user_id.clone().or_else(|| number.clone())?,
            user_id,
            number,
            name,
        })
    }

    fn into_sender(self, change: &Change<'_>) -> Sender {
        let user = self
            .user_id
            .map(|id| whatsapp_identity(&id, &change.route.account));
        let number = self.number.filter(|number| is_number(number));
        let identities = match (user, number) {
            (Some(user), Some(number)) => vec![user, phone_identity(&number)],
            (Some(user), None) => vec![user],
            (None, Some(number)) => vec![whatsapp_identity(&number, ""), phone_identity(&number)],
            (None, None) => vec![whatsapp_identity(&self.key, "")],
        };
        Sender {
            display_name: text::clean(&self.name).into_owned(),
            identities,
        }
    }
}

/// BSUIDs are a country, a dot, and letters and digits; with a portfolio also `US.ENT.118...`.
fn is_user_id(text: &str) -> bool {
    text.split_once('.').is_some_and(|(country, rest)| {
        country.len() == 2
            && country.bytes().all(|byte| byte.is_ascii_uppercase())
            && !rest.is_empty()
    })
}

fn is_number(text: &str) -> bool {
    (6..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `scope` is our account for BSUIDs, which hold within one business only.
fn whatsapp_identity(value: &str, scope: &str) -> Identity {
    Identity {
        kind: IdentityKind::Whatsapp.into(),
        value: value.to_owned(),
        raw: value.to_owned(),
        assurance: Assurance::Proven.into(),
        attested_by: "whatsapp".to_owned(),
        scope: scope.to_owned(),
        ..Identity::default()
    }
}

fn phone_identity(number: &str) -> Identity {
    Identity {
        kind: IdentityKind::Phone.into(),
        value: e164(number),
        ..whatsapp_identity(number, "")
    }
}

/// WhatsApp writes numbers without the plus.
fn e164(number: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    format!("+{digits}")
}

/// An id for a message that came without one: the same for each delivery of it.
fn stable_id(element: &Value) -> String {
    format!(
        "sha256:{}",
        hex::encode(Sha256::digest(element.to_string()))
    )
}

fn threading(element: &Value, about: Option<String>) -> Option<Threading> {
    let answers = about.or_else(|| json::text(element, "context.id"))?;
    Some(Threading {
        in_reply_to: vec![answers],
        ..Threading::default()
    })
}

fn notices(change: &Change<'_>, element: &Value) -> Vec<String> {
    let mut notices = Vec::new();
    if !change.route.known {
        notices.push(format!(
            "came to a number that is not configured: phone_number_id {}",
            change.number
        ));
    }
    if json::flag(element, "context.frequently_forwarded") {
        notices.push("forwarded many times".to_owned());
    } else if json::flag(element, "context.forwarded") {
        notices.push("forwarded".to_owned());
    }
    if let Some(product) = json::text(element, "context.referred_product.product_retailer_id") {
        notices.push(format!("asks about product {product}"));
    }
    if let Some(referral) = json::object(element, "referral") {
        let headline =
            json::text(referral, "headline").or_else(|| json::text(referral, "source_url"));
        notices.push(format!(
            "came from an advertisement: {}",
            headline.unwrap_or_default()
        ));
    }
    for error in json::list(element, "errors") {
        let title = json::text(error, "error_data.details").or_else(|| json::text(error, "title"));
        notices.push(format!(
            "WhatsApp says: {} ({})",
            title.unwrap_or_default(),
            json::text_or_empty(error, "code")
        ));
    }
    notices
}

/// A file that the vendor has: its id is kept in `content_id`, and there is no object key.
fn attachment(kind: &str, media: &Value) -> Option<Attachment> {
    let id = json::text(media, "id")?;
    let content_type =
        json::text(media, "mime_type").unwrap_or_else(|| "application/octet-stream".to_owned());
    let sha256 = json::text(media, "sha256")
        .and_then(|text| BASE64.decode(text).ok())
        .filter(|hash| hash.len() == 32);
    Some(Attachment {
        filename: json::text(media, "filename")
            .unwrap_or_else(|| format!("{kind}.{}", extension(&content_type))),
        sha256: sha256.map(hex::encode).unwrap_or_default(),
        content_id: id,
        content_type,
        ..Attachment::default()
    })
}

fn extension(content_type: &str) -> &'static str {
    match content_type.split(';').next().unwrap_or_default().trim() {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/webp" => "webp",
        "audio/ogg" => "ogg",
        "audio/mpeg" => "mp3",
        "audio/mp4" => "m4a",
        "audio/aac" => "aac",
        "audio/amr" => "amr",
        "video/mp4" => "mp4",
        "video/3gpp" => "3gp",
        "application/pdf" => "pdf",
        _ => "bin",
    }
}

/// The kind of content that no agent can read here.
const UNSUPPORTED: ContentKind = ContentKind::Unsupported;

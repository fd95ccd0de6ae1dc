//! What a message says, by its type (Cloud API webhooks, `messages[].type`).

use std::fmt::Write as _;

use serde_json::Value;
use solmu_proto::{inbound::v1::ContentKind, types::v1::Attachment};

use super::{UNSUPPORTED, attachment};
use crate::json;

/// Told to the agent: the file itself is not here.
pub(crate) const NOT_FETCHED: &str = "the file is still with the vendor";

/// What a message says.
pub(super) struct Content {
    pub(super) kind: ContentKind,
    pub(super) text: String,
    pub(super) attachment: Option<Attachment>,
    pub(super) notices: Vec<String>,
    pub(super) fields_json: String,
    /// The earlier message that it is about, for edits, deletions and reactions.
    pub(super) about: Option<String>,
    /// Set for what the platform reports, with its name.
    pub(super) report: Option<String>,
    /// The customer's new number.
    pub(super) new_number: Option<String>,
}

impl Content {
    fn of(text: impl Into<String>) -> Self {
        Self {
            kind: ContentKind::Message,
            text: text.into(),
            attachment: None,
            notices: Vec::new(),
            fields_json: String::new(),
            about: None,
            report: None,
            new_number: None,
        }
    }

    fn about(kind: ContentKind, about: Option<String>, text: impl Into<String>) -> Self {
        Self {
            kind,
            about,
            ..Self::of(text)
        }
    }
}

/// Reads the content of a message of type `kind`.
pub(super) fn read(kind: &str, element: &Value) -> Content {
    let part = json::object(element, kind);
    let found = part.and_then(|part| match kind {
        "text" => json::text(part, "body").map(Content::of),
        "image" | "video" | "document" | "audio" | "sticker" => Some(media(kind, part)),
        "location" => Some(Content::of(location(part))),
        "interactive" => interactive(part),
        "button" => json::text(part, "text")
            .or_else(|| json::text(part, "payload"))
            .map(Content::of),
        "order" => Some(Content::of(order(part))),
        "system" => Some(system(part)),
        "reaction" => Some(Content::about(
            ContentKind::Reaction,
            json::text(part, "message_id"),
            json::text_or_empty(part, "emoji"),
        )),
        "edit" => Some(edit(part)),
        "revoke" => Some(Content::about(
            ContentKind::Deletion,
            json::text(part, "original_message_id"),
            "",
        )),
        _ => None,
    });
    match found {
        Some(content) => content,
        None if kind == "contacts" => Content::of(contacts(json::list(element, "contacts"))),
        None => unsupported(kind, element),
    }
}

fn media(kind: &str, part: &Value) -> Content {
    let attachment = attachment(kind, part);
    let label = if kind == "audio" && json::flag(part, "voice") {
        "voice message"
    } else {
        kind
    };
    let text = json::text(part, "caption").unwrap_or_else(|| format!("[{label}]"));
    let notices = attachment.iter().map(|_| NOT_FETCHED.to_owned()).collect();
    Content {
        attachment,
        notices,
        ..Content::of(text)
    }
}

fn location(part: &Value) -> String {
    let mut lines: Vec<String> = ["name", "address", "url"]
        .iter()
        .filter_map(|name| json::text(part, name))
        .collect();
    if let (Some(latitude), Some(longitude)) =
        (json::text(part, "latitude"), json::text(part, "longitude"))
    {
        lines.push(format!("{latitude}, {longitude}"));
    }
    format!("[location]\n{}", lines.join("\n"))
}

fn contacts(cards: &[Value]) -> String {
    let mut text = "[contacts]".to_owned();
    for card in cards {
        let name =
            json::text(card, "name.formatted_name").or_else(|| json::text(card, "name.first_name"));
        let phones = json::list(card, "phones")
            .iter()
            .filter_map(|phone| json::text(phone, "phone"));
        let emails = json::list(card, "emails")
            .iter()
            .filter_map(|email| json::text(email, "email"));
        let company = json::text(card, "org.company");
        let details: Vec<String> = name
            .into_iter()
            .chain(company)
            .chain(phones)
            .chain(emails)
            .collect();
        write!(text, "\n{}", details.join(", ")).expect("writing to a String cannot fail");
    }
    text
}

fn interactive(part: &Value) -> Option<Content> {
    match json::text(part, "type")?.as_str() {
        "button_reply" => json::text(part, "button_reply.title").map(Content::of),
        "list_reply" => {
            let title = json::text(part, "list_reply.title")?;
            Some(Content::of(
                match json::text(part, "list_reply.description") {
                    Some(description) => format!("{title}\n{description}"),
                    None => title,
                },
            ))
        }
        "nfm_reply" => json::text(part, "nfm_reply.response_json").map(|fields| form(&fields)),
        _ => None,
    }
}

/// The answer of a form within WhatsApp: a JSON object in a text.
fn form(response: &str) -> Content {
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(response) else {
        return Content::of(response);
    };
    let shown = fields.iter().filter(|(name, _)| *name != "flow_token");
    let lines: Vec<String> = shown
        .map(|(name, value)| {
            format!(
                "{name}: {}",
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            )
        })
        .collect();
    Content {
        fields_json: response.to_owned(),
        ..Content::of(lines.join("\n"))
    }
}

fn order(part: &Value) -> String {
    let mut text = "[order]".to_owned();
    for item in json::list(part, "product_items") {
        let field = |name| json::text_or_empty(item, name);
        write!(
            text,
            "\n{} x {} at {} {}",
            field("quantity"),
            field("product_retailer_id"),
            field("item_price"),
            field("currency")
        )
        .expect("writing to a String cannot fail");
    }
    if let Some(note) = json::text(part, "text") {
        write!(text, "\n{note}").expect("writing to a String cannot fail");
    }
    text
}

/// The platform speaks, not the customer: attached to what is known, never a ticket of its own.
fn system(part: &Value) -> Content {
    let kind = json::text(part, "type").unwrap_or_else(|| "system".to_owned());
    let changed = matches!(
        kind.as_str(),
        "user_changed_number" | "customer_changed_number"
    );
    let new_number = if changed {
        json::text(part, "wa_id").or_else(|| json::text(part, "new_wa_id"))
    } else {
        None
    };
    Content {
        report: Some(kind),
        new_number,
        ..Content::of(json::text_or_empty(part, "body"))
    }
}

fn edit(part: &Value) -> Content {
    let about = json::text(part, "original_message_id");
    let Some(inner) = json::object(part, "message") else {
        return Content::about(ContentKind::Edit, about, "");
    };
    let kind = json::text_or_empty(inner, "type");
    // An edit within an edit is none: it would recurse as deep as somebody likes.
    let content = if kind == "edit" {
        unsupported(&kind, inner)
    } else {
        read(&kind, inner)
    };
    Content {
        kind: ContentKind::Edit,
        about,
        ..content
    }
}

fn unsupported(kind: &str, element: &Value) -> Content {
    let what = json::text(element, "unsupported.type").unwrap_or_else(|| kind.to_owned());
    let what = if what.is_empty() || what == "unsupported" {
        "a message".to_owned()
    } else {
        what
    };
    Content {
        kind: UNSUPPORTED,
        ..Content::of(format!(
            "[{what}: cannot be shown here, see it in WhatsApp]"
        ))
    }
}

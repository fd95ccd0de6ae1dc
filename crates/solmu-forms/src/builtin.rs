//! The form that is there without any setting: name, e-mail address, subject and message, in three languages.

use serde_json::json;

use crate::config::{FieldUi, FormDefinition, Localized, Widget};

/// Id of the built-in form.
pub const CONTACT: &str = "contact";

/// The contact form.
#[must_use]
pub fn contact() -> FormDefinition {
    FormDefinition {
        id: CONTACT.to_owned(),
        title: texts("Contact us", "Ota yhteyttä", "Kontakta oss"),
        intro: texts(
            "Write to us and we will answer by e-mail.",
            "Kirjoita meille, niin vastaamme sähköpostitse.",
            "Skriv till oss, så svarar vi per e-post.",
        ),
        thanks: texts(
            "We have your message and will answer by e-mail.",
            "Viestisi on perillä. Vastaamme sähköpostitse.",
            "Vi har fått ditt meddelande och svarar per e-post.",
        ),
        default_language: "en".to_owned(),
        schema: json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["name", "email", "subject", "message"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 200},
                "email": {"type": "string", "format": "email", "maxLength": 254},
                "subject": {"type": "string", "minLength": 1, "maxLength": 200},
                "message": {"type": "string", "minLength": 1, "maxLength": 10000}
            },
            "unevaluatedProperties": false
        }),
        fields: vec![
            field(
                "name",
                texts("Your name", "Nimesi", "Ditt namn"),
                Widget::Text,
                Some("name"),
            ),
            field(
                "email",
                texts("E-mail address", "Sähköpostiosoite", "E-postadress"),
                Widget::Email,
                Some("email"),
            ),
            field(
                "subject",
                texts("Subject", "Aihe", "Ämne"),
                Widget::Text,
                None,
            ),
            field(
                "message",
                texts("Message", "Viesti", "Meddelande"),
                Widget::Textarea,
                None,
            ),
        ],
        subject: "{{ subject }}".to_owned(),
        email_field: Some("email".to_owned()),
        name_field: Some("name".to_owned()),
        allowed_origins: Vec::new(),
        honeypot: "website".to_owned(),
        min_seconds: 3,
        max_hours: 24,
        json_without_token: false,
    }
}

fn field(name: &str, label: Localized, widget: Widget, autocomplete: Option<&str>) -> FieldUi {
    FieldUi {
        name: name.to_owned(),
        label,
        widget: Some(widget),
        autocomplete: autocomplete.map(str::to_owned),
        ..FieldUi::default()
    }
}

fn texts(en: &str, fi: &str, sv: &str) -> Localized {
    [("en", en), ("fi", fi), ("sv", sv)]
        .map(|(language, text)| (language.to_owned(), text.to_owned()))
        .into()
}

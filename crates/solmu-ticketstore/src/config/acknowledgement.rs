//! Settings of the automatic acknowledgement, and its templates.

use minijinja::{Environment, UndefinedBehavior, value::Serde};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest subject, in characters.
const MAX_SUBJECT: usize = 200;
/// Longest text, in bytes.
const MAX_TEXT: usize = 16 * 1024;

/// The automatic acknowledgement of a mail that opened a ticket. It goes to people only: never to automatic mail,
/// lists, senders whose checks failed, addresses of ours or such as take no mail.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Acknowledgement {
    /// Whether it is sent.
    pub enabled: bool,
    /// Template of the subject, with `{{number}}`, `{{subject}}` and `{{name}}`. Subject and name are left out where
    /// they hold a link: a stranger wrote them, and the answer may go to somebody else.
    pub subject: String,
    /// Template of the text, with the same values.
    pub text: String,
    /// A mail that was sent longer ago is not acknowledged, so that an import writes to nobody. In hours.
    pub max_age_hours: u32,
}

impl Default for Acknowledgement {
    fn default() -> Self {
        Self {
            enabled: false,
            subject: "[#{{number}}] We have got your message{% if subject %}: {{subject}}{% endif %}"
                .to_owned(),
            text: "Hello{% if name %} {{name}}{% endif %},\n\nwe have got your message. Its number is #{{number}}. \
                   We will answer as soon as we can; answer this mail if you want to add something.\n"
                .to_owned(),
            max_age_hours: 24,
        }
    }
}

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the template '{name}' cannot be used")]
pub struct TemplateError {
    name: &'static str,
    #[source]
    source: minijinja::Error,
}

/// What a template may name.
#[derive(Debug, Serialize)]
pub struct Values<'a> {
    /// The ticket's number.
    pub number: i64,
    /// What the mail is about; empty if that is not repeated.
    pub subject: &'a str,
    /// What the sender is called; empty if that is not repeated.
    pub name: &'a str,
}

impl Acknowledgement {
    /// Whether both templates can be used: called at start, so that a mistake is seen before a customer writes.
    pub(super) fn check(&self) -> Result<(), TemplateError> {
        let values = Values {
            number: 1000,
            subject: "subject",
            name: "name",
        };
        self.render(&values).map(|_| ())
    }

    /// Subject and text of an acknowledgement.
    pub fn render(&self, values: &Values<'_>) -> Result<(String, String), TemplateError> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        let render = |name, source: &str| {
            templates
                .render_named_str(name, source, Serde(values))
                .map_err(|source| TemplateError { name, source })
        };
        let subject = render("tickets.acknowledgement.subject", &self.subject)?;
        let mut text = render("tickets.acknowledgement.text", &self.text)?;
        let subject: String = subject
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_SUBJECT)
            .collect();
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        Ok((subject.trim().to_owned(), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_checked_and_cut() {
        Acknowledgement::default().check().unwrap();
        for text in ["{{ nobody }}", "{% if %}", "{% include 'etc' %}"] {
            let bad = Acknowledgement {
                text: text.to_owned(),
                ..Acknowledgement::default()
            };
            assert!(bad.check().is_err(), "{text}");
        }
        let split = Acknowledgement {
            subject: "a\r\nBcc: {{name}}".to_owned(),
            text: "x".repeat(2 * MAX_TEXT),
            ..Acknowledgement::default()
        };
        let values = Values {
            number: 1007,
            subject: "Invoice",
            name: "",
        };
        let (subject, text) = split.render(&values).unwrap();
        assert_eq!((subject.as_str(), text.len()), ("a  Bcc:", MAX_TEXT));
    }
}

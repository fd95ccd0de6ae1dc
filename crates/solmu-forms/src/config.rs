//! What an operator says about forms.
//!
//! A form is two things: the rules (JSON Schema 2020-12), which the server enforces, and a thin layer of words and
//! order, which only the page needs. They are kept apart so that a rule is never written twice.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, builtin};

/// Section `forms` of the configuration.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The forms. Without any setting there is one, "contact": name, e-mail address, subject and message.
    pub forms: Vec<FormDefinition>,
    /// JSON files with one more form each, in the notation of `forms`.
    pub files: Vec<PathBuf>,
    /// The most bytes that a post may have. At most 200,000, so that the original fits in the event.
    pub body_limit_bytes: usize,
    /// How often somebody may post.
    pub rate_limits: RateLimits,
    /// Networks (`10.0.0.0/8`, `::1`) whose `X-Forwarded-For` is believed. Empty: the peer's address counts.
    pub trusted_proxies: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            forms: vec![builtin::contact()],
            files: Vec::new(),
            body_limit_bytes: 64 * 1024,
            rate_limits: RateLimits::default(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// How often somebody may post, per process.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// Posts of one network address (one /64 for IPv6), whatever their outcome.
    pub per_address: Rate,
    /// Accepted posts that name one e-mail address.
    pub per_email: Rate,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            per_address: Rate {
                posts: 20,
                seconds: 60,
            },
            per_email: Rate {
                posts: 10,
                seconds: 600,
            },
        }
    }
}

/// A burst that refills evenly over a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Posts that may come at once. At least 1.
    pub posts: u32,
    /// Seconds in which so many refill. At least 1.
    pub seconds: u32,
}

/// A text per language (BCP 47 primary subtag, such as "fi").
pub type Localized = BTreeMap<String, String>;

/// One form.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FormDefinition {
    /// Its name in the address and the channel account of its messages: 1 to 64 of `a-z0-9_-`.
    pub id: String,
    /// Heading of the page. Its languages are the form's languages.
    pub title: Localized,
    /// Sentence under the heading.
    #[serde(default)]
    pub intro: Localized,
    /// Sentence of the thank-you page.
    #[serde(default)]
    pub thanks: Localized,
    /// Language of the text that agents read, and of visitors whose language the form does not have.
    #[serde(default = "english")]
    pub default_language: String,
    /// JSON Schema 2020-12 of the fields: an object whose properties are text, numbers, yes/no or lists of choices.
    /// Patterns are of the linear-time kind (no look-around).
    pub schema: Value,
    /// Order and words of the fields. Properties that are not named here follow in the schema's order.
    #[serde(default)]
    pub fields: Vec<FieldUi>,
    /// Subject of the ticket, a template over the fields.
    #[serde(default = "subject_template")]
    pub subject: String,
    /// The field with the sender's e-mail address, if the form has one.
    #[serde(default = "email_field")]
    pub email_field: Option<String>,
    /// The field with the sender's name, if the form has one.
    #[serde(default = "name_field")]
    pub name_field: Option<String>,
    /// Web sites (`https://www.example.com`) that may post JSON from a page or show the form in a frame.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// Name of the field that people do not see: who fills it in is a program. Not the name of a real field.
    #[serde(default = "honeypot")]
    pub honeypot: String,
    /// Seconds that a person needs at least to fill in the form.
    #[serde(default = "min_seconds")]
    pub min_seconds: u32,
    /// Hours that a page may stand open.
    #[serde(default = "max_hours")]
    pub max_hours: u32,
    /// Whether JSON may be posted without the page's token, with an `Idempotency-Key` header: for your own servers.
    #[serde(default)]
    pub json_without_token: bool,
}

/// How a field is shown.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FieldUi {
    /// The property of the schema.
    pub name: String,
    /// Its label.
    pub label: Localized,
    /// Help under the label.
    pub hint: Localized,
    /// Kind of input; chosen from the schema if not given.
    pub widget: Option<Widget>,
    /// HTML `autocomplete` token, such as "email".
    pub autocomplete: Option<String>,
    /// Labels of the choices, by value.
    pub options: BTreeMap<String, Localized>,
    /// Shown, and taken from a post, only when this holds.
    pub visible_if: Option<VisibleIf>,
}

/// Kind of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Widget {
    /// One line.
    Text,
    /// Several lines.
    Textarea,
    /// An e-mail address.
    Email,
    /// A phone number.
    Tel,
    /// A web address.
    Url,
    /// A number.
    Number,
    /// A date.
    Date,
    /// One of several choices.
    Select,
    /// Yes or no.
    Checkbox,
    /// Any of several choices.
    Checkboxes,
}

/// When a field is part of the form.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VisibleIf {
    /// Another field.
    pub field: String,
    /// The value that it must have.
    pub equals: Value,
}

impl Config {
    /// All forms: those of `forms`, then those of `files`.
    ///
    /// # Errors
    /// A file that cannot be read, or is no form.
    pub fn definitions(&self) -> Result<Vec<FormDefinition>, Error> {
        let mut all = self.forms.clone();
        for path in &self.files {
            all.push(read_definition(path)?);
        }
        Ok(all)
    }
}

fn read_definition(path: &Path) -> Result<FormDefinition, Error> {
    let text = std::fs::read(path).map_err(|source| Error::ReadFile {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| Error::ParseFile {
        path: path.to_owned(),
        source,
    })
}

/// The text for `language`, else for `fallback`, else any.
#[must_use]
pub fn pick<'a>(texts: &'a Localized, language: &str, fallback: &str) -> Option<&'a str> {
    texts
        .get(language)
        .or_else(|| texts.get(fallback))
        .or_else(|| texts.values().next())
        .map(String::as_str)
}

fn english() -> String {
    "en".to_owned()
}

fn subject_template() -> String {
    "{{ subject }}".to_owned()
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
fn email_field() -> Option<String> {
    Some("email".to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
fn name_field() -> Option<String> {
    Some("name".to_owned())
}

fn honeypot() -> String {
    "website".to_owned()
}

const fn min_seconds() -> u32 {
    3
}

const fn max_hours() -> u32 {
    24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_configured_is_the_contact_form() {
        let config: Config = serde_json::from_str("{}").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.definitions().unwrap()[0].id, builtin::CONTACT);
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&written).unwrap(), config);
    }

    #[test]
    fn forms_come_from_files_too_and_unknown_keys_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order.json");
        let config = Config {
            files: vec![path.clone()],
            ..Config::default()
        };
        assert!(matches!(config.definitions(), Err(Error::ReadFile { .. })));
        std::fs::write(&path, r#"{"id": "order", "title": {"en": "Order"}, "schema": {"type": "object"}, "colour": 1}"#)
            .unwrap();
        assert!(matches!(config.definitions(), Err(Error::ParseFile { .. })));
        std::fs::write(
            &path,
            r#"{"id": "order", "title": {"en": "Order"}, "schema": {"type": "object"}}"#,
        )
        .unwrap();
        let all = config.definitions().unwrap();
        assert_eq!(
            (
                all[1].id.as_str(),
                all[1].min_seconds,
                all[1].honeypot.as_str()
            ),
            ("order", 3, "website")
        );
    }
}

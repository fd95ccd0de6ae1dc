//! A form made ready once at start: its rules compiled, its fields in order, its templates parsed.
//!
//! What a page cannot show (nested objects, look-around patterns, rules fetched from elsewhere) is refused here, with
//! the form's name, and not when the first customer posts.

use std::collections::BTreeSet;

use jsonschema::{Draft, PatternOptions, Validator};
use minijinja::{Environment, UndefinedBehavior, value::Serde};
use serde_json::{Map, Value};

use crate::{
    Error,
    config::{FieldUi, FormDefinition, Localized, Widget, pick},
};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Most characters of a subject.
const SUBJECT_MAX: usize = 200;

/// Type of a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    /// Several of the field's choices.
    List,
}

/// One field, in the order of the page.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) widget: Widget,
    pub(crate) required: bool,
    pub(crate) max_length: Option<u64>,
    /// The legal values of a choice; empty for free input.
    pub(crate) options: Vec<Value>,
    pub(crate) ui: FieldUi,
}

impl Field {
    /// Whether the field is part of the form, given the other fields.
    pub(crate) fn visible(&self, values: &Map<String, Value>) -> bool {
        let rule = self.ui.visible_if.as_ref();
        rule.is_none_or(|rule| values.get(&rule.field) == Some(&rule.equals))
    }
}

/// A form that is ready to be served.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) definition: FormDefinition,
    pub(crate) fields: Vec<Field>,
    pub(crate) validator: Validator,
    /// Whether the schema refuses fields that it does not name; else they are dropped.
    pub(crate) strict: bool,
    templates: Environment<'static>,
}

impl Form {
    /// Checks and compiles a definition.
    pub(crate) fn compile(definition: FormDefinition) -> Result<Self, Error> {
        let bad = |problem: String| Error::BadForm {
            form: definition.id.clone(),
            problem,
        };
        check_words(&definition).map_err(bad)?;
        let fields = fields(&definition).map_err(bad)?;
        if fields.iter().any(|field| field.name == definition.honeypot) {
            return Err(bad(format!(
                "the honeypot '{}' is a real field",
                definition.honeypot
            )));
        }
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex())
            .build(&definition.schema)
            .map_err(|error| bad(format!("the schema is not valid: {error}")))?;
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Lenient);
        templates
            .add_template_owned("subject", definition.subject.clone())
            .map_err(|error| bad(format!("the subject template does not parse: {error}")))?;
        let strict = ["unevaluatedProperties", "additionalProperties"]
            .iter()
            .any(|keyword| definition.schema.get(keyword) == Some(&Value::Bool(false)));
        Ok(Self {
            definition,
            fields,
            validator,
            strict,
            templates,
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.definition.id
    }

    /// The form's languages, its default first.
    pub(crate) fn languages(&self) -> Vec<&str> {
        let default = self.definition.default_language.as_str();
        let others = self
            .definition
            .title
            .keys()
            .map(String::as_str)
            .filter(|language| *language != default);
        std::iter::once(default).chain(others).collect()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub(crate) fn text<'a>(&'a self, texts: &'a Localized, language: &str) -> Option<&'a str> {
        pick(texts, language, &self.definition.default_language)
    }

    /// Label of a field, its name where it has none.
    pub(crate) fn label<'a>(&'a self, field: &'a Field, language: &str) -> &'a str {
        self.text(&field.ui.label, language).unwrap_or(&field.name)
    }

    /// Label of a choice, its value where it has none.
    pub(crate) fn option_label(&self, field: &Field, value: &Value, language: &str) -> String {
        let plain = plain(value);
        let label = field
            .ui
            .options
            .get(&plain)
            .and_then(|texts| self.text(texts, language));
        label.map_or(plain.clone(), str::to_owned)
    }

    /// Subject of the ticket: one line, the form's title where the template gives nothing.
    pub(crate) fn subject(&self, values: &Map<String, Value>) -> String {
        let rendered = self
            .templates
            .get_template("subject")
            .and_then(|template| template.render(Serde(values)));
        let line = rendered
            .unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let title = || {
            self.text(&self.definition.title, &self.definition.default_language)
                .unwrap_or(self.id())
        };
        let subject = if line.is_empty() { title() } else { &line };
        subject.chars().take(SUBJECT_MAX).collect()
    }
}

/// A value as a form control carries it.
pub(crate) fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn check_words(definition: &FormDefinition) -> Result<(), String> {
    let id_legal =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if definition.id.is_empty() || definition.id.len() > 64 || !definition.id.bytes().all(id_legal)
    {
        return Err("the id must be 1 to 64 characters of a-z, 0-9, _ and -".to_owned());
    }
    if definition.id == "assets" {
        return Err("the id 'assets' is taken by the program's own files".to_owned());
    }
    if !definition.title.contains_key(&definition.default_language) {
        return Err(format!(
            "there is no title in the default language '{}'",
            definition.default_language
        ));
    }
    let language_legal = |language: &String| {
        (2..=8).contains(&language.len())
            && language
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if let Some(language) = definition
        .title
        .keys()
        .find(|language| !language_legal(language))
    {
        return Err(format!("'{language}' is no language code"));
    }
    if definition
        .schema
        .get("$schema")
        .is_some_and(|dialect| dialect != DIALECT)
    {
        return Err(format!("the schema must be of {DIALECT}"));
    }
    if definition.schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err("the schema must have \"type\": \"object\"".to_owned());
    }
    let origin_legal = |origin: &&String| {
        let host = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"));
        host.is_some_and(|host| !host.is_empty() && !host.contains(['/', ' ', ';', ',', '*', '\'']))
    };
    match definition
        .allowed_origins
        .iter()
        .find(|origin| !origin_legal(origin))
    {
        Some(origin) => Err(format!(
            "'{origin}' is no origin: expected a scheme and a host"
        )),
        None => Ok(()),
    }
}

fn fields(definition: &FormDefinition) -> Result<Vec<Field>, String> {
    let none = Map::new();
    let properties = definition
        .schema
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&none);
    let required: BTreeSet<&str> = match definition.schema.get("required").and_then(Value::as_array)
    {
        Some(names) => names.iter().filter_map(Value::as_str).collect(),
        None => BTreeSet::new(),
    };
    let mut all = Vec::with_capacity(properties.len());
    for ui in &definition.fields {
        let Some(rule) = properties.get(&ui.name) else {
            return Err(format!("the schema has no property '{}'", ui.name));
        };
        if let Some(other) = ui
            .visible_if
            .as_ref()
            .map(|rule| &rule.field)
            .filter(|name| !properties.contains_key(*name))
        {
            return Err(format!(
                "'{}' depends on '{other}', which the schema does not have",
                ui.name
            ));
        }
        all.push(field(
            rule,
            ui.clone(),
            required.contains(ui.name.as_str()),
        )?);
    }
    for (name, rule) in properties {
        if !definition.fields.iter().any(|ui| ui.name == *name) {
            let ui = FieldUi {
                name: name.clone(),
                ..FieldUi::default()
            };
            all.push(field(rule, ui, required.contains(name.as_str()))?);
        }
    }
    Ok(all)
}

fn field(rule: &Value, ui: FieldUi, required: bool) -> Result<Field, String> {
    if ui.name.starts_with('_') {
        return Err(format!(
            "'{}' starts with '_', as only the program's own fields may",
            ui.name
        ));
    }
    let choices = |rule: &Value| {
        rule.get("enum")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let (kind, options) = match rule.get("type").and_then(Value::as_str) {
        Some("integer") => (Kind::Integer, choices(rule)),
        Some("number") => (Kind::Number, choices(rule)),
        Some("boolean") => (Kind::Boolean, Vec::new()),
        Some("string") => (Kind::Text, choices(rule)),
        Some("array") => (
            Kind::List,
            rule.get("items").map(choices).unwrap_or_default(),
        ),
        None if rule.get("enum").is_some() => (Kind::Text, choices(rule)),
        None if rule.get("const").is_some_and(Value::is_boolean) => (Kind::Boolean, Vec::new()),
        other => {
            return Err(format!(
                "'{}' has type {}, which a form cannot show",
                ui.name,
                other.unwrap_or("unknown")
            ));
        }
    };
    if kind == Kind::List && options.is_empty() {
        return Err(format!(
            "'{}' is a list: its items need an 'enum' of choices",
            ui.name
        ));
    }
    let widget = ui
        .widget
        .unwrap_or_else(|| default_widget(kind, &options, rule));
    let max_length = rule.get("maxLength").and_then(Value::as_u64);
    Ok(Field {
        name: ui.name.clone(),
        kind,
        widget,
        required,
        max_length,
        options,
        ui,
    })
}

fn default_widget(kind: Kind, options: &[Value], rule: &Value) -> Widget {
    let long = rule
        .get("maxLength")
        .and_then(Value::as_u64)
        .is_some_and(|most| most > 500);
    match (kind, rule.get("format").and_then(Value::as_str)) {
        (Kind::List, _) => Widget::Checkboxes,
        (Kind::Boolean, _) => Widget::Checkbox,
        _ if !options.is_empty() => Widget::Select,
        (Kind::Integer | Kind::Number, _) => Widget::Number,
        (Kind::Text, Some("email")) => Widget::Email,
        (Kind::Text, Some("uri")) => Widget::Url,
        (Kind::Text, Some("date")) => Widget::Date,
        (Kind::Text, _) if long => Widget::Textarea,
        (Kind::Text, _) => Widget::Text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::builtin;

    fn with(change: impl FnOnce(&mut FormDefinition)) -> Result<Form, Error> {
        let mut definition = builtin::contact();
        change(&mut definition);
        Form::compile(definition)
    }

    fn problem(change: impl FnOnce(&mut FormDefinition)) -> String {
        with(change).unwrap_err().to_string()
    }

    #[test]
    fn the_built_in_form_compiles() {
        let form = with(|_| ()).unwrap();
        assert!(form.strict);
        assert_eq!(form.languages(), ["en", "fi", "sv"]);
        let names: Vec<_> = form
            .fields
            .iter()
            .map(|field| field.name.as_str())
            .collect();
        assert_eq!(names, ["name", "email", "subject", "message"]);
    }

    #[test]
    fn what_cannot_work_is_refused_at_start() {
        assert!(problem(|form| form.id = "A b".to_owned()).contains("the id must be"));
        assert!(problem(|form| form.honeypot = "email".to_owned()).contains("is a real field"));
        assert!(problem(|form| form.default_language = "de".to_owned()).contains("no title"));
        assert!(problem(|form| form.subject = "{{ x".to_owned()).contains("subject template"));
        assert!(
            problem(|form| form.allowed_origins = vec!["https://a.fi/".to_owned()])
                .contains("no origin")
        );
        assert!(
            problem(|form| form.schema["properties"]["name"] = json!({"type": "object"}))
                .contains("cannot show")
        );
        assert!(
            problem(|form| form.schema["properties"]["name"] = json!({"type": "strin"}))
                .contains("cannot show")
        );
        assert!(problem(|form| form.schema["required"] = json!(3)).contains("not valid"));
        let remote = json!({"$ref": "https://example.com/s.json"});
        assert!(problem(|form| form.schema["allOf"] = json!([remote])).contains("not valid"));
        let look_around = json!({"type": "string", "pattern": "(?=a)b"});
        assert!(
            problem(|form| form.schema["properties"]["name"] = look_around).contains("not valid")
        );
    }

    #[test]
    fn the_subject_is_one_line_and_never_empty() {
        let form = with(|_| ()).unwrap();
        let subject = |value: Value| form.subject(value.as_object().unwrap());
        assert_eq!(subject(json!({"subject": "a\nb  <c>"})), "a b <c>");
        assert_eq!(subject(json!({})), "Contact us");
    }
}

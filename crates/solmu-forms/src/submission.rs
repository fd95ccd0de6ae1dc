//! What somebody posted, brought to typed fields.
//!
//! Both notations end in the same JSON object, so that one set of rules judges them. A page posts every control, filled
//! in or not: empty ones count as absent, else every optional field with a pattern would be an error.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::definition::{Field, Form, Kind};

/// Longest value of `_meta` that is kept, in characters.
const META_MAX: usize = 2_000;
/// What a page may tell of itself.
const META_KEYS: [&str; 4] = ["page_url", "referrer", "locale", "form_version"];

/// A post, parsed.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Submission {
    /// Typed fields that are part of the form.
    pub(crate) fields: Map<String, Value>,
    /// What was typed, to show it again.
    pub(crate) typed: BTreeMap<String, Vec<String>>,
    pub(crate) token: Option<String>,
    pub(crate) language: Option<String>,
    /// The field that people do not see was filled in.
    pub(crate) trapped: bool,
    pub(crate) meta: Map<String, Value>,
}

/// Decodes `application/x-www-form-urlencoded` (WHATWG URL section 5.1). Never fails: bytes that are no UTF-8 become
/// replacement characters, as in a browser.
pub(crate) fn urlencoded(body: &[u8]) -> Vec<(String, String)> {
    body.split(|&byte| byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let mut halves = pair.splitn(2, |&byte| byte == b'=');
            let mut half = || percent_decode(halves.next().unwrap_or_default());
            (half(), half())
        })
        .collect()
}

fn percent_decode(text: &[u8]) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut index = 0;
    while index < text.len() {
        match (
            text[index],
            hex(text.get(index + 1)),
            hex(text.get(index + 2)),
        ) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                index += 2;
            }
            (b'+', ..) => bytes.push(b' '),
            (byte, ..) => bytes.push(byte),
        }
        index += 1;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Takes a page's post. Fields that the form does not have are dropped: browsers and their extensions add some.
pub(crate) fn from_page(form: &Form, pairs: Vec<(String, String)>) -> Submission {
    let mut post = Submission::default();
    for (name, value) in pairs {
        match name.as_str() {
            "_token" => post.token = Some(value),
            "_lang" => post.language = Some(value),
            _ if name == form.definition.honeypot => post.trapped |= !value.trim().is_empty(),
            _ if form.field(&name).is_some() => {
                post.typed.entry(name).or_default().push(clean(&value));
            }
            _ => {}
        }
    }
    for field in &form.fields {
        if let Some(value) = post
            .typed
            .get(&field.name)
            .and_then(|typed| typed_value(field, typed))
        {
            post.fields.insert(field.name.clone(), value);
        }
    }
    drop_hidden(form, &mut post.fields);
    post
}

/// Takes a JSON post; `None` if it is no object. Fields that the form does not have are kept where the schema refuses
/// them, so that the sender hears of it, else dropped.
pub(crate) fn from_json(form: &Form, body: Value) -> Option<Submission> {
    let Value::Object(body) = body else {
        return None;
    };
    let mut post = Submission::default();
    for (name, value) in body {
        match (name.as_str(), value) {
            ("_token", Value::String(value)) => post.token = Some(value),
            ("_lang", Value::String(value)) => post.language = Some(value),
            ("_meta", Value::Object(value)) => post.meta = meta(value),
            (_, value) if name == form.definition.honeypot => post.trapped |= !is_blank(&value),
            (_, Value::Null) => {}
            (_, Value::String(value)) if form.field(&name).is_some() => {
                post.fields.insert(name, Value::String(clean(&value)));
            }
            (_, value) if form.strict || form.field(&name).is_some() => {
                post.fields.insert(name, value);
            }
            _ => {}
        }
    }
    drop_hidden(form, &mut post.fields);
    Some(post)
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

fn meta(given: Map<String, Value>) -> Map<String, Value> {
    let known = given
        .into_iter()
        .filter(|(name, _)| META_KEYS.contains(&name.as_str()));
    known
        .filter_map(|(name, value)| Some((name, short(value.as_str()?).into())))
        .collect()
}

fn short(text: &str) -> String {
    clean(text).chars().take(META_MAX).collect()
}

/// A field that is not shown is not taken, whoever sent it. Repeated, since hiding one field may hide another.
fn drop_hidden(form: &Form, fields: &mut Map<String, Value>) {
    loop {
        let hidden = form
            .fields
            .iter()
            .find(|field| fields.contains_key(&field.name) && !field.visible(fields));
        let Some(hidden) = hidden else { return };
        fields.remove(&hidden.name);
    }
}

/// Line ends as LF, no NUL and no space around.
fn clean(text: &str) -> String {
    solmu_text::clean(text).trim().to_owned()
}

fn typed_value(field: &Field, typed: &[String]) -> Option<Value> {
    if field.kind == Kind::List {
        let chosen: Vec<Value> = typed
            .iter()
            .filter(|text| !text.is_empty())
            .map(|text| choice(field, text))
            .collect();
        return (!chosen.is_empty()).then_some(Value::Array(chosen));
    }
    let text = typed.last().filter(|text| !text.is_empty())?;
    if !field.options.is_empty() {
        return Some(choice(field, text));
    }
    let number = |text: &str| {
        text.replace(',', ".")
            .parse()
            .ok()
            .and_then(Number::from_f64)
            .map(Value::Number)
    };
    let value = match field.kind {
        Kind::Boolean => Some(Value::Bool(!matches!(
            text.as_str(),
            "false" | "off" | "0" | "no"
        ))),
        Kind::Integer => text.parse::<i64>().ok().map(Value::from),
        Kind::Number => text
            .parse::<i64>()
            .ok()
            .map(Value::from)
            .or_else(|| number(text)),
        Kind::Text | Kind::List => None,
    };
    // What is no number stays text, so that the rules complain about it.
    Some(value.unwrap_or_else(|| Value::String(text.clone())))
}

fn choice(field: &Field, text: &str) -> Value {
    let known = field
        .options
        .iter()
        .find(|option| crate::definition::plain(option) == text);
    known
        .cloned()
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{builtin, config::VisibleIf};

    fn form() -> Form {
        let mut definition = builtin::contact();
        definition.schema["properties"] = json!({
            "email": {"type": "string"}, "age": {"type": "integer"}, "size": {"type": "number"},
            "consent": {"type": "boolean"}, "topic": {"enum": ["order", "other"]},
            "colours": {"type": "array", "items": {"enum": ["red", "blue"]}}, "order": {"type": "string"}
        });
        definition.fields = vec![crate::config::FieldUi {
            name: "order".to_owned(),
            visible_if: Some(VisibleIf {
                field: "topic".to_owned(),
                equals: json!("order"),
            }),
            ..Default::default()
        }];
        Form::compile(definition).unwrap()
    }

    #[test]
    fn percent_and_plus() {
        let pairs =
            urlencoded("name=Matti+Meik%C3%A4l%c3%a4inen&x&=y&bad=%zz%4&nul=%00a%FF".as_bytes());
        let expected = [
            ("name", "Matti Meikäläinen"),
            ("x", ""),
            ("", "y"),
            ("bad", "%zz%4"),
            ("nul", "\0a\u{fffd}"),
        ];
        assert_eq!(
            pairs,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn controls_become_typed_values() {
        let body = b"age=42&size=1,5&consent=on&topic=order&colours=red&colours=blue&order=A-1&email=+&alien=1&_token=t";
        let post = from_page(&form(), urlencoded(body));
        let expected = json!({
            "age": 42, "size": 1.5, "consent": true, "topic": "order", "colours": ["red", "blue"], "order": "A-1"
        });
        assert_eq!(Value::Object(post.fields), expected);
        assert_eq!(post.token.as_deref(), Some("t"));
        assert!(!post.trapped);
    }

    #[test]
    fn hidden_fields_are_dropped() {
        let post = from_page(&form(), urlencoded(b"topic=other&order=A-1"));
        assert_eq!(Value::Object(post.fields), json!({"topic": "other"}));
        let post = from_json(&form(), json!({"topic": "other", "order": "A-1"})).unwrap();
        assert_eq!(Value::Object(post.fields), json!({"topic": "other"}));
    }

    #[test]
    fn json_keeps_what_a_strict_schema_refuses() {
        let body = json!({"email": " a@b \r\nc", "alien": 1, "website": "", "_meta": {"page_url": "u", "x": "y"}});
        let post = from_json(&form(), body).unwrap();
        assert_eq!(
            Value::Object(post.fields),
            json!({"email": "a@b \nc", "alien": 1})
        );
        assert_eq!(Value::Object(post.meta), json!({"page_url": "u"}));
        assert!(!post.trapped);
        assert!(
            from_json(&form(), json!({"website": "http://spam"}))
                .unwrap()
                .trapped
        );
        assert!(from_json(&form(), json!([1])).is_none());
    }
}

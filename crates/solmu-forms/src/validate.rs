//! Judges typed fields by the form's schema, and says what is wrong in the visitor's language.
//!
//! The schema library's own sentences are for programmers and quote the value; neither belongs on a page.

use std::collections::BTreeSet;

use jsonschema::{
    JsonType, ValidationError,
    error::{TypeKind, ValidationErrorKind},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    definition::Form,
    words::{Words, words},
};

/// One field that is not right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FieldError {
    /// Name of the field; empty where the form as a whole is meant.
    pub field: String,
    /// Stable code for programs, such as "required".
    pub code: &'static str,
    /// Sentence for people.
    pub message: String,
}

/// All errors, at most one per field, in the order of the page.
pub(crate) fn validate(
    form: &Form,
    fields: &Map<String, Value>,
    language: &str,
) -> Vec<FieldError> {
    let words = words(language);
    let instance = Value::Object(fields.clone());
    let found: Vec<FieldError> = form
        .validator
        .iter_errors(&instance)
        .flat_map(|error| errors(&error, words))
        .collect();
    let mut seen = BTreeSet::new();
    let mut first: Vec<FieldError> = found
        .into_iter()
        .filter(|error| seen.insert(error.field.clone()))
        .collect();
    let position = |error: &FieldError| {
        form.fields
            .iter()
            .position(|field| field.name == error.field)
    };
    first.sort_by_key(|error| position(error).unwrap_or(usize::MAX));
    first
}

fn errors(error: &ValidationError<'_>, words: &Words) -> Vec<FieldError> {
    use ValidationErrorKind as Kind;
    let unknown = |names: &[String]| {
        names
            .iter()
            .map(|name| made(name, "unknown", words.unknown))
            .collect()
    };
    match error.kind() {
        Kind::Required { property } => vec![made(
            property.as_str().unwrap_or_default(),
            "required",
            words.required,
        )],
        Kind::UnevaluatedProperties { unexpected } | Kind::AdditionalProperties { unexpected } => {
            unknown(unexpected)
        }
        kind => {
            let path = error.instance_path().as_str();
            let field = path
                .trim_start_matches('/')
                .split('/')
                .next()
                .unwrap_or_default();
            let (code, message) = sentence(kind, words);
            vec![FieldError {
                field: unescape(field),
                code,
                message,
            }]
        }
    }
}

fn sentence(kind: &ValidationErrorKind, words: &Words) -> (&'static str, String) {
    use ValidationErrorKind as Kind;
    let with =
        |text: &str, number: &dyn std::fmt::Display| text.replace("{n}", &number.to_string());
    match kind {
        Kind::MinLength { limit: 0 | 1 } => ("required", words.required.to_owned()),
        Kind::MinLength { limit } => ("too_short", with(words.too_short, limit)),
        Kind::MaxLength { limit } => ("too_long", with(words.too_long, limit)),
        Kind::Minimum { limit } | Kind::ExclusiveMinimum { limit } => {
            ("too_small", with(words.too_small, limit))
        }
        Kind::Maximum { limit } | Kind::ExclusiveMaximum { limit } => {
            ("too_big", with(words.too_big, limit))
        }
        Kind::Format { format } if format == "email" => ("email", words.email.to_owned()),
        Kind::Format { .. } | Kind::Pattern { .. } => ("format", words.format.to_owned()),
        Kind::Enum { .. } => ("option", words.option.to_owned()),
        Kind::Constant { expected_value } if **expected_value == Value::Bool(true) => {
            ("required", words.required.to_owned())
        }
        Kind::Type {
            kind: TypeKind::Single(JsonType::Number | JsonType::Integer),
        } => ("number", words.number.to_owned()),
        _ => ("invalid", words.invalid.to_owned()),
    }
}

fn made(field: &str, code: &'static str, message: &str) -> FieldError {
    FieldError {
        field: field.to_owned(),
        code,
        message: message.to_owned(),
    }
}

/// JSON Pointer escapes (RFC 6901 section 4).
fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::builtin;

    fn codes(form: &Form, fields: &Value) -> Vec<(String, &'static str)> {
        validate(form, fields.as_object().unwrap(), "en")
            .into_iter()
            .map(|error| (error.field, error.code))
            .collect()
    }

    fn pairs(expected: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
        expected
            .iter()
            .map(|(field, code)| ((*field).to_owned(), *code))
            .collect()
    }

    #[test]
    fn one_error_per_field_in_the_order_of_the_page() {
        let form = Form::compile(builtin::contact()).unwrap();
        let found = codes(
            &form,
            &json!({"message": "", "email": "nobody", "subject": "x".repeat(201), "alien": 1}),
        );
        assert_eq!(
            found,
            pairs(&[
                ("name", "required"),
                ("email", "email"),
                ("subject", "too_long"),
                ("message", "required"),
                ("alien", "unknown")
            ])
        );
    }

    #[test]
    fn sentences_are_in_the_language_of_the_page() {
        let form = Form::compile(builtin::contact()).unwrap();
        let fields =
            json!({"name": "a", "email": "a@b.fi", "subject": "x".repeat(201), "message": "m"});
        let errors = validate(&form, fields.as_object().unwrap(), "fi");
        assert_eq!(errors[0].message, "Käytä enintään 200 merkkiä");
        assert_eq!(errors.len(), 1);
    }

    #[test]
    fn conditional_rules_and_types() {
        let mut definition = builtin::contact();
        definition.schema = json!({
            "type": "object",
            "properties": {
                "topic": {"enum": ["order", "other"]}, "age": {"type": "integer", "minimum": 18},
                "number": {"type": "string", "pattern": "^[A-Z]-[0-9]{4,}$"}, "terms": {"const": true}
            },
            "allOf": [{"if": {"properties": {"topic": {"const": "order"}}, "required": ["topic"]},
                       "then": {"required": ["number"]}}],
            "unevaluatedProperties": false
        });
        definition.fields.clear();
        let form = Form::compile(definition).unwrap();
        assert_eq!(
            codes(&form, &json!({"topic": "order"})),
            pairs(&[("number", "required")])
        );
        assert_eq!(codes(&form, &json!({"topic": "other"})), pairs(&[]));
        let found = codes(
            &form,
            &json!({"topic": "x", "age": 17, "number": "a", "terms": false}),
        );
        let mut expected = pairs(&[
            ("age", "too_small"),
            ("number", "format"),
            ("terms", "required"),
            ("topic", "option"),
        ]);
        expected.sort();
        let mut found = found;
        found.sort();
        assert_eq!(found, expected);
        assert_eq!(
            codes(&form, &json!({"age": "old"})),
            pairs(&[("age", "number")])
        );
    }
}

//! Whether a rule asks of custom fields what they can answer.
//!
//! The ticket service owns the definitions, so it is asked when a rule is saved. While it does not answer, or where nobody
//! said where it is, rules are taken as they are: a field that does not exist is then absent, and a comparison with it
//! false.

use std::collections::BTreeMap;

use solmu_conditions::{Checked, Condition, Leaf, Operator, Value, is_moment, is_number};
use solmu_proto::ticket::v1::{FieldDefinition, field_definition::Kind};
use solmu_runtime::{ApiError, api_error::Violation};

use super::Service;

/// Fields of rules that are custom fields by another name; not everybody defines them.
const NAMED: [&str; 2] = ["country", "order_value"];

impl Service {
    /// Refuses a condition that names fields which are not there, or compares them with what they never hold.
    pub(super) async fn check_fields(&self, condition: &Checked) -> Result<(), ApiError> {
        let asked = asked(condition.condition());
        if asked.is_empty() || !self.texts.is_configured() {
            return Ok(());
        }
        let definitions = match self.texts.fields().await {
            Ok(definitions) => definitions,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot check the custom fields of a rule");
                return Ok(());
            }
        };
        let known: BTreeMap<&str, &FieldDefinition> =
            definitions.iter().map(|it| (it.key.as_str(), it)).collect();
        let wrong = asked.iter().filter_map(|leaf| fault(leaf, &known));
        let violations: Vec<Violation> = wrong
            .map(|sentence| Violation::new("rule.condition", sentence))
            .collect();
        if violations.is_empty() {
            Ok(())
        } else {
            Err(ApiError::InvalidArgument { violations })
        }
    }
}

/// Comparisons with custom fields.
fn asked(condition: &Condition) -> Vec<&Leaf> {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().flat_map(asked).collect(),
        Condition::Not(part) => asked(part),
        Condition::Leaf(leaf) => key_of(leaf).map(|_| leaf).into_iter().collect(),
    }
}

fn key_of(leaf: &Leaf) -> Option<&str> {
    let field = leaf.field.as_str();
    field
        .strip_prefix("fields.")
        .or_else(|| NAMED.contains(&field).then_some(field))
}

/// What is wrong with a comparison.
fn fault(leaf: &Leaf, known: &BTreeMap<&str, &FieldDefinition>) -> Option<String> {
    let key = key_of(leaf)?;
    let field = &leaf.field;
    let Some(definition) = known.get(key) else {
        let keys: Vec<&str> = known.keys().copied().collect();
        let missing = format!("there is no custom field \"{key}\"");
        return (!NAMED.contains(&key)).then(|| match keys.as_slice() {
            [] => missing,
            keys => format!("{missing}, use one of {}", keys.join(", ")),
        });
    };
    let ordered = matches!(
        leaf.operator,
        Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge
    );
    let kind = definition.kind();
    let has_order = matches!(kind, Kind::Number | Kind::Date | Kind::Datetime);
    if ordered && !has_order {
        return Some(format!(
            "\"{field}\" holds no numbers or times: it is compared with = and !="
        ));
    }
    let equal = matches!(leaf.operator, Operator::Eq | Operator::Ne | Operator::In);
    if !ordered && !equal {
        return None;
    }
    let fits = |text: &str| match kind {
        Kind::Number => is_number(text) && (ordered || is_shortest(text)),
        // A day is one value: asked for by = it is the day itself, by order also a month.
        Kind::Date | Kind::Datetime => is_moment(text),
        Kind::Boolean => matches!(text, "true" | "false"),
        Kind::Choice | Kind::MultiChoice => {
            let same =
                |option: &String| solmu_conditions::fold(option) == solmu_conditions::fold(text);
            definition.options.iter().any(same)
        }
        Kind::Text | Kind::Unspecified => true,
    };
    let values: &[Value] = match &leaf.value {
        Some(Value::List(values)) => values,
        Some(value) => std::slice::from_ref(value),
        None => &[],
    };
    let texts = values.iter().filter_map(|value| match value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    });
    let bad = texts.into_iter().find(|text| !fits(text))?;
    let wanted = match kind {
        Kind::Number => "a number as short as it can be, such as 99.5".to_owned(),
        Kind::Date | Kind::Datetime => "a day or a time, such as 2026-11-22".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        _ => format!("one of {}", definition.options.join(", ")),
    };
    Some(format!("\"{field}\" is never \"{bad}\", use {wanted}"))
}

/// Whether a number is written as the ticket service keeps it, because = compares texts.
fn is_shortest(text: &str) -> bool {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, parts) = digits.split_once('.').unwrap_or((digits, "1"));
    let has_leading_zero = whole != "0" && whole.starts_with('0');
    let is_minus_zero = sign && digits == "0";
    !(has_leading_zero || is_minus_zero || parts.ends_with('0'))
}

#[cfg(test)]
mod tests {
    use solmu_conditions::parse;

    use super::*;
    use crate::core::rules::SCHEMA;

    fn definition(key: &str, kind: Kind, options: &[&str]) -> FieldDefinition {
        FieldDefinition {
            key: key.to_owned(),
            kind: kind.into(),
            options: options.iter().map(|it| (*it).to_owned()).collect(),
            ..FieldDefinition::default()
        }
    }

    #[test]
    fn custom_fields_are_asked_what_they_can_answer() {
        let definitions = [
            definition("amount", Kind::Number, &[]),
            definition("deliver_by", Kind::Date, &[]),
            definition("gift", Kind::Boolean, &[]),
            definition("tier", Kind::Choice, &["Gold", "Silver"]),
            definition("note", Kind::Text, &[]),
        ];
        let known = definitions.iter().map(|it| (it.key.as_str(), it)).collect();
        for (condition, wrong) in [
            ("fields.amount >= 99.50", None),
            ("fields.amount = 99.5 OR fields.amount = (0 OR -7)", None),
            ("fields.amount = 99.50", Some("as short as it can be")),
            ("fields.amount > soon", Some("")),
            ("fields.amount > 2026-11-22", Some("is never")),
            ("fields.deliver_by < 2026-12", None),
            ("fields.deliver_by < 5", Some("a day or a time")),
            ("fields.gift = true", None),
            ("fields.gift = yes", Some("true or false")),
            ("fields.gift > 5", Some("holds no numbers")),
            ("fields.tier = gold", None),
            (
                "NOT fields.tier = (gold OR bronze)",
                Some("one of Gold, Silver"),
            ),
            ("fields.note = anything AND fields.note:*", None),
            ("fields.amonut = 5", Some("use one of amount")),
            ("country = fi AND order_value > 5", None),
        ] {
            let Ok(checked) = parse(condition, &SCHEMA) else {
                assert_eq!(wrong, Some(""), "{condition}");
                continue;
            };
            let leaves = asked(checked.condition());
            let found: Vec<String> = leaves.iter().filter_map(|it| fault(it, &known)).collect();
            match wrong {
                None => assert!(found.is_empty(), "{condition}: {found:?}"),
                Some(part) => assert!(
                    found.len() == 1 && found[0].contains(part),
                    "{condition}: {found:?}"
                ),
            }
        }
    }
}

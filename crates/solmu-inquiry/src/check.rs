//! Whether a condition asks of own fields what they can answer.
//!
//! The ticket service owns the definitions, so it is asked when a condition is saved. While it does not answer, or where
//! nobody said where it is, conditions on custom fields of tickets are taken as they are: a field that does not exist is
//! then absent, and a comparison with it false.

use std::collections::BTreeMap;

use solmu_conditions::{Checked, Condition, Leaf, Operator, Value, fold, is_moment, is_number};
use solmu_proto::{
    contact::v1::{
        ContactAttribute,
        contact_attribute::{Subject, Type},
    },
    ticket::v1::{FieldDefinition, field_definition::Kind},
};

use crate::{Inquiry, InquiryError, watched::map_of};

/// Fields of rules that are custom fields of the ticket by another name; not everybody defines them.
const NAMED: [&str; 2] = ["country", "order_value"];

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Holds {
    Anything,
    Numbers,
    Days,
    Truth,
    OneOf(Vec<String>),
}

/// Which fields there are, by where they stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definitions(BTreeMap<&'static str, BTreeMap<String, Holds>>);

impl Definitions {
    /// With the custom fields of tickets.
    #[must_use]
    pub fn with_fields(mut self, fields: &[FieldDefinition]) -> Self {
        let known = fields.iter().map(|it| {
            let holds = match it.kind() {
                Kind::Number => Holds::Numbers,
                Kind::Date | Kind::Datetime => Holds::Days,
                Kind::Boolean => Holds::Truth,
                Kind::Choice | Kind::MultiChoice => Holds::OneOf(it.options.clone()),
                Kind::Text | Kind::Unspecified => Holds::Anything,
            };
            (it.key.clone(), holds)
        });
        self.0.insert("fields", known.collect());
        self
    }

    /// With the own fields of contacts, or of organisations.
    #[must_use]
    pub fn with_attributes(mut self, of: Subject, attributes: &[ContactAttribute]) -> Self {
        let known = attributes.iter().map(|it| {
            let holds = match it.r#type() {
                Type::Number => Holds::Numbers,
                Type::Date => Holds::Days,
                Type::Boolean => Holds::Truth,
                Type::Choice => Holds::OneOf(it.choices.clone()),
                Type::Text | Type::Unspecified => Holds::Anything,
            };
            (it.name.clone(), holds)
        });
        let map = match of {
            Subject::Organization => "organization.fields",
            Subject::Contact | Subject::Unspecified => "contact.fields",
        };
        self.0.insert(map, known.collect());
        self
    }
}

/// Asks for the definitions that a condition has to be checked against: none when it looks at no own fields.
///
/// # Errors
/// [`InquiryError`] when they were not told.
pub async fn definitions_for(
    condition: &Checked,
    source: &dyn Inquiry,
) -> Result<Definitions, InquiryError> {
    let asked = asked(condition.condition());
    let looks_at = |map: &str| asked.iter().any(|(at, ..)| *at == map);
    let mut known = Definitions::default();
    if looks_at("fields") {
        known = known.with_fields(&source.fields().await?);
    }
    for (map, of) in [
        ("contact.fields", Subject::Contact),
        ("organization.fields", Subject::Organization),
    ] {
        if looks_at(map) {
            known = known.with_attributes(of, &source.attributes(of).await?);
        }
    }
    Ok(known)
}

/// What is wrong with a condition, a sentence for each fault. What is not known is not checked.
#[must_use]
pub fn check(condition: &Checked, definitions: &Definitions) -> Vec<String> {
    let asked = asked(condition.condition()).into_iter();
    let faults = asked.filter_map(|(map, key, leaf)| fault(key, leaf, definitions.0.get(map)?));
    faults.collect()
}

/// Comparisons with own fields: where these stand, and their keys.
fn asked(condition: &Condition) -> Vec<(&'static str, &str, &Leaf)> {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().flat_map(asked).collect(),
        Condition::Not(part) => asked(part),
        Condition::Leaf(leaf) => {
            let field = leaf.field.as_str();
            let of_ticket = field.strip_prefix("fields.");
            let of_ticket = of_ticket.or_else(|| NAMED.contains(&field).then_some(field));
            let place = of_ticket.map(|key| ("fields", key));
            let place = place.or_else(|| map_of(field));
            place
                .map(|(map, key)| (map, key, leaf))
                .into_iter()
                .collect()
        }
    }
}

/// What is wrong with a comparison.
fn fault(key: &str, leaf: &Leaf, known: &BTreeMap<String, Holds>) -> Option<String> {
    let field = &leaf.field;
    let Some(holds) = known.get(key) else {
        let keys: Vec<&str> = known.keys().map(String::as_str).collect();
        let missing = match map_of(field) {
            Some(("contact.fields", _)) => format!("there is no field \"{key}\" of contacts"),
            Some(_) => format!("there is no field \"{key}\" of organisations"),
            None => format!("there is no custom field \"{key}\""),
        };
        return (!NAMED.contains(&field.as_str())).then(|| match keys.as_slice() {
            [] => missing,
            keys => format!("{missing}, use one of {}", keys.join(", ")),
        });
    };
    let ordered = matches!(
        leaf.operator,
        Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge
    );
    if ordered && !matches!(holds, Holds::Numbers | Holds::Days) {
        return Some(format!(
            "\"{field}\" holds no numbers or times: it is compared with = and !="
        ));
    }
    let equal = matches!(leaf.operator, Operator::Eq | Operator::Ne | Operator::In);
    if !ordered && !equal {
        return None;
    }
    let fits = |text: &str| match holds {
        Holds::Numbers => is_number(text) && (ordered || is_shortest(text)),
        // A day is one value: asked for by = it is the day itself, by order also a month.
        Holds::Days => is_moment(text),
        Holds::Truth => matches!(text, "true" | "false"),
        Holds::OneOf(options) => options.iter().any(|option| fold(option) == fold(text)),
        Holds::Anything => true,
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
    let wanted = match holds {
        Holds::Numbers => "a number as short as it can be, such as 99.5".to_owned(),
        Holds::Days => "a day or a time, such as 2026-11-22".to_owned(),
        Holds::Truth => "true or false".to_owned(),
        Holds::OneOf(options) => format!("one of {}", options.join(", ")),
        Holds::Anything => String::new(),
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
    use solmu_conditions::{Field, FieldType, Schema, parse};

    use super::*;
    use crate::with_own_fields;

    fn definition(key: &str, kind: Kind, options: &[&str]) -> FieldDefinition {
        FieldDefinition {
            key: key.to_owned(),
            kind: kind.into(),
            options: options.iter().map(|it| (*it).to_owned()).collect(),
            ..FieldDefinition::default()
        }
    }

    fn attribute(name: &str, of: Type, choices: &[&str]) -> ContactAttribute {
        ContactAttribute {
            name: name.to_owned(),
            r#type: of.into(),
            choices: choices.iter().map(|it| (*it).to_owned()).collect(),
            ..ContactAttribute::default()
        }
    }

    fn schema() -> Schema {
        let schema = Schema::new()
            .with(Field::new("fields", FieldType::ValueMap))
            .with(Field::new("country", FieldType::Value))
            .with(Field::new("order_value", FieldType::Value));
        with_own_fields(schema)
    }

    fn definitions() -> Definitions {
        Definitions::default()
            .with_fields(&[
                definition("amount", Kind::Number, &[]),
                definition("deliver_by", Kind::Date, &[]),
                definition("gift", Kind::Boolean, &[]),
                definition("tier", Kind::Choice, &["Gold", "Silver"]),
                definition("note", Kind::Text, &[]),
            ])
            .with_attributes(
                Subject::Contact,
                &[
                    attribute("level", Type::Choice, &["Plus", "Basic"]),
                    attribute("since", Type::Date, &[]),
                    attribute("nick", Type::Text, &[]),
                ],
            )
            .with_attributes(
                Subject::Organization,
                &[
                    attribute("seats", Type::Number, &[]),
                    attribute("partner", Type::Boolean, &[]),
                ],
            )
    }

    #[test]
    fn own_fields_are_asked_what_they_can_answer() {
        let definitions = definitions();
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
            (
                "contact.fields.level = plus OR contact.fields.since < 2026",
                Some("a day or"),
            ),
            (
                "contact.fields.level = plus OR contact.fields.since < 2026-01",
                None,
            ),
            ("contact.fields.level = gold", Some("one of Plus, Basic")),
            ("contact.fields.nick > 5", Some("holds no numbers")),
            (
                "contact.fields.country = fi",
                Some("of contacts, use one of level"),
            ),
            (
                "organization.fields.level = plus",
                Some("of organisations, use one of partner"),
            ),
            (
                "organization.fields.seats >= 100 AND organization.fields.partner = true",
                None,
            ),
            ("organization.fields.partner = yes", Some("true or false")),
            (
                "contact.language = fi organization.name = acme* contact.manager = true",
                None,
            ),
        ] {
            let Ok(checked) = parse(condition, &schema()) else {
                assert_eq!(wrong, Some(""), "{condition}");
                continue;
            };
            let found = check(&checked, &definitions);
            match wrong {
                None => assert!(found.is_empty(), "{condition}: {found:?}"),
                Some(part) => assert!(
                    found.len() == 1 && found[0].contains(part),
                    "{condition}: {found:?}"
                ),
            }
        }
    }

    #[test]
    fn what_is_not_known_is_not_checked() {
        let checked = parse("contact.fields.x = 5 AND fields.y = 6", &schema()).unwrap();
        assert!(check(&checked, &Definitions::default()).is_empty());
        let some = Definitions::default().with_attributes(Subject::Contact, &[]);
        let found = check(&checked, &some);
        assert_eq!(found, ["there is no field \"x\" of contacts"]);
    }
}

//! Fields of contacts and of organisations that a deployment defines for itself: typed, and checked when they are written.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use solmu_conditions::Decimal;
use solmu_db::{Db, ToSqlx as _};
use solmu_proto::contact::v1::{
    ContactAttribute,
    contact_attribute::{Subject, Type},
};
use sqlx::PgConnection;

use crate::{ContactError, MAX_NAME};

/// Fields that can be defined, of contacts and of organisations each.
const MAX_ATTRIBUTES: i64 = 200;
/// Choices of one field.
const MAX_CHOICES: usize = 100;
/// Longest value, in bytes.
const MAX_VALUE: usize = 2_000;

/// Definitions by name.
pub(crate) type Definitions = HashMap<String, ContactAttribute>;

/// Defines a field.
pub(crate) async fn create(
    db: &Db,
    attribute: &ContactAttribute,
    now: Timestamp,
) -> Result<(), ContactError> {
    check_definition(attribute)?;
    let done = sqlx::query(
        "INSERT INTO tickets.contact_attribute (name, display_name, type, choices, created_at, subject)
         SELECT $1, $2, $3, $4, $5, $7 WHERE (SELECT count(*) FROM tickets.contact_attribute WHERE subject = $7) < $6
         ON CONFLICT (subject, name) DO NOTHING",
    )
    .bind(&attribute.name)
    .bind(&attribute.display_name)
    .bind(type_name(attribute.r#type()))
    .bind(&attribute.choices)
    .bind(now.to_sqlx())
    .bind(MAX_ATTRIBUTES)
    .bind(subject_name(attribute.subject()))
    .execute(db.pool())
    .await?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    let known = list(db, attribute.subject()).await?;
    if known.iter().any(|it| it.name == attribute.name) {
        return Err(ContactError::Exists {
            what: "contact attribute",
            id: attribute.name.clone(),
        });
    }
    let why = format!("there are {MAX_ATTRIBUTES} fields already");
    Err(ContactError::invalid("attribute", why))
}

fn check_definition(attribute: &ContactAttribute) -> Result<(), ContactError> {
    let name = &attribute.name;
    let legal = name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !legal {
        let why = "expected up to 63 lower case letters, digits and underscores, a letter first";
        return Err(ContactError::invalid("attribute.name", why));
    }
    if attribute.display_name.len() > MAX_NAME || attribute.display_name.contains('\0') {
        let why = format!("longer than {MAX_NAME} bytes");
        return Err(ContactError::invalid("attribute.display_name", why));
    }
    let choices = attribute.choices.len();
    match attribute.r#type() {
        Type::Unspecified => Err(ContactError::invalid(
            "attribute.type",
            "say what values can be",
        )),
        Type::Choice if choices == 0 || choices > MAX_CHOICES => {
            let why = format!("expected 1 to {MAX_CHOICES} of them");
            Err(ContactError::invalid("attribute.choices", why))
        }
        Type::Choice => {
            let bad = |it: &String| it.is_empty() || it.len() > MAX_NAME || it.contains('\0');
            if attribute.choices.iter().any(bad) {
                let why = format!("each has 1 to {MAX_NAME} bytes");
                return Err(ContactError::invalid("attribute.choices", why));
            }
            Ok(())
        }
        _ if choices > 0 => Err(ContactError::invalid(
            "attribute.choices",
            "only a choice has choices",
        )),
        _ => Ok(()),
    }
}

/// The fields of a subject by name.
pub(crate) async fn list(db: &Db, of: Subject) -> Result<Vec<ContactAttribute>, ContactError> {
    let mut connection = db.pool().acquire().await?;
    let all = definitions(&mut connection, of).await?;
    let mut all: Vec<_> = all.into_values().collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The fields of a subject that are defined.
pub(crate) async fn definitions(
    tx: &mut PgConnection,
    of: Subject,
) -> Result<Definitions, ContactError> {
    let rows: Vec<(String, String, String, Vec<String>)> = sqlx::query_as(
        "SELECT name, display_name, type, choices FROM tickets.contact_attribute WHERE subject = $1",
    )
    .bind(subject_name(of))
    .fetch_all(tx)
    .await?;
    let all = rows.into_iter().map(|(name, display_name, kind, choices)| {
        let attribute = ContactAttribute {
            name: name.clone(),
            display_name,
            r#type: type_of(&kind).into(),
            choices,
            subject: of.into(),
        };
        (name, attribute)
    });
    Ok(all.collect())
}

/// Removes a field and its values.
pub(crate) async fn delete(db: &Db, of: Subject, name: &str) -> Result<(), ContactError> {
    let name = name.to_owned();
    db.tx("contact.delete_attribute", |tx| {
        let name = name.clone();
        Box::pin(async move {
            let done = sqlx::query(
                "DELETE FROM tickets.contact_attribute WHERE name = $1 AND subject = $2",
            )
            .bind(&name)
            .bind(subject_name(of))
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() == 0 {
                return Err(ContactError::unknown("contact attribute", &name));
            }
            let values = match of {
                Subject::Organization => {
                    "UPDATE tickets.organization SET attributes = attributes - $1, version = version + 1
                     WHERE attributes ? $1"
                }
                Subject::Contact | Subject::Unspecified => {
                    "UPDATE tickets.contact SET attributes = attributes - $1, version = version + 1
                     WHERE attributes ? $1"
                }
            };
            sqlx::query(values)
            .bind(&name)
            .execute(tx)
            .await?;
            Ok(())
        })
    })
    .await
}

/// Values as they are stored: checked, in one form. Empty ones are left out. `place` is where they stand in the request.
pub(crate) fn checked(
    place: &str,
    values: &BTreeMap<String, String>,
    definitions: &Definitions,
) -> Result<BTreeMap<String, String>, ContactError> {
    let mut checked = BTreeMap::new();
    for (name, value) in values {
        let field = format!("{place}.{name}");
        let Some(definition) = definitions.get(name) else {
            return Err(ContactError::invalid(field, "there is no such field"));
        };
        if !value.is_empty() {
            let value = one(definition, value.trim());
            let value = value.map_err(|why| ContactError::invalid(field, why))?;
            checked.insert(name.clone(), value);
        }
    }
    Ok(checked)
}

/// The value in one form, or what was expected.
fn one(definition: &ContactAttribute, value: &str) -> Result<String, &'static str> {
    if value.len() > MAX_VALUE || value.contains('\0') {
        return Err("expected up to 2000 bytes");
    }
    match definition.r#type() {
        Type::Text | Type::Unspecified => Ok(value.to_owned()),
        Type::Number => {
            if let Some(exact) = Decimal::read(value) {
                return Ok(exact.to_string());
            }
            // Larger or finer than those, and with an exponent.
            let number: f64 = value.parse().map_err(|_| "expected a number")?;
            let finite = number.is_finite().then(|| number.to_string());
            finite.ok_or("expected a number")
        }
        Type::Boolean => match value {
            "true" | "false" => Ok(value.to_owned()),
            _ => Err("expected true or false"),
        },
        Type::Date => {
            let date: jiff::civil::Date = value
                .parse()
                .map_err(|_| "expected a date such as 2026-11-22")?;
            Ok(date.to_string())
        }
        Type::Choice => {
            let known = definition.choices.iter().any(|choice| choice == value);
            known
                .then(|| value.to_owned())
                .ok_or("expected one of the choices")
        }
    }
}

const fn subject_name(of: Subject) -> &'static str {
    match of {
        Subject::Organization => "organization",
        Subject::Contact | Subject::Unspecified => "contact",
    }
}

const fn type_name(of: Type) -> &'static str {
    match of {
        Type::Unspecified | Type::Text => "text",
        Type::Number => "number",
        Type::Boolean => "boolean",
        Type::Date => "date",
        Type::Choice => "choice",
    }
}

fn type_of(name: &str) -> Type {
    match name {
        "number" => Type::Number,
        "boolean" => Type::Boolean,
        "date" => Type::Date,
        "choice" => Type::Choice,
        _ => Type::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(of: Type, value: &str) -> Option<String> {
        let definition = ContactAttribute {
            name: "it".to_owned(),
            r#type: of.into(),
            choices: vec!["gold".to_owned()],
            ..ContactAttribute::default()
        };
        let definitions = Definitions::from([("it".to_owned(), definition)]);
        let values = BTreeMap::from([("it".to_owned(), value.to_owned())]);
        checked("contact.attributes", &values, &definitions)
            .ok()?
            .remove("it")
    }

    #[test]
    fn values_are_checked_by_type() {
        for (of, good, stored) in [
            (Type::Text, " any ", "any"),
            (Type::Number, "1.50", "1.5"),
            (
                Type::Number,
                "12345678901234567890.1",
                "12345678901234567890.1",
            ),
            (Type::Number, "1e3", "1000"),
            (Type::Boolean, "true", "true"),
            (Type::Date, "2026-02-28", "2026-02-28"),
            (Type::Choice, "gold", "gold"),
        ] {
            assert_eq!(value(of, good).as_deref(), Some(stored));
        }
        for (of, bad) in [
            (Type::Number, "much"),
            (Type::Number, "inf"),
            (Type::Boolean, "yes"),
            (Type::Date, "2026-02-30"),
            (Type::Choice, "silver"),
        ] {
            assert_eq!(value(of, bad), None, "{bad}");
        }
        let unknown = BTreeMap::from([("x".to_owned(), "1".to_owned())]);
        assert!(checked("contact.attributes", &unknown, &Definitions::new()).is_err());
    }

    #[test]
    fn definitions_are_checked() {
        let good = ContactAttribute {
            name: "customer_since".to_owned(),
            r#type: Type::Date.into(),
            ..ContactAttribute::default()
        };
        assert!(check_definition(&good).is_ok());
        for name in ["", "Since", "1st", "a-b", &"a".repeat(64)] {
            let bad = ContactAttribute {
                name: name.to_owned(),
                ..good.clone()
            };
            assert!(check_definition(&bad).is_err(), "{name}");
        }
        for of in [Type::Unspecified, Type::Choice] {
            let bad = ContactAttribute {
                r#type: of.into(),
                ..good.clone()
            };
            assert!(check_definition(&bad).is_err());
        }
    }
}

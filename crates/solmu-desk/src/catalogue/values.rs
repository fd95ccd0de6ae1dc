//! What whoever orders is asked, and what they answer.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use solmu_proto::ticket::v1::{CatalogueVariable, OrderValue, catalogue_variable::Kind};
use solmu_runtime::{ApiError, api_error::Violation};

/// Variables of one service.
const MAX_VARIABLES: usize = 50;
/// Options of one variable.
const MAX_OPTIONS: usize = 100;
/// Longest label and option, in bytes.
const MAX_LABEL: usize = 200;
/// Longest name, in bytes.
const MAX_NAME: usize = 63;
/// Longest answer, in bytes.
const MAX_VALUE: usize = 2_000;
/// Longest number.
const MAX_NUMBER: usize = 40;

/// What is wrong with the variables of a service.
pub(super) fn faults(variables: &[CatalogueVariable]) -> Vec<Violation> {
    let mut faults = Vec::new();
    if variables.len() > MAX_VARIABLES {
        let why = format!("more than {MAX_VARIABLES}");
        faults.push(Violation::new("item.variables", why));
    }
    let mut names = BTreeSet::new();
    for (index, variable) in variables.iter().enumerate() {
        let mut refuse = |field: &str, why: &str| {
            let field = format!("item.variables[{index}].{field}");
            faults.push(Violation::new(field, why));
        };
        if !is_name(&variable.name) {
            refuse(
                "name",
                "letters, digits and \"_\" in lower case, a letter first",
            );
        }
        if !names.insert(&variable.name) {
            refuse("name", "there is another one of this name");
        }
        let label = &variable.label;
        if label.trim().is_empty() || label.len() > MAX_LABEL || label.contains(char::is_control) {
            refuse("label", "1 to 200 bytes on one line");
        }
        if Kind::try_from(variable.kind).is_err() {
            refuse("kind", "there is no such kind");
        }
        let choice = variable.kind() == Kind::Choice;
        let options = &variable.options;
        let odd = |option: &String| {
            option.trim().is_empty()
                || option.len() > MAX_LABEL
                || option.contains(char::is_control)
        };
        if choice == options.is_empty() || options.len() > MAX_OPTIONS || options.iter().any(odd) {
            refuse(
                "options",
                "1 to 100 of a choice, of 1 to 200 bytes on one line each",
            );
        } else if !variable.default_value.is_empty()
            && let Err(why) = value(variable, &variable.default_value)
        {
            refuse("default_value", &why);
        }
    }
    faults
}

fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
}

/// No answers, as templates see them.
pub(super) fn blank(variables: &[CatalogueVariable]) -> BTreeMap<String, Value> {
    let all = variables.iter().map(|it| (it.name.clone(), nothing(it)));
    all.collect()
}

fn nothing(variable: &CatalogueVariable) -> Value {
    match variable.kind() {
        Kind::Boolean => Value::Bool(false),
        _ => Value::String(String::new()),
    }
}

/// The answers as templates see them. INVALID_ARGUMENT names all that are wrong, missing or not asked for.
pub(super) fn read(
    variables: &[CatalogueVariable],
    given: &[OrderValue],
) -> Result<BTreeMap<String, Value>, ApiError> {
    let mut wrong = Vec::new();
    let mut refuse =
        |name: &str, why: String| wrong.push(Violation::new(format!("values.{name}"), why));
    let mut answers: BTreeMap<&str, &str> = BTreeMap::new();
    for it in given {
        if variables.iter().all(|known| known.name != it.name) {
            refuse(&it.name, "is not asked for".to_owned());
        } else if answers.insert(&it.name, &it.value).is_some() {
            refuse(&it.name, "is given twice".to_owned());
        }
    }
    let mut values = BTreeMap::new();
    for variable in variables {
        let given = answers.get(variable.name.as_str()).copied();
        let text = given.filter(|it| !it.trim().is_empty());
        let text = text.unwrap_or(&variable.default_value);
        let read = if text.is_empty() {
            Ok(nothing(variable))
        } else {
            value(variable, text)
        };
        match read {
            Ok(_) if text.is_empty() && variable.required => {
                refuse(&variable.name, "is missing".to_owned());
            }
            Ok(value) => drop(values.insert(variable.name.clone(), value)),
            Err(why) => refuse(&variable.name, why),
        }
    }
    if wrong.is_empty() {
        return Ok(values);
    }
    Err(ApiError::InvalidArgument { violations: wrong })
}

/// One answer in its one form.
fn value(variable: &CatalogueVariable, text: &str) -> Result<Value, String> {
    let trimmed = text.trim();
    let known = match variable.kind() {
        Kind::Unspecified | Kind::Text => {
            if text.len() > MAX_VALUE || text.contains('\0') {
                return Err(format!("longer than {MAX_VALUE} bytes"));
            }
            return Ok(Value::String(trimmed.to_owned()));
        }
        Kind::Boolean => match trimmed {
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            _ => Err("expected \"true\" or \"false\"".to_owned()),
        },
        Kind::Number if is_number(trimmed) => Ok(trimmed),
        Kind::Number => Err("expected a decimal number".to_owned()),
        Kind::Date => match trimmed.parse::<jiff::civil::Date>() {
            Ok(date) if date.to_string() == trimmed => Ok(trimmed),
            _ => Err("expected a date, as 2026-11-22".to_owned()),
        },
        Kind::Choice if variable.options.iter().any(|it| it == trimmed) => Ok(trimmed),
        Kind::Choice => Err(format!("expected one of: {}", variable.options.join(", "))),
    };
    known.map(|text| Value::String(text.to_owned()))
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, places) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    text.len() <= MAX_NUMBER && all(whole) && all(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, kind: Kind) -> CatalogueVariable {
        CatalogueVariable {
            name: name.to_owned(),
            label: "L".to_owned(),
            kind: kind.into(),
            ..CatalogueVariable::default()
        }
    }

    fn given(pairs: &[(&str, &str)]) -> Vec<OrderValue> {
        let values = pairs.iter().map(|(name, value)| OrderValue {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        });
        values.collect()
    }

    #[test]
    fn answers_are_read_by_kind() {
        let variables = [
            CatalogueVariable {
                required: true,
                ..variable("who", Kind::Text)
            },
            variable("vpn", Kind::Boolean),
            variable("start", Kind::Date),
            CatalogueVariable {
                options: vec!["Small".to_owned(), "Large".to_owned()],
                default_value: "Small".to_owned(),
                ..variable("size", Kind::Choice)
            },
            variable("price", Kind::Number),
        ];
        assert!(faults(&variables).is_empty());
        let answers = given(&[("who", " Aino "), ("vpn", "true"), ("price", "-12.50")]);
        let read_back = read(&variables, &answers).unwrap();
        assert_eq!(read_back["who"], "Aino");
        assert_eq!(read_back["vpn"], true);
        assert_eq!(
            (&read_back["size"], &read_back["start"]),
            (&"Small".into(), &"".into())
        );
        assert_eq!(read_back["price"], "-12.50");

        let answers = given(&[
            ("who", "  "),
            ("vpn", "yes"),
            ("start", "2026-02-30"),
            ("size", "Huge"),
            ("price", "1e3"),
            ("other", "x"),
        ]);
        let Err(ApiError::InvalidArgument { violations }) = read(&variables, &answers) else {
            panic!("it was taken");
        };
        let fields: Vec<&str> = violations.iter().map(|it| it.field.as_str()).collect();
        let wanted = ["other", "who", "vpn", "start", "size", "price"];
        assert_eq!(fields, wanted.map(|it| format!("values.{it}")));
    }

    #[test]
    fn variables_are_checked() {
        let bad = [
            variable("Who", Kind::Text),
            variable("size", Kind::Choice),
            variable("size", Kind::Text),
            CatalogueVariable {
                default_value: "x".to_owned(),
                ..variable("n", Kind::Number)
            },
            CatalogueVariable {
                label: String::new(),
                kind: 99,
                ..variable("k", Kind::Text)
            },
        ];
        let found = faults(&bad);
        let fields: Vec<&str> = found.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "item.variables[0].name",
                "item.variables[1].options",
                "item.variables[2].name",
                "item.variables[3].default_value",
                "item.variables[4].label",
                "item.variables[4].kind",
            ]
        );
    }
}

//! Custom fields: values in canonical text, compared as texts, as numbers and on the line of time.

use std::collections::BTreeMap;

use proptest::prelude::*;
use solmu_conditions::{
    Condition, Fact, Facts, Field, FieldType, FilterError, Operator, Schema, parse, value_of,
    values_by_key,
};
use sqlx::{Postgres, QueryBuilder};

struct Custom(BTreeMap<String, Vec<String>>);

impl Facts for Custom {
    fn get(&self, field: &str) -> Option<Fact<'_>> {
        match field {
            "order_value" => value_of(&self.0, field),
            _ => value_of(&self.0, field.strip_prefix("fields.")?),
        }
    }
}

fn schema() -> Schema {
    Schema::new()
        .with(Field::new("fields", FieldType::ValueMap))
        .with(Field::new("order_value", FieldType::Value))
}

fn custom(fields: &[(&str, &[&str])]) -> Custom {
    let owned = fields.iter().map(|(key, values)| {
        let values = values.iter().map(|value| (*value).to_owned());
        ((*key).to_owned(), values.collect())
    });
    Custom(values_by_key(owned))
}

#[test]
fn custom_fields_compare_as_numbers_and_days() {
    let facts = custom(&[
        ("order_value", &["99.5"]),
        ("Delta", &["-3"]),
        ("due", &["2026-11-22"]),
        ("at", &["2026-11-22T08:00:00Z"]),
        ("tier", &["Gold"]),
        ("sizes", &["5", "50"]),
        ("empty", &[]),
        ("blank", &[""]),
    ]);
    for (filter, wanted) in [
        ("order_value >= 99.50", true),
        ("order_value > 99.5", false),
        ("order_value < 100 AND fields.order_value <= 99.5000", true),
        ("fields.delta < 0 AND fields.DELTA >= -3", true),
        ("fields.due < 2026-11-23 AND fields.due >= 2026-11", true),
        ("fields.due > 2026-11", false),
        ("fields.at <= 2026-11-22", true),
        ("fields.at > \"2026-11-22T10:00:00+02:00\"", false),
        ("fields.at >= \"2026-11-22T10:00:00+02:00\"", true),
        ("fields.tier > 5 OR fields.tier < 5", false),
        ("NOT fields.tier > 5", true),
        ("fields.tier = gold AND fields.tier != silver", true),
        ("fields.sizes > 40", true),
        ("fields.sizes > 50", false),
        (
            "fields.none > 1 OR fields.empty > 1 OR fields.blank:*",
            false,
        ),
        (
            "fields.tier = (gold OR silver) AND fields.tier:ol AND fields.tier = g*",
            true,
        ),
    ] {
        let condition = parse(filter, &schema()).unwrap_or_else(|it| panic!("{filter}: {it}"));
        assert_eq!(condition.evaluate(&facts), wanted, "{filter}");
        // It is stored and written as what it is read from again.
        let stored = serde_json::to_string(condition.condition()).unwrap();
        let read: Condition = serde_json::from_str(&stored).unwrap();
        assert_eq!(schema().check(&read).unwrap(), condition, "{filter}");
        let again = parse(&condition.to_filter_string(), &schema()).unwrap();
        assert_eq!(again, condition, "{filter}");
        let why = condition.explain(&facts);
        assert!(!format!("{why:?}").is_empty());
    }
}

#[test]
fn an_order_needs_a_number_or_a_time() {
    for filter in ["fields.tier > gold", "order_value < \"\"", "fields > 5"] {
        assert!(
            matches!(parse(filter, &schema()), Err(FilterError::Invalid(_))),
            "{filter}"
        );
    }
    let whole = Condition::leaf("fields.seats", Operator::Ge, 250_i64);
    let checked = schema().check(&whole).unwrap();
    assert!(checked.evaluate(&custom(&[("seats", &["250.00"])])));
    assert_eq!(checked.to_filter_string(), "fields.seats >= \"250\"");
}

#[test]
fn they_are_for_rules_and_not_for_lists() {
    let with_column =
        Schema::new().with(Field::new("fields", FieldType::ValueMap).column("t.fields"));
    let condition = parse("fields.a > 5", &with_column).unwrap();
    let mut query = QueryBuilder::<Postgres>::new("");
    let refused = condition.push_sql(&mut query).unwrap_err();
    assert_eq!(refused.field, "fields");
}

proptest! {
    #[test]
    fn numbers_have_the_order_that_they_have(one in -1_000_000_i64..1_000_000, two in -1_000_000_i64..1_000_000) {
        let text = |number: i64| {
            let sign = if number < 0 { "-" } else { "" };
            let number = number.unsigned_abs();
            format!("{sign}{}.{:03}", number / 1_000, number % 1_000)
        };
        let facts = Custom(values_by_key([("n".to_owned(), vec![text(one)])]));
        for (sign, wanted) in [("<", one < two), ("<=", one <= two), (">", one > two), (">=", one >= two)] {
            let filter = format!("fields.n {sign} \"{}\"", text(two));
            prop_assert_eq!(parse(&filter, &schema()).unwrap().evaluate(&facts), wanted, "{} of {}", filter, one);
        }
    }
}

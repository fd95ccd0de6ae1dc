//! What holds for every condition and every text.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use solmu_conditions::{Checked, Condition, Operator, Value, fold, parse};
use sqlx::{Postgres, QueryBuilder};

use crate::strategies::{condition, row, schema};

const PIECES: [&str; 24] = [
    "(",
    ")",
    " ",
    "AND",
    "OR",
    "NOT",
    "-",
    "status",
    "=",
    "!=",
    "<",
    ">=",
    ":",
    "*",
    "\"",
    "'",
    "\\",
    "open",
    "words",
    "tags",
    ".",
    ",",
    "ä",
    "headers.x",
];

fn checked(condition: &Condition) -> Checked {
    schema()
        .check(condition)
        .expect("the strategy makes conditions that fit")
}

/// Binds that the condition has to make: a value each, and a key for each look into a map.
fn binds(condition: &Condition) -> usize {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().map(binds).sum(),
        Condition::Not(part) => binds(part),
        Condition::Leaf(leaf) => {
            // A truth is written by the column itself or NOT before it.
            let truth = matches!(leaf.value, Some(Value::Bool(_)));
            usize::from(leaf.operator != Operator::Present && !truth)
                + usize::from(leaf.field.starts_with("headers."))
        }
    }
}

fn texts(condition: &Condition, found: &mut Vec<String>) {
    let mut text = |value: &Value| {
        if let Value::Text(text) = value {
            found.push(text.clone());
        }
    };
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            for part in parts {
                texts(part, found);
            }
        }
        Condition::Not(part) => texts(part, found),
        Condition::Leaf(leaf) => match &leaf.value {
            Some(Value::List(items)) => items.iter().for_each(text),
            Some(value) => text(value),
            None => {}
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_reads_back_as_the_same_condition(condition in condition()) {
        let checked = checked(&condition);
        let filter = checked.to_filter_string();
        let back = parse(&filter, &schema());
        prop_assert_eq!(back.as_ref(), Ok(&checked), "{}", filter);
    }

    #[test]
    fn json_reads_back_and_checking_again_changes_nothing(condition in condition()) {
        let checked = checked(&condition);
        let json = serde_json::to_string(checked.condition()).unwrap();
        let back: Condition = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&back, checked.condition());
        prop_assert_eq!(schema().check(&back).unwrap(), checked);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = parse(&text, &schema());
    }

    #[test]
    fn no_text_of_known_pieces_does_either_and_what_is_read_is_written_alike(
        pieces in vec(select(&PIECES[..]), 0..24)
    ) {
        if let Ok(checked) = parse(&pieces.concat(), &schema()) {
            prop_assert_eq!(parse(&checked.to_filter_string(), &schema()), Ok(checked));
        }
    }

    #[test]
    fn not_is_the_opposite_and_the_explanation_agrees(condition in condition(), row in row()) {
        let plain = checked(&condition);
        let negated = checked(&Condition::negated(condition));
        let outcome = plain.evaluate(&row);
        prop_assert_eq!(negated.evaluate(&row), !outcome);
        let explanation = plain.explain(&row);
        prop_assert_eq!(explanation.outcome, outcome);
        prop_assert!(!explanation.deciding().is_empty());
        prop_assert!(explanation.sentence().ends_with('.'));
    }

    #[test]
    fn sql_has_a_bind_for_each_value_and_no_text_of_a_user(condition in condition()) {
        let checked = checked(&condition);
        let mut query = QueryBuilder::<Postgres>::new("");
        checked.push_sql(&mut query).unwrap();
        let sql = query.into_string();
        prop_assert_eq!(sql.matches('$').count(), binds(checked.condition()));
        let mut found = Vec::new();
        texts(checked.condition(), &mut found);
        for text in found.iter().filter(|text| text.chars().count() > 6) {
            prop_assert!(!sql.contains(text.as_str()), "{}", sql);
        }
    }

    #[test]
    fn folding_twice_changes_nothing(text in any::<String>()) {
        prop_assert_eq!(fold(&fold(&text)), fold(&text));
    }
}

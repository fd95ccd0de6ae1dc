//! What the check refuses, and with which sentence.

use serde_json::json;
use solmu_conditions::{Condition, Limits, Problem};

use crate::strategies::schema;

fn faults(condition: serde_json::Value) -> Vec<(String, String)> {
    let condition: Condition = serde_json::from_value(condition).unwrap();
    let violations = schema()
        .check(&condition)
        .expect_err("the condition has a fault");
    violations
        .iter()
        .map(|violation| (violation.path.clone(), violation.to_string()))
        .collect()
}

fn fault(field: &str, operator: &str, value: impl Into<serde_json::Value>) -> String {
    faults(json!({"field": field, "operator": operator, "value": value.into()}))
        .remove(0)
        .1
}

#[test]
fn every_fault_is_reported_at_its_place() {
    let found = faults(json!({"all": [
        {"field": "prioritty", "operator": "=", "value": "high"},
        {"not": {"field": "status", "operator": "=", "value": "opne"}},
        {"any": []},
        {"field": "vip", "operator": "present"},
    ]}));
    assert_eq!(
        found,
        [
            (
                "/all/0".into(),
                "there is no field \"prioritty\", did you mean \"priority\"?".into()
            ),
            (
                "/all/1/not".into(),
                "\"status\" is never \"opne\", did you mean \"open\"?".into()
            ),
            (
                "/all/2".into(),
                "a group needs at least one condition, add one or remove the group".into()
            ),
        ]
    );
}

#[test]
fn sentences_say_what_to_do() {
    assert_eq!(
        fault("colour", "=", json!("red")),
        "there is no field \"colour\", use one of age, created_at, headers.<name>, org, price, priority, replies, sender, status, \
         subject, tags, vip, 1 more"
    );
    assert_eq!(
        fault("tags", "=", json!("a")),
        "\"tags\" does not take the operator \"=\", use one of :, in, starts_with, present"
    );
    assert_eq!(
        fault("priority", ">", json!("maximal")),
        "\"priority\" is never \"maximal\", use one of low, normal, high, urgent"
    );
    assert_eq!(
        fault("replies", "=", json!("42")),
        "\"replies\" is compared with a whole number, such as 42"
    );
    assert!(fault("price", "=", json!("much")).contains("such as 99.5"));
    assert!(fault("price", "=", json!("1.00000000001")).contains("10 behind it"));
    assert!(fault("created_at", "<", json!("9999-12-31T00:00:00Z")).contains("9999-12-30T22"));
    assert_eq!(
        fault("vip", "=", json!("yes")),
        "\"vip\" is compared with true or false"
    );
    assert!(fault("created_at", "<", json!("2026-01-32")).contains("with its offset"));
    assert!(fault("created_at", "<", json!("-7d")).contains("with its offset"));
    assert!(fault("age", "<", json!("soon")).contains("90s"));
    assert!(fault("org", "=", json!("acme")).contains("an id"));
    assert!(fault("words", ":", json!("?!")).contains("at least one word"));
    assert!(fault("subject", ":", json!("")).contains("not empty"));
    assert!(fault("subject", "=", json!("a\u{0}b")).contains("U+0000"));
    assert!(fault("subject", "in", json!("a")).contains("needs a list"));
    assert!(fault("subject", "in", json!([])).contains("needs a list"));
    assert!(fault("subject", "in", json!([["a"]])).contains("a text"));
    assert!(fault("subject", "=", json!(["a"])).contains("takes one value"));
    assert!(fault("subject", "present", json!("a")).contains("remove it"));
    assert!(fault("headers", "=", json!("a")).contains("did you mean \"headers.<name>\"?"));
    assert!(fault("headers.a b", "=", json!("a")).contains("no field"));
    let missing = faults(json!({"field": "subject", "operator": "="}));
    assert_eq!(missing[0].1, "the operator \"=\" needs a value");
}

#[test]
fn every_dimension_is_bounded() {
    let limits = Limits {
        depth: 3,
        leaves: 2,
        parts: 1,
        text_chars: 4,
        list_items: 2,
        filter_bytes: 40,
    };
    let schema = schema().with_limits(limits);
    let problem = |condition: &Condition| {
        schema.check(condition).expect_err("beyond a bound")[0]
            .problem
            .clone()
    };
    let vip = || Condition::leaf("vip", solmu_conditions::Operator::Eq, true);
    let nested = Condition::negated(Condition::negated(Condition::negated(vip())));
    assert_eq!(problem(&nested), Problem::TooDeep { limit: 3 });
    assert_eq!(
        problem(&Condition::All(vec![vip(), vip(), vip()])),
        Problem::TooManyLeaves { limit: 2 }
    );
    let text = |text: &str| Condition::leaf("subject", solmu_conditions::Operator::Eq, text);
    assert_eq!(problem(&text("ääkkö")), Problem::TextTooLong { limit: 4 });
    assert!(schema.check(&text("äiti")).is_ok());
    let part = |text: &str| Condition::leaf("subject", solmu_conditions::Operator::Has, text);
    assert_eq!(
        problem(&Condition::Any(vec![part("a"), part("b")])),
        Problem::TooManyParts { limit: 1 }
    );
    assert!(
        schema
            .check(&Condition::Any(vec![part("a"), text("b")]))
            .is_ok()
    );
    let list = Condition::leaf("replies", solmu_conditions::Operator::In, vec![1, 2, 3]);
    assert_eq!(problem(&list), Problem::ListTooLong { limit: 2 });
    assert_eq!(
        problem(&Condition::Any(vec![text("\\\\\\\\"), text("\\\\\\\\")])),
        Problem::TooLong { limit: 40 }
    );
    assert_eq!(problem(&Condition::Any(Vec::new())), Problem::EmptyGroup);
}

#[test]
fn canonical_form_unwraps_single_groups_and_names_the_fields() {
    let condition: Condition = serde_json::from_value(json!({"all": [{"any": [
        {"field": "headers.X-Spam", "operator": "=", "value": "yes"},
        {"field": "tags", "operator": ":", "value": "vip"},
        {"field": "tags", "operator": ":", "value": "lasku"},
    ]}]}))
    .unwrap();
    let checked = schema().check(&condition).unwrap();
    assert!(matches!(checked.condition(), Condition::Any(parts) if parts.len() == 3));
    assert_eq!(checked.fields(), ["headers", "tags"]);
    assert_eq!(
        checked.to_string(),
        r#"headers.x-spam = "yes" OR tags:"vip" OR tags:"lasku""#
    );
}

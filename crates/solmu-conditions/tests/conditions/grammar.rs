//! The filter grammar by examples.

use serde_json::{Value as Json, json};
use solmu_conditions::{FilterError, Limits, SyntaxProblem, parse};

use crate::strategies::schema;

fn read(filter: &str) -> Json {
    let checked = parse(filter, &schema()).unwrap_or_else(|error| panic!("{filter}: {error}"));
    serde_json::to_value(checked.condition()).unwrap()
}

fn written(filter: &str) -> String {
    parse(filter, &schema())
        .unwrap_or_else(|error| panic!("{filter}: {error}"))
        .to_filter_string()
}

fn refused(filter: &str) -> String {
    match parse(filter, &schema()) {
        Ok(checked) => panic!("{filter} was read as {checked}"),
        Err(error) => error.to_string(),
    }
}

fn leaf(field: &str, operator: &str, value: impl Into<Json>) -> Json {
    json!({"field": field, "operator": operator, "value": value.into()})
}

#[test]
fn or_binds_tighter_than_and() {
    let (new, open, vip) = (
        leaf("status", "=", "new"),
        leaf("status", "=", "open"),
        leaf("vip", "=", true),
    );
    let expected = json!({"all": [vip, {"any": [new, open]}]});
    assert_eq!(
        read("vip = true AND status = new OR status = open"),
        expected
    );
    assert_eq!(read("vip=true status=new OR status=open"), expected);
    assert_eq!(
        read("((vip = true)) AND (status = new OR status = open)"),
        expected
    );
    assert_eq!(
        read("(vip = true AND status = new) OR status = open"),
        json!({"any": [{"all": [vip, new]}, open]})
    );
}

#[test]
fn negation_takes_one_comparison_or_group() {
    let new = leaf("status", "=", "new");
    assert_eq!(read("NOT status = new"), json!({"not": new}));
    assert_eq!(read("-status = new"), json!({"not": new}));
    assert_eq!(read("NOT (NOT status = new)"), json!({"not": {"not": new}}));
    assert_eq!(read("-lasku"), json!({"not": leaf("words", ":", "lasku")}));
    assert_eq!(
        written("-(status=new vip=true)"),
        r#"NOT (status = "new" AND vip = true)"#
    );
}

#[test]
fn values_are_read_by_the_type_of_the_field() {
    assert_eq!(read("replies >= -2"), leaf("replies", ">=", -2));
    assert_eq!(read("replies = \"42\""), leaf("replies", "=", 42));
    assert_eq!(read("sender = 42"), leaf("sender", "=", "42"));
    assert_eq!(read("vip != false"), leaf("vip", "!=", false));
    assert_eq!(
        read("created_at > 2026-01-31T10:00:00+02:00"),
        leaf("created_at", ">", "2026-01-31T08:00:00Z")
    );
    assert_eq!(read("age < \"1h 30m\""), leaf("age", "<", "5400s"));
    assert_eq!(
        read("org = 0198C5D2-7A10-7BB2-8E4F-0242AC120002"),
        leaf("org", "=", "0198c5d2-7a10-7bb2-8e4f-0242ac120002")
    );
    assert_eq!(
        read("headers.X-Spam : kyllä"),
        leaf("headers.x-spam", ":", "kyllä")
    );
    assert_eq!(
        read("sender = maija@example.fi"),
        leaf("sender", "=", "maija@example.fi")
    );
}

#[test]
fn stars_ask_for_ends_presence_and_parts() {
    assert_eq!(
        read("tags:*"),
        json!({"field": "tags", "operator": "present"})
    );
    assert_eq!(
        read("sender = \"*@example.fi\""),
        leaf("sender", "ends_with", "@example.fi")
    );
    assert_eq!(read("subject = Re*"), leaf("subject", "starts_with", "Re"));
    assert_eq!(read("subject = \"*lasku*\""), leaf("subject", ":", "lasku"));
    assert_eq!(
        read("words:toimit*"),
        leaf("words", "starts_with", "toimit")
    );
    assert_eq!(read(r#"subject = "\*a\*""#), leaf("subject", "=", "*a*"));
    assert_eq!(written("words:'ei toimi*'"), r#"words:"ei toimi*""#);
}

#[test]
fn lists_are_groups_of_values() {
    assert_eq!(
        read("status = (new OR open)"),
        leaf("status", "in", json!(["new", "open"]))
    );
    assert_eq!(
        read("replies:( 1 OR -2 )"),
        leaf("replies", "in", json!([1, -2]))
    );
    assert_eq!(
        written("tags = (vip OR lasku)"),
        r#"tags:("vip" OR "lasku")"#
    );
    assert_eq!(
        read("words:(lasku OR toimit*)"),
        json!({"any": [leaf("words", ":", "lasku"), leaf("words", "starts_with", "toimit")]})
    );
}

#[test]
fn words_alone_are_searched_and_nothing_matches_everything() {
    assert_eq!(
        read("lasku \"ei toimi\" vip = true"),
        json!({"all": [leaf("words", ":", "lasku"), leaf("words", ":", "ei toimi"), leaf("vip", "=", true)]})
    );
    assert_eq!(read(" \n "), json!({"all": []}));
    assert_eq!(written(""), "");
}

#[test]
fn faults_say_where_and_what_to_do() {
    for (filter, message) in [
        ("status =", "at character 9: expected a value after \"=\""),
        (
            "status = open AND",
            "at character 18: expected a comparison such as status = open, found the end",
        ),
        (
            "AND status = open",
            "at character 1: expected a comparison such as status = open, found AND",
        ),
        (
            "status = open and vip = true",
            "at character 15: write AND in capitals, or in quotes to search for the word",
        ),
        (
            "(status = open",
            "at character 1: this parenthesis is not closed, add \")\"",
        ),
        (
            "status = open)",
            "at character 14: nothing is open here, remove \")\" or add \"(\"",
        ),
        (
            "ää subject = \"a",
            "at character 14: this quote is not closed, add \"",
        ),
        (
            "age(created_at) > 3",
            "at character 1: functions are not supported, \"age(\" cannot be used",
        ),
        (
            "status = lower(x)",
            "at character 10: functions are not supported, \"lower(\" cannot be used",
        ),
        (
            "NOT NOT vip = true",
            "at character 5: two negations in a row, put the second in parentheses or remove both",
        ),
        (
            "\"status\" = open",
            "at character 1: the name of a field stands without quotes before \"=\"",
        ),
        (
            "subject = a=b",
            "at character 11: put the value in quotes, it holds \"=\"",
        ),
        (
            "subject = \"a\\qb\"",
            "at character 13: \"\\q\" is no escape, write \"\\\\\" for a backslash",
        ),
        (
            "tags:*vip*",
            "at character 6: \"tags\" cannot be searched for a part of a word, remove the first star",
        ),
        (
            "tags = *",
            "at character 8: write tags:* to ask whether there is a value",
        ),
        (
            "status = (open AND new)",
            "at character 16: a list is values joined by OR, such as (open OR pending)",
        ),
        (
            "priority > (high OR low)",
            "at character 12: a list works after \"=\" and \":\" only; write NOT before the \
            comparison for the opposite",
        ),
    ] {
        assert_eq!(refused(filter), message, "{filter}");
    }
    assert!(refused("subject = a*b").contains("first or last"));
    assert!(refused("subject != a*").contains("NOT before"));
    let no_search = solmu_conditions::Schema::new();
    assert!(
        parse("lasku", &no_search)
            .unwrap_err()
            .to_string()
            .contains("stands alone")
    );
}

#[test]
fn violations_carry_the_position_of_their_leaf() {
    let FilterError::Invalid(violations) =
        parse("vip = true (prioritty = high OR tags = a)", &schema()).unwrap_err()
    else {
        panic!("the filter follows the grammar")
    };
    let positions: Vec<_> = violations
        .iter()
        .map(|violation| violation.position)
        .collect();
    assert_eq!(positions, [Some(13), Some(33)]);
    assert_eq!(violations[0].path, "/all/1/any/0");
}

#[test]
fn hostile_input_is_a_typed_error() {
    let parentheses = "(".repeat(100_000);
    assert!(matches!(
        parse(&parentheses, &schema()),
        Err(FilterError::TooLong { .. })
    ));
    let generous = schema().with_limits(Limits {
        filter_bytes: 1 << 20,
        depth: usize::MAX,
        ..Limits::DEFAULT
    });
    let deep = |filter: &str| match parse(filter, &generous) {
        Err(FilterError::Syntax {
            problem: SyntaxProblem::TooDeep { limit },
            ..
        }) => limit,
        other => panic!("{other:?}"),
    };
    assert_eq!(deep(&parentheses), 64);
    assert_eq!(deep(&"-(".repeat(50_000)), 64);
    assert_eq!(deep(&"NOT (a = 1 AND ".repeat(6_000)), 64);
    assert!(parse(&"-".repeat(100_000), &generous).is_err());
    assert!(
        parse(&"a ".repeat(50_000), &generous)
            .unwrap_err()
            .to_string()
            .contains("more than 256 comparisons")
    );
    assert!(
        parse(
            &format!("status = ({}open)", "open OR ".repeat(501)),
            &generous
        )
        .is_err()
    );
}

//! Calendars, policies and cases that are refused, and what the refusal says.

use serde_json::{Value, json};
use solmu_domain::sla::{Calendar, CalendarError, CalendarSpec, Policy, eval::eval_case};

use crate::support::{spec, weekdays_json};

fn refusal(json: Value) -> CalendarError {
    Calendar::new(&spec(json)).expect_err("the calendar is refused")
}

#[test]
fn bad_fields_are_named() {
    let cases = [
        (json!({"tz": "Europe/Hellsinki"}), "tz"),
        (
            json!({"hours": {"monday": [["08:00", "16:00"]]}}),
            "hours.monday",
        ),
        (
            json!({"hours": {"mon": [["08:00", "16:00"], ["17:00", "25:00"]]}}),
            "hours.mon[1]",
        ),
        (json!({"hours": {"mon": [["8", "16:00"]]}}), "hours.mon[0]"),
        (
            json!({"hours": {"mon": [["08:60", "16:00"]]}}),
            "hours.mon[0]",
        ),
        (
            json!({"hours": {"mon": [["+8:00", "16:00"]]}}),
            "hours.mon[0]",
        ),
        (
            json!({"hours": {"mon": [["24:00", "16:00"]]}}),
            "hours.mon[0]",
        ),
        (
            json!({"hours": {"mon": [["08:00:00:00", "16:00"]]}}),
            "hours.mon[0]",
        ),
        (
            json!({"hours": {"mon": [["08:00", "24:01"]]}}),
            "hours.mon[0]",
        ),
        (
            json!({"holidays": ["2024-06-21", "2024-02-30"]}),
            "holidays[1]",
        ),
        (json!({"holidays": ["*-13-01"]}), "holidays[0]"),
        (json!({"holidays": ["*12-25"]}), "holidays[0]"),
        (json!({"holidays": ["20240621"]}), "holidays[0]"),
        (
            json!({"overrides": {"2024-06-31": []}}),
            "overrides.2024-06-31",
        ),
        (
            json!({"overrides": {"2024-06-20": [["x", "y"]]}}),
            "overrides.2024-06-20[0]",
        ),
        (
            json!({"breaks": {"2024-06-20": [["23:00", "01:00"]]}}),
            "breaks.2024-06-20[0]",
        ),
        (json!({"breaks": {"juhannus": []}}), "breaks.juhannus"),
    ];
    for (json, field) in cases {
        let error = refusal(json.clone());
        assert_eq!(error.field(), field, "{json}");
        assert!(
            error.to_string().starts_with(field),
            "'{error}' does not name {field}"
        );
    }
}

#[test]
fn unknown_fields_are_refused() {
    assert!(serde_json::from_value::<CalendarSpec>(json!({"tz": "UTC", "holiday": []})).is_err());
}

#[test]
fn calendars_that_never_open_are_refused() {
    let all_year: Vec<_> = (1..=12)
        .flat_map(|month| (1..=31).map(move |day| (month, day)))
        .collect();
    let yearly: Vec<_> = all_year
        .iter()
        .filter(|(month, day)| {
            *day <= 29 || (*day == 30 && *month != 2) || [1, 3, 5, 7, 8, 10, 12].contains(month)
        })
        .map(|(month, day)| format!("*-{month:02}-{day:02}"))
        .collect();
    let hours = json!([["08:00", "16:00"]]);
    for json in [
        json!({"tz": "UTC"}),
        json!({"tz": "UTC", "hours": {"mon": []}}),
        json!({"tz": "UTC", "overrides": {"2024-06-20": [["08:00", "12:00"]]}}),
        weekdays_json("UTC", &hours, json!({"holidays": yearly})),
        weekdays_json("UTC", &hours, json!({"holidays": dates("2024-01-01", 366)})),
        weekdays_json(
            "UTC",
            &hours,
            json!({"overrides": closed("2024-01-01", 366)}),
        ),
        json!({"tz": "UTC", "hours": {"mon": hours}, "breaks": broken("2024-01-01", 400)}),
    ] {
        assert_eq!(refusal(json), CalendarError::NeverOpens);
    }
}

#[test]
fn long_closures_below_a_year_are_allowed() {
    let hours = json!([["08:00", "16:00"]]);
    // From Saturday 30 December 2023 to Sunday 29 December 2024 are 366 days; one of them opens.
    let closed_days: Vec<_> = dates("2024-01-01", 360);
    let json = weekdays_json("UTC", &hours, json!({"holidays": closed_days}));
    assert!(Calendar::new(&spec(json)).is_ok());
    assert!(Calendar::new(&spec(json!({"always_open": true}))).is_ok());
}

#[test]
fn a_spec_is_written_as_it_was_read() {
    let json = json!({
        "tz": "Europe/Helsinki",
        "hours": {"mon": [["08:00", "16:00"]]},
        "holidays": ["*-12-25"],
        "overrides": {"2024-06-20": [["08:00", "12:00"]]},
        "breaks": {"2024-06-03": [["12:00", "13:00"]]},
    });
    assert_eq!(
        serde_json::to_value(spec(json.clone())).expect("it is plain data"),
        json
    );
}

#[test]
fn bad_policies_name_the_field() {
    let cases = [
        (json!({"targets": {}}), "targets"),
        (json!({"targets": {"low": {}}}), "targets"),
        (
            json!({"targets": {"low": {"resolution": 0}}}),
            "targets.low.resolution",
        ),
        (
            json!({"targets": {"low": {"next_response": -1}}}),
            "targets.low.next_response",
        ),
        (
            json!({"targets": {"low": {"resolution": 600}}, "remind_before_s": 0}),
            "remind_before_s",
        ),
    ];
    for (json, field) in cases {
        let policy: Policy = serde_json::from_value(json).expect("the form is right");
        assert_eq!(policy.check().expect_err("it is refused").field(), field);
    }
    assert!(serde_json::from_value::<Policy>(json!({"targets": {"low": {"resolve": 1}}})).is_err());
}

#[test]
fn malformed_cases_are_errors_and_not_panics() {
    let calendar = json!({"tz": "UTC", "hours": {"mon": [["08:00", "16:00"]]}});
    for case in [
        json!(null),
        json!({"id": 1, "kind": "due", "calendar": calendar}),
        json!({"id": 1, "kind": "due", "calendar": calendar, "start": "2024-06-03T08:00:00Z"}),
        json!({"id": 1, "kind": "elapsed", "calendar": calendar, "start": "2024-06-03T08:00:00Z", "events": []}),
        json!({"id": 1, "kind": "ticket", "calendar": calendar, "start": "2024-06-03T08:00:00Z"}),
        json!({"id": 1, "kind": "open", "calendar": {"tz": "Mars/Base"}, "start": "2024-06-03T08:00:00Z"}),
        json!({"id": 1, "kind": "ticket", "calendar": calendar, "start": "2024-06-03T08:00:00Z",
            "policy": {"targets": {"*": {"resolution": 60}}},
            "events": [{"at": "2024-06-03T09:00:00Z", "type": "calendar", "to": "nowhere"}]}),
    ] {
        assert!(eval_case(case.clone()).is_err(), "{case}");
    }
}

#[test]
fn cases_may_hold_calendars_that_never_open() {
    let case = json!({"id": "never", "kind": "due", "calendar": {"tz": "UTC"}, "start": "2024-06-03T08:00:00Z",
        "policy": {"target_s": 60}});
    assert_eq!(
        eval_case(case).expect("it is evaluated"),
        json!({"id": "never", "due": null})
    );
}

/// That many dates in a row.
fn dates(first: &str, count: i64) -> Vec<String> {
    let first: jiff::civil::Date = first.parse().expect("it is a date");
    first
        .series(jiff::Span::new().days(1))
        .take(usize::try_from(count).expect("small"))
        .map(|d| d.to_string())
        .collect()
}

fn by_date(first: &str, count: i64, windows: &Value) -> Value {
    dates(first, count)
        .into_iter()
        .map(|date| (date, windows.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn closed(first: &str, count: i64) -> Value {
    by_date(first, count, &json!([]))
}

fn broken(first: &str, count: i64) -> Value {
    by_date(first, count, &json!([["00:00", "24:00"]]))
}

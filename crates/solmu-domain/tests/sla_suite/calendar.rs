//! Rules of calendars, one table for each.

use serde_json::json;

use crate::support::{assert_due, assert_elapsed, assert_open, at, calendar, helsinki, weekdays};

const HOUR: i64 = 3600;

#[test]
fn office_hours_count_only_windows() {
    assert_elapsed(
        &helsinki(),
        &[
            ("2024-06-03T08:00+03:00", "2024-06-03T09:30+03:00", 5400),
            ("2024-06-03T06:00+03:00", "2024-06-03T09:00+03:00", HOUR),
            ("2024-06-03T15:00+03:00", "2024-06-04T09:00+03:00", 2 * HOUR),
            ("2024-06-07T15:00+03:00", "2024-06-10T09:00+03:00", 2 * HOUR),
            ("2024-06-08T10:00+03:00", "2024-06-09T10:00+03:00", 0),
            ("2024-06-03T10:00+03:00", "2024-06-03T10:00+03:00", 0),
            (
                "2024-01-01T00:00+02:00",
                "2025-01-01T00:00+02:00",
                262 * 8 * HOUR,
            ),
        ],
    );
}

#[test]
fn due_skips_what_is_closed() {
    assert_due(
        &helsinki(),
        &[
            ("2024-06-03T08:00+03:00", HOUR, "2024-06-03T09:00+03:00"),
            ("2024-06-03T05:00+03:00", HOUR, "2024-06-03T09:00+03:00"),
            ("2024-06-03T15:30+03:00", HOUR, "2024-06-04T08:30+03:00"),
            ("2024-06-07T15:30+03:00", HOUR, "2024-06-10T08:30+03:00"),
            (
                "2024-06-03T08:00+03:00",
                40 * HOUR,
                "2024-06-07T16:00+03:00",
            ),
            (
                "2024-06-03T08:00+03:00",
                40 * HOUR + 1,
                "2024-06-10T08:00:01+03:00",
            ),
            (
                "2024-01-01T00:00+02:00",
                262 * 8 * HOUR,
                "2024-12-31T16:00+02:00",
            ),
            (
                "2024-06-03T08:00+03:00",
                10 * 2080 * HOUR,
                "2034-05-19T16:00+03:00",
            ),
        ],
    );
}

#[test]
fn a_target_that_ends_with_the_day_is_due_at_closing() {
    let calendar = helsinki();
    let start = at("2024-06-07T08:00+03:00");
    assert_eq!(calendar.due(start, 8 * HOUR), at("2024-06-07T16:00+03:00"));
    assert_eq!(
        calendar.due_open(start, 8 * HOUR),
        at("2024-06-10T08:00+03:00")
    );
    assert_eq!(calendar.due_open(start, HOUR), calendar.due(start, HOUR));
}

#[test]
fn zero_target_is_due_at_the_first_open_instant() {
    assert_due(
        &helsinki(),
        &[
            ("2024-06-03T09:00+03:00", 0, "2024-06-03T09:00+03:00"),
            ("2024-06-03T16:00+03:00", 0, "2024-06-04T08:00+03:00"),
            ("2024-06-08T12:00+03:00", -5, "2024-06-10T08:00+03:00"),
        ],
    );
}

#[test]
fn the_opening_is_open_and_the_closing_is_not() {
    assert_open(
        &helsinki(),
        &[
            ("2024-06-03T07:59:59.999999+03:00", false),
            ("2024-06-03T08:00+03:00", true),
            ("2024-06-03T15:59:59.999999+03:00", true),
            ("2024-06-03T16:00+03:00", false),
            ("2024-06-08T12:00+03:00", false),
        ],
    );
}

#[test]
fn next_opening_is_now_when_open() {
    let calendar = helsinki();
    let cases = [
        ("2024-06-03T09:00:00.5+03:00", "2024-06-03T09:00:00.5+03:00"),
        ("2024-06-03T16:00+03:00", "2024-06-04T08:00+03:00"),
        ("2024-06-07T23:00+03:00", "2024-06-10T08:00+03:00"),
    ];
    for (from, opening) in cases {
        assert_eq!(calendar.next_opening(at(from)), at(opening), "from {from}");
    }
}

#[test]
fn microseconds_count() {
    let calendar = helsinki();
    let start = at("2024-06-03T15:59:59.999999+03:00");
    assert_eq!(
        calendar.due(start, 1),
        at("2024-06-04T08:00:00.999999+03:00")
    );
    assert_eq!(
        calendar.elapsed_micros(start, at("2024-06-04T08:00:00.000001+03:00")),
        2
    );
    assert_eq!(
        calendar.elapsed(start, at("2024-06-04T08:00:00.9+03:00")),
        0
    );
    assert_eq!(
        calendar.elapsed(start, at("2024-06-04T08:00:00.999999+03:00")),
        1
    );
}

#[test]
fn lunch_is_the_gap_between_two_windows() {
    let calendar = weekdays(
        "Europe/Helsinki",
        &json!([["08:00", "11:30"], ["12:15", "16:00"]]),
        json!({}),
    );
    assert_due(
        &calendar,
        &[
            ("2024-06-03T11:00+03:00", HOUR, "2024-06-03T12:45+03:00"),
            ("2024-06-03T08:00+03:00", 12600, "2024-06-03T11:30+03:00"),
            ("2024-06-03T11:45+03:00", 60, "2024-06-03T12:16+03:00"),
        ],
    );
    assert_open(
        &calendar,
        &[
            ("2024-06-03T11:30+03:00", false),
            ("2024-06-03T12:15+03:00", true),
        ],
    );
}

#[test]
fn windows_that_overlap_or_touch_count_once() {
    let calendar = weekdays(
        "Europe/Helsinki",
        &json!([["10:00", "14:00"], ["08:00", "12:00"], ["14:00", "16:00"]]),
        json!({}),
    );
    assert_elapsed(
        &calendar,
        &[("2024-06-03T00:00+03:00", "2024-06-04T00:00+03:00", 8 * HOUR)],
    );
    // 14:00 is no closing, because the next window opens there.
    let start = at("2024-06-03T08:00+03:00");
    assert_eq!(
        calendar.due_open(start, 6 * HOUR),
        at("2024-06-03T14:00+03:00")
    );
}

#[test]
fn night_shift_is_split_at_midnight() {
    let calendar = weekdays("Europe/Helsinki", &json!([["22:00", "06:00"]]), json!({}));
    assert_elapsed(
        &calendar,
        &[
            ("2024-06-03T00:00+03:00", "2024-06-04T00:00+03:00", 2 * HOUR),
            ("2024-06-04T00:00+03:00", "2024-06-05T00:00+03:00", 8 * HOUR),
            ("2024-06-08T00:00+03:00", "2024-06-09T00:00+03:00", 6 * HOUR),
            ("2024-06-09T00:00+03:00", "2024-06-10T00:00+03:00", 0),
        ],
    );
    assert_due(
        &calendar,
        &[("2024-06-07T22:00+03:00", 8 * HOUR, "2024-06-08T06:00+03:00")],
    );
}

#[test]
fn midnight_is_written_24_00_and_equal_ends_are_a_full_day() {
    for windows in [json!([["00:00", "24:00"]]), json!([["00:00", "00:00"]])] {
        let calendar = weekdays("Europe/Helsinki", &windows, json!({}));
        assert_elapsed(
            &calendar,
            &[(
                "2024-06-03T00:00+03:00",
                "2024-06-10T00:00+03:00",
                120 * HOUR,
            )],
        );
        // Friday's midnight closes, Monday's to Thursday's do not.
        let monday = at("2024-06-03T00:00+03:00");
        assert_eq!(
            calendar.due_open(monday, 24 * HOUR),
            at("2024-06-04T00:00+03:00")
        );
        assert_eq!(
            calendar.due_open(monday, 120 * HOUR),
            at("2024-06-10T00:00+03:00")
        );
    }
    let from_eight = weekdays("Europe/Helsinki", &json!([["08:00", "08:00"]]), json!({}));
    assert_elapsed(
        &from_eight,
        &[("2024-06-08T00:00+03:00", "2024-06-09T00:00+03:00", 8 * HOUR)],
    );
}

#[test]
fn holidays_close_the_date() {
    let calendar = weekdays(
        "Europe/Helsinki",
        &json!([["08:00", "16:00"]]),
        json!({"holidays": ["2024-06-21", "*-12-25"]}),
    );
    assert_due(
        &calendar,
        &[
            ("2024-06-20T15:00+03:00", 2 * HOUR, "2024-06-24T09:00+03:00"),
            ("2024-12-24T15:00+02:00", 2 * HOUR, "2024-12-26T09:00+02:00"),
            ("2030-12-24T15:00+02:00", 2 * HOUR, "2030-12-26T09:00+02:00"),
        ],
    );
    assert_open(
        &calendar,
        &[
            ("2025-12-25T12:00+02:00", false),
            ("2025-06-20T12:00+03:00", true),
        ],
    );
}

#[test]
fn holiday_takes_the_end_of_the_night_before_but_leaves_its_own_night() {
    let night = weekdays(
        "Europe/Helsinki",
        &json!([["22:00", "06:00"]]),
        json!({"holidays": ["2024-06-05"]}),
    );
    assert_elapsed(
        &night,
        &[
            ("2024-06-04T20:00+03:00", "2024-06-05T12:00+03:00", 2 * HOUR),
            ("2024-06-05T12:00+03:00", "2024-06-06T12:00+03:00", 6 * HOUR),
        ],
    );
}

#[test]
fn leap_day_may_be_a_yearly_holiday() {
    let calendar = weekdays(
        "UTC",
        &json!([["08:00", "16:00"]]),
        json!({"holidays": ["*-02-29"]}),
    );
    assert_open(
        &calendar,
        &[
            ("2024-02-29T12:00Z", false),
            ("2023-03-01T12:00Z", true),
            ("2024-03-01T12:00Z", true),
        ],
    );
}

#[test]
fn an_override_replaces_the_date_and_opens_closed_ones() {
    let calendar = weekdays(
        "Europe/Helsinki",
        &json!([["08:00", "16:00"]]),
        json!({"overrides": {"2024-06-20": [["08:00", "12:00"]], "2024-06-22": [["10:00", "11:00"]], "2024-06-24": []}}),
    );
    assert_elapsed(
        &calendar,
        &[
            ("2024-06-20T00:00+03:00", "2024-06-21T00:00+03:00", 4 * HOUR),
            ("2024-06-22T00:00+03:00", "2024-06-23T00:00+03:00", HOUR),
            ("2024-06-24T00:00+03:00", "2024-06-25T00:00+03:00", 0),
        ],
    );
}

#[test]
fn an_override_also_replaces_the_end_of_the_night_before() {
    let calendar = weekdays(
        "Europe/Helsinki",
        &json!([["22:00", "06:00"]]),
        json!({"overrides": {"2024-06-05": [["10:00", "02:00"]]}}),
    );
    assert_elapsed(
        &calendar,
        &[
            ("2024-06-05T00:00+03:00", "2024-06-05T08:00+03:00", 0),
            (
                "2024-06-05T08:00+03:00",
                "2024-06-06T00:00+03:00",
                14 * HOUR,
            ),
            ("2024-06-06T00:00+03:00", "2024-06-06T08:00+03:00", 2 * HOUR),
        ],
    );
}

#[test]
fn a_holiday_beats_an_override() {
    let calendar = weekdays(
        "Europe/Helsinki",
        &json!([["08:00", "16:00"]]),
        json!({"holidays": ["2024-06-20"], "overrides": {"2024-06-20": [["08:00", "12:00"]]}}),
    );
    assert_elapsed(
        &calendar,
        &[("2024-06-20T00:00+03:00", "2024-06-21T00:00+03:00", 0)],
    );
}

#[test]
fn breaks_come_out_of_one_date() {
    let calendar = weekdays(
        "Europe/Helsinki",
        &json!([["08:00", "16:00"]]),
        json!({"breaks": {"2024-06-04": [["07:00", "09:00"], ["12:00", "13:00"], ["15:30", "24:00"]]}}),
    );
    assert_elapsed(
        &calendar,
        &[("2024-06-04T00:00+03:00", "2024-06-05T00:00+03:00", 19800)],
    );
    assert_open(
        &calendar,
        &[
            ("2024-06-04T12:30+03:00", false),
            ("2024-06-05T12:30+03:00", true),
        ],
    );
    assert_due(
        &calendar,
        &[("2024-06-04T08:00+03:00", 3 * HOUR, "2024-06-04T12:00+03:00")],
    );
}

#[test]
fn always_open_is_plain_time() {
    let calendar =
        calendar(json!({"tz": "Europe/Helsinki", "always_open": true, "holidays": ["2024-03-31"]}));
    assert_elapsed(
        &calendar,
        &[(
            "2024-03-30T12:00+02:00",
            "2024-04-01T12:00+03:00",
            47 * HOUR,
        )],
    );
    assert_due(
        &calendar,
        &[(
            "2024-03-30T12:00+02:00",
            24 * HOUR,
            "2024-03-31T13:00+03:00",
        )],
    );
    assert_open(&calendar, &[("2024-03-31T12:00+03:00", true)]);
}

#[test]
fn years_outside_the_cache_are_counted_too() {
    let calendar = weekdays("Europe/Helsinki", &json!([["08:00", "16:00"]]), json!({}));
    assert_elapsed(
        &calendar,
        &[
            ("1950-01-02T00:00Z", "1950-01-09T00:00Z", 40 * HOUR),
            ("2200-01-06T00:00Z", "2200-01-13T00:00Z", 40 * HOUR),
        ],
    );
    assert_due(
        &calendar,
        &[("1969-12-31T00:00Z", 16 * HOUR, "1970-01-01T14:00Z")],
    );
    assert_eq!(
        calendar.due(at("2024-06-03T08:00Z"), i64::MAX),
        jiff::Timestamp::MAX
    );
    assert_eq!(
        calendar.next_opening(jiff::Timestamp::MAX),
        jiff::Timestamp::MAX
    );
}

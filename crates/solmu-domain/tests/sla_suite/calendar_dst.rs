//! Calendars where the clocks change.

use serde_json::json;

use crate::support::{assert_due, assert_elapsed, assert_open, calendar, weekdays};

const HOUR: i64 = 3600;

#[test]
fn a_full_day_has_23_and_25_hours_in_helsinki() {
    let calendar =
        calendar(json!({"tz": "Europe/Helsinki", "hours": {"sun": [["00:00", "24:00"]]}}));
    assert_elapsed(
        &calendar,
        &[
            (
                "2024-03-30T12:00+02:00",
                "2024-04-01T12:00+03:00",
                23 * HOUR,
            ),
            (
                "2024-10-26T12:00+03:00",
                "2024-10-28T12:00+02:00",
                25 * HOUR,
            ),
            (
                "2024-06-01T12:00+03:00",
                "2024-06-03T12:00+03:00",
                24 * HOUR,
            ),
        ],
    );
}

#[test]
fn a_window_edge_in_the_gap_moves_forward() {
    // 03:00 becomes 04:00 in Helsinki on 31 March 2024.
    let calendar =
        calendar(json!({"tz": "Europe/Helsinki", "hours": {"sun": [["02:00", "03:30"]]}}));
    assert_elapsed(
        &calendar,
        &[("2024-03-31T00:00+02:00", "2024-03-31T12:00+03:00", 5400)],
    );
    assert_open(
        &calendar,
        &[
            ("2024-03-31T04:29+03:00", true),
            ("2024-03-31T04:30+03:00", false),
        ],
    );
}

#[test]
fn a_window_inside_the_gap_moves_forward_whole() {
    let calendar =
        calendar(json!({"tz": "America/New_York", "hours": {"sun": [["02:15", "02:45"]]}}));
    assert_due(
        &calendar,
        &[("2024-03-10T00:00-05:00", 1800, "2024-03-10T03:45-04:00")],
    );
}

#[test]
fn a_window_that_the_gap_empties_is_dropped() {
    // 02:30 moves to 03:30, past the closing at 03:15.
    let calendar =
        calendar(json!({"tz": "America/New_York", "hours": {"sun": [["02:30", "03:15"]]}}));
    assert_elapsed(
        &calendar,
        &[("2024-03-10T00:00-05:00", "2024-03-11T00:00-04:00", 0)],
    );
    assert_due(
        &calendar,
        &[("2024-03-10T00:00-05:00", 2700, "2024-03-17T03:15-04:00")],
    );
}

#[test]
fn an_edge_in_the_fold_is_the_first_of_both() {
    // 04:00 becomes 03:00 in Helsinki on 27 October 2024.
    let opens = calendar(json!({"tz": "Europe/Helsinki", "hours": {"sun": [["03:30", "05:00"]]}}));
    assert_elapsed(
        &opens,
        &[("2024-10-27T00:00+03:00", "2024-10-27T12:00+02:00", 9000)],
    );
    let closes = calendar(json!({"tz": "Europe/Helsinki", "hours": {"sun": [["02:00", "03:30"]]}}));
    assert_elapsed(
        &closes,
        &[("2024-10-27T00:00+03:00", "2024-10-27T12:00+02:00", 5400)],
    );
    assert_open(
        &closes,
        &[
            ("2024-10-27T03:15+03:00", true),
            ("2024-10-27T03:15+02:00", false),
        ],
    );
}

#[test]
fn lord_howe_moves_by_half_an_hour() {
    let calendar =
        calendar(json!({"tz": "Australia/Lord_Howe", "hours": {"sun": [["00:00", "24:00"]]}}));
    assert_elapsed(
        &calendar,
        &[
            (
                "2024-04-06T12:00+11:00",
                "2024-04-08T00:00+10:30",
                24 * HOUR + 1800,
            ),
            (
                "2024-10-05T12:00+10:30",
                "2024-10-07T00:00+11:00",
                24 * HOUR - 1800,
            ),
        ],
    );
}

#[test]
fn troll_moves_by_two_hours_and_kathmandu_never() {
    let troll = calendar(json!({"tz": "Antarctica/Troll", "hours": {"sun": [["00:00", "24:00"]]}}));
    assert_elapsed(
        &troll,
        &[("2024-03-30T12:00Z", "2024-04-01T12:00Z", 22 * HOUR)],
    );
    let kathmandu = weekdays("Asia/Kathmandu", &json!([["09:00", "17:00"]]), json!({}));
    assert_due(
        &kathmandu,
        &[("2024-03-08T16:00+05:45", 2 * HOUR, "2024-03-11T10:00+05:45")],
    );
}

#[test]
fn the_clocks_may_change_at_midnight() {
    // Midnight itself does not exist in São Paulo on 4 November 2018.
    let calendar = calendar(json!({"tz": "America/Sao_Paulo", "hours": {
        "sat": [["00:00", "24:00"]], "sun": [["00:00", "24:00"]], "mon": [["00:00", "24:00"]]}}));
    assert_elapsed(
        &calendar,
        &[(
            "2018-11-03T00:00-03:00",
            "2018-11-06T00:00-02:00",
            71 * HOUR,
        )],
    );
}

#[test]
fn a_date_that_the_date_line_swallows_is_the_next_day() {
    // Friday 30 December 2011 does not exist in Apia: it moves onto Saturday, which overlaps nothing twice.
    let calendar = weekdays("Pacific/Apia", &json!([["09:00", "17:00"]]), json!({}));
    assert_elapsed(
        &calendar,
        &[(
            "2011-12-29T00:00-10:00",
            "2012-01-01T00:00+14:00",
            16 * HOUR,
        )],
    );
}

#[test]
fn night_shift_over_a_change_of_clocks_has_the_hours_that_pass() {
    let calendar =
        calendar(json!({"tz": "Europe/Helsinki", "hours": {"sat": [["22:00", "06:00"]]}}));
    assert_elapsed(
        &calendar,
        &[
            ("2024-03-30T12:00+02:00", "2024-03-31T12:00+03:00", 7 * HOUR),
            ("2024-10-26T12:00+03:00", "2024-10-27T12:00+02:00", 9 * HOUR),
        ],
    );
}

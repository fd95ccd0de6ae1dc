//! Holidays out of iCalendar files.

use jiff::civil::date;
use solmu_domain::sla::{Calendar, HolidayImport, ICAL_MAX_BYTES, IcalError, holidays_of_ical};

use crate::support::{at, spec};

fn import(events: &str) -> HolidayImport {
    let text = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{events}\r\nEND:VCALENDAR\r\n");
    holidays_of_ical(&text, date(2026, 1, 1), date(2028, 12, 31)).expect("it is a calendar")
}

fn event(properties: &str) -> HolidayImport {
    import(&format!("BEGIN:VEVENT\r\n{properties}\r\nEND:VEVENT"))
}

fn keys(import: &HolidayImport) -> Vec<&str> {
    import.holidays.keys().map(String::as_str).collect()
}

#[test]
fn single_days_and_several() {
    let read = event("DTSTART;VALUE=DATE:20260619\r\nSUMMARY:Juhannusaatto\\, koko päivä");
    assert_eq!(keys(&read), ["2026-06-19"]);
    assert_eq!(read.holidays["2026-06-19"], "Juhannusaatto, koko päivä");
    let read = event("DTSTART;VALUE=DATE:20261224\r\nDTEND;VALUE=DATE:20261227");
    assert_eq!(keys(&read), ["2026-12-24", "2026-12-25", "2026-12-26"]);
    let read = event("DTSTART:20260101T000000\r\nDURATION:P2D");
    assert_eq!(keys(&read), ["2026-01-01", "2026-01-02"]);
    assert!(
        event("DTSTART;VALUE=DATE:20200101").holidays.is_empty(),
        "before the time that was asked for"
    );
}

#[test]
fn yearly_rules() {
    let fixed =
        event("DTSTART;VALUE=DATE:20101206\r\nRRULE:FREQ=YEARLY\r\nSUMMARY:Itsenäisyyspäivä");
    assert_eq!(keys(&fixed), ["*-12-06"]);
    let thanksgiving =
        event("DTSTART;VALUE=DATE:20201126\r\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH");
    assert_eq!(
        keys(&thanksgiving),
        ["2026-11-26", "2027-11-25", "2028-11-23"]
    );
    let last_monday =
        event("DTSTART;VALUE=DATE:20200525\r\nRRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO");
    assert_eq!(
        keys(&last_monday),
        ["2026-05-25", "2027-05-31", "2028-05-29"]
    );
    let until = event("DTSTART;VALUE=DATE:20260501\r\nRRULE:FREQ=YEARLY;UNTIL=20270601");
    assert_eq!(keys(&until), ["2026-05-01", "2027-05-01"]);
    let except =
        event("DTSTART;VALUE=DATE:20260501\r\nRRULE:FREQ=YEARLY\r\nEXDATE;VALUE=DATE:20270501");
    assert_eq!(keys(&except), ["2026-05-01", "2028-05-01"]);
    let every_second = event("DTSTART;VALUE=DATE:20260501\r\nRRULE:FREQ=YEARLY;INTERVAL=2");
    assert_eq!(keys(&every_second), ["2026-05-01", "2028-05-01"]);
    let leap = event("DTSTART;VALUE=DATE:20240229\r\nRRULE:FREQ=YEARLY;COUNT=3");
    assert_eq!(keys(&leap), ["2028-02-29"]);
    let dates = event("DTSTART;VALUE=DATE:20260403\r\nRDATE;VALUE=DATE:20270326,20280414");
    assert_eq!(keys(&dates), ["2026-04-03", "2027-03-26", "2028-04-14"]);
}

#[test]
fn what_is_no_holiday_is_named() {
    let read = import(
        "BEGIN:VEVENT\r\nSUMMARY:Meeting\r\nDTSTART:20260110T100000Z\r\nEND:VEVENT\r\n\
         BEGIN:VEVENT\r\nSUMMARY:Weekly\r\nDTSTART;VALUE=DATE:20260110\r\nRRULE:FREQ=WEEKLY\r\nEND:VEVENT\r\n\
         BEGIN:VEVENT\r\nSUMMARY:Off\r\nSTATUS:CANCELLED\r\nDTSTART;VALUE=DATE:20260110\r\nEND:VEVENT\r\n\
         BEGIN:VEVENT\r\nSUMMARY:Summer\r\nDTSTART;VALUE=DATE:20260601\r\nDTEND;VALUE=DATE:20260801\r\nEND:VEVENT\r\n\
         BEGIN:VEVENT\r\nSUMMARY:Nothing\r\nEND:VEVENT",
    );
    assert!(read.holidays.is_empty());
    let skipped: Vec<_> = read
        .skipped
        .iter()
        .map(|entry| (entry.line, entry.name.as_str(), entry.reason))
        .collect();
    assert_eq!(
        skipped,
        [
            (3, "Meeting", "is not an all-day event"),
            (7, "Weekly", "has a rule that is not a yearly one"),
            (12, "Off", "is cancelled"),
            (17, "Summer", "is longer than 31 days"),
            (22, "Nothing", "has no start"),
        ]
    );
}

#[test]
fn folded_lines_quoted_parameters_and_alarms() {
    let read = event(
        "DTSTART;X-NOTE=\"a:b;c\";VALUE=DATE:2026\r\n 0106\r\nSUMMARY;LANGUAGE=fi:Loppi\r\n\tainen\r\n\
         BEGIN:VALARM\r\nSUMMARY:not this\r\nDTSTART;VALUE=DATE:20260107\r\nEND:VALARM",
    );
    assert_eq!(keys(&read), ["2026-01-06"]);
    assert_eq!(read.holidays["2026-01-06"], "Loppiainen");
}

#[test]
fn what_is_no_calendar_is_refused() {
    let read = |text: &str| holidays_of_ical(text, date(2026, 1, 1), date(2027, 1, 1));
    assert_eq!(read("<html>").unwrap_err(), IcalError::NotIcal);
    assert_eq!(read("").unwrap_err(), IcalError::NotIcal);
    let long = "x".repeat(ICAL_MAX_BYTES + 1);
    assert_eq!(read(&long).unwrap_err(), IcalError::TooLong);
    let many = format!(
        "BEGIN:VCALENDAR\n{}END:VCALENDAR",
        "BEGIN:VEVENT\nEND:VEVENT\n".repeat(5_001)
    );
    assert_eq!(read(&many).unwrap_err(), IcalError::TooManyEvents);
}

#[test]
fn imported_holidays_close_a_calendar() {
    let read = event("DTSTART;VALUE=DATE:20101206\r\nRRULE:FREQ=YEARLY");
    let mut spec = spec(
        serde_json::json!({"tz": "Europe/Helsinki", "hours": {"mon": [["08:00", "16:00"]],
        "tue": [["08:00", "16:00"]], "sun": [["08:00", "16:00"]]}}),
    );
    spec.holidays.extend(read.holidays.into_keys());
    let calendar = Calendar::new(&spec).expect("valid");
    assert!(!calendar.is_open(at("2026-12-06T08:00:00Z")));
    assert!(calendar.is_open(at("2026-12-07T08:00:00Z")));
}

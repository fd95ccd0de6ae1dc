//! Single values by type, and the one way each is written.

use jiff::{SignedDuration, Span, Timestamp, civil::Date, tz::TimeZone};
use uuid::Uuid;

use crate::condition::Value;
use crate::decimal::Decimal;

/// The first and the last instant that values can name: PostgreSQL writes those before otherwise, and there is none later.
const FIRST: Timestamp = Timestamp::constant(-62_135_596_800, 0);
const LAST: Timestamp = Timestamp::constant(253_402_207_200, 999_999_000);

/// Longest duration in values, 100 years: what `interval` compares without overflow.
const MAX_DURATION: SignedDuration = SignedDuration::from_hours(100 * 366 * 24);

/// One value, read by the type of its field.
pub(crate) enum Scalar {
    Bool(bool),
    Integer(i64),
    Decimal(Decimal),
    /// An instant, and how it was written if that has to be kept: by its distance from now.
    Timestamp(Timestamp, Option<String>),
    /// From the first instant until before the second: a day, a month or a year as it was written.
    Period(Timestamp, Timestamp, String),
    Duration(i64),
    /// An id, and the name that it was written as.
    Id(Uuid, Option<String>),
    Text(String),
}

impl Scalar {
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The canonical value, the same however the user wrote it.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Integer(number) => Value::Integer(*number),
            Self::Decimal(number) => match number.whole() {
                Some(whole) => Value::Integer(whole),
                None => Value::Text(number.to_string()),
            },
            Self::Timestamp(_, Some(written)) | Self::Period(_, _, written) => {
                Value::Text(written.clone())
            }
            Self::Timestamp(at, None) => Value::Text(at.to_string()),
            Self::Duration(micros) => Value::Text(seconds(*micros)),
            Self::Id(_, Some(name)) => Value::Text(name.clone()),
            Self::Id(id, None) => Value::Text(id.to_string()),
            Self::Text(text) => Value::Text(text.clone()),
        }
    }
}

/// An instant by RFC 3339, cut to the microsecond. Years beyond 1 to 9999 are refused: PostgreSQL writes them otherwise.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let at: Timestamp = text.trim().parse().ok()?;
    let at = Timestamp::from_microsecond(at.as_microsecond()).ok()?;
    (1..=9999)
        .contains(&at.to_zoned(jiff::tz::TimeZone::UTC).year())
        .then_some(at)
}

/// An instant, a day, month or year of the clock's zone (UTC without a clock), or with a clock the distance from now.
pub(crate) fn moment(text: &str, clock: Option<&(Timestamp, TimeZone)>) -> Option<Scalar> {
    if let Some(at) = timestamp(text) {
        return Some(Scalar::Timestamp(at, None));
    }
    let text = text.trim();
    let zone = clock.map_or(TimeZone::UTC, |(_, zone)| zone.clone());
    if let Some((first, next)) = days(text) {
        // The first and the last day can reach beyond what there is.
        let start = |day: Option<Date>| {
            let zoned = day.and_then(|day| day.to_zoned(zone.clone()).ok());
            zoned.map_or(LAST, |at| at.timestamp().clamp(FIRST, LAST))
        };
        let (from, to) = (start(Some(first)), start(next));
        return Some(Scalar::Period(from, to, text.to_owned()));
    }
    let (now, _) = clock?;
    if !text.starts_with(['-', '+']) {
        return None;
    }
    let span: Span = text.parse().ok()?;
    let at = now.to_zoned(zone).checked_add(span).ok()?.timestamp();
    let at = timestamp(&at.to_string())?;
    Some(Scalar::Timestamp(at, Some(text.to_owned())))
}

/// The first day of what `2026`, `2026-04` or `2026-04-30` names, and the first one after it: none after the year 9999.
fn days(text: &str) -> Option<(Date, Option<Date>)> {
    let numeric = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-');
    if !numeric || text.starts_with("0000") {
        return None;
    }
    let (first, span) = match text.len() {
        4 => (format!("{text}-01-01"), Span::new().years(1)),
        7 => (format!("{text}-01"), Span::new().months(1)),
        10 => (text.to_owned(), Span::new().days(1)),
        _ => return None,
    };
    let first: Date = first.parse().ok()?;
    Some((first, first.checked_add(span).ok()))
}

/// A length of time in microseconds.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let span: SignedDuration = text.trim().parse().ok()?;
    if span.abs() > MAX_DURATION {
        return None;
    }
    i64::try_from(span.as_micros()).ok()
}

/// Microseconds as AIP-160 writes a duration: `90s`, `-0.25s`.
pub(crate) fn seconds(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let (whole, fraction) = (
        micros.unsigned_abs() / 1_000_000,
        micros.unsigned_abs() % 1_000_000,
    );
    if fraction == 0 {
        return format!("{sign}{whole}s");
    }
    let fraction = format!("{fraction:06}");
    format!("{sign}{whole}.{}s", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_canonical_form_that_reads_back() {
        for (written, canonical) in [
            ("90s", "90s"),
            ("2h 30m", "9000s"),
            ("1.5s", "1.5s"),
            ("-0.25s", "-0.25s"),
        ] {
            let micros = duration(written).unwrap();
            assert_eq!(seconds(micros), canonical);
            assert_eq!(duration(canonical), Some(micros));
        }
        assert_eq!(duration("1000000h"), None);
        assert_eq!(duration("soon"), None);
    }

    #[test]
    fn days_and_distances_are_of_the_clock() {
        let helsinki = (
            "2026-04-30T12:00:00Z".parse().unwrap(),
            TimeZone::get("Europe/Helsinki").unwrap(),
        );
        let read = |text: &str| match moment(text, Some(&helsinki)) {
            Some(Scalar::Period(from, to, _)) => format!("{from} {to}"),
            Some(Scalar::Timestamp(at, _)) => at.to_string(),
            _ => String::new(),
        };
        assert_eq!(read("2026-04"), "2026-03-31T21:00:00Z 2026-04-30T21:00:00Z");
        assert_eq!(
            read("2026-10-25"),
            "2026-10-24T21:00:00Z 2026-10-25T22:00:00Z"
        );
        assert_eq!(read("2025"), "2024-12-31T22:00:00Z 2025-12-31T22:00:00Z");
        assert_eq!(read("-7d"), "2026-04-23T12:00:00Z");
        assert_eq!(read("-90m"), "2026-04-30T10:30:00Z");
        for wrong in [
            "2026-13",
            "2026-02-30",
            "26",
            "7d",
            "0000",
            "+99999y",
            "2026-4-1",
        ] {
            assert_eq!(read(wrong), "", "{wrong}");
        }
        assert!(moment("-7d", None).is_none());
    }

    #[test]
    fn the_first_and_the_last_days_are_cut_to_what_there_is() {
        let read = |text: &str, zone: &str| {
            let clock = (Timestamp::UNIX_EPOCH, TimeZone::get(zone).unwrap());
            match moment(text, Some(&clock)) {
                Some(Scalar::Period(from, to, _)) => format!("{from} {to}"),
                _ => String::new(),
            }
        };
        let last = "9999-12-30T22:00:00.999999Z";
        let year = format!("9999-01-01T00:00:00Z {last}");
        assert_eq!(read("9999", "UTC"), year);
        assert_eq!(read("9999-12-31", "UTC"), format!("{last} {last}"));
        assert_eq!(
            read("9999-12", "America/New_York"),
            format!("9999-12-01T05:00:00Z {last}")
        );
        assert_eq!(
            read("0001-01-01", "Europe/Helsinki"),
            "0001-01-01T00:00:00Z 0001-01-01T22:20:11Z"
        );
        assert_eq!(read("0000", "UTC"), "");
        assert_eq!(timestamp("9999-12-31T00:00:00Z"), None);
    }

    #[test]
    fn timestamps_need_an_offset_and_a_common_year() {
        assert_eq!(
            timestamp("2026-01-31T10:00:00+02:00").unwrap().to_string(),
            "2026-01-31T08:00:00Z"
        );
        assert_eq!(timestamp("2026-01-31"), None);
        assert_eq!(timestamp("2026-01-31T10:00:00"), None);
        assert_eq!(timestamp("-000044-03-15T00:00:00Z"), None);
    }
}

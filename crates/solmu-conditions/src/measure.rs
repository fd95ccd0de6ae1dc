//! Values in canonical text that are compared by order: decimal numbers exactly, days and instants on one line of time.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::compiled::Compare;
use crate::scalar::{Scalar, moment, timestamp};

/// Digits before and after the point, as custom fields hold them.
const WHOLE: usize = 20;
const PARTS: usize = 10;

/// What a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// In units of the last digit after the point.
    Number(i128),
    Instant(Timestamp),
}

impl Measure {
    /// Whether a found value compares so. One of another kind does not.
    pub(crate) fn holds(self, compare: Compare, found: &str) -> bool {
        match self {
            Self::Number(asked) => number(found).is_some_and(|it| compare.holds(it.cmp(&asked))),
            Self::Instant(asked) => instant(found).is_some_and(|it| compare.holds(it.cmp(&asked))),
        }
    }
}

/// What a comparison by order asks: of a day, month or year its beginning or its end.
pub(crate) fn measured(text: &str, compare: Compare) -> Option<(Compare, Measure)> {
    // Before dates: a year alone reads as a number, as it would in a field of numbers.
    if let Some(number) = number(text) {
        return Some((compare, Measure::Number(number)));
    }
    Some(match moment(text, None)? {
        Scalar::Timestamp(at, _) => (compare, Measure::Instant(at)),
        Scalar::Period(from, to, _) => match compare {
            Compare::Le => (Compare::Lt, Measure::Instant(to)),
            Compare::Gt => (Compare::Ge, Measure::Instant(to)),
            other => (other, Measure::Instant(from)),
        },
        _ => return None,
    })
}

/// A decimal number, in units of its last possible digit.
fn number(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, parts) = digits.split_once('.').unwrap_or((digits, "0"));
    let numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > WHOLE || parts.is_empty() || parts.len() > PARTS {
        return None;
    }
    if !numeric(whole) || !numeric(parts) {
        return None;
    }
    let units: i128 = format!("{whole}{parts:0<PARTS$}").parse().ok()?;
    Some(if negative { -units } else { units })
}

/// An instant, or the first one of a day in UTC.
fn instant(text: &str) -> Option<Timestamp> {
    if let Some(at) = timestamp(text) {
        return Some(at);
    }
    let day: Date = text.trim().parse().ok()?;
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Whether a text is a decimal number, for who knows that a field holds numbers.
pub fn is_number(text: &str) -> bool {
    number(text).is_some()
}

/// Whether a text is a day, a month, or an instant, for who knows that a field holds them.
pub fn is_moment(text: &str) -> bool {
    number(text).is_none() && moment(text, None).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_and_of_bounded_length() {
        for (text, units) in [
            ("0", Some(0)),
            ("99.5", Some(995_000_000_000)),
            ("-0.0000000001", Some(-1)),
            (" 12 ", Some(120_000_000_000)),
            (
                "99999999999999999999.9999999999",
                Some(999_999_999_999_999_999_999_999_999_999),
            ),
            ("100000000000000000000", None),
            ("1.00000000001", None),
            ("1e3", None),
            ("1.", None),
            (".5", None),
            ("", None),
            ("-", None),
            ("1 000", None),
        ] {
            assert_eq!(number(text), units, "{text}");
        }
    }

    #[test]
    fn days_have_a_beginning_and_an_end() {
        let holds = |compare, asked: &str, found: &str| {
            let (compare, measure) = measured(asked, compare).unwrap();
            measure.holds(compare, found)
        };
        assert!(holds(Compare::Le, "2026-11", "2026-11-30"));
        assert!(!holds(Compare::Gt, "2026-11", "2026-11-30"));
        assert!(holds(Compare::Gt, "2026-11", "2026-12-01T00:00:00Z"));
        assert!(holds(Compare::Lt, "2026-11-22", "2026-11-21"));
        assert!(!holds(Compare::Lt, "2026-11-22", "soon"));
        assert!(holds(
            Compare::Ge,
            "2026-11-22T10:00:00+02:00",
            "2026-11-22T08:00:00Z"
        ));
        // A number is no day, and the other way round.
        assert!(!holds(Compare::Gt, "5", "2026-11-22"));
        assert!(!holds(Compare::Gt, "2026-11-22", "99999999999"));
        assert!(measured("soon", Compare::Lt).is_none());
    }
}

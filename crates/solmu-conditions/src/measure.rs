//! Values in canonical text that are compared by order: decimal numbers exactly, days and instants on one line of time.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::compiled::Compare;
use crate::decimal::Decimal;
use crate::scalar::{Scalar, moment, timestamp};

/// What a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Number(Decimal),
    Instant(Timestamp),
}

impl Measure {
    /// Whether a found value compares so. One of another kind does not.
    pub(crate) fn holds(self, compare: Compare, found: &str) -> bool {
        match self {
            Self::Number(asked) => {
                Decimal::read(found).is_some_and(|it| compare.holds(it.cmp(&asked)))
            }
            Self::Instant(asked) => instant(found).is_some_and(|it| compare.holds(it.cmp(&asked))),
        }
    }
}

/// What a comparison by order asks: of a day, month or year its beginning or its end.
pub(crate) fn measured(text: &str, compare: Compare) -> Option<(Compare, Measure)> {
    // Before dates: a year alone reads as a number, as it would in a field of numbers.
    if let Some(number) = Decimal::read(text) {
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
    Decimal::read(text).is_some()
}

/// Whether a text is a day, a month, or an instant, for who knows that a field holds them.
pub fn is_moment(text: &str) -> bool {
    Decimal::read(text).is_none() && moment(text, None).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

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

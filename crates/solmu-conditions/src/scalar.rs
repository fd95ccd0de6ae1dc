//! Single values by type, and the one way each is written.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::condition::Value;

/// Longest duration in values, 100 years: what `interval` compares without overflow.
const MAX_DURATION: SignedDuration = SignedDuration::from_hours(100 * 366 * 24);

/// One value, read by the type of its field.
pub(crate) enum Scalar {
    Bool(bool),
    Integer(i64),
    Timestamp(Timestamp),
    Duration(i64),
    Id(Uuid),
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
            Self::Timestamp(at) => Value::Text(at.to_string()),
            Self::Duration(micros) => Value::Text(seconds(*micros)),
            Self::Id(id) => Value::Text(id.to_string()),
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

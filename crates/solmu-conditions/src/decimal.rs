//! Decimal numbers, exact: floating point would store 0.1 as something else, and find it by another number.

use std::fmt;

/// Digits before and after the point, as custom fields hold them.
const WHOLE: usize = 20;
const PARTS: usize = 10;
/// Units of a whole.
const SCALE: i128 = 10_i128.pow(10);

/// A decimal number of at most 20 digits before the point and 10 after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal {
    /// In units of the last digit after the point.
    units: i128,
}

impl Decimal {
    /// Reads `12`, `-0.5`, `99.50`: no exponent, no grouping, digits on both sides of a point. Zeros in front of the number
    /// and behind the point do not count.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, parts) = digits.split_once('.').unwrap_or((digits, "0"));
        let numeric =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !numeric(whole) || !numeric(parts) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let parts = parts.trim_end_matches('0');
        if whole.len() > WHOLE || parts.len() > PARTS {
            return None;
        }
        let units: i128 = format!("0{whole}{parts:0<PARTS$}").parse().ok()?;
        Some(Self {
            units: if negative { -units } else { units },
        })
    }

    /// The number, if it has nothing after the point and is no larger than an `i64`.
    pub(crate) fn whole(self) -> Option<i64> {
        (self.units % SCALE == 0)
            .then(|| i64::try_from(self.units / SCALE).ok())
            .flatten()
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self {
            units: i128::from(number) * SCALE,
        }
    }
}

/// The shortest form, which is how custom fields store it: `99.5`, `-3`, `0`.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.units < 0 { "-" } else { "" };
        let units = self.units.unsigned_abs();
        let (whole, parts) = (units / SCALE.unsigned_abs(), units % SCALE.unsigned_abs());
        write!(f, "{sign}{whole}")?;
        if parts > 0 {
            let parts = format!("{parts:0>PARTS$}");
            write!(f, ".{}", parts.trim_end_matches('0'))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_of_bounded_length_and_have_one_form() {
        for (text, shortest) in [
            ("0", Some("0")),
            ("-0.00", Some("0")),
            ("99.50", Some("99.5")),
            ("007.5", Some("7.5")),
            ("-0.0000000001", Some("-0.0000000001")),
            (" 12 ", Some("12")),
            ("0.1", Some("0.1")),
            (
                "-99999999999999999999.9999999999",
                Some("-99999999999999999999.9999999999"),
            ),
            ("1.00000000000000000000", Some("1")),
            ("100000000000000000000", None),
            ("1.00000000001", None),
            ("1e3", None),
            ("1.", None),
            (".5", None),
            ("", None),
            ("-", None),
            ("+1", None),
            ("--1", None),
            ("1 000", None),
            ("1,5", None),
            ("٣", None),
        ] {
            let read = Decimal::read(text);
            assert_eq!(read.map(|it| it.to_string()).as_deref(), shortest, "{text}");
            let again = read.and_then(|it| Decimal::read(&it.to_string()));
            assert_eq!(again, read, "{text}");
        }
    }

    #[test]
    fn numbers_have_an_order_and_whole_ones_are_told() {
        let sorted = [
            "-10.5",
            "-10",
            "-0.5",
            "0",
            "0.0000000001",
            "0.5",
            "2",
            "10",
        ];
        let read: Vec<Decimal> = sorted.iter().filter_map(|it| Decimal::read(it)).collect();
        assert!(read.is_sorted() && read.len() == sorted.len());
        assert_eq!(Decimal::read("12.0").and_then(Decimal::whole), Some(12));
        assert_eq!(Decimal::read("12.5").and_then(Decimal::whole), None);
        let large = Decimal::read("99999999999999999999");
        assert_eq!(large.and_then(Decimal::whole), None);
        assert_eq!(Decimal::from(i64::MIN).whole(), Some(i64::MIN));
    }
}

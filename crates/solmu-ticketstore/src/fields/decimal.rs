//! Decimal numbers as text: exact, where floating point would store 0.1 as something else.

use std::cmp::Ordering;

/// Digits before and after the point.
const WHOLE: usize = 20;
const FRACTION: usize = 10;

/// The number in its shortest form, without an exponent; `None` if it is none or has too many digits.
pub(super) fn canonical(text: &str) -> Option<String> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let legal = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !legal(whole) || !legal(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if whole.len() > WHOLE || fraction.len() > FRACTION {
        return None;
    }
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if negative && !(whole.is_empty() && fraction.is_empty()) {
        "-"
    } else {
        ""
    };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

/// Compares two canonical numbers.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let key = |text: &str| -> i128 {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let padded = format!("{whole}{fraction:0<FRACTION$}");
        // At most 30 digits and a sign: always a number.
        padded.parse().unwrap_or(0)
    };
    key(a).cmp(&key(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_and_short() {
        for (text, stored) in [
            ("0", "0"),
            ("-0.00", "0"),
            ("007.50", "7.5"),
            ("+1", "1"),
            ("0.1", "0.1"),
            (
                "-12345678901234567890.0123456789",
                "-12345678901234567890.0123456789",
            ),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(stored));
        }
        for bad in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1e5",
            "inf",
            "1,5",
            "--1",
            "0x1",
            "٣",
            "123456789012345678901",
        ] {
            assert_eq!(canonical(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_have_an_order() {
        let sorted = [
            "-10.5",
            "-10",
            "-0.5",
            "0",
            "0.0000000001",
            "0.5",
            "2",
            "10",
            "99999999999999999999",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_eq!(compare("1.5", "1.5"), Ordering::Equal);
    }
}

//! Decimal numbers as text: exact, where floating point would store 0.1 as something else.

use std::cmp::Ordering;

use solmu_conditions::Decimal;

/// The number in its shortest form, without an exponent; `None` if it is none or has too many digits.
pub(super) fn canonical(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let has_two_signs = unsigned.len() < text.len() && unsigned.starts_with('-');
    if has_two_signs || unsigned != unsigned.trim() {
        return None;
    }
    Some(Decimal::read(unsigned)?.to_string())
}

/// Compares two canonical numbers.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    Decimal::read(a).cmp(&Decimal::read(b))
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
            "+-1",
            " 1",
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

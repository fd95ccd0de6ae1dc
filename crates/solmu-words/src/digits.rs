//! Numbers that people write in groups: telephone numbers, IBANs, card and parcel numbers.
//!
//! The groups are words by themselves, so a number that is asked for as it was written is found. Who asks for it in one
//! piece, or pastes it from another system, finds it by the whole, which is put behind the text.

/// Digits of a whole number, at least: fewer are a price or a date.
pub const FEWEST: usize = 7;
/// More are a table.
const DIGITS: std::ops::RangeInclusive<usize> = FEWEST..=32;

/// Folded words, and behind them the numbers that stand in them in several groups.
pub(crate) fn with_whole_numbers(mut words: String) -> String {
    let mut wholes = Vec::new();
    let (mut whole, mut groups) = (String::new(), 0);
    for word in words.split(' ').chain([""]) {
        let goes_on = groups > 0 && word.bytes().all(|it| it.is_ascii_digit()) && !word.is_empty();
        if !goes_on {
            if groups > 1 && DIGITS.contains(&whole.len()) {
                wholes.push(std::mem::take(&mut whole));
            }
            whole.clear();
            groups = 0;
        }
        if goes_on || begins(word) {
            whole.push_str(word);
            groups += 1;
        }
    }
    for whole in wholes {
        words.push(' ');
        words.push_str(&whole);
    }
    words
}

/// Whether a number may begin so: with digits, or as an IBAN (ISO 13616: country and two digits).
fn begins(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let iban = |text: &str| {
        let (country, rest) = text.split_at_checked(2).unwrap_or_default();
        country.bytes().all(|it| it.is_ascii_lowercase()) && !country.is_empty() && digits(rest)
    };
    digits(word) || iban(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_groups_are_found_as_a_whole() {
        for (text, behind) in [
            ("puh 358 40 1234567 kiitos", " 358401234567"),
            ("tili fi21 1234 5600 0007 85", " fi2112345600000785"),
            ("1 2 3", ""),
            ("tilaus 1234567 on", ""),
            ("040 1234567", " 0401234567"),
            ("a 12 b 34 c", ""),
            ("", ""),
        ] {
            assert_eq!(
                with_whole_numbers(text.to_owned()),
                format!("{text}{behind}")
            );
        }
        let table = "100 200 ".repeat(20);
        assert_eq!(with_whole_numbers(table.clone()), table);
    }
}

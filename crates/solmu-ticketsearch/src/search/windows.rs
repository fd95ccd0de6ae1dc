//! The order in which a search looks through time: the newest days, then four times as many, and so on.
//!
//! A search wants the newest matches only, and a common word has a hundred thousand. Each document therefore has its day
//! and its month among its words, and the index is asked for `word AND one of these days`. The first window is as long
//! as some thousand documents took to come, so that a small desk is asked once or twice; windows grow fourfold, so a
//! common word is answered by the first one, and a rare one costs about five looks into the index of a large desk. Each
//! look also reads what is not in the index's tree yet. Rejected: sorting all matches (a second for a common word),
//! reading documents by time (a second for a rare one), and to decide between both by the planner's estimate, which is
//! a guess for words beyond its sample.

use jiff::{Span, civil::Date};

/// Documents of the first window, about.
const FIRST: i64 = 2_000;
/// How much longer the next window is. Only the second one is less: the newest day has just begun.
const GROWTH: i64 = 4;
/// From this many days on a window ends with a month, which is one lexeme.
const MONTH: i64 = 28;

/// The lexeme of a day, as the index has it.
pub(crate) fn day(date: Date) -> String {
    format!("@d{:04}{:02}{:02}", date.year(), date.month(), date.day())
}

/// The lexeme of a month.
pub(crate) fn month(date: Date) -> String {
    format!("@m{:04}{:02}", date.year(), date.month())
}

/// Windows from `newest` back to `oldest`, each as the lexemes that it covers; no day is in two of them. `documents` is
/// how many there are, about.
pub(crate) fn windows(newest: Date, oldest: Date, documents: i64) -> Vec<Vec<String>> {
    let whole = newest
        .since(oldest)
        .map_or(0, |span| i64::from(span.get_days()));
    let mut days = (FIRST * (whole + 1) / documents.max(1)).clamp(1, whole + 1);
    let mut windows = Vec::new();
    let mut next = newest;
    while next >= oldest {
        let mut end = next.saturating_sub(Span::new().days(days - 1)).max(oldest);
        if days >= MONTH {
            end = end.first_of_month();
        }
        let mut window = Vec::new();
        while next >= end {
            // What comes after the newest day is not looked for, so its month may be taken whole.
            let is_whole = windows.is_empty() && window.is_empty() || next == next.last_of_month();
            if is_whole && next.first_of_month() >= end {
                window.push(month(next));
                next = next.first_of_month();
            } else {
                window.push(day(next));
            }
            next = next.saturating_sub(Span::new().days(1));
        }
        windows.push(window);
        days *= if windows.len() == 1 { 2 } else { GROWTH };
    }
    windows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::civil::date;

    use super::*;

    #[test]
    fn every_day_is_in_one_window_and_there_are_few() {
        for newest in [
            date(2026, 5, 2),
            date(2026, 3, 31),
            date(2026, 1, 16),
            date(2024, 2, 29),
        ] {
            for (back, documents) in [
                (0_i64, 0_i64),
                (1, 10),
                (3, 100_000),
                (14, 3_000),
                (16, 1_000_000),
                (40, 1_000),
                (400, 50_000),
                (400, 5_000_000),
                (3_650, 100_000),
                (3_650, 50_000_000),
            ] {
                let oldest = newest.saturating_sub(Span::new().days(back));
                let windows = windows(newest, oldest, documents);
                let looks = windows.len();
                assert!((1..=8).contains(&looks), "{newest} {back}: {looks}");
                let widest = windows.iter().map(Vec::len).max();
                assert!(widest < Some(170), "{newest} {back}: {widest:?}");
                let all: Vec<&String> = windows.iter().flatten().collect();
                let unique: BTreeSet<_> = all.iter().collect();
                assert_eq!(unique.len(), all.len());
                let mut at = oldest;
                while at <= newest {
                    let (as_day, as_month) = (day(at), month(at));
                    let found = |name: &String| all.contains(&name);
                    assert!(
                        found(&as_day) != found(&as_month),
                        "{at} of {newest} back {back}"
                    );
                    at = at.tomorrow().unwrap();
                }
            }
        }
    }

    #[test]
    fn a_small_desk_is_asked_once_and_a_large_one_by_days() {
        let (newest, oldest) = (date(2026, 5, 20), date(2025, 5, 20));
        let small = windows(newest, oldest, 1_500);
        assert_eq!(small.len(), 1);
        assert_eq!(small[0].len(), 13, "{small:?}");
        let large = windows(newest, oldest, 5_000_000);
        assert_eq!(large[0], ["@d20260520"]);
        assert_eq!(large[1], ["@d20260519", "@d20260518"]);
        assert_eq!(large[2].first().map(String::as_str), Some("@d20260517"));
        assert_eq!(large[2].len(), 8);
        assert_eq!(large.len(), 6);
    }
}

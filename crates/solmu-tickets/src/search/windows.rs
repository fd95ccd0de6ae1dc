//! The order in which a search looks through time: the newest day, then twice as many days, then months.
//!
//! A search wants the newest matches only, and a common word has a hundred thousand. Each document therefore has its day
//! and its month among its words, and the index is asked for `word AND one of these days`. Windows grow twofold, so a
//! common word is answered by the first ones, and a rare one costs about ten looks into the index. Rejected: sorting all
//! matches (a second for a common word), reading documents by time (a second for a rare one), and to decide between both
//! by the planner's estimate, which is a guess for words beyond its sample.

use jiff::{Span, civil::Date};

/// How many days have been looked at when months begin.
const DAYS: [i64; 4] = [1, 2, 4, 8];

/// The lexeme of a day, as the index has it.
pub(crate) fn day(date: Date) -> String {
    format!("@d{:04}{:02}{:02}", date.year(), date.month(), date.day())
}

/// The lexeme of a month.
pub(crate) fn month(date: Date) -> String {
    format!("@m{:04}{:02}", date.year(), date.month())
}

/// Windows from `newest` back to `oldest`, each as the lexemes that it covers; no day is in two of them.
pub(crate) fn windows(newest: Date, oldest: Date) -> Vec<Vec<String>> {
    let mut windows = Vec::new();
    let mut next = newest;
    for days in DAYS {
        let mut window = Vec::new();
        for _ in 0..days {
            if next >= oldest {
                window.push(day(next));
                next = next.saturating_sub(Span::new().days(1));
            }
        }
        windows.push(window);
    }
    let mut rest = Vec::new();
    while next >= oldest && next.day() < next.days_in_month() {
        rest.push(day(next));
        next = next.saturating_sub(Span::new().days(1));
    }
    windows.push(rest);
    let any = next >= oldest;
    let oldest = oldest.first_of_month();
    let mut months = 1;
    next = next.first_of_month();
    // What is left is whole months, if anything.
    while any && next >= oldest {
        let mut window = Vec::new();
        for _ in 0..months {
            if next >= oldest {
                window.push(month(next));
                next = next.saturating_sub(Span::new().months(1));
            }
        }
        windows.push(window);
        months *= 2;
    }
    windows.retain(|window| !window.is_empty());
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
            for back in [0_i64, 1, 3, 14, 15, 16, 40, 400, 3_650] {
                let oldest = newest.saturating_sub(Span::new().days(back));
                let windows = windows(newest, oldest);
                assert!(windows.len() <= 13, "{newest} {back}: {}", windows.len());
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
}

//! Holidays out of an iCalendar file (RFC 5545), as every public list of holidays is published.
//!
//! Only what makes a civil date closed is read: all-day events, over one day or several, once or yearly. An entry that
//! cannot be a holiday (a meeting at ten, a weekly rule) is named in the answer and not guessed at. A crate was rejected:
//! those on the registry read the syntax and leave exactly this question open.

mod lines;
mod recur;

use std::collections::BTreeMap;

use jiff::{ToSpan as _, civil::Date};

use lines::{Property, properties};
use recur::Recurrence;

/// Bytes of a file at most.
pub const ICAL_MAX_BYTES: usize = 1024 * 1024;
/// Events of a file at most.
const MAX_EVENTS: usize = 5_000;
/// Days of one event at most: a longer one is a season and no holiday.
const MAX_DAYS: i64 = 31;
/// Entries that are named as left out at most.
const MAX_SKIPPED: usize = 100;
/// Characters of a name that are kept.
const NAME_CHARS: usize = 100;

/// Why a file is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IcalError {
    /// It is too long.
    #[error("the file has more than {ICAL_MAX_BYTES} bytes")]
    TooLong,
    /// It is no iCalendar file.
    #[error("the file does not begin with BEGIN:VCALENDAR")]
    NotIcal,
    /// It has too many events.
    #[error("the file has more than {MAX_EVENTS} events")]
    TooManyEvents,
}

/// An entry that makes no holiday.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedEntry {
    /// Line of the file on which the event begins, from 1.
    pub line: usize,
    /// Its summary.
    pub name: String,
    /// Why.
    pub reason: &'static str,
}

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HolidayImport {
    /// Dates as in [`CalendarSpec::holidays`](super::CalendarSpec::holidays) (`2026-06-19`, or `*-12-25`), with names.
    pub holidays: BTreeMap<String, String>,
    /// What was left out, the first hundred.
    pub skipped: Vec<SkippedEntry>,
}

/// Reads the holidays of a file between two dates. Yearly ones on a fixed day are `*-MM-DD`, others are expanded.
pub fn holidays_of_ical(text: &str, from: Date, until: Date) -> Result<HolidayImport, IcalError> {
    if text.len() > ICAL_MAX_BYTES {
        return Err(IcalError::TooLong);
    }
    let mut lines = properties(text);
    let begins = lines
        .next()
        .is_some_and(|first| first.is("BEGIN", "VCALENDAR"));
    if !begins {
        return Err(IcalError::NotIcal);
    }
    let mut import = HolidayImport::default();
    let mut event: Option<Event> = None;
    // Alarms inside of an event have properties of the same names.
    let mut nested = 0_u32;
    let mut count = 0;
    for property in lines {
        let inside = event.is_some();
        match property.name.as_str() {
            "BEGIN" if inside => nested += 1,
            "END" if nested > 0 => nested -= 1,
            "BEGIN" if property.is("BEGIN", "VEVENT") => {
                count += 1;
                if count > MAX_EVENTS {
                    return Err(IcalError::TooManyEvents);
                }
                event = Some(Event::new(property.line));
            }
            "END" => {
                if let Some(event) = event.take() {
                    event.book(&mut import, from, until);
                }
            }
            _ if nested == 0 => {
                if let Some(event) = &mut event {
                    event.take(&property);
                }
            }
            _ => {}
        }
    }
    Ok(import)
}

#[derive(Debug, Default)]
struct Event {
    line: usize,
    name: String,
    start: Option<Result<Date, &'static str>>,
    end: Option<Date>,
    days: Option<i64>,
    rule: Option<String>,
    more: Vec<Date>,
    except: Vec<Date>,
    cancelled: bool,
}

impl Event {
    fn new(line: usize) -> Self {
        Self {
            line,
            ..Self::default()
        }
    }

    fn take(&mut self, property: &Property) {
        let value = property.value.as_str();
        match property.name.as_str() {
            "SUMMARY" => self.name = plain(value),
            "DTSTART" => self.start = Some(all_day(value)),
            "DTEND" => self.end = all_day(value).ok(),
            "DURATION" => self.days = days_of(value),
            "RRULE" => self.rule = Some(value.to_ascii_uppercase()),
            "RDATE" => self.more.extend(dates(value)),
            "EXDATE" => self.except.extend(dates(value)),
            "STATUS" => self.cancelled = value.eq_ignore_ascii_case("CANCELLED"),
            _ => {}
        }
    }

    fn book(self, import: &mut HolidayImport, from: Date, until: Date) {
        let result = self.dates(from, until);
        match result {
            Ok(dates) => {
                for date in dates {
                    import
                        .holidays
                        .entry(date)
                        .or_insert_with(|| self.name.clone());
                }
            }
            Err(reason) if import.skipped.len() < MAX_SKIPPED => {
                import.skipped.push(SkippedEntry {
                    line: self.line,
                    name: self.name,
                    reason,
                });
            }
            Err(_) => {}
        }
    }

    fn dates(&self, from: Date, until: Date) -> Result<Vec<String>, &'static str> {
        if self.cancelled {
            return Err("is cancelled");
        }
        let start = self.start.unwrap_or(Err("has no start"))?;
        let days = self.length(start)?;
        let rule = match &self.rule {
            None => None,
            Some(rule) => Some(Recurrence::parse(rule, start)?),
        };
        let firsts = match rule {
            None => vec![start],
            Some(rule) if rule.is_fixed() && self.except.is_empty() && self.more.is_empty() => {
                return Ok(run(start, days)
                    .map(|date| format!("*-{:02}-{:02}", date.month(), date.day()))
                    .collect());
            }
            Some(rule) => rule.dates(start, until),
        };
        let firsts = firsts.into_iter().chain(self.more.iter().copied());
        let firsts = firsts.filter(|first| !self.except.contains(first));
        let dates = firsts.flat_map(|first| run(first, days));
        let within = dates.filter(|date| (from..=until).contains(date));
        Ok(within.map(|date| date.to_string()).collect())
    }

    fn length(&self, start: Date) -> Result<i64, &'static str> {
        let until = self.end.map(|end| i64::from((end - start).get_days()));
        let days = until.or(self.days).unwrap_or(1).max(1);
        if days > MAX_DAYS {
            return Err("is longer than 31 days");
        }
        Ok(days)
    }
}

/// The days of an event.
fn run(first: Date, days: i64) -> impl Iterator<Item = Date> {
    (0..days).filter_map(move |day| first.checked_add(day.days()).ok())
}

/// A date, or local midnight, which some programs write for one.
fn all_day(value: &str) -> Result<Date, &'static str> {
    let (day, time) = value.split_once('T').unwrap_or((value, "000000"));
    if time != "000000" {
        return Err("is not an all-day event");
    }
    date_of(day).ok_or("has a start that is no date")
}

fn date_of(text: &str) -> Option<Date> {
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
    let small = |number: i16| i8::try_from(number).ok();
    Date::new(part(0..4)?, small(part(4..6)?)?, small(part(6..8)?)?).ok()
}

fn dates(list: &str) -> impl Iterator<Item = Date> {
    list.split(',').filter_map(|value| all_day(value).ok())
}

/// Whole days of a duration such as `P1D`, `P2W` or `PT24H`.
fn days_of(text: &str) -> Option<i64> {
    let number = |rest: &str| rest.parse::<i64>().ok();
    let rest = text.strip_prefix('P')?;
    if let Some(weeks) = rest.strip_suffix('W') {
        return number(weeks).map(|weeks| weeks.saturating_mul(7));
    }
    if let Some(hours) = rest
        .strip_prefix('T')
        .and_then(|rest| rest.strip_suffix('H'))
    {
        return number(hours).map(|hours| hours / 24);
    }
    number(rest.split('T').next()?.strip_suffix('D')?)
}

/// A summary without the escapes of the format.
fn plain(value: &str) -> String {
    let mut text = String::new();
    let mut escaped = false;
    for c in value.chars() {
        match (escaped, c) {
            (false, '\\') => escaped = true,
            (true, 'n' | 'N') => {
                text.push(' ');
                escaped = false;
            }
            (_, c) => {
                escaped = false;
                text.push(if c.is_control() { ' ' } else { c });
            }
        }
    }
    text.trim().chars().take(NAME_CHARS).collect()
}

//! The written form of a calendar, and what can be wrong with it.
//!
//! Times and dates stay text here, so that a bad one is refused with the path of its field, which an API can hand back
//! as a field violation; [`Calendar::new`](super::Calendar::new) parses them once.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// One window of a day, `[open, close]`, as `HH:MM` or `HH:MM:SS` of civil time.
///
/// `24:00` is the next midnight; a close that is not after the open runs past midnight.
pub type WindowSpec = [String; 2];

/// A business calendar as it is configured and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CalendarSpec {
    /// IANA zone in which all times are meant, such as `Europe/Helsinki`.
    pub tz: String,
    /// Weekly windows by `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`; a missing day is closed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hours: BTreeMap<String, Vec<WindowSpec>>,
    /// Dates closed all day: `2026-06-19`, or `*-12-25` for every year.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holidays: Vec<String>,
    /// Windows that replace everything on a date, the end of the night shift before included.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, Vec<WindowSpec>>,
    /// Windows taken out of a date.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub breaks: BTreeMap<String, Vec<WindowSpec>>,
    /// Open around the clock; nothing else in the calendar counts then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub always_open: bool,
}

impl Default for CalendarSpec {
    fn default() -> Self {
        Self {
            tz: "UTC".to_owned(),
            hours: BTreeMap::new(),
            holidays: Vec::new(),
            overrides: BTreeMap::new(),
            breaks: BTreeMap::new(),
            always_open: false,
        }
    }
}

/// Why a calendar is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// The zone is in no time zone database of this machine.
    #[error("tz '{tz}' is not a known IANA time zone")]
    UnknownZone {
        /// The name that was given.
        tz: String,
    },
    /// A key of `hours` is no weekday.
    #[error("{field} is not a weekday: use mon, tue, wed, thu, fri, sat or sun")]
    UnknownWeekday {
        /// Path of the field.
        field: String,
    },
    /// A time of day that is none.
    #[error("{field} '{text}' is not a time of day: expected HH:MM between 00:00 and 24:00")]
    BadTime {
        /// Path of the field.
        field: String,
        /// The text that was given.
        text: String,
    },
    /// A date that is none.
    #[error("{field} '{text}' is not a date: expected YYYY-MM-DD, or *-MM-DD for a yearly holiday")]
    BadDate {
        /// Path of the field.
        field: String,
        /// The text that was given.
        text: String,
    },
    /// A window opens at 24:00, which is a time of the next day.
    #[error("{field} opens at 24:00: write 00:00 of the next day")]
    OpensAtMidnight {
        /// Path of the field.
        field: String,
    },
    /// A break ends before it starts.
    #[error("{field} does not end after it starts: split a break that runs past midnight")]
    BackwardBreak {
        /// Path of the field.
        field: String,
    },
    /// There is a stretch of 366 days without an opening, so a deadline might never come.
    #[error("hours leave 366 days in a row without an opening")]
    NeverOpens,
}

impl CalendarError {
    /// The path of the field that is wrong, such as `hours.mon[0]`.
    pub fn field(&self) -> &str {
        match self {
            Self::UnknownZone { .. } => "tz",
            Self::NeverOpens => "hours",
            Self::UnknownWeekday { field }
            | Self::BadTime { field, .. }
            | Self::BadDate { field, .. }
            | Self::OpensAtMidnight { field }
            | Self::BackwardBreak { field } => field,
        }
    }
}

/// Seconds of a full civil day.
pub(super) const DAY_S: i32 = 86_400;

/// A window in seconds of its civil day, `0 <= start < end <= 86400`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CivilWindow {
    pub(super) start: i32,
    pub(super) end: i32,
}

/// The windows that one day defines: its own, and what its night shifts leave to the next day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DayWindows {
    pub(super) own: Vec<CivilWindow>,
    pub(super) tail: Vec<CivilWindow>,
}

impl DayWindows {
    /// Parses the windows of `field`, splitting those that run past midnight.
    pub(super) fn parse(field: &str, windows: &[WindowSpec]) -> Result<Self, CalendarError> {
        let mut day = Self::default();
        for (index, window) in windows.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let (open, close) = parse_window(&field, window)?;
            if open == DAY_S {
                return Err(CalendarError::OpensAtMidnight { field });
            }
            if close > open {
                day.own.push(CivilWindow {
                    start: open,
                    end: close,
                });
            } else {
                day.own.push(CivilWindow {
                    start: open,
                    end: DAY_S,
                });
                if close > 0 {
                    day.tail.push(CivilWindow {
                        start: 0,
                        end: close,
                    });
                }
            }
        }
        Ok(day)
    }

    /// Whether the day defines no opening at all.
    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.tail.is_empty()
    }
}

/// Parses the breaks of one date.
pub(super) fn parse_breaks(
    field: &str,
    windows: &[WindowSpec],
) -> Result<Vec<CivilWindow>, CalendarError> {
    let mut breaks = Vec::with_capacity(windows.len());
    for (index, window) in windows.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let (start, end) = parse_window(&field, window)?;
        if end <= start {
            return Err(CalendarError::BackwardBreak { field });
        }
        breaks.push(CivilWindow { start, end });
    }
    Ok(breaks)
}

/// Parses a date such as `2026-06-19`.
pub(super) fn parse_date(field: &str, text: &str) -> Result<Date, CalendarError> {
    let bad = || CalendarError::BadDate {
        field: field.to_owned(),
        text: clip(text),
    };
    // jiff also reads "20260619" and date-times, which would then miss their twin in another spelling.
    if text.len() != 10 {
        return Err(bad());
    }
    text.parse().map_err(|_| bad())
}

/// Parses what follows `*-` in a yearly holiday into month and day; 29 February is allowed.
pub(super) fn parse_month_day(field: &str, text: &str) -> Result<(i8, i8), CalendarError> {
    let bad = || CalendarError::BadDate {
        field: field.to_owned(),
        text: clip(text),
    };
    let rest = text.strip_prefix("*-").ok_or_else(bad)?;
    let date = parse_date(field, &format!("2000-{rest}")).map_err(|_| bad())?;
    Ok((date.month(), date.day()))
}

fn parse_window(field: &str, window: &WindowSpec) -> Result<(i32, i32), CalendarError> {
    let [open, close] = window;
    let parse = |text: &String| {
        parse_time(text).ok_or_else(|| CalendarError::BadTime {
            field: field.to_owned(),
            text: clip(text),
        })
    };
    Ok((parse(open)?, parse(close)?))
}

/// Seconds of the day of `HH:MM[:SS]`; `24:00` is 86400.
fn parse_time(text: &str) -> Option<i32> {
    let mut parts = [0; 3];
    let mut count = 0;
    for part in text.split(':') {
        let digits =
            (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        *parts.get_mut(count)? = digits.then(|| part.parse::<i32>().ok())??;
        count += 1;
    }
    let [hour, minute, second] = parts;
    let total = hour * 3600 + minute * 60 + second;
    (count >= 2 && minute < 60 && second < 60 && total <= DAY_S).then_some(total)
}

/// Enough of a wrong text to recognise it.
fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

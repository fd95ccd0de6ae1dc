//! A parsed calendar: which civil windows a date has, and which instants they are.
//!
//! The order of the rules for a date: a holiday closes it all; else an override replaces everything on it; else the
//! weekday's windows and what the night shift of the day before left over. Breaks come out last.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{civil::Date, tz::TimeZone};

use super::{
    intervals::{Interval, merge, subtract},
    spec::{
        CalendarError, CalendarSpec, CivilWindow, DAY_S, DayWindows, WindowSpec, parse_breaks,
        parse_date, parse_month_day,
    },
};

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A stretch of this many closed days makes a calendar useless.
const LONGEST_CLOSURE_DAYS: u32 = 366;

/// Fewer exceptions than this cannot close every opening weekday of 366 days (52 of them, less two that a change of
/// the clocks or of the date line may swallow).
const HARMLESS_EXCEPTIONS: usize = 50;

/// The Gregorian pattern of weekdays and leap days repeats after this many days (28 years).
const PATTERN_DAYS: u32 = 28 * 366;

/// A parsed calendar.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    zone: TimeZone,
    weekly: [DayWindows; 7],
    holidays: BTreeSet<Date>,
    yearly: BTreeSet<(i8, i8)>,
    overrides: BTreeMap<Date, DayWindows>,
    breaks: BTreeMap<Date, Vec<CivilWindow>>,
}

impl Plan {
    /// Parses each field of `spec`.
    pub(super) fn parse(spec: &CalendarSpec) -> Result<Self, CalendarError> {
        let zone = TimeZone::get(&spec.tz).map_err(|_| CalendarError::UnknownZone {
            tz: spec.tz.chars().take(80).collect(),
        })?;
        let mut weekly: [DayWindows; 7] = Default::default();
        for (name, windows) in &spec.hours {
            let field = format!("hours.{name}");
            let Some(day) = WEEKDAYS.iter().position(|weekday| weekday == name) else {
                return Err(CalendarError::UnknownWeekday { field });
            };
            weekly[day] = DayWindows::parse(&field, windows)?;
        }
        let mut holidays = BTreeSet::new();
        let mut yearly = BTreeSet::new();
        for (index, text) in spec.holidays.iter().enumerate() {
            let field = format!("holidays[{index}]");
            if text.starts_with('*') {
                yearly.insert(parse_month_day(&field, text)?);
            } else {
                holidays.insert(parse_date(&field, text)?);
            }
        }
        let overrides = by_date("overrides", &spec.overrides, DayWindows::parse)?;
        let breaks = by_date("breaks", &spec.breaks, parse_breaks)?;
        Ok(Self {
            zone,
            weekly,
            holidays,
            yearly,
            overrides,
            breaks,
        })
    }

    /// The open intervals of one civil date.
    pub(super) fn day(&self, date: Date) -> Vec<Interval> {
        let windows = self
            .civil(date)
            .into_iter()
            .map(|window| self.interval(date, window))
            .collect();
        let merged = merge(windows);
        match self.breaks.get(&date) {
            None => merged,
            Some(breaks) => {
                let cuts: Vec<_> = breaks.iter().map(|cut| self.interval(date, *cut)).collect();
                subtract(merged, &cuts)
            }
        }
    }

    /// The instant of a civil second: forward in a gap, the first in a fold.
    ///
    /// `second` may be 86400, which is the next midnight. Beyond the years that jiff can hold, UTC.
    pub(super) fn instant(&self, date: Date, second: i32) -> i64 {
        let (date, second) = match date.tomorrow() {
            Ok(tomorrow) if second >= DAY_S => (tomorrow, second - DAY_S),
            _ => (date, second.min(DAY_S - 1)),
        };
        let part = |value: i32| i8::try_from(value).unwrap_or(0);
        let civil = date.at(
            part(second / 3600),
            part(second % 3600 / 60),
            part(second % 60),
            0,
        );
        match self.zone.to_ambiguous_timestamp(civil).compatible() {
            Ok(instant) => instant.as_microsecond(),
            Err(_) if date.year() > 0 => i64::MAX / 2,
            Err(_) => i64::MIN / 2,
        }
    }

    /// Refuses a plan that stays closed for 366 days somewhere: a deadline could wait for ever.
    pub(super) fn check_opens(&self) -> Result<(), CalendarError> {
        // After the last override only the weekly hours are left.
        if self.weekly.iter().all(DayWindows::is_empty) {
            return Err(CalendarError::NeverOpens);
        }
        let dated = self.holidays.len() + self.overrides.len() + self.breaks.len();
        if dated + 2 * self.yearly.len() < HARMLESS_EXCEPTIONS {
            return Ok(());
        }
        let first = self
            .exceptions()
            .min()
            .unwrap_or(jiff::civil::date(2000, 1, 1));
        let last = self.exceptions().max().unwrap_or(first);
        let tail = if 2 * self.yearly.len() < HARMLESS_EXCEPTIONS {
            LONGEST_CLOSURE_DAYS
        } else {
            PATTERN_DAYS
        };
        let mut closed_days = 0;
        let mut days_after_last = 0;
        for date in first.series(jiff::Span::new().days(1)) {
            closed_days = if self.is_closed_on(date) {
                closed_days + 1
            } else {
                0
            };
            if closed_days >= LONGEST_CLOSURE_DAYS {
                return Err(CalendarError::NeverOpens);
            }
            if date > last {
                days_after_last += 1;
            }
            if days_after_last > tail {
                break;
            }
        }
        Ok(())
    }

    fn is_closed_on(&self, date: Date) -> bool {
        let windows = self.civil(date);
        windows.is_empty() || (self.breaks.contains_key(&date) && self.day(date).is_empty())
    }

    fn exceptions(&self) -> impl Iterator<Item = Date> {
        let holidays = self.holidays.iter();
        holidays
            .chain(self.overrides.keys())
            .chain(self.breaks.keys())
            .copied()
    }

    /// The windows of a date in civil seconds, before breaks.
    fn civil(&self, date: Date) -> Vec<CivilWindow> {
        if self.is_holiday(date) {
            return Vec::new();
        }
        if let Some(special) = self.overrides.get(&date) {
            return special.own.clone();
        }
        let mut windows = self.weekday(date).own.clone();
        if let Ok(before) = date.yesterday() {
            let night = self
                .overrides
                .get(&before)
                .unwrap_or_else(|| self.weekday(before));
            windows.extend_from_slice(&night.tail);
        }
        windows
    }

    fn is_holiday(&self, date: Date) -> bool {
        self.holidays.contains(&date) || self.yearly.contains(&(date.month(), date.day()))
    }

    fn weekday(&self, date: Date) -> &DayWindows {
        let [mon, tue, wed, thu, fri, sat, sun] = &self.weekly;
        match date.weekday() {
            jiff::civil::Weekday::Monday => mon,
            jiff::civil::Weekday::Tuesday => tue,
            jiff::civil::Weekday::Wednesday => wed,
            jiff::civil::Weekday::Thursday => thu,
            jiff::civil::Weekday::Friday => fri,
            jiff::civil::Weekday::Saturday => sat,
            jiff::civil::Weekday::Sunday => sun,
        }
    }

    fn interval(&self, date: Date, window: CivilWindow) -> Interval {
        Interval {
            open: self.instant(date, window.start),
            close: self.instant(date, window.end),
        }
    }
}

/// Parses a table of windows by date.
fn by_date<T>(
    name: &str,
    table: &BTreeMap<String, Vec<WindowSpec>>,
    parse: impl Fn(&str, &[WindowSpec]) -> Result<T, CalendarError>,
) -> Result<BTreeMap<Date, T>, CalendarError> {
    let mut parsed = BTreeMap::new();
    for (text, windows) in table {
        let field = format!("{name}.{text}");
        parsed.insert(parse_date(&field, text)?, parse(&field, windows)?);
    }
    Ok(parsed)
}

//! Yearly rules: the same day each year, or such as "the fourth Thursday of November".

use jiff::{ToSpan as _, civil::Date, civil::Weekday};

const UNSUPPORTED: &str = "has a rule that is not a yearly one";

/// A yearly rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recurrence {
    interval: i16,
    count: Option<usize>,
    until: Option<Date>,
    months: Vec<i8>,
    month_day: Option<i8>,
    /// Which weekday of the month: 1 for the first, -1 for the last.
    weekday: Option<(i8, Weekday)>,
}

impl Recurrence {
    /// Reads a rule in capitals.
    pub(super) fn parse(rule: &str, start: Date) -> Result<Self, &'static str> {
        let mut parsed = Self {
            interval: 1,
            count: None,
            until: None,
            months: Vec::new(),
            month_day: None,
            weekday: None,
        };
        let mut yearly = false;
        for part in rule.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or(UNSUPPORTED)?;
            match name {
                "FREQ" => yearly = value == "YEARLY",
                "INTERVAL" => parsed.interval = number::<i16>(value)?.max(1),
                "COUNT" => parsed.count = Some(number(value)?),
                "UNTIL" => parsed.until = value.get(..8).and_then(super::date_of),
                "BYMONTH" => {
                    for month in value.split(',') {
                        parsed.months.push(number(month)?);
                    }
                }
                "BYMONTHDAY" => parsed.month_day = Some(number(value)?),
                "BYDAY" => parsed.weekday = Some(nth_weekday(value).ok_or(UNSUPPORTED)?),
                "WKST" => {}
                _ => return Err(UNSUPPORTED),
            }
        }
        let contradictory = parsed.month_day.is_some() && parsed.weekday.is_some();
        if !yearly || contradictory || (parsed.weekday.is_some() && parsed.months.is_empty()) {
            return Err(UNSUPPORTED);
        }
        if parsed.months.is_empty() {
            parsed.months.push(start.month());
        }
        Ok(parsed)
    }

    /// Whether it means the same day of each year, for ever.
    pub(super) fn is_fixed(&self) -> bool {
        let endless = self.count.is_none() && self.until.is_none();
        endless
            && self.interval == 1
            && self.weekday.is_none()
            && self.month_day.is_none()
            && self.months.len() == 1
    }

    /// Its dates from `start` until `until`.
    pub(super) fn dates(&self, start: Date, until: Date) -> Vec<Date> {
        let last = self.until.map_or(until, |end| end.min(until));
        let step = usize::try_from(self.interval).unwrap_or(1);
        let years = (start.year()..=last.year()).step_by(step);
        let dates = years.flat_map(|year| {
            let months = self.months.iter();
            months.filter_map(move |month| self.in_month(year, *month, start.day()))
        });
        let dates = dates.filter(|date| (start..=last).contains(date));
        dates.take(self.count.unwrap_or(usize::MAX)).collect()
    }

    fn in_month(&self, year: i16, month: i8, day: i8) -> Option<Date> {
        let first = Date::new(year, month, 1).ok()?;
        match (self.weekday, self.month_day) {
            (Some((nth, weekday)), _) => first.nth_weekday_of_month(nth, weekday).ok(),
            (None, Some(day)) if day < 0 => {
                let last = first.last_of_month();
                last.checked_sub((-1 - i64::from(day)).days()).ok()
            }
            (None, day_of_rule) => Date::new(year, month, day_of_rule.unwrap_or(day)).ok(),
        }
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| UNSUPPORTED)
}

/// `4TH`, `-1MO`.
fn nth_weekday(text: &str) -> Option<(i8, Weekday)> {
    let (nth, day) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let nth: i8 = nth.trim_start_matches('+').parse().ok()?;
    let weekday = match day {
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        "SU" => Weekday::Sunday,
        _ => return None,
    };
    (nth != 0).then_some((nth, weekday))
}

//! How hours, absences and places are written on a command line.

use anyhow::{Context as _, anyhow, bail};
use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};
use solmu_proto::routing::v1::{Absence, Location, Window};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// What takes hours or a place away.
pub(super) const NONE: &str = "none";

/// `mon-fri 08:00-12:00,12:30-16:00`, `sat,sun 10:00-14:00`, `daily 22:00-06:00`.
pub(super) fn windows(text: &str) -> anyhow::Result<Vec<Window>> {
    let bad = || anyhow!("'{text}' are no hours: write such as 'mon-fri 08:00-16:00'");
    let (days, times) = text.trim().split_once(' ').ok_or_else(bad)?;
    let mut windows = Vec::new();
    for day in days_of(days)? {
        for time in times.split(',') {
            let (opens, closes) = time.trim().split_once('-').ok_or_else(bad)?;
            windows.push(Window {
                day: day.to_owned(),
                opens: opens.trim().to_owned(),
                closes: closes.trim().to_owned(),
            });
        }
    }
    Ok(windows)
}

fn days_of(text: &str) -> anyhow::Result<Vec<&'static str>> {
    let number = |name: &str| {
        let name = name.to_lowercase();
        let found = DAYS.iter().position(|day| *day == name);
        found.with_context(|| {
            format!("'{name}' is no day: write mon, tue, wed, thu, fri, sat or sun")
        })
    };
    if text.eq_ignore_ascii_case("daily") {
        return Ok(DAYS.to_vec());
    }
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        // Over the end of the week, too: sat-mon.
        let count = (last + DAYS.len() - first) % DAYS.len() + 1;
        days.extend(DAYS.iter().cycle().skip(first).take(count).copied());
    }
    Ok(days)
}

/// A day, or two days or times with two dots between them; days are those of the zone, the last one counts.
pub(super) fn absence(text: &str, zone: Option<&TimeZone>) -> anyhow::Result<Absence> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (instant(from, zone, false)?, instant(to, zone, true)?);
    if from >= to {
        bail!("'{text}' ends before it begins");
    }
    let time = |at: Timestamp| prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    };
    Ok(Absence {
        start_time: Some(time(from)),
        end_time: Some(time(to)),
    })
}

/// `end`: a day means its end.
fn instant(text: &str, zone: Option<&TimeZone>, end: bool) -> anyhow::Result<Timestamp> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let bad =
        || format!("'{text}' is no day and no time: write such as 2026-12-24 or 2026-12-24T12:00");
    let is_day = text.len() == "2026-12-24".len();
    let civil: DateTime = if is_day {
        let day: Date = text.parse().with_context(bad)?;
        let day = if end { day.tomorrow()? } else { day };
        day.to_datetime(jiff::civil::Time::midnight())
    } else {
        text.parse().with_context(bad)?
    };
    let zone = zone
        .with_context(|| format!("'{text}' needs a zone: give --zone, such as Europe/Helsinki"))?;
    Ok(civil.to_zoned(zone.clone())?.timestamp())
}

/// `60.17,24.94`: degrees north and east.
pub(super) fn location(text: &str) -> anyhow::Result<Location> {
    let bad = || format!("'{text}' is no place: write latitude and longitude, such as 60.17,24.94");
    let (latitude, longitude) = text.split_once(',').with_context(bad)?;
    Ok(Location {
        latitude: latitude.trim().parse().with_context(bad)?,
        longitude: longitude.trim().parse().with_context(bad)?,
    })
}

/// A zone by its name.
pub(super) fn zone(name: &str) -> anyhow::Result<TimeZone> {
    TimeZone::get(name)
        .with_context(|| format!("'{name}' is no zone: write such as Europe/Helsinki"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_a_week() {
        let read = |text: &str| {
            let windows = windows(text).map_err(|error| error.to_string())?;
            let text = |it: &Window| format!("{} {} {}", it.day, it.opens, it.closes);
            Ok::<_, String>(windows.iter().map(text).collect::<Vec<_>>().join("; "))
        };
        assert_eq!(
            read("mon-tue 08:00-12:00, 12:30-16:00").unwrap(),
            "mon 08:00 12:00; mon 12:30 16:00; tue 08:00 12:00; tue 12:30 16:00"
        );
        assert_eq!(
            read("Sun-Mon 22:00-06:00").unwrap(),
            "sun 22:00 06:00; mon 22:00 06:00"
        );
        assert_eq!(
            read("sat,wed 10:00-14:00").unwrap(),
            "sat 10:00 14:00; wed 10:00 14:00"
        );
        assert_eq!(
            read("daily 08:00-09:00").unwrap().matches("08:00").count(),
            7
        );
        assert!(
            read("maanantai 08:00-16:00")
                .unwrap_err()
                .contains("is no day")
        );
        for bad in ["mon-fri", "08:00-16:00", "mon 8"] {
            assert!(read(bad).unwrap_err().contains("are no hours"), "{bad}");
        }
    }

    #[test]
    fn absences_are_days_of_a_zone_or_times() {
        let zone = zone("Europe/Helsinki").unwrap();
        let read = |text: &str| {
            let absence = absence(text, Some(&zone)).unwrap();
            let (from, to) = (absence.start_time.unwrap(), absence.end_time.unwrap());
            let text = |seconds| Timestamp::from_second(seconds).unwrap().to_string();
            (text(from.seconds), text(to.seconds))
        };
        let day = (
            "2026-12-23T22:00:00Z".to_owned(),
            "2026-12-24T22:00:00Z".to_owned(),
        );
        assert_eq!(read("2026-12-24"), day);
        assert_eq!(read("2026-12-24..2026-12-26").1, "2026-12-26T22:00:00Z");
        // The night in which clocks go forward.
        assert_eq!(read("2027-03-28").1, "2027-03-28T21:00:00Z");
        assert_eq!(
            read("2026-12-24T12:00..2026-12-24T14:30").1,
            "2026-12-24T12:30:00Z"
        );
        assert_eq!(
            read("2026-12-24T12:00:00Z..2026-12-25").0,
            "2026-12-24T12:00:00Z"
        );
        let said = |text: &str, zone| absence(text, zone).unwrap_err().to_string();
        assert!(said("2026-12-24", None).contains("needs a zone"));
        assert!(said("christmas", Some(&zone)).contains("is no day and no time"));
        assert!(said("2026-12-26..2026-12-24", Some(&zone)).contains("ends before it begins"));
    }

    #[test]
    fn places_in_degrees() {
        let found = location("-33.9, 151.2").unwrap();
        assert!((found.latitude + 33.9).abs() < 1e-9 && (found.longitude - 151.2).abs() < 1e-9);
        for bad in ["Helsinki", "60.1", "60;24"] {
            assert!(location(bad).is_err(), "{bad}");
        }
    }
}

//! How targets and steps are written on a command line.

use anyhow::{Context as _, anyhow, bail};
use solmu_proto::sla::v1::{ActionKind, Metric, MetricPauses, Step, Target, TeamTarget, step::At};

/// Seconds of `90`, `90s`, `15m`, `1h30m`, `2d` (48 hours: business time knows no days).
pub(super) fn seconds(text: &str) -> anyhow::Result<i32> {
    let bad = || anyhow!("'{text}' is no duration: write such as 15m, 1h30m, 2d (48 hours) or 90s");
    let mut total: i64 = 0;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(bad()),
        };
        let number: i64 = digits.parse().map_err(|_| bad())?;
        total = total.saturating_add(number.saturating_mul(unit));
        digits.clear();
    }
    if !digits.is_empty() {
        total = total.saturating_add(digits.parse().map_err(|_| bad())?);
    }
    if text.is_empty() {
        return Err(bad());
    }
    i32::try_from(total).map_err(|_| bad())
}

/// A duration as it is written: `1h30m`.
pub(super) fn duration(seconds: i64) -> String {
    let mut text = String::new();
    let mut rest = seconds;
    for (unit, size) in [("h", 3_600), ("m", 60), ("s", 1)] {
        if rest >= size {
            text.push_str(&(rest / size).to_string());
            text.push_str(unit);
            rest %= size;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// A metric by its name.
pub(super) fn metric(name: &str) -> anyhow::Result<Metric> {
    let metric = Metric::from_str_name(&format!("METRIC_{}", name.trim().to_ascii_uppercase()));
    metric.filter(|it| *it != Metric::Unspecified).with_context(|| {
        format!(
            "'{name}' is no metric: there are first_response, next_response, resolution, periodic_update, agent_work \
             and ownership"
        )
    })
}

/// `urgent:first_response=15m,resolution=4h`; `*` for each priority that is not named.
pub(super) fn target(text: &str) -> anyhow::Result<Target> {
    let (priority, promises) = text.split_once(':').with_context(|| {
        format!("'{text}' is no target: write such as urgent:first_response=15m")
    })?;
    let mut target = Target {
        priority: priority.trim().to_owned(),
        ..Target::default()
    };
    for promise in promises.split(',') {
        let (name, time) = promise
            .split_once('=')
            .with_context(|| format!("'{promise}' has no time: write such as resolution=4h"))?;
        let seconds = seconds(time.trim())?;
        match metric(name)? {
            Metric::FirstResponse => target.first_response_seconds = seconds,
            Metric::NextResponse => target.next_response_seconds = seconds,
            Metric::Resolution => target.resolution_seconds = seconds,
            Metric::PeriodicUpdate => target.periodic_update_seconds = seconds,
            Metric::AgentWork => target.agent_work_seconds = seconds,
            Metric::Ownership => target.ownership_seconds = seconds,
            Metric::Unspecified => {}
        }
    }
    Ok(target)
}

/// `TEAM=urgent:1h`: how long one team may have a ticket.
pub(super) fn team_target(text: &str) -> anyhow::Result<TeamTarget> {
    let parts = text.split_once('=').and_then(|(team, rest)| {
        let (priority, time) = rest.split_once(':')?;
        Some((team, priority, time))
    });
    let (team, priority, time) = parts.with_context(|| {
        format!("'{text}' is no target of a team: write such as TEAM-ID=urgent:1h or TEAM-ID=*:4h")
    })?;
    Ok(TeamTarget {
        team_id: team.trim().to_owned(),
        priority: priority.trim().to_owned(),
        seconds: seconds(time.trim())?,
    })
}

/// `resolution=waiting_on_customer,waiting_on_third_party`; nothing after the sign: nothing pauses it.
pub(super) fn metric_pauses(text: &str) -> anyhow::Result<MetricPauses> {
    let (name, statuses) = text.split_once('=').with_context(|| {
        format!("'{text}' names no statuses: write such as resolution=waiting_on_customer")
    })?;
    let statuses = statuses.split(',').map(|it| it.trim().replace('-', "_"));
    Ok(MetricPauses {
        metric: metric(name)?.into(),
        statuses: statuses.filter(|status| !status.is_empty()).collect(),
    })
}

/// What pauses one metric, as it is written.
pub(super) fn metric_pauses_text(pauses: &MetricPauses) -> String {
    let name = crate::words::metric(pauses.metric);
    format!("{name}={}", pauses.statuses.join(","))
}

/// A team's target as it is written.
pub(super) fn team_target_text(target: &TeamTarget) -> String {
    let time = duration(i64::from(target.seconds));
    format!("{}={}:{time}", target.team_id, target.priority)
}

/// A target as it is written.
pub(super) fn target_text(target: &Target) -> String {
    let promises = [
        ("first_response", target.first_response_seconds),
        ("next_response", target.next_response_seconds),
        ("resolution", target.resolution_seconds),
        ("periodic_update", target.periodic_update_seconds),
        ("agent_work", target.agent_work_seconds),
        ("ownership", target.ownership_seconds),
    ];
    let promises: Vec<String> = promises
        .iter()
        .filter(|(_, seconds)| *seconds > 0)
        .map(|(name, seconds)| format!("{name}={}", duration(i64::from(*seconds))))
        .collect();
    format!("{}:{}", target.priority, promises.join(","))
}

/// `any:used=75%:warn`, `resolution:before=30m:notify=assignee`, `any:after=1h:reassign`.
pub(super) fn step(text: &str) -> anyhow::Result<Step> {
    let mut parts = text.splitn(3, ':');
    let (Some(metric_name), Some(when), Some(what)) = (parts.next(), parts.next(), parts.next())
    else {
        bail!(
            "'{text}' is no step: write such as resolution:used=75%:warn or any:after=1h:notify=team"
        );
    };
    let (name, value) = when.split_once('=').unwrap_or((when, ""));
    let at = match name {
        "before" => At::BeforeSeconds(seconds(value)?),
        "after" => At::AfterSeconds(seconds(value)?),
        "used" => {
            let percent = value.trim_end_matches('%').parse();
            At::UsedPercent(percent.with_context(|| format!("'{value}' is no percentage"))?)
        }
        _ => bail!("'{when}' is no time: write before=30m, used=75% or after=1h"),
    };
    let (action, target) = what.split_once('=').unwrap_or((what, ""));
    let (action, event_only) = match action {
        "notify_event" => ("notify", true),
        action => (action, false),
    };
    let kind = ActionKind::from_str_name(&format!("ACTION_KIND_{}", action.to_ascii_uppercase()));
    let kind = kind.filter(|it| *it != ActionKind::Unspecified);
    let kind = kind.with_context(|| {
        format!(
            "'{action}' is no action: there are warn, notify, notify_event, raise_priority, reassign, add_follower and \
             webhook"
        )
    })?;
    let metric = match metric_name {
        "any" => Metric::Unspecified,
        name => metric(name)?,
    };
    Ok(Step {
        metric: metric.into(),
        at: Some(at),
        action: kind.into(),
        target: target.to_owned(),
        event_only,
    })
}

/// A step as it is written.
pub(super) fn step_text(step: &Step) -> String {
    let name = match step.metric() {
        Metric::Unspecified => "any".to_owned(),
        metric => crate::words::metric(metric.into()),
    };
    let at = match step.at {
        Some(At::BeforeSeconds(seconds)) => format!("before={}", duration(i64::from(seconds))),
        Some(At::AfterSeconds(seconds)) => format!("after={}", duration(i64::from(seconds))),
        Some(At::UsedPercent(percent)) => format!("used={percent}%"),
        None => String::new(),
    };
    let action = step.action().as_str_name();
    let action = action
        .trim_start_matches("ACTION_KIND_")
        .to_ascii_lowercase();
    let event = if step.event_only { "_event" } else { "" };
    let target = match step.target.as_str() {
        "" => String::new(),
        target => format!("={target}"),
    };
    format!("{name}:{at}:{action}{event}{target}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let read = |text: &str| seconds(text).ok();
        assert_eq!(read("90"), Some(90));
        assert_eq!(read("1h30m"), Some(5_400));
        assert_eq!(read("2d"), Some(172_800));
        for bad in ["", "h", "1x", "1h 2m", "99999999999d"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(duration(5_405), "1h30m5s");
        assert_eq!(duration(0), "0s");
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        for text in [
            "urgent:first_response=15m,resolution=4h",
            "*:next_response=2h,periodic_update=24h,agent_work=8h,ownership=1h",
        ] {
            assert_eq!(target_text(&target(text).unwrap()), text);
        }
        for text in [
            "any:used=75%:warn",
            "resolution:before=30m:notify=assignee",
            "first_response:after=0s:reassign=team:0198c5d2-7a10-7bb2-8e4f-0242ac120002",
            "any:after=1h:raise_priority",
            "any:after=1h:notify_event=manager",
        ] {
            assert_eq!(step_text(&step(text).unwrap()), text);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |text: &str| format!("{:#}", step(text).unwrap_err());
        assert!(said("any:warn").contains("is no step"));
        assert!(said("any:soon=1h:warn").contains("is no time"));
        assert!(said("any:after=1h:shout").contains("is no action"));
        assert!(said("speed:after=1h:notify=team").contains("is no metric"));
        assert!(said("any:used=x:warn").contains("is no percentage"));
        assert!(target("urgent").is_err() && target("urgent:resolution").is_err());
    }
}

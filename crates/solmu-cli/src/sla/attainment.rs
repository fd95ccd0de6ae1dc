//! `solmu sla attainment`.

use std::collections::HashMap;

use anyhow::ensure;
use clap::Args;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::Serialize;
use solmu_domain::clock::Clock;
use solmu_proto::sla::v1::{Attainment, GetAttainmentRequest, ListPoliciesRequest};

use crate::{connect::Session, output::table, roster::Roster, words};

/// What to count.
#[derive(Debug, Args)]
pub struct AttainmentArgs {
    /// How many days back
    #[arg(long, default_value_t = 30, conflicts_with = "from")]
    days: i64,
    /// From when on, e.g. 2026-11-01T00:00:00+02:00
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Until when; now, if not given
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Group by policy, team, channel, priority or period; repeatable
    #[arg(long = "by", value_name = "GROUP")]
    by: Vec<String>,
    /// day, week or month
    #[arg(long, default_value = "day")]
    period: String,
    /// As CSV (RFC 4180), with names of policies and teams beside their ids
    #[arg(long)]
    csv: bool,
}

pub(super) async fn run(
    session: &Session,
    arguments: &AttainmentArgs,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    ensure!(
        !(arguments.csv && session.out.is_json()),
        "choose one of --csv and --json"
    );
    let client = session.client()?;
    let to = arguments.to.unwrap_or_else(|| clock.now());
    let back = SignedDuration::from_hours(24).saturating_mul(i32::try_from(arguments.days)?);
    let from = match arguments.from {
        Some(from) => from,
        None => to.checked_sub(back)?,
    };
    let time = |at: Timestamp| prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    };
    let zone = TimeZone::system();
    let request = GetAttainmentRequest {
        start_time: Some(time(from)),
        end_time: Some(time(to)),
        group_by: arguments.by.clone(),
        period: arguments.period.clone(),
        time_zone: zone.iana_name().unwrap_or_default().to_owned(),
    };
    let answer = client.sla().get_attainment(request).await;
    let rows = answer
        .map_err(|status| session.explain(status))?
        .into_inner()
        .rows;
    let roster = Roster::fetch_or_empty(session, &client).await;
    let listed = client.sla().list_policies(ListPoliciesRequest {}).await;
    let listed = listed.map_err(|status| session.explain(status))?;
    let policies = listed.into_inner().policies.into_iter();
    let policies: Policies = policies.map(|it| (it.id, it.display_name)).collect();
    if arguments.csv {
        return session.out.line(csv(&rows, &policies, &roster).trim_end());
    }
    let mut shown = table(&["Metric", "Group", "Met", "Late", "Kept", "Mean", "90 %"]);
    for row in &rows {
        shown.add_row([
            words::spoken(&words::metric(row.metric)),
            group(row, &policies, &roster),
            row.met.to_string(),
            row.breached.to_string(),
            kept(row).map_or_else(|| "-".to_owned(), |share| format!("{share:.1} %")),
            words::length(SignedDuration::from_secs(row.mean_seconds)),
            words::length(SignedDuration::from_secs(row.p90_seconds)),
        ]);
    }
    let views: Vec<_> = rows.iter().map(AttainmentView::from).collect();
    session.out.rows(
        &views,
        &shown,
        "Nothing was promised that ended in this time.",
    )
}

/// Per cent of the promises that were kept.
fn kept(row: &Attainment) -> Option<f64> {
    let all = row.met.saturating_add(row.breached);
    let count = |number: i64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    (all > 0).then(|| 100.0 * count(row.met) / count(all))
}

/// Names of policies by id; one that was taken away has none.
type Policies = HashMap<String, String>;

/// The rows as a table for other programs.
fn csv(rows: &[Attainment], policies: &Policies, roster: &Roster) -> String {
    const HEADER: &str = "period,metric,policy_id,policy,team_id,team,channel,priority,met,breached,kept_percent,\
                          mean_seconds,p90_seconds\r\n";
    let mut text = HEADER.to_owned();
    for row in rows {
        let team = if row.team_id.is_empty() {
            String::new()
        } else {
            roster.team_name(&row.team_id).to_owned()
        };
        let cells = [
            row.period.clone(),
            words::metric(row.metric),
            row.policy_id.clone(),
            policies.get(&row.policy_id).cloned().unwrap_or_default(),
            row.team_id.clone(),
            team,
            row.channel.clone(),
            row.priority.clone(),
            row.met.to_string(),
            row.breached.to_string(),
            kept(row).map_or_else(String::new, |share| format!("{share:.2}")),
            row.mean_seconds.to_string(),
            row.p90_seconds.to_string(),
        ];
        let cells: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

/// A cell of a CSV file. A name that a spreadsheet would take for a formula becomes a text.
fn csv_cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

fn group(row: &Attainment, policies: &Policies, roster: &Roster) -> String {
    let policy = policies.get(&row.policy_id).unwrap_or(&row.policy_id);
    let policy = words::short(policy, 30);
    let team = words::short(roster.team_name(&row.team_id), 30);
    let parts = [&row.period, &policy, &team, &row.channel, &row.priority];
    let parts: Vec<&str> = parts
        .iter()
        .map(|it| it.as_str())
        .filter(|it| !it.is_empty())
        .collect();
    parts.join(", ")
}

/// A row for scripts.
#[derive(Debug, Serialize)]
struct AttainmentView {
    metric: String,
    policy_id: String,
    team_id: String,
    channel: String,
    priority: String,
    period: String,
    met: i64,
    breached: i64,
    mean_seconds: i64,
    p90_seconds: i64,
}

impl From<&Attainment> for AttainmentView {
    fn from(row: &Attainment) -> Self {
        let row = row.clone();
        Self {
            metric: words::metric(row.metric),
            policy_id: row.policy_id,
            team_id: row.team_id,
            channel: row.channel,
            priority: row.priority,
            period: row.period,
            met: row.met,
            breached: row.breached,
            mean_seconds: row.mean_seconds,
            p90_seconds: row.p90_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_needs_something_to_share() {
        let row = |met, breached| Attainment {
            met,
            breached,
            ..Attainment::default()
        };
        assert_eq!(kept(&row(0, 0)), None);
        assert_eq!(kept(&row(3, 1)), Some(75.0));
        let named = Attainment {
            period: "2026-11-01".to_owned(),
            channel: "email".to_owned(),
            ..row(1, 0)
        };
        let nothing = (Policies::new(), Roster::default());
        assert_eq!(group(&named, &nothing.0, &nothing.1), "2026-11-01, email");
    }

    #[test]
    fn csv_is_read_by_other_programs() {
        let row = Attainment {
            metric: 1,
            policy_id: "p".to_owned(),
            period: "2026-11-01".to_owned(),
            channel: "email".to_owned(),
            met: 3,
            breached: 1,
            mean_seconds: 60,
            p90_seconds: 90,
            ..Attainment::default()
        };
        let policies = Policies::from([("p".to_owned(), "Gold, \"VIP\"".to_owned())]);
        let text = csv(&[row], &policies, &Roster::default());
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(
            lines[1],
            "2026-11-01,first_response,p,\"Gold, \"\"VIP\"\"\",,,email,,3,1,75.00,60,90"
        );
        assert_eq!(lines[0].split(',').count(), 13);
        assert_eq!(csv_cell("=1+1"), "'=1+1", "no formula of a stranger runs");
    }
}

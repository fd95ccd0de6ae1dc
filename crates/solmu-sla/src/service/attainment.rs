//! How many promises were kept, by policy, team, channel, priority and period.

use jiff::{SignedDuration, tz::TimeZone};
use solmu_bus::envelope::from_proto_time;
use solmu_domain::sla::Metric;
use solmu_proto::sla::v1 as proto;
use solmu_runtime::ApiError;
use uuid::Uuid;

use super::SlaServer;
use crate::{
    changes::proto_metric,
    store::cycles::{self, AttainmentQuery, AttainmentRow},
};

/// The time that is looked at if none is asked for.
const DEFAULT_SPAN: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The longest time that can be asked for: a little more than ten years.
const LONGEST_SPAN: SignedDuration = SignedDuration::from_hours(3_700 * 24);

impl SlaServer {
    pub(super) async fn get_attainment(
        &self,
        request: proto::GetAttainmentRequest,
    ) -> Result<proto::GetAttainmentResponse, ApiError> {
        let query = self.attainment_query(&request)?;
        let mut connection = self.connection().await?;
        let rows = cycles::attainment(&mut connection, &query).await?;
        Ok(proto::GetAttainmentResponse {
            rows: rows.into_iter().map(row_to_proto).collect(),
        })
    }

    fn attainment_query(
        &self,
        request: &proto::GetAttainmentRequest,
    ) -> Result<AttainmentQuery, ApiError> {
        const GROUPS: [&str; 5] = ["policy", "team", "channel", "priority", "period"];
        let time = |at: &Option<prost_types::Timestamp>| at.as_ref().map(from_proto_time);
        let until = time(&request.end_time).unwrap_or_else(|| self.maker.clock.now());
        let earliest = until.saturating_sub(DEFAULT_SPAN);
        let from = match time(&request.start_time) {
            Some(from) => from,
            None => earliest.map_err(|error| ApiError::invalid("end_time", error.to_string()))?,
        };
        let span = until.duration_since(from);
        if span.is_negative() || span > LONGEST_SPAN {
            let message = "must be before end_time, and not more than ten years";
            return Err(ApiError::invalid("start_time", message));
        }
        for (index, group) in request.group_by.iter().enumerate() {
            if !GROUPS.contains(&group.as_str()) {
                let message = "must be policy, team, channel, priority or period";
                return Err(ApiError::invalid(format!("group_by[{index}]"), message));
            }
        }
        let period = match request.period.as_str() {
            "" | "day" => "day",
            "week" => "week",
            "month" => "month",
            _ => return Err(ApiError::invalid("period", "must be day, week or month")),
        };
        let zone = match request.time_zone.as_str() {
            "" => "UTC".to_owned(),
            name => TimeZone::get(name)
                .ok()
                .and_then(|zone| zone.iana_name().map(str::to_owned))
                .ok_or_else(|| ApiError::invalid("time_zone", "is no IANA time zone"))?,
        };
        let by = |group: &str| request.group_by.iter().any(|it| it == group);
        Ok(AttainmentQuery {
            from,
            until,
            by_policy: by("policy"),
            by_team: by("team"),
            by_channel: by("channel"),
            by_priority: by("priority"),
            period: by("period").then_some(period),
            zone,
        })
    }
}

fn row_to_proto(row: AttainmentRow) -> proto::Attainment {
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let metric = Metric::from_name(&row.metric);
    proto::Attainment {
        metric: metric.map_or(0, |metric| proto_metric(metric).into()),
        policy_id: id(row.policy),
        team_id: id(row.team),
        channel: row.channel,
        priority: row.priority,
        period: row.period,
        met: row.met,
        breached: row.breached,
        mean_seconds: row.mean_s,
        p90_seconds: row.p90_s,
    }
}

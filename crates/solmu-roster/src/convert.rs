//! From stored rows to messages.

use solmu_bus::envelope::to_proto_time;
use solmu_domain::sla::CalendarSpec;
use solmu_proto::routing::v1 as proto;

use crate::{
    presence::Presence,
    rule::Wish,
    store::{people::AgentRow, rule::RuleRow, team::TeamRow},
};

impl From<TeamRow> for proto::Team {
    fn from(row: TeamRow) -> Self {
        Self {
            id: row.id.to_string(),
            display_name: row.display_name,
            default: row.is_default,
            strategy: row.strategy.unwrap_or_default(),
            overflow_after: row.overflow_after_s.map(|it| duration(it.into())),
            overflow_team_ids: row.overflow_to.iter().map(ToString::to_string).collect(),
            mode: row.mode,
            offer_timeout: Some(duration(row.offer_s.into())),
            decline_rest: Some(duration(row.decline_s.into())),
            take_back: row.take_back,
            take_back_after: Some(duration(row.take_back_after_s.into())),
            rebalance_before: row.rebalance_s.map(|it| duration(it.into())),
            archive_time: row.archived_at.map(|at| to_proto_time(at.to_jiff())),
            follow_sun: row.follow_sun,
        }
    }
}

impl From<AgentRow> for proto::Agent {
    fn from(row: AgentRow) -> Self {
        let presence = match Presence::from_name(&row.presence) {
            Presence::Online => proto::Presence::Online,
            Presence::Busy => proto::Presence::Busy,
            Presence::Away => proto::Presence::Away,
            Presence::Offline => proto::Presence::Offline,
        };
        let location = row.location().map(|it| proto::Location {
            latitude: it.latitude,
            longitude: it.longitude,
        });
        let absences = absences(&row);
        Self {
            id: row.id.to_string(),
            presence_time: Some(to_proto_time(row.presence_at())),
            display_name: row.display_name,
            team_ids: row.team_ids.iter().map(ToString::to_string).collect(),
            presence: presence.into(),
            capacity: row.capacity,
            load: i32::try_from(row.load).unwrap_or(i32::MAX),
            backup_team_ids: row.backup_ids.iter().map(ToString::to_string).collect(),
            location,
            absences,
            skills: row
                .skills
                .0
                .into_iter()
                .map(|(name, level)| (name, level.into()))
                .collect(),
            languages: row.languages,
            channel_limits: row
                .channel_limits
                .0
                .into_iter()
                .map(|(name, limit)| (name, i32::try_from(limit).unwrap_or(i32::MAX)))
                .collect(),
            working_hours: row.hours.map(|spec| hours(spec.0)),
            email: row.email,
            archive_time: row.archived_at.map(|at| to_proto_time(at.to_jiff())),
        }
    }
}

impl From<RuleRow> for proto::Rule {
    fn from(row: RuleRow) -> Self {
        Self {
            id: row.id.to_string(),
            display_name: row.display_name,
            position: row.position,
            condition: row.condition,
            team_id: row.team_id.map(|id| id.to_string()).unwrap_or_default(),
            set_priority: row.set_priority.unwrap_or_default(),
            add_tags: row.add_tags,
            enabled: row.enabled,
            version: row.version,
            agent_id: row.agent_id.map(|id| id.to_string()).unwrap_or_default(),
            skills: row.skills.0.into_iter().map(wish).collect(),
            vip: row.vip,
            hold: (row.hold_s > 0).then(|| duration(row.hold_s.into())),
            goes_on: row.goes_on,
            time_zone: row.zone,
            restrict: row.restricts.then(|| proto::RuleRestriction {
                agent_ids: texts(&row.restrict_agent_ids),
                team_ids: texts(&row.restrict_team_ids),
            }),
            // They are of the moment at which it was saved.
            warnings: Vec::new(),
        }
    }
}

fn texts(ids: &[uuid::Uuid]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn wish(wish: Wish) -> proto::SkillWish {
    proto::SkillWish {
        skill: wish.skill,
        level: wish.level.into(),
        required: wish.required,
        relax_after: wish.relax_after_s.map(|it| duration(it.into())),
    }
}

/// Whole seconds.
pub const fn duration(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

fn absences(row: &AgentRow) -> Vec<proto::Absence> {
    let each = row.absences().map(|(from, to)| proto::Absence {
        start_time: Some(to_proto_time(from)),
        end_time: Some(to_proto_time(to)),
    });
    each.collect()
}

fn hours(spec: CalendarSpec) -> proto::WorkingHours {
    let windows = spec.hours.into_iter().flat_map(|(day, windows)| {
        windows
            .into_iter()
            .map(move |[opens, closes]| proto::Window {
                day: day.clone(),
                opens,
                closes,
            })
    });
    proto::WorkingHours {
        windows: windows.collect(),
        time_zone: spec.tz,
    }
}

//! From stored rows to messages.

use solmu_bus::envelope::to_proto_time;
use solmu_proto::routing::v1 as proto;

use crate::{
    core::desk::Presence,
    store::{
        decision::Told,
        people::{AgentRow, TeamRow},
        rule::RuleRow,
    },
};

impl From<TeamRow> for proto::Team {
    fn from(row: TeamRow) -> Self {
        Self {
            id: row.id.to_string(),
            display_name: row.display_name,
            default: row.is_default,
        }
    }
}

impl From<AgentRow> for proto::Agent {
    fn from(row: AgentRow) -> Self {
        let presence = match Presence::from_name(&row.presence) {
            Presence::Online => proto::Presence::Online,
            Presence::Away => proto::Presence::Away,
            Presence::Offline => proto::Presence::Offline,
        };
        Self {
            id: row.id.to_string(),
            presence_time: Some(to_proto_time(row.presence_at())),
            display_name: row.display_name,
            team_ids: row.team_ids.iter().map(ToString::to_string).collect(),
            presence: presence.into(),
            capacity: row.capacity,
            load: i32::try_from(row.load).unwrap_or(i32::MAX),
            email: row.email,
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
            team_id: row.team_id.to_string(),
            set_priority: row.set_priority.unwrap_or_default(),
            add_tags: row.add_tags,
            enabled: row.enabled,
            version: row.version,
        }
    }
}

impl From<Told> for proto::Decision {
    fn from(row: Told) -> Self {
        let text = |id: Option<uuid::Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        Self {
            decision_id: row.id.to_string(),
            team_id: row.team_id.to_string(),
            agent_id: text(row.agent_id),
            rule_id: text(row.rule_id),
            decide_time: Some(to_proto_time(row.decided_at())),
            reason: row.reason,
            outcome: row.outcome,
        }
    }
}

//! From stored rows to messages.

use solmu_bus::envelope::to_proto_time;
use solmu_proto::routing::v1 as proto;

use crate::{
    core::decision::Considered,
    store::{decision::Told, offer::OfferRow},
};

impl From<OfferRow> for proto::Offer {
    fn from(row: OfferRow) -> Self {
        Self {
            id: row.id.to_string(),
            ticket_id: row.ticket_id.to_string(),
            team_id: row.team_id.to_string(),
            agent_id: row.agent_id.to_string(),
            reason: row.reason,
            offer_time: Some(to_proto_time(row.offered_at.to_jiff())),
            expire_time: Some(to_proto_time(row.expires_at.to_jiff())),
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
            kind: row.kind,
            previous_agent_id: text(row.previous_id),
            candidates: row.candidates.0.iter().map(Considered::to_proto).collect(),
            rule_version: row.rule_version,
            outcome_cause: row.outcome_cause.unwrap_or_default(),
        }
    }
}

//! A decision with all that it was made on, as it is stored and told.

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::{
    ids::{AgentId, DecisionId, TeamId, TicketId},
    ticket::Priority,
};
use solmu_proto::routing::v1 as proto;
use solmu_telemetry::TraceContext;

use super::{
    event::RejectCause,
    ticket::{Effects, RuleRef},
};

/// A ticket goes to an agent, or into the queue of a team.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) id: DecisionId,
    pub(crate) ticket: TicketId,
    /// The ticket's routing version that it was made on.
    pub(crate) routing_version: i64,
    pub(crate) team: TeamId,
    /// Absent: waits in the team's queue.
    pub(crate) agent: Option<AgentId>,
    /// Whom it is taken from.
    pub(crate) previous: Option<AgentId>,
    pub(crate) kind: Kind,
    /// The agent's load version that it was made on.
    pub(crate) agent_load_version: i64,
    pub(crate) lease_epoch: i64,
    pub(crate) rule: Option<RuleRef>,
    /// One sentence for people.
    pub(crate) reason: String,
    pub(crate) candidates: Vec<Considered>,
    pub(crate) time: Timestamp,
    pub(crate) effects: Effects,
    pub(crate) trace: TraceContext,
    /// Since when the ticket has waited.
    pub(crate) waiting_since: Option<Timestamp>,
}

/// What a decision does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Gives the ticket to an agent.
    Assigned,
    /// Puts it into the queue of its team.
    Queued,
    /// Asks an agent; the ticket service is not told.
    Offered,
    /// Gives it to who accepted it.
    Accepted,
    /// Gives it to who asked for the next one.
    Pulled,
    /// Puts it back into the queue of its team.
    TakenBack,
    /// Moves it to somebody who can begin.
    Rebalanced,
}

impl Kind {
    /// Stable name, as stored and told.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Queued => "queued",
            Self::Offered => "offered",
            Self::Accepted => "accepted",
            Self::Pulled => "pulled",
            Self::TakenBack => "taken_back",
            Self::Rebalanced => "rebalanced",
        }
    }
}

/// An agent who was looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Considered {
    pub(crate) agent: AgentId,
    pub(crate) eligible: bool,
    pub(crate) note: String,
}

/// What became of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) decision: DecisionId,
    /// Absent: applied.
    pub(crate) rejected: Option<RejectCause>,
    pub(crate) time: Timestamp,
}

impl Considered {
    pub(crate) fn to_proto(&self) -> proto::Candidate {
        proto::Candidate {
            agent_id: self.agent.to_string(),
            eligible: self.eligible,
            note: self.note.clone(),
        }
    }
}

impl Decision {
    /// The event that tells of it.
    pub(crate) fn to_proto(&self) -> proto::AssignmentDecided {
        let candidates = self.candidates.iter().map(Considered::to_proto);
        let text = |id: Option<String>| id.unwrap_or_default();
        proto::AssignmentDecided {
            decision_id: self.id.to_string(),
            ticket_id: self.ticket.to_string(),
            routing_version: self.routing_version,
            team_id: self.team.to_string(),
            agent_id: text(self.agent.map(|agent| agent.to_string())),
            agent_load_version: self.agent_load_version,
            lease_epoch: self.lease_epoch,
            rule_id: text(self.rule.as_ref().map(|rule| rule.id.to_string())),
            rule_version: self.rule.as_ref().map_or(0, |rule| rule.version),
            reason: self.reason.clone(),
            candidates: candidates.collect(),
            decide_time: Some(to_proto_time(self.time)),
            set_priority: self
                .effects
                .priority
                .map_or_else(String::new, |priority: Priority| priority.name().to_owned()),
            add_tags: self.effects.tags.clone(),
            previous_agent_id: text(self.previous.map(|agent| agent.to_string())),
            kind: self.kind.name().to_owned(),
        }
    }
}

//! What clocks measure, and the statuses as far as clocks care.

use serde::{Deserialize, Serialize};

/// What a clock measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Creation to the first public reply of a person. Tickets that an agent opened have none.
    FirstResponse,
    /// The oldest unanswered customer message (after the first reply) to the reply.
    NextResponse,
    /// Creation to resolved, without the time spent in resolved.
    Resolution,
    /// Each public reply of a person to the next one, until resolved: the customer hears from us.
    PeriodicUpdate,
    /// Creation to resolved, without the time in which others are waited for.
    AgentWork,
    /// A team's part: from the ticket's coming to the team to its leaving, or to resolved. An internal promise (OLA).
    Ownership,
}

impl Metric {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 6] = [
        Self::FirstResponse,
        Self::NextResponse,
        Self::Resolution,
        Self::PeriodicUpdate,
        Self::AgentWork,
        Self::Ownership,
    ];

    /// The name on the wire and in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstResponse => "first_response",
            Self::NextResponse => "next_response",
            Self::Resolution => "resolution",
            Self::PeriodicUpdate => "periodic_update",
            Self::AgentWork => "agent_work",
            Self::Ownership => "ownership",
        }
    }

    /// The metric of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.as_str() == name)
    }

    /// Whether it is a promise to the customer, and not only among ourselves.
    pub const fn is_external(self) -> bool {
        !matches!(self, Self::Ownership | Self::AgentWork)
    }
}

/// A ticket's status as far as clocks care. Serialised by our names; the short ones of other systems are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockStatus {
    /// Nobody has looked at it.
    New,
    /// Being worked on.
    Open,
    /// The customer has to answer.
    #[serde(alias = "waiting_customer")]
    WaitingOnCustomer,
    /// The customer has answered.
    CustomerReplied,
    /// Somebody outside has to act.
    #[serde(alias = "waiting_third")]
    WaitingOnThirdParty,
    /// Done; a message of the customer opens it again.
    Resolved,
    /// Done for good.
    Closed,
}

impl ClockStatus {
    /// Whether the work is done, so that no clock runs.
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Resolved | Self::Closed)
    }

    /// Whether somebody else has to act.
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::WaitingOnCustomer | Self::WaitingOnThirdParty)
    }
}

//! What happens to clocks from outside, and what they tell about it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::metric::{ClockStatus, Metric};

/// Something that happened to a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockEvent {
    /// When it happened. Events of a ticket come in this order.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: ClockEventKind,
}

impl ClockEvent {
    /// An event at an instant.
    pub const fn new(at: Timestamp, kind: ClockEventKind) -> Self {
        Self { at, kind }
    }
}

/// The kinds of events that clocks care about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClockEventKind {
    /// The ticket has another status.
    Status {
        /// The new status.
        to: ClockStatus,
    },
    /// A public reply of a person. Not for automatic replies, notes and bots.
    AgentReply,
    /// A public message of the customer. Not for automatic ones, and not for thanks.
    CustomerMessage,
    /// The ticket has another priority: targets are swapped, consumed time is kept.
    Priority {
        /// Name of the new priority, as in the policy's targets.
        to: String,
    },
    /// The ticket moved to a team with other hours: the rest is counted in the new calendar.
    Calendar {
        /// Key of the new calendar.
        to: String,
        /// Keys for those metrics that have another one.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        metrics: BTreeMap<Metric, String>,
    },
    /// Another policy now holds: targets are swapped, what is consumed stays consumed, and a metric that was not
    /// measured so far gets a clock that begins now.
    Policy {
        /// Key of the policy; empty for the one that the terms give.
        #[serde(default)]
        to: String,
    },
    /// The ticket is another team's, or nobody's.
    Team {
        /// The team, as in the policy's targets.
        to: Option<String>,
    },
    /// Another ticket was merged into this one.
    Absorbed {
        /// Which one, so that it can be taken back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The oldest customer message of the other ticket that nobody had answered, if there is one.
        unanswered_since: Option<Timestamp>,
    },
    /// This ticket was merged into another one: all cycles end void.
    Merged,
    /// The merge was taken back: what it ended goes on as it was. The time in between does not count, because nobody
    /// could work on this ticket.
    Unmerged,
    /// A ticket that was merged into this one stands for itself again. Clocks do nothing with it by themselves:
    /// [`drop_taken_back`] leaves out of the history what that ticket brought, and all is computed anew.
    Unabsorbed {
        /// Which one.
        from: String,
    },
    /// Nothing happened but time: notes deadlines that have passed.
    Tick,
}

impl ClockEventKind {
    /// Order among events of the same instant: an agent who replies and resolves has replied, and a customer's message
    /// that reopens a ticket comes after the reopening.
    const fn rank(&self) -> u8 {
        match self {
            Self::AgentReply => 0,
            Self::Priority { .. }
            | Self::Calendar { .. }
            | Self::Policy { .. }
            | Self::Team { .. }
            // The source of a merge is closed by the merge, which is no resolution.
            | Self::Merged
            // The source has its status again with the undoing of the merge, which is no reopening.
            | Self::Unmerged => 1,
            Self::Status { .. } => 2,
            Self::CustomerMessage | Self::Absorbed { .. } | Self::Unabsorbed { .. } => 3,
            Self::Tick => 4,
        }
    }
}

/// Puts the events of a ticket in the order in which clocks want them. Equal events keep their order.
///
/// For histories without a sequence of their own: status before message, reply before status.
pub fn sort_events(events: &mut [ClockEvent]) {
    events.sort_by_key(|event| (event.at, event.kind.rank()));
}

/// Leaves out of a sorted history what merges brought that were taken back later.
pub fn drop_taken_back(events: &mut Vec<ClockEvent>) {
    let mut undone: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
    for event in events.iter() {
        if let ClockEventKind::Unabsorbed { from } = &event.kind {
            undone.entry(from).or_default().push(event.at);
        }
    }
    if undone.is_empty() {
        return;
    }
    let stays = |event: &ClockEvent| match &event.kind {
        ClockEventKind::Absorbed {
            from: Some(from), ..
        } => {
            let undone = undone.get(from.as_str());
            !undone.is_some_and(|times| times.iter().any(|at| *at >= event.at))
        }
        _ => true,
    };
    let stay: Vec<bool> = events.iter().map(stays).collect();
    let mut stay = stay.into_iter();
    events.retain(|_| stay.next().unwrap_or(true));
}

/// What an event did to one clock, for events on the bus and the ticket's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockChange {
    /// Which clock.
    pub metric: Metric,
    /// Its cycle, counted from 1.
    pub cycle: u32,
    /// When it happened; a breach happened at its deadline, which is before the event that showed it.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: ChangeKind,
}

/// The kinds of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum ChangeKind {
    /// A cycle began, running or paused.
    Started,
    /// It stands still.
    Paused,
    /// It runs again.
    Resumed,
    /// What it waited for was done.
    Met {
        /// Business seconds it took.
        elapsed_s: i64,
        /// Whether that was too late.
        breached: bool,
    },
    /// It ended without meaning.
    Voided,
    /// It had ended and goes on with what it had consumed.
    Reopened,
    /// Its deadline passed.
    Breached,
    /// It has another target, or another calendar, or an earlier start: its deadline is another.
    Rescheduled,
}

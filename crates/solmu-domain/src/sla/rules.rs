//! What a policy says besides its targets: what pauses which clock, what is done ahead of a deadline and after it, and
//! what becomes of running clocks when the ticket or the policy changes.
//!
//! Every "what happens if" is an enum with a default and not a habit of the code, so that each policy states it and an
//! explanation can name it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::metric::{ClockStatus, Metric};

/// Whom a step may notify by a name in place of an id.
const NOTIFIED: [&str; 5] = ["assignee", "team", "team_lead", "manager", "followers"];
/// Steps of a policy at most.
pub const MAX_STEPS: usize = 32;

/// What a change of priority does to running clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnPriority {
    /// The target is swapped, what is consumed stays consumed.
    #[default]
    Retarget,
    /// The target is swapped and the clock begins anew; a breach stays one.
    Restart,
    /// Running clocks keep their targets; clocks that begin later take the new one.
    Keep,
}

/// What reopening does to the clocks that resolving has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReopen {
    /// They go on with what they had consumed (total resolution time).
    #[default]
    Continue,
    /// A new cycle begins at zero; the one that ended stays as it is.
    Restart,
    /// They stay ended (time to the first resolution).
    Leave,
}

/// What a merge does to the clocks of the ticket that takes the other one in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMerge {
    /// The other's oldest unanswered message moves the start of next response back.
    #[default]
    TakeOver,
    /// Nothing.
    Ignore,
}

/// Whose calendar the clocks are counted in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarFrom {
    /// The policy's.
    #[default]
    Policy,
    /// That of the team at the opening, and it stays; the policy's when the team has none.
    TeamAtOpening,
    /// That of the team, also when the ticket moves to another one: the rest is counted in the new calendar.
    Team,
}

/// What an edit of the policy, or of its calendar, does to the open tickets that have it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnEdit {
    /// Nothing: only new tickets get the new version.
    #[default]
    NewTickets,
    /// The new version holds from the edit on; what is consumed stays consumed.
    FromNowOn,
    /// All clocks are computed anew from the opening, as if the new version had always been there.
    Recompute,
}

/// When a step is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepAt {
    /// That many business seconds before the deadline.
    BeforeS(i64),
    /// When that many per cent of the target are used, 1 to 100.
    UsedPercent(u8),
    /// That many business seconds after the deadline; 0: with the breach.
    AfterS(i64),
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// The owner is warned: the event of a warning, as for `remind_before_s`. Target: empty.
    Warn,
    /// Somebody is told. Target: `assignee`, `team`, `team_lead`, `manager`, `followers`, `team:ID`, or an agent's id.
    Notify,
    /// The priority is raised. Target: a priority, or empty for the next higher one.
    RaisePriority,
    /// The ticket goes back to routing. Target: `team:ID`, `agent:ID`, or empty for whoever the router finds.
    Reassign,
    /// Somebody follows the ticket from now on. Target: an agent's id.
    AddFollower,
    /// Only the event, for webhooks and automations. Target: a name of your own.
    Webhook,
}

impl ActionKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Warn,
        Self::Notify,
        Self::RaisePriority,
        Self::Reassign,
        Self::AddFollower,
        Self::Webhook,
    ];

    /// The name on the wire and in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Notify => "notify",
            Self::RaisePriority => "raise_priority",
            Self::Reassign => "reassign",
            Self::AddFollower => "add_follower",
            Self::Webhook => "webhook",
        }
    }

    /// The kind of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether it only tells people, so that it may wait for business hours.
    pub const fn is_telling(self) -> bool {
        matches!(self, Self::Warn | Self::Notify)
    }

    /// Whether `target` is one that this kind can have.
    pub fn takes(self, target: &str) -> bool {
        let id = |text: &str| !text.is_empty() && text.len() <= 100;
        let is_uuid = |text: &str| uuid::Uuid::parse_str(text).is_ok();
        match self {
            Self::Warn => target.is_empty(),
            Self::Notify => {
                NOTIFIED.contains(&target)
                    || is_uuid(target.strip_prefix("team:").unwrap_or(target))
            }
            Self::AddFollower | Self::Webhook => id(target),
            Self::RaisePriority => {
                target.is_empty() || target.parse::<crate::ticket::Priority>().is_ok()
            }
            Self::Reassign => {
                let named = ["team:", "agent:"];
                target.is_empty()
                    || named
                        .iter()
                        .any(|name| target.strip_prefix(name).is_some_and(is_uuid))
            }
        }
    }
}

/// Something to do ahead of a deadline or after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Only for this metric; None: for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// When.
    pub at: StepAt,
    /// What.
    pub action: ActionKind,
    /// To whom or what, see [`ActionKind`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Of [`ActionKind::Notify`]: nobody gets a mail, the event is for others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub event_only: bool,
}

impl Step {
    /// What makes it one and the same step in every version of the policy: a step that was taken is not taken again
    /// because the policy was edited.
    pub fn key(&self) -> String {
        let at = match self.at {
            StepAt::BeforeS(seconds) => format!("before {seconds}"),
            StepAt::UsedPercent(percent) => format!("used {percent}%"),
            StepAt::AfterS(seconds) => format!("after {seconds}"),
        };
        format!("{at} {} {}", self.action.as_str(), self.target)
            .trim_end()
            .to_owned()
    }

    /// Whether it is for that metric.
    pub fn is_for(&self, metric: Metric) -> bool {
        self.metric.is_none_or(|only| only == metric)
    }
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyRules {
    /// Statuses in which one metric's clock stands still, in place of the policy's `pause_on`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pause_for: BTreeMap<Metric, BTreeSet<ClockStatus>>,
    /// Targets of [`Metric::Ownership`] by team and priority, in business seconds; before those of `targets`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub team_targets: BTreeMap<String, BTreeMap<String, i64>>,
    /// Warnings and the escalation chain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// At a change of priority.
    pub on_priority: OnPriority,
    /// At a reopening.
    pub on_reopen: OnReopen,
    /// When another ticket is merged into this one.
    pub on_merge: OnMerge,
    /// At an edit of the policy or its calendar.
    pub on_edit: OnEdit,
    /// Own or team calendar.
    pub calendar_from: CalendarFrom,
    /// Warnings and notifications wait for business hours. Breaches are noted when they happen all the same.
    pub quiet: bool,
    /// Metrics that this policy has no targets for are taken from the next policy that holds.
    pub combine: bool,
    /// Tickets keep it even if its condition no longer holds.
    pub sticky: bool,
}

impl PolicyRules {
    /// Whether all is as it is by default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

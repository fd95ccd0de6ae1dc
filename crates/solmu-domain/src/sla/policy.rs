//! What is promised: targets by priority and metric, and the statuses in which the clocks stand still.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The key of targets that hold for each priority that has none of its own.
pub const ANY_PRIORITY: &str = "*";

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
}

impl Metric {
    /// The name on the wire and in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstResponse => "first_response",
            Self::NextResponse => "next_response",
            Self::Resolution => "resolution",
        }
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
}

/// The targets of one priority in business seconds; None promises nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricTargets {
    /// Target of [`Metric::FirstResponse`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_response: Option<i64>,
    /// Target of [`Metric::NextResponse`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_response: Option<i64>,
    /// Target of [`Metric::Resolution`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<i64>,
}

impl MetricTargets {
    /// The target of one metric.
    pub const fn get(&self, metric: Metric) -> Option<i64> {
        match metric {
            Metric::FirstResponse => self.first_response,
            Metric::NextResponse => self.next_response,
            Metric::Resolution => self.resolution,
        }
    }
}

/// From when on a customer message starts a next-response clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextResponseFrom {
    /// After the first reply: until then the first-response clock stands for it.
    #[default]
    AfterFirst,
    /// From the message that opened the ticket on.
    Any,
}

/// One version of an SLA policy. A ticket keeps the version that it started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Targets by the name of the priority, or [`ANY_PRIORITY`].
    pub targets: BTreeMap<String, MetricTargets>,
    /// Statuses in which each clock stands still; resolved and closed always stop them.
    #[serde(default = "default_pauses")]
    pub pause_on: BTreeSet<ClockStatus>,
    /// When a next-response clock may start.
    #[serde(default)]
    pub next_response_from: NextResponseFrom,
    /// Business seconds before a deadline at which its owner is warned; None warns nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_before_s: Option<i64>,
}

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A policy without any target measures nothing.
    #[error("targets has no target")]
    NoTarget,
    /// A target that is no time.
    #[error("{field} is {seconds}: expected 1 second to 10 years")]
    BadDuration {
        /// Path of the field.
        field: String,
        /// The value that was given.
        seconds: i64,
    },
}

impl PolicyError {
    /// The path of the field that is wrong, such as `targets.urgent.resolution`.
    pub fn field(&self) -> &str {
        match self {
            Self::NoTarget => "targets",
            Self::BadDuration { field, .. } => field,
        }
    }
}

/// Longest target and reminder: ten years of seconds.
const LONGEST_S: i64 = 10 * 366 * 86_400;

impl Policy {
    /// A policy with the default pauses and no reminders.
    pub fn new(targets: BTreeMap<String, MetricTargets>) -> Self {
        let next_response_from = NextResponseFrom::default();
        Self {
            targets,
            pause_on: default_pauses(),
            next_response_from,
            remind_before_s: None,
        }
    }

    /// Checks the durations; call it where a policy is written, not where one is read.
    pub fn check(&self) -> Result<(), PolicyError> {
        let mut any = false;
        for (priority, targets) in &self.targets {
            for metric in [
                Metric::FirstResponse,
                Metric::NextResponse,
                Metric::Resolution,
            ] {
                let Some(seconds) = targets.get(metric) else {
                    continue;
                };
                any = true;
                check_duration(seconds, || {
                    format!("targets.{priority}.{}", metric.as_str())
                })?;
            }
        }
        if let Some(seconds) = self.remind_before_s {
            check_duration(seconds, || "remind_before_s".to_owned())?;
        }
        if any {
            Ok(())
        } else {
            Err(PolicyError::NoTarget)
        }
    }

    /// The target of a metric at a priority, in business seconds.
    pub fn target(&self, priority: &str, metric: Metric) -> Option<i64> {
        self.targets
            .get(priority)
            .or_else(|| self.targets.get(ANY_PRIORITY))?
            .get(metric)
    }

    /// Whether some priority has a target for the metric, so that its clock must be kept.
    pub fn measures(&self, metric: Metric) -> bool {
        self.targets
            .values()
            .any(|targets| targets.get(metric).is_some())
    }

    /// Whether clocks stand still in that status.
    pub fn stops(&self, status: ClockStatus) -> bool {
        status.is_done() || self.pause_on.contains(&status)
    }
}

fn check_duration(seconds: i64, field: impl FnOnce() -> String) -> Result<(), PolicyError> {
    if (1..=LONGEST_S).contains(&seconds) {
        return Ok(());
    }
    Err(PolicyError::BadDuration {
        field: field(),
        seconds,
    })
}

fn default_pauses() -> BTreeSet<ClockStatus> {
    BTreeSet::from([
        ClockStatus::WaitingOnCustomer,
        ClockStatus::WaitingOnThirdParty,
    ])
}

//! What is promised: targets by priority and metric, and the statuses in which the clocks stand still.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    metric::{ClockStatus, Metric},
    rules::{ActionKind, MAX_STEPS, PolicyRules, Step, StepAt},
};

/// The key of targets that hold for each priority (or team) that has none of its own.
pub const ANY_PRIORITY: &str = "*";

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
    /// Target of [`Metric::PeriodicUpdate`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub periodic_update: Option<i64>,
    /// Target of [`Metric::AgentWork`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_work: Option<i64>,
    /// Target of [`Metric::Ownership`] for each team that has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ownership: Option<i64>,
}

impl MetricTargets {
    /// The target of one metric.
    pub const fn get(&self, metric: Metric) -> Option<i64> {
        match metric {
            Metric::FirstResponse => self.first_response,
            Metric::NextResponse => self.next_response,
            Metric::Resolution => self.resolution,
            Metric::PeriodicUpdate => self.periodic_update,
            Metric::AgentWork => self.agent_work,
            Metric::Ownership => self.ownership,
        }
    }

    /// Sets the target of one metric.
    pub const fn set(&mut self, metric: Metric, seconds: Option<i64>) {
        let slot = match metric {
            Metric::FirstResponse => &mut self.first_response,
            Metric::NextResponse => &mut self.next_response,
            Metric::Resolution => &mut self.resolution,
            Metric::PeriodicUpdate => &mut self.periodic_update,
            Metric::AgentWork => &mut self.agent_work,
            Metric::Ownership => &mut self.ownership,
        };
        *slot = seconds;
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
    /// Everything else.
    #[serde(default, skip_serializing_if = "PolicyRules::is_default")]
    pub rules: PolicyRules,
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
    /// A step that cannot be taken.
    #[error("{field} {problem}")]
    BadStep {
        /// Path of the field.
        field: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl PolicyError {
    /// The path of the field that is wrong, such as `targets.urgent.resolution`.
    pub fn field(&self) -> &str {
        match self {
            Self::NoTarget => "targets",
            Self::BadDuration { field, .. } | Self::BadStep { field, .. } => field,
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
            rules: PolicyRules::default(),
        }
    }

    /// Checks the durations and the steps; call it where a policy is written, not where one is read.
    pub fn check(&self) -> Result<(), PolicyError> {
        let mut any = false;
        for (priority, targets) in &self.targets {
            for metric in Metric::ALL {
                let Some(seconds) = targets.get(metric) else {
                    continue;
                };
                any = true;
                check_duration(seconds, 1, || {
                    format!("targets.{priority}.{}", metric.as_str())
                })?;
            }
        }
        for (team, by_priority) in &self.rules.team_targets {
            for (priority, seconds) in by_priority {
                any = true;
                check_duration(*seconds, 1, || format!("team_targets.{team}.{priority}"))?;
            }
        }
        if let Some(seconds) = self.remind_before_s {
            check_duration(seconds, 1, || "remind_before_s".to_owned())?;
        }
        self.check_steps()?;
        if any {
            Ok(())
        } else {
            Err(PolicyError::NoTarget)
        }
    }

    fn check_steps(&self) -> Result<(), PolicyError> {
        let bad = |field: String, problem| Err(PolicyError::BadStep { field, problem });
        let steps = &self.rules.steps;
        if steps.len() > MAX_STEPS {
            return bad("steps".to_owned(), "has more than 32 steps");
        }
        for (index, step) in steps.iter().enumerate() {
            let field = |name: &str| format!("steps[{index}].{name}");
            match step.at {
                StepAt::BeforeS(seconds) => check_duration(seconds, 1, || field("at"))?,
                StepAt::AfterS(seconds) => check_duration(seconds, 0, || field("at"))?,
                StepAt::UsedPercent(1..=100) => {}
                StepAt::UsedPercent(_) => return bad(field("at"), "must be 1 to 100 per cent"),
            }
            if step.action == ActionKind::Warn && matches!(step.at, StepAt::AfterS(_)) {
                return bad(field("at"), "must be ahead of the deadline for a warning");
            }
            if !step.action.takes(&step.target) {
                return bad(field("target"), "is not one that this action can have");
            }
            if step.event_only && step.action != ActionKind::Notify {
                return bad(field("event_only"), "is only for a step that notifies");
            }
            let same = |other: &Step| other.metric == step.metric && other.key() == step.key();
            if steps.iter().take(index).any(same) {
                return bad(field("at"), "is there twice");
            }
        }
        Ok(())
    }

    /// The target of a metric at a priority, in business seconds.
    pub fn target(&self, priority: &str, metric: Metric) -> Option<i64> {
        self.targets
            .get(priority)
            .or_else(|| self.targets.get(ANY_PRIORITY))?
            .get(metric)
    }

    /// The target of a metric at a priority in a team: a team's own targets of [`Metric::Ownership`] come first.
    pub fn target_in(&self, priority: &str, metric: Metric, team: Option<&str>) -> Option<i64> {
        if metric != Metric::Ownership {
            return self.target(priority, metric);
        }
        let by_priority = self.rules.team_targets.get(team?);
        let own = by_priority.and_then(|own| own.get(priority).or_else(|| own.get(ANY_PRIORITY)));
        own.copied().or_else(|| self.target(priority, metric))
    }

    /// Whether some priority has a target for the metric, so that its clock must be kept.
    pub fn measures(&self, metric: Metric) -> bool {
        let by_team = metric == Metric::Ownership && !self.rules.team_targets.is_empty();
        by_team
            || self
                .targets
                .values()
                .any(|targets| targets.get(metric).is_some())
    }

    /// Whether clocks without a rule of their own stand still in that status.
    pub fn stops(&self, status: ClockStatus) -> bool {
        status.is_done() || self.pause_on.contains(&status)
    }

    /// Whether a metric's clock stands still in that status. Agents do not work while others are waited for, whatever
    /// the policy's pauses are.
    pub fn pauses(&self, metric: Metric, status: ClockStatus) -> bool {
        match self.rules.pause_for.get(&metric) {
            Some(statuses) => status.is_done() || statuses.contains(&status),
            None if metric == Metric::AgentWork && status.is_waiting() => true,
            None => self.stops(status),
        }
    }

    /// All warnings and escalations for a metric: the reminder first, under the number None, then the steps.
    pub fn steps_of(&self, metric: Metric) -> impl Iterator<Item = (Option<usize>, StepAt)> {
        let reminder = self.remind_before_s.map(StepAt::BeforeS);
        let steps = self.rules.steps.iter().enumerate();
        let steps = steps.filter(move |(_, step)| step.is_for(metric));
        reminder
            .map(|at| (None, at))
            .into_iter()
            .chain(steps.map(|(index, step)| (Some(index), step.at)))
    }

    /// What several policies that hold for one ticket promise together: each metric comes from the first policy that
    /// measures it, with that policy's pauses, reminder and steps; the rest is as the first policy says.
    ///
    /// None when there is no policy.
    pub fn compose(policies: &[&Self]) -> Option<Self> {
        let (first, others) = policies.split_first()?;
        if others.is_empty() {
            return Some((*first).clone());
        }
        let owner = |metric| {
            policies
                .iter()
                .copied()
                .find(|policy| policy.measures(metric))
        };
        let mut composed = (*first).clone();
        composed.targets = BTreeMap::new();
        composed.rules.team_targets = BTreeMap::new();
        composed.rules.steps = Vec::new();
        composed.rules.pause_for = BTreeMap::new();
        composed.remind_before_s = None;
        let any = ANY_PRIORITY.to_owned();
        let names = policies.iter().flat_map(|policy| policy.targets.keys());
        let names: BTreeSet<&String> = names.chain([&any]).collect();
        for metric in Metric::ALL {
            let Some(policy) = owner(metric) else {
                continue;
            };
            for name in &names {
                let target = policy.target(name, metric);
                let targets = composed.targets.entry((*name).clone()).or_default();
                targets.set(metric, target);
            }
            composed.rules.adopt(policy, metric);
            if metric == Metric::NextResponse {
                composed.next_response_from = policy.next_response_from;
            }
        }
        Some(composed)
    }
}

impl PolicyRules {
    /// Takes over what `policy` says of `metric`.
    fn adopt(&mut self, policy: &Policy, metric: Metric) {
        const STATUSES: [ClockStatus; 5] = [
            ClockStatus::New,
            ClockStatus::Open,
            ClockStatus::WaitingOnCustomer,
            ClockStatus::CustomerReplied,
            ClockStatus::WaitingOnThirdParty,
        ];
        let pauses = STATUSES
            .into_iter()
            .filter(|status| policy.pauses(metric, *status));
        self.pause_for.insert(metric, pauses.collect());
        if metric == Metric::Ownership {
            self.team_targets.clone_from(&policy.rules.team_targets);
        }
        let reminder = policy.remind_before_s.map(|seconds| Step {
            metric: None,
            at: StepAt::BeforeS(seconds),
            action: ActionKind::Warn,
            target: String::new(),
            event_only: false,
        });
        let steps = policy.rules.steps.iter().filter(|step| step.is_for(metric));
        for step in reminder.iter().chain(steps) {
            self.steps.push(Step {
                metric: Some(metric),
                ..step.clone()
            });
        }
    }
}

fn check_duration(
    seconds: i64,
    least: i64,
    field: impl FnOnce() -> String,
) -> Result<(), PolicyError> {
    if (least..=LONGEST_S).contains(&seconds) {
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

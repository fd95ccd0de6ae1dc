//! What clocks are measured by, and what a ticket brings along when it is created.

use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasher,
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    calendar::Calendar,
    metric::{ClockStatus, Metric},
    policy::Policy,
};

/// Calendars by the keys that tickets carry.
pub trait Calendars {
    /// The calendar of that key.
    fn calendar(&self, key: &str) -> Option<&Calendar>;
}

impl Calendars for BTreeMap<String, Calendar> {
    fn calendar(&self, key: &str) -> Option<&Calendar> {
        self.get(key)
    }
}

impl Calendars for BTreeMap<String, Arc<Calendar>> {
    fn calendar(&self, key: &str) -> Option<&Calendar> {
        self.get(key).map(AsRef::as_ref)
    }
}

impl<S: BuildHasher> Calendars for HashMap<String, Arc<Calendar>, S> {
    fn calendar(&self, key: &str) -> Option<&Calendar> {
        self.get(key).map(AsRef::as_ref)
    }
}

/// Policies by the keys that tickets carry.
pub trait Policies {
    /// The policy of that key.
    fn policy(&self, key: &str) -> Option<Arc<Policy>>;
}

impl Policies for BTreeMap<String, Arc<Policy>> {
    fn policy(&self, key: &str) -> Option<Arc<Policy>> {
        self.get(key).map(Arc::clone)
    }
}

/// For tickets that never change their policy.
struct NoPolicies;

impl Policies for NoPolicies {
    fn policy(&self, _: &str) -> Option<Arc<Policy>> {
        None
    }
}

/// What a ticket's clocks are measured by: the version of the policy that the ticket has, and the calendars.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The policy of tickets that name none.
    pub policy: &'a Policy,
    /// At least those calendars that the ticket's clocks name.
    pub calendars: &'a dyn Calendars,
    /// At least those policies that the ticket names, or has named.
    pub policies: &'a dyn Policies,
}

impl std::fmt::Debug for Terms<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terms")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// A policy that was looked up.
#[derive(Debug, Clone)]
pub enum Current<'a> {
    /// The one that the terms give.
    Given(&'a Policy),
    /// One of a key.
    Named(Arc<Policy>),
}

impl Current<'_> {
    /// The policy.
    pub fn get(&self) -> &Policy {
        match self {
            Self::Given(policy) => policy,
            Self::Named(policy) => policy,
        }
    }
}

impl<'a> Terms<'a> {
    /// One policy for the whole life of a ticket.
    pub fn new(policy: &'a Policy, calendars: &'a dyn Calendars) -> Self {
        Self {
            policy,
            calendars,
            policies: &NoPolicies,
        }
    }

    /// The policy of a key; the given one for the empty key.
    pub fn current(&self, key: &str) -> Result<Current<'a>, ClockError> {
        if key.is_empty() {
            return Ok(Current::Given(self.policy));
        }
        let named = self.policies.policy(key).map(Current::Named);
        named.ok_or_else(|| ClockError::UnknownPolicy {
            key: key.to_owned(),
        })
    }

    /// The calendar of a key.
    pub(super) fn calendar(&self, key: &str) -> Result<&Calendar, ClockError> {
        self.calendars
            .calendar(key)
            .ok_or_else(|| ClockError::UnknownCalendar {
                key: key.to_owned(),
            })
    }
}

/// Why clocks refuse an event. They are unchanged then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// A calendar that the terms do not hold.
    #[error("no calendar '{key}'")]
    UnknownCalendar {
        /// The key that was looked for.
        key: String,
    },
    /// A policy that the terms do not hold.
    #[error("no policy '{key}'")]
    UnknownPolicy {
        /// The key that was looked for.
        key: String,
    },
    /// An event older than the last one: sort the history and replay it.
    #[error("event at {at} is older than the last one at {last}")]
    OutOfOrder {
        /// The event's instant.
        at: Timestamp,
        /// The instant of the last event.
        last: Timestamp,
    },
}

/// A ticket at its creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketStart {
    /// When it was created (a split ticket: when the message was sent that it was split off with).
    pub at: Timestamp,
    /// Its first status.
    pub status: ClockStatus,
    /// Name of its priority, as in the policy's targets.
    pub priority: String,
    /// Key of its calendar.
    pub calendar: String,
    /// Whether an agent opened it: nobody waits for a first response then.
    #[serde(default)]
    pub outbound: bool,
    /// Keys of the calendars of those metrics that have another one: their targets come from another policy.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calendars: BTreeMap<Metric, String>,
    /// Key of its policy; empty for the one that the terms give.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// Its team, as in the policy's targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
}

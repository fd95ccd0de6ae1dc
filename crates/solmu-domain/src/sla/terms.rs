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
    policy::{ClockStatus, Policy},
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

/// What a ticket's clocks are measured by: the version of the policy that the ticket has, and the calendars.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The ticket's policy.
    pub policy: &'a Policy,
    /// At least those calendars that the ticket's clocks name.
    pub calendars: &'a dyn Calendars,
}

impl Terms<'_> {
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
}

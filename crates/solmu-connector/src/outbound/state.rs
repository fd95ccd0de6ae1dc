//! The states of a message on its way out, and what moves it.
//!
//! Everything that the table changes goes through [`Event::leaves`]: what is not there does not happen, however late or
//! often a report comes. The one rule behind it: nothing is sent again unless it is certain that it was not taken.

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Waits to be sent, for the first time or again.
    Queued,
    /// A process is at it.
    Sending,
    /// The other side took it.
    Sent,
    /// It arrived.
    Delivered,
    /// It will not arrive.
    Failed,
    /// It may have been taken: never sent again by itself.
    Unknown,
}

/// What happens to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// A process takes it to send it.
    Claimed,
    /// The attempt ended: the other side took it.
    Taken,
    /// The attempt ended: certainly not taken, later perhaps.
    PutOff,
    /// The attempt ended: certainly not taken, for good.
    Refused,
    /// The attempt ended without an answer.
    Lost,
    /// The process that was at it did not come back.
    Orphaned,
    /// A report says that it arrived.
    ReportedDelivered,
    /// A report says that it did not.
    ReportedFailed,
}

impl State {
    /// Every state.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 6] = [
        Self::Queued,
        Self::Sending,
        Self::Sent,
        Self::Delivered,
        Self::Failed,
        Self::Unknown,
    ];

    /// As the table has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl Event {
    /// Every event.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 8] = [
        Self::Claimed,
        Self::Taken,
        Self::PutOff,
        Self::Refused,
        Self::Lost,
        Self::Orphaned,
        Self::ReportedDelivered,
        Self::ReportedFailed,
    ];

    /// The state after it.
    pub(crate) const fn leads_to(self) -> State {
        match self {
            Self::Claimed => State::Sending,
            Self::Taken => State::Sent,
            Self::PutOff => State::Queued,
            Self::Refused | Self::ReportedFailed => State::Failed,
            Self::Lost | Self::Orphaned => State::Unknown,
            Self::ReportedDelivered => State::Delivered,
        }
    }

    /// The states that it can happen in; in others nothing changes.
    ///
    /// A certain outcome that comes after its process was given up corrects `unknown`. A report that a message arrived
    /// wins over everything, also over a retry that waits: the relay had it after all, and it must not go out twice. A
    /// report that it failed says nothing about one that was never taken.
    pub(crate) const fn leaves(self) -> &'static [State] {
        use State::{Failed, Queued, Sending, Sent, Unknown};
        match self {
            Self::Claimed => &[Queued],
            Self::Taken | Self::Refused => &[Sending, Unknown],
            Self::PutOff | Self::Lost | Self::Orphaned => &[Sending],
            Self::ReportedDelivered => &[Queued, Sending, Sent, Failed, Unknown],
            Self::ReportedFailed => &[Sending, Sent, Unknown],
        }
    }

    /// The names of [`Event::leaves`], separated by spaces, for SQL.
    pub(crate) fn left_names(self) -> String {
        let names: Vec<&str> = self.leaves().iter().map(|state| state.name()).collect();
        names.join(" ")
    }
}

//! Ids are types: a `TicketId` cannot be passed where an `AgentId` is wanted.
//!
//! New ids are UUIDv7 (time-ordered, so that B-tree inserts stay at the right edge), made from the injected clock and
//! generator. Ids that must be the same on every delivery are UUIDv5 of what the vendor calls the thing.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{clock::Clock, rng::Rng};

/// Text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not a {kind} id: expected a UUID such as 0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e5f"
)]
pub struct ParseIdError {
    kind: &'static str,
    text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new, time-ordered id (UUIDv7).
            #[must_use]
            pub fn generate(clock: &dyn Clock, rng: &dyn Rng) -> Self {
                Self(new_uuid(clock, rng))
            }

            /// Takes an id as it is stored.
            #[must_use]
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The id as it is stored.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text)
                    .map(Self)
                    .map_err(|_| ParseIdError { kind: $kind, text: text.chars().take(80).collect() })
            }
        }
    };
}

id!(/** A ticket. */ TicketId, "ticket");
id!(/** A contact: one person. */ ContactId, "contact");
id!(/** A message on a ticket, in either direction. */ MessageId, "message");
id!(/** An agent. */ AgentId, "agent");
id!(/** A team of agents. */ TeamId, "team");
id!(/** A routing rule. */ RuleId, "rule");
id!(/** An SLA policy. */ PolicyId, "policy");
id!(/** A business calendar. */ CalendarId, "calendar");
id!(/** An event on the bus. */ EventId, "event");
id!(/** A decision of router or SLA service. */ DecisionId, "decision");

impl MessageId {
    /// The id of an inbound message: the same for every delivery of it, whoever received it.
    ///
    /// `channel`, `account` and `external_id` are the unique key of promise 2 in DESIGN.md.
    #[must_use]
    pub fn of_inbound(channel: &str, account: &str, external_id: &str) -> Self {
        Self(stable_uuid(&["message", channel, account, external_id]))
    }
}

impl EventId {
    /// An event that has one id however often its cause is seen (`kind` keeps different events apart).
    #[must_use]
    pub fn stable(kind: &str, parts: &[&str]) -> Self {
        let mut all = vec!["event", kind];
        all.extend_from_slice(parts);
        Self(stable_uuid(&all))
    }
}

/// A UUIDv7 from the injected clock and generator.
#[must_use]
pub fn new_uuid(clock: &dyn Clock, rng: &dyn Rng) -> Uuid {
    let mut random = [0; 10];
    rng.fill(&mut random);
    let millis = u64::try_from(clock.now().as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// A UUIDv5 over the parts, each prefixed with its length so that ("a", "bc") and ("ab", "c") differ.
fn stable_uuid(parts: &[&str]) -> Uuid {
    /// Solmu's own namespace, made once at random.
    const NAMESPACE: Uuid = Uuid::from_u128(0x5d0f_8a51_6b1c_4c57_9c0e_41f2_75b3_8e11);
    let mut name = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{clock::FakeClock, rng::SeededRng};

    #[test]
    fn generated_ids_are_ordered_by_time() {
        let clock = FakeClock::new(Timestamp::UNIX_EPOCH);
        let rng = SeededRng::new(1);
        let first = TicketId::generate(&clock, &rng);
        clock.advance(jiff::SignedDuration::from_millis(1));
        assert!(first < TicketId::generate(&clock, &rng));
        assert_eq!(first.as_uuid().get_version_num(), 7);
    }

    #[test]
    fn inbound_id_depends_on_each_part_and_nothing_else() {
        let id = MessageId::of_inbound("email", "main", "<a@b>");
        assert_eq!(id, MessageId::of_inbound("email", "main", "<a@b>"));
        assert_ne!(id, MessageId::of_inbound("email", "mai", "n<a@b>"));
    }

    #[test]
    fn bad_text_says_what_was_wanted() {
        let error = "abc".parse::<TicketId>().unwrap_err();
        assert!(error.to_string().contains("'abc' is not a ticket id"));
    }
}

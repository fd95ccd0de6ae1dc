//! Families of subjects: what kind of fact, and who wants it.

use solmu_proto::types::v1::Channel;

/// A family of events. Its subjects are `<namespace>.<token>.v1.<shard>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// From connectors to the ticket service.
    Inbound,
    /// What the ticket service says happened.
    Tickets,
    /// What the router decided.
    Routing,
    /// What the SLA service decided.
    Sla,
    /// Agents, teams and rules changed.
    Roster,
    /// To the connector of one channel.
    Outbound(Channel),
    /// What a consumer could not do.
    Dead,
}

impl Family {
    /// The token in subjects.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Tickets => "tickets",
            Self::Routing => "routing",
            Self::Sla => "sla",
            Self::Roster => "roster",
            Self::Outbound(Channel::Email) => "outbound.email",
            Self::Outbound(Channel::Chat) => "outbound.chat",
            Self::Outbound(Channel::Form) => "outbound.form",
            Self::Outbound(Channel::Whatsapp) => "outbound.whatsapp",
            Self::Outbound(Channel::Telegram) => "outbound.telegram",
            Self::Outbound(Channel::Unspecified) => "outbound.unspecified",
            Self::Dead => "dead",
        }
    }

    /// The family of a token.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        [
            Self::Inbound,
            Self::Tickets,
            Self::Routing,
            Self::Sla,
            Self::Roster,
            Self::Dead,
        ]
        .into_iter()
        .chain(
            [
                Channel::Email,
                Channel::Chat,
                Channel::Form,
                Channel::Whatsapp,
                Channel::Telegram,
                Channel::Unspecified,
            ]
            .map(Self::Outbound),
        )
        .find(|family| family.token() == token)
    }
}

/// The shard of a key: FNV-1a, because it must be the same in every process and every release.
#[must_use]
pub fn shard_of(key: &str, shards: u16) -> u16 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in key.as_bytes() {
        hash ^= u64::from(*byte);
        hash = hash.wrapping_mul(0x0100_0000_01b3);
    }
    // The high bits are mixed best.
    u16::try_from((hash >> 32) % u64::from(shards.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        for family in [
            Family::Inbound,
            Family::Outbound(Channel::Chat),
            Family::Dead,
        ] {
            assert_eq!(Family::from_token(family.token()), Some(family));
        }
        assert_eq!(Family::from_token("nothing"), None);
    }

    #[test]
    fn shards_are_stable_and_spread() {
        assert_eq!(shard_of("a", 16), shard_of("a", 16));
        let mut counts = [0; 16];
        for i in 0..1600 {
            counts[usize::from(shard_of(&format!("<{i}@example.com>"), 16))] += 1;
        }
        assert!(
            counts.iter().all(|count| (50..200).contains(count)),
            "{counts:?}"
        );
    }
}

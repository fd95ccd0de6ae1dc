//! The policies of a ticket: usually one, several where policies combine. Their key is what clocks carry.

use std::{fmt, str::FromStr};

use solmu_domain::ids::PolicyId;

/// A version of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PolicyKey {
    pub(crate) id: PolicyId,
    pub(crate) version: i32,
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.version)
    }
}

/// A text that is no key.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no key of a policy")]
pub(crate) struct NoPolicyKey(String);

impl FromStr for PolicyKey {
    type Err = NoPolicyKey;

    fn from_str(text: &str) -> Result<Self, NoPolicyKey> {
        let no_key = || NoPolicyKey(text.chars().take(80).collect());
        let (id, version) = text.split_once('@').ok_or_else(no_key)?;
        Ok(Self {
            id: id.parse().map_err(|_| no_key())?,
            version: version.parse().map_err(|_| no_key())?,
        })
    }
}

/// Policies in the order in which they decide. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PolicySet(Vec<PolicyKey>);

impl PolicySet {
    /// One policy.
    pub(crate) fn one(key: PolicyKey) -> Self {
        Self(vec![key])
    }

    /// None when there is no policy.
    pub(crate) fn of(keys: Vec<PolicyKey>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The first of them, which decides on all that is no metric.
    pub(crate) fn first(&self) -> PolicyKey {
        *self.0.first().expect("a set is never empty")
    }

    pub(crate) fn keys(&self) -> &[PolicyKey] {
        &self.0
    }

    /// As stored: one text for each.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Whether both are versions of the same policies.
    pub(crate) fn is_same_but_for_versions(&self, other: &Self) -> bool {
        let ids = |set: &Self| -> Vec<PolicyId> { set.0.iter().map(|key| key.id).collect() };
        ids(self) == ids(other)
    }

    /// With another version of one policy.
    pub(crate) fn with_version(&self, key: PolicyKey) -> Self {
        let keys = self
            .0
            .iter()
            .map(|old| if old.id == key.id { key } else { *old });
        Self(keys.collect())
    }
}

impl fmt::Display for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.0.iter().enumerate() {
            let joint = if index == 0 { "" } else { "+" };
            write!(f, "{joint}{key}")?;
        }
        Ok(())
    }
}

impl FromStr for PolicySet {
    type Err = NoPolicyKey;

    fn from_str(text: &str) -> Result<Self, NoPolicyKey> {
        let keys: Vec<PolicyKey> = text.split('+').map(str::parse).collect::<Result<_, _>>()?;
        Self::of(keys).ok_or_else(|| NoPolicyKey(String::new()))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(number: u128, version: i32) -> PolicyKey {
        PolicyKey {
            id: PolicyId::from_uuid(Uuid::from_u128(number)),
            version,
        }
    }

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let set = PolicySet::of(vec![key(1, 2), key(3, 4)]).unwrap();
        assert_eq!(set.to_string().parse::<PolicySet>().unwrap(), set);
        assert_eq!(set.first(), key(1, 2));
        for bad in ["", "x", "x@1", "0198c5d2-7a10-7bb2-8e4f-0242ac120002@", "+"] {
            assert!(bad.parse::<PolicySet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_change_and_policies_stay() {
        let set = PolicySet::of(vec![key(1, 1), key(2, 1)]).unwrap();
        let newer = set.with_version(key(2, 5)).with_version(key(9, 9));
        assert_eq!(newer.keys(), [key(1, 1), key(2, 5)]);
        assert!(set.is_same_but_for_versions(&newer) && set != newer);
        assert!(!set.is_same_but_for_versions(&PolicySet::one(key(1, 1))));
    }
}

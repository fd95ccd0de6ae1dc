//! Priorities in JSON by their stable names.

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
use solmu_domain::ticket::Priority;

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
pub(super) fn serialize<S: Serializer>(
    priority: &Option<Priority>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match priority {
        Some(priority) => serializer.serialize_some(priority.name()),
        None => serializer.serialize_none(),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Priority>, D::Error> {
    let name: Option<String> = Option::deserialize(deserializer)?;
    name.map(|name| name.parse().map_err(D::Error::custom))
        .transpose()
}

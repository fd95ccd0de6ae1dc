//! Settings of what agents share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Somebody is gone at the latest so many seconds after a crash.
const LONGEST_TTL: u32 = 30;

/// What agents share: who looks at what, bulk changes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Desk {
    /// Seconds after somebody's last heartbeat until they no longer have a ticket open; 3 to 30. Heartbeats should come
    /// three times as often.
    pub viewer_ttl_seconds: u32,
    /// How often a watcher looks by itself who has a ticket open, in milliseconds. Changes are told at once; this is for
    /// those that were not heard.
    pub viewer_poll_ms: u64,
    /// Open streams of who has a ticket open at most, in one process.
    pub max_viewer_streams: usize,
    /// Tickets of one bulk change at most.
    pub max_bulk: usize,
    /// Saved views of one person, and of one team, at most: a list of more is read by nobody, and each may be counted.
    pub max_views: u32,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            viewer_ttl_seconds: 25,
            viewer_poll_ms: 3_000,
            max_viewer_streams: 2_000,
            max_bulk: 1_000,
            max_views: 500,
        }
    }
}

impl Desk {
    /// What cannot work.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !(3..=LONGEST_TTL).contains(&self.viewer_ttl_seconds) || self.viewer_poll_ms == 0 {
            return Err(ConfigError::Viewers);
        }
        Ok(())
    }
}

//! How many streams one caller has open.
//!
//! Streams stay for hours, and what a process can serve of them is bounded. Without a share for each caller, one agent
//! with a page that opens another stream with each reload takes them all, and the others have none.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{access::Caller, api_error::ApiError};

/// When to try again.
const RETRY: Duration = Duration::from_secs(5);

/// The open streams of a process by caller.
#[derive(Debug, Clone)]
pub(super) struct Shares {
    most: usize,
    open: Arc<Mutex<HashMap<String, usize>>>,
}

/// A stream that counts. It ends with the drop.
#[derive(Debug)]
pub(super) struct Share {
    shares: Shares,
    caller: String,
}

impl Shares {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            open: Arc::default(),
        }
    }

    /// One more stream of this caller. All tokens of an agent count together.
    pub(super) fn take(&self, caller: &Caller) -> Result<Share, ApiError> {
        let name = match caller.agent_id {
            Some(agent) => agent.to_string(),
            None => caller.token_id.clone(),
        };
        let mut open = self.lock();
        let count = open.entry(name.clone()).or_default();
        if *count >= self.most {
            return Err(ApiError::ResourceExhausted {
                reason: "TOO_MANY_STREAMS",
                message: format!("you have {count} streams open, and may have no more"),
                retry_after: RETRY,
            });
        }
        *count += 1;
        Ok(Share {
            shares: self.clone(),
            caller: name,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.shares.lock();
        match open.get_mut(&self.caller) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.caller)),
        }
    }
}

#[cfg(test)]
mod tests {
    use solmu_domain::ids::AgentId;
    use uuid::Uuid;

    use super::*;
    use crate::access::Role;

    fn agent(token: &str, id: u128) -> Caller {
        let id = AgentId::from_uuid(Uuid::from_u128(id));
        Caller::new(token, Role::Agent, Some(id))
    }

    #[test]
    fn one_caller_leaves_room_for_the_others() {
        let shares = Shares::new(2);
        let first = shares.take(&agent("a", 1)).unwrap();
        // Another token of the same agent.
        let second = shares.take(&agent("b", 1)).unwrap();
        let refused = shares.take(&agent("a", 1)).unwrap_err();
        assert_eq!(refused.reason(), "TOO_MANY_STREAMS");
        let other = shares.take(&agent("c", 2)).unwrap();
        let service = Caller::new("a", Role::Service, None);
        let service = shares.take(&service).unwrap();

        drop(second);
        let again = shares.take(&agent("a", 1)).unwrap();
        assert!(shares.take(&agent("a", 1)).is_err());
        drop((first, again, other, service));
        assert!(shares.lock().is_empty(), "who has left costs nothing");
    }
}

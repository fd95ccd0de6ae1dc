//! Presence that a connection keeps up.
//!
//! Each message on the stream is a heartbeat. When the stream ends nothing happens at once: a browser that reloads is
//! back within seconds. Whoever is silent for too long is set offline by the leader, whichever replica had the stream.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt as _, stream};
use solmu_bus::envelope::to_proto_time;
use solmu_proto::routing::v1 as proto;
use solmu_runtime::{ApiError, access::Caller};
use tonic::{Status, Streaming};

use super::{Service, oneself, parse};

/// What [`proto`] calls the answers of `KeepPresence`.
pub(super) type Answers =
    Pin<Box<dyn Stream<Item = Result<proto::KeepPresenceResponse, Status>> + Send>>;

impl Service {
    /// Answers each message of a stream until it ends, something is wrong with one, or the process drains.
    pub(super) fn presence_keep(
        &self,
        caller: Caller,
        messages: Streaming<proto::KeepPresenceRequest>,
    ) -> Answers {
        let service = self.clone();
        let drain = Arc::new(self.drain.clone());
        let state = Some((messages, None));
        let answers = stream::unfold(state, move |state| {
            let (service, caller, drain) = (service.clone(), caller.clone(), Arc::clone(&drain));
            async move {
                let (mut messages, named): (_, Option<String>) = state?;
                let message = tokio::select! {
                    () = drain.cancelled() => return None,
                    message = messages.next() => message?,
                };
                let message = match message {
                    Ok(message) => message,
                    Err(status) => return Some((Err(status), None)),
                };
                let agent_id = named.unwrap_or_else(|| message.agent_id.clone());
                match service.beat(&caller, &agent_id, message.presence()).await {
                    Ok(answer) => Some((Ok(answer), Some((messages, Some(agent_id))))),
                    Err(error) => Some((Err(error.into()), None)),
                }
            }
        });
        Box::pin(answers)
    }

    async fn beat(
        &self,
        caller: &Caller,
        agent_id: &str,
        presence: proto::Presence,
    ) -> Result<proto::KeepPresenceResponse, ApiError> {
        let id = oneself(caller, agent_id)?;
        let until = self.heartbeat(id).await?;
        let agent = if presence == proto::Presence::Unspecified {
            self.agent_get(id).await?
        } else {
            self.presence_change(id, parse::presence(presence)?).await?
        };
        Ok(proto::KeepPresenceResponse {
            agent: Some(agent),
            expire_time: Some(to_proto_time(until)),
        })
    }
}

//! Agents' answers: stored as the next message of the conversation, which is what "sent" means here. The visitor sees
//! them at once or when they come back.

use solmu_connector::outbound::{SendOutcome, Sender};
use solmu_db::Db;
use solmu_domain::clock::SharedClock;
use solmu_proto::outbound::v1::MessageQueued;
use uuid::Uuid;

use crate::{
    hub::Hub,
    metrics::ChatMetrics,
    reconcile::external_id,
    store::{self, Answered},
};

/// Sends on the chat channel.
#[derive(Debug)]
pub(crate) struct ChatSender {
    pub(crate) db: Db,
    pub(crate) clock: SharedClock,
    pub(crate) hub: Hub,
    pub(crate) metrics: ChatMetrics,
}

impl Sender for ChatSender {
    async fn send(&self, message: &MessageQueued) -> SendOutcome {
        let outcome = self.store(message).await;
        self.metrics.outbound(match &outcome {
            SendOutcome::Sent { .. } => "accepted",
            SendOutcome::Retry { .. }
            | SendOutcome::Throttled { .. }
            | SendOutcome::Unknown { .. } => "unavailable",
            SendOutcome::Failed { .. } => "failed",
        });
        outcome
    }
}

impl ChatSender {
    async fn store(&self, message: &MessageQueued) -> SendOutcome {
        let (Ok(session), Ok(id)) = (
            Uuid::parse_str(&message.conversation_key),
            Uuid::parse_str(&message.message_id),
        ) else {
            return SendOutcome::failed("session_unknown", "the message names no chat session");
        };
        if !message.attachments.is_empty() {
            return SendOutcome::failed(
                "attachments_unsupported",
                "files cannot be sent in a chat",
            );
        }
        let html = || solmu_text::html_to_text(&message.html);
        let text = if message.text.trim().is_empty() {
            html()
        } else {
            message.text.trim().to_owned()
        };
        if text.is_empty() {
            return SendOutcome::failed("empty", "the message has no text");
        }
        match store::answer(
            &self.db,
            session,
            id,
            &message.from_name,
            &text,
            self.clock.now(),
        )
        .await
        {
            Ok(Answered::Row { seq }) => {
                self.hub.wake(session);
                SendOutcome::Sent {
                    external_id: external_id(session, seq),
                }
            }
            Ok(Answered::NoSession) => {
                SendOutcome::failed("session_unknown", "the chat session is over")
            }
            Ok(Answered::Ended) => {
                SendOutcome::failed("session_ended", "the visitor has ended the chat")
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a chat answer could not be stored"
                );
                // Certain enough to try again: the row is unique by message id, whatever became of this attempt.
                SendOutcome::retry("database", "the answer could not be stored")
            }
        }
    }
}

//! What the other side reports later about a message that we sent.

use solmu_db::Db;
use solmu_domain::clock::SharedClock;
use solmu_proto::{
    inbound::v1::DeliveryReported,
    types::v1::{Channel, DeliveryState},
};
use uuid::Uuid;

use super::{state::Event, store};
use crate::names::channel_name;

/// Keeps the memory of what was sent in step with reports that come in. Cheap to clone.
///
/// The truth for people is the ticket service's, which gets the same report over the bus. What this adds is safety: a
/// message that waits for its next attempt and is reported as delivered does not go out a second time. So a database
/// that is away holds up no mail: it is logged and left at that.
#[derive(Debug, Clone)]
pub struct Deliveries {
    db: Db,
    clock: SharedClock,
    channel: Channel,
}

impl Deliveries {
    /// For the messages of `channel`.
    #[must_use]
    pub fn new(db: Db, clock: SharedClock, channel: Channel) -> Self {
        Self { db, clock, channel }
    }

    /// Takes note of a report. Returns whether it changed anything.
    pub async fn note(&self, report: &DeliveryReported) -> bool {
        let event = match report.state() {
            DeliveryState::Delivered | DeliveryState::Read => Event::ReportedDelivered,
            DeliveryState::Failed => Event::ReportedFailed,
            _ => return false,
        };
        let Ok(id) = Uuid::parse_str(&report.message_id) else {
            return false;
        };
        let why = (report.error_code.as_str(), report.error_text.as_str());
        let (channel, now) = (channel_name(self.channel), self.clock.now());
        match store::reported(&self.db, channel, id, event, why, now).await {
            Ok(changed) => changed,
            Err(error) => {
                tracing::warn!(
                    channel,
                    error = &error as &dyn std::error::Error,
                    "a delivery report was not noted with its message"
                );
                false
            }
        }
    }
}

//! Links in the log of their ticket: that it was shown outside, by whom and until when. The link itself is never in it: who
//! reads the log may not be who may have one.

use jiff::Timestamp;
use solmu_bus::Bus;
use solmu_domain::{clock::SharedClock, rng::SharedRng};
use solmu_proto::{ticket::v1::FieldChange, types::v1::Actor};
use solmu_ticketstore::{
    change::tell_alone,
    error::TicketError,
    events::{EventSink, change},
    model::{self, Ticket},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::Link;

/// The field of the log.
const FIELD: &str = "public_link";
/// Why, as the log says of all that people do themselves.
const REASON: &str = "by hand";

/// What events are made with.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) bus: Bus,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
}

/// Locks a ticket, also one that became part of another: its links can still be ended.
pub(crate) async fn hold(tx: &mut PgConnection, id: Uuid) -> Result<Ticket, TicketError> {
    let found = model::lock(tx, &[id]).await?.pop();
    found.ok_or_else(|| TicketError::UnknownTicket(id.to_string()))
}

impl Log {
    /// Tells that a link was made.
    pub(crate) async fn made(
        &self,
        tx: &mut PgConnection,
        ticket: &mut Ticket,
        link: &Link,
        by: &Actor,
        now: Timestamp,
    ) -> Result<(), TicketError> {
        let told = vec![change(FIELD, &"", &words(link))];
        self.tell(tx, ticket, told, by, now).await
    }

    /// Tells which links were ended; nothing if none was.
    pub(crate) async fn ended(
        &self,
        tx: &mut PgConnection,
        ticket: &mut Ticket,
        links: &[Link],
        by: &Actor,
        now: Timestamp,
    ) -> Result<(), TicketError> {
        if links.is_empty() {
            return Ok(());
        }
        let told = links.iter().map(|link| change(FIELD, &words(link), &""));
        self.tell(tx, ticket, told.collect(), by, now).await
    }

    async fn tell(
        &self,
        tx: &mut PgConnection,
        ticket: &mut Ticket,
        told: Vec<FieldChange>,
        by: &Actor,
        now: Timestamp,
    ) -> Result<(), TicketError> {
        let (clock, rng) = (self.clock.as_ref(), self.rng.as_ref());
        let events = EventSink::new(&self.bus, clock, rng, now);
        tell_alone(tx, ticket, told, (by, REASON), (events, rng), now).await
    }
}

/// Which link, by its id, and until when it works.
fn words(link: &Link) -> String {
    format!("{} until {}", link.id, link.expires_at.to_jiff())
}

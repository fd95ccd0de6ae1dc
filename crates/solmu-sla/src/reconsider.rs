//! Brings a change of a contact or an organisation to their open tickets, in batches under the lease, like timers: other
//! policies may hold for them now.
//!
//! What is asked is asked before the transaction; a batch that finds the world changed since is tried again.

use std::collections::HashMap;

use solmu_db::{
    DbError,
    lease::{self, Held},
};
use solmu_domain::ids::TicketId;
use solmu_inquiry::{InquiryError, Watched};
use sqlx::PgConnection;

use crate::{
    batch::{Batch, Group},
    changes::Written,
    facts::TicketFacts,
    store::{
        clocks,
        own_changes::{ChangeRow, change_advance, change_next, change_tickets},
    },
    worker::{NAME, Worker},
};

/// A batch of a change.
struct Part {
    change: ChangeRow,
    tickets: Vec<(TicketId, TicketFacts)>,
    asked: Watched,
    /// Whether there is nothing behind it.
    is_last: bool,
}

/// Why a change does not reach its tickets now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconsiderError {
    #[error("the database failed")]
    Db(#[from] DbError),
    #[error("the ticket service does not say what changed")]
    Away(#[from] InquiryError),
}

impl Worker {
    /// Takes the next batch of the oldest change, if there is one.
    pub(crate) async fn reconsider(&self, held: &Held, limit: u32) -> Result<(), ReconsiderError> {
        let Some(part) = self.part_of_change(limit).await? else {
            return Ok(());
        };
        let part = std::sync::Arc::new(part);
        let written = self
            .db
            .tx("sla.reconsider", |tx| {
                let (worker, held, part) = (self.clone(), held.clone(), part.clone());
                Box::pin(async move { worker.reconsider_in(tx, &held, &part).await })
            })
            .await?;
        self.committed(&written);
        Ok(())
    }

    /// Reads and asks what the transaction needs.
    async fn part_of_change(&self, limit: u32) -> Result<Option<Part>, ReconsiderError> {
        let connection = self.db.pool().acquire().await;
        let mut connection = connection.map_err(DbError::from)?;
        let Some(change) = change_next(&mut connection).await? else {
            return Ok(None);
        };
        let catalogue = self.catalogue.current(&mut connection).await?;
        let mut tickets = change_tickets(&mut connection, &change, limit).await?;
        drop(connection);
        let asked = catalogue.watched().clone();
        let owns = self.owns_of(&asked, tickets.iter().map(|(_, facts)| facts));
        let owns = owns.await?;
        for (_, facts) in &mut tickets {
            facts.see(&owns);
        }
        Ok(Some(Part {
            is_last: tickets.len() < limit as usize,
            change,
            tickets,
            asked,
        }))
    }

    async fn reconsider_in(
        &self,
        tx: &mut PgConnection,
        held: &Held,
        part: &Part,
    ) -> Result<Written, DbError> {
        lease::fence(tx, NAME, held).await?;
        let catalogue = self.catalogue.current(tx).await?;
        if !part.asked.covers(catalogue.watched()) {
            // A policy that has come meanwhile looks at more: the next round asks for that, too.
            return Ok(Written::default());
        }
        let last = part.tickets.last().map(|(id, _)| *id);
        if !change_advance(tx, &part.change, last.filter(|_| !part.is_last)).await? {
            return Ok(Written::default());
        }
        let ids = || part.tickets.iter().map(|(id, _)| *id);
        let mut known = clocks::clock_lock(tx, ids()).await?;
        let ids: Vec<TicketId> = ids().collect();
        let mut histories = clocks::event_list(tx, &ids).await?;
        let asked: HashMap<TicketId, &TicketFacts> = part
            .tickets
            .iter()
            .map(|(id, facts)| (*id, facts))
            .collect();
        let mut batch = Batch::new(self, &catalogue, self.maker.clock.now());
        for id in ids {
            let (Some(tracked), Some(theirs)) = (known.remove(&id), asked.get(&id)) else {
                continue;
            };
            // What an event has said of the ticket since stands; what was asked is as it was asked.
            let Some(mut facts) = tracked.facts.clone().filter(|_| tracked.is_open()) else {
                continue;
            };
            let same = (&facts.contact, &facts.organizations);
            if same != (&theirs.contact, &theirs.organizations) {
                continue;
            }
            facts.own = theirs.own.clone();
            let group = Group::seen_anew(tracked.version, part.change.at, facts);
            let history = histories.remove(&id).unwrap_or_default();
            if let Err(error) = batch.take(id, group, Some(tracked), Some(history)) {
                tracing::error!(ticket.id = %id, error = &error as &dyn std::error::Error, "a change of a contact cannot be applied to a ticket; it keeps its policies");
                self.metrics.stuck_tickets.inc([]);
            }
        }
        batch.changes.write(tx, &self.maker.bus).await
    }
}

//! What the rules of a change look up, once for all tickets of a transaction: definitions of fields, open sub-tickets.
//!
//! A change of one ticket looks up what it needs when it needs it. A change of a hundred asks the same hundred times over,
//! and the asking costs more than the change.

use std::sync::Arc;

use solmu_restrict::Restricting;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::TicketError,
    fields::{self, Definitions},
    hierarchy::{self, Child},
    model::Ticket,
};

/// What was looked up for the locked tickets of a transaction.
#[derive(Debug, Default)]
pub struct Looked {
    tickets: Vec<Uuid>,
    definitions: Option<Definitions>,
    children: Option<Vec<Child>>,
    restricting: Option<Arc<[Restricting]>>,
}

impl Looked {
    /// Nothing yet, for these tickets.
    pub fn of(tickets: Vec<Uuid>) -> Self {
        Self {
            tickets,
            ..Self::default()
        }
    }

    /// The definitions of custom fields.
    pub async fn definitions(
        &mut self,
        tx: &mut PgConnection,
    ) -> Result<&Definitions, TicketError> {
        if self.definitions.is_none() {
            self.definitions = Some(fields::definitions(tx).await?);
        }
        Ok(self.definitions.get_or_insert_default())
    }

    /// The rules that restrict tickets.
    pub(crate) async fn restricting(
        &mut self,
        tx: &mut PgConnection,
    ) -> Result<Arc<[Restricting]>, TicketError> {
        if let Some(known) = &self.restricting {
            return Ok(known.clone());
        }
        let rules: Arc<[Restricting]> = solmu_restrict::all(tx).await?.into();
        self.restricting = Some(rules.clone());
        Ok(rules)
    }

    /// How many sub-tickets of one of the tickets are open.
    pub(crate) async fn open_children(
        &mut self,
        tx: &mut PgConnection,
        ticket: Uuid,
    ) -> Result<usize, TicketError> {
        if !self.tickets.contains(&ticket) {
            (self.children, self.tickets) = (None, vec![ticket]);
        }
        if self.children.is_none() {
            self.children = Some(hierarchy::open_children(tx, &self.tickets).await?);
        }
        let children = self.children.iter().flatten();
        Ok(children.filter(|child| child.head == ticket).count())
    }

    /// A ticket was changed in this transaction: one that is over holds nothing open.
    pub fn changed(&mut self, ticket: &Ticket) {
        if !ticket.status.is_open()
            && let Some(children) = &mut self.children
        {
            children.retain(|child| child.id != ticket.id);
        }
    }
}

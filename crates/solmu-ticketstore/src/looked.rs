//! What the rules of a change look up, once for all tickets of a transaction: definitions of fields, open sub-tickets.
//!
//! A change of one ticket looks up what it needs when it needs it. A change of a hundred asks the same hundred times over,
//! and the asking costs more than the change.

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

    /// Numbers of the open sub-tickets of one of the tickets.
    pub(crate) async fn open_children(
        &mut self,
        tx: &mut PgConnection,
        ticket: Uuid,
    ) -> Result<Vec<i64>, TicketError> {
        if !self.tickets.contains(&ticket) {
            (self.children, self.tickets) = (None, vec![ticket]);
        }
        if self.children.is_none() {
            self.children = Some(hierarchy::open_children(tx, &self.tickets).await?);
        }
        let children = self.children.iter().flatten();
        let own = children.filter(|child| child.head == ticket);
        Ok(own.map(|child| child.number).collect())
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

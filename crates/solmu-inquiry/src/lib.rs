//! What router and SLA service ask the ticket service so that conditions can be decided: the own fields of contacts and
//! organisations, and which fields there are.
//!
//! Both have the same fields under the same names ([`with_own_fields`]), check conditions alike when they are saved
//! ([`check`]), and ask for values only when a condition looks at them ([`Watched`]). Values are used and dropped, never
//! stored: who was erased is then erased here, too. Copies that are kept up to date by events were rejected: a new rule
//! would need what no event had said, and an erasure would have to find them all.

mod check;
mod client;
mod own;
mod watched;

use std::{future::Future, pin::Pin};

use solmu_proto::{
    contact::v1::{ContactAttribute, contact_attribute::Subject},
    ticket::v1::FieldDefinition,
};
use tonic::Status;
use uuid::Uuid;

pub use check::{Definitions, check, definitions_for};
pub use client::{BadAddress, TicketService};
pub use own::{Asked, OwnFields, Owns, ask};
pub use watched::{Watched, with_own_fields};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum InquiryError {
    /// Nobody said where the ticket service is.
    #[error("it is not configured where the ticket service is")]
    NotConfigured,
    /// It did not answer, or refused.
    #[error("the ticket service does not answer what is asked")]
    Refused(#[source] Box<Status>),
}

/// What the methods of [`Inquiry`] return.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, InquiryError>> + Send + 'a>>;

/// A source of what conditions need and events do not say.
pub trait Inquiry: Send + Sync + 'static {
    /// Whether it can ever answer: conditions that need it are refused otherwise.
    fn is_configured(&self) -> bool;

    /// The values of fields of contacts and organisations.
    fn values<'a>(&'a self, asked: &'a Asked) -> Answer<'a, Owns> {
        let _ = asked;
        Box::pin(std::future::ready(Err(InquiryError::NotConfigured)))
    }

    /// The custom fields of tickets that are in use.
    fn fields(&self) -> Answer<'_, Vec<FieldDefinition>> {
        Box::pin(std::future::ready(Err(InquiryError::NotConfigured)))
    }

    /// The own fields of contacts, or of organisations.
    fn attributes(&self, of: Subject) -> Answer<'_, Vec<ContactAttribute>> {
        let _ = of;
        Box::pin(std::future::ready(Err(InquiryError::NotConfigured)))
    }

    /// The agents who work here, where the router is beside whom we ask.
    fn agents(&self) -> Answer<'_, Vec<Uuid>> {
        Box::pin(std::future::ready(Err(InquiryError::NotConfigured)))
    }
}

/// No source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Inquiry for Nobody {
    fn is_configured(&self) -> bool {
        false
    }
}

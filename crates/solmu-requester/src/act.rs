//! What requesters do besides writing: they say that something is solved, and order.

use std::sync::Arc;

use solmu_desk::Ordering;
use solmu_domain::ids::new_uuid;
use solmu_proto::{
    requester::v1 as proto,
    ticket::v1 as tickets,
    types::v1::{Actor, TicketStatus, actor::Kind},
};
use solmu_runtime::ApiError;
use solmu_tickets::{TicketError, desk::Strangers, requesters};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    find::{self, Ticket},
    service::{Portal, no_ticket},
    who::{Who, digest},
};

/// Why, as the log of the ticket tells.
const SOLVED: &str = "the requester says that it is solved";

impl Portal {
    /// Resolves a ticket of theirs; returns it as they see it then.
    pub(crate) async fn close(
        self: &Arc<Self>,
        who: &Who,
        asked: &proto::CloseTicketRequest,
        id: Uuid,
    ) -> Result<Ticket, ApiError> {
        let request = who.request(&asked.request_id)?.to_string();
        let digest = digest(&proto::CloseTicketRequest {
            requester: None,
            ..asked.clone()
        });
        let mut connection = self.connection().await?;
        let reached = self.reach(&mut connection, who).await?;
        let found = find::ticket(&mut connection, &reached, id).await?;
        let ticket = found.ok_or_else(|| no_ticket(&asked.ticket_id))?;
        drop(connection);
        self.db
            .tx("requester.close", |tx| {
                let (portal, ticket) = (Arc::clone(self), ticket.clone());
                let (request, digest) = (request.clone(), digest.clone());
                Box::pin(async move { portal.close_in(tx, &ticket, (&request, &digest)).await })
            })
            .await?;
        let mut connection = self.connection().await?;
        let found = find::ticket(&mut connection, &reached, id).await?;
        found.ok_or_else(|| no_ticket(&asked.ticket_id))
    }

    async fn close_in(
        &self,
        tx: &mut PgConnection,
        ticket: &Ticket,
        (request, digest): (&str, &[u8]),
    ) -> Result<(), ApiError> {
        let held = self.hands.hold(tx, ticket.id).await;
        let held = held.map_err(|error| match error {
            // It became part of another one just now: which one is not told here.
            TicketError::Merged { .. } => no_ticket(&ticket.id.to_string()),
            other => other.into(),
        })?;
        if self.hands.is_repeat(tx, &held, request, digest).await? {
            return Ok(());
        }
        let over = [TicketStatus::Resolved, TicketStatus::Closed];
        if over.contains(&held.view().status()) {
            return Ok(());
        }
        let wanted = tickets::Ticket {
            status: TicketStatus::Resolved.into(),
            ..tickets::Ticket::default()
        };
        let by = customer(ticket.contact_id);
        let mask = ["status".to_owned()];
        // Nobody is named.
        let nobody = Strangers::default();
        let done = self
            .hands
            .edit(tx, ticket.id, (&wanted, &mask, &nobody), (&by, SOLVED));
        done.await.map_err(|error| match error {
            // What it is that is not done is between the people of the desk.
            ApiError::FailedPrecondition { .. } => TicketError::refused(
                "STILL_IN_WORK",
                "the desk has to finish something on it first",
            )
            .into(),
            other => other,
        })
    }

    /// Orders a service; returns the ticket if it is shown to them.
    pub(crate) async fn order(
        self: &Arc<Self>,
        who: &Who,
        asked: &proto::OrderServiceRequest,
    ) -> Result<Option<Ticket>, ApiError> {
        let request = who.request(&asked.request_id)?;
        if Uuid::parse_str(&asked.service_id).is_err() {
            let why = "expected the id of a service, as ListServices gives it";
            return Err(ApiError::invalid("service_id", why));
        }
        let digest = digest(&proto::OrderServiceRequest {
            requester: None,
            ..asked.clone()
        });
        let mut connection = self.connection().await?;
        let shut = self.is_shut(&mut connection, who).await?;
        drop(connection);
        if shut {
            return Err(no_service(&asked.service_id));
        }
        let ordering = Ordering {
            service_id: asked.service_id.clone(),
            values: asked.values.clone(),
            etag: asked.etag.clone(),
            request_id: request.to_string(),
            token_id: who.token.clone(),
        };
        let ticket = self
            .db
            .tx("requester.order", |tx| {
                let (portal, who) = (Arc::clone(self), who.clone());
                let (ordering, digest) = (ordering.clone(), digest.clone());
                Box::pin(async move {
                    portal.claim(tx, who.key, request, &digest).await?;
                    portal.order_in(tx, &who, &ordering).await
                })
            })
            .await?;
        let mut connection = self.connection().await?;
        let reached = self.reach(&mut connection, who).await?;
        Ok(find::ticket(&mut connection, &reached, ticket).await?)
    }

    async fn order_in(
        &self,
        tx: &mut PgConnection,
        who: &Who,
        ordering: &Ordering,
    ) -> Result<Uuid, ApiError> {
        let fresh = new_uuid(self.clock.as_ref(), self.rng.as_ref());
        let now = self.clock.now();
        let (contact, sighting) = requesters::enrol(tx, &who.sender, (fresh, ""), now).await?;
        let opened = self.services.order(tx, contact, ordering).await;
        let ticket = opened.map_err(|error| match error {
            // Blocked or erased, as the person whom agents see: it is not for the portal to know.
            ApiError::FailedPrecondition {
                reason: "CONTACT_CLOSED",
                ..
            } => no_service(&ordering.service_id),
            // What the catalogue calls an item is a service here.
            ApiError::NotFound { id, .. } if id == ordering.service_id => no_service(&id),
            other => other,
        })?;
        // Whose it is stands on its first message, as on one that they wrote.
        sqlx::query(
            "UPDATE tickets.message SET sighting_id = $2
             WHERE ticket_id = $1 AND sequence = 1 AND author_kind = 1 AND sighting_id IS NULL",
        )
        .bind(ticket)
        .bind(sighting)
        .execute(tx)
        .await
        .map_err(solmu_db::DbError::from)?;
        Ok(ticket)
    }
}

fn customer(contact: Uuid) -> Actor {
    Actor {
        kind: Kind::Customer.into(),
        id: contact.to_string(),
    }
}

fn no_service(id: &str) -> ApiError {
    ApiError::not_found("service", &id)
}

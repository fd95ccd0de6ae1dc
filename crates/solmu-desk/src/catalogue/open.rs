//! What requesters order by themselves: the services that are open to them.
//!
//! Who may order, and as whom, is decided by who uses this; how is decided here, once, for them and for agents.

use std::sync::Arc;

use solmu_proto::{
    ticket::v1::{CatalogueItem, OrderCatalogueItemRequest, OrderValue},
    types::v1::{Actor, actor::Kind},
};
use solmu_runtime::{
    ApiError, Runtime,
    access::{Caller, Role},
    page,
};
use solmu_tickets::desk::Hands;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    is_open,
    order::{self, Order},
};
use crate::{context::Context, items};

/// Services that are read at once to find open ones.
const BATCH: i32 = 500;

/// The catalogue as requesters see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    context: Arc<Context>,
}

/// What a requester orders.
#[derive(Debug, Clone)]
pub struct Ordering {
    /// The service.
    pub service_id: String,
    /// What they answered.
    pub values: Vec<OrderValue>,
    /// Of the service as they saw it; may be empty.
    pub etag: String,
    /// The same one of the same contact orders once.
    pub request_id: String,
    /// The token that it is ordered with.
    pub token_id: String,
}

impl Services {
    /// Over the ticket service of this process.
    #[must_use]
    pub fn new(runtime: &Runtime, hands: Hands) -> Self {
        let context = Arc::new(Context::new(runtime, hands));
        Self { context }
    }

    /// A page of what can be ordered, by name, and the token of the next one.
    pub async fn list(
        &self,
        token_id: &str,
        (size, token): (i64, &str),
    ) -> Result<(Vec<CatalogueItem>, String), ApiError> {
        let caller = caller(token_id);
        let pool = self.context.db.pool();
        let (mut found, mut token): (Vec<CatalogueItem>, _) = (Vec::new(), token.to_owned());
        // Open ones are most of what a desk that has a portal keeps; the catalogue is a list that people look through.
        loop {
            let most = u32::try_from(BATCH).unwrap_or(u32::MAX);
            let (items, next) =
                items::list::<CatalogueItem>(pool, &caller, "", (BATCH, &token, most)).await?;
            found.extend(items.into_iter().filter(is_open));
            let more = page::cut(&mut found, size);
            if let Some(last) = found.last().filter(|_| more) {
                let id = Uuid::parse_str(&last.id).unwrap_or_default();
                let token = page::encode("", (&last.name, id));
                return Ok((found, token));
            }
            if next.is_empty() {
                return Ok((found, String::new()));
            }
            token = next;
        }
    }

    /// Orders for `contact`, as them; returns the topmost ticket. All of it is opened, or nothing.
    pub async fn order(
        &self,
        tx: &mut PgConnection,
        contact: Uuid,
        ordering: &Ordering,
    ) -> Result<Uuid, ApiError> {
        let order = Order {
            request: OrderCatalogueItemRequest {
                item_id: ordering.service_id.clone(),
                contact_id: contact.to_string(),
                values: ordering.values.clone(),
                etag: ordering.etag.clone(),
                request_id: String::new(),
            },
            request_id: Some(ordering.request_id.clone()),
            caller: caller(&ordering.token_id),
            by: Actor {
                kind: Kind::Customer.into(),
                id: contact.to_string(),
            },
            by_requester: true,
        };
        let ordered = order::order_in(tx, &self.context, &order).await?;
        Ok(ordered.ticket)
    }
}

/// Services have no team, and no items of their own.
fn caller(token_id: &str) -> Caller {
    Caller::new(token_id, Role::Service, None)
}

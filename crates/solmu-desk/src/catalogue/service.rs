//! `CatalogueService`. It checks the caller and the request; the modules beside it do the rest.

use std::sync::Arc;

use solmu_proto::ticket::v1::{
    self as proto, CatalogueItem, catalogue_service_server::CatalogueService,
};
use solmu_tickets::desk::checked_request_id;
use tonic::{Request, Response};

use super::order::{self, Order};
use crate::{
    context::{Answer, Context, PEOPLE, called_by, staff},
    items,
};

/// The service.
pub(crate) struct Catalogue {
    pub(crate) context: Arc<Context>,
}

#[tonic::async_trait]
impl CatalogueService for Catalogue {
    async fn create_catalogue_item(
        &self,
        request: Request<proto::CreateCatalogueItemRequest>,
    ) -> Answer<CatalogueItem> {
        let (caller, by, request) = staff(request)?;
        let request_id = checked_request_id(request.request_id)?;
        let item = items::create(&self.context, &caller, &by.id, request.item, request_id);
        Ok(Response::new(item.await?))
    }

    async fn get_catalogue_item(
        &self,
        request: Request<proto::GetCatalogueItemRequest>,
    ) -> Answer<CatalogueItem> {
        let (caller, _, request) = called_by(PEOPLE, request)?;
        let mut connection = self.context.connection().await?;
        let item = items::get(&mut connection, &caller, &request.id).await?;
        Ok(Response::new(item))
    }

    async fn update_catalogue_item(
        &self,
        request: Request<proto::UpdateCatalogueItemRequest>,
    ) -> Answer<CatalogueItem> {
        let (caller, _, request) = staff(request)?;
        let item = items::update(&self.context, &caller, request.item).await?;
        Ok(Response::new(item))
    }

    async fn delete_catalogue_item(
        &self,
        request: Request<proto::DeleteCatalogueItemRequest>,
    ) -> Answer<proto::DeleteCatalogueItemResponse> {
        let (caller, _, request) = staff(request)?;
        let (id, etag) = (&request.id, &request.etag);
        items::delete::<CatalogueItem>(&self.context, &caller, id, etag).await?;
        Ok(Response::new(proto::DeleteCatalogueItemResponse {}))
    }

    async fn list_catalogue_items(
        &self,
        request: Request<proto::ListCatalogueItemsRequest>,
    ) -> Answer<proto::ListCatalogueItemsResponse> {
        let (caller, _, request) = called_by(PEOPLE, request)?;
        let page = self.context.page(request.page_size, &request.page_token);
        let (items, next_page_token) =
            items::list(self.context.db.pool(), &caller, &request.team_id, page).await?;
        Ok(Response::new(proto::ListCatalogueItemsResponse {
            items,
            next_page_token,
        }))
    }

    async fn order_catalogue_item(
        &self,
        request: Request<proto::OrderCatalogueItemRequest>,
    ) -> Answer<proto::OrderCatalogueItemResponse> {
        let (caller, by, request) = called_by(PEOPLE, request)?;
        let order = Order {
            request_id: checked_request_id(request.request_id.clone())?,
            request,
            caller,
            by,
            by_requester: false,
        };
        let ordered = order::order(&self.context, order).await?;
        let hands = &self.context.hands;
        let mut sub_tickets = Vec::with_capacity(ordered.sub_tickets.len());
        for id in ordered.sub_tickets {
            sub_tickets.push(hands.shown(id).await?);
        }
        Ok(Response::new(proto::OrderCatalogueItemResponse {
            ticket: Some(hands.shown(ordered.ticket).await?),
            sub_tickets,
            tasks: ordered.tasks,
        }))
    }
}

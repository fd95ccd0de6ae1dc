//! `SearchService`.

use std::sync::Arc;

use solmu_proto::ticket::v1::{self as proto, search_service_server::SearchService};
use solmu_runtime::access::{Role, caller};
use tonic::{Request, Response, Status};

use crate::{context::Context, search, views};

/// Who may search and keep views.
const PEOPLE: &[Role] = &[Role::Admin, Role::Agent, Role::Service];

/// The service.
pub struct Searches {
    /// What the service works with.
    pub context: Arc<Context>,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl SearchService for Searches {
    async fn search_tickets(
        &self,
        request: Request<proto::SearchTicketsRequest>,
    ) -> Answer<proto::SearchTicketsResponse> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        let found = search::find(&self.context, request.get_ref(), caller).await?;
        Ok(Response::new(found))
    }

    async fn create_view(
        &self,
        request: Request<proto::CreateViewRequest>,
    ) -> Answer<proto::SavedView> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        let view = views::create(&self.context, request.get_ref(), caller).await?;
        Ok(Response::new(view))
    }

    async fn list_views(
        &self,
        request: Request<proto::ListViewsRequest>,
    ) -> Answer<proto::ListViewsResponse> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        let views = views::list(&self.context, request.get_ref(), caller).await?;
        Ok(Response::new(views))
    }

    async fn update_view(
        &self,
        request: Request<proto::UpdateViewRequest>,
    ) -> Answer<proto::SavedView> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        let view = views::update(&self.context, request.get_ref(), caller).await?;
        Ok(Response::new(view))
    }

    async fn delete_view(
        &self,
        request: Request<proto::DeleteViewRequest>,
    ) -> Answer<proto::DeleteViewResponse> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        views::delete(&self.context, request.get_ref(), caller).await?;
        Ok(Response::new(proto::DeleteViewResponse {}))
    }
}

//! `FieldService`.

use std::sync::Arc;

use solmu_proto::ticket::v1::{self as proto, field_service_server::FieldService};
use solmu_runtime::{
    ApiError,
    access::{Role, caller},
};
use tonic::{Request, Response, Status};

use crate::{
    calls::{PEOPLE, checked_request_id},
    context::Context,
    fields::admin,
};

/// The service.
pub(crate) struct Fields {
    pub(crate) context: Arc<Context>,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl FieldService for Fields {
    async fn create_field(
        &self,
        request: Request<proto::CreateFieldRequest>,
    ) -> Answer<proto::FieldDefinition> {
        caller(&request)?.require(&[Role::Admin])?;
        let request = request.into_inner();
        let id = checked_request_id(request.request_id)?;
        let field = request.field.unwrap_or_default();
        Ok(Response::new(
            admin::create(&self.context, field, id).await?,
        ))
    }

    async fn get_field(
        &self,
        request: Request<proto::GetFieldRequest>,
    ) -> Answer<proto::FieldDefinition> {
        caller(&request)?.require(PEOPLE)?;
        let key = &request.get_ref().key;
        Ok(Response::new(admin::get(&self.context, key).await?))
    }

    async fn list_fields(
        &self,
        request: Request<proto::ListFieldsRequest>,
    ) -> Answer<proto::ListFieldsResponse> {
        caller(&request)?.require(PEOPLE)?;
        let all = request.get_ref().show_archived;
        let fields = admin::list(&self.context, all).await?;
        Ok(Response::new(proto::ListFieldsResponse { fields }))
    }

    async fn update_field(
        &self,
        request: Request<proto::UpdateFieldRequest>,
    ) -> Answer<proto::FieldDefinition> {
        caller(&request)?.require(&[Role::Admin])?;
        let request = request.into_inner();
        let mask = request.update_mask.unwrap_or_default().paths;
        let field = request.field.unwrap_or_default();
        Ok(Response::new(
            admin::update(&self.context, field, mask).await?,
        ))
    }

    async fn archive_field(
        &self,
        request: Request<proto::ArchiveFieldRequest>,
    ) -> Answer<proto::FieldDefinition> {
        caller(&request)?.require(&[Role::Admin])?;
        let key = request.into_inner().key;
        let archived = admin::archive(&self.context, key).await;
        Ok(Response::new(archived.map_err(ApiError::from)?))
    }
}

//! `ActivityService`.

use std::sync::Arc;

use solmu_proto::ticket::v1::{self as proto, activity_service_server::ActivityService};
use solmu_runtime::{ApiError, page};
use tonic::{Request, Response, Status};

use super::read;
use crate::{
    api::{
        sight,
        tickets::{PEOPLE, ticket_id},
    },
    context::Context,
};

/// Entries in a page, if the caller does not say how many.
const PAGE: i64 = 100;

/// The service.
pub(crate) struct Activities {
    pub(crate) context: Arc<Context>,
}

#[tonic::async_trait]
impl ActivityService for Activities {
    async fn list_activities(
        &self,
        request: Request<proto::ListActivitiesRequest>,
    ) -> Result<Response<proto::ListActivitiesResponse>, Status> {
        let request = sight::call(&self.context, request, PEOPLE).await?.request;
        let ticket = ticket_id(&self.context, &request.ticket_id).await?;
        let size = page::size(request.page_size, PAGE, self.context.config.max_page_size)?;
        let query = ticket.to_string();
        let after: i64 = page::decode(&query, &request.page_token)?.unwrap_or(0);
        let mut activities = read::list(self.context.db.pool(), ticket, after, size + 1)
            .await
            .map_err(ApiError::from)?;
        let more = page::cut(&mut activities, size);
        let last = activities.last().filter(|_| more);
        let next_page_token = last
            .map(|last| page::encode(&query, last.sequence))
            .unwrap_or_default();
        Ok(Response::new(proto::ListActivitiesResponse {
            activities,
            next_page_token,
        }))
    }

    async fn verify_activity(
        &self,
        request: Request<proto::VerifyActivityRequest>,
    ) -> Result<Response<proto::VerifyActivityResponse>, Status> {
        let request = sight::call(&self.context, request, PEOPLE).await?.request;
        let ticket = ticket_id(&self.context, &request.ticket_id).await?;
        let noted = match request.noted_sequence {
            0 => None,
            at if at > 0 && request.noted_hash.len() == 32 => Some((at, request.noted_hash)),
            _ => {
                let wanted = "the hash of that entry, 32 bytes, with its sequence";
                return Err(ApiError::invalid("noted_hash", wanted).into());
            }
        };
        let verdict = read::verify(self.context.db.pool(), ticket, noted)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(verdict))
    }
}

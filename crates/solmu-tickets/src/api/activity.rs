//! `ActivityService`.

use std::{collections::BTreeSet, sync::Arc};

use solmu_proto::ticket::v1::{self as proto, activity_service_server::ActivityService};
use solmu_runtime::{
    ApiError,
    access::{Caller, Visibility},
    page,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    activity,
    calls::PEOPLE,
    context::Context,
    sight::{self, ticket_id},
};

/// Entries in a page, if the caller does not say how many.
const PAGE: i64 = 100;

/// Fields whose values are ids of other tickets.
const OTHERS: [&str; 3] = ["same_matter", "merged_into", "parent_id"];

/// The service.
pub(crate) struct Activities {
    pub(crate) context: Arc<Context>,
}

/// Where an entry names other tickets.
fn named(entry: &mut proto::Activity) -> impl Iterator<Item = &mut String> {
    let changes = entry.changes.iter_mut();
    let changes = changes.filter(|it| OTHERS.contains(&it.field.as_str()));
    let values = changes.flat_map(|it| [&mut it.from, &mut it.to]);
    values.chain([&mut entry.other_ticket_id])
}

impl Activities {
    /// Leaves out which other ticket an entry means, where the caller does not see that: it may have been restricted since.
    async fn hide_others(
        &self,
        caller: &Caller,
        activities: &mut [proto::Activity],
    ) -> Result<(), ApiError> {
        if caller.visibility() == &Visibility::Everything {
            return Ok(());
        }
        let all = activities.iter_mut().flat_map(named);
        let ids: BTreeSet<Uuid> = all.filter_map(|id| id.parse().ok()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let seen = sight::among(self.context.db.pool(), caller, &ids).await?;
        for id in activities.iter_mut().flat_map(named) {
            if id.parse().is_ok_and(|it: Uuid| !seen.contains(&it)) {
                id.clear();
            }
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl ActivityService for Activities {
    async fn list_activities(
        &self,
        request: Request<proto::ListActivitiesRequest>,
    ) -> Result<Response<proto::ListActivitiesResponse>, Status> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let request = it.request;
        let ticket = ticket_id(&self.context, &request.ticket_id).await?;
        let size = page::size(request.page_size, PAGE, self.context.config.max_page_size)?;
        let query = ticket.to_string();
        let after: i64 = page::decode(&query, &request.page_token)?.unwrap_or(0);
        let mut activities = activity::list(self.context.db.pool(), ticket, after, size + 1)
            .await
            .map_err(ApiError::from)?;
        let more = page::cut(&mut activities, size);
        self.hide_others(&it.caller, &mut activities).await?;
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
        let verdict = activity::verify(self.context.db.pool(), ticket, noted)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(verdict))
    }
}

//! `MatterService`.

use std::sync::Arc;

use solmu_proto::ticket::v1::{self as proto, matter_service_server::MatterService};
use solmu_runtime::request::uuid;
use solmu_runtime::{
    ApiError,
    access::{Caller, Role, caller},
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    calls::{PEOPLE, actor_of, checked_request_id},
    context::Context,
    hierarchy,
    matters::{
        decide::{Decision, decide},
        list,
    },
    sight::{self, Named},
};

/// Longest reason, in bytes.
const MAX_REASON: usize = 1000;

/// The service.
pub(crate) struct Matters {
    pub(crate) context: Arc<Context>,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl MatterService for Matters {
    async fn list_matter_proposals(
        &self,
        request: Request<proto::ListMatterProposalsRequest>,
    ) -> Answer<proto::ListMatterProposalsResponse> {
        let caller = caller(&request)?.clone();
        caller.require(PEOPLE)?;
        let request = request.into_inner();
        let ticket = match request.ticket_id.as_str() {
            "" => None,
            text => Some(sight::seen_ticket(&self.context, &caller, text).await?),
        };
        let max = self.context.config.max_page_size;
        let pool = self.context.db.reads();
        let page = list::page(pool, ticket, &request, caller.visibility(), max).await?;
        Ok(Response::new(page))
    }

    async fn accept_matter(
        &self,
        request: Request<proto::AcceptMatterRequest>,
    ) -> Answer<proto::MatterProposal> {
        let caller = caller(&request)?.clone();
        let request = request.into_inner();
        let reason = request.reason.replace(char::is_control, " ");
        if reason.len() > MAX_REASON {
            let why = format!("longer than {MAX_REASON} bytes");
            return Err(ApiError::invalid("reason", why).into());
        }
        let reason = Some(reason.trim().to_owned());
        self.decide(&caller, &request.id, reason, request.request_id)
            .await
    }

    async fn dismiss_matter(
        &self,
        request: Request<proto::DismissMatterRequest>,
    ) -> Answer<proto::MatterProposal> {
        let caller = caller(&request)?.clone();
        let request = request.into_inner();
        self.decide(&caller, &request.id, None, request.request_id)
            .await
    }
}

impl Matters {
    async fn decide(
        &self,
        caller: &Caller,
        id: &str,
        accept: Option<String>,
        request_id: String,
    ) -> Answer<proto::MatterProposal> {
        caller.require(&[Role::Admin, Role::Agent])?;
        let id = uuid("id", id)?;
        self.check_sight(caller, id).await?;
        let decision = Decision {
            id,
            accept,
            request_id: checked_request_id(request_id)?,
            by: actor_of(caller),
        };
        let decided = decide(&self.context, decision)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(decided.into()))
    }

    /// Who does not see both tickets, and what has become of them, sees no pair.
    async fn check_sight(&self, caller: &Caller, id: Uuid) -> Result<(), ApiError> {
        let pool = self.context.db.pool();
        let mut connection = pool.acquire().await.map_err(solmu_db::DbError::from)?;
        let row = list::read(&mut connection, id, false).await?;
        let pair: Vec<Uuid> = std::iter::once(row.ticket_id)
            .chain(row.opened_id)
            .collect();
        // What they have become part of since is what a decision changes.
        let heads = hierarchy::heads(&mut connection, &pair).await?;
        drop(connection);
        let ids: Vec<String> = pair
            .iter()
            .chain(heads.values())
            .map(Uuid::to_string)
            .collect();
        let named = ids.iter().map(|id| Named::Ticket(id)).collect();
        let seen = sight::check(pool, caller, named).await;
        seen.map_err(|_| ApiError::not_found("matter proposal", &id))
    }
}

#[cfg(test)]
#[path = "matter_tests.rs"]
mod tests;

//! `DeskService`. It checks the caller and the request; the modules beside it do the rest.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::Stream;
use solmu_proto::ticket::v1::{self as proto, Viewing, desk_service_server::DeskService};
use solmu_runtime::{ApiError, access::caller};
use solmu_tickets::desk::{checked_request_id, seen};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    bulk,
    context::{Answer, Context, PEOPLE, staff},
    items,
    macros::apply::{self, Applying},
    texts, viewers,
};

/// Longest name of a window, in bytes.
const MAX_SESSION: usize = 64;
/// When to try again, if too many watch.
const RETRY: Duration = Duration::from_secs(5);

/// The service.
pub(crate) struct Desks {
    pub(crate) context: Arc<Context>,
    watchers: Arc<Semaphore>,
}

impl Desks {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let watchers = Arc::new(Semaphore::new(context.desk().max_viewer_streams));
        Self { context, watchers }
    }
}

#[tonic::async_trait]
impl DeskService for Desks {
    type WatchViewersStream =
        Pin<Box<dyn Stream<Item = Result<proto::WatchViewersResponse, Status>> + Send>>;

    async fn watch_viewers(
        &self,
        request: Request<proto::WatchViewersRequest>,
    ) -> Answer<Self::WatchViewersStream> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        let permit = self.watchers.clone().try_acquire_owned();
        let permit = permit.map_err(|_| ApiError::ResourceExhausted {
            reason: "TOO_MANY_WATCHERS",
            message: "too many open watch streams".to_owned(),
            retry_after: RETRY,
        })?;
        let ticket = self
            .context
            .hands
            .seen(caller, &request.get_ref().ticket_id)
            .await?;
        let changes = viewers::watch::watch(self.context.clone(), ticket).await?;
        let guarded = futures::StreamExt::inspect(changes, move |_| {
            // The permit lives as long as the stream.
            let _ = &permit;
        });
        Ok(Response::new(Box::pin(guarded)))
    }

    async fn heartbeat(
        &self,
        request: Request<proto::HeartbeatRequest>,
    ) -> Answer<proto::HeartbeatResponse> {
        let (caller, by, request) = staff(request)?;
        let session = &request.session;
        if session.len() > MAX_SESSION || session.contains(char::is_control) {
            let wanted = format!("up to {MAX_SESSION} printable characters");
            return Err(ApiError::invalid("session", wanted).into());
        }
        let ticket = self.context.hands.seen(&caller, &request.ticket_id).await?;
        let context = &self.context;
        let noted = match request.viewing() {
            viewing @ (Viewing::Looking | Viewing::Answering) => {
                viewers::beat(context, ticket, &by, session, viewing).await
            }
            Viewing::Left => viewers::leave(context, ticket, &by, session).await,
            Viewing::Unspecified => {
                let wanted = "say whether you look at the ticket, answer it or have left";
                return Err(ApiError::invalid("viewing", wanted).into());
            }
        };
        noted.map_err(ApiError::from)?;
        let present = viewers::present(context.db.pool(), ticket, context.clock.now()).await;
        Ok(Response::new(proto::HeartbeatResponse {
            viewers: present.map_err(ApiError::from)?.viewers,
            next_seconds: viewers::interval(context),
        }))
    }

    async fn create_canned_answer(
        &self,
        request: Request<proto::CreateCannedAnswerRequest>,
    ) -> Answer<proto::CannedAnswer> {
        let (caller, by, request) = staff(request)?;
        let request_id = checked_request_id(request.request_id)?;
        let item = items::create(
            &self.context,
            &caller,
            &by.id,
            request.canned_answer,
            request_id,
        );
        Ok(Response::new(item.await?))
    }

    async fn get_canned_answer(
        &self,
        request: Request<proto::GetCannedAnswerRequest>,
    ) -> Answer<proto::CannedAnswer> {
        let (caller, _, request) = staff(request)?;
        let mut connection = self.context.connection().await?;
        let item = items::get(&mut connection, &caller, &request.id).await?;
        Ok(Response::new(item))
    }

    async fn update_canned_answer(
        &self,
        request: Request<proto::UpdateCannedAnswerRequest>,
    ) -> Answer<proto::CannedAnswer> {
        let (caller, _, request) = staff(request)?;
        let item = items::update(&self.context, &caller, request.canned_answer).await?;
        Ok(Response::new(item))
    }

    async fn delete_canned_answer(
        &self,
        request: Request<proto::DeleteCannedAnswerRequest>,
    ) -> Answer<proto::DeleteCannedAnswerResponse> {
        let (caller, _, request) = staff(request)?;
        let (id, etag) = (&request.id, &request.etag);
        items::delete::<proto::CannedAnswer>(&self.context, &caller, id, etag).await?;
        Ok(Response::new(proto::DeleteCannedAnswerResponse {}))
    }

    async fn list_canned_answers(
        &self,
        request: Request<proto::ListCannedAnswersRequest>,
    ) -> Answer<proto::ListCannedAnswersResponse> {
        let (caller, _, request) = staff(request)?;
        let page = self.context.page(request.page_size, &request.page_token);
        let (canned_answers, next_page_token) =
            items::list(self.context.db.pool(), &caller, &request.team_id, page).await?;
        Ok(Response::new(proto::ListCannedAnswersResponse {
            canned_answers,
            next_page_token,
        }))
    }

    async fn create_macro(
        &self,
        request: Request<proto::CreateMacroRequest>,
    ) -> Answer<proto::Macro> {
        let (caller, by, request) = staff(request)?;
        let request_id = checked_request_id(request.request_id)?;
        let item = items::create(&self.context, &caller, &by.id, request.r#macro, request_id);
        Ok(Response::new(item.await?))
    }

    async fn get_macro(&self, request: Request<proto::GetMacroRequest>) -> Answer<proto::Macro> {
        let (caller, _, request) = staff(request)?;
        let mut connection = self.context.connection().await?;
        let item = items::get(&mut connection, &caller, &request.id).await?;
        Ok(Response::new(item))
    }

    async fn update_macro(
        &self,
        request: Request<proto::UpdateMacroRequest>,
    ) -> Answer<proto::Macro> {
        let (caller, _, request) = staff(request)?;
        let item = items::update(&self.context, &caller, request.r#macro).await?;
        Ok(Response::new(item))
    }

    async fn delete_macro(
        &self,
        request: Request<proto::DeleteMacroRequest>,
    ) -> Answer<proto::DeleteMacroResponse> {
        let (caller, _, request) = staff(request)?;
        let (id, etag) = (&request.id, &request.etag);
        items::delete::<proto::Macro>(&self.context, &caller, id, etag).await?;
        Ok(Response::new(proto::DeleteMacroResponse {}))
    }

    async fn list_macros(
        &self,
        request: Request<proto::ListMacrosRequest>,
    ) -> Answer<proto::ListMacrosResponse> {
        let (caller, _, request) = staff(request)?;
        let page = self.context.page(request.page_size, &request.page_token);
        let (macros, next_page_token) =
            items::list(self.context.db.pool(), &caller, &request.team_id, page).await?;
        Ok(Response::new(proto::ListMacrosResponse {
            macros,
            next_page_token,
        }))
    }

    async fn render_canned_answer(
        &self,
        request: Request<proto::RenderCannedAnswerRequest>,
    ) -> Answer<proto::RenderCannedAnswerResponse> {
        let (caller, by, request) = staff(request)?;
        let id = self.context.hands.seen(&caller, &request.ticket_id).await?;
        let ticket = self.context.hands.shown(id).await?;
        let mut connection = self.context.connection().await?;
        let text = texts::render(&mut connection, &caller, &request.id, &ticket, &by).await?;
        Ok(Response::new(proto::RenderCannedAnswerResponse { text }))
    }

    async fn apply_macro(
        &self,
        request: Request<proto::ApplyMacroRequest>,
    ) -> Answer<proto::ApplyMacroResponse> {
        let (caller, by, request) = staff(request)?;
        let applying = Applying {
            ticket: self.context.hands.seen(&caller, &request.ticket_id).await?,
            macro_id: request.macro_id,
            etag: request.etag,
            request_id: checked_request_id(request.request_id)?,
            seen: seen(request.last_seen_sequence)?,
            forced: request.force,
            by,
            caller: caller.clone(),
        };
        let ticket = applying.ticket;
        let messages = apply::apply(&self.context, applying).await?;
        let ticket = self.context.hands.shown_to(&caller, ticket).await?;
        Ok(Response::new(proto::ApplyMacroResponse {
            ticket: Some(ticket),
            message_ids: messages.iter().map(Uuid::to_string).collect(),
        }))
    }

    async fn bulk_update(
        &self,
        request: Request<proto::BulkUpdateRequest>,
    ) -> Answer<proto::BulkUpdateResponse> {
        let caller = caller(&request)?.clone();
        caller.require(PEOPLE)?;
        let answer = bulk::update(&self.context, request.into_inner(), &caller).await?;
        Ok(Response::new(answer))
    }
}

//! `TicketService`.

use std::{pin::Pin, sync::Arc};

use futures::Stream;
use solmu_domain::ticket::Status as TicketStatus;
use solmu_proto::{
    ticket::v1::{self as proto, ticket_service_server::TicketService},
    types::v1::Actor,
};
use solmu_runtime::{
    ApiError,
    access::{Role, caller},
};
use solmu_ticketsearch::watch;
use solmu_ticketwork::experts::ask;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{answer, blocks, experts, merge, optional_uuid, quarantine, restrict, update, uuid};
use crate::{
    calls::{Asked, PEOPLE, STAFF, asked, checked_request_id, checked_text, seen},
    command::{self, Change, Content, Writing},
    context::Context,
    list,
    model::{priority_from_proto, status_from_proto},
    sight::{self, ticket_id},
};

/// The service.
pub(crate) struct Tickets {
    pub(crate) context: Arc<Context>,
    pub(crate) watchers: Arc<Semaphore>,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl TicketService for Tickets {
    type WatchTicketsStream =
        Pin<Box<dyn Stream<Item = Result<proto::WatchTicketsResponse, Status>> + Send>>;

    async fn get_ticket(&self, request: Request<proto::GetTicketRequest>) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let pool = self.context.db.pool();
        Ok(Response::new(
            update::whole(pool, &it.caller, &it.request.id).await?,
        ))
    }

    async fn update_ticket(
        &self,
        request: Request<proto::UpdateTicketRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let ticket = update::ticket(&self.context, it.request, it.by).await?;
        let ticket = restrict::answer(&self.context, &it.caller, ticket).await?;
        Ok(Response::new(ticket))
    }

    async fn list_tickets(
        &self,
        request: Request<proto::ListTicketsRequest>,
    ) -> Answer<proto::ListTicketsResponse> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        Ok(Response::new(
            list::tickets(&self.context, request.get_ref(), Some(caller)).await?,
        ))
    }

    async fn list_messages(
        &self,
        request: Request<proto::ListMessagesRequest>,
    ) -> Answer<proto::ListMessagesResponse> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let max = self.context.config.max_page_size;
        Ok(Response::new(
            list::messages(self.context.db.pool(), &it.request, max).await?,
        ))
    }

    async fn reply_to_ticket(
        &self,
        request: Request<proto::ReplyToTicketRequest>,
    ) -> Answer<proto::Message> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let mut request = it.request;
        let status = match request.set_status {
            0 => TicketStatus::WaitingOnCustomer,
            _ => status_from_proto(request.set_status())
                .ok_or_else(|| ApiError::invalid("set_status", "there is no such status"))?,
        };
        let ticket = self.ticket_id(&request.ticket_id).await?;
        let (text, content) = answer::content(&self.context, &mut request).await?;
        let writing = Writing {
            ticket,
            text,
            content,
            request_id: Some(request.request_id),
            author: it.by,
            answer: Some(status),
            forced: request.force,
            seen: seen(request.last_seen_sequence)?,
        };
        self.write(writing).await
    }

    async fn add_note(&self, request: Request<proto::AddNoteRequest>) -> Answer<proto::Message> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let request = it.request;
        let writing = Writing {
            ticket: self.ticket_id(&request.ticket_id).await?,
            text: request.text,
            request_id: Some(request.request_id),
            author: it.by,
            answer: None,
            forced: request.allow_unknown_mentions,
            seen: None,
            content: Content::default(),
        };
        self.write(writing).await
    }

    async fn set_status(&self, request: Request<proto::SetStatusRequest>) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let request = it.request;
        let status = status_from_proto(request.status()).ok_or_else(|| {
            ApiError::invalid("status", "say which status the ticket should have")
        })?;
        let change = Change::Status(status);
        let asked = asked("set status", &request.request_id, &request)?;
        let when = (request.etag, asked);
        self.alter(&request.ticket_id, change, when, it.by).await
    }

    async fn set_priority(
        &self,
        request: Request<proto::SetPriorityRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let request = it.request;
        let priority = priority_from_proto(request.priority()).ok_or_else(|| {
            ApiError::invalid("priority", "say which priority the ticket should have")
        })?;
        let change = Change::Priority(priority);
        let asked = asked("set priority", &request.request_id, &request)?;
        let when = (request.etag, asked);
        self.alter(&request.ticket_id, change, when, it.by).await
    }

    async fn assign_ticket(
        &self,
        request: Request<proto::AssignTicketRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let request = it.request;
        let change = Change::Owner {
            agent: optional_uuid("agent_id", &request.agent_id)?,
            team: optional_uuid("team_id", &request.team_id)?,
        };
        let asked = asked("assign", &request.request_id, &request)?;
        let when = (request.etag, asked);
        self.alter(&request.ticket_id, change, when, it.by).await
    }

    async fn restrict_ticket(
        &self,
        request: Request<proto::RestrictTicketRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        Ok(Response::new(restrict::ticket(&self.context, it).await?))
    }

    async fn unrestrict_ticket(
        &self,
        request: Request<proto::UnrestrictTicketRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        Ok(Response::new(restrict::end(&self.context, it).await?))
    }

    async fn watch_tickets(
        &self,
        request: Request<proto::WatchTicketsRequest>,
    ) -> Answer<Self::WatchTicketsStream> {
        let caller = caller(&request)?.clone();
        caller.require(PEOPLE)?;
        let permit =
            self.watchers
                .clone()
                .try_acquire_owned()
                .map_err(|_| ApiError::ResourceExhausted {
                    reason: "TOO_MANY_WATCHERS",
                    message: "too many open watch streams".to_owned(),
                    retry_after: std::time::Duration::from_secs(5),
                })?;
        let changes = watch::watch(self.context.clone(), request.into_inner(), caller).await?;
        let guarded = futures::StreamExt::inspect(changes, move |_| {
            // The permit lives as long as the stream.
            let _ = &permit;
        });
        Ok(Response::new(Box::pin(guarded)))
    }

    async fn batch_get_routing_texts(
        &self,
        request: Request<proto::BatchGetRoutingTextsRequest>,
    ) -> Answer<proto::BatchGetRoutingTextsResponse> {
        let caller = caller(&request)?;
        caller.require(&[Role::Service, Role::Admin])?;
        let ids = request.get_ref().ticket_ids.iter();
        let ids: Result<Vec<_>, _> = ids.map(|id| uuid("ticket_ids", id)).collect();
        let pool = self.context.db.pool();
        let seen = sight::among(pool, caller, &ids?).await?;
        let texts = list::routing_texts(pool, &seen).await?;
        Ok(Response::new(proto::BatchGetRoutingTextsResponse { texts }))
    }

    async fn list_quarantine(
        &self,
        request: Request<proto::ListQuarantineRequest>,
    ) -> Answer<proto::ListQuarantineResponse> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        Ok(Response::new(
            quarantine::list(&self.context, caller, request.get_ref()).await?,
        ))
    }

    async fn reject_quarantined(
        &self,
        request: Request<proto::RejectQuarantinedRequest>,
    ) -> Answer<proto::QuarantinedMessage> {
        let caller = caller(&request)?;
        caller.require(STAFF)?;
        Ok(Response::new(
            quarantine::reject(&self.context, caller, request.get_ref()).await?,
        ))
    }

    async fn forward_to_expert(
        &self,
        request: Request<proto::ForwardToExpertRequest>,
    ) -> Answer<proto::ForwardToExpertResponse> {
        let it = sight::call(&self.context, request, STAFF).await?;
        let ticket = self.ticket_id(&it.request.ticket_id).await?;
        let question = experts::question(&self.context.config, it.request, ticket, it.by)?;
        let side_conversations = ask(&self.context, question).await.map_err(ApiError::from)?;
        Ok(Response::new(proto::ForwardToExpertResponse {
            side_conversations,
        }))
    }

    async fn release_quarantined(
        &self,
        request: Request<proto::ReleaseQuarantinedRequest>,
    ) -> Answer<proto::Ticket> {
        let caller = caller(&request)?;
        caller.require(STAFF)?;
        let message = &request.get_ref().message_id;
        let ticket = quarantine::release_by(&self.context, caller, message).await?;
        Ok(Response::new(
            list::ticket(self.context.db.pool(), &ticket.to_string()).await?,
        ))
    }

    async fn block_sender(
        &self,
        request: Request<proto::BlockSenderRequest>,
    ) -> Answer<proto::BlockedSender> {
        let caller = caller(&request)?;
        caller.require(STAFF)?;
        Ok(Response::new(
            blocks::block(&self.context, caller, request.get_ref()).await?,
        ))
    }

    async fn merge_tickets(
        &self,
        request: Request<proto::MergeTicketsRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, STAFF).await?;
        let ticket = merge::merge_tickets(&self.context, &it.request, it.by).await?;
        Ok(Response::new(ticket))
    }

    async fn unmerge_ticket(
        &self,
        request: Request<proto::UnmergeTicketRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, STAFF).await?;
        let ticket = merge::unmerge_ticket(&self.context, &it.request, it.by).await?;
        Ok(Response::new(ticket))
    }

    async fn split_message(
        &self,
        request: Request<proto::SplitMessageRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, STAFF).await?;
        let ticket = merge::split_message(&self.context, &it.request, it.by).await?;
        Ok(Response::new(ticket))
    }

    async fn unblock_sender(
        &self,
        request: Request<proto::UnblockSenderRequest>,
    ) -> Answer<proto::UnblockSenderResponse> {
        let caller = caller(&request)?;
        caller.require(STAFF)?;
        Ok(Response::new(
            blocks::unblock(&self.context, caller, request.get_ref()).await?,
        ))
    }

    async fn list_blocked_senders(
        &self,
        request: Request<proto::ListBlockedSendersRequest>,
    ) -> Answer<proto::ListBlockedSendersResponse> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        Ok(Response::new(
            blocks::list(&self.context, caller, request.get_ref()).await?,
        ))
    }
}

impl Tickets {
    async fn write(&self, writing: Writing) -> Answer<proto::Message> {
        let writing = Writing {
            text: checked_text(&writing.text)?,
            request_id: checked_request_id(writing.request_id.unwrap_or_default())?,
            ..writing
        };
        let id = command::write(&self.context, writing)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(
            list::message(self.context.db.pool(), id).await?,
        ))
    }

    async fn alter(
        &self,
        ticket: &str,
        change: Change,
        when: (String, Option<Asked>),
        by: Actor,
    ) -> Answer<proto::Ticket> {
        let id = self.ticket_id(ticket).await?;
        command::alter(&self.context, id, change, when, by)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(
            list::ticket(self.context.db.pool(), &id.to_string()).await?,
        ))
    }

    /// The id of a ticket that is named by id or by `#number`.
    async fn ticket_id(&self, text: &str) -> Result<uuid::Uuid, ApiError> {
        ticket_id(&self.context, text).await
    }
}

//! `WorkService`.

use std::sync::Arc;

use solmu_domain::ticket::Status as TicketStatus;
use solmu_proto::{
    ticket::v1::{self as proto, LinkKind, work_service_server::WorkService},
    types::v1::{Actor, TicketStatus as WireStatus},
};
use solmu_runtime::{ApiError, access::Caller};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{update, uuid};
use crate::{
    broadcast::broadcast,
    calls::{self, Asked, PEOPLE, STAFF, asked, checked_request_id, checked_text},
    command::{Content, Writing},
    context::Context,
    links as linking,
    model::status_from_proto,
    sight::{self, ticket_id},
    tasks::{self, followers, snooze, stored_time},
};

/// The service.
pub(crate) struct Work {
    pub(crate) context: Arc<Context>,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl WorkService for Work {
    async fn create_task(&self, request: Request<proto::CreateTaskRequest>) -> Answer<proto::Task> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let asked = asked("create task", &it.request.request_id, &it.request)?;
        let task = it.request.task.unwrap_or_default();
        let ticket = ticket_id(&self.context, &task.ticket_id).await?;
        let wanted = tasks::Wanted::of(&task, true).map_err(ApiError::from)?;
        let task = tasks::create(&self.context, ticket, wanted, asked, it.by).await;
        Ok(Response::new(task.map_err(ApiError::from)?))
    }

    async fn update_task(&self, request: Request<proto::UpdateTaskRequest>) -> Answer<proto::Task> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let asked = asked("update task", &it.request.request_id, &it.request)?;
        let mask = it.request.update_mask.unwrap_or_default().paths;
        let task = it.request.task.unwrap_or_default();
        let task = tasks::update(&self.context, task, mask, asked, it.by).await;
        Ok(Response::new(task.map_err(ApiError::from)?))
    }

    async fn delete_task(
        &self,
        request: Request<proto::DeleteTaskRequest>,
    ) -> Answer<proto::DeleteTaskResponse> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let id = uuid("id", &it.request.id)?;
        let gone = tasks::delete(&self.context, id, it.by).await;
        gone.map_err(ApiError::from)?;
        Ok(Response::new(proto::DeleteTaskResponse {}))
    }

    async fn list_tasks(
        &self,
        request: Request<proto::ListTasksRequest>,
    ) -> Answer<proto::ListTasksResponse> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let (request, visibility) = (&it.request, it.caller.visibility());
        let ticket = match request.ticket_id.as_str() {
            "" if request.assignee_id.is_empty() => {
                let why = "say whose tasks: of a ticket, of an agent, or both";
                return Err(ApiError::invalid("ticket_id", why).into());
            }
            "" => None,
            id => Some(ticket_id(&self.context, id).await?),
        };
        let (pool, max) = (self.context.db.reads(), self.context.config.max_page_size);
        Ok(Response::new(
            tasks::list::list(pool, ticket, request, visibility, max).await?,
        ))
    }

    async fn add_follower(
        &self,
        request: Request<proto::AddFollowerRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let asked = asked("add follower", &it.request.request_id, &it.request)?;
        let pair = (&*it.request.ticket_id, &*it.request.agent_id);
        self.follow(&it.caller, pair, true, asked, it.by).await
    }

    async fn remove_follower(
        &self,
        request: Request<proto::RemoveFollowerRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let asked = asked("remove follower", &it.request.request_id, &it.request)?;
        let pair = (&*it.request.ticket_id, &*it.request.agent_id);
        self.follow(&it.caller, pair, false, asked, it.by).await
    }

    async fn snooze_ticket(
        &self,
        request: Request<proto::SnoozeTicketRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let request = it.request;
        let asked = asked("snooze", &request.request_id, &request)?;
        let status = match request.set_status() {
            WireStatus::Unspecified => None,
            status => status_from_proto(status),
        };
        let until = request.until_time.as_ref().map(stored_time);
        let wish = snooze::Wish::Sleep(until, status, request.etag);
        let wish = (wish, asked);
        self.snooze(&it.caller, &request.ticket_id, wish, it.by)
            .await
    }

    async fn wake_ticket(
        &self,
        request: Request<proto::WakeTicketRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let asked = asked("wake", &it.request.request_id, &it.request)?;
        let (ticket, wish) = (&it.request.ticket_id, (snooze::Wish::Wake, asked));
        self.snooze(&it.caller, ticket, wish, it.by).await
    }

    async fn link_tickets(
        &self,
        request: Request<proto::LinkTicketsRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let (asked, kind) = (&it.request, it.request.kind());
        let pair = (asked.ticket_id.as_str(), asked.other_ticket_id.as_str());
        let id = &asked.request_id;
        let how = (kind, true, calls::asked("link", id, asked)?);
        self.link(&it.caller, pair, how, it.by).await
    }

    async fn unlink_tickets(
        &self,
        request: Request<proto::UnlinkTicketsRequest>,
    ) -> Answer<proto::Ticket> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let (asked, kind) = (&it.request, it.request.kind());
        let pair = (asked.ticket_id.as_str(), asked.other_ticket_id.as_str());
        let id = &asked.request_id;
        let how = (kind, false, calls::asked("unlink", id, asked)?);
        self.link(&it.caller, pair, how, it.by).await
    }

    async fn broadcast_reply(
        &self,
        request: Request<proto::BroadcastReplyRequest>,
    ) -> Answer<proto::BroadcastReplyResponse> {
        let it = sight::call(&self.context, request, STAFF).await?;
        let request = it.request;
        let answer = match request.set_status {
            0 => TicketStatus::WaitingOnCustomer,
            _ => status_from_proto(request.set_status())
                .ok_or_else(|| ApiError::invalid("set_status", "there is no such status"))?,
        };
        let request_id = checked_request_id(request.request_id)?
            .ok_or_else(|| ApiError::invalid("request_id", "without it some may get it twice"))?;
        let writing = Writing {
            ticket: ticket_id(&self.context, &request.ticket_id).await?,
            text: checked_text(&request.text)?,
            request_id: Some(request_id),
            author: it.by,
            answer: Some(answer),
            forced: false,
            seen: None,
            content: Content::default(),
        };
        Ok(Response::new(
            broadcast(&self.context, writing, &it.caller).await?,
        ))
    }
}

impl Work {
    /// The ticket with everything that one answer shows of it.
    async fn shown(&self, caller: &Caller, id: Uuid) -> Answer<proto::Ticket> {
        let pool = self.context.db.pool();
        Ok(Response::new(
            update::whole(pool, caller, &id.to_string()).await?,
        ))
    }

    async fn follow(
        &self,
        caller: &Caller,
        (ticket, agent): (&str, &str),
        follows: bool,
        asked: Option<Asked>,
        by: Actor,
    ) -> Answer<proto::Ticket> {
        let (ticket, agent) = (
            ticket_id(&self.context, ticket).await?,
            uuid("agent_id", agent)?,
        );
        let pair = (ticket, agent);
        let done = followers::set(&self.context, pair, follows, asked, by).await;
        done.map_err(ApiError::from)?;
        self.shown(caller, ticket).await
    }

    async fn snooze(
        &self,
        caller: &Caller,
        ticket: &str,
        (wish, asked): (snooze::Wish, Option<Asked>),
        by: Actor,
    ) -> Answer<proto::Ticket> {
        let ticket = ticket_id(&self.context, ticket).await?;
        let done = snooze::set(&self.context, ticket, wish, asked, by).await;
        done.map_err(ApiError::from)?;
        self.shown(caller, ticket).await
    }

    async fn link(
        &self,
        caller: &Caller,
        (ticket, other): (&str, &str),
        (kind, linked, asked): (LinkKind, bool, Option<Asked>),
        by: Actor,
    ) -> Answer<proto::Ticket> {
        let ticket = ticket_id(&self.context, ticket).await?;
        let wanted = linking::Wanted {
            ticket,
            other: ticket_id(&self.context, other).await?,
            kind,
            linked,
            asked,
            by,
        };
        let done = linking::set(&self.context, wanted).await;
        done.map_err(ApiError::from)?;
        self.shown(caller, ticket).await
    }
}

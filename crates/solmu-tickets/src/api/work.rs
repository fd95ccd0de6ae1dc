//! `WorkService`.

use std::sync::Arc;

use solmu_domain::ticket::Status as TicketStatus;
use solmu_proto::{
    ticket::v1::{self as proto, LinkKind, work_service_server::WorkService},
    types::v1::{Actor, TicketStatus as WireStatus},
};
use solmu_runtime::{
    ApiError,
    access::{Role, caller},
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    links, list,
    sight::{self, Named},
    tickets::{PEOPLE, actor_of, checked_request_id, checked_text, ticket_id},
    update, uuid,
};
use crate::{
    command::Writing,
    context::Context,
    hierarchy::{broadcast::broadcast, links as linking},
    model::status_from_proto,
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
        let by = actor_of(caller(&request)?);
        sight::check(
            self.context.db.pool(),
            caller(&request)?,
            request
                .get_ref()
                .task
                .iter()
                .map(|it| Named::Ticket(&it.ticket_id)),
        )
        .await?;
        let request = request.into_inner();
        let task = request.task.unwrap_or_default();
        let ticket = ticket_id(&self.context, &task.ticket_id).await?;
        let wanted = tasks::Wanted::of(&task, true).map_err(ApiError::from)?;
        let id = checked_request_id(request.request_id)?;
        let task = tasks::create(&self.context, ticket, wanted, id, by).await;
        Ok(Response::new(task.map_err(ApiError::from)?))
    }

    async fn update_task(&self, request: Request<proto::UpdateTaskRequest>) -> Answer<proto::Task> {
        let by = actor_of(caller(&request)?);
        sight::check(
            self.context.db.pool(),
            caller(&request)?,
            request.get_ref().task.iter().map(|it| Named::Task(&it.id)),
        )
        .await?;
        let request = request.into_inner();
        let mask = request.update_mask.unwrap_or_default().paths;
        let task = request.task.unwrap_or_default();
        let task = tasks::update(&self.context, task, mask, by).await;
        Ok(Response::new(task.map_err(ApiError::from)?))
    }

    async fn delete_task(
        &self,
        request: Request<proto::DeleteTaskRequest>,
    ) -> Answer<proto::DeleteTaskResponse> {
        let by = actor_of(caller(&request)?);
        sight::check(
            self.context.db.pool(),
            caller(&request)?,
            [Named::Task(&request.get_ref().id)],
        )
        .await?;
        let id = uuid("id", &request.get_ref().id)?;
        let gone = tasks::delete(&self.context, id, by).await;
        gone.map_err(ApiError::from)?;
        Ok(Response::new(proto::DeleteTaskResponse {}))
    }

    async fn list_tasks(
        &self,
        request: Request<proto::ListTasksRequest>,
    ) -> Answer<proto::ListTasksResponse> {
        caller(&request)?.require(PEOPLE)?;
        sight::check(
            self.context.db.pool(),
            caller(&request)?,
            [Named::Ticket(&request.get_ref().ticket_id)],
        )
        .await?;
        let visibility = caller(&request)?.visibility().clone();
        let request = request.get_ref();
        let ticket = match request.ticket_id.as_str() {
            "" if request.assignee_id.is_empty() => {
                let why = "say whose tasks: of a ticket, of an agent, or both";
                return Err(ApiError::invalid("ticket_id", why).into());
            }
            "" => None,
            id => Some(ticket_id(&self.context, id).await?),
        };
        let (pool, max) = (self.context.db.pool(), self.context.config.max_page_size);
        Ok(Response::new(
            tasks::list::list(pool, ticket, request, &visibility, max).await?,
        ))
    }

    async fn add_follower(
        &self,
        request: Request<proto::AddFollowerRequest>,
    ) -> Answer<proto::Ticket> {
        let by = actor_of(caller(&request)?);
        sight::check(
            self.context.db.pool(),
            caller(&request)?,
            [Named::Ticket(&request.get_ref().ticket_id)],
        )
        .await?;
        let request = request.get_ref();
        self.follow(&request.ticket_id, &request.agent_id, true, by)
            .await
    }

    async fn remove_follower(
        &self,
        request: Request<proto::RemoveFollowerRequest>,
    ) -> Answer<proto::Ticket> {
        let by = actor_of(caller(&request)?);
        sight::check(
            self.context.db.pool(),
            caller(&request)?,
            [Named::Ticket(&request.get_ref().ticket_id)],
        )
        .await?;
        let request = request.get_ref();
        self.follow(&request.ticket_id, &request.agent_id, false, by)
            .await
    }

    async fn snooze_ticket(
        &self,
        request: Request<proto::SnoozeTicketRequest>,
    ) -> Answer<proto::Ticket> {
        let by = actor_of(caller(&request)?);
        sight::check(
            self.context.db.pool(),
            caller(&request)?,
            [Named::Ticket(&request.get_ref().ticket_id)],
        )
        .await?;
        let request = request.into_inner();
        let status = match request.set_status() {
            WireStatus::Unspecified => None,
            status => status_from_proto(status),
        };
        let until = request.until_time.as_ref().map(stored_time);
        let wish = snooze::Wish::Sleep(until, status, request.etag);
        self.snooze(&request.ticket_id, wish, by).await
    }

    async fn wake_ticket(
        &self,
        request: Request<proto::WakeTicketRequest>,
    ) -> Answer<proto::Ticket> {
        let by = actor_of(caller(&request)?);
        sight::check(
            self.context.db.pool(),
            caller(&request)?,
            [Named::Ticket(&request.get_ref().ticket_id)],
        )
        .await?;
        self.snooze(&request.get_ref().ticket_id, snooze::Wish::Wake, by)
            .await
    }

    async fn link_tickets(
        &self,
        request: Request<proto::LinkTicketsRequest>,
    ) -> Answer<proto::Ticket> {
        let by = actor_of(caller(&request)?);
        sight::check(
            self.context.db.pool(),
            caller(&request)?,
            [
                Named::Ticket(&request.get_ref().ticket_id),
                Named::Ticket(&request.get_ref().other_ticket_id),
            ],
        )
        .await?;
        let it = request.get_ref();
        self.link(&it.ticket_id, &it.other_ticket_id, it.kind(), true, by)
            .await
    }

    async fn unlink_tickets(
        &self,
        request: Request<proto::UnlinkTicketsRequest>,
    ) -> Answer<proto::Ticket> {
        let by = actor_of(caller(&request)?);
        sight::check(
            self.context.db.pool(),
            caller(&request)?,
            [Named::Ticket(&request.get_ref().ticket_id)],
        )
        .await?;
        let it = request.get_ref();
        self.link(&it.ticket_id, &it.other_ticket_id, it.kind(), false, by)
            .await
    }

    async fn broadcast_reply(
        &self,
        request: Request<proto::BroadcastReplyRequest>,
    ) -> Answer<proto::BroadcastReplyResponse> {
        let caller = caller(&request)?;
        sight::check(
            self.context.db.pool(),
            caller,
            [Named::Ticket(&request.get_ref().ticket_id)],
        )
        .await?;
        caller.require(&[Role::Admin, Role::Agent])?;
        let author = actor_of(caller);
        let request = request.into_inner();
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
            author,
            answer: Some(answer),
            forced: false,
            seen: None,
        };
        let sent = broadcast(&self.context, writing).await;
        Ok(Response::new(sent.map_err(ApiError::from)?))
    }
}

impl Work {
    /// The ticket with everything that one answer shows of it.
    async fn shown(&self, id: Uuid) -> Answer<proto::Ticket> {
        let pool = self.context.db.pool();
        let mut ticket = list::ticket(pool, &id.to_string()).await?;
        ticket.links = links::of(pool, id).await?;
        update::complete(pool, id, &mut ticket).await?;
        Ok(Response::new(ticket))
    }

    async fn follow(
        &self,
        ticket: &str,
        agent: &str,
        follows: bool,
        by: Actor,
    ) -> Answer<proto::Ticket> {
        let (ticket, agent) = (
            ticket_id(&self.context, ticket).await?,
            uuid("agent_id", agent)?,
        );
        let done = followers::set(&self.context, ticket, agent, follows, by).await;
        done.map_err(ApiError::from)?;
        self.shown(ticket).await
    }

    async fn snooze(&self, ticket: &str, wish: snooze::Wish, by: Actor) -> Answer<proto::Ticket> {
        let ticket = ticket_id(&self.context, ticket).await?;
        let done = snooze::set(&self.context, ticket, wish, by).await;
        done.map_err(ApiError::from)?;
        self.shown(ticket).await
    }

    async fn link(
        &self,
        ticket: &str,
        other: &str,
        kind: LinkKind,
        linked: bool,
        by: Actor,
    ) -> Answer<proto::Ticket> {
        let ticket = ticket_id(&self.context, ticket).await?;
        let wanted = linking::Wanted {
            ticket,
            other: ticket_id(&self.context, other).await?,
            kind,
            linked,
            by,
        };
        let done = linking::set(&self.context, wanted).await;
        done.map_err(ApiError::from)?;
        self.shown(ticket).await
    }
}

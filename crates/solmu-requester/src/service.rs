//! `RequesterService`. It checks the caller and the request, and finds out what is theirs; the modules beside it do the
//! rest.

use std::{collections::HashSet, sync::Arc};

use solmu_bus::envelope::to_proto_time;
use solmu_connector::{Intake, limit::Limiter};
use solmu_db::{Db, DbError};
use solmu_desk::Services;
use solmu_domain::{clock::SharedClock, rng::SharedRng};
use solmu_proto::{
    requester::v1::{
        self as proto, list_tickets_request::Which, message::Author as Wrote,
        requester_service_server::RequesterService, ticket::State,
    },
    ticket::v1::CatalogueItem,
};
use solmu_publiclink::shown::{Author, Stage};
use solmu_runtime::{
    ApiError,
    access::{Role, caller},
    page,
    request::uuid,
};
use solmu_tickets::{
    blocks,
    desk::Hands,
    requesters::{self, Reached},
};
use sqlx::{PgConnection, Postgres, pool::PoolConnection};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    config::Config,
    find::{self, Message, Ticket},
    who::{Who, digest},
    write::{self, Writing},
};

/// Who calls: a portal's backend. People see tickets as they see them, and would only mistake one for the other.
const CALLERS: &[Role] = &[Role::Service];
/// Tickets, and services, of a page: if it is not said, and at most.
const PAGE: (i64, u32) = (20, 100);
/// Messages of a page: if it is not said, and at most.
const MESSAGES: (i64, u32) = (50, 200);

type Answer<T> = Result<Response<T>, Status>;

/// The service.
pub(crate) struct Requesters(pub(crate) Arc<Portal>);

/// What it works with.
pub(crate) struct Portal {
    pub(crate) db: Db,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
    pub(crate) hands: Hands,
    pub(crate) services: Services,
    pub(crate) intake: Intake,
    /// What each requester may write.
    pub(crate) writes: Limiter<Uuid>,
    pub(crate) config: Config,
}

/// A call of a portal: whom it has signed in, and what it asks.
macro_rules! asked {
    ($request:expr) => {{
        let caller = caller(&$request)?;
        caller.require(CALLERS)?;
        let asked = $request.get_ref();
        (Who::read(asked.requester.as_ref(), caller)?, asked)
    }};
}

#[tonic::async_trait]
impl RequesterService for Requesters {
    async fn list_tickets(
        &self,
        request: Request<proto::ListTicketsRequest>,
    ) -> Answer<proto::ListTicketsResponse> {
        let (who, asked) = asked!(request);
        let all = match Which::try_from(asked.which) {
            Ok(Which::Unspecified | Which::Open) => false,
            Ok(Which::All) => true,
            Err(_) => return Err(ApiError::invalid("which", "open or all").into()),
        };
        let size = page::size(asked.page_size, PAGE.0, PAGE.1)?;
        let query = format!("tickets {} {all}", who.key);
        let after = page::decode(&query, &asked.page_token)?;
        let mut connection = self.0.connection().await?;
        let reached = self.0.reach(&mut connection, &who).await?;
        let tickets = find::tickets(&mut connection, &reached, all, after, size + 1).await;
        let mut tickets = tickets.map_err(ApiError::from)?;
        let more = page::cut(&mut tickets, size);
        let last = tickets.last().filter(|_| more);
        let position = last.map(|it| (it.created_at.to_jiff().as_microsecond(), it.id));
        Ok(Response::new(proto::ListTicketsResponse {
            next_page_token: position.map_or_else(String::new, |it| page::encode(&query, it)),
            tickets: tickets.into_iter().map(Into::into).collect(),
        }))
    }

    async fn get_ticket(&self, request: Request<proto::GetTicketRequest>) -> Answer<proto::Ticket> {
        let (who, asked) = asked!(request);
        let mut connection = self.0.connection().await?;
        let (_, ticket) = self
            .0
            .theirs(&mut connection, &who, &asked.ticket_id)
            .await?;
        Ok(Response::new(ticket.into()))
    }

    async fn list_messages(
        &self,
        request: Request<proto::ListMessagesRequest>,
    ) -> Answer<proto::ListMessagesResponse> {
        let (who, asked) = asked!(request);
        let size = page::size(asked.page_size, MESSAGES.0, MESSAGES.1)?;
        let mut connection = self.0.connection().await?;
        let (reached, ticket) = self
            .0
            .theirs(&mut connection, &who, &asked.ticket_id)
            .await?;
        let query = format!("messages {} {}", who.key, ticket.id);
        let after = page::decode(&query, &asked.page_token)?.unwrap_or(0);
        let messages = find::messages(&mut connection, &reached, ticket.id, after, size + 1).await;
        let mut messages = messages.map_err(ApiError::from)?;
        let more = page::cut(&mut messages, size);
        let last = messages.last().filter(|_| more).map(|it| it.sequence);
        Ok(Response::new(proto::ListMessagesResponse {
            next_page_token: last.map_or_else(String::new, |it| page::encode(&query, it)),
            messages: messages.into_iter().map(Into::into).collect(),
        }))
    }

    async fn reply(&self, request: Request<proto::ReplyRequest>) -> Answer<proto::ReplyResponse> {
        let (who, asked) = asked!(request);
        let text = write::text(&asked.text).map_err(invalid)?;
        let request = who.request(&asked.request_id)?;
        let mut connection = self.0.connection().await?;
        let (_, ticket) = self
            .0
            .theirs(&mut connection, &who, &asked.ticket_id)
            .await?;
        drop(connection);
        let writing = Writing {
            request,
            digest: digest(&proto::ReplyRequest {
                requester: None,
                ..asked.clone()
            }),
            subject: ticket.subject,
            text,
            ticket: Some(ticket.id),
        };
        let (message, ticket) = self.0.accept(&who, writing).await?;
        Ok(Response::new(proto::ReplyResponse {
            message_id: message.to_string(),
            ticket: ticket.map(Into::into),
        }))
    }

    async fn create_ticket(
        &self,
        request: Request<proto::CreateTicketRequest>,
    ) -> Answer<proto::CreateTicketResponse> {
        let (who, asked) = asked!(request);
        let (subject, text) = (write::subject(&asked.subject), write::text(&asked.text));
        let (subject, text) = match (subject, text) {
            (Ok(subject), Ok(text)) => (subject, text),
            (subject, text) => {
                let violations = subject.err().into_iter().chain(text.err()).collect();
                return Err(ApiError::InvalidArgument { violations }.into());
            }
        };
        if !who.has_email() {
            let why = "answers need somewhere to go: name an address of theirs";
            return Err(ApiError::invalid("requester.email", why).into());
        }
        let writing = Writing {
            request: who.request(&asked.request_id)?,
            digest: digest(&proto::CreateTicketRequest {
                requester: None,
                ..asked.clone()
            }),
            subject,
            text,
            ticket: None,
        };
        let (message, ticket) = self.0.accept(&who, writing).await?;
        Ok(Response::new(proto::CreateTicketResponse {
            message_id: message.to_string(),
            ticket: ticket.map(Into::into),
        }))
    }

    async fn close_ticket(
        &self,
        request: Request<proto::CloseTicketRequest>,
    ) -> Answer<proto::Ticket> {
        let (who, asked) = asked!(request);
        let id = uuid("ticket_id", &asked.ticket_id)?;
        let ticket = self.0.close(&who, asked, id).await?;
        Ok(Response::new(ticket.into()))
    }

    async fn list_services(
        &self,
        request: Request<proto::ListServicesRequest>,
    ) -> Answer<proto::ListServicesResponse> {
        let (who, asked) = asked!(request);
        let size = page::size(asked.page_size, PAGE.0, PAGE.1)?;
        let page = (size, asked.page_token.as_str());
        let (services, next_page_token) = self.0.services.list(&who.token, page).await?;
        Ok(Response::new(proto::ListServicesResponse {
            services: services.into_iter().map(service).collect(),
            next_page_token,
        }))
    }

    async fn order_service(
        &self,
        request: Request<proto::OrderServiceRequest>,
    ) -> Answer<proto::OrderServiceResponse> {
        let (who, asked) = asked!(request);
        let ticket = self.0.order(&who, asked).await?;
        Ok(Response::new(proto::OrderServiceResponse {
            ticket: ticket.map(Into::into),
        }))
    }
}

impl Portal {
    pub(crate) async fn connection(&self) -> Result<PoolConnection<Postgres>, ApiError> {
        let connection = self.db.pool().acquire().await;
        Ok(connection.map_err(DbError::from)?)
    }

    /// What a requester reaches: nothing for one who is blocked. Notes that the portal vouches for them.
    pub(crate) async fn reach(
        &self,
        connection: &mut PgConnection,
        who: &Who,
    ) -> Result<Reached, ApiError> {
        let now = self.clock.now();
        let vouched = (who.token.as_str(), who.method.as_str());
        requesters::attest(connection, &who.sender, vouched, now).await?;
        let reached = requesters::reached(connection, &who.sender, now).await?;
        if reached.crowded {
            tracing::warn!("a requester has to do with too many others to say what is theirs");
        }
        let shut = self.is_named_shut(connection, who).await?
            || find::is_blocked(connection, &reached).await?;
        Ok(if shut { Reached::default() } else { reached })
    }

    /// Whether a requester is blocked.
    pub(crate) async fn is_shut(
        &self,
        connection: &mut PgConnection,
        who: &Who,
    ) -> Result<bool, ApiError> {
        let reached = requesters::reached(connection, &who.sender, self.clock.now()).await?;
        Ok(self.is_named_shut(connection, who).await?
            || find::is_blocked(connection, &reached).await?)
    }

    async fn is_named_shut(
        &self,
        connection: &mut PgConnection,
        who: &Who,
    ) -> Result<bool, ApiError> {
        let named = HashSet::from([who.value.clone()]);
        Ok(!blocks::among(connection, &named).await?.is_empty())
    }

    /// A ticket of theirs, with what else they reach.
    async fn theirs(
        &self,
        connection: &mut PgConnection,
        who: &Who,
        named: &str,
    ) -> Result<(Reached, Ticket), ApiError> {
        let id = uuid("ticket_id", named)?;
        let reached = self.reach(connection, who).await?;
        let ticket = find::ticket(connection, &reached, id).await?;
        let ticket = ticket.ok_or_else(|| no_ticket(named))?;
        Ok((reached, ticket))
    }
}

/// One that is not there, and one that is somebody else's.
pub(crate) fn no_ticket(named: &str) -> ApiError {
    ApiError::not_found("ticket", &named)
}

fn invalid(violation: solmu_runtime::api_error::Violation) -> ApiError {
    ApiError::InvalidArgument {
        violations: vec![violation],
    }
}

impl From<Ticket> for proto::Ticket {
    fn from(it: Ticket) -> Self {
        let state = match Stage::of(it.status()) {
            Stage::Received => State::Received,
            Stage::InProgress => State::InProgress,
            Stage::WaitingForRequester => State::WaitingForRequester,
            Stage::Resolved => State::Resolved,
            Stage::Closed => State::Closed,
        };
        Self {
            id: it.id.to_string(),
            number: it.number,
            subject: it.subject,
            state: state.into(),
            create_time: Some(to_proto_time(it.created_at.to_jiff())),
            last_message_time: it.last_message_at.map(|at| to_proto_time(at.to_jiff())),
        }
    }
}

impl From<Message> for proto::Message {
    fn from(it: Message) -> Self {
        let (author, name) = match it.shown.author() {
            Author::Requester => (Wrote::Requester, None),
            Author::Participant(name) => (Wrote::Participant, name),
            Author::Desk(name) => (Wrote::Desk, name),
        };
        Self {
            id: it.id.to_string(),
            author: author.into(),
            author_name: name.unwrap_or_default().to_owned(),
            text: it.shown.visible(),
            files: it.shown.files,
            create_time: Some(to_proto_time(it.shown.at)),
        }
    }
}

/// What a requester is told of a service: nothing of what an order makes.
fn service(it: CatalogueItem) -> proto::Service {
    proto::Service {
        id: it.id,
        name: it.name,
        description: it.description,
        variables: it.variables,
        etag: it.etag,
    }
}

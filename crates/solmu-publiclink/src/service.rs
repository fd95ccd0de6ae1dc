//! `LinkService`.

use jiff::{SignedDuration, Timestamp};
use solmu_bus::{
    Bus,
    envelope::{from_proto_time, to_proto_time},
};
use solmu_db::Db;
use solmu_domain::{clock::SharedClock, ids::new_uuid, rng::SharedRng, signed::Signer};
use solmu_proto::ticket::v1::{self as proto, link_service_server::LinkService};
use solmu_runtime::{
    ApiError,
    access::{Caller, Role, caller},
    page,
    request::{optional_uuid, uuid},
};
use solmu_ticketstore::{calls::actor_of, error::TicketError};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    config::{Config, MAX_DAYS},
    log::{self, Log},
    store::{self, Link, New, Ticket},
    token,
};

/// Who may make and end links.
const PEOPLE: &[Role] = &[Role::Admin, Role::Agent, Role::Service];
/// Longest request id, in bytes.
const MAX_REQUEST_ID: usize = 128;
/// Links of a page, at most.
const PAGE: u32 = 100;

/// The service.
pub(crate) struct Links {
    pub(crate) db: Db,
    pub(crate) bus: Bus,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
    pub(crate) signer: Signer,
    pub(crate) config: Config,
}

type Answer<T> = Result<Response<T>, Status>;

impl From<Link> for proto::PublicTicketLink {
    fn from(it: Link) -> Self {
        Self {
            id: it.id.to_string(),
            ticket_id: it.ticket_id.to_string(),
            create_time: Some(to_proto_time(it.created_at.to_jiff())),
            expire_time: Some(to_proto_time(it.expires_at.to_jiff())),
            revoke_time: it.revoked_at.map(|at| to_proto_time(at.to_jiff())),
            created_by: it.created_by,
            revoked_by: it.revoked_by,
        }
    }
}

#[tonic::async_trait]
impl LinkService for Links {
    async fn create_ticket_link(
        &self,
        request: Request<proto::CreateTicketLinkRequest>,
    ) -> Answer<proto::CreateTicketLinkResponse> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        let asked = request.get_ref();
        let ticket = self.ticket(caller, &asked.ticket_id).await?;
        let link = self.create(caller, &ticket, asked).await?;
        let base = self.config.base_url.trim_end_matches('/');
        let token = token::of(&self.signer, link.id);
        Ok(Response::new(proto::CreateTicketLinkResponse {
            link: Some(link.into()),
            url: format!("{base}/t/{token}"),
        }))
    }

    async fn list_ticket_links(
        &self,
        request: Request<proto::ListTicketLinksRequest>,
    ) -> Answer<proto::ListTicketLinksResponse> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        let request = request.get_ref();
        let ticket = self.ticket(caller, &request.ticket_id).await?.id;
        let size = page::size(request.page_size, 50, PAGE)?;
        let query = format!("links {ticket}");
        let after = page::decode(&query, &request.page_token)?;
        let links = store::list(self.db.pool(), ticket, after, size + 1).await;
        let mut links = links.map_err(ApiError::from)?;
        let more = page::cut(&mut links, size);
        let last = links.last().filter(|_| more);
        let position = last.map(|it| (it.created_at.to_jiff().as_microsecond(), it.id));
        Ok(Response::new(proto::ListTicketLinksResponse {
            next_page_token: position.map_or_else(String::new, |it| page::encode(&query, it)),
            links: links.into_iter().map(Into::into).collect(),
        }))
    }

    async fn revoke_ticket_link(
        &self,
        request: Request<proto::RevokeTicketLinkRequest>,
    ) -> Answer<proto::RevokeTicketLinkResponse> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        let request = request.get_ref();
        let ticket = self.ticket(caller, &request.ticket_id).await?.id;
        let link = optional_uuid("link_id", &request.link_id)?;
        let (known, ended) = self.revoke(caller, ticket, link).await?;
        if !known && link.is_some() {
            return Err(ApiError::not_found("link", &request.link_id).into());
        }
        Ok(Response::new(proto::RevokeTicketLinkResponse {
            revoked: i32::try_from(ended).unwrap_or(i32::MAX),
        }))
    }
}

impl Links {
    /// The ticket that a caller names and sees.
    async fn ticket(&self, caller: &Caller, text: &str) -> Result<Ticket, ApiError> {
        let (id, number) = match text.strip_prefix('#') {
            Some(number) => {
                let bad =
                    |_| ApiError::invalid("ticket_id", format!("'{text}' is not a ticket number"));
                (None, Some(number.parse().map_err(bad)?))
            }
            None => (Some(uuid("ticket_id", text)?), None),
        };
        let found = store::ticket(self.db.pool(), id, number).await?;
        let visibility = caller.visibility();
        let seen =
            found.filter(|it| visibility.sees(it.team, it.assignee, it.restricted_to.as_deref()));
        seen.ok_or_else(|| ApiError::not_found("ticket", text))
    }

    async fn create(
        &self,
        caller: &Caller,
        ticket: &Ticket,
        asked: &proto::CreateTicketLinkRequest,
    ) -> Result<Link, ApiError> {
        let refused = |reason, message: &str| {
            let message = message.to_owned();
            Err(ApiError::FailedPrecondition { reason, message })
        };
        if self.config.base_url.is_empty() {
            let why = "public_links.base_url says where customers reach this server: it is not set";
            return refused("LINKS_NOT_CONFIGURED", why);
        }
        if ticket.restricted_to.is_some() {
            return refused(
                "TICKET_RESTRICTED",
                "a restricted ticket is shown to nobody outside",
            );
        }
        if ticket.is_merged {
            return refused(
                "TICKET_MERGED",
                "it became part of another ticket: make a link of that",
            );
        }
        let now = self.clock.now();
        let new = New {
            id: new_uuid(self.clock.as_ref(), self.rng.as_ref()),
            ticket: ticket.id,
            contact: ticket.contact_id,
            by: name_of(caller),
            expires: self.expiry(asked, now)?,
            request_id: request_id(&asked.request_id)?,
            max_links: self.config.max_links.into(),
        };
        let by = actor_of(caller);
        let made = self
            .db
            .tx("publiclink.create", |tx| {
                let (log, new, by) = (self.log(), new.clone(), by.clone());
                Box::pin(async move {
                    // One at a time for a ticket: two must not both be the last.
                    let mut ticket = log::hold(tx, new.ticket).await?;
                    let made = store::insert(tx, &new, now).await?;
                    if let Some(link) = made.as_ref().filter(|it| it.id == new.id) {
                        log.made(tx, &mut ticket, link, &by, now).await?;
                    }
                    Ok::<_, TicketError>(made)
                })
            })
            .await;
        match made? {
            Some(link) => Ok(link),
            None => refused(
                "TOO_MANY_LINKS",
                "the ticket has many links already: revoke some",
            ),
        }
    }

    fn log(&self) -> Log {
        Log {
            bus: self.bus.clone(),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
        }
    }

    /// Ends one link of a ticket, or all; says whether there is such a link, and how many ended.
    async fn revoke(
        &self,
        caller: &Caller,
        ticket: Uuid,
        link: Option<Uuid>,
    ) -> Result<(bool, usize), ApiError> {
        let (name, by, now) = (name_of(caller), actor_of(caller), self.clock.now());
        let done = self
            .db
            .tx("publiclink.revoke", |tx| {
                let (log, name, by) = (self.log(), name.clone(), by.clone());
                Box::pin(async move {
                    let mut ticket = log::hold(tx, ticket).await?;
                    let (known, ended) = store::revoke(tx, ticket.id, link, &name, now).await?;
                    log.ended(tx, &mut ticket, &ended, &by, now).await?;
                    Ok::<_, TicketError>((known, ended.len()))
                })
            })
            .await;
        Ok(done?)
    }

    fn expiry(
        &self,
        asked: &proto::CreateTicketLinkRequest,
        now: Timestamp,
    ) -> Result<Timestamp, ApiError> {
        let days = |days: u32| SignedDuration::from_hours(24 * i64::from(days));
        let after = |days: SignedDuration| now.saturating_add(days).unwrap_or(Timestamp::MAX);
        let Some(wanted) = asked.expire_time.as_ref().map(from_proto_time) else {
            return Ok(after(days(self.config.valid_days)));
        };
        if wanted <= now || wanted > after(days(MAX_DAYS)) {
            let why = format!("must lie in the next {MAX_DAYS} days");
            return Err(ApiError::invalid("expire_time", why));
        }
        Ok(wanted)
    }
}

/// The agent, or the token, that calls.
fn name_of(caller: &Caller) -> String {
    let agent = caller.agent_id.map(|agent| agent.to_string());
    agent.unwrap_or_else(|| caller.token_id.clone())
}

fn request_id(text: &str) -> Result<Option<String>, ApiError> {
    if text.len() > MAX_REQUEST_ID || text.contains(char::is_control) {
        let wanted = format!("up to {MAX_REQUEST_ID} printable characters, e.g. a UUID");
        return Err(ApiError::invalid("request_id", wanted));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

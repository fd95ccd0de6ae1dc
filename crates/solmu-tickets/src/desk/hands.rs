//! What the desk does to tickets.

use std::sync::Arc;

use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use solmu_runtime::{ApiError, access::Caller, page};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{Many, Named, Opening, Requester, Strangers, many, open};
use crate::{
    api::{restrict, update},
    change,
    command::{self, Writing},
    config::Config,
    context::Context,
    edit::{self, Update},
    error::TicketError,
    events::EventSink,
    list,
    model::{self, Ticket, lock_one},
    search::{Selection, Written},
    sight::{self, seen_ticket},
    tasks,
};

/// The ticket service, as the desk uses it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hands {
    context: Arc<Context>,
}

/// A ticket that the present transaction has locked.
#[derive(Debug, Clone)]
pub struct Held(Ticket);

impl Held {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.0.id
    }

    /// The version as an AIP-154 etag.
    #[must_use]
    pub fn etag(&self) -> String {
        self.0.etag()
    }

    /// What the API shows of it, without the name of its contact.
    #[must_use]
    pub fn view(&self) -> proto::Ticket {
        self.0.view(String::new())
    }
}

/// A page of what a filter selects, the oldest first.
#[derive(Debug)]
pub struct Picked {
    /// The tickets, without the names of their contacts.
    pub tickets: Vec<proto::Ticket>,
    /// Where the next page begins; empty after the last one.
    pub next_page_token: String,
}

impl Hands {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// The configuration of the ticket service.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.context.config
    }

    /// The id of a ticket that is named by id or by `#number`; NOT_FOUND unless the caller sees it.
    pub async fn seen(&self, caller: &Caller, named: &str) -> Result<Uuid, ApiError> {
        seen_ticket(&self.context, caller, named).await
    }

    /// A ticket as the API shows it.
    pub async fn shown(&self, id: Uuid) -> Result<proto::Ticket, ApiError> {
        list::ticket(self.context.db.pool(), &id.to_string()).await
    }

    /// A ticket that the caller has changed, as the API shows it to them: a rule may have restricted it to others for that.
    pub async fn shown_to(&self, caller: &Caller, id: Uuid) -> Result<proto::Ticket, ApiError> {
        let ticket = self.shown(id).await?;
        restrict::answer(&self.context, caller, ticket).await
    }

    /// Whether there is such a ticket.
    pub async fn exists(&self, id: Uuid) -> Result<bool, TicketError> {
        let exists = sqlx::query_scalar("SELECT EXISTS (SELECT FROM tickets.ticket WHERE id = $1)")
            .bind(id)
            .fetch_one(self.context.db.pool())
            .await?;
        Ok(exists)
    }

    /// A page of the tickets that a filter selects of those that the caller sees, the oldest first.
    pub async fn select(
        &self,
        caller: &Caller,
        (filter, time_zone): (&str, &str),
        page_token: &str,
        limit: i64,
    ) -> Result<Picked, ApiError> {
        let asked = format!("pick {filter} {time_zone}");
        let after: Option<(Option<i64>, Uuid)> = page::decode(&asked, page_token)?;
        let selection = self.selection(caller, filter, time_zone).await?;
        let pool = self.context.db.reads();
        let order = list::Order::Oldest;
        let mut tickets = list::selected(pool, &selection, order, after, limit + 1).await?;
        let more = page::cut(&mut tickets, limit);
        let next_page_token = match tickets.last().filter(|_| more) {
            Some(last) => page::encode(&asked, (Some(last.created_at.as_microsecond()), last.id)),
            None => String::new(),
        };
        Ok(Picked {
            tickets: tickets.iter().map(|it| it.view(String::new())).collect(),
            next_page_token,
        })
    }

    /// How many tickets that the caller sees a filter selects; counted up to `most`.
    pub async fn count(
        &self,
        caller: &Caller,
        (filter, time_zone): (&str, &str),
        most: i64,
    ) -> Result<i64, ApiError> {
        let selection = self.selection(caller, filter, time_zone).await?;
        let mut query: QueryBuilder<Postgres> =
            QueryBuilder::new("SELECT count(*) FROM (SELECT 1 FROM tickets.ticket WHERE ");
        selection.push(&mut query)?;
        query.push(" LIMIT ").push_bind(most).push(") AS counted");
        let counted = query
            .build_query_scalar()
            .persistent(false)
            .fetch_one(self.context.db.reads())
            .await;
        Ok(counted.map_err(TicketError::from)?)
    }

    async fn selection(
        &self,
        caller: &Caller,
        filter: &str,
        time_zone: &str,
    ) -> Result<Selection, ApiError> {
        let written = Written {
            filter,
            time_zone,
            caller: Some(caller),
        };
        Selection::read(&self.context, written).await
    }

    /// Makes the change of an `UpdateTicket` call, in a transaction of its own.
    pub async fn update(
        &self,
        request: proto::UpdateTicketRequest,
        by: Actor,
    ) -> Result<proto::Ticket, ApiError> {
        update::ticket(&self.context, request, by).await
    }

    /// Makes the same change on several tickets in one transaction, each judged by itself: says of each, in their order,
    /// its etag or why it was not changed. An error of the whole means that nothing was changed.
    pub async fn update_many(
        &self,
        many: &Arc<Many>,
    ) -> Result<Vec<Result<String, ApiError>>, ApiError> {
        Ok(many::update(&self.context, many).await?)
    }

    /// The ids of tickets that are named by id or by `#number`, each as [`Self::seen`] says it, in few statements.
    pub async fn seen_all(
        &self,
        caller: &Caller,
        named: &[String],
    ) -> Result<Vec<Result<Uuid, ApiError>>, ApiError> {
        sight::seen_tickets(&self.context, caller, named).await
    }

    /// What is wrong with a change before there is a ticket.
    pub fn check_change(&self, wanted: &proto::Ticket, mask: &[String]) -> Result<(), ApiError> {
        update::edit_of(wanted, mask).map(drop)
    }

    /// Locks a ticket that stands for itself.
    pub async fn hold(&self, tx: &mut PgConnection, id: Uuid) -> Result<Held, TicketError> {
        lock_one(tx, id).await.map(Held)
    }

    /// Locks a ticket, also one that became part of another.
    pub async fn hold_any(&self, tx: &mut PgConnection, id: Uuid) -> Result<Held, TicketError> {
        let found = model::lock(tx, &[id]).await?.pop();
        found
            .map(Held)
            .ok_or_else(|| TicketError::UnknownTicket(id.to_string()))
    }

    /// Whether something was done to a locked ticket under this request id before. `digest` says what; another one under
    /// the same id is REQUEST_ID_REUSED.
    pub async fn is_repeat(
        &self,
        tx: &mut PgConnection,
        held: &Held,
        request_id: &str,
        digest: &[u8],
    ) -> Result<bool, TicketError> {
        let now = self.context.clock.now();
        change::is_repeat(tx, held.id(), request_id, digest, now).await
    }

    /// Those of `named` that are not there, as far as anybody can say. No transaction may be open.
    pub async fn strangers(&self, named: &[Named]) -> Strangers {
        self.context.roster.strangers(named).await
    }

    /// Changes what `mask` names, as `UpdateTicket` does; `parent_id` is left as it is. The owner may be none of `strangers`.
    pub async fn edit(
        &self,
        tx: &mut PgConnection,
        ticket: Uuid,
        (wanted, mask, strangers): (&proto::Ticket, &[String], &Strangers),
        (by, reason): (&Actor, &str),
    ) -> Result<(), ApiError> {
        let (mut edit, _) = update::edit_of(wanted, mask)?;
        edit.strangers = strangers.clone();
        let update = Update {
            ticket,
            edit,
            parent: None,
            etag: String::new(),
            request: None,
            by: by.clone(),
        };
        Ok(edit::update_because(tx, &self.context, &update, reason).await?)
    }

    /// Writes an answer or a note; returns its message id.
    pub async fn write(
        &self,
        tx: &mut PgConnection,
        writing: &Writing,
        reason: &str,
    ) -> Result<Uuid, TicketError> {
        command::write_because(tx, &self.context, writing, reason).await
    }

    /// Tells a change of a locked ticket that only its version shows.
    pub async fn tell(
        &self,
        tx: &mut PgConnection,
        held: &mut Held,
        told: proto::FieldChange,
        (by, reason): (&Actor, &str),
    ) -> Result<(), TicketError> {
        let (context, ticket) = (&self.context, &mut held.0);
        let now = context.clock.now();
        let (clock, rng) = (context.clock.as_ref(), context.rng.as_ref());
        let events = EventSink::new(&context.bus, clock, rng, now);
        let told = vec![told];
        change::tell_alone(tx, ticket, told, (by, reason), (events, rng), now).await
    }

    /// Adds a task to a ticket.
    pub async fn add_task(
        &self,
        tx: &mut PgConnection,
        ticket: Uuid,
        task: &proto::Task,
        by: &Actor,
    ) -> Result<proto::Task, TicketError> {
        let wanted = tasks::Wanted::of(task, true)?;
        tasks::create_in(tx, &self.context, ticket, &wanted, None, by).await
    }

    /// A contact for whom tickets can be opened, kept from being erased until the transaction is over.
    pub async fn requester(
        &self,
        tx: &mut PgConnection,
        contact: Uuid,
    ) -> Result<Requester, ApiError> {
        open::requester(tx, contact).await
    }

    /// The number of the next ticket.
    pub async fn next_number(&self, tx: &mut PgConnection) -> Result<i64, TicketError> {
        let number = sqlx::query_scalar("SELECT nextval('tickets.ticket_number')")
            .fetch_one(tx)
            .await?;
        Ok(number)
    }

    /// Opens a ticket for somebody who has not written.
    pub async fn open(
        &self,
        tx: &mut PgConnection,
        requester: &Requester,
        opening: Opening<'_>,
    ) -> Result<(), ApiError> {
        open::open(tx, &self.context, requester, opening).await
    }
}

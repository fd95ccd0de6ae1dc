//! The same change of many tickets in one transaction, each judged by itself.
//!
//! The rules are those of one change, in the same order: the request id, the etag, what may be set; the log and the events
//! are those of one change, too. Only the statements are shared: all tickets are locked, looked at and written together,
//! and one disk sync makes all of it last. A ticket that cannot be changed stays as it was and holds up no other one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use prost_types::FieldMask;
use solmu_db::{HasDbError as _, ToSqlx as _};
use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use solmu_runtime::ApiError;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    activity,
    api::update,
    change,
    context::Context,
    edit::{self, Edit},
    error::TicketError,
    events::EventSink,
    looked::Looked,
    model::{self, Ticket},
    restrict,
};

/// A change of several tickets.
#[derive(Debug)]
pub struct Many {
    /// Each with the etag of the version that was looked at; empty: whatever it is.
    tickets: Vec<(Uuid, String)>,
    wanted: proto::Ticket,
    mask: Option<FieldMask>,
    edit: Edit,
    request_id: Option<String>,
    by: Actor,
}

impl Many {
    /// The change that `request` asks for, if many tickets can be changed so together: not what makes them part of another
    /// ticket, and not what is wrong with any ticket.
    #[must_use]
    pub fn of(
        tickets: Vec<(Uuid, String)>,
        request: &proto::BulkUpdateRequest,
        request_id: Option<String>,
        by: Actor,
    ) -> Option<Self> {
        let wanted = request.ticket.clone()?;
        let mask = request.update_mask.clone();
        let paths = match &mask {
            Some(mask) if !mask.paths.is_empty() => mask.paths.clone(),
            _ => update::set_paths(&wanted),
        };
        let (edit, None) = update::edit_of(&wanted, &paths).ok()? else {
            return None;
        };
        Some(Self {
            tickets,
            wanted,
            mask,
            edit,
            request_id,
            by,
        })
    }

    fn ids(&self) -> Vec<Uuid> {
        let ids: BTreeSet<Uuid> = self.tickets.iter().map(|(id, _)| *id).collect();
        ids.into_iter().collect()
    }

    fn digest(&self, id: Uuid) -> Vec<u8> {
        let wanted = proto::Ticket {
            id: id.to_string(),
            ..self.wanted.clone()
        };
        update::digest(wanted, self.mask.clone())
    }
}

/// What becomes of each.
type Outcomes = Vec<Result<String, ApiError>>;

pub(super) async fn update(
    context: &Arc<Context>,
    many: &Arc<Many>,
) -> Result<Outcomes, TicketError> {
    let mut edit = many.edit.clone();
    edit.look_up(&context.roster, update::OWNER_FIELDS).await;
    let edit = Arc::new(edit);
    context
        .db
        .tx("ticket.update_many", |tx| {
            let (context, many, edit) = (context.clone(), many.clone(), edit.clone());
            Box::pin(async move { update_in(tx, &context, &many, &edit).await })
        })
        .await
}

async fn update_in(
    tx: &mut PgConnection,
    context: &Context,
    many: &Many,
    edit: &Edit,
) -> Result<Outcomes, TicketError> {
    let now = context.clock.now();
    let ids = many.ids();
    let locked = model::lock(tx, &ids).await?;
    let mut tickets: BTreeMap<Uuid, Ticket> = locked.into_iter().map(|it| (it.id, it)).collect();
    let known = known(tx, many, &ids).await?;
    let (clock, rng) = (context.clock.as_ref(), context.rng.as_ref());
    let mut batch = Batch {
        context,
        many,
        edit,
        now,
        known,
        looked: Looked::of(ids),
        events: EventSink::new(&context.bus, clock, rng, now),
        made: BTreeSet::new(),
        changed: BTreeSet::new(),
    };
    let mut outcomes = Vec::with_capacity(many.tickets.len());
    for (id, etag) in &many.tickets {
        let outcome = match tickets.get_mut(id) {
            Some(ticket) => batch.one(tx, ticket, etag).await,
            None => Err(TicketError::UnknownTicket(id.to_string())),
        };
        if let Ok(Some(before)) = &outcome {
            batch.ask_rules(tx, before, &mut tickets).await?;
        }
        match outcome {
            // The transaction is lost, and with it all of them.
            Err(error) if error.db_error().is_some() => return Err(error),
            Err(error) => outcomes.push(Err(error.into())),
            Ok(_) => outcomes.push(Ok(tickets.get(id).map(Ticket::etag).unwrap_or_default())),
        }
    }
    let (made, changed) = (&batch.made, &batch.changed);
    remember(tx, many, made, now).await?;
    let changed: Vec<&Ticket> = changed.iter().filter_map(|id| tickets.get(id)).collect();
    if !changed.is_empty() {
        model::update(tx, &changed).await?;
        activity::commit(tx, batch.events.rows(), rng, now).await?;
    }
    Ok(outcomes)
}

/// Digests of what was done to the tickets under the request id before.
async fn known(
    tx: &mut PgConnection,
    many: &Many,
    ids: &[Uuid],
) -> Result<BTreeMap<Uuid, Vec<u8>>, TicketError> {
    let Some(request_id) = &many.request_id else {
        return Ok(BTreeMap::new());
    };
    let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
        "SELECT ticket_id, digest FROM tickets.change_request WHERE ticket_id = ANY($1) AND request_id = $2",
    )
    .bind(ids)
    .bind(request_id)
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Remembers what was done under the request id.
async fn remember(
    tx: &mut PgConnection,
    many: &Many,
    made: &BTreeSet<Uuid>,
    now: Timestamp,
) -> Result<(), TicketError> {
    let Some(request_id) = &many.request_id else {
        return Ok(());
    };
    let digests: Vec<Vec<u8>> = made.iter().map(|id| many.digest(*id)).collect();
    sqlx::query(
        "INSERT INTO tickets.change_request (ticket_id, request_id, digest, created_at)
         SELECT id, $3, digest, $4 FROM unnest($1::uuid[], $2::bytea[]) AS new (id, digest)",
    )
    .bind(made.iter().copied().collect::<Vec<_>>())
    .bind(digests)
    .bind(request_id)
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// The tickets of one transaction, one after the other.
struct Batch<'a> {
    context: &'a Context,
    many: &'a Many,
    /// Its change, with who is not there.
    edit: &'a Edit,
    now: Timestamp,
    /// Made under the request id before.
    known: BTreeMap<Uuid, Vec<u8>>,
    looked: Looked,
    events: EventSink<'a>,
    /// Made under the request id here.
    made: BTreeSet<Uuid>,
    changed: BTreeSet<Uuid>,
}

impl Batch<'_> {
    /// Changes a locked ticket, or leaves it as it is and says why. Returns it as it was, if it was changed.
    async fn one(
        &mut self,
        tx: &mut PgConnection,
        ticket: &mut Ticket,
        etag: &str,
    ) -> Result<Option<Ticket>, TicketError> {
        if let Some(target) = ticket.merged_into {
            return Err(TicketError::Merged { target });
        }
        if self.is_repeat(ticket.id)? {
            return Ok(None);
        }
        if !etag.is_empty() && etag != ticket.etag() {
            return Err(TicketError::Stale {
                current: ticket.version,
            });
        }
        let before = ticket.clone();
        let (context, edit) = (self.context, self.edit);
        let set = edit::set(tx, context, &mut self.looked, ticket, edit, self.now).await;
        if let Err(error) = set {
            *ticket = before;
            return Err(error);
        }
        let by = &self.many.by;
        let changed = change::tell(&before, ticket, by, "by hand", self.now, &mut self.events);
        if changed {
            ticket.touched = true;
            self.looked.changed(ticket);
            self.changed.insert(ticket.id);
        }
        if self.many.request_id.is_some() {
            self.made.insert(ticket.id);
        }
        Ok(changed.then_some(before))
    }

    /// Asks the rules that restrict tickets about one that changed.
    async fn ask_rules(
        &mut self,
        tx: &mut PgConnection,
        before: &Ticket,
        tickets: &mut BTreeMap<Uuid, Ticket>,
    ) -> Result<(), TicketError> {
        let (looked, events) = (&mut self.looked, &mut self.events);
        let held = tickets.values_mut().collect();
        let changed = restrict::later::changed(tx, looked, before, held, events, self.now).await?;
        self.changed.extend(changed);
        Ok(())
    }

    fn is_repeat(&self, ticket: Uuid) -> Result<bool, TicketError> {
        match self.known.get(&ticket) {
            Some(known) if *known == self.many.digest(ticket) => Ok(true),
            Some(_) => Err(change::reused()),
            None => Ok(self.made.contains(&ticket)),
        }
    }
}

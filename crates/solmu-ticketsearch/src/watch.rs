//! Changes as they happen, from a cursor on.
//!
//! The stream of ticket events on the bus is the log that is followed: it has one order, and every replica can serve
//! any watcher from it. A stream ends when the process drains; its watcher goes on elsewhere from its last cursor.

mod summary;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{Stream, StreamExt as _};
use solmu_bus::{
    EventBody as _, Family, ReceivedEvent,
    envelope::to_proto_time,
    tail::{Cursor, TailError},
};
use solmu_proto::ticket::v1::{self as proto, WatchTicketsResponse};
use solmu_runtime::{
    ApiError,
    access::Caller,
    request::{optional_uuid, uuid},
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    context::Context,
    list,
    search::{Selection, Written},
    sight,
};

/// Tickets that a filtered stream knows at its beginning: as many as the first pages of a list.
const KNOWN_AT_FIRST: i64 = 1_000;
/// Tickets that it remembers to have told of, so that it can say when one leaves.
const KNOWN_AT_MOST: usize = 20_000;

/// What a watcher wants to hear of.
struct Wanted {
    caller: Caller,
    selection: Selection,
    /// Tickets that the watcher may show: it is told when one of them leaves the selection.
    known: Mutex<HashSet<Uuid>>,
}

impl Wanted {
    async fn new(
        context: &Context,
        selection: Selection,
        caller: Caller,
    ) -> Result<Self, ApiError> {
        let order = list::Order::Urgency;
        let first = if selection.is_every_team() {
            Vec::new()
        } else {
            list::selected(context.db.reads(), &selection, order, None, KNOWN_AT_FIRST).await?
        };
        Ok(Self {
            caller,
            selection,
            known: Mutex::new(first.into_iter().map(|ticket| ticket.id).collect()),
        })
    }

    /// Whether a change of the ticket is told, and if so, whether it has left: for who sees every team's tickets also by
    /// becoming `restricted_now`.
    async fn asks(
        &self,
        context: &Context,
        ticket: &proto::Ticket,
        restricted_now: bool,
    ) -> Result<Option<bool>, ApiError> {
        let every = self.selection.is_every_team();
        if every && (!ticket.restricted || self.selection.sees_everything()) {
            return Ok(Some(false));
        }
        let ticket = uuid("id", &ticket.id)?;
        let found = list::among(context.db.reads(), &self.selection, &[ticket]).await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_empty() {
            let left = known.remove(&ticket) || (every && restricted_now);
            return Ok(left.then_some(true));
        }
        if known.len() < KNOWN_AT_MOST {
            known.insert(ticket);
        }
        Ok(Some(false))
    }
}

/// Follows the changes of all tickets, of those that a filter selects, or of one.
pub async fn watch(
    context: Arc<Context>,
    request: proto::WatchTicketsRequest,
    caller: Caller,
) -> Result<impl Stream<Item = Result<WatchTicketsResponse, Status>> + Send, ApiError> {
    let after = parse_cursor(&request.cursor)?;
    let written = Written {
        filter: &request.filter,
        time_zone: &request.time_zone,
        caller: Some(&caller),
    };
    let selection = Selection::read(&context, written).await?;
    let events = context
        .bus
        .tail(Family::Tickets, after)
        .await
        .map_err(|error| match error {
            TailError::TooOld => ApiError::FailedPrecondition {
                reason: "CURSOR_TOO_OLD",
                message: "the cursor is too old: list the tickets, then watch without a cursor"
                    .to_owned(),
            },
            TailError::Bus(error) => ApiError::unavailable(error),
        })?;
    // Once the events flow, so that none between both is missed.
    let wanted = Arc::new(Wanted::new(&context, selection, caller).await?);
    let only = optional_uuid("ticket_id", &request.ticket_id)?
        .map(|id| id.to_string())
        .unwrap_or_default();
    let drain = context.drained();
    Ok(events
        .filter(move |(_, event)| std::future::ready(only.is_empty() || event.subject == only))
        .then(move |(cursor, event)| response(context.clone(), wanted.clone(), cursor, event))
        .filter_map(|told| std::future::ready(told.transpose()))
        .take_until(drain))
}

fn parse_cursor(text: &str) -> Result<Option<Cursor>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text.split_once('.').and_then(|(sequence, place)| {
        Some(Cursor {
            sequence: sequence.parse().ok()?,
            place: place.parse().ok()?,
        })
    });
    parsed.map(Some).ok_or_else(|| {
        ApiError::invalid(
            "cursor",
            "not a cursor of a watch; leave it empty to begin now",
        )
    })
}

async fn response(
    context: Arc<Context>,
    wanted: Arc<Wanted>,
    cursor: Cursor,
    event: ReceivedEvent,
) -> Result<Option<WatchTicketsResponse>, Status> {
    let ticket = match list::ticket(context.db.pool(), &event.subject).await {
        Ok(ticket) => Some(ticket),
        // A quarantined message has no ticket.
        Err(ApiError::NotFound { .. } | ApiError::InvalidArgument { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let left = match &ticket {
        Some(ticket) => {
            let restricted_now = is_restriction(&event);
            wanted.asks(&context, ticket, restricted_now).await?
        }
        None => wanted.selection.is_every_team().then_some(false),
    };
    let Some(left) = left else { return Ok(None) };
    // Who no longer sees a ticket is told that, and nothing of what it is now.
    let hidden = left && {
        let id = uuid("id", &event.subject)?;
        let seen = sight::among(context.db.pool(), &wanted.caller, &[id]).await?;
        seen.is_empty()
    };
    let summary = if hidden {
        String::new()
    } else {
        summary::of(&context, &event, &wanted.caller).await?
    };
    let ticket = ticket.map(|ticket| {
        if hidden {
            proto::Ticket {
                id: ticket.id,
                number: ticket.number,
                ..proto::Ticket::default()
            }
        } else {
            ticket
        }
    });
    Ok(Some(WatchTicketsResponse {
        cursor: format!("{}.{}", cursor.sequence, cursor.place),
        summary,
        event_type: event.event_type,
        event_time: Some(to_proto_time(event.time)),
        ticket,
        left,
    }))
}

/// Whether the event tells that a ticket which was not restricted is so now.
fn is_restriction(event: &ReceivedEvent) -> bool {
    let read = || event.decode::<proto::TicketChanged>().ok();
    event.event_type == proto::TicketChanged::TYPE
        && read().is_some_and(|body| {
            let mut all = body.changes.iter();
            all.any(|it| it.field == "restricted" && it.from.is_empty())
        })
}

//! Tickets that sleep: until a time, or until the customer writes.
//!
//! A ticket sleeps only while it waits for somebody else, and whatever ends the waiting ends the sleep: an answer of the
//! customer or of an expert, a status by hand, a merge. So no way of waking can be forgotten, and the SLA pauses as it
//! does for any ticket that waits.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use solmu_domain::ticket::Status;
use solmu_proto::types::v1::Actor;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    activity,
    calls::Asked,
    change::{made_before, tell},
    context::Context,
    error::TicketError,
    events::EventSink,
    model::{self, Snooze, Ticket, lock_one, waits},
};

/// Longest sleep: what is further away is a mistake.
const LONGEST: SignedDuration = SignedDuration::from_hours(2 * 366 * 24);

/// What somebody wants of a ticket.
#[derive(Debug, Clone)]
pub enum Wish {
    /// Until a time, or until the customer writes; waiting for whom, where the ticket does not wait yet; etag.
    Sleep(Option<Timestamp>, Option<Status>, String),
    /// No more.
    Wake,
}

/// Lets the ticket sleep, or wakes it.
pub async fn set(
    context: &Arc<Context>,
    ticket: Uuid,
    wish: Wish,
    asked: Option<Asked>,
    by: Actor,
) -> Result<(), TicketError> {
    let input = Arc::new((wish, asked, by));
    context
        .db
        .tx("ticket.snooze", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move {
                let (wish, asked, by) = input.as_ref();
                let (mut ticket, now) = (lock_one(tx, ticket).await?, context.clock.now());
                if made_before(tx, ticket.id, asked.as_ref(), now).await? {
                    return Ok(());
                }
                set_in(tx, &context, &mut ticket, wish, by).await
            })
        })
        .await
}

async fn set_in(
    tx: &mut PgConnection,
    context: &Context,
    ticket: &mut Ticket,
    wish: &Wish,
    by: &Actor,
) -> Result<(), TicketError> {
    let now = context.clock.now();
    let before = ticket.clone();
    match wish {
        Wish::Sleep(until, status, etag) => {
            if !etag.is_empty() && *etag != ticket.etag() {
                let current = ticket.version;
                return Err(TicketError::Stale { current });
            }
            sleep(ticket, *until, *status, now)?;
        }
        Wish::Wake => wake(ticket),
    }
    let (clock, rng) = (context.clock.as_ref(), context.rng.as_ref());
    let mut events = EventSink::new(&context.bus, clock, rng, now);
    if tell(&before, ticket, by, "by hand", now, &mut events) {
        ticket.touched = true;
        model::update(tx, &[ticket]).await?;
        activity::commit(tx, events.rows(), rng, now).await?;
    }
    Ok(())
}

fn sleep(
    ticket: &mut Ticket,
    until: Option<Timestamp>,
    status: Option<Status>,
    now: Timestamp,
) -> Result<(), TicketError> {
    if !ticket.status.is_open() {
        let why = format!("a {} ticket cannot sleep", ticket.status);
        return Err(TicketError::refused("NOT_OPEN", why));
    }
    if let Some(at) = until
        && (at <= now || at.duration_since(now) > LONGEST)
    {
        let why = "expected a time in the future, at most two years away";
        return Err(TicketError::invalid("until_time", why));
    }
    if status.is_some_and(|status| !waits(status)) {
        let why = "a ticket sleeps while it waits for the customer or a third party";
        return Err(TicketError::invalid("set_status", why));
    }
    let stays = Some(ticket.status).filter(|it| waits(*it));
    let status = status.or(stays).unwrap_or(Status::WaitingOnThirdParty);
    ticket.status = ticket.status.move_to(status)?;
    ticket.snooze = Some(Snooze(until));
    Ok(())
}

/// Ends the sleep: somebody has to look at it now.
pub fn wake(ticket: &mut Ticket) {
    if ticket.sleeps().is_some() {
        ticket.snooze = None;
        ticket.status = Status::Open;
    }
}

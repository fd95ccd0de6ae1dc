//! Restricted tickets: threats, matters of staff, whatever only named people may see.
//!
//! Who is named stands in two places, written in one transaction: on the ticket, so that every list and search leaves it
//! out in its own SQL, and where every other service can ask it ([`Restriction`]). A restricted ticket always has an owner
//! that is named or a team that is; the router decides within that, and what it decides otherwise is refused.
//!
//! Who restricts a ticket restricts what belongs to it, as far as they see it, and who ends that gives it all back
//! ([`taken`]). It never gets wider by accident: what joins a restricted ticket (a merge), comes out of it (a split, the ticket that
//! follows a closed one) or becomes a part of it is restricted to the same people. Ending it is left to people.

pub mod by_rule;
pub mod later;
mod taken;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use by_rule::ByRule;
use solmu_proto::types::v1::Actor;
use solmu_runtime::access::{Restriction, Visibility};
use sqlx::PgConnection;
use taken::Taken;
use uuid::Uuid;

use crate::{
    activity,
    change::{is_repeat, tell},
    context::Context,
    error::TicketError,
    events::EventSink,
    hierarchy,
    model::{self, Ticket, lock_one},
    strangers::Strangers,
};

/// Tickets that one call restricts: sub-tickets, and what became part of any of them.
const MAX_KIN: usize = 500;

/// A restriction as somebody wants it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The ticket that it is about.
    pub ticket: Uuid,
    /// None: it ends.
    pub restriction: Option<Restriction>,
    /// Why, as it is told.
    pub reason: String,
    /// Of the version that was looked at; empty: whatever it is.
    pub etag: String,
    /// Request id, and a digest of what was asked under it.
    pub request: Option<(String, Vec<u8>)>,
    /// Who wants it.
    pub by: Actor,
    /// What they see: nothing else is restricted.
    pub sight: Visibility,
    /// Whom it names that is not there: such a ticket would be seen by admins alone.
    pub strangers: Strangers,
}

/// Restricts a ticket, or ends that; the same request id does it once.
pub async fn set(context: &Arc<Context>, wanted: Wanted) -> Result<(), TicketError> {
    let wanted = Arc::new(wanted);
    context
        .db
        .tx("ticket.restrict", |tx| {
            let (context, wanted) = (context.clone(), wanted.clone());
            Box::pin(async move { set_in(tx, &context, &wanted).await })
        })
        .await
}

async fn set_in(tx: &mut PgConnection, context: &Context, it: &Wanted) -> Result<(), TicketError> {
    let now = context.clock.now();
    hierarchy::guard(tx).await?;
    let ticket = lock_one(tx, it.ticket).await?;
    if let Some((id, digest)) = &it.request
        && is_repeat(tx, it.ticket, id, digest, now).await?
    {
        return Ok(());
    }
    if !it.etag.is_empty() && it.etag != ticket.etag() {
        return Err(TicketError::Stale {
            current: ticket.version,
        });
    }
    if !it.strangers.is_empty() {
        return Err(TicketError::Invalid(it.strangers.clone().violations()));
    }
    let kin = if it.restriction.is_some() {
        kin(tx, it.ticket).await?
    } else {
        taken::with(tx, it.ticket).await?
    };
    let mut tickets = model::lock(tx, &kin).await?;
    let left = match it.restriction {
        Some(_) => taken::leave_unseen(&it.sight, it.ticket, &mut tickets),
        None => 0,
    };
    let before = tickets.clone();
    // What names others already keeps its own names.
    let names = ticket.restricted_to.clone();
    tickets.retain(|kin| {
        kin.id == it.ticket || kin.restricted_to == names || kin.restricted_to.is_none()
    });
    for ticket in &mut tickets {
        apply(tx, ticket, it.restriction.as_ref()).await?;
    }
    if it.restriction.is_none() {
        taken::give_back(tx, &mut tickets).await?;
    }
    let mut events = EventSink::new(
        &context.bus,
        context.clock.as_ref(),
        context.rng.as_ref(),
        now,
    );
    let mut changed = Vec::new();
    let mut taken = Vec::new();
    for ticket in &mut tickets {
        let Some(old) = before.iter().find(|old| old.id == ticket.id) else {
            continue;
        };
        let reason = told_reason(&it.reason, if ticket.id == it.ticket { left } else { 0 });
        if tell(old, ticket, &it.by, &reason, now, &mut events) {
            ticket.touched = true;
            taken.push(Taken::of(old, ticket));
            changed.push(ticket.id);
        }
    }
    tickets.retain(|ticket| changed.contains(&ticket.id));
    store(tx, &changed, it.restriction.as_ref()).await?;
    if it.restriction.is_some() {
        taken::note(tx, it.ticket, &taken).await?;
    } else {
        later::lift(tx, &changed, &it.by.id, now).await?;
    }
    model::update(tx, &tickets.iter().collect::<Vec<_>>()).await?;
    activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
    Ok(())
}

/// Why, with how many sub-tickets stay as they are.
fn told_reason(reason: &str, left: usize) -> String {
    match left {
        0 => reason.to_owned(),
        1 => format!("{reason} (1 sub-ticket that they do not see stays as it is)"),
        left => format!("{reason} ({left} sub-tickets that they do not see stay as they are)"),
    }
}

/// What became part of a ticket.
async fn shells(tx: &mut PgConnection, ticket: Uuid) -> Result<Vec<Uuid>, TicketError> {
    Ok(sqlx::query_scalar(
        "WITH RECURSIVE family AS (
            SELECT $1::uuid AS id
            UNION SELECT source.id FROM family JOIN tickets.ticket AS source ON source.merged_into = family.id)
         SELECT id FROM family",
    )
    .bind(ticket)
    .fetch_all(tx)
    .await?)
}

/// A ticket, what became part of it, its sub-tickets, and so on.
async fn kin(tx: &mut PgConnection, ticket: Uuid) -> Result<Vec<Uuid>, TicketError> {
    let found: Vec<Uuid> = sqlx::query_scalar(
        "WITH RECURSIVE kin AS (
            SELECT $1::uuid AS id
            UNION SELECT other.id FROM kin
                JOIN tickets.ticket AS other ON other.merged_into = kin.id OR other.parent_id = kin.id)
         SELECT id FROM kin LIMIT $2",
    )
    .bind(ticket)
    .bind(i64::try_from(MAX_KIN + 1).unwrap_or(i64::MAX))
    .fetch_all(tx)
    .await?;
    if found.len() > MAX_KIN {
        let why = format!("it has more than {MAX_KIN} sub-tickets and merged tickets");
        return Err(TicketError::refused("TOO_MANY_SUBTICKETS", why));
    }
    Ok(found)
}

/// Notes on a ticket in memory who sees it, and gives it an owner among them.
async fn apply(
    tx: &mut PgConnection,
    ticket: &mut Ticket,
    restriction: Option<&Restriction>,
) -> Result<(), TicketError> {
    ticket.restricted_to = restriction.map(Restriction::names);
    let Some(it) = restriction else { return Ok(()) };
    if it.admits(ticket.assignee_id, ticket.team_id) {
        if is_outsider(tx, ticket, it).await? {
            ticket.assignee_id = None;
        }
        return Ok(());
    }
    match (it.teams.first(), it.agents.first()) {
        (Some(team), _) => {
            ticket.team_id = Some(*team);
            ticket.assignee_id = None;
        }
        (None, agent) => ticket.assignee_id = agent.copied(),
    }
    Ok(())
}

/// Whether the ticket is in a named team, but with somebody of whom is known that they are in none: they would not see it.
async fn is_outsider(
    tx: &mut PgConnection,
    ticket: &Ticket,
    restriction: &Restriction,
) -> Result<bool, TicketError> {
    let Some(owner) = ticket
        .assignee_id
        .filter(|it| !restriction.agents.contains(it))
    else {
        return Ok(false);
    };
    let found: Option<bool> =
        sqlx::query_scalar("SELECT NOT team_ids && $2 FROM tickets.agent WHERE id = $1")
            .bind(owner)
            .bind(&restriction.teams)
            .fetch_optional(tx)
            .await?;
    Ok(found.unwrap_or(false))
}

/// Writes who sees `tickets`.
async fn store(
    tx: &mut PgConnection,
    tickets: &[Uuid],
    restriction: Option<&Restriction>,
) -> Result<(), TicketError> {
    sqlx::query("UPDATE tickets.ticket SET restricted_to = $2 WHERE id = ANY($1)")
        .bind(tickets)
        .bind(restriction.map(Restriction::names))
        .execute(&mut *tx)
        .await?;
    Ok(Restriction::put(tx, tickets, restriction).await?)
}

/// Whom a ticket names, if it is restricted.
pub async fn restriction_of(
    tx: &mut PgConnection,
    ticket: &Ticket,
) -> Result<Option<Restriction>, TicketError> {
    if ticket.restricted_to.is_none() {
        return Ok(None);
    }
    Ok(Restriction::of(tx, &[ticket.id]).await?.remove(&ticket.id))
}

/// Restricts a locked ticket, unless it is restricted already, to whom `origin` is restricted to.
pub async fn inherit(
    tx: &mut PgConnection,
    ticket: &mut Ticket,
    origin: Option<&Ticket>,
) -> Result<(), TicketError> {
    let Some(origin) = origin.filter(|_| ticket.restricted_to.is_none()) else {
        return Ok(());
    };
    let Some(restriction) = restriction_of(tx, origin).await? else {
        return Ok(());
    };
    if ticket.team_id.is_none() && ticket.assignee_id.is_none() {
        (ticket.team_id, ticket.assignee_id) = (origin.team_id, origin.assignee_id);
    }
    if !hierarchy::children(tx, &[ticket.id], true, 1)
        .await?
        .is_empty()
    {
        let why = "it has sub-tickets: restrict it to the same people first";
        return Err(TicketError::refused("RESTRICT_FIRST", why));
    }
    apply(tx, ticket, Some(&restriction)).await?;
    let family = shells(tx, ticket.id).await?;
    store(tx, &family, Some(&restriction)).await
}

/// Restricts new tickets as the closed ones are that they follow, or as a rule said; in memory they know it already.
#[expect(
    clippy::implicit_hasher,
    reason = "the caller has no hasher of its own"
)]
pub async fn follow_up(
    tx: &mut PgConnection,
    opened: impl Iterator<Item = &Ticket> + Send,
    by_rule: &HashMap<Uuid, ByRule>,
) -> Result<(), TicketError> {
    let restricted = opened.filter(|ticket| ticket.restricted_to.is_some());
    let tickets: Vec<&Ticket> = restricted.collect();
    for ticket in &tickets {
        if let Some(done) = by_rule.get(&ticket.id) {
            store(tx, &[ticket.id], Some(&done.restriction)).await?;
            continue;
        }
        let closed: Vec<Uuid> = ticket.previous_ticket_id.into_iter().collect();
        let known = Restriction::of(tx, &closed).await?;
        store(tx, &[ticket.id], known.values().next()).await?;
    }
    model::update(tx, &tickets).await
}

/// Whether an agent may have a locked ticket: anybody, unless it is restricted to others.
pub async fn may_have(
    tx: &mut PgConnection,
    ticket: &Ticket,
    agent: Uuid,
) -> Result<bool, TicketError> {
    let Some(it) = restriction_of(tx, ticket).await? else {
        return Ok(true);
    };
    let theirs = Ticket {
        assignee_id: Some(agent),
        ..ticket.clone()
    };
    Ok(it.admits(Some(agent), ticket.team_id) && !is_outsider(tx, &theirs, &it).await?)
}

/// Restricts the target of a merge as its sources are. FAILED_PRECONDITION if there is nobody whom all of them name.
pub async fn join(
    tx: &mut PgConnection,
    sources: &[Ticket],
    target: &mut Ticket,
) -> Result<(), TicketError> {
    let restricted = sources
        .iter()
        .chain([&*target])
        .filter(|it| it.restricted_to.is_some());
    let ids: Vec<Uuid> = restricted.map(|it| it.id).collect();
    let known = Restriction::of(tx, &ids).await?;
    let Some(common) = known.into_values().reduce(|one, other| one.common(&other)) else {
        return Ok(());
    };
    if common.is_empty() {
        let why = "they are restricted to different people: restrict them to the same ones first";
        return Err(TicketError::refused("RESTRICTED_APART", why));
    }
    apply(tx, target, Some(&common)).await?;
    // What became part of it before, too: an unmerge would bring that back as open as it was.
    let family = shells(tx, target.id).await?;
    store(tx, &family, Some(&common)).await
}

/// Restricts what became part of a ticket, with all that became part of it before, as that is restricted.
pub async fn follow(tx: &mut PgConnection, source: Uuid, target: Uuid) -> Result<(), TicketError> {
    let known = Restriction::of(tx, &[target]).await?;
    if let Some(restriction) = known.get(&target) {
        let family = shells(tx, source).await?;
        store(tx, &family, Some(restriction)).await?;
    }
    Ok(())
}

/// Refuses an owner of a restricted ticket who is not named and in no team that is.
pub async fn check_owner(tx: &mut PgConnection, ticket: &Ticket) -> Result<(), TicketError> {
    let admitted = restriction_of(tx, ticket).await?;
    if admitted.is_some_and(|it| !it.admits(ticket.assignee_id, ticket.team_id)) {
        let why = "the ticket is restricted: its owner or its team must be named";
        return Err(TicketError::refused("RESTRICTED_OWNER", why));
    }
    Ok(())
}

/// The restrictions of those of `tickets` that have one.
pub async fn among(
    tx: &mut PgConnection,
    tickets: impl Iterator<Item = &Ticket> + Send,
) -> Result<HashMap<Uuid, Restriction>, TicketError> {
    let restricted = tickets.filter(|ticket| ticket.restricted_to.is_some());
    let ids: BTreeSet<Uuid> = restricted.map(|ticket| ticket.id).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    Ok(Restriction::of(tx, &ids).await?)
}

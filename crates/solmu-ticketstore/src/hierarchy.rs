//! Sub-tickets: a ticket that is a part of another one keeps it from being over.
//!
//! A merge leaves these links where they are, as it leaves the ways in: the sub-tickets of a ticket that became part of
//! another one count as those of that one, and taking the merge back restores both sides by itself. What was a sub-ticket
//! and became part of another ticket counts no more; the other one keeps its own parent. So a parent is always looked for
//! through `merged_into`, and whoever asks for children asks for those of the whole family.

use std::collections::BTreeMap;

use solmu_domain::ticket::Status;
use solmu_proto::ticket::v1 as proto;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::TicketError,
    model::{self, Ticket, status_to_proto},
};

/// Levels of tickets, the topmost one counted.
const MAX_LEVELS: usize = 5;
/// Sub-tickets of one ticket.
pub const MAX_CHILDREN: i64 = 100;

/// Lets nobody else change who is whose part until the transaction is over: two changes far apart could close a ring.
/// Taken before any ticket is locked. Such changes are rare, so that one lock for all of them costs nothing.
pub async fn guard(tx: &mut PgConnection) -> Result<(), TicketError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('tickets.hierarchy', 0))")
        .execute(tx)
        .await?;
    Ok(())
}

/// Locks a ticket and what is to be its parent.
pub async fn lock_pair(
    tx: &mut PgConnection,
    child: Uuid,
    parent: Uuid,
) -> Result<(Ticket, Ticket), TicketError> {
    if child == parent {
        return Err(own_part());
    }
    let mut tickets = model::lock(tx, &[child, parent]).await?;
    if let Some(target) = tickets.iter().find_map(|it| it.merged_into) {
        return Err(TicketError::Merged { target });
    }
    tickets.sort_by_key(|it| it.id != child);
    match <[Ticket; 2]>::try_from(tickets) {
        Ok([child, parent]) => Ok((child, parent)),
        Err(found) => {
            let missing = if found.iter().any(|it| it.id == child) {
                parent
            } else {
                child
            };
            Err(TicketError::UnknownTicket(missing.to_string()))
        }
    }
}

fn own_part() -> TicketError {
    TicketError::refused("PARENT_LOOP", "a ticket cannot be a part of itself")
}

/// Makes `child` a part of `parent`, or of nothing. Both are locked, under [`guard`]; `status` is what the child gets in
/// the same change.
pub async fn attach(
    tx: &mut PgConnection,
    child: &mut Ticket,
    parent: Option<&mut Ticket>,
    status: Option<Status>,
) -> Result<(), TicketError> {
    let Some(parent) = parent else {
        child.parent_id = None;
        return Ok(());
    };
    if child.parent_id == Some(parent.id) {
        return Ok(());
    }
    if !parent.status.is_open() && status.unwrap_or(child.status).is_open() {
        let why = format!(
            "#{} is {}: it cannot get an open sub-ticket",
            parent.number, parent.status
        );
        return Err(TicketError::refused("PARENT_NOT_OPEN", why));
    }
    let above = ancestors(tx, parent.id).await?;
    if above.contains(&child.id) {
        return Err(own_part());
    }
    let count = children(tx, &[parent.id], true, MAX_CHILDREN).await?.len();
    if i64::try_from(count).is_ok_and(|count| count >= MAX_CHILDREN) {
        let why = format!("#{} has {MAX_CHILDREN} sub-tickets already", parent.number);
        return Err(TicketError::refused("TOO_MANY_SUBTICKETS", why));
    }
    let room = MAX_LEVELS.saturating_sub(above.len());
    if !fits(tx, child.id, room).await? {
        let why = format!("there would be more than {MAX_LEVELS} levels of tickets");
        return Err(TicketError::refused("PARENT_TOO_DEEP", why));
    }
    child.parent_id = Some(parent.id);
    // From now on no mail merges it by itself.
    parent.touched = true;
    Ok(())
}

/// The ticket that stands for `id`, what that is a part of, and so on; each as the ticket that stands for it.
pub(crate) async fn ancestors(tx: &mut PgConnection, id: Uuid) -> Result<Vec<Uuid>, TicketError> {
    let mut chain: Vec<Uuid> = Vec::new();
    let mut next = Some(id);
    while let Some(id) = next {
        let found: Option<(Uuid, Option<Uuid>)> = sqlx::query_as(
            "WITH RECURSIVE way AS (
                SELECT id, merged_into, parent_id FROM tickets.ticket WHERE id = $1
                UNION ALL
                SELECT next.id, next.merged_into, next.parent_id FROM way
                    JOIN tickets.ticket AS next ON next.id = way.merged_into)
             SELECT id, parent_id FROM way WHERE merged_into IS NULL",
        )
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((head, parent)) = found else { break };
        // Its parent became part of it: then it has none.
        if chain.contains(&head) || chain.len() > MAX_LEVELS {
            break;
        }
        chain.push(head);
        next = parent;
    }
    Ok(chain)
}

/// The ticket that stands for each of `tickets` now; what does not exist is left out.
pub async fn heads(
    tx: &mut PgConnection,
    tickets: &[Uuid],
) -> Result<BTreeMap<Uuid, Uuid>, TicketError> {
    let found: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "WITH RECURSIVE way AS (
            SELECT id AS wanted, id, merged_into FROM tickets.ticket WHERE id = ANY($1)
            UNION ALL
            SELECT way.wanted, next.id, next.merged_into FROM way
                JOIN tickets.ticket AS next ON next.id = way.merged_into)
         SELECT wanted, id FROM way WHERE merged_into IS NULL",
    )
    .bind(tickets)
    .fetch_all(tx)
    .await?;
    Ok(found.into_iter().collect())
}

/// Whether a ticket with what is below it has at most `room` levels.
async fn fits(tx: &mut PgConnection, id: Uuid, room: usize) -> Result<bool, TicketError> {
    let mut level = vec![id];
    for _ in 0..room {
        let below = children(tx, &level, true, i64::MAX).await?;
        if below.is_empty() {
            return Ok(true);
        }
        level = below.into_iter().map(|child| child.id).collect();
    }
    Ok(false)
}

/// Refuses to make `source` part of `target` where the target would become a part of a part of itself.
pub async fn check_merge(
    tx: &mut PgConnection,
    source: &Ticket,
    target: &Ticket,
) -> Result<(), TicketError> {
    let above = ancestors(tx, target.id).await?;
    // The parent itself may: then the target stands for both.
    if above.iter().skip(2).any(|id| *id == source.id) {
        let why = format!(
            "#{} is a part of a part of #{}",
            target.number, source.number
        );
        return Err(TicketError::refused("PARENT_LOOP", why));
    }
    Ok(())
}

/// Takes the parent from a ticket that stands for itself again, where that came below it meanwhile.
pub async fn untangle(tx: &mut PgConnection, ticket: &mut Ticket) -> Result<(), TicketError> {
    if let Some(parent) = ticket.parent_id
        && ancestors(tx, parent).await?.contains(&ticket.id)
    {
        ticket.parent_id = None;
    }
    Ok(())
}

/// A ticket that is a part of another one.
#[derive(Debug)]
pub struct Child {
    /// Its id.
    pub id: Uuid,
    /// Whose part it is.
    pub head: Uuid,
    /// Its number.
    pub number: i64,
    subject: String,
    status: String,
    assignee_id: Option<Uuid>,
}
solmu_db::from_row!(Child {
    id,
    head,
    number,
    subject,
    status,
    assignee_id
});

impl From<Child> for proto::SubTicket {
    fn from(it: Child) -> Self {
        let status = it.status.parse().map(status_to_proto).unwrap_or_default();
        Self {
            ticket_id: it.id.to_string(),
            ticket_number: it.number,
            subject: it.subject,
            status: status.into(),
            assignee_id: it.assignee_id.map(|id| id.to_string()).unwrap_or_default(),
            restricted: false,
        }
    }
}

/// All open sub-tickets of any of `tickets`, by number.
pub(crate) async fn open_children(
    tx: &mut PgConnection,
    tickets: &[Uuid],
) -> Result<Vec<Child>, TicketError> {
    children(tx, tickets, false, i64::MAX).await
}

/// Sub-tickets of any of `tickets`, by number; those that are over only if `all`.
pub async fn children(
    tx: &mut PgConnection,
    tickets: &[Uuid],
    all: bool,
    limit: i64,
) -> Result<Vec<Child>, TicketError> {
    let found = sqlx::query_as(
        "WITH RECURSIVE family AS (
            SELECT id, id AS head FROM unnest($1::uuid[]) AS wanted (id)
            UNION ALL
            SELECT source.id, family.head FROM family JOIN tickets.ticket AS source ON source.merged_into = family.id)
         SELECT child.id, family.head, child.number, child.subject, child.status, child.assignee_id
         FROM family JOIN tickets.ticket AS child ON child.parent_id = family.id
         WHERE child.merged_into IS NULL AND child.id <> family.head AND ($2 OR child.status <> ALL($3))
         ORDER BY child.number LIMIT $4",
    )
    .bind(tickets)
    .bind(all)
    .bind([Status::Resolved.name(), Status::Closed.name()])
    .bind(limit)
    .fetch_all(tx)
    .await?;
    Ok(found)
}

//! What a restriction takes along, and what its end gives back.
//!
//! Who restricts a ticket restricts its sub-tickets, too, but never one that they do not see: that would show it to them
//! and take it from those whose it is. Refusing the call was rejected: a threat has to be hidden now, whoever works on a
//! part of it; what stays as it is is counted in the log of the ticket that was meant. What became part of a ticket
//! stands for nothing by itself and goes with that ticket always.

use std::collections::{HashMap, HashSet};

use solmu_domain::ids::{AgentId, TeamId};
use solmu_runtime::access::Visibility;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{error::TicketError, model::Ticket};

/// Keeps of a locked family what is seen by `sight`, and `root`; returns how many stand for themselves and are not.
pub(super) fn leave_unseen(sight: &Visibility, root: Uuid, tickets: &mut Vec<Ticket>) -> usize {
    let standing: HashMap<Uuid, (bool, Option<Uuid>)> = tickets
        .iter()
        .map(|it| {
            let (team, agent) = (
                it.team_id.map(TeamId::from_uuid),
                it.assignee_id.map(AgentId::from_uuid),
            );
            let seen = sight.sees(team, agent, it.restricted_to.as_deref());
            (it.id, (seen || it.id == root, it.merged_into))
        })
        .collect();
    let taken: HashSet<Uuid> = standing
        .keys()
        .copied()
        .filter(|id| {
            let mut at = standing.get(id);
            // Merges make no ring.
            while let Some((seen, next)) = at {
                if *seen {
                    return true;
                }
                at = next.and_then(|next| standing.get(&next));
            }
            false
        })
        .collect();
    let left = tickets
        .iter()
        .filter(|it| !taken.contains(&it.id) && it.merged_into.is_none())
        .count();
    tickets.retain(|it| taken.contains(&it.id));
    left
}

/// Whose a ticket was before it was restricted, and whose it is since.
pub(super) struct Taken {
    ticket: Uuid,
    before: (Option<Uuid>, Option<Uuid>),
    given: (Option<Uuid>, Option<Uuid>),
}

impl Taken {
    pub(super) const fn of(before: &Ticket, after: &Ticket) -> Self {
        Self {
            ticket: before.id,
            before: (before.team_id, before.assignee_id),
            given: (after.team_id, after.assignee_id),
        }
    }
}

/// Notes what was restricted together with `root`. What was noted before keeps whose it was at first, unless somebody gave
/// it to others since.
pub(super) async fn note(
    tx: &mut PgConnection,
    root: Uuid,
    taken: &[Taken],
) -> Result<(), TicketError> {
    if taken.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        (|$it:ident| $value:expr) => {
            taken.iter().map(|$it| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query(
        "INSERT INTO tickets.restricted_kin AS known
            (ticket_id, root_id, team_id, assignee_id, given_team_id, given_assignee_id)
         SELECT id, $1, team, agent, given_team, given_agent
         FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[])
            AS new (id, team, agent, given_team, given_agent)
         ON CONFLICT (ticket_id) DO UPDATE SET
            team_id = CASE WHEN (known.given_team_id, known.given_assignee_id)
                IS NOT DISTINCT FROM (excluded.team_id, excluded.assignee_id)
                THEN known.team_id ELSE excluded.team_id END,
            assignee_id = CASE WHEN (known.given_team_id, known.given_assignee_id)
                IS NOT DISTINCT FROM (excluded.team_id, excluded.assignee_id)
                THEN known.assignee_id ELSE excluded.assignee_id END,
            given_team_id = excluded.given_team_id, given_assignee_id = excluded.given_assignee_id",
    )
    .bind(root)
    .bind(column!(|it| it.ticket))
    .bind(column!(|it| it.before.0))
    .bind(column!(|it| it.before.1))
    .bind(column!(|it| it.given.0))
    .bind(column!(|it| it.given.1))
    .execute(tx)
    .await?;
    Ok(())
}

/// What is to be open again with `root`: that, what was restricted together with it and belongs to it still, and what
/// became part of any of them.
pub(super) async fn with(tx: &mut PgConnection, root: Uuid) -> Result<Vec<Uuid>, TicketError> {
    Ok(sqlx::query_scalar(
        "WITH RECURSIVE kin AS (
            SELECT $1::uuid AS id
            UNION SELECT other.id FROM kin
                JOIN tickets.ticket AS other ON other.merged_into = kin.id OR other.parent_id = kin.id),
         family AS (
            SELECT $1::uuid AS id
            UNION SELECT kin.id FROM kin JOIN tickets.restricted_kin AS known ON known.ticket_id = kin.id
                WHERE known.root_id = $1
            UNION SELECT source.id FROM family JOIN tickets.ticket AS source ON source.merged_into = family.id)
         SELECT id FROM family",
    )
    .bind(root)
    .fetch_all(tx)
    .await?)
}

/// Gives tickets in memory, which are restricted no more, back to whose they were, where they are still where the
/// restriction brought them; forgets what was noted.
pub(super) async fn give_back(
    tx: &mut PgConnection,
    tickets: &mut [Ticket],
) -> Result<(), TicketError> {
    type Owner = (Option<Uuid>, Option<Uuid>);
    type Row = (Uuid, Option<Uuid>, Option<Uuid>, Option<Uuid>, Option<Uuid>);
    let ids: Vec<Uuid> = tickets.iter().map(|it| it.id).collect();
    let rows: Vec<Row> = sqlx::query_as(
        "DELETE FROM tickets.restricted_kin WHERE ticket_id = ANY($1)
         RETURNING ticket_id, team_id, assignee_id, given_team_id, given_assignee_id",
    )
    .bind(&ids)
    .fetch_all(tx)
    .await?;
    let known: HashMap<Uuid, (Owner, Owner)> = rows
        .into_iter()
        .map(|(id, team, agent, given_team, given_agent)| {
            (id, ((team, agent), (given_team, given_agent)))
        })
        .collect();
    for ticket in tickets {
        if let Some((before, given)) = known.get(&ticket.id)
            && *given == (ticket.team_id, ticket.assignee_id)
        {
            (ticket.team_id, ticket.assignee_id) = *before;
        }
    }
    Ok(())
}

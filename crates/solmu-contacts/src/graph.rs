//! Merges: which contacts are one person, and who stands for them.
//!
//! The merges that hold are the edges of a forest over contacts. Who stands for a tree is found by going through its
//! edges in the order in which they were made: the side that won stands for both. So the roots are a function of the
//! edges that hold, and taking one away gives what there would be had it never been made.
//!
//! One merge at a time in the whole deployment: a lock of the transaction. Merges are rare and short; locking the two
//! trees in order was rejected, because who is in a tree is known only after it is locked.

use std::collections::BTreeMap;

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_db::{DbError, ToSqlx as _};
use solmu_proto::{contact::v1 as proto, types::v1::Actor};
use solmu_runtime::events::EventSink;
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{ContactError, small};

/// Key of the lock: "contact" in hexadecimal digits of its letters.
const LOCK: i64 = 0x0063_6f6e_7461_6374;
/// Contacts that one person is made of, at most: more is a mistake that nobody can look through.
pub(crate) const MAX_CONTACTS: usize = 200;
/// The rule of a merge by hand.
pub(crate) const BY_HAND: &str = "by_hand";

/// A merge to be made.
#[derive(Debug, Clone)]
pub(crate) struct Joining {
    pub(crate) id: Uuid,
    pub(crate) winner: Uuid,
    pub(crate) loser: Uuid,
    pub(crate) rule: String,
    pub(crate) evidence: String,
    pub(crate) actor: Actor,
    pub(crate) reason: String,
    pub(crate) request_id: Option<String>,
}

/// A merge that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) id: Uuid,
    pub(crate) winner_id: Uuid,
    pub(crate) loser_id: Uuid,
    pub(crate) rule: String,
    /// In the order in which they were made: given out under the lock, where no clock is asked.
    place: i64,
}

#[cfg(test)]
impl Edge {
    /// For tests.
    pub(crate) fn made(id: Uuid, winner_id: Uuid, loser_id: Uuid, rule: &str) -> Self {
        Self {
            id,
            winner_id,
            loser_id,
            rule: rule.to_owned(),
            place: 0,
        }
    }
}

/// Waits until nobody else merges; holds until the transaction ends.
pub(crate) async fn lock(tx: &mut PgConnection) -> Result<(), ContactError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(tx)
        .await?;
    Ok(())
}

/// Takes the lock if nobody has it.
pub(crate) async fn try_lock(tx: &mut PgConnection) -> Result<bool, ContactError> {
    let taken = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
        .bind(LOCK)
        .fetch_one(tx)
        .await?;
    Ok(taken)
}

/// Who stands for each of `contacts`. Those that do not exist are left out.
pub(crate) async fn roots(
    tx: &mut PgConnection,
    contacts: &[Uuid],
) -> Result<BTreeMap<Uuid, Uuid>, ContactError> {
    let rows: Vec<(Uuid, Uuid)> =
        sqlx::query_as("SELECT id, coalesce(root_id, id) FROM tickets.contact WHERE id = ANY($1)")
            .bind(contacts)
            .fetch_all(tx)
            .await?;
    Ok(rows.into_iter().collect())
}

/// The contacts that `roots` stand for, they among them.
pub(crate) async fn members(
    tx: &mut PgConnection,
    roots: &[Uuid],
) -> Result<Vec<Uuid>, ContactError> {
    let ids = sqlx::query_scalar(
        "SELECT id FROM tickets.contact WHERE id = ANY($1) UNION
         SELECT id FROM tickets.contact WHERE root_id = ANY($1)",
    )
    .bind(roots)
    .fetch_all(tx)
    .await?;
    Ok(ids)
}

/// The merges among `contacts` that hold, in the order in which they were made.
pub(crate) async fn edges(tx: &mut PgConnection, contacts: &[Uuid]) -> Result<Vec<Edge>, DbError> {
    let rows: Vec<(Uuid, Uuid, Uuid, String, i64)> = sqlx::query_as(
        "SELECT id, winner_id, loser_id, rule, place FROM tickets.contact_merge
         WHERE loser_id = ANY($1) AND winner_id = ANY($1) AND undone_at IS NULL ORDER BY place",
    )
    .bind(contacts)
    .fetch_all(tx)
    .await?;
    let edges = rows
        .into_iter()
        .map(|(id, winner_id, loser_id, rule, place)| Edge {
            id,
            winner_id,
            loser_id,
            rule,
            place,
        });
    Ok(edges.collect())
}

/// Rules whose merges are certain enough to show or remove somebody's data by.
const SURE: [&str; 5] = [
    BY_HAND,
    "same_account",
    "same_platform_id",
    "proven_address",
    "proven_number",
];

/// Refuses a person who is put together by a guess: what was only claimed must neither show nor remove data of somebody
/// else.
pub(crate) async fn refuse_guessed(
    tx: &mut PgConnection,
    contacts: &[Uuid],
) -> Result<(), ContactError> {
    let edges = edges(tx, contacts).await?;
    match edges.iter().find(|it| !SURE.contains(&it.rule.as_str())) {
        Some(guess) => Err(ContactError::Guessed(guess.id)),
        None => Ok(()),
    }
}

/// Who stands for each of `contacts` by `edges`, which are in order.
pub(crate) fn replay(contacts: &[Uuid], edges: &[Edge]) -> BTreeMap<Uuid, Uuid> {
    let mut root: BTreeMap<Uuid, Uuid> = contacts.iter().map(|id| (*id, *id)).collect();
    for edge in edges {
        let (Some(&winner), Some(&loser)) = (root.get(&edge.winner_id), root.get(&edge.loser_id))
        else {
            continue;
        };
        for stands in root.values_mut().filter(|stands| **stands == loser) {
            *stands = winner;
        }
    }
    root
}

/// Makes two contacts one. The caller holds the lock. Says nothing if they are one already.
pub(crate) async fn merge(
    tx: &mut PgConnection,
    joining: &Joining,
    events: &mut EventSink<'_>,
    now: Timestamp,
) -> Result<bool, ContactError> {
    let both = [joining.winner, joining.loser];
    let roots = roots(tx, &both).await?;
    for id in both {
        if !roots.contains_key(&id) {
            return Err(ContactError::unknown("contact", &id));
        }
    }
    let (winner, loser) = (roots[&joining.winner], roots[&joining.loser]);
    if winner == loser {
        return Ok(false);
    }
    let contacts = members(tx, &[winner, loser]).await?;
    if contacts.len() > MAX_CONTACTS {
        return Err(ContactError::TooLarge(MAX_CONTACTS));
    }
    refuse_erased(tx, &contacts).await?;
    insert(tx, joining, now).await?;
    stand_in(tx, &contacts, now).await?;
    events.add(
        &proto::ContactMerged {
            merge_id: joining.id.to_string(),
            contact_id: winner.to_string(),
            merged_contact_id: loser.to_string(),
            rule: joining.rule.clone(),
            actor: Some(joining.actor.clone()),
            reason: joining.reason.clone(),
            merge_time: Some(to_proto_time(now)),
        },
        TraceContext::current(),
    );
    Ok(true)
}

async fn refuse_erased(tx: &mut PgConnection, contacts: &[Uuid]) -> Result<(), ContactError> {
    let erased: Option<Uuid> = sqlx::query_scalar(
        "SELECT id FROM tickets.contact WHERE id = ANY($1) AND erased_at IS NOT NULL LIMIT 1",
    )
    .bind(contacts)
    .fetch_optional(tx)
    .await?;
    erased.map_or(Ok(()), |id| Err(ContactError::Erased(id)))
}

async fn insert(
    tx: &mut PgConnection,
    joining: &Joining,
    now: Timestamp,
) -> Result<(), ContactError> {
    sqlx::query(
        "INSERT INTO tickets.contact_merge (id, winner_id, loser_id, rule, evidence, actor_kind, actor_id, reason,
            request_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(joining.id)
    .bind(joining.winner)
    .bind(joining.loser)
    .bind(&joining.rule)
    .bind(&joining.evidence)
    .bind(small(joining.actor.kind))
    .bind(&joining.actor.id)
    .bind(&joining.reason)
    .bind(&joining.request_id)
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes down who stands for whom among `contacts`, which are whole trees.
async fn stand_in(
    tx: &mut PgConnection,
    contacts: &[Uuid],
    now: Timestamp,
) -> Result<(), ContactError> {
    let edges = edges(tx, contacts).await?;
    let (ids, stands): (Vec<Uuid>, Vec<Uuid>) = replay(contacts, &edges).into_iter().unzip();
    // Who stands for more or for fewer than before is seen in another way, too: an etag of before is of something else.
    sqlx::query(
        "WITH new AS (SELECT it.id, it.root, coalesce(contact.root_id, contact.id) AS former
            FROM unnest($1::uuid[], $2::uuid[]) AS it (id, root) JOIN tickets.contact ON contact.id = it.id),
         moved AS (SELECT id, root, former FROM new WHERE former <> root)
         UPDATE tickets.contact AS contact
         SET root_id = nullif(new.root, contact.id), version = contact.version + 1, updated_at = $3
         FROM new WHERE contact.id = new.id
            AND contact.id IN (SELECT id FROM moved UNION SELECT root FROM moved UNION SELECT former FROM moved)",
    )
    .bind(ids)
    .bind(stands)
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes a merge back; returns who stands for each side then. The caller holds the lock.
pub(crate) async fn unmerge(
    tx: &mut PgConnection,
    merge: Uuid,
    actor: &Actor,
    reason: &str,
    events: &mut EventSink<'_>,
    now: Timestamp,
) -> Result<(Uuid, Uuid), ContactError> {
    let known: Option<(Uuid, Uuid, bool)> = sqlx::query_as(
        "SELECT winner_id, loser_id, undone_at IS NULL FROM tickets.contact_merge WHERE id = $1",
    )
    .bind(merge)
    .fetch_optional(&mut *tx)
    .await?;
    let (winner, loser) = match known {
        None => return Err(ContactError::unknown("merge", &merge)),
        Some((_, _, false)) => return Err(ContactError::Undone(merge)),
        Some((winner, loser, true)) => (winner, loser),
    };
    let before = roots(tx, &[winner]).await?;
    let root = before.get(&winner).copied().unwrap_or(winner);
    let contacts = members(tx, &[root]).await?;
    refuse_erased(tx, &contacts).await?;
    sqlx::query(
        "UPDATE tickets.contact_merge SET undone_at = $2, undone_kind = $3, undone_by = $4, undo_reason = $5
         WHERE id = $1",
    )
    .bind(merge)
    .bind(now.to_sqlx())
    .bind(small(actor.kind))
    .bind(&actor.id)
    .bind(reason)
    .execute(&mut *tx)
    .await?;
    stand_in(tx, &contacts, now).await?;
    let after = roots(tx, &[winner, loser]).await?;
    let sides = (after[&winner], after[&loser]);
    events.add(
        &proto::ContactUnmerged {
            merge_id: merge.to_string(),
            contact_id: sides.0.to_string(),
            unmerged_contact_id: sides.1.to_string(),
            actor: Some(actor.clone()),
            reason: reason.to_owned(),
            unmerge_time: Some(to_proto_time(now)),
        },
        TraceContext::current(),
    );
    Ok(sides)
}

/// Remembers that two contacts are two people.
pub(crate) async fn keep_apart(
    tx: &mut PgConnection,
    a: Uuid,
    b: Uuid,
    by: &str,
    now: Timestamp,
) -> Result<(), ContactError> {
    sqlx::query(
        "INSERT INTO tickets.contact_apart (first_id, second_id, created_by, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
    )
    .bind(a.min(b))
    .bind(a.max(b))
    .bind(by)
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets that contacts of the two sides were two people: somebody knows better now.
pub(crate) async fn forget_apart(
    tx: &mut PgConnection,
    a: &[Uuid],
    b: &[Uuid],
) -> Result<(), ContactError> {
    sqlx::query(
        "DELETE FROM tickets.contact_apart WHERE (first_id = ANY($1) AND second_id = ANY($2))
            OR (first_id = ANY($2) AND second_id = ANY($1))",
    )
    .bind(a)
    .bind(b)
    .execute(tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn edge(n: u128, winner: u128, loser: u128) -> Edge {
        Edge::made(id(100 + n), id(winner), id(loser), BY_HAND)
    }

    #[test]
    fn who_stands_for_whom_follows_from_the_merges() {
        let contacts = [1, 2, 3, 4].map(id);
        let edges = [edge(1, 1, 2), edge(2, 3, 4), edge(3, 4, 2)];
        let roots = replay(&contacts, &edges);
        assert!(contacts.iter().all(|it| roots[it] == id(3)));
        let without_last = replay(&contacts, &edges[..2]);
        assert_eq!(contacts.map(|it| without_last[&it]), [1, 1, 3, 3].map(id));
        let without_first = replay(&contacts, &edges[1..]);
        assert_eq!(contacts.map(|it| without_first[&it]), [1, 3, 3, 3].map(id));
    }
}

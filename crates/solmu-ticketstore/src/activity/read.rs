//! Reads the log, and looks whether it is whole.

use futures::TryStreamExt as _;
use prost::Message as _;
use solmu_proto::ticket::v1::{
    Activity, VerifyActivityResponse as Verdict, activity::Kind, verify_activity_response::Fault,
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::chain::{self, Hash, digest_of, hash_of};
use crate::error::TicketError;

/// Entries that one statement looks at on the way back to a merge.
const LOOKED_AT: i64 = 100;

/// An entry as it is stored.
struct Row {
    sequence: i64,
    entry: Vec<u8>,
    reason: String,
    salt: Vec<u8>,
    hash: Vec<u8>,
}
solmu_db::from_row!(Row {
    sequence,
    entry,
    reason,
    salt,
    hash
});

/// Up to `limit` entries of a ticket after the one of sequence `after`. One that cannot be read shows its place only.
pub async fn list(
    pool: &PgPool,
    ticket: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<Activity>, TicketError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT sequence, entry, reason, salt, hash FROM tickets.activity WHERE ticket_id = $1 AND sequence > $2
         ORDER BY sequence LIMIT $3",
    )
    .bind(ticket)
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let shown = rows.into_iter().map(|row| Activity {
        ticket_id: ticket.to_string(),
        sequence: row.sequence,
        reason: row.reason,
        hash: row.hash,
        ..Activity::decode(row.entry.as_slice()).unwrap_or_default()
    });
    Ok(shown.collect())
}

/// Whether any of `fields` of `ticket` changed after `source` became part of it, the last time that it did.
pub async fn changed_since_merge(
    tx: &mut PgConnection,
    ticket: Uuid,
    source: Uuid,
    fields: &[&str],
) -> Result<bool, TicketError> {
    let source = source.to_string();
    let mut before = i64::MAX;
    loop {
        let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT sequence, entry FROM tickets.activity WHERE ticket_id = $1 AND sequence < $2
             ORDER BY sequence DESC LIMIT $3",
        )
        .bind(ticket)
        .bind(before)
        .bind(LOOKED_AT)
        .fetch_all(&mut *tx)
        .await?;
        for (sequence, entry) in &rows {
            let entry = Activity::decode(entry.as_slice()).unwrap_or_default();
            if entry.kind() == Kind::Merged && entry.other_ticket_id == source {
                return Ok(false);
            }
            let mut changes = entry.changes.iter();
            if changes.any(|change| fields.contains(&change.field.as_str())) {
                return Ok(true);
            }
            before = *sequence;
        }
        // The merge is older than the log.
        if i64::try_from(rows.len()) != Ok(LOOKED_AT) {
            return Ok(false);
        }
    }
}

/// Computes the chain of a ticket anew, as far as it was noted to go, or further. `noted` is the sequence and hash of an
/// entry that it must hold.
pub async fn verify(
    pool: &PgPool,
    ticket: Uuid,
    noted: Option<(i64, Vec<u8>)>,
) -> Result<Verdict, TicketError> {
    // Before the entries: what is added in between is no fault.
    let head = head_of(pool, ticket).await?;
    let mut rows = sqlx::query_as::<_, Row>(
        "SELECT sequence, entry, reason, salt, hash FROM tickets.activity WHERE ticket_id = $1 ORDER BY sequence",
    )
    .bind(ticket)
    .fetch(pool);
    let mut verdict = Verdict {
        last_hash: chain::START.to_vec(),
        ..Verdict::default()
    };
    let mut before = chain::START;
    let bad = |verdict: Verdict, sequence: i64, fault: Fault| Verdict {
        bad_sequence: sequence,
        fault: fault.into(),
        ..verdict
    };
    while let Some(row) = rows.try_next().await? {
        verdict.entries += 1;
        let forged = noted
            .as_ref()
            .is_some_and(|(at, hash)| *at == row.sequence && *hash != row.hash);
        let fault = if forged {
            Some(Fault::Noted)
        } else {
            fault_of(ticket, &row, verdict.entries, &before)
        };
        if let Some(fault) = fault {
            return Ok(bad(verdict, row.sequence, fault));
        }
        if head
            .as_ref()
            .is_some_and(|(at, hash)| *at == row.sequence && *hash != row.hash)
        {
            return Ok(bad(verdict, row.sequence, Fault::Hash));
        }
        before = hash_of(&before, &row.entry);
        verdict.last_sequence = row.sequence;
        verdict.last_hash = row.hash;
        let given =
            Activity::decode(row.entry.as_slice()).is_ok_and(|it| !it.reason_digest.is_empty());
        verdict.erased_reasons += i64::from(given && row.salt.is_empty());
    }
    // A ticket that nothing was noted of has been opened, at least.
    let reaches = head.map_or(1, |(at, _)| at);
    if verdict.last_sequence < reaches {
        let missing = verdict.last_sequence + 1;
        let forgotten = noted.filter(|(at, _)| *at > verdict.last_sequence);
        return Ok(match forgotten {
            Some((at, _)) => bad(verdict, at, Fault::Noted),
            None => bad(verdict, missing, Fault::Gap),
        });
    }
    Ok(match noted {
        Some((at, _)) if at > verdict.last_sequence => bad(verdict, at, Fault::Noted),
        _ => Verdict {
            intact: true,
            ..verdict
        },
    })
}

/// Place and hash of the last entry as they were noted beside the log; none: not noted.
async fn head_of(pool: &PgPool, ticket: Uuid) -> Result<Option<(i64, Vec<u8>)>, TicketError> {
    let found: Option<(Option<i64>, Option<Vec<u8>>)> = sqlx::query_as(
        "SELECT head.sequence, head.hash FROM tickets.ticket
         LEFT JOIN tickets.activity_head AS head ON head.ticket_id = ticket.id WHERE ticket.id = $1",
    )
    .bind(ticket)
    .fetch_optional(pool)
    .await?;
    let (sequence, hash) = found.ok_or_else(|| TicketError::UnknownTicket(ticket.to_string()))?;
    Ok(sequence.zip(hash))
}

/// What is wrong with an entry that should be the `place`th.
fn fault_of(ticket: Uuid, row: &Row, place: i64, before: &Hash) -> Option<Fault> {
    if row.sequence != place {
        return Some(Fault::Gap);
    }
    if row.hash != hash_of(before, &row.entry) {
        return Some(Fault::Hash);
    }
    let Ok(entry) = Activity::decode(row.entry.as_slice()) else {
        return Some(Fault::Content);
    };
    if entry.ticket_id != ticket.to_string() || entry.sequence != row.sequence {
        return Some(Fault::Content);
    }
    // Nothing beside a digest that was never there, and the reason itself or nothing beside one that was.
    let erased = row.salt.is_empty() && row.reason.is_empty();
    let same =
        !entry.reason_digest.is_empty() && entry.reason_digest == digest_of(&row.salt, &row.reason);
    (!erased && !same).then_some(Fault::Reason)
}

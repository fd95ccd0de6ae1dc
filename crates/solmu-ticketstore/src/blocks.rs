//! Senders whose messages are not wanted: they wait in the quarantine with the cause `blocked_sender`.
//!
//! Blocking hides and never drops: a mistake is found and released. A pattern is an address or "@domain".

use std::collections::HashSet;

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_db::{Db, DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::contact::EmailAddress;
use solmu_proto::ticket::v1 as proto;
use sqlx::PgConnection;

use crate::error::TicketError;

/// Longest reason that is kept, in bytes.
pub const MAX_REASON: usize = 1_000;

/// Text that is neither an address nor "@domain".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is neither an e-mail address nor '@' and a domain")]
pub struct BadPattern(String);

/// Whom a block is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(String);

impl Pattern {
    /// Takes an address, or "@domain" for everybody of a domain (not of the domains below it).
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let text = text.trim();
        let bad = |_| BadPattern(text.to_owned());
        if text.starts_with('@') {
            let anybody = EmailAddress::parse(&format!("any{text}")).map_err(bad)?;
            return Ok(Self(format!("@{}", anybody.domain())));
        }
        let address = EmailAddress::parse(text).map_err(bad)?;
        Ok(Self(address.as_str().to_owned()))
    }

    /// As it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Whom it is about.
    pub pattern: String,
    /// Why, in somebody's words.
    pub reason: String,
    /// Who asked for it: agent id or token id.
    pub created_by: String,
    /// Since when.
    pub created_at: Timestamp,
}

/// A block as the table has it.
type Row = (String, String, String, SqlTimestamp);

impl From<Row> for Block {
    fn from((pattern, reason, created_by, created_at): Row) -> Self {
        Self {
            pattern,
            reason,
            created_by,
            created_at: created_at.to_jiff(),
        }
    }
}

impl From<Block> for proto::BlockedSender {
    fn from(block: Block) -> Self {
        Self {
            pattern: block.pattern,
            reason: block.reason,
            created_by: block.created_by,
            create_time: Some(to_proto_time(block.created_at)),
        }
    }
}

/// Blocks a sender. One who is blocked stays so, with the first reason; returns what holds.
pub async fn block(
    db: &Db,
    pattern: &Pattern,
    reason: &str,
    by: &str,
    now: Timestamp,
) -> Result<Block, DbError> {
    let reason = &reason[..reason.floor_char_boundary(MAX_REASON)];
    // An update that changes nothing: without it there is no row to return.
    let row: Row = sqlx::query_as(
        "INSERT INTO tickets.blocked_sender AS blocked (pattern, reason, created_by, created_at)
         VALUES ($1, $2, $3, $4) ON CONFLICT (pattern) DO UPDATE SET reason = blocked.reason
         RETURNING pattern, reason, created_by, created_at",
    )
    .bind(pattern.as_str())
    .bind(reason.replace('\0', ""))
    .bind(by)
    .bind(now.to_sqlx())
    .fetch_one(db.pool())
    .await?;
    Ok(row.into())
}

/// Ends a block; says whether there was one. What waits because of it stays until somebody releases it.
pub async fn unblock(db: &Db, pattern: &Pattern) -> Result<bool, DbError> {
    let done = sqlx::query("DELETE FROM tickets.blocked_sender WHERE pattern = $1")
        .bind(pattern.as_str())
        .execute(db.pool())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Blocks in order of pattern, after `after`.
pub async fn list(db: &Db, after: &str, limit: i64) -> Result<Vec<Block>, DbError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT pattern, reason, created_by, created_at FROM tickets.blocked_sender WHERE pattern > $1
         ORDER BY pattern LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Those of `addresses` that are blocked: by a pattern, or as what a blocked contact writes from. Who forged an address
/// does not get its owner blocked.
#[expect(
    clippy::implicit_hasher,
    reason = "the callers have no hasher of their own"
)]
pub async fn among(
    tx: &mut PgConnection,
    addresses: &HashSet<String>,
) -> Result<HashSet<String>, TicketError> {
    if addresses.is_empty() {
        return Ok(HashSet::new());
    }
    let blocked: Vec<String> = sqlx::query_scalar(
        "SELECT address FROM unnest($1::text[]) AS sender (address)
         WHERE EXISTS (SELECT 1 FROM tickets.blocked_sender
            WHERE pattern IN (address, substring(address FROM '@[^@]*$')))
            OR EXISTS (SELECT 1 FROM tickets.identity JOIN tickets.contact ON contact.id = identity.contact_id
                JOIN tickets.contact AS root ON root.id = coalesce(contact.root_id, contact.id)
                WHERE identity.value = address AND identity.scope <> 'failed-checks' AND root.blocked_at IS NOT NULL)",
    )
    .bind(addresses.iter().map(String::as_str).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    Ok(blocked.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_an_address_or_a_domain() {
        assert_eq!(Pattern::parse(" A@X.fi ").unwrap().as_str(), "a@x.fi");
        assert_eq!(Pattern::parse("@X.fi").unwrap().as_str(), "@x.fi");
        for bad in ["", "@", "x.fi", "a@", "a b@x.fi", "%"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}

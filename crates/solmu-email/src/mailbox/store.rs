//! Rows of schema `email`: how far each folder was read, and what was passed over.

use jiff::Timestamp;
use solmu_db::{Db, DbError, ToSqlx as _, lease, lease::Held};
use solmu_imap::{Known, Position};
use sqlx::PgConnection;

/// Older UIDVALIDITYs of a mailbox that are remembered: a server may come back to one.
const REMEMBERED: i64 = 8;

/// A folder, and the lease under which this process reads it.
#[derive(Debug, Clone)]
pub(super) struct FolderKey {
    pub(super) account: String,
    pub(super) mailbox: String,
    pub(super) place: String,
    /// Name of the lease.
    pub(super) lease: String,
    pub(super) held: Held,
}

/// A mail that stays in the mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Skipped {
    pub(super) uid: u32,
    pub(super) cause: &'static str,
    pub(super) noticed: bool,
    pub(super) size: u64,
}

/// How far a folder was read under a UIDVALIDITY. A mailbox that moved to another place counts as known otherwise.
pub(super) async fn cursor_known(
    db: &Db,
    key: &FolderKey,
    uid_validity: u32,
) -> Result<Known, DbError> {
    let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "SELECT place, uid_validity, taken_uid, settled_uid FROM email.cursor WHERE account = $1 AND mailbox = $2",
    )
    .bind(&key.account)
    .bind(&key.mailbox)
    .fetch_all(db.pool())
    .await?;
    let current = rows
        .iter()
        .find(|(place, validity, ..)| *place == key.place && *validity == i64::from(uid_validity));
    Ok(match current {
        Some((_, _, taken, settled)) => Known::At(Position {
            uid_validity,
            taken: uid(*taken),
            settled: uid(*settled),
        }),
        None if rows.is_empty() => Known::Never,
        None => Known::Otherwise,
    })
}

fn uid(number: i64) -> u32 {
    // Written from a u32.
    u32::try_from(number).unwrap_or(0)
}

/// Begins a folder, and forgets the oldest of what it was before.
pub(super) async fn cursor_begin(
    db: &Db,
    key: &FolderKey,
    position: Position,
    now: Timestamp,
) -> Result<(), DbError> {
    db.tx("email.mailbox_begin", |tx| {
        let key = key.clone();
        Box::pin(async move {
            lease::fence(tx, &key.lease, &key.held).await?;
            cursor_write(tx, &key, position, now).await?;
            sqlx::query(
                "DELETE FROM email.cursor WHERE (account, mailbox, place, uid_validity) IN (
                    SELECT account, mailbox, place, uid_validity FROM email.cursor
                    WHERE account = $1 AND mailbox = $2 ORDER BY moved_at DESC OFFSET $3)",
            )
            .bind(&key.account)
            .bind(&key.mailbox)
            .bind(REMEMBERED)
            .execute(tx)
            .await?;
            Ok(())
        })
    })
    .await
}

/// Moves a folder's position on; what was passed over on the way is noted in the same transaction.
pub(super) async fn cursor_advance(
    db: &Db,
    key: &FolderKey,
    position: Position,
    skipped: &[Skipped],
    now: Timestamp,
) -> Result<(), DbError> {
    db.tx("email.mailbox_advance", |tx| {
        let (key, skipped) = (key.clone(), skipped.to_vec());
        Box::pin(async move {
            lease::fence(tx, &key.lease, &key.held).await?;
            for mail in &skipped {
                skipped_insert(tx, &key, position.uid_validity, mail, now).await?;
            }
            cursor_write(tx, &key, position, now).await
        })
    })
    .await
}

async fn cursor_write(
    tx: &mut PgConnection,
    key: &FolderKey,
    position: Position,
    now: Timestamp,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO email.cursor AS cursor
            (account, mailbox, place, uid_validity, taken_uid, settled_uid, began_at, moved_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
         ON CONFLICT (account, mailbox, place, uid_validity) DO UPDATE SET
            taken_uid = greatest(cursor.taken_uid, excluded.taken_uid),
            settled_uid = greatest(cursor.settled_uid, excluded.settled_uid),
            moved_at = excluded.moved_at",
    )
    .bind(&key.account)
    .bind(&key.mailbox)
    .bind(&key.place)
    .bind(i64::from(position.uid_validity))
    .bind(i64::from(position.taken))
    .bind(i64::from(position.settled))
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

async fn skipped_insert(
    tx: &mut PgConnection,
    key: &FolderKey,
    uid_validity: u32,
    mail: &Skipped,
    now: Timestamp,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO email.skipped
            (account, mailbox, place, uid_validity, uid, cause, noticed, size_bytes, skipped_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (account, mailbox, place, uid_validity, uid) DO NOTHING",
    )
    .bind(&key.account)
    .bind(&key.mailbox)
    .bind(&key.place)
    .bind(i64::from(uid_validity))
    .bind(i64::from(mail.uid))
    .bind(mail.cause)
    .bind(mail.noticed)
    .bind(i64::try_from(mail.size).unwrap_or(i64::MAX))
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// Mails after `settled` up to `taken` that were passed over.
pub(super) async fn skipped_between(
    db: &Db,
    key: &FolderKey,
    position: Position,
) -> Result<Vec<u32>, DbError> {
    let uids: Vec<i64> = sqlx::query_scalar(
        "SELECT uid FROM email.skipped WHERE account = $1 AND mailbox = $2 AND place = $3 AND uid_validity = $4
            AND uid > $5 AND uid <= $6",
    )
    .bind(&key.account)
    .bind(&key.mailbox)
    .bind(&key.place)
    .bind(i64::from(position.uid_validity))
    .bind(i64::from(position.settled))
    .bind(i64::from(position.taken))
    .fetch_all(db.pool())
    .await?;
    Ok(uids.into_iter().map(uid).collect())
}

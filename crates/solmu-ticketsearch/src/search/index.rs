//! Fills the index of the search from its queue, behind the filing of messages.
//!
//! Not in the transaction that files: the words of a message cost more than all the rest of filing it, and a sender waits
//! for nothing that only a search needs. Triggers queue what changed, so no writer can forget to, and every answer of a
//! search says up to when it is indexed. One replica indexes at a time (an advisory lock): two could write an older text
//! over a newer one.

use std::{sync::Arc, time::Duration};

use solmu_db::{DbError, SqlTimestamp};
use solmu_words::{lexemes, lexing};
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::spans::{self, Sizes, Spans};
use crate::context::Context;

/// Entries of the queue in one transaction.
const BATCH: i64 = 200;
/// Pause when nothing is queued: the delay of a search, and a look at an empty table each time.
const IDLE: Duration = Duration::from_millis(250);
/// Pause after a failure.
const FAILED: Duration = Duration::from_secs(2);
/// Characters of one part of it beside the body, so that none takes all the room.
const MAX_PART: i32 = 5_000;
/// Key of the advisory lock, any number that nobody else has.
const LOCK: i64 = 0x736f_6c6d_7573_6571;

/// Runs until `stop`.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let pause = match step(&context).await {
            Ok(BATCH..) => continue,
            Ok(_) => IDLE,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot fill the search index; trying again"
                );
                FAILED
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Indexes what is queued, one batch; says how many entries it had. A document that PostgreSQL refuses is left out of
/// the index, so that it holds up nobody else's.
async fn step(context: &Context) -> Result<i64, DbError> {
    let db = &context.db;
    let waiting: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tickets.search_queue)")
        .fetch_one(db.pool())
        .await?;
    if !waiting {
        return Ok(0);
    }
    match db.tx("search.index", |tx| Box::pin(batch(tx))).await {
        Err(error) if is_refused(&error) => {}
        done => return done,
    }
    let (taken, refused) = db
        .tx("search.index_singly", |tx| Box::pin(singly(tx)))
        .await?;
    for (document, error) in refused {
        context.metrics.unindexed();
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            %document,
            "a document cannot be indexed; searches do not find it"
        );
    }
    Ok(taken)
}

/// Whether a value is to blame: a data exception, or more than PostgreSQL's limits allow (SQLSTATE classes 22 and 54).
fn is_refused(error: &DbError) -> bool {
    let DbError::Sqlx(sqlx::Error::Database(error)) = error else {
        return false;
    };
    error
        .code()
        .is_some_and(|code| code.starts_with("22") || code.starts_with("54"))
}

/// What was queued.
#[derive(Default)]
struct Taken {
    entries: i64,
    messages: Vec<Uuid>,
    tickets: Vec<Uuid>,
}

async fn batch(tx: &mut PgConnection) -> Result<i64, DbError> {
    let taken = take(tx).await?;
    index(tx, true, &taken.messages).await?;
    index(tx, false, &taken.tickets).await?;
    Ok(taken.entries)
}

/// The same, each document by itself; says also which were refused, and why.
async fn singly(tx: &mut PgConnection) -> Result<(i64, Vec<(Uuid, DbError)>), DbError> {
    let taken = take(tx).await?;
    let mut refused = Vec::new();
    for (is_message, ids) in [(true, &taken.messages), (false, &taken.tickets)] {
        for id in ids {
            let mut one = tx.begin().await?;
            match index(&mut one, is_message, &[*id]).await {
                Ok(()) => one.commit().await?,
                Err(error) if is_refused(&error) => {
                    one.rollback().await?;
                    refused.push((*id, error));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok((taken.entries, refused))
}

/// Takes a batch from the queue; nothing while another replica indexes.
async fn take(tx: &mut PgConnection) -> Result<Taken, DbError> {
    let alone: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut *tx)
        .await?;
    if !alone {
        return Ok(Taken::default());
    }
    let taken: Vec<(bool, Uuid)> = sqlx::query_as(
        "DELETE FROM tickets.search_queue WHERE id = ANY(ARRAY(SELECT id FROM tickets.search_queue ORDER BY id LIMIT $1))
         RETURNING is_message, document",
    )
    .bind(BATCH)
    .fetch_all(&mut *tx)
    .await?;
    let of = |kind: bool| -> Vec<Uuid> {
        let mut ids: Vec<Uuid> = taken
            .iter()
            .filter(|(is_message, _)| *is_message == kind)
            .map(|(_, id)| *id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    Ok(Taken {
        entries: i64::try_from(taken.len()).unwrap_or(i64::MAX),
        messages: of(true),
        tickets: of(false),
    })
}

/// Writes what these documents say into the index.
async fn index(tx: &mut PgConnection, is_message: bool, ids: &[Uuid]) -> Result<(), DbError> {
    if ids.is_empty() {
        return Ok(());
    }
    let (read, write) = if is_message {
        (MESSAGES, WRITE_MESSAGES)
    } else {
        (TICKETS, WRITE_TICKETS)
    };
    let texts: Vec<(Uuid, SqlTimestamp, String)> = sqlx::query_as(read)
        .bind(ids)
        .bind(i32::try_from(lexing::MAX_TEXT).unwrap_or(i32::MAX))
        .bind(MAX_PART)
        .fetch_all(&mut *tx)
        .await?;
    if texts.is_empty() {
        return Ok(());
    }
    let times: Vec<SqlTimestamp> = texts.iter().map(|(_, at, _)| *at).collect();
    let spans = Spans::around(tx, &times).await?;
    let (mut found, mut vectors, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for (id, at, text) in texts {
        let span = spans.of(at.to_jiff());
        found.push(id);
        vectors.push(lexemes::vector(span, &lexing::document(&text)));
        added.push(span);
        // Long texts take milliseconds: others have their turn between them.
        tokio::task::yield_now().await;
    }
    sqlx::query(write)
        .bind(&found)
        .bind(&vectors)
        .execute(&mut *tx)
        .await?;
    spans::count(tx, &added, Sizes::MEASURED).await
}

/// What a message says. An answer's quoted tail is left out: it stands in the message that it quotes. A sender's address
/// is theirs, wherever their contact goes.
const MESSAGES: &str = "SELECT message.id, message.created_at, left(concat_ws(' ', left(message.subject, $3), left(message.author_name, $3),
        left(message.address, $3),
        left((SELECT string_agg(file ->> 'filename', ' ') FROM jsonb_array_elements(message.attachments) AS file), $3),
        left(message.fields::text, $3),
        left(message.body_text, least($2, CASE WHEN message.sequence > 1 THEN message.quote_offset END))), $2)
    FROM tickets.message WHERE message.id = ANY($1)";

/// What a ticket is, and whose.
const TICKETS: &str = "SELECT ticket.id, ticket.created_at, left(concat_ws(' ', ticket.number, left(ticket.subject, $3), ticket.category,
        left(array_to_string(ticket.tags, ' '), $3), left(contact.display_name, $3),
        left((SELECT string_agg(identity.value, ' ') FROM tickets.identity WHERE identity.contact_id = ticket.contact_id), $3),
        (SELECT string_agg(value, ' ') FROM jsonb_each(ticket.fields) AS field (key, list),
            jsonb_array_elements_text(list) AS value WHERE jsonb_typeof(list) = 'array')), $2)
    FROM tickets.ticket JOIN tickets.contact ON contact.id = ticket.contact_id WHERE ticket.id = ANY($1)";

/// What was deleted since it was read is left out.
macro_rules! write {
    ($is_message:literal, $source:literal) => {
        concat!(
            "INSERT INTO tickets.search_document (id, ticket_id, is_message, created_at, words)
             SELECT given.id, document.ticket_id, ",
            $is_message,
            ", document.created_at, given.words::tsvector FROM unnest($1::uuid[], $2::text[]) AS given (id, words) JOIN ",
            $source,
            " AS document ON document.id = given.id ORDER BY given.id
             ON CONFLICT (id) DO UPDATE SET ticket_id = excluded.ticket_id, created_at = excluded.created_at,
                words = excluded.words"
        )
    };
}

const WRITE_MESSAGES: &str = write!("true", "tickets.message");
const WRITE_TICKETS: &str = write!(
    "false",
    "(SELECT id, id AS ticket_id, created_at FROM tickets.ticket)"
);

//! Everything that is kept of a person, as lines of JSON (GDPR, article 15).
//!
//! What that is stands in `inventory`. Most of it is read table by table; messages with their originals, the log of their
//! tickets and what waits in the quarantine are read in parts.

use prost::Message as _;
use serde_json::{Value, json};
use solmu_bus::envelope::from_proto_time;
use solmu_db::Db;
use solmu_proto::{inbound::v1::MessageReceived, ticket::v1::Activity, types::v1::actor::Kind};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    ContactError, graph,
    inventory::{EXPORTED, Exported},
    read, small,
};

/// Messages, or entries of the log, that are read at once.
const PAGE: i64 = 200;
/// Originals that are read at once, and messages that wait: each has up to 256 KiB in the database.
const LARGE: usize = 8;

/// Where an export stands.
#[derive(Debug, Clone)]
pub(crate) struct Export {
    members: Vec<Uuid>,
    /// What only they are known by.
    values: Vec<String>,
    at: At,
}

#[derive(Debug, Clone)]
enum At {
    /// Before this table.
    Table(usize),
    /// After this message; originals of these are to be told first.
    Messages(Option<Uuid>, Vec<Uuid>),
    /// After this entry of the log.
    Log(Option<(Uuid, i64)>),
    /// After this message in the quarantine.
    Waiting(Option<Uuid>),
    End,
}

/// Begins an export of the person behind `contact`. It is for admins, who see all: a part of what is kept of a person would
/// be taken for all of it.
pub(crate) async fn begin(db: &Db, contact: Uuid) -> Result<Export, ContactError> {
    let mut connection = db.pool().acquire().await?;
    let root = read::root(&mut connection, contact).await?.id;
    let members = graph::members(&mut connection, &[root]).await?;
    graph::refuse_guessed(&mut connection, &members).await?;
    let values = read::own_values(&mut connection, &members).await?;
    Ok(Export {
        members,
        values,
        at: At::Table(0),
    })
}

/// The next lines; none at the end.
pub(crate) async fn next(
    db: &Db,
    mut export: Export,
) -> Result<Option<(Vec<String>, Export)>, ContactError> {
    let mut connection = db.reads().acquire().await?;
    let lines = match export.at.clone() {
        At::Table(place) => {
            if let Some(table) = EXPORTED.get(place) {
                export.at = At::Table(place + 1);
                export.rows(&mut connection, table).await?
            } else {
                export.at = At::Messages(None, Vec::new());
                Vec::new()
            }
        }
        At::Messages(after, originals) if originals.is_empty() => {
            export.messages(&mut connection, after).await?
        }
        At::Messages(after, mut originals) => {
            let now = originals.split_off(originals.len().saturating_sub(LARGE));
            export.at = At::Messages(after, originals);
            export.originals(&mut connection, &now).await?
        }
        At::Log(after) => export.log(&mut connection, after).await?,
        At::Waiting(after) => export.waiting(&mut connection, after).await?,
        At::End => return Ok(None),
    };
    Ok(Some((lines, export)))
}

fn typed(kind: &str, mut row: Value) -> String {
    if let Some(object) = row.as_object_mut() {
        object.insert("type".to_owned(), json!(kind));
    }
    row.to_string()
}

fn is_full<T>(rows: &[T], size: i64) -> bool {
    i64::try_from(rows.len()).is_ok_and(|count| count >= size)
}

impl Export {
    async fn rows(
        &self,
        connection: &mut PgConnection,
        table: &Exported,
    ) -> Result<Vec<String>, ContactError> {
        let rows: Vec<Value> = sqlx::query_scalar(table.statement)
            .bind(&self.members)
            .bind(&self.values)
            .fetch_all(connection)
            .await?;
        Ok(rows.into_iter().map(|row| typed(table.kind, row)).collect())
    }

    /// What they wrote, and what was said to them in public. Notes of colleagues are not theirs.
    async fn messages(
        &mut self,
        connection: &mut PgConnection,
        after: Option<Uuid>,
    ) -> Result<Vec<String>, ContactError> {
        let customer = small(Kind::Customer.into());
        let rows: Vec<(Uuid, i16, Value)> = sqlx::query_as(
            concat!(
                "WITH ",
                crate::home!(),
                // Of what was said to them, what the reading shows: below, others may be quoted.
                " SELECT id, author_kind, to_jsonb(message) - '{request_id,mentions,side_conversation_id,body_text,body_html}'::text[]
                || CASE WHEN author_kind <> $3 AND least(quote_offset, signature_offset) IS NOT NULL
                    THEN jsonb_build_object('text', left(body_text, least(quote_offset, signature_offset)), 'html', '',
                        'cut', true)
                    ELSE jsonb_build_object('text', body_text, 'html', body_html) END
             FROM (SELECT * FROM tickets.message WHERE author_kind = $3 AND author_id = ANY($2::text[]) UNION
                SELECT message.* FROM tickets.ticket JOIN tickets.message ON message.ticket_id = ticket.id
                LEFT JOIN home ON home.message_id = message.id
                WHERE ticket.contact_id = ANY($1) AND (home.contact_id IS NULL OR home.contact_id = ANY($1))
                    AND message.public AND message.author_kind <> $3 UNION
                SELECT message.* FROM home JOIN tickets.message ON message.id = home.message_id
                WHERE home.contact_id = ANY($1) AND message.public AND message.author_kind <> $3) AS message
             WHERE $4::uuid IS NULL OR id > $4 ORDER BY id LIMIT $5"
            ),
        )
        .bind(&self.members)
        .bind(self.members.iter().map(Uuid::to_string).collect::<Vec<_>>())
        .bind(customer)
        .bind(after)
        .bind(PAGE)
        .fetch_all(connection)
        .await?;
        let theirs = rows.iter().filter(|(_, author, _)| *author == customer);
        let originals: Vec<Uuid> = theirs.map(|(id, ..)| *id).collect();
        self.at = match rows.last() {
            Some((last, ..)) => At::Messages(Some(*last), originals),
            None => At::Log(None),
        };
        let lines = rows.into_iter().map(|(_, _, row)| typed("message", row));
        Ok(lines.collect())
    }

    /// What their messages came as, byte for byte; larger ones by the key of their object.
    async fn originals(
        &self,
        connection: &mut PgConnection,
        messages: &[Uuid],
    ) -> Result<Vec<String>, ContactError> {
        let rows: Vec<Value> = sqlx::query_scalar(
            "SELECT to_jsonb(it) - 'content'
                || jsonb_build_object('content_base64', translate(encode(content, 'base64'), E'\\n', ''))
             FROM tickets.raw_original AS it WHERE message_id = ANY($1) ORDER BY message_id",
        )
        .bind(messages)
        .fetch_all(connection)
        .await?;
        Ok(rows.into_iter().map(|row| typed("original", row)).collect())
    }

    /// What was done to their tickets.
    async fn log(
        &mut self,
        connection: &mut PgConnection,
        after: Option<(Uuid, i64)>,
    ) -> Result<Vec<String>, ContactError> {
        let (ticket, sequence) = after.unzip();
        let rows: Vec<(Uuid, i64, Vec<u8>, String)> = sqlx::query_as(
            "SELECT it.ticket_id, it.sequence, it.entry, it.reason FROM tickets.activity AS it
             WHERE it.ticket_id IN (SELECT ticket.id FROM tickets.ticket WHERE contact_id = ANY($1))
                AND ($2::uuid IS NULL OR (it.ticket_id, it.sequence) > ($2, $3))
             ORDER BY it.ticket_id, it.sequence LIMIT $4",
        )
        .bind(&self.members)
        .bind(ticket)
        .bind(sequence)
        .bind(PAGE)
        .fetch_all(connection)
        .await?;
        self.at = match rows.last() {
            Some((ticket, sequence, ..)) if is_full(&rows, PAGE) => {
                At::Log(Some((*ticket, *sequence)))
            }
            _ => At::Waiting(None),
        };
        let lines = rows.into_iter().map(|(ticket, sequence, entry, reason)| {
            typed("activity", activity(ticket, sequence, &entry, &reason))
        });
        Ok(lines.collect())
    }

    /// What they wrote that waits for somebody to decide.
    async fn waiting(
        &mut self,
        connection: &mut PgConnection,
        after: Option<Uuid>,
    ) -> Result<Vec<String>, ContactError> {
        let size = i64::try_from(LARGE).unwrap_or(i64::MAX);
        let rows: Vec<(Uuid, Value, Vec<u8>)> = sqlx::query_as(
            "SELECT message_id, to_jsonb(it) - 'message' - 'object_keys', message FROM tickets.quarantine AS it
             WHERE sender = ANY($1) AND ($2::uuid IS NULL OR message_id > $2) ORDER BY message_id LIMIT $3",
        )
        .bind(&self.values)
        .bind(after)
        .bind(size)
        .fetch_all(&mut *connection)
        .await?;
        self.at = match rows.last() {
            Some((last, ..)) if is_full(&rows, size) => At::Waiting(Some(*last)),
            _ => At::End,
        };
        let ids: Vec<Uuid> = rows.iter().map(|(id, ..)| *id).collect();
        let mut lines: Vec<String> = Vec::with_capacity(rows.len());
        for (_, mut row, message) in rows {
            // Written by a newer release, perhaps: what stands in columns is told all the same.
            if let (Ok(message), Some(row)) = (
                MessageReceived::decode(message.as_slice()),
                row.as_object_mut(),
            ) {
                row.insert("text".to_owned(), json!(message.text));
                row.insert("html".to_owned(), json!(message.html));
                row.insert("fields".to_owned(), json!(message.fields_json));
            }
            lines.push(typed("quarantined", row));
        }
        lines.extend(self.originals(connection, &ids).await?);
        Ok(lines)
    }
}

/// An entry of the log, which a newer release may have written in a way that this one cannot read.
fn activity(ticket: Uuid, sequence: i64, entry: &[u8], reason: &str) -> Value {
    let entry = Activity::decode(entry).unwrap_or_default();
    let changes = entry.changes.iter().map(
        |it| json!({"field": it.field, "from": it.from, "to": it.to, "withheld": it.withheld}),
    );
    let actor = entry.actor.clone().unwrap_or_default();
    json!({
        "ticket_id": ticket, "sequence": sequence, "kind": entry.kind().as_str_name(),
        "created_at": entry.create_time.as_ref().map(from_proto_time).map(|at| at.to_string()),
        "actor_kind": actor.kind().as_str_name(), "actor_id": actor.id, "message_id": entry.message_id,
        "other_ticket_id": entry.other_ticket_id, "changes": changes.collect::<Vec<_>>(), "reason": reason,
    })
}

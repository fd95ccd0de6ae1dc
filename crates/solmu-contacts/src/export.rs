//! Everything that is kept of a person, as lines of JSON (GDPR, article 15).

use serde_json::{Value, json};
use solmu_db::Db;
use solmu_proto::types::v1::actor::Kind;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{ContactError, graph, read, small};

/// Messages that are read at once.
const PAGE: i64 = 200;

/// Where an export stands.
#[derive(Debug, Clone)]
pub(crate) struct Export {
    members: Vec<Uuid>,
    /// Lines that come before the messages.
    head: Vec<Value>,
    /// The last message that was told.
    after: Option<Uuid>,
    over: bool,
}

/// Begins an export of the person behind `contact`. It is for admins, who see all: a part of what is kept of a person would
/// be taken for all of it.
pub(crate) async fn begin(db: &Db, contact: Uuid) -> Result<Export, ContactError> {
    let mut connection = db.pool().acquire().await?;
    let root = read::root(&mut connection, contact).await?.id;
    let members = graph::members(&mut connection, &[root]).await?;
    graph::refuse_guessed(&mut connection, &members).await?;
    let mut head = Vec::new();
    for (kind, statement) in TABLES {
        head.extend(rows(&mut connection, kind, statement, &members).await?);
    }
    Ok(Export {
        members,
        head,
        after: None,
        over: false,
    })
}

/// What stands before the messages, each as one object a row.
const TABLES: [(&str, &str); 5] = [
    (
        "contact",
        "SELECT to_jsonb(it) - 'request_id' FROM tickets.contact AS it WHERE id = ANY($1) ORDER BY created_at, id",
    ),
    (
        "identity",
        "SELECT to_jsonb(it) FROM tickets.identity AS it WHERE contact_id = ANY($1) ORDER BY kind, scope, value",
    ),
    (
        "sighting",
        "SELECT to_jsonb(it) - 'pending' FROM tickets.sighting AS it WHERE contact_id = ANY($1) ORDER BY seen_at, id",
    ),
    (
        "merge",
        "SELECT to_jsonb(it) - 'request_id' FROM tickets.contact_merge AS it
         WHERE winner_id = ANY($1) OR loser_id = ANY($1) ORDER BY created_at, id",
    ),
    (
        "ticket",
        "SELECT jsonb_build_object('id', id, 'number', number, 'subject', subject, 'status', status, 'priority', priority,
            'contact_id', contact_id, 'tags', tags, 'language', language, 'created_at', created_at, 'updated_at', updated_at)
         FROM tickets.ticket WHERE contact_id = ANY($1) ORDER BY created_at, id",
    ),
];

async fn rows(
    connection: &mut PgConnection,
    kind: &str,
    statement: &'static str,
    members: &[Uuid],
) -> Result<Vec<Value>, ContactError> {
    let rows: Vec<Value> = sqlx::query_scalar(statement)
        .bind(members)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| typed(kind, row)).collect())
}

fn typed(kind: &str, mut row: Value) -> Value {
    if let Some(object) = row.as_object_mut() {
        object.insert("type".to_owned(), json!(kind));
    }
    row
}

/// The next lines; none at the end.
pub(crate) async fn next(
    db: &Db,
    mut at: Export,
) -> Result<Option<(Vec<String>, Export)>, ContactError> {
    if !at.head.is_empty() {
        let lines = at.head.drain(..).map(|line| line.to_string()).collect();
        return Ok(Some((lines, at)));
    }
    if at.over {
        return Ok(None);
    }
    // What they wrote, and what was said to them in public. Notes of colleagues are not theirs.
    let rows: Vec<(Uuid, Value)> = sqlx::query_as(
        concat!(
            "WITH ",
            crate::home!(),
            " SELECT id, jsonb_build_object('id', id, 'ticket_id', ticket_id, 'sequence', sequence, 'channel', channel,
            'account', account, 'author_kind', author_kind, 'author_name', author_name, 'address', address,
            'subject', subject, 'text', body_text, 'html', body_html, 'attachments', attachments, 'fields', fields,
            'created_at', created_at)
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
    .bind(&at.members)
    .bind(at.members.iter().map(Uuid::to_string).collect::<Vec<_>>())
    .bind(small(Kind::Customer.into()))
    .bind(at.after)
    .bind(PAGE)
    .fetch_all(db.pool())
    .await?;
    at.over = rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
    at.after = rows.last().map(|(id, _)| *id).or(at.after);
    let lines = rows
        .into_iter()
        .map(|(_, row)| typed("message", row).to_string());
    Ok(Some((lines.collect(), at)))
}

//! Removes everything personal of a contact (GDPR, article 17) and keeps the shape of what happened: tickets with their
//! numbers, times, states and owners, messages with their places, so that counts and reports stay what they were.

use std::{collections::BTreeSet, sync::Arc};

use solmu_bus::envelope::to_proto_time;
use solmu_db::{ToSqlx as _, outbox, outbox::Owner};
use solmu_proto::{contact::v1 as proto, types::v1::Actor};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ContactError, graph, read};
use crate::{context::Context, events::EventSink, file::attachments_from_json};

/// What stands where a text was.
const ERASED: &str = "(erased)";

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Erased {
    pub(crate) contacts: Vec<Uuid>,
    pub(crate) messages: i64,
    pub(crate) objects: i64,
}

/// Erases the person behind `contact`, whose name has to be `confirmed`.
pub(crate) async fn erase(
    context: &Arc<Context>,
    contact: Uuid,
    confirmed: String,
    by: Actor,
) -> Result<Erased, ContactError> {
    let input = Arc::new((confirmed, by));
    let erased = context
        .db
        .tx("contact.erase", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move { erase_in(tx, &context, contact, &input.0, &input.1).await })
        })
        .await?;
    Ok(erased)
}

async fn erase_in(
    tx: &mut PgConnection,
    context: &Context,
    contact: Uuid,
    confirmed: &str,
    by: &Actor,
) -> Result<Erased, ContactError> {
    graph::lock(tx).await?;
    let now = context.clock.now();
    let root = read::root(&mut *tx, contact).await?;
    if root.erased_at.is_some() {
        return Err(ContactError::Erased(root.id));
    }
    if root.display_name != confirmed {
        let why = "is not the name of this contact";
        return Err(ContactError::invalid("confirm_display_name", why));
    }
    let contacts = graph::members(&mut *tx, &[root.id]).await?;
    let values: Vec<String> =
        sqlx::query_scalar("SELECT value FROM tickets.identity WHERE contact_id = ANY($1)")
            .bind(&contacts)
            .fetch_all(&mut *tx)
            .await?;
    let messages = messages_of(tx, &contacts).await?;
    let objects = free_objects(tx, &messages).await?;
    sqlx::query(
        "UPDATE tickets.message SET author_name = '', address = '', author_address = '', subject = '', body_text = $2,
            body_html = '', attachments = '[]', fields = NULL, notices = '{}', quote_offset = NULL,
            signature_offset = NULL, delivery_error = '' WHERE id = ANY($1)",
    )
    .bind(&messages)
    .bind(ERASED)
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE tickets.ticket SET subject = $2, version = version + 1, updated_at = $3 WHERE contact_id = ANY($1)")
        .bind(&contacts)
        .bind(ERASED)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    forget(tx, &contacts, &values).await?;
    sqlx::query(
        "UPDATE tickets.contact SET display_name = $2, language = '', time_zone = '', attributes = '{}',
            organization_id = NULL, manager = false, block_reason = '', request_id = NULL, erased_at = $3,
            updated_at = $3, version = version + 1 WHERE id = ANY($1)",
    )
    .bind(&contacts)
    .bind(ERASED)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    let mut events = EventSink::new(
        &context.bus,
        context.clock.as_ref(),
        context.rng.as_ref(),
        now,
    );
    events.add(
        &proto::ContactErased {
            contact_id: root.id.to_string(),
            contact_ids: contacts.iter().map(Uuid::to_string).collect(),
            actor: Some(by.clone()),
            erase_time: Some(to_proto_time(now)),
        },
        TraceContext::current(),
    );
    outbox::add(tx, Owner::Tickets, events.rows(), now).await?;
    Ok(Erased {
        contacts,
        messages: i64::try_from(messages.len()).unwrap_or(i64::MAX),
        objects: i64::try_from(objects.len()).unwrap_or(i64::MAX),
    })
}

/// What they wrote, and everything on their tickets: answers quote them.
async fn messages_of(tx: &mut PgConnection, contacts: &[Uuid]) -> Result<Vec<Uuid>, ContactError> {
    let ids = sqlx::query_scalar(
        "SELECT id FROM tickets.message WHERE author_kind = 1 AND author_id = ANY($2::text[]) UNION
         SELECT message.id FROM tickets.ticket JOIN tickets.message ON message.ticket_id = ticket.id
         WHERE ticket.contact_id = ANY($1)",
    )
    .bind(contacts)
    .bind(contacts.iter().map(Uuid::to_string).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    Ok(ids)
}

/// Removes originals, and notes the objects that nothing of theirs needs any more. The bytes go by reference: whoever
/// looks after the object store removes what stands in tickets.erased_object.
async fn free_objects(
    tx: &mut PgConnection,
    messages: &[Uuid],
) -> Result<BTreeSet<String>, ContactError> {
    let attachments: Vec<serde_json::Value> = sqlx::query_scalar(
        "SELECT attachments FROM tickets.message WHERE id = ANY($1) AND attachments <> '[]'",
    )
    .bind(messages)
    .fetch_all(&mut *tx)
    .await?;
    let mut keys: BTreeSet<String> = attachments
        .iter()
        .flat_map(attachments_from_json)
        .map(|it| it.object_key)
        .collect();
    let originals: Vec<Option<String>> = sqlx::query_scalar(
        "DELETE FROM tickets.raw_original WHERE message_id = ANY($1) RETURNING object_key",
    )
    .bind(messages)
    .fetch_all(&mut *tx)
    .await?;
    keys.extend(originals.into_iter().flatten());
    keys.remove("");
    sqlx::query(
        "INSERT INTO tickets.erased_object (key) SELECT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING",
    )
    .bind(keys.iter().map(String::as_str).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(keys)
}

/// Removes what leads to them: identities, evidence, their part in tickets, what waits of theirs.
async fn forget(
    tx: &mut PgConnection,
    contacts: &[Uuid],
    values: &[String],
) -> Result<(), ContactError> {
    for statement in [
        "DELETE FROM tickets.identity WHERE contact_id = ANY($1)",
        "DELETE FROM tickets.sighting_value WHERE sighting_id IN
            (SELECT id FROM tickets.sighting WHERE contact_id = ANY($1))",
        "DELETE FROM tickets.sighting WHERE contact_id = ANY($1)",
        "DELETE FROM tickets.merge_suggestion WHERE first_id = ANY($1)",
        "DELETE FROM tickets.merge_suggestion WHERE second_id = ANY($1)",
        "DELETE FROM tickets.contact_apart WHERE first_id = ANY($1)",
        "DELETE FROM tickets.contact_apart WHERE second_id = ANY($1)",
        "UPDATE tickets.contact_merge SET evidence = '', reason = '', undo_reason = ''
            WHERE winner_id = ANY($1) OR loser_id = ANY($1)",
        "DELETE FROM tickets.participant WHERE ticket_id IN (SELECT id FROM tickets.ticket WHERE contact_id = ANY($1))",
    ] {
        sqlx::query(statement)
            .bind(contacts)
            .execute(&mut *tx)
            .await?;
    }
    for statement in [
        "DELETE FROM tickets.quarantine_key WHERE message_id IN
            (SELECT message_id FROM tickets.quarantine WHERE sender = ANY($1))",
        "DELETE FROM tickets.raw_original WHERE message_id IN
            (SELECT message_id FROM tickets.quarantine WHERE sender = ANY($1))",
        "DELETE FROM tickets.quarantine WHERE sender = ANY($1)",
        "DELETE FROM tickets.loop_budget WHERE address = ANY($1)",
        "DELETE FROM tickets.thread_claim WHERE party = ANY($1)",
    ] {
        sqlx::query(statement)
            .bind(values)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

//! Removes everything personal of a contact (GDPR, article 17) and keeps the shape of what happened: tickets with their
//! numbers, times, states and owners, messages with their places, so that counts and reports stay what they were.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use prost::Message as _;
use solmu_bus::envelope::to_proto_time;
use solmu_db::{ToSqlx as _, outbox, outbox::Owner};
use solmu_identity::Kind;
use solmu_proto::{
    contact::v1 as proto,
    inbound::v1::MessageReceived,
    types::v1::{Actor, Channel},
};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{ContactError, context::Context, filing, graph, objects, read, small};

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
    graph::refuse_guessed(&mut *tx, &contacts).await?;
    let values = read::own_values(&mut *tx, &contacts).await?;
    let chat_session_ids = chat_sessions_of(tx, &contacts).await?;
    let messages = messages_of(tx, &contacts).await?;
    // Under these a sender whose checks failed stands for themselves.
    let failed = values.iter().map(|value| format!("failed:{value}"));
    let senders: Vec<String> = values.iter().cloned().chain(failed).collect();
    let mut keys = objects_of(tx, &messages, &senders).await?;
    sqlx::query(
        "UPDATE tickets.message SET author_name = '', address = '', author_address = '', reply_to = '', subject = '', body_text = $2,
            body_html = '', attachments = '[]', fields = NULL, notices = '{}', quote_offset = NULL,
            signature_offset = NULL, delivery_error = '', sighting_id = NULL WHERE id = ANY($1)",
    )
    .bind(&messages)
    .bind(ERASED)
    .execute(&mut *tx)
    .await?;
    empty_tickets(tx, &contacts, now).await?;
    forget_conversations(tx, &contacts, &values).await?;
    forget(tx, &contacts, &senders).await?;
    // Keys are made of the content: others may have sent the same file.
    let all: Vec<&str> = keys.iter().map(String::as_str).collect();
    let needed = objects::needed(&mut *tx, &all).await?;
    keys.retain(|key| !needed.contains(key));
    let stay = context.limits.erased_files;
    let due = now.saturating_add(stay).unwrap_or(Timestamp::MAX);
    objects::add(&mut *tx, &keys, due).await?;
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
    let mut events = context.events(now);
    events.add(
        &proto::ContactErased {
            contact_id: root.id.to_string(),
            contact_ids: contacts.iter().map(Uuid::to_string).collect(),
            actor: Some(by.clone()),
            erase_time: Some(to_proto_time(now)),
            chat_session_ids,
        },
        TraceContext::current(),
    );
    outbox::add(tx, Owner::Tickets, events.rows(), now).await?;
    Ok(Erased {
        contacts,
        messages: i64::try_from(messages.len()).unwrap_or(i64::MAX),
        objects: i64::try_from(keys.len()).unwrap_or(i64::MAX),
    })
}

/// Takes what is theirs from their tickets. Custom fields with free values may hold anything of a person; in those with
/// words of the desk's own lists there is nothing of them, and reports count by these.
async fn empty_tickets(
    tx: &mut PgConnection,
    contacts: &[Uuid],
    now: Timestamp,
) -> Result<(), ContactError> {
    sqlx::query(
        "UPDATE tickets.ticket SET subject = $2, assign_reason = '', version = version + 1, updated_at = $3, fields = fields
            - ARRAY(SELECT key FROM tickets.field WHERE kind NOT IN ('choice', 'multi_choice', 'boolean'))
         WHERE contact_id = ANY($1)",
    )
    .bind(contacts)
    .bind(ERASED)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    // Hours are billed and counted; what was done in them, and what had to be done, may name people.
    for statement in [
        "UPDATE tickets.time_entry SET note = '' WHERE note <> '' AND ticket_id IN
            (SELECT id FROM tickets.ticket WHERE contact_id = ANY($1))",
        "UPDATE tickets.task SET title = '(erased)' WHERE ticket_id IN
            (SELECT id FROM tickets.ticket WHERE contact_id = ANY($1))",
    ] {
        sqlx::query(statement)
            .bind(contacts)
            .execute(&mut *tx)
            .await?;
    }
    // The log of changes keeps its shape: its entries hold only salted digests of what people wrote as reasons.
    sqlx::query(
        "UPDATE tickets.activity SET reason = '', salt = '' WHERE salt <> '' AND ticket_id IN
            (SELECT id FROM tickets.ticket WHERE contact_id = ANY($1))",
    )
    .bind(contacts)
    .execute(tx)
    .await?;
    Ok(())
}

/// Vendors name a conversation by whom it is with: "our number:their number". What they write later opens a ticket of
/// somebody who is not known. A Message-ID names a mail, and stays.
async fn forget_conversations(
    tx: &mut PgConnection,
    contacts: &[Uuid],
    values: &[String],
) -> Result<(), ContactError> {
    sqlx::query(
        "UPDATE tickets.ticket SET conversation_key = '' WHERE contact_id = ANY($1) AND channel <> $3
            AND split_part(conversation_key, ':', -1) = ANY($2)",
    )
    .bind(contacts)
    .bind(values)
    .bind(small(Channel::Email.into()))
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "DELETE FROM tickets.thread_key WHERE channel <> $2 AND split_part(key, ':', -1) = ANY($1)",
    )
    .bind(values)
    .bind(small(Channel::Email.into()))
    .execute(tx)
    .await?;
    Ok(())
}

async fn chat_sessions_of(
    tx: &mut PgConnection,
    contacts: &[Uuid],
) -> Result<Vec<String>, ContactError> {
    let ids = sqlx::query_scalar(
        "SELECT value FROM tickets.identity WHERE contact_id = ANY($1) AND kind = $2 ORDER BY value",
    )
    .bind(contacts)
    .bind(Kind::ChatSession.code())
    .fetch_all(tx)
    .await?;
    Ok(ids)
}

/// What they wrote, and everything on their tickets: answers quote them. A message that a merge moved belongs to whose
/// ticket it was on.
async fn messages_of(tx: &mut PgConnection, contacts: &[Uuid]) -> Result<Vec<Uuid>, ContactError> {
    let ids = sqlx::query_scalar(
        concat!(
            "WITH ",
            crate::home!(),
            " SELECT id FROM tickets.message WHERE author_kind = 1 AND author_id = ANY($2::text[]) UNION
         SELECT message.id FROM tickets.ticket JOIN tickets.message ON message.ticket_id = ticket.id
            LEFT JOIN home ON home.message_id = message.id
            WHERE ticket.contact_id = ANY($1) AND (home.contact_id IS NULL OR home.contact_id = ANY($1)) UNION
         SELECT message_id FROM home WHERE contact_id = ANY($1)"
        ),
    )
    .bind(contacts)
    .bind(contacts.iter().map(Uuid::to_string).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    Ok(ids)
}

/// Removes originals, and finds the files that came with them.
async fn objects_of(
    tx: &mut PgConnection,
    messages: &[Uuid],
    senders: &[String],
) -> Result<BTreeSet<String>, ContactError> {
    let attachments: Vec<serde_json::Value> = sqlx::query_scalar(
        "SELECT attachments FROM tickets.message WHERE id = ANY($1) AND attachments <> '[]'",
    )
    .bind(messages)
    .fetch_all(&mut *tx)
    .await?;
    let mut keys: BTreeSet<String> = attachments.iter().flat_map(object_keys).collect();
    let originals: Vec<Option<String>> = sqlx::query_scalar(
        "DELETE FROM tickets.raw_original WHERE message_id = ANY($1) RETURNING object_key",
    )
    .bind(messages)
    .fetch_all(&mut *tx)
    .await?;
    keys.extend(originals.into_iter().flatten());
    keys.extend(waiting_objects(tx, senders).await?);
    keys.remove("");
    Ok(keys)
}

/// Keys of attachments as they are stored beside their message.
fn object_keys(attachments: &serde_json::Value) -> Vec<String> {
    let list = attachments
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let keys = list.iter().filter_map(|it| it["object_key"].as_str());
    keys.map(str::to_owned).collect()
}

/// Files of theirs that wait in the quarantine.
async fn waiting_objects(
    tx: &mut PgConnection,
    senders: &[String],
) -> Result<BTreeSet<String>, ContactError> {
    let waiting: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT message FROM tickets.quarantine WHERE sender = ANY($1)")
            .bind(senders)
            .fetch_all(tx)
            .await?;
    let mut keys = BTreeSet::new();
    for message in waiting {
        let Ok(message) = MessageReceived::decode(message.as_slice()) else {
            continue;
        };
        keys.extend(filing::object_keys(&message));
    }
    Ok(keys)
}

/// Removes what leads to them: identities, evidence, their part in tickets, what waits of theirs.
async fn forget(
    tx: &mut PgConnection,
    contacts: &[Uuid],
    senders: &[String],
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
        "UPDATE tickets.ticket_merge SET reason = '' WHERE source_id IN
            (SELECT id FROM tickets.ticket WHERE contact_id = ANY($1))",
        "UPDATE tickets.ticket_merge SET reason = '' WHERE target_id IN
            (SELECT id FROM tickets.ticket WHERE contact_id = ANY($1))",
        "DELETE FROM tickets.public_link WHERE contact_id = ANY($1)",
        "DELETE FROM tickets.contact_call WHERE answer_id = ANY($1)",
        "DELETE FROM tickets.matter WHERE contact_id = ANY($1)",
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
        "UPDATE tickets.side_conversation SET address = '', display_name = '(erased)' WHERE address = ANY($1)",
        "DELETE FROM tickets.thread_claim WHERE party = ANY($1)",
        "DELETE FROM tickets.participant WHERE address = ANY($1)",
        "UPDATE tickets.ticket_merge SET participants =
            ARRAY(SELECT it FROM unnest(participants) AS it WHERE it <> ALL($1)) WHERE participants && $1",
        // Nobody's name, and not the empty one: that says that the mail itself is there.
        "UPDATE tickets.thread_key SET named_by = ' erased' WHERE named_by = ANY($1)",
        "DELETE FROM tickets.early_report WHERE address = ANY($1)",
    ] {
        sqlx::query(statement)
            .bind(senders)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

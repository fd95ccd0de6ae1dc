//! What is kept of a person: all of it is exported, and none of it is left after an erasure.
//!
//! Everything that names the person here has the word "zebedee" in it, so that it can be looked for in every table, in
//! those that did not exist when this was written, too.

use std::collections::BTreeSet;

use prost::Message as _;
use serde_json::Value;
use solmu_proto::{
    contact::v1::{EraseContactRequest, ExportContactRequest},
    inbound::v1::MessageReceived,
    ticket::v1::Activity,
    types::v1::{Assurance, IdentityKind},
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::world::{World, claimed, identity, proven};

const NAME: &str = "Zebedee";
const ADDRESS: &str = "zebedee@a.example";
/// As WhatsApp has it.
const HANDLE: &str = "zebedee358";

/// Rows of a ticket of theirs (`$1`: the contact, `$2`: somebody else), one of each kind.
const ROWS: [&str; 21] = [
    "INSERT INTO tickets.ticket (id, number, subject, status, priority, contact_id, channel, account, recipient,
            conversation_key, created_at, updated_at, fields)
        SELECT md5('t' || of)::uuid, of, 'zebedee-subject', 'open', 'normal', CASE of WHEN 3 THEN $2 ELSE $1 END::uuid, 3, 'a',
            'us', 'us:zebedee358', now(), now(), '{\"free\": [\"zebedee-field\"]}' FROM generate_series(1, 3) AS of",
    "UPDATE tickets.ticket SET subject = 'other', conversation_key = 'us:olga', fields = '{}'
        WHERE number = 3 AND $1::uuid <> $2::uuid",
    "INSERT INTO tickets.message (id, ticket_id, sequence, channel, account, author_kind, author_id, author_name, address,
            public, subject, body_text, body_html, automatic_class, created_at, fields)
        SELECT md5('m' || of)::uuid, md5('t1')::uuid, of, 3, 'a', CASE of WHEN 1 THEN 1 ELSE 2 END,
            CASE of WHEN 1 THEN $1::text ELSE $2::text END, 'zebedee-name', 'zebedee358', of < 3, 'zebedee-about',
            'zebedee-text-' || of, '<p>zebedee-html</p>', 1, now(), '{\"a\": \"zebedee-form\"}'
        FROM generate_series(1, 3) AS of",
    "INSERT INTO tickets.raw_original (message_id, content_type, size_bytes, sha256, content)
        SELECT md5('m1')::uuid, 'text/plain', 3, 'x', 'zebedee-original'::bytea WHERE $1::uuid <> $2::uuid",
    "INSERT INTO tickets.thread_key (channel, account, key, ticket_id)
        SELECT 3, 'a', 'us:zebedee358', md5('t1')::uuid WHERE $1::uuid <> $2::uuid",
    "INSERT INTO tickets.thread_claim (channel, account, key, party, ticket_id)
        SELECT 1, 'a', 'k', 'zebedee@a.example', md5('t3')::uuid WHERE $1::uuid <> $2::uuid",
    "INSERT INTO tickets.participant (ticket_id, address)
        SELECT md5('t' || of)::uuid, 'zebedee@a.example' FROM generate_series(1, 3) AS of WHERE $1::uuid <> $2::uuid",
    "INSERT INTO tickets.task (id, ticket_id, title, created_by, created_at, updated_at)
        SELECT md5('k')::uuid, md5('t1')::uuid, 'zebedee-task', 'a', now(), now() WHERE $1::uuid <> $2::uuid",
    "INSERT INTO tickets.time_entry (id, ticket_id, agent_id, started_at, seconds, billable, note, created_by, created_at,
            updated_at)
        SELECT md5('e')::uuid, md5('t1')::uuid, 'a', now(), 60, true, 'zebedee-hours', 'a', now(), now()
        WHERE $1::uuid <> $2::uuid",
    "INSERT INTO tickets.public_link (id, ticket_id, contact_id, created_by, created_at, expires_at)
        VALUES (md5('l')::uuid, md5('t1')::uuid, coalesce($1, $2), 'a', now(), now())",
    "INSERT INTO tickets.matter (id, state, message_id, ticket_id, ground, score, proven, reference, contact_id, channel,
            account, address, conversation_key, recipient, created_at)
        VALUES (md5('r')::uuid, 2, md5('m1')::uuid, md5('t1')::uuid, 'words', 50, true, 'zebedee-order',
            coalesce($1, $2), 3, 'a', 'zebedee358', 'us:zebedee358', 'us', now())",
    "INSERT INTO tickets.side_conversation (id, ticket_id, address, display_name, message_id, created_by, created_at)
        SELECT md5('s')::uuid, md5('t3')::uuid, 'zebedee@a.example', 'zebedee-expert', md5('m9')::uuid, 'a', now()
        WHERE $1::uuid <> $2::uuid",
    "INSERT INTO tickets.catalogue_order (id, item_id, item_version, contact_id, created_by, created_at)
        VALUES (md5('t1')::uuid, md5('i')::uuid, '1', coalesce($1, $2), 'a', now())",
    "INSERT INTO tickets.ticket_link (ticket_id, other_id, kind, created_at)
        SELECT md5('t1')::uuid, md5('t3')::uuid, 'related', now() WHERE $1::uuid <> $2::uuid",
    "INSERT INTO tickets.ticket_merge (id, source_id, target_id, source_status, participants, actor_kind, actor_id, reason,
            merged_at, unmerged_at)
        SELECT md5('g')::uuid, md5('t1')::uuid, md5('t2')::uuid, 'open', '{zebedee@a.example}', 2, 'a', 'zebedee-merge',
            now(), now() WHERE $1::uuid <> $2::uuid",
    "INSERT INTO tickets.merge_suggestion (first_id, second_id, reason, kind, value, created_at)
        VALUES (least($1, $2), greatest($1, $2), 'x', 1, 'zebedee-shared', now())",
    "INSERT INTO tickets.contact_apart (first_id, second_id, created_by, created_at)
        VALUES (least($1, $2), greatest($1, $2), 'a', now())",
    "INSERT INTO tickets.loop_budget (address, ticket_id, kind, tokens, refilled_at, version)
        SELECT 'zebedee@a.example', md5('t1')::uuid, 1, 1, now(), 1 WHERE $1::uuid <> $2::uuid",
    "INSERT INTO tickets.early_report (channel, account, external_id, state, error_code, error_text, reported_at, address)
        SELECT 1, 'a', 'x', 1, '', '', now(), 'zebedee@a.example' WHERE $1::uuid <> $2::uuid",
    "INSERT INTO tickets.identity_attestation (kind, scope, value, attested_by, method, first_at, last_at)
        SELECT kind, scope, value, 'a', 'zebedee-portal', now(), now() FROM tickets.identity WHERE contact_id = $1 AND $1::uuid <> $2::uuid",
    "INSERT INTO tickets.blocked_sender (pattern, reason, created_by, created_at)
        SELECT 'zebedee@a.example', 'rude', 'a', now() WHERE $1::uuid <> $2::uuid",
];

/// Types of lines that there must be, each with what must stand in one of them.
const LINES: [(&str, &str); 23] = [
    ("contact", "Zebedee"),
    ("organization", "Roundabout"),
    ("identity", "zebedee358"),
    ("attestation", "zebedee-portal"),
    ("sighting", "zebedee@a.example"),
    ("merge_suggestion", "zebedee-shared"),
    ("apart", "first_id"),
    ("blocked_sender", "rude"),
    ("ticket", "zebedee-field"),
    ("ticket_link", "related"),
    ("ticket_merge", "zebedee-merge"),
    ("participant", "zebedee@a.example"),
    ("matter", "zebedee-order"),
    ("side_conversation", "zebedee-expert"),
    ("task", "zebedee-task"),
    ("time_entry", "zebedee-hours"),
    ("order", "item_id"),
    ("public_link", "expires_at"),
    ("message", "zebedee-text-1"),
    ("message", "zebedee-text-2"),
    // "zebedee-original".
    ("original", "emViZWRlZS1vcmlnaW5hbA=="),
    ("activity", "zebedee-reason"),
    ("quarantined", "zebedee-waits"),
];

/// Tables in which something may be left.
const STAYS: [(&str, &str); 1] = [(
    "tickets.blocked_sender",
    "a block of an address is made and ended by hand: erasing somebody does not let them in again",
)];

/// What takes more than text.
async fn encoded(world: &World, contact: Uuid) {
    let entry = Activity {
        sequence: 1,
        ..Activity::default()
    };
    sqlx::query(
        "INSERT INTO tickets.activity (ticket_id, sequence, entry, reason, salt, hash)
         VALUES (md5('t1')::uuid, 1, $1, 'zebedee-reason', 's', 'h')",
    )
    .bind(entry.encode_to_vec())
    .execute(world.pool())
    .await
    .unwrap();
    let waits = MessageReceived {
        text: "zebedee-waits".to_owned(),
        ..MessageReceived::default()
    };
    sqlx::query(
        "INSERT INTO tickets.quarantine (message_id, channel, account, sender, subject, cause_code, automatic_class,
            quarantined_at, message) VALUES (md5('q')::uuid, 1, 'a', $1, 'zebedee-waiting', 'x', 1, now(), $2)",
    )
    .bind(ADDRESS)
    .bind(waits.encode_to_vec())
    .execute(world.pool())
    .await
    .unwrap();
    sqlx::query(
        "WITH made AS (INSERT INTO tickets.organization (id, display_name, created_at, updated_at)
            VALUES (md5('o')::uuid, 'Roundabout', now(), now()) RETURNING id)
         UPDATE tickets.contact SET organization_id = made.id FROM made WHERE contact.id = $1",
    )
    .bind(contact)
    .execute(world.pool())
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO tickets.field (key, label, kind, created_at, updated_at) VALUES ('free', '', 'text', now(), now())",
    )
    .execute(world.pool())
    .await
    .unwrap();
}

/// A person of whom something is in every table that may have something of a person, and their colleague.
async fn known(world: &World) -> (Uuid, Uuid) {
    let handle = identity(IdentityKind::Whatsapp, HANDLE, Assurance::Proven);
    let contact = world.sender(NAME, &[proven(ADDRESS), handle]).await;
    let other = world.sender("Olga", &[claimed("olga@o.example")]).await;
    world.looked_at().await;
    for row in ROWS {
        let done = sqlx::query(row)
            .bind(contact)
            .bind(other)
            .execute(world.pool())
            .await;
        done.unwrap_or_else(|error| panic!("{row}: {error}"));
    }
    encoded(world, contact).await;
    (contact, other)
}

async fn export(world: &World, contact: Uuid) -> Vec<(String, String)> {
    let request = ExportContactRequest {
        contact_id: contact.to_string(),
    };
    let stream = world.contacts().export_contact(world.admin(request)).await;
    let mut stream = stream.unwrap().into_inner();
    let mut lines = Vec::new();
    while let Some(part) = stream.message().await.unwrap() {
        let line: Value = serde_json::from_str(&part.line).unwrap();
        lines.push((line["type"].as_str().unwrap().to_owned(), part.line));
    }
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_of_a_person_is_exported_and_nothing_of_others() {
    let world = World::new().await;
    let (contact, _) = known(&world).await;
    let lines = export(&world, contact).await;
    for (kind, text) in LINES {
        let found = lines
            .iter()
            .any(|(of, line)| of == kind && line.contains(text));
        assert!(found, "no {kind} with '{text}'");
    }
    let kinds: BTreeSet<&str> = lines.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds.len(), LINES.len() - 1, "{kinds:?}");
    let all: String = lines.iter().map(|(_, line)| line.as_str()).collect();
    // A note of colleagues, and the ticket of somebody else.
    assert!(!all.contains("zebedee-text-3") && !all.contains("us:olga"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_person_stands_in_no_table() {
    let world = World::new().await;
    let (contact, other) = known(&world).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables
         WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    // As text, and as bytes in hexadecimal.
    let hex = "7a656265646565";
    let left = async || {
        let mut found = BTreeSet::new();
        for table in &tables {
            let sql =
                format!("SELECT count(*) FROM {table} AS it WHERE it::text ~* 'zebedee|{hex}'");
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(world.pool())
                .await
                .unwrap();
            if count > 0 {
                found.insert(table.as_str());
            }
        }
        found
    };
    assert!(left().await.len() > 15, "it is looked for where it is");
    let request = EraseContactRequest {
        contact_id: contact.to_string(),
        confirm_display_name: NAME.to_owned(),
    };
    world
        .contacts()
        .erase_contact(world.admin(request))
        .await
        .unwrap();
    let stays: BTreeSet<&str> = STAYS.iter().map(|(table, _)| *table).collect();
    assert_eq!(left().await, stays);
    // What is somebody else's is there.
    assert_eq!(world.get(other).await.display_name, "Olga");
    let key = "SELECT count(*) FROM tickets.ticket WHERE conversation_key = 'us:olga' AND subject = 'other'";
    assert_eq!(world.count(key).await, 1);
}

//! What an export has of answers: what was said to the person, not what is quoted below it.

use serde_json::Value;
use solmu_proto::contact::v1::ExportContactRequest;

use crate::world::{World, proven};

/// A ticket of the person with a mail of theirs and four of agents, which quote and sign or not.
const ROWS: [&str; 2] = [
    "INSERT INTO tickets.ticket (id, number, subject, status, priority, contact_id, channel, account, recipient,
            conversation_key, created_at, updated_at)
        VALUES (md5('t')::uuid, 1, 's', 'open', 'normal', $1, 1, 'a', 'us', '', now(), now())",
    "INSERT INTO tickets.message (id, ticket_id, sequence, channel, account, author_kind, author_id, author_name, address,
            public, subject, body_text, body_html, automatic_class, created_at, quote_offset, signature_offset)
        SELECT md5('m' || of)::uuid, md5('t')::uuid, of, 1, 'a', CASE of WHEN 1 THEN 1 ELSE 2 END,
            CASE of WHEN 1 THEN $1::text ELSE 'agent' END, '', '', true, '', 'Hyvä-' || of || ' -- Me > Matti', '<p>Matti</p>',
            1, now(), CASE WHEN of IN (1, 2, 4) THEN 14 END, CASE WHEN of IN (3, 4) THEN 7 END
        FROM generate_series(1, 5) AS of",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_answers_quote_is_left_out() {
    let world = World::new().await;
    let aino = world.sender("Aino", &[proven("aino@a.example")]).await;
    for row in ROWS {
        sqlx::query(row)
            .bind(aino)
            .execute(world.pool())
            .await
            .unwrap();
    }
    let request = ExportContactRequest {
        contact_id: aino.to_string(),
    };
    let mut lines = world
        .contacts()
        .export_contact(world.admin(request))
        .await
        .unwrap()
        .into_inner();
    let mut messages = Vec::new();
    while let Some(part) = lines.message().await.unwrap() {
        let line: Value = serde_json::from_str(&part.line).unwrap();
        if line["type"] == "message" {
            messages.push(line);
        }
    }
    messages.sort_by_key(|line| line["sequence"].as_i64());
    let told: Vec<(&str, &str, bool)> = messages
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap();
            (text("text"), text("html"), line["cut"] == true)
        })
        .collect();
    assert_eq!(
        told,
        [
            // Their own is whole: they have it, with what they quoted.
            ("Hyvä-1 -- Me > Matti", "<p>Matti</p>", false),
            ("Hyvä-2 -- Me >", "", true),
            ("Hyvä-3 ", "", true),
            ("Hyvä-4 ", "", true),
            ("Hyvä-5 -- Me > Matti", "<p>Matti</p>", false),
        ]
    );
}

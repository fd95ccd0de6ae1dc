//! Erased contacts are forgotten.

use solmu_domain::clock::Clock as _;
use solmu_proto::contact::v1::ContactErased;

use super::*;

async fn erase(harness: &Harness, sessions: &[&str]) {
    let body = ContactErased {
        contact_id: "c".to_owned(),
        chat_session_ids: sessions.iter().map(|&id| id.to_owned()).collect(),
        ..ContactErased::default()
    };
    let id = EventId::generate(&harness.clock, &*harness.rng);
    let event = Event::new(id, harness.clock.now(), &body);
    harness.bus.publish(&[event]).await.unwrap();
}

async fn count(harness: &Harness, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(harness.db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn an_erased_contact_is_forgotten_with_what_was_said() {
    let harness = Harness::new().await;
    let replica = replica(&harness, "one", config()).await;
    let mut gone = replica.open(None, 0).await;
    gone.say("c1", "my secret").await;
    gone.next("ack").await;
    let session = received(&harness).await[0].conversation_key.clone();
    let mut other = replica.open(None, 0).await;
    other.say("c1", "something else").await;
    other.next("ack").await;
    erase(&harness, &["no uuid", &session]).await;
    // Whoever is connected is told that it is over, and the token opens nothing.
    gone.closed().await;
    let mut again = replica.connect().await;
    again
        .send("hello", json!({"session": gone.token, "last_seq": 0}))
        .await;
    assert_eq!(again.error().await["code"], "session_unknown");
    let left = "SELECT count(*) FROM chat.message WHERE text = 'my secret'";
    assert_eq!(count(&harness, left).await, 0);
    assert_eq!(
        count(&harness, "SELECT count(*) FROM chat.session").await,
        1
    );
    other.say("c2", "still here").await;
    other.next("ack").await;
    replica.stop().await;
}

#[tokio::test]
async fn what_the_bus_does_not_have_yet_is_handed_over_first() {
    let harness = Harness::new().await;
    let db = &harness.db;
    let now = harness.clock.now();
    let id = uuid::Uuid::from_u128(7);
    sqlx::query(
        "INSERT INTO chat.session (id, inbox, token_sha256, visitor_email, last_seq, created_at, expires_at)
         VALUES ($1, 'main', sha256('x'), 'aino@c.example', 2, now(), 'infinity')",
    )
    .bind(id)
    .execute(db.pool())
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO chat.message (session_id, seq, direction, client_msg_id, message_id, text, created_at, pending)
         VALUES ($1, 1, 'in', 'a', gen_random_uuid(), 'old', now(), NULL),
            ($1, 2, 'in', 'b', gen_random_uuid(), 'new', now(), 'event')",
    )
    .bind(id)
    .execute(db.pool())
    .await
    .unwrap();
    crate::forget::forget(db, vec![id], now).await.unwrap();
    let said: Vec<String> = sqlx::query_scalar("SELECT text FROM chat.message")
        .fetch_all(db.pool())
        .await
        .unwrap();
    assert_eq!(said, ["new"]);
    let address = "SELECT count(*) FROM chat.session WHERE visitor_email <> '' OR ended_at IS NULL";
    assert_eq!(count(&harness, address).await, 0);
    // Once the bus has it, it goes with the session, by the sweep or by another delivery of the event.
    sqlx::query("UPDATE chat.message SET pending = NULL")
        .execute(db.pool())
        .await
        .unwrap();
    crate::forget::forget(db, vec![id], now).await.unwrap();
    assert_eq!(
        count(&harness, "SELECT count(*) FROM chat.session").await,
        0
    );
}

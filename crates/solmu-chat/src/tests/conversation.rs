//! What is said: stored, numbered, published, answered.

use super::*;

#[tokio::test]
async fn a_message_is_acknowledged_when_it_is_stored_and_on_the_bus() {
    let harness = Harness::new().await;
    let replica = replica(&harness, "one", config()).await;
    let mut visitor = replica.open(None, 0).await;
    visitor.say("c1", "Hei, missä tilaukseni on?").await;
    let ack = visitor.next("ack").await;
    assert_eq!(
        (&ack["id"], &ack["body"]),
        (&json!("f"), &json!({"client_msg_id": "c1", "seq": 1}))
    );
    let events = received(&harness).await;
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!(
        (event.account.as_str(), event.text.as_str()),
        ("main", "Hei, missä tilaukseni on?")
    );
    assert_eq!(event.external_id, format!("{}:c1", event.conversation_key));
    let pending: i64 =
        sqlx::query_scalar("SELECT count(*) FROM chat.message WHERE pending IS NOT NULL")
            .fetch_one(harness.db.pool())
            .await
            .unwrap();
    assert_eq!(pending, 0);
    replica.stop().await;
}

#[tokio::test]
async fn a_message_sent_again_is_one_message_over_any_socket_and_replica() {
    let harness = Harness::new().await;
    let (one, two) = (
        replica(&harness, "one", config()).await,
        replica(&harness, "two", config()).await,
    );
    let mut first = one.open(None, 0).await;
    let token = first.token.clone();
    let mut second = two.open(Some(&token), 0).await;
    let mut third = one.open(Some(&token), 0).await;
    join_all([&mut first, &mut second, &mut third].map(|visitor| async {
        visitor.say("same", "Hei").await;
        visitor.say("same", "Hei").await;
        for _ in 0..2 {
            assert_eq!(visitor.next("ack").await["seq"], 1);
        }
    }))
    .await;
    let mut ids: Vec<String> = received(&harness)
        .await
        .into_iter()
        .map(|event| event.message_id)
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM chat.message")
        .fetch_one(harness.db.pool())
        .await
        .unwrap();
    assert_eq!(rows, 1);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn all_sockets_see_one_order_without_gaps() {
    let harness = Harness::new().await;
    let limits = Limits {
        messages: 1000,
        ..Limits::default()
    };
    let (one, two) = (
        replica(
            &harness,
            "one",
            Config {
                limits: limits.clone(),
                ..config()
            },
        )
        .await,
        replica(&harness, "two", Config { limits, ..config() }).await,
    );
    let mut first = one.open(None, 0).await;
    let token = first.token.clone();
    let mut second = two.open(Some(&token), 0).await;
    for number in 0..20 {
        first
            .say(&format!("a{number}"), &format!("a{number}"))
            .await;
        second
            .say(&format!("b{number}"), &format!("b{number}"))
            .await;
    }
    let (seen, also_seen) = tokio::join!(first.messages(40), second.messages(40));
    assert_eq!(seen, also_seen);
    assert!(seen.iter().map(|(seq, _)| *seq).eq(1..=40), "{seen:?}");
    let of_first: Vec<_> = seen
        .iter()
        .filter(|(_, text)| text.starts_with('a'))
        .map(|(_, text)| text.clone())
        .collect();
    assert_eq!(
        of_first,
        (0..20)
            .map(|number| format!("a{number}"))
            .collect::<Vec<_>>()
    );
    let mut third = one.open(Some(&token), 35).await;
    assert_eq!(third.messages(5).await, seen[35..]);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn an_answer_is_pushed_replayed_and_reported() {
    let harness = Harness::new().await;
    let (one, two) = (
        replica(&harness, "one", config()).await,
        replica(&harness, "two", config()).await,
    );
    let mut visitor = one.open(None, 0).await;
    visitor.say("c1", "Hei").await;
    visitor.next("ack").await;
    let session = received(&harness).await[0].conversation_key.clone();
    let mut elsewhere = two.open(Some(&visitor.token), 1).await;
    let id = answer(&harness, &session, "Hei Aino!").await;
    let frame = elsewhere.next("message").await;
    assert_eq!(
        (
            &frame["seq"],
            &frame["body"]["author"],
            &frame["body"]["direction"]
        ),
        (&json!(2), &json!("Liisa"), &json!("out"))
    );
    wait_for("a report of sent", || async {
        reported(&harness, &id).await.contains(&DeliveryState::Sent)
    })
    .await;
    answer(&harness, &session, "Hei Aino!").await;
    drop(visitor);
    let second = answer(&harness, &session, "Vielä jotain?").await;
    let token = elsewhere.token.clone();
    let mut back = one.connect().await;
    assert!(back.hello(Some(&token), 1).await >= 2);
    assert_eq!(
        back.messages(2).await,
        [(2, "Hei Aino!".to_owned()), (3, "Vielä jotain?".to_owned())]
    );
    back.send("ack", json!({"up_to_seq": 3})).await;
    wait_for("a report of delivered", || async {
        reported(&harness, &second)
            .await
            .contains(&DeliveryState::Delivered)
    })
    .await;
    back.send("read", json!({"up_to_seq": 999})).await;
    for id in [&id, &second] {
        wait_for("a report of read", || async {
            reported(&harness, id).await.contains(&DeliveryState::Read)
        })
        .await;
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn what_a_crash_left_behind_is_published() {
    let harness = Harness::new().await;
    let replica = replica(&harness, "one", config()).await;
    let mut visitor = replica.open(None, 0).await;
    visitor.say("c1", "Hei").await;
    visitor.next("ack").await;
    let event = received(&harness).await.remove(0);
    // As if the process had ended between the row and the publish.
    let lost = MessageReceived {
        external_id: format!("{}:c2", event.conversation_key),
        text: "kadonnut".to_owned(),
        ..event
    };
    let lost_id = MessageId::of_inbound("chat", "main", &lost.external_id);
    sqlx::query(
        "WITH moved AS (UPDATE chat.session SET last_seq = 2 RETURNING id) \
         INSERT INTO chat.message (session_id, seq, direction, client_msg_id, message_id, text, created_at, pending) \
         SELECT id, 2, 'in', 'c2', $1, 'kadonnut', '2026-11-02 08:00Z', $2 FROM moved",
    )
    .bind(lost_id.as_uuid())
    .bind(lost.encode_to_vec())
    .execute(harness.db.pool())
    .await
    .unwrap();
    let reconciler = Reconciler {
        db: harness.db.clone(),
        intake: replica.intake.clone(),
        clock: Arc::new(harness.clock.clone()),
        metrics: replica.service.metrics.clone(),
        marked: Arc::default(),
    };
    reconciler.publish_left_behind().await.unwrap();
    assert_eq!(received(&harness).await.len(), 1, "the writer has its time");
    harness.clock.advance(SignedDuration::from_secs(60));
    reconciler.publish_left_behind().await.unwrap();
    let events = received(&harness).await;
    assert_eq!(events.last().unwrap().message_id, lost_id.to_string());
    visitor.say("c2", "kadonnut").await;
    assert_eq!(visitor.next("ack").await["seq"], 2);
    replica.stop().await;
}

#[tokio::test]
async fn nothing_is_acknowledged_while_the_bus_is_away() {
    let harness = Harness::new().await;
    let replica = replica(&harness, "one", config()).await;
    let mut visitor = replica.open(None, 0).await;
    let jetstream = async_nats::jetstream::new(harness.bus.client().clone());
    jetstream
        .delete_stream(harness.bus.stream_name("INBOUND"))
        .await
        .unwrap();
    visitor.say("c1", "Hei").await;
    assert_eq!(
        visitor.error().await,
        json!({"code": "unavailable", "retry_after_ms": 2000})
    );
    solmu_bus::streams::apply(&harness.bus, 1).await.unwrap();
    visitor.say("c1", "Hei").await;
    assert_eq!(visitor.next("ack").await["seq"], 1);
    let events = received(&harness).await;
    assert_eq!((events.len(), events[0].text.as_str()), (1, "Hei"));
    replica.stop().await;
}

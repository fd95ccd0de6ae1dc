//! Limits, refusals and ends.

use super::*;

#[tokio::test]
async fn limits_and_bad_frames_have_codes() {
    let harness = Harness::new().await;
    let limits = Limits {
        sockets_per_address: 2,
        ..Limits::default()
    };
    let replica = replica(&harness, "one", Config { limits, ..config() }).await;
    let mut visitor = replica.open(None, 0).await;
    for number in 0..10 {
        visitor.say(&format!("c{number}"), "x").await;
    }
    visitor.say("one too many", "x").await;
    visitor.say("c10", "x").await;
    assert_eq!(visitor.error().await["code"], "bad_message");
    assert_eq!(
        visitor.error().await,
        json!({"code": "rate_limited", "retry_after_ms": 1000})
    );
    harness.clock.advance(SignedDuration::from_secs(1));
    visitor.say("c10", "x").await;
    while visitor.next("ack").await["body"]["client_msg_id"] != "c10" {}
    for (text, code) in [
        ("garbage".to_owned(), "bad_frame"),
        (json!({"type": "fly"}).to_string(), "unknown_type"),
        (json!({"type": "message", "body": {"client_msg_id": "big", "text": "x".repeat(17_000)}}).to_string(), "frame_too_large"),
    ] {
        visitor.send_raw(text).await;
        assert_eq!(visitor.error().await["code"], code);
    }
    visitor.send_raw("x".repeat(200_000)).await;
    while visitor.any().await.is_some() {}

    let mut other = replica.connect().await;
    other
        .send("message", json!({"client_msg_id": "c", "text": "x"}))
        .await;
    assert_eq!(other.error().await["code"], "hello_first");
    other.send("hello", json!({"session": "made-up"})).await;
    assert_eq!(other.error().await["code"], "session_unknown");
    assert_eq!(other.closed().await, 4401);
    wait_for("places to be given back", || async {
        replica
            .service
            .hub
            .admit([127, 0, 0, 1].into(), 1)
            .is_some()
    })
    .await;
    let _kept = (replica.connect().await, replica.connect().await);
    assert_eq!(replica.try_connect("main", None).await.err(), Some(429));
    replica.stop().await;
}

#[tokio::test]
async fn only_named_pages_and_inboxes_connect() {
    let harness = Harness::new().await;
    let mut config = config();
    config.inboxes[0].allowed_origins = vec!["https://shop.example".to_owned()];
    let replica = replica(&harness, "one", config).await;
    assert!(
        replica
            .try_connect("main", Some("https://shop.example"))
            .await
            .is_ok()
    );
    let own = format!("http://{}", replica.address);
    assert!(replica.try_connect("main", Some(&own)).await.is_ok());
    assert_eq!(
        replica
            .try_connect("main", Some("https://evil.example"))
            .await
            .err(),
        Some(403)
    );
    assert_eq!(replica.try_connect("none", None).await.err(), Some(404));
    replica.stop().await;
}

#[tokio::test]
async fn an_ended_chat_is_over_everywhere() {
    let harness = Harness::new().await;
    let (one, two) = (
        replica(&harness, "one", config()).await,
        replica(&harness, "two", config()).await,
    );
    let mut visitor = one.open(None, 0).await;
    let token = visitor.token.clone();
    let mut elsewhere = two.open(Some(&token), 0).await;
    visitor.say("c1", "Hei").await;
    visitor.next("ack").await;
    let session = received(&harness).await[0].conversation_key.clone();
    visitor.send("end", json!({})).await;
    assert_eq!(
        visitor.next("closed").await["body"],
        json!({"reconnect": false, "reason": "ended"})
    );
    elsewhere.next("closed").await;
    let mut again = one.connect().await;
    again.send("hello", json!({"session": token})).await;
    assert_eq!(again.error().await["code"], "session_ended");
    let id = answer(&harness, &session, "Liian myöhään").await;
    wait_for("a report of failed", || async {
        reported(&harness, &id)
            .await
            .contains(&DeliveryState::Failed)
    })
    .await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn sessions_slide_expire_and_are_swept() {
    let harness = Harness::new().await;
    let replica = replica(&harness, "one", config()).await;
    let token = replica.open(None, 0).await.token;
    for _ in 0..2 {
        harness.clock.advance(SignedDuration::from_hours(29 * 24));
        replica.open(Some(&token), 0).await;
    }
    harness.clock.advance(SignedDuration::from_hours(31 * 24));
    let mut late = replica.connect().await;
    late.send("hello", json!({"session": token})).await;
    assert_eq!(late.error().await["code"], "session_unknown");
    crate::session::sweep(&harness.db, replica.service.clock.now(), 100)
        .await
        .unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM chat.session")
        .fetch_one(harness.db.pool())
        .await
        .unwrap();
    assert_eq!(left, 0);
    replica.stop().await;
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_hand_and_sends_visitors_elsewhere() {
    let harness = Harness::new().await;
    let replica = replica(&harness, "one", config()).await;
    let mut visitor = replica.open(None, 0).await;
    visitor.say("c1", "Hei").await;
    let first = visitor.any().await.unwrap();
    tokio::join!(replica.stop(), async {
        let mut kinds = vec![first["type"].clone()];
        while kinds.last().unwrap() != "closed" {
            let frame = visitor.any().await.unwrap();
            assert_ne!(frame["body"]["reconnect"], false);
            kinds.push(frame["type"].clone());
        }
        assert!(kinds.contains(&json!("ack")), "{kinds:?}");
        assert_eq!(visitor.closed().await, 1012);
    });
}

#[tokio::test]
async fn the_test_page_is_there_and_strict() {
    let harness = Harness::new().await;
    let replica = replica(&harness, "one", config()).await;
    let router = routes(Arc::clone(&replica.service));
    let get = |path: &str| Request::get(path).body(axum::body::Body::empty()).unwrap();
    let answer = router
        .clone()
        .oneshot(get("/chat/test?inbox=main"))
        .await
        .unwrap();
    assert!(
        answer.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'")
    );
    let page = axum::body::to_bytes(answer.into_body(), usize::MAX)
        .await
        .unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    for part in [
        "role=\"log\" aria-live=\"polite\"",
        "<label for=\"text\">",
        "data-inbox=\"main\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<style") && !page.contains("onclick") && !page.contains("<script>"));
    assert_eq!(
        router
            .clone()
            .oneshot(get("/chat/test?inbox=%22%3E"))
            .await
            .unwrap()
            .status(),
        404
    );
    assert_eq!(
        router
            .oneshot(get("/chat/assets/chat.js"))
            .await
            .unwrap()
            .status(),
        200
    );
    replica.stop().await;
}

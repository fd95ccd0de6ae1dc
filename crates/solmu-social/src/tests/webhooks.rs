//! The webhooks as a vendor sees them, on the real bus.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use serde_json::{Value, json};
use solmu_bus::{Bus, BusConfig, envelope::decode_message};
use solmu_connector::{Intake, IntakeConfig, ObjectStore, raw, signature::hmac_sha256_hex};
use solmu_proto::inbound::v1::{DeliveryReported, MessageReceived, raw_original::Place};
use solmu_runtime::{Keyring, Runtime, RuntimeParts};
use solmu_telemetry::Metrics;
use solmu_testkit::Harness;
use tower::ServiceExt as _;

use crate::{Config, TelegramAccount, TelegramConfig, WhatsappAccount, WhatsappConfig, start};

/// A connector with two WhatsApp numbers of different apps and one bot.
struct World {
    harness: Harness,
    runtime: Runtime,
    store: ObjectStore,
    routes: Router,
    _folder: tempfile::TempDir,
}

fn config() -> Config {
    let whatsapp = |name: &str, number: &str, secret: &str| WhatsappAccount {
        name: name.to_owned(),
        phone_number_id: number.to_owned(),
        app_secret: secret.into(),
        previous_app_secret: "old".into(),
        verify_token: "meatyhamhock".into(),
        ..WhatsappAccount::default()
    };
    let bot = TelegramAccount {
        name: "bot".to_owned(),
        secret_token: "t-1".into(),
        ..TelegramAccount::default()
    };
    Config {
        whatsapp: WhatsappConfig {
            accounts: vec![
                whatsapp("main", "77", "s"),
                whatsapp("same-app", "78", "s"),
                {
                    WhatsappAccount {
                        previous_app_secret: "o".into(),
                        ..whatsapp("other", "79", "o")
                    }
                },
            ],
            ..WhatsappConfig::default()
        },
        telegram: TelegramConfig {
            accounts: vec![bot],
            ..TelegramConfig::default()
        },
        max_body_bytes: 400_000,
        ..Config::default()
    }
}

async fn world_on(bus: Option<Bus>) -> World {
    let harness = Harness::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectStore::open_local(folder.path()).unwrap();
    let runtime = Runtime::new(RuntimeParts {
        clock: Arc::new(harness.clock.clone()),
        rng: harness.rng.clone(),
        db: harness.db.clone(),
        bus: bus.unwrap_or_else(|| harness.bus.clone()),
        metrics: Metrics::new(),
        instance: "one".to_owned(),
        secrets: Keyring::new([("test".to_owned(), vec![7; 32])]).unwrap(),
    });
    let intake = Intake::start(&runtime, IntakeConfig::default());
    let parts = start(&runtime, &intake, &store, &config()).unwrap();
    World {
        harness,
        runtime,
        store,
        routes: parts.http.unwrap(),
        _folder: folder,
    }
}

impl World {
    async fn call(&self, request: Request<Body>) -> (StatusCode, String) {
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn whatsapp(&self, account: &str, secret: &str, body: &str) -> StatusCode {
        let signature = format!(
            "sha256={}",
            hmac_sha256_hex(secret.as_bytes(), &[body.as_bytes()])
        );
        let request = Request::post(format!("/webhooks/whatsapp/{account}"))
            .header("X-Hub-Signature-256", signature);
        self.call(request.body(Body::from(body.to_owned())).unwrap())
            .await
            .0
    }

    async fn telegram(&self, token: &str, body: &str) -> StatusCode {
        let request = Request::post("/webhooks/telegram/bot")
            .header("X-Telegram-Bot-Api-Secret-Token", token);
        self.call(request.body(Body::from(body.to_owned())).unwrap())
            .await
            .0
    }

    /// Messages and reports on the bus, in order.
    async fn events(&self) -> (Vec<MessageReceived>, Vec<DeliveryReported>) {
        let jetstream = async_nats::jetstream::new(self.harness.bus.client().clone());
        let stream = jetstream
            .get_stream(self.harness.bus.stream_name("INBOUND"))
            .await
            .unwrap();
        let (mut messages, mut reports) = (Vec::new(), Vec::new());
        for sequence in 1..=stream.cached_info().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            for event in decode_message(Some(&message.headers), &message.payload).unwrap() {
                match event.event_type.as_str() {
                    "solmu.inbound.message_received.v1" => messages.push(event.decode().unwrap()),
                    _ => reports.push(event.decode().unwrap()),
                }
            }
        }
        (messages, reports)
    }
}

fn text(number: &str, id: &str) -> Value {
    json!({"field": "messages", "value": {"metadata": {"phone_number_id": number},
        "messages": [{"from": "358401234567", "id": id, "type": "text", "text": {"body": id}}]}})
}

fn request(changes: &[Value]) -> String {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]})
        .to_string()
}

#[tokio::test]
async fn metas_handshake_is_answered_with_its_challenge_only() {
    let world = world_on(None).await;
    let get = |account: &str, query: &str| {
        Request::get(format!("/webhooks/whatsapp/{account}?{query}"))
            .body(Body::empty())
            .unwrap()
    };
    let good = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock";
    assert_eq!(
        world.call(get("main", good)).await,
        (StatusCode::OK, "1158201444".to_owned())
    );
    assert_eq!(world.call(get("none", good)).await.0, StatusCode::NOT_FOUND);
    for bad in [
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=other",
        "hub.mode=subscribe&hub.challenge=1",
        "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=meatyhamhock",
        "hub.mode=subscribe&hub.challenge=%3Cb%3E%20x&hub.verify_token=meatyhamhock",
        "",
    ] {
        assert_eq!(
            world.call(get("main", bad)).await.0,
            StatusCode::FORBIDDEN,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_batch_is_on_the_bus_before_the_answer_and_a_repeat_has_the_same_ids() {
    let world = world_on(None).await;
    let status = json!({"field": "messages", "value": {"metadata": {"phone_number_id": "77"},
        "statuses": [{"id": "wamid.O", "status": "read"}]}});
    let body = request(&[text("77", "a"), text("78", "b"), text("77", "a"), status]);
    assert_eq!(world.whatsapp("main", "s", &body).await, StatusCode::OK);
    let (messages, reports) = world.events().await;
    let mut placed: Vec<_> = messages
        .iter()
        .map(|it| (it.account.as_str(), it.external_id.as_str()))
        .collect();
    placed.sort_unstable();
    assert_eq!(placed, [("main", "a"), ("same-app", "b")]);
    assert_eq!(reports.len(), 1);
    let original = raw::read(&world.store, messages[0].raw.as_ref().unwrap())
        .await
        .unwrap();
    assert_eq!(original, body);
    // The secret before is still good.
    assert_eq!(world.whatsapp("main", "old", &body).await, StatusCode::OK);
    let ids = |messages: &[MessageReceived]| {
        messages
            .iter()
            .map(|it| it.message_id.clone())
            .collect::<std::collections::HashSet<_>>()
    };
    let all = world.events().await.0;
    assert_eq!(ids(&all), ids(&messages));
}

#[tokio::test]
async fn numbers_that_are_unknown_or_of_another_app_stay_with_the_account_addressed() {
    let world = world_on(None).await;
    let body = request(&[text("999", "a"), text("79", "b")]);
    assert_eq!(world.whatsapp("main", "s", &body).await, StatusCode::OK);
    let (messages, _) = world.events().await;
    assert_eq!(messages.len(), 2);
    for message in messages {
        assert_eq!(message.account, "main");
        assert!(message.notices[0].starts_with("came to a number that is not configured"));
    }
}

#[tokio::test]
async fn only_the_vendor_is_believed() {
    let world = world_on(None).await;
    let body = request(&[text("77", "a")]);
    assert_eq!(
        world.whatsapp("main", "wrong", &body).await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        world.whatsapp("other", "s", &body).await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        world.whatsapp("none", "s", &body).await,
        StatusCode::NOT_FOUND
    );
    let unsigned = Request::post("/webhooks/whatsapp/main")
        .body(Body::from(body.clone()))
        .unwrap();
    assert_eq!(world.call(unsigned).await.0, StatusCode::UNAUTHORIZED);
    let twice = Request::post("/webhooks/whatsapp/main")
        .header("X-Hub-Signature-256", "sha256=00")
        .header("X-Hub-Signature-256", "sha256=01");
    assert_eq!(
        world.call(twice.body(Body::from(body)).unwrap()).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(world.telegram("t-2", "{}").await, StatusCode::FORBIDDEN);
    let unsigned = Request::post("/webhooks/telegram/bot")
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(world.call(unsigned).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.events().await.0.len(), 0);
}

#[tokio::test]
async fn odd_requests_of_the_vendor_are_kept_and_taken() {
    let world = world_on(None).await;
    for body in [
        "no json",
        "{}",
        "[]",
        "{\"entry\":[{\"changes\":[{\"field\":\"messages\",\"value\":{\"messages\":[{}]}}]}]}",
    ] {
        assert_eq!(
            world.whatsapp("main", "s", body).await,
            StatusCode::OK,
            "{body}"
        );
        let key = solmu_connector::object_store::ObjectRef::of(body.as_bytes()).key;
        assert!(world.store.contains(&key).await.unwrap(), "{body}");
    }
    assert_eq!(world.telegram("t-1", "no json").await, StatusCode::OK);
    assert_eq!(
        world.telegram("t-1", "{\"update_id\":1,\"poll\":{}}").await,
        StatusCode::OK
    );
    let metrics = world.runtime.metrics.encode();
    assert!(metrics.contains(
        "solmu_webhook_elements_total{channel=\"whatsapp\",outcome=\"kept\",cause=\"no_json\"} 1"
    ));
    assert!(metrics.contains("solmu_webhook_elements_total{channel=\"telegram\",outcome=\"ignored\",cause=\"other_update\"} 1"));
    let huge = "x".repeat(400_001);
    assert_eq!(
        world.whatsapp("main", "s", &huge).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        world.telegram("t-1", &huge).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn half_a_character_does_not_cost_the_neighbours() {
    let world = world_on(None).await;
    let message = |id: &str, text: &str| {
        format!(
            r#"{{"from": "358401", "id": "{id}", "timestamp": "1783000000", "type": "text", "text": {{"body": "{text}"}}}}"#
        )
    };
    let body = format!(
        r#"{{"object": "whatsapp_business_account", "entry": [{{"id": "1", "changes": [{{"field": "messages", "value":
            {{"metadata": {{"phone_number_id": "77"}}, "messages": [{}, {}]}}}}]}}]}}"#,
        message("w.1", "whole"),
        message("w.2", r"cut \ud83d"),
    );
    assert_eq!(world.whatsapp("main", "s", &body).await, StatusCode::OK);
    let texts: Vec<String> = world
        .events()
        .await
        .0
        .into_iter()
        .map(|it| it.text)
        .collect();
    assert_eq!(texts, ["whole", "cut \u{fffd}"]);
}

#[tokio::test]
async fn an_update_of_telegram_is_on_the_bus_before_the_answer() {
    let world = world_on(None).await;
    let body = json!({"update_id": 1, "message": {"message_id": 7, "from": {"id": 42, "first_name": "Aino"},
        "chat": {"id": 42, "type": "private"}, "date": 1_783_000_000, "text": "hei"}});
    assert_eq!(
        world.telegram("t-1", &body.to_string()).await,
        StatusCode::OK
    );
    let (messages, _) = world.events().await;
    assert_eq!(
        (
            messages[0].account.as_str(),
            messages[0].external_id.as_str()
        ),
        ("bot", "42:7")
    );
    assert!(matches!(
        messages[0].raw.as_ref().unwrap().place,
        Some(Place::Inline(_))
    ));
}

#[tokio::test]
async fn large_batches_keep_their_original_outside_the_events() {
    let world = world_on(None).await;
    let changes: Vec<Value> = (0..300)
        .map(|id| text("77", &format!("{id:0>900}")))
        .collect();
    let body = request(&changes[..150]);
    assert_eq!(world.whatsapp("main", "s", &body).await, StatusCode::OK);
    let (messages, _) = world.events().await;
    assert_eq!(messages.len(), 150);
    assert!(
        messages
            .iter()
            .all(|it| matches!(it.raw.as_ref().unwrap().place, Some(Place::ObjectKey(_))))
    );
}

#[tokio::test]
async fn a_bus_that_is_away_makes_the_vendor_come_again() {
    let harness = Harness::new().await;
    // A namespace without streams: nobody acknowledges.
    let config = BusConfig {
        namespace: format!("{}x", harness.bus.config().namespace),
        publish_timeout: std::time::Duration::from_millis(300),
        ..harness.bus.config().clone()
    };
    let bus = Bus::connect(&harness.nats_url, config).await.unwrap();
    let world = world_on(Some(bus)).await;
    assert_eq!(
        world
            .whatsapp("main", "s", &request(&[text("77", "a")]))
            .await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let metrics = world.runtime.metrics.encode();
    assert!(
        metrics.contains("solmu_webhook_requests_total{channel=\"whatsapp\",answer=\"503\"} 1")
    );
}

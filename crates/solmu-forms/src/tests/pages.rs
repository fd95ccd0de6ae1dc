//! What a browser sees.

use solmu_connector::{Intake, IntakeConfig};

use super::*;

#[tokio::test]
async fn a_page_is_posted_once_and_ends_on_the_thank_you_page() {
    let site = site(&Config::default());
    let token = site.token().await;
    let first = site.post_page(&good(&token)).await;
    assert_eq!(first.status, StatusCode::SEE_OTHER);
    let again = site.post_page(&good(&token)).await;
    assert_eq!(
        first.header("location"),
        again.header("location"),
        "a repeat has the same reference"
    );
    let messages = site.taken();
    assert_eq!(
        messages[0].message_id, messages[1].message_id,
        "and is the same message"
    );
    assert_eq!(messages[0].subject, "Lasku");
    assert!(
        messages[0].text.ends_with("Message:\nHei!\nMissä lasku?"),
        "{}",
        messages[0].text
    );
    let thanks = site.get(first.header("location"), &[]).await;
    assert_eq!(thanks.status, StatusCode::OK);
    let reference = first
        .header("location")
        .split_once("ref=")
        .unwrap()
        .1
        .split('&')
        .next()
        .unwrap();
    assert!(thanks.body.contains(reference) && messages[0].notices[0].contains(reference));
    let forged = site
        .get("/forms/contact/thanks?ref=%3Cscript%3E", &[])
        .await;
    assert!(!forged.body.contains("script>"));
}

#[tokio::test]
async fn errors_keep_the_answers_and_the_token() {
    let site = site(&Config::default());
    let token = site.token().await;
    let answer = site
        .post_page(&[
            ("_token", &token),
            ("_lang", "fi"),
            ("name", "Aino"),
            ("email", "x"),
            ("message", ""),
        ])
        .await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    for part in [
        "value=\"Aino\"",
        "id=\"email-error\"",
        "id=\"subject-error\"",
        "id=\"message-error\"",
        "Täytä tämä kenttä",
    ] {
        assert!(
            answer.body.contains(part),
            "{part} is not in\n{}",
            answer.body
        );
    }
    assert_eq!(answer.hidden("_token"), token);
    assert!(site.taken().is_empty());
}

#[tokio::test]
async fn the_time_trap_and_old_pages_keep_the_answers() {
    let site = site(&Config::default());
    let token = site.get("/forms/contact", &[]).await.hidden("_token");
    let fast = site.post_page(&good(&token)).await;
    assert_eq!(
        (fast.status, fast.hidden("_token")),
        (StatusCode::UNPROCESSABLE_ENTITY, token.clone())
    );
    assert!(fast.body.contains("very quick") && fast.body.contains("Aino M"));
    site.clock.advance(SignedDuration::from_hours(25));
    let old = site.post_page(&good(&token)).await;
    assert_eq!(old.status, StatusCode::UNPROCESSABLE_ENTITY);
    let fresh = old.hidden("_token");
    assert_ne!(fresh, token);
    assert!(site.taken().is_empty());
    site.clock.advance(SignedDuration::from_secs(4));
    assert_eq!(
        site.post_page(&good(&fresh)).await.status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        site.post_page(&good("")[1..]).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn a_program_that_fills_everything_in_is_thanked_and_dropped() {
    let site = site(&Config::default());
    let token = site.token().await;
    let mut fields = good(&token);
    fields[5].1 = "http://spam.example";
    let answer = site.post_page(&fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.header("location").contains("ref="));
    assert!(site.taken().is_empty());
    assert!(
        site.metrics
            .encode()
            .contains("solmu_form_posts_total{form=\"contact\",outcome=\"trapped\"} 1")
    );
}

#[tokio::test]
async fn without_the_bus_nothing_is_thanked_for() {
    let site = site(&Config::default());
    let token = site.token().await;
    site.away.store(true, Ordering::SeqCst);
    let page = site.post_page(&good(&token)).await;
    assert_eq!(
        (page.status, page.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "5")
    );
    assert!(page.body.contains("Missä lasku?"), "the answers are kept");
    let api = site.post_json(&good_json(&token), &[]).await;
    assert_eq!(api.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(api.json()["error"]["retry_after_ms"], 5000);
    site.away.store(false, Ordering::SeqCst);
    assert_eq!(
        site.post_page(&good(&page.hidden("_token"))).await.status,
        StatusCode::SEE_OTHER
    );
}

/// The shared samples are not part of the project; where they lie beside it, they are read too.
#[tokio::test]
async fn shared_samples() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/fixtures/channels/web_form");
    let Ok(schema) = std::fs::read(folder.join("shape_jsonschema_conditional.json")) else {
        eprintln!("shared_samples did not run: the folder of shared samples is missing");
        return;
    };
    let form = FormDefinition {
        schema: serde_json::from_slice(&schema).unwrap(),
        fields: Vec::new(),
        ..builtin::contact()
    };
    let site = site(&Config {
        forms: vec![form],
        ..Config::default()
    });
    let token = site.token().await;
    let sample = std::fs::read_to_string(folder.join("shape_urlencoded_nojs.txt")).unwrap();
    let post = |sample: &str| {
        let request = Request::post("/forms/contact")
            .header("content-type", "application/x-www-form-urlencoded");
        request
            .body(Body::from(format!("{}&_token={token}", sample.trim())))
            .unwrap()
    };
    let answer = site.send(post(&sample)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let fields: Value = serde_json::from_str(&site.taken()[0].fields_json).unwrap();
    let expected = json!({"email": "matti@example.fi", "topic": "order", "order_number": "A-1001", "message": "Missä tilaukseni on?"});
    assert_eq!(fields, expected);
    let answer = site.send(post(&sample.replace("A-1001", ""))).await;
    assert!(
        answer.body.contains("id=\"order_number-error\""),
        "the rule of the topic holds"
    );
    let hostile = std::fs::read(folder.join("shape_multipart_two_files.http")).unwrap();
    let request = Request::post("/forms/contact")
        .header("content-type", "multipart/form-data; boundary=----X1");
    assert_eq!(
        site.send(request.body(Body::from(hostile)).unwrap())
            .await
            .status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
}

/// Over the real bus: accepted means that the event is there, once.
#[tokio::test]
async fn an_accepted_post_is_on_the_bus_once() {
    let harness = Harness::new().await;
    let runtime = Runtime::new(RuntimeParts {
        clock: Arc::new(harness.clock.clone()),
        rng: harness.rng.clone(),
        db: harness.db.clone(),
        bus: harness.bus.clone(),
        metrics: Metrics::new(),
        instance: "one".to_owned(),
        secrets: Keyring::new([("test".to_owned(), vec![7; 32])]).unwrap(),
    });
    let parts = crate::start(
        &runtime,
        &Intake::start(&runtime, IntakeConfig::default()),
        &Config::default(),
    )
    .unwrap();
    let site = Site {
        router: parts.http.unwrap(),
        clock: harness.clock.clone(),
        taken: Arc::default(),
        away: Arc::default(),
        metrics: runtime.metrics.clone(),
    };
    let token = site.token().await;
    let jetstream = async_nats::jetstream::new(harness.bus.client().clone());
    let inbound = harness.bus.stream_name("INBOUND");
    jetstream.delete_stream(&inbound).await.unwrap();
    assert_eq!(
        site.post_page(&good(&token)).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    solmu_bus::streams::apply(&harness.bus, 1).await.unwrap();
    let first = site.post_page(&good(&token)).await;
    let again = site.post_page(&good(&token)).await;
    assert_eq!(
        (first.status, first.header("location")),
        (StatusCode::SEE_OTHER, again.header("location"))
    );
    let stream = jetstream.get_stream(&inbound).await.unwrap();
    assert_eq!(
        stream.cached_info().state.messages,
        1,
        "the bus knows a repeat by its id"
    );
    let message = stream.get_raw_message(1).await.unwrap();
    let event = decode_message(Some(&message.headers), &message.payload)
        .unwrap()
        .remove(0);
    let event: MessageReceived = event.decode().unwrap();
    assert_eq!(
        (
            event.channel(),
            event.account.as_str(),
            event.subject.as_str()
        ),
        (Channel::Form, "contact", "Lasku")
    );
    runtime.shutdown.stop.cancel();
    runtime.background.close();
    runtime.background.wait().await;
}

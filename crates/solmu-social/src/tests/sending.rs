//! Sending against a fake vendor: what goes over the wire, and what each answer means.

use std::time::Duration;

use serde_json::{Value, json};
use solmu_connector::{
    http::{self, HttpLimits},
    outbound::{Rests, SendOutcome, Sender},
};
use solmu_proto::{
    outbound::v1::MessageQueued,
    types::v1::{Attachment, Identity},
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_json, header, method, path},
};

use crate::{
    TelegramAccount, TelegramConfig, WhatsappAccount, WhatsappConfig, telegram::TelegramSender,
    whatsapp::WhatsappSender,
};

const MESSAGE: &str = "0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e5f";

fn client() -> reqwest::Client {
    let limits = HttpLimits {
        connect: Duration::from_secs(2),
        total: Duration::from_millis(500),
    };
    http::client(limits).unwrap()
}

fn whatsapp(base_url: &str) -> WhatsappSender {
    let account = WhatsappAccount {
        name: "main".to_owned(),
        phone_number_id: "77".to_owned(),
        app_secret: "s".into(),
        verify_token: "v".into(),
        access_token: "EAAB".into(),
        ..WhatsappAccount::default()
    };
    let config = WhatsappConfig {
        accounts: vec![account],
        ..WhatsappConfig::default()
    };
    WhatsappSender::new(client(), base_url, "v26.0", &config.checked().unwrap())
}

fn telegram(base_url: &str) -> TelegramSender {
    let account = TelegramAccount {
        name: "main".to_owned(),
        secret_token: "s".into(),
        bot_token: "1:AB".into(),
        ..TelegramAccount::default()
    };
    let config = TelegramConfig {
        accounts: vec![account],
        ..TelegramConfig::default()
    };
    TelegramSender::new(client(), base_url, &config.checked().unwrap())
}

fn message(conversation: &str, text: &str) -> MessageQueued {
    MessageQueued {
        message_id: MESSAGE.to_owned(),
        account: "main".to_owned(),
        conversation_key: conversation.to_owned(),
        text: text.to_owned(),
        ..MessageQueued::default()
    }
}

async fn vendor(status: u16, answer: &Value) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(status).set_body_json(answer))
        .mount(&server)
        .await;
    server
}

fn code(outcome: &SendOutcome) -> (&'static str, &str) {
    match outcome {
        SendOutcome::Sent { external_id } => ("sent", external_id),
        SendOutcome::Retry { code, .. } => ("retry", code),
        SendOutcome::Throttled { code, .. } => ("throttled", code),
        SendOutcome::Failed { code, .. } => ("failed", code),
        SendOutcome::Unknown { code, .. } => ("unknown", code),
    }
}

#[tokio::test]
async fn whatsapp_gets_the_text_the_answered_message_and_our_id() {
    let server = MockServer::start().await;
    let wanted = json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": "358401234567", "type": "text",
        "text": {"body": "Hei!", "preview_url": false}, "context": {"message_id": "wamid.1"}, "biz_opaque_callback_data": MESSAGE,
    });
    let answer = json!({"messaging_product": "whatsapp", "contacts": [{"input": "1", "wa_id": "1"}], "messages": [{"id": "wamid.2"}]});
    Mock::given(method("POST"))
        .and(path("/v26.0/77/messages"))
        .and(header("authorization", "Bearer EAAB"))
        .and(body_json(&wanted))
        .respond_with(ResponseTemplate::new(200).set_body_json(answer))
        .expect(1)
        .mount(&server)
        .await;
    let message = MessageQueued {
        in_reply_to: "wamid.1".to_owned(),
        recipient: Some(Identity {
            value: "+358401234567".to_owned(),
            ..Identity::default()
        }),
        ..message("77:358401234567", "Hei!")
    };
    assert_eq!(
        code(&whatsapp(&server.uri()).send(&message).await),
        ("sent", "wamid.2")
    );
}

#[tokio::test]
async fn whatsapp_reaches_customers_without_a_number_and_through_numbers_not_configured() {
    let server = vendor(200, &json!({"messages": [{"id": "w"}]})).await;
    let outcome = whatsapp(&server.uri())
        .send(&message("999:FI.1349", "a"))
        .await;
    assert_eq!(code(&outcome), ("sent", "w"));
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].url.path(), "/v26.0/999/messages");
    let body: Value = requests[0].body_json().unwrap();
    assert_eq!(
        (&body["recipient"], body.get("to"), body.get("context")),
        (&json!("FI.1349"), None, None)
    );
}

#[tokio::test]
async fn whatsapps_errors_are_told_apart() {
    let error = |number: i64| json!({"error": {"message": "m", "code": number}});
    for (status, body, expected) in [
        (400, error(131_047), ("failed", "131047")),
        (400, error(131_026), ("failed", "131026")),
        (429, error(130_429), ("throttled", "130429")),
        (400, error(131_056), ("throttled", "131056")),
        (500, error(131_000), ("retry", "131000")),
        (401, error(190), ("retry", "190")),
        (400, error(55_555), ("failed", "55555")),
        (
            500,
            json!({"error": {"code": 55_555, "is_transient": true}}),
            ("retry", "55555"),
        ),
        (502, json!("bad gateway"), ("unknown", "http_502")),
        (429, json!({}), ("throttled", "http_429")),
        (404, json!({}), ("failed", "http_404")),
        (200, json!({"messages": []}), ("unknown", "no_message_id")),
    ] {
        let server = vendor(status, &body).await;
        let outcome = whatsapp(&server.uri())
            .send(&message("77:358401234567", "a"))
            .await;
        assert_eq!(code(&outcome), expected);
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_a_refused_connection_is_not() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200)
        .set_body_json(json!({}))
        .set_delay(Duration::from_secs(3));
    Mock::given(method("POST"))
        .respond_with(slow)
        .mount(&server)
        .await;
    let outcome = whatsapp(&server.uri())
        .send(&message("77:358401234567", "a"))
        .await;
    assert_eq!(code(&outcome), ("unknown", "no_answer"));
    let outcome = telegram(&server.uri()).send(&message("42", "a")).await;
    assert_eq!(code(&outcome), ("unknown", "no_answer"));
    let nobody = "http://127.0.0.1:1";
    assert_eq!(
        code(
            &whatsapp(nobody)
                .send(&message("77:358401234567", "a"))
                .await
        ),
        ("retry", "unreachable")
    );
    let outcome = telegram(nobody).send(&message("42", "a")).await;
    assert_eq!(code(&outcome), ("retry", "unreachable"));
    assert!(!format!("{outcome:?}").contains("1:AB"));
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_without_asking_the_vendor() {
    let sender = whatsapp("http://127.0.0.1:1");
    let unknown = MessageQueued {
        account: "gone".to_owned(),
        ..message("77:1", "a")
    };
    assert_eq!(
        code(&sender.send(&unknown).await),
        ("failed", "unknown_account")
    );
    let with_file = MessageQueued {
        attachments: vec![Attachment::default()],
        ..message("77:1", "a")
    };
    assert_eq!(
        code(&sender.send(&with_file).await),
        ("failed", "attachments_not_supported")
    );
    assert_eq!(
        code(&sender.send(&message("", "a")).await),
        ("failed", "no_recipient")
    );
    assert_eq!(
        code(&sender.send(&message("77:1", "")).await),
        ("failed", "empty")
    );
    assert_eq!(
        code(
            &telegram("http://127.0.0.1:1")
                .send(&message("x", "a"))
                .await
        ),
        ("failed", "no_recipient")
    );
}

#[tokio::test]
async fn telegram_gets_the_chat_the_text_and_the_answered_message() {
    let server = MockServer::start().await;
    let wanted = json!({
        "chat_id": 42, "text": "Hei!", "business_connection_id": "BC",
        "reply_parameters": {"message_id": 7, "allow_sending_without_reply": true},
    });
    let answer = json!({"ok": true, "result": {"message_id": 8, "chat": {"id": 42}, "business_connection_id": "BC"}});
    Mock::given(method("POST"))
        .and(path("/bot1:AB/sendMessage"))
        .and(body_json(&wanted))
        .respond_with(ResponseTemplate::new(200).set_body_json(answer))
        .expect(1)
        .mount(&server)
        .await;
    let message = MessageQueued {
        in_reply_to: "BC:42:7".to_owned(),
        ..message("business:BC:42", "Hei!")
    };
    assert_eq!(
        code(&telegram(&server.uri()).send(&message).await),
        ("sent", "BC:42:8")
    );
}

#[tokio::test]
async fn long_texts_go_in_parts() {
    let server = vendor(
        200,
        &json!({"ok": true, "result": {"message_id": 8, "chat": {"id": 42}}}),
    )
    .await;
    let text = "sana ".repeat(2_000);
    let message = MessageQueued {
        in_reply_to: "42:7".to_owned(),
        ..message("42", &text)
    };
    assert_eq!(
        code(&telegram(&server.uri()).send(&message).await),
        ("sent", "42:8")
    );
    let bodies: Vec<Value> = server
        .received_requests()
        .await
        .unwrap()
        .iter()
        .map(|request| request.body_json().unwrap())
        .collect();
    assert_eq!(bodies.len(), 3);
    assert_eq!(
        bodies
            .iter()
            .map(|body| body["text"].as_str().unwrap())
            .collect::<String>(),
        text
    );
    assert!(
        bodies[0].get("reply_parameters").is_some() && bodies[1].get("reply_parameters").is_none()
    );
}

#[tokio::test]
async fn telegrams_errors_are_told_apart() {
    let error = |number: i64, description: &str| json!({"ok": false, "error_code": number, "description": description});
    for (status, body, expected) in [
        (
            403,
            error(403, "Forbidden: bot was blocked by the user"),
            ("failed", "blocked"),
        ),
        (
            400,
            error(400, "Bad Request: chat not found"),
            ("failed", "chat_not_found"),
        ),
        (
            400,
            error(400, "Bad Request: message is too long"),
            ("failed", "400"),
        ),
        (401, error(401, "Unauthorized"), ("retry", "unauthorized")),
        (500, error(500, "Internal Server Error"), ("retry", "500")),
        (502, json!("bad gateway"), ("unknown", "http_502")),
        (
            200,
            json!({"ok": true, "result": true}),
            ("unknown", "no_message_id"),
        ),
    ] {
        let server = vendor(status, &body).await;
        assert_eq!(
            code(&telegram(&server.uri()).send(&message("42", "a")).await),
            expected
        );
    }
    let limited = json!({"ok": false, "error_code": 429, "description": "d", "parameters": {"retry_after": 14}});
    let server = vendor(429, &limited).await;
    let outcome = telegram(&server.uri()).send(&message("42", "a")).await;
    assert!(
        matches!(outcome, SendOutcome::Throttled { rests: Rests::Conversation, after: Some(after), .. } if after.as_secs() == 14)
    );
}

#[tokio::test]
async fn a_number_that_sends_too_much_rests_as_long_as_it_is_told() {
    let limited = |headers: [(&'static str, &'static str); 1], code: i64| {
        let mut answer = ResponseTemplate::new(429).set_body_json(json!({"error": {"code": code}}));
        for (name, value) in headers {
            answer = answer.insert_header(name, value);
        }
        answer
    };
    let usage =
        r#"{"102290129340398": [{"type": "whatsapp", "estimated_time_to_regain_access": 2}]}"#;
    for (answer, rests, seconds) in [
        (
            limited([("x-business-use-case-usage", usage)], 80_007),
            Rests::Lane,
            120,
        ),
        (limited([("retry-after", "9")], 130_429), Rests::Lane, 9),
        // One customer's limit is not the number's.
        (
            limited([("retry-after", "900")], 131_056),
            Rests::Conversation,
            6,
        ),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(answer)
            .mount(&server)
            .await;
        let sender = whatsapp(&server.uri());
        match sender.send(&message("77:358401234567", "a")).await {
            SendOutcome::Throttled {
                rests: told,
                after: Some(after),
                ..
            } => assert_eq!((told, after.as_secs()), (rests, seconds)),
            other => panic!("{other:?}"),
        }
    }
    let sender = whatsapp("http://127.0.0.1:1");
    assert_eq!(sender.lane(&message("77:358401234567", "a")), "77");
    assert_eq!(sender.lane(&message("", "a")), "77", "the account's own");
    assert_eq!(
        telegram("http://127.0.0.1:1").lane(&message("42", "a")),
        "main"
    );
}

#[tokio::test]
async fn a_group_that_moved_is_followed() {
    let server = MockServer::start().await;
    let moved = json!({"ok": false, "error_code": 400, "description": "d", "parameters": {"migrate_to_chat_id": -1001}});
    let taken = json!({"ok": true, "result": {"message_id": 1, "chat": {"id": -1001}}});
    Mock::given(method("POST"))
        .and(body_json(json!({"chat_id": -5, "text": "a"})))
        .respond_with(ResponseTemplate::new(400).set_body_json(moved))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(body_json(json!({"chat_id": -1001, "text": "a"})))
        .respond_with(ResponseTemplate::new(200).set_body_json(taken))
        .mount(&server)
        .await;
    assert_eq!(
        code(&telegram(&server.uri()).send(&message("-5", "a")).await),
        ("sent", "-1001:1")
    );
}

//! Stands in for Meta and Telegram: signs webhooks as they do, and answers what we send as their APIs do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{net::TcpListener, task::JoinSet};

use super::{WHATSAPP_NUMBER, wait};

/// `X-Hub-Signature-256` of a body.
pub(crate) fn meta_signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn whatsapp_envelope(value: &Value) -> Vec<u8> {
    let change = json!({ "field": "messages", "value": value });
    let body = json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [change] }] });
    serde_json::to_vec(&body).unwrap()
}

fn whatsapp_metadata() -> Value {
    json!({ "display_phone_number": "358401234567", "phone_number_id": WHATSAPP_NUMBER })
}

/// The webhook body of a text message.
pub(crate) fn whatsapp_message(wa_id: &str, name: &str, id: &str, text: &str) -> Vec<u8> {
    whatsapp_envelope(&json!({
        "messaging_product": "whatsapp",
        "metadata": whatsapp_metadata(),
        "contacts": [{ "profile": { "name": name }, "wa_id": wa_id }],
        "messages": [{
            "from": wa_id, "id": id, "timestamp": "1793952000", "type": "text", "text": { "body": text },
        }],
    }))
}

/// The webhook body of a state of a message of ours.
pub(crate) fn whatsapp_status(call: &Call, status: &str) -> Vec<u8> {
    whatsapp_envelope(&json!({
        "messaging_product": "whatsapp",
        "metadata": whatsapp_metadata(),
        "statuses": [{
            "id": call.id, "status": status, "timestamp": "1793952060", "recipient_id": call.to,
        }],
    }))
}

/// The update of a message in a private chat with the bot.
pub(crate) fn telegram_update(update: i64, user: i64, text: &str) -> Value {
    json!({
        "update_id": update,
        "message": {
            "message_id": update,
            "from": { "id": user, "is_bot": false, "first_name": "Emma", "language_code": "en" },
            "chat": { "id": user, "type": "private", "first_name": "Emma" },
            "date": 1_793_952_000,
            "text": text,
        },
    })
}

/// A message that we sent through a vendor.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) to: String,
    pub(crate) text: String,
    /// The id that the vendor gave it.
    pub(crate) id: String,
}

/// The vendors' APIs. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Vendors {
    pub(crate) address: SocketAddr,
    calls: Calls,
    _tasks: JoinSet<()>,
}

type Calls = Arc<Mutex<Vec<Call>>>;

impl Vendors {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Calls::default();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&calls));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(axum::serve(listener, router).await) });
        Self {
            address,
            calls,
            _tasks: tasks,
        }
    }

    /// Waits for the message with that text.
    pub(crate) async fn call_with(&self, text: &str) -> Call {
        wait(&format!("a vendor is sent '{text}'"), async || {
            let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.iter().find(|call| call.text == text).cloned()
        })
        .await
    }
}

async fn answer(State(calls): State<Calls>, uri: Uri, Json(body): Json<Value>) -> Response {
    let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    let number = calls.len() + 1;
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if uri.path() == format!("/v26.0/{WHATSAPP_NUMBER}/messages") {
        let (to, id) = (text_of(&body["to"]), format!("wamid.ours.{number}"));
        calls.push(Call {
            to: to.clone(),
            text: text_of(&body["text"]["body"]),
            id: id.clone(),
        });
        let contacts = json!([{ "input": to, "wa_id": to }]);
        let answer = json!({ "messaging_product": "whatsapp", "contacts": contacts, "messages": [{ "id": id }] });
        return Json(answer).into_response();
    }
    if uri.path() == "/bot1:bot/sendMessage" {
        let (to, text) = (body["chat_id"].to_string(), text_of(&body["text"]));
        calls.push(Call {
            to,
            text: text.clone(),
            id: number.to_string(),
        });
        let chat = json!({ "id": body["chat_id"], "type": "private" });
        let result =
            json!({ "message_id": number, "chat": chat, "date": 1_793_952_120, "text": text });
        return Json(json!({ "ok": true, "result": result })).into_response();
    }
    StatusCode::NOT_FOUND.into_response()
}

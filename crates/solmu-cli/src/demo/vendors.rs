//! Stands in for the Graph API and the Bot API: records what we send, answers as they do, and reports our WhatsApp
//! messages as sent and delivered by signed webhooks.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use anyhow::Context as _;
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use solmu_domain::clock::{Clock as _, SystemClock};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    settings::WhatsappSettings,
    webhooks::{post_whatsapp, whatsapp_status},
};

/// A message that we sent through a vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) vendor: &'static str,
    /// Number or chat.
    pub(crate) to: String,
    pub(crate) text: String,
    /// The id that the vendor gave it.
    pub(crate) id: String,
}

/// What the vendors' stand-in needs.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Part of the ids that it gives.
    pub(crate) run: String,
    /// Base URL of our webhooks.
    pub(crate) webhooks: String,
    pub(crate) whatsapp: Option<WhatsappSettings>,
    pub(crate) http: reqwest::Client,
}

#[derive(Debug)]
struct Shared {
    setup: Setup,
    calls: mpsc::UnboundedSender<Call>,
    next: AtomicI64,
    tasks: TaskTracker,
}

/// Listens until the token is cancelled; calls go to the receiver.
pub(crate) async fn start(
    address: SocketAddr,
    setup: Setup,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> anyhow::Result<mpsc::UnboundedReceiver<Call>> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot stand in for the vendors' APIs at {address}: does another demo run?")
    })?;
    let (calls, received) = mpsc::unbounded_channel();
    let shared = Shared {
        setup,
        calls,
        next: AtomicI64::new(1),
        tasks: tasks.clone(),
    };
    let router = Router::new().fallback(answer).with_state(Arc::new(shared));
    tasks.spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        // It ends with the token; a failed connection is the client's to report.
        let _ = serving.await;
    });
    Ok(received)
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    match parts.as_slice() {
        [bot, "sendMessage"] if bot.starts_with("bot") => shared.telegram(&body),
        [_version, number, "messages"] => Arc::clone(&shared).whatsapp(number, &body),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Shared {
    fn telegram(&self, body: &Value) -> Response {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (Some(chat), Some(text)) = (body["chat_id"].as_i64(), body["text"].as_str()) else {
            let refusal = json!({ "ok": false, "error_code": 400, "description": "Bad Request: chat_id and text are needed" });
            return (StatusCode::BAD_REQUEST, Json(refusal)).into_response();
        };
        self.record(Call {
            vendor: "telegram",
            to: chat.to_string(),
            text: text.to_owned(),
            id: id.to_string(),
        });
        let chat = json!({ "id": chat, "type": "private" });
        let date = SystemClock.now().as_second();
        Json(json!({ "ok": true, "result": { "message_id": id, "chat": chat, "date": date, "text": text } })).into_response()
    }

    fn whatsapp(self: Arc<Self>, number: &str, body: &Value) -> Response {
        let (Some(to), Some(text)) = (body["to"].as_str(), body["text"]["body"].as_str()) else {
            let refusal =
                json!({ "error": { "code": 100, "message": "to and text.body are needed" } });
            return (StatusCode::BAD_REQUEST, Json(refusal)).into_response();
        };
        if self
            .setup
            .whatsapp
            .as_ref()
            .is_some_and(|account| account.phone_number_id != number)
        {
            let refusal = json!({ "error": { "code": 100, "message": "no such number" } });
            return (StatusCode::BAD_REQUEST, Json(refusal)).into_response();
        }
        let id = format!(
            "wamid.{}.out.{}",
            self.setup.run,
            self.next.fetch_add(1, Ordering::Relaxed)
        );
        self.record(Call {
            vendor: "whatsapp",
            to: to.to_owned(),
            text: text.to_owned(),
            id: id.clone(),
        });
        let answer = json!({
            "messaging_product": "whatsapp",
            "contacts": [{ "input": to, "wa_id": to }],
            "messages": [{ "id": id }],
        });
        let ours = body["biz_opaque_callback_data"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let (shared, to) = (Arc::clone(&self), to.to_owned());
        self.tasks
            .spawn(async move { shared.report(&id, &ours, &to).await });
        Json(answer).into_response()
    }

    /// What WhatsApp tells of a message. If it does not arrive, the demo says that the message was never delivered.
    async fn report(&self, id: &str, ours: &str, to: &str) {
        let Some(account) = &self.setup.whatsapp else {
            return;
        };
        for status in ["sent", "delivered"] {
            let body =
                whatsapp_status(account, id, ours, to, status, SystemClock.now().as_second());
            if post_whatsapp(&self.setup.http, &self.setup.webhooks, account, &body)
                .await
                .is_err()
            {
                return;
            }
        }
    }

    fn record(&self, call: Call) {
        // The demo may have ended meanwhile.
        let _ = self.calls.send(call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_stand_in_answers_as_the_vendors_do() {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let address = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let http = crate::http::client().unwrap();
        let setup = Setup {
            run: "r".to_owned(),
            webhooks: "http://127.0.0.1:1".to_owned(),
            whatsapp: None,
            http: http.clone(),
        };
        let mut calls = start(address, setup, &tasks, stop.clone()).await.unwrap();
        let post = |path: &str, body: Value| {
            http.post(format!("http://{address}/{path}"))
                .json(&body)
                .send()
        };

        let body =
            json!({ "to": "999", "text": { "body": "Hei" }, "biz_opaque_callback_data": "m" });
        let answer: Value = post("v26.0/106/messages", body)
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(answer["messages"][0]["id"], "wamid.r.out.1");
        let call = calls.recv().await.unwrap();
        assert_eq!(
            (call.vendor, call.to.as_str(), call.text.as_str()),
            ("whatsapp", "999", "Hei")
        );

        let answer: Value = post("bot1:x/sendMessage", json!({ "chat_id": 5, "text": "Hi" }))
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(
            (&answer["ok"], &answer["result"]["chat"]["id"]),
            (&json!(true), &json!(5))
        );
        assert_eq!(calls.recv().await.unwrap().vendor, "telegram");

        assert_eq!(
            post("bot1:x/sendMessage", json!({}))
                .await
                .unwrap()
                .status(),
            400
        );
        assert_eq!(post("elsewhere", json!({})).await.unwrap().status(), 404);
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}

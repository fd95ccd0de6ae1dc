//! The routes as a browser and a program see them, with a bus that can be taken away.

mod api;
mod pages;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, Response, StatusCode},
};
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use solmu_bus::envelope::decode_message;
use solmu_domain::{clock::FakeClock, rng::SeededRng, signed::Signer};
use solmu_proto::{inbound::v1::MessageReceived, types::v1::Channel};
use solmu_runtime::{Keyring, Runtime, RuntimeParts};
use solmu_telemetry::Metrics;
use solmu_testkit::Harness;
use tower::ServiceExt as _;

use crate::{
    Config, builtin,
    config::{FormDefinition, Rate, RateLimits},
    metrics::FormMetrics,
    routes::routes,
    service::{Accept, NotTaken},
};

struct Site {
    router: Router,
    clock: FakeClock,
    taken: Arc<Mutex<Vec<MessageReceived>>>,
    away: Arc<AtomicBool>,
    metrics: Metrics,
}

fn site(config: &Config) -> Site {
    let clock = FakeClock::new(Timestamp::from_second(1_800_000_000).unwrap());
    let (taken, away) = (
        Arc::new(Mutex::new(Vec::new())),
        Arc::new(AtomicBool::new(false)),
    );
    let accept: Accept = {
        let (taken, away) = (Arc::clone(&taken), Arc::clone(&away));
        Arc::new(move |event| {
            let outcome = if away.load(Ordering::SeqCst) {
                Err(NotTaken::Unavailable)
            } else {
                taken.lock().unwrap().push(event);
                Ok(())
            };
            async move { outcome }.boxed()
        })
    };
    let metrics = Metrics::new();
    let parts = crate::Ambient {
        signer: Signer::new([("a".to_owned(), vec![7; 32])]).unwrap(),
        clock: Arc::new(clock.clone()),
        rng: Arc::new(SeededRng::new(1)),
        metrics: FormMetrics::new(&metrics),
        accept,
    };
    let service = crate::service(config, parts).unwrap();
    Site {
        router: routes(Arc::new(service)),
        clock,
        taken,
        away,
        metrics,
    }
}

impl Site {
    async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// A page's token, old enough to be posted.
    async fn token(&self) -> String {
        let page = self.get("/forms/contact", &[]).await;
        let token = page.hidden("_token");
        self.clock.advance(SignedDuration::from_secs(5));
        token
    }

    async fn post_page(&self, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        let request = Request::post("/forms/contact").header(
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8",
        );
        self.send(request.body(Body::from(body.join("&"))).unwrap())
            .await
    }

    async fn post_json(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let mut request =
            Request::post("/forms/contact").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    fn taken(&self) -> Vec<MessageReceived> {
        self.taken.lock().unwrap().clone()
    }
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: String,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn hidden(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let rest = self
            .body
            .split_once(&start)
            .unwrap_or_else(|| panic!("no {name} in\n{}", self.body))
            .1;
        rest.split_once('"').unwrap().0.to_owned()
    }

    fn errors(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.json()["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| (text(&error["field"]), text(&error["code"])))
            .collect()
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn good(token: &str) -> [(&str, &str); 6] {
    [
        ("_token", token),
        ("name", "Aino Mäkinen"),
        ("email", "aino@example.fi"),
        ("subject", "Lasku"),
        ("message", "Hei!\r\nMissä lasku?"),
        ("website", ""),
    ]
}

fn good_json(token: &str) -> Value {
    json!({"_token": token, "name": "Aino", "email": "aino@example.fi", "subject": "Lasku", "message": "Hei"})
}

//! Live chat on the real engines, over real sockets.

mod conversation;
mod edges;
mod forgetting;

use std::{net::SocketAddr, sync::Arc};

use axum::extract::Request;
use futures::{SinkExt as _, StreamExt as _, future::join_all};
use jiff::SignedDuration;
use prost::Message as _;
use serde_json::{Value, json};
use solmu_bus::{Event, envelope::decode_message};
use solmu_connector::{Intake, IntakeConfig, outbound::OutboundConfig};
use solmu_domain::ids::{EventId, MessageId};
use solmu_proto::{
    inbound::v1::{DeliveryReported, MessageReceived},
    outbound::v1::MessageQueued,
    types::v1::{Channel, DeliveryState},
};
use solmu_runtime::{Keyring, Runtime, RuntimeParts};
use solmu_telemetry::Metrics;
use solmu_testkit::{Harness, wait_for};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};
use tower::ServiceExt as _;

use crate::{Config, config::Limits, reconcile::Reconciler, routes::routes, service::Service};

/// One replica of the role.
struct Replica {
    runtime: Runtime,
    service: Arc<Service>,
    intake: Intake,
    address: SocketAddr,
}

fn config() -> Config {
    let outbound = OutboundConfig {
        poll_interval_ms: 20,
        ..OutboundConfig::default()
    };
    Config {
        outbound,
        ..Config::default()
    }
}

async fn replica(harness: &Harness, name: &str, config: Config) -> Replica {
    let runtime = Runtime::new(RuntimeParts {
        clock: Arc::new(harness.clock.clone()),
        rng: harness.rng.clone(),
        db: harness.db.clone(),
        bus: harness.bus.clone(),
        metrics: Metrics::new(),
        instance: name.to_owned(),
        secrets: Keyring::new([("test".to_owned(), vec![7; 32])]).unwrap(),
    });
    let intake = Intake::start(&runtime, IntakeConfig::default());
    let service = crate::start_with(&runtime, config, &intake).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = routes(Arc::clone(&service)).into_make_service_with_connect_info::<SocketAddr>();
    let drained = runtime.shutdown.drain.clone().cancelled_owned();
    runtime.spawn("server", async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(drained)
            .await
            .unwrap();
    });
    Replica {
        runtime,
        service,
        intake,
        address,
    }
}

impl Replica {
    async fn connect(&self) -> Visitor {
        self.try_connect("main", None).await.unwrap()
    }

    /// The answer's status where the connection is refused.
    async fn try_connect(&self, inbox: &str, origin: Option<&str>) -> Result<Visitor, u16> {
        let mut request = format!("ws://{}/chat/v1/ws?inbox={inbox}", self.address)
            .into_client_request()
            .unwrap();
        if let Some(origin) = origin {
            request
                .headers_mut()
                .insert("origin", origin.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Visitor {
                socket,
                token: String::new(),
            }),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn open(&self, token: Option<&str>, last_seq: i64) -> Visitor {
        let mut visitor = self.connect().await;
        visitor.hello(token, last_seq).await;
        visitor
    }

    async fn stop(self) {
        self.runtime.shutdown.drain.cancel();
        self.runtime.tasks.close();
        self.runtime.tasks.wait().await;
        self.runtime.shutdown.stop.cancel();
        self.runtime.background.close();
        self.runtime.background.wait().await;
    }
}

struct Visitor {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    token: String,
}

impl Visitor {
    async fn send(&mut self, kind: &str, body: Value) {
        self.send_raw(json!({"type": kind, "id": "f", "body": body}).to_string())
            .await;
    }

    async fn send_raw(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    async fn hello(&mut self, token: Option<&str>, last_seq: i64) -> i64 {
        let visitor = json!({"name": "Aino", "email": "aino@example.fi"});
        self.send(
            "hello",
            json!({"session": token, "last_seq": last_seq, "language": "fi", "visitor": visitor}),
        )
        .await;
        let welcome = self.next("welcome").await;
        welcome["body"]["session"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.token);
        welcome["seq"].as_i64().unwrap()
    }

    async fn say(&mut self, id: &str, text: &str) {
        self.send("message", json!({"client_msg_id": id, "text": text}))
            .await;
    }

    /// The next frame, of any type; `None` when the connection is closed.
    async fn any(&mut self) -> Option<Value> {
        while let Some(Ok(frame)) = self.socket.next().await {
            if let Message::Text(text) = frame {
                return Some(serde_json::from_str(text.as_str()).unwrap());
            }
        }
        None
    }

    /// The next frame of a type; others are skipped.
    async fn next(&mut self, kind: &str) -> Value {
        loop {
            let frame = self
                .any()
                .await
                .unwrap_or_else(|| panic!("closed while waiting for '{kind}'"));
            if frame["type"] == kind {
                return frame;
            }
            assert_ne!(frame["type"], "error", "{frame}");
        }
    }

    async fn error(&mut self) -> Value {
        loop {
            let frame = self.any().await.expect("closed while waiting for an error");
            if frame["type"] == "error" {
                return frame["body"].clone();
            }
        }
    }

    /// Numbers and texts of the next messages.
    async fn messages(&mut self, count: usize) -> Vec<(i64, String)> {
        let mut all = Vec::new();
        while all.len() < count {
            let frame = self.next("message").await;
            all.push((
                frame["seq"].as_i64().unwrap(),
                frame["body"]["text"].as_str().unwrap().to_owned(),
            ));
        }
        all
    }

    /// The close code.
    async fn closed(&mut self) -> u16 {
        while let Some(Ok(frame)) = self.socket.next().await {
            if let Message::Close(Some(frame)) = frame {
                return frame.code.into();
            }
        }
        panic!("closed without a code");
    }
}

/// Every event on the bus of one type, in order.
async fn on_bus<M: prost::Message + Default>(harness: &Harness, event_type: &str) -> Vec<M> {
    let jetstream = async_nats::jetstream::new(harness.bus.client().clone());
    let stream = jetstream
        .get_stream(harness.bus.stream_name("INBOUND"))
        .await
        .unwrap();
    let mut all = Vec::new();
    for sequence in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        for event in decode_message(Some(&message.headers), &message.payload).unwrap() {
            if event.event_type == event_type {
                all.push(event.decode().unwrap());
            }
        }
    }
    all
}

async fn received(harness: &Harness) -> Vec<MessageReceived> {
    on_bus(harness, "solmu.inbound.message_received.v1").await
}

async fn reported(harness: &Harness, id: &str) -> Vec<DeliveryState> {
    let all: Vec<DeliveryReported> = on_bus(harness, "solmu.inbound.delivery_reported.v1").await;
    all.iter()
        .filter(|report| report.message_id == id)
        .map(DeliveryReported::state)
        .collect()
}

/// Queues an agent's answer, as the ticket service does. Returns its id.
async fn answer(harness: &Harness, session: &str, text: &str) -> String {
    let id = MessageId::of_inbound("test", session, text).to_string();
    let message = MessageQueued {
        message_id: id.clone(),
        channel: Channel::Chat.into(),
        account: "main".to_owned(),
        conversation_key: session.to_owned(),
        text: text.to_owned(),
        from_name: "Liisa".to_owned(),
        ..MessageQueued::default()
    };
    let event_id = EventId::generate(&harness.clock, &*harness.rng);
    let event = Event::new(event_id, "2026-11-02T08:00:00Z".parse().unwrap(), &message);
    harness.bus.publish(&[event]).await.unwrap();
    id
}

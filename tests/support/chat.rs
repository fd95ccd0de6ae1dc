//! A visitor of the live chat.

use std::{net::SocketAddr, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// How long a frame may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// A connection after `welcome`.
#[derive(Debug)]
pub(crate) struct Visitor {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The token of the session.
    pub(crate) session: String,
}

impl Visitor {
    /// Opens a session, or comes back to one after message number `last_seq`.
    pub(crate) async fn open(http: SocketAddr, session: Option<&str>, last_seq: i64) -> Self {
        let (socket, _) = connect_async(format!("ws://{http}/chat/v1/ws?inbox=main"))
            .await
            .unwrap();
        let mut visitor = Self {
            socket,
            session: String::new(),
        };
        let who = json!({ "name": "Ville", "email": "" });
        let body =
            json!({ "session": session, "last_seq": last_seq, "language": "en", "visitor": who });
        visitor.write("hello", &body).await;
        let welcome = visitor.read("welcome").await;
        welcome["body"]["session"]
            .as_str()
            .unwrap()
            .clone_into(&mut visitor.session);
        visitor
    }

    /// Says something; returns when the server has it.
    pub(crate) async fn say(&mut self, id: &str, text: &str) {
        self.write("message", &json!({ "client_msg_id": id, "text": text }))
            .await;
        let ack = self.read("ack").await;
        assert_eq!(ack["body"]["client_msg_id"], id);
    }

    /// The next answer of an agent.
    pub(crate) async fn answer(&mut self) -> Value {
        loop {
            let message = self.read("message").await;
            if message["body"]["direction"] == "out" {
                return message;
            }
        }
    }

    /// Says that messages up to this number have arrived.
    pub(crate) async fn acknowledge(&mut self, seq: i64) {
        self.write("ack", &json!({ "up_to_seq": seq })).await;
    }

    async fn write(&mut self, kind: &str, body: &Value) {
        let frame = json!({ "type": kind, "id": "1", "body": body }).to_string();
        self.socket.send(Message::text(frame)).await.unwrap();
    }

    /// The next frame of a type; others are passed over.
    async fn read(&mut self, kind: &str) -> Value {
        let reading = async {
            loop {
                let frame = self.socket.next().await.expect("the chat goes on").unwrap();
                let Message::Text(text) = frame else { continue };
                let frame: Value = serde_json::from_str(&text).unwrap();
                assert!(
                    frame["type"] != "error" && frame["type"] != "closed",
                    "{frame}"
                );
                if frame["type"] == kind {
                    return frame;
                }
            }
        };
        timeout(PATIENCE, reading)
            .await
            .unwrap_or_else(|_| panic!("no '{kind}' came"))
    }
}

//! A visitor of the live chat: one WebSocket, hello, a message, its acknowledgement.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// How long the server may take to answer a frame.
const FRAME_LIMIT: Duration = Duration::from_secs(10);

/// Who visits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor<'a> {
    pub(crate) name: &'a str,
    pub(crate) email: &'a str,
    pub(crate) language: &'a str,
}

/// Says one thing in an inbox; returns when the server has it on disk.
pub(crate) async fn say(
    base: &str,
    inbox: &str,
    visitor: &Visitor<'_>,
    id: &str,
    text: &str,
) -> anyhow::Result<()> {
    let url = socket_url(base, inbox);
    let (mut socket, _) = connect_async(&url)
        .await
        .with_context(|| format!("cannot open the chat at {url}"))?;
    exchange(&mut socket, &hello(visitor), "welcome").await?;
    let ack = exchange(&mut socket, &message(id, text), "ack").await?;
    if ack["body"]["client_msg_id"] != id {
        bail!("the chat acknowledged another message");
    }
    socket.close(None).await.context("cannot close the chat")
}

fn socket_url(base: &str, inbox: &str) -> String {
    let socket = base.strip_prefix("https").map_or_else(
        || base.replacen("http", "ws", 1),
        |rest| format!("wss{rest}"),
    );
    format!("{socket}/chat/v1/ws?inbox={inbox}")
}

fn hello(visitor: &Visitor<'_>) -> Value {
    let visitor_body = json!({ "name": visitor.name, "email": visitor.email });
    json!({ "type": "hello", "id": "1", "body": { "last_seq": 0, "language": visitor.language, "visitor": visitor_body } })
}

fn message(id: &str, text: &str) -> Value {
    json!({ "type": "message", "id": "2", "body": { "client_msg_id": id, "text": text } })
}

/// Sends a frame and reads until one of the type that is waited for.
async fn exchange(
    socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>,
    frame: &Value,
    wanted: &str,
) -> anyhow::Result<Value> {
    socket
        .send(Message::text(frame.to_string()))
        .await
        .context("cannot write to the chat")?;
    let reading = async {
        while let Some(received) = socket.next().await {
            let Message::Text(text) = received.context("the chat broke off")? else {
                continue;
            };
            let answer: Value = serde_json::from_str(&text).context("the chat sent no JSON")?;
            match answer["type"].as_str() {
                Some(kind) if kind == wanted => return Ok(answer),
                Some("error") => bail!("the chat refused: {}", answer["body"]["code"]),
                Some("closed") => bail!("the chat closed: {}", answer["body"]["reason"]),
                _ => {}
            }
        }
        Err(anyhow!("the chat ended before '{wanted}'"))
    };
    tokio::time::timeout(FRAME_LIMIT, reading)
        .await
        .map_err(|_| anyhow!("the chat did not send '{wanted}' in time"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_addresses() {
        assert_eq!(
            socket_url("http://127.0.0.1:7311", "main"),
            "ws://127.0.0.1:7311/chat/v1/ws?inbox=main"
        );
        assert_eq!(socket_url("https://h", "b"), "wss://h/chat/v1/ws?inbox=b");
        let hello = hello(&Visitor {
            name: "Aino",
            email: "a@b.example",
            language: "fi",
        });
        assert_eq!(
            (&hello["type"], &hello["body"]["visitor"]["email"]),
            (&json!("hello"), &json!("a@b.example"))
        );
        assert_eq!(
            message("c1", "Hei")["body"],
            json!({ "client_msg_id": "c1", "text": "Hei" })
        );
    }
}

//! Frames on the wire: `{"type", "id", "seq", "ts", "body"}` as JSON text.
//!
//! `id` is the sender's name for the frame; an answer to it carries the same one. `seq` is the number of a message in
//! its conversation, `ts` the sender's time. Unknown members are ignored, so that either side may be newer.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// Longest `client_msg_id` and `id`.
const ID_MAX: usize = 64;
/// Longest name and e-mail address of a visitor.
const VISITOR_MAX: usize = 254;

/// A frame of the visitor's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) id: Option<String>,
    pub(crate) sent: Option<Timestamp>,
    pub(crate) body: ClientFrame,
}

/// What the visitor's side can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClientFrame {
    /// First of all: which session, and how far it was seen.
    Hello(Hello),
    Message {
        client_msg_id: String,
        text: String,
    },
    /// The visitor writes. Taken and, while nobody listens, not passed on.
    Typing,
    /// Messages up to this one have arrived.
    Ack {
        up_to_seq: i64,
    },
    /// Messages up to this one were shown.
    Read {
        up_to_seq: i64,
    },
    /// The visitor ends the conversation.
    End,
    Ping,
}

/// Body of `hello`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Hello {
    /// The session's token; absent for a new session.
    pub(crate) session: Option<String>,
    /// Number of the last message that the visitor's side has.
    pub(crate) last_seq: i64,
    pub(crate) visitor: Visitor,
    /// Language of the page.
    pub(crate) language: String,
}

/// What the visitor says of themselves. Never proof of who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Visitor {
    pub(crate) name: String,
    pub(crate) email: String,
}

/// Why a frame or a connection is refused. The codes are part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    BadFrame,
    UnknownType,
    FrameTooLarge,
    Binary,
    HelloFirst,
    HelloTwice,
    HelloTimeout,
    BadMessage,
    RateLimited,
    TooManySessions,
    SessionUnknown,
    SessionEnded,
    Unavailable,
}

impl Code {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::BadFrame => "bad_frame",
            Self::UnknownType => "unknown_type",
            Self::FrameTooLarge => "frame_too_large",
            Self::Binary => "binary_not_taken",
            Self::HelloFirst => "hello_first",
            Self::HelloTwice => "hello_twice",
            Self::HelloTimeout => "hello_timeout",
            Self::BadMessage => "bad_message",
            Self::RateLimited => "rate_limited",
            Self::TooManySessions => "too_many_sessions",
            Self::SessionUnknown => "session_unknown",
            Self::SessionEnded => "session_ended",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A frame that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) code: Code,
    pub(crate) id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    ts: Option<String>,
    #[serde(default)]
    body: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct MessageBody {
    client_msg_id: String,
    text: String,
}

#[derive(Debug, Deserialize)]
struct UpTo {
    up_to_seq: i64,
}

/// Reads one frame.
pub(crate) fn parse(text: &str) -> Result<Incoming, Bad> {
    let envelope: Envelope = serde_json::from_str(text).map_err(|_| Bad {
        code: Code::BadFrame,
        id: None,
    })?;
    let id = envelope.id.filter(|id| is_id(id));
    let sent = envelope.ts.and_then(|ts| ts.parse().ok());
    let body = envelope.body.unwrap_or_else(|| json!({}));
    match client_frame(&envelope.kind, body) {
        Ok(body) => Ok(Incoming { id, sent, body }),
        Err(code) => Err(Bad { code, id }),
    }
}

fn client_frame(kind: &str, body: Value) -> Result<ClientFrame, Code> {
    match kind {
        "hello" => body_of::<Hello>(body).map(|hello| ClientFrame::Hello(hello.tidy())),
        "message" => {
            let MessageBody {
                client_msg_id,
                text,
            } = body_of(body)?;
            let text = solmu_text::clean(&text).trim().to_owned();
            if text.is_empty() || !is_id(&client_msg_id) {
                return Err(Code::BadMessage);
            }
            Ok(ClientFrame::Message {
                client_msg_id,
                text,
            })
        }
        "typing" => Ok(ClientFrame::Typing),
        "ack" => body_of(body).map(|UpTo { up_to_seq }| ClientFrame::Ack { up_to_seq }),
        "read" => body_of(body).map(|UpTo { up_to_seq }| ClientFrame::Read { up_to_seq }),
        "end" => Ok(ClientFrame::End),
        "ping" => Ok(ClientFrame::Ping),
        _ => Err(Code::UnknownType),
    }
}

fn body_of<T: serde::de::DeserializeOwned>(body: Value) -> Result<T, Code> {
    serde_json::from_value(body).map_err(|_| Code::BadFrame)
}

fn is_id(text: &str) -> bool {
    (1..=ID_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Hello {
    fn tidy(mut self) -> Self {
        let tidy = |text: &str| {
            let line = solmu_text::clean(text)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            solmu_text::truncate_chars(&line, VISITOR_MAX).to_owned()
        };
        self.visitor = Visitor {
            name: tidy(&self.visitor.name),
            email: tidy(&self.visitor.email),
        };
        let tag = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if self.language.len() > 35 || !self.language.bytes().all(tag) {
            self.language.clear();
        }
        self.last_seq = self.last_seq.max(0);
        self.session = self.session.filter(|session| !session.is_empty());
        self
    }
}

/// A message as the visitor's side gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) seq: i64,
    /// From the visitor, not to them.
    pub(crate) inbound: bool,
    pub(crate) client_msg_id: Option<String>,
    pub(crate) author: String,
    pub(crate) text: String,
    pub(crate) at: Timestamp,
}

/// What we say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerFrame {
    /// The session is open; `seq` is the number of its last message, of which those after `last_seq` follow.
    Welcome {
        id: Option<String>,
        session: String,
        seq: i64,
    },
    Message(Said),
    /// The message is stored and published.
    Ack {
        id: Option<String>,
        client_msg_id: String,
        seq: i64,
    },
    Error {
        id: Option<String>,
        code: Code,
        retry_after_ms: Option<u64>,
    },
    /// The connection closes now; with `reconnect` the visitor's side is to come back.
    Closed {
        reconnect: bool,
        reason: &'static str,
    },
    Pong {
        id: Option<String>,
    },
}

impl ServerFrame {
    /// The frame as JSON text, sent `now`.
    pub(crate) fn encode(&self, now: Timestamp) -> String {
        let (kind, id, seq, ts, body) = match self {
            Self::Welcome { id, session, seq } => (
                "welcome",
                id.as_ref(),
                Some(*seq),
                now,
                json!({"session": session, "seq": seq}),
            ),
            Self::Message(said) => {
                let mut body = json!({
                    "seq": said.seq, "direction": if said.inbound { "in" } else { "out" },
                    "author": said.author, "text": said.text,
                });
                if let Some(client_msg_id) = &said.client_msg_id {
                    body["client_msg_id"] = client_msg_id.as_str().into();
                }
                ("message", None, Some(said.seq), said.at, body)
            }
            Self::Ack {
                id,
                client_msg_id,
                seq,
            } => (
                "ack",
                id.as_ref(),
                Some(*seq),
                now,
                json!({"client_msg_id": client_msg_id, "seq": seq}),
            ),
            Self::Error {
                id,
                code,
                retry_after_ms,
            } => {
                let mut body = json!({"code": code.as_str()});
                if let Some(wait) = retry_after_ms {
                    body["retry_after_ms"] = (*wait).into();
                }
                ("error", id.as_ref(), None, now, body)
            }
            Self::Closed { reconnect, reason } => (
                "closed",
                None,
                None,
                now,
                json!({"reconnect": reconnect, "reason": reason}),
            ),
            Self::Pong { id } => ("pong", id.as_ref(), None, now, json!({})),
        };
        let mut frame = json!({"type": kind, "ts": ts.to_string(), "body": body});
        if let Some(id) = id {
            frame["id"] = id.as_str().into();
        }
        if let Some(seq) = seq {
            frame["seq"] = seq.into();
        }
        frame.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> ClientFrame {
        parse(text).unwrap().body
    }

    fn code(text: &str) -> &'static str {
        parse(text).unwrap_err().code.as_str()
    }

    #[test]
    fn every_client_frame() {
        let hello = r#"{"type":"hello","id":"1","ts":"2026-11-02T08:00:00Z","new":1,
            "body":{"session":"","last_seq":-3,"language":"fi","visitor":{"name":" Aino\n\u0000M ","email":"a@b.fi"}}}"#;
        let frame = parse(hello).unwrap();
        assert_eq!(frame.id.as_deref(), Some("1"));
        assert_eq!(frame.sent.unwrap().as_second(), 1_793_606_400);
        let ClientFrame::Hello(hello) = frame.body else {
            panic!("not hello")
        };
        assert_eq!(
            (hello.session, hello.last_seq, hello.visitor.name.as_str()),
            (None, 0, "Aino M")
        );
        let message =
            body(r#"{"type":"message","body":{"client_msg_id":"c1","text":" hei\r\nsinä "}}"#);
        assert_eq!(
            message,
            ClientFrame::Message {
                client_msg_id: "c1".to_owned(),
                text: "hei\nsinä".to_owned()
            }
        );
        assert_eq!(
            body(r#"{"type":"read","body":{"up_to_seq":4}}"#),
            ClientFrame::Read { up_to_seq: 4 }
        );
        assert_eq!(
            body(r#"{"type":"ack","body":{"up_to_seq":4}}"#),
            ClientFrame::Ack { up_to_seq: 4 }
        );
        for (text, expected) in [
            ("typing", ClientFrame::Typing),
            ("end", ClientFrame::End),
            ("ping", ClientFrame::Ping),
        ] {
            assert_eq!(body(&format!(r#"{{"type":"{text}"}}"#)), expected);
        }
        assert_eq!(
            body(r#"{"type":"hello","body":null}"#),
            ClientFrame::Hello(Hello::default())
        );
    }

    #[test]
    fn malformed_frames_have_a_code_and_never_panic() {
        for text in [
            "",
            "[]",
            "1",
            "null",
            "{",
            r#"{"type":1}"#,
            r#"{"type":"read"}"#,
            r#"{"type":"read","body":{"up_to_seq":"x"}}"#,
        ] {
            assert_eq!(code(text), "bad_frame", "{text}");
        }
        assert_eq!(code(r#"{"type":"x"}"#), "unknown_type");
        let long = "a".repeat(65);
        for body in [
            r#"{"client_msg_id":"c","text":" "}"#,
            r#"{"client_msg_id":"","text":"x"}"#,
            r#"{"client_msg_id":"a b","text":"x"}"#,
            &format!(r#"{{"client_msg_id":"{long}","text":"x"}}"#),
        ] {
            assert_eq!(
                code(&format!(r#"{{"type":"message","body":{body}}}"#)),
                "bad_message",
                "{body}"
            );
        }
        let deep = format!(
            r#"{{"type":"ping","body":{}{}}}"#,
            "[".repeat(5000),
            "]".repeat(5000)
        );
        assert_eq!(code(&deep), "bad_frame");
    }

    #[test]
    fn frames_of_ours() {
        let now = Timestamp::UNIX_EPOCH;
        let said = Said {
            seq: 3,
            inbound: false,
            client_msg_id: None,
            author: "Liisa".to_owned(),
            text: "Hei \"sinä\"".to_owned(),
            at: now,
        };
        let value: Value = serde_json::from_str(&ServerFrame::Message(said).encode(now)).unwrap();
        let body = json!({"seq": 3, "direction": "out", "author": "Liisa", "text": "Hei \"sinä\""});
        assert_eq!(
            value,
            json!({"type": "message", "seq": 3, "ts": "1970-01-01T00:00:00Z", "body": body})
        );
        let error = ServerFrame::Error {
            id: Some("7".to_owned()),
            code: Code::RateLimited,
            retry_after_ms: Some(900),
        };
        let value: Value = serde_json::from_str(&error.encode(now)).unwrap();
        let body = json!({"code": "rate_limited", "retry_after_ms": 900});
        assert_eq!(
            value,
            json!({"type": "error", "id": "7", "ts": "1970-01-01T00:00:00Z", "body": body})
        );
    }
}

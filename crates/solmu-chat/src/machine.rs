//! One connection as a state machine: frames and the passing of time go in, steps come out. No IO.
//!
//! A connection must say hello before anything else and soon, shows a sign of life in every heartbeat, and is closed
//! after a few frames that are none: who sends garbage is a broken program or worse.

use std::time::Duration;

use jiff::Timestamp;

use crate::frame::{Bad, ClientFrame, Code, Hello, Incoming, ServerFrame, parse};

/// How long a connection may take to say hello.
const HELLO_TIME: Duration = Duration::from_secs(10);
/// Bad frames after which a connection is closed.
const STRIKES: u32 = 5;

/// WebSocket close codes (RFC 6455 section 7.4 and the registry; 4000 to 4999 are ours).
pub(crate) mod close {
    pub(crate) const NORMAL: u16 = 1000;
    pub(crate) const UNSUPPORTED: u16 = 1003;
    pub(crate) const POLICY: u16 = 1008;
    pub(crate) const RESTART: u16 = 1012;
    pub(crate) const TRY_LATER: u16 = 1013;
    pub(crate) const SESSION: u16 = 4401;
    pub(crate) const SILENT: u16 = 4408;
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Reply(ServerFrame),
    /// Open the session, then call [`Connection::welcomed`].
    Greet {
        id: Option<String>,
        hello: Hello,
    },
    Store {
        id: Option<String>,
        client_msg_id: String,
        text: String,
        sent: Option<Timestamp>,
    },
    Delivered {
        up_to_seq: i64,
    },
    Read {
        up_to_seq: i64,
    },
    End,
    /// Send a WebSocket ping.
    Ping,
    Close {
        code: u16,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Connected, nothing said.
    New,
    /// Hello was said, the session is being opened.
    Greeting,
    Open,
}

/// State of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    phase: Phase,
    since: Timestamp,
    heard: Timestamp,
    pinged: Timestamp,
    strikes: u32,
    frame_bytes: usize,
    heartbeat: Duration,
}

impl Connection {
    pub(crate) fn new(now: Timestamp, frame_bytes: usize, heartbeat: Duration) -> Self {
        Self {
            phase: Phase::New,
            since: now,
            heard: now,
            pinged: now,
            strikes: 0,
            frame_bytes,
            heartbeat,
        }
    }

    /// The session is open.
    pub(crate) fn welcomed(&mut self) {
        self.phase = Phase::Open;
    }

    /// A control frame came: a sign of life.
    pub(crate) fn heard(&mut self, now: Timestamp) {
        self.heard = now;
    }

    /// A text frame came.
    pub(crate) fn text(&mut self, now: Timestamp, text: &str) -> Vec<Step> {
        self.heard = now;
        if text.len() > self.frame_bytes {
            return self.strike(Bad {
                code: Code::FrameTooLarge,
                id: None,
            });
        }
        match parse(text) {
            Ok(frame) => self.frame(frame),
            Err(bad) => self.strike(bad),
        }
    }

    /// A binary frame came.
    pub(crate) fn binary(&mut self, now: Timestamp) -> Vec<Step> {
        self.heard = now;
        vec![
            refusal(None, Code::Binary),
            Step::Close {
                code: close::UNSUPPORTED,
            },
        ]
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Vec<Step> {
        let passed = |since: Timestamp| now.duration_since(since);
        let longer = |since, limit: Duration| {
            passed(since).unsigned_abs() >= limit && passed(since).is_positive()
        };
        if self.phase == Phase::New && longer(self.since, HELLO_TIME) {
            return vec![
                refusal(None, Code::HelloTimeout),
                Step::Close {
                    code: close::POLICY,
                },
            ];
        }
        // Two heartbeats missed: pinged twice, and still nothing when the third would be due.
        if longer(self.heard, self.heartbeat * 3) {
            return vec![Step::Close {
                code: close::SILENT,
            }];
        }
        if longer(self.pinged, self.heartbeat) {
            self.pinged = now;
            return vec![Step::Ping];
        }
        Vec::new()
    }

    fn frame(&mut self, frame: Incoming) -> Vec<Step> {
        let Incoming { id, sent, body } = frame;
        let step = match (self.phase, body) {
            (_, ClientFrame::Ping) => Step::Reply(ServerFrame::Pong { id }),
            (Phase::New, ClientFrame::Hello(hello)) => {
                self.phase = Phase::Greeting;
                Step::Greet { id, hello }
            }
            (_, ClientFrame::Hello(_)) => {
                return self.strike(Bad {
                    code: Code::HelloTwice,
                    id,
                });
            }
            (Phase::New | Phase::Greeting, _) => {
                return self.strike(Bad {
                    code: Code::HelloFirst,
                    id,
                });
            }
            (
                Phase::Open,
                ClientFrame::Message {
                    client_msg_id,
                    text,
                },
            ) => Step::Store {
                id,
                client_msg_id,
                text,
                sent,
            },
            (Phase::Open, ClientFrame::Typing) => return Vec::new(),
            (Phase::Open, ClientFrame::Ack { up_to_seq }) => Step::Delivered { up_to_seq },
            (Phase::Open, ClientFrame::Read { up_to_seq }) => Step::Read { up_to_seq },
            (Phase::Open, ClientFrame::End) => Step::End,
        };
        vec![step]
    }

    fn strike(&mut self, Bad { code, id }: Bad) -> Vec<Step> {
        self.strikes += 1;
        let mut steps = vec![refusal(id, code)];
        if self.strikes >= STRIKES {
            steps.push(Step::Close {
                code: close::POLICY,
            });
        }
        steps
    }
}

fn refusal(id: Option<String>, code: Code) -> Step {
    Step::Reply(ServerFrame::Error {
        id,
        code,
        retry_after_ms: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(25);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn new() -> Connection {
        Connection::new(at(0), 1024, HEARTBEAT)
    }

    fn open() -> Connection {
        let mut connection = new();
        connection.text(at(0), r#"{"type":"hello"}"#);
        connection.welcomed();
        connection
    }

    fn refused(steps: &[Step]) -> &'static str {
        match &steps[0] {
            Step::Reply(ServerFrame::Error { code, .. }) => code.as_str(),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn hello_comes_first_and_once() {
        let mut connection = new();
        let message = r#"{"type":"message","id":"7","body":{"client_msg_id":"c","text":"x"}}"#;
        assert_eq!(refused(&connection.text(at(0), message)), "hello_first");
        assert!(matches!(
            connection.text(at(0), r#"{"type":"ping","id":"p"}"#)[0],
            Step::Reply(ServerFrame::Pong { .. })
        ));
        assert!(matches!(
            connection.text(at(0), r#"{"type":"hello"}"#)[0],
            Step::Greet { .. }
        ));
        assert_eq!(
            refused(&connection.text(at(0), message)),
            "hello_first",
            "the session is not open yet"
        );
        connection.welcomed();
        assert!(matches!(
            connection.text(at(0), message)[0],
            Step::Store { .. }
        ));
        assert_eq!(
            refused(&connection.text(at(0), r#"{"type":"hello"}"#)),
            "hello_twice"
        );
    }

    #[test]
    fn who_does_not_say_hello_is_closed() {
        let mut connection = new();
        assert!(connection.tick(at(9)).is_empty());
        let steps = connection.tick(at(10));
        assert_eq!(
            (refused(&steps), &steps[1]),
            (
                "hello_timeout",
                &Step::Close {
                    code: close::POLICY
                }
            )
        );
    }

    #[test]
    fn heartbeats_are_sent_and_missed() {
        let mut connection = open();
        assert!(connection.tick(at(24)).is_empty());
        assert_eq!(connection.tick(at(25)), [Step::Ping]);
        connection.heard(at(26));
        assert_eq!(connection.tick(at(50)), [Step::Ping]);
        assert_eq!(connection.tick(at(75)), [Step::Ping]);
        assert!(connection.tick(at(76)).is_empty());
        assert_eq!(
            connection.tick(at(101)),
            [Step::Close {
                code: close::SILENT
            }]
        );
        assert!(
            open().tick(at(-1000)).is_empty(),
            "a clock that goes back closes nothing"
        );
    }

    #[test]
    fn garbage_is_borne_for_a_while() {
        let mut connection = open();
        for _ in 0..4 {
            assert_eq!(connection.text(at(0), "garbage").len(), 1);
        }
        assert_eq!(
            connection.text(at(0), "garbage")[1],
            Step::Close {
                code: close::POLICY
            }
        );
        assert_eq!(
            refused(&open().text(at(0), &"x".repeat(1025))),
            "frame_too_large"
        );
        assert_eq!(
            open().binary(at(0))[1],
            Step::Close {
                code: close::UNSUPPORTED
            }
        );
    }

    #[test]
    fn marks_and_the_end() {
        let mut connection = open();
        assert_eq!(
            connection.text(at(0), r#"{"type":"read","body":{"up_to_seq":4}}"#),
            [Step::Read { up_to_seq: 4 }]
        );
        assert_eq!(
            connection.text(at(0), r#"{"type":"ack","body":{"up_to_seq":4}}"#),
            [Step::Delivered { up_to_seq: 4 }]
        );
        assert!(connection.text(at(0), r#"{"type":"typing"}"#).is_empty());
        assert_eq!(connection.text(at(0), r#"{"type":"end"}"#), [Step::End]);
    }
}

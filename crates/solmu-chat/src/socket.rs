//! Drives one WebSocket: the state machine decides, this does.
//!
//! Everything that a visitor gets of a conversation is read from the database in order, whatever woke the connection:
//! replay after a reconnect and an answer a moment ago take the same way, so there is no order in which one can be
//! missed or come twice.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;

use crate::{
    event::{Spoken, message},
    frame::{Code, Hello, ServerFrame},
    hub::{Place, Seat},
    machine::{Connection, Step, close},
    metrics::CountedSocket,
    service::{NotOpened, Service},
    session::{self, Session},
    store::{self, NewMessage},
    writer::Outcome,
};

/// Longest time that one frame may take to leave: a visitor who does not read is not waited for.
const SEND_TIME: Duration = Duration::from_secs(10);
/// Longest time that a drain waits for messages in hand.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How often the state machine looks at the clock.
const TICK: Duration = Duration::from_secs(1);
/// Messages of one read from the database.
const PAGE: i64 = 100;
/// Wait that is told when something is away.
const RETRY_MS: u64 = 2_000;

/// Who connected, and where to.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) inbox: String,
    pub(crate) client: IpAddr,
    /// Token of the address line.
    pub(crate) token: Option<String>,
}

/// The connection is over.
struct Gone;

struct Open {
    session: Session,
    seat: Seat,
    sent_seq: i64,
}

/// A message that is being stored and published.
struct Acked {
    id: Option<String>,
    client_msg_id: String,
    outcome: Outcome,
}

pub(crate) struct Driver {
    socket: WebSocket,
    service: Arc<Service>,
    visit: Visit,
    machine: Connection,
    open: Option<Open>,
    in_hand: FuturesUnordered<BoxFuture<'static, Acked>>,
    /// Given back when the connection is over.
    _held: (Place, CountedSocket),
}

impl Driver {
    pub(crate) fn new(
        socket: WebSocket,
        service: Arc<Service>,
        visit: Visit,
        place: Place,
    ) -> Self {
        let machine = Connection::new(
            service.clock.now(),
            service.limits.frame_bytes,
            service.heartbeat,
        );
        let held = (place, service.metrics.socket());
        Self {
            socket,
            service,
            visit,
            machine,
            open: None,
            in_hand: FuturesUnordered::new(),
            _held: held,
        }
    }

    /// Runs until the connection is over.
    pub(crate) async fn run(mut self) {
        let service = Arc::clone(&self.service);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let outcome = tokio::select! {
                biased;
                () = service.drain.cancelled() => {
                    self.drain().await;
                    return;
                }
                Some(acked) = self.in_hand.next(), if !self.in_hand.is_empty() => self.acknowledge(acked).await,
                () = woken(self.open.as_mut()) => self.push().await,
                frame = self.socket.recv() => match frame {
                    Some(Ok(frame)) => self.frame(frame).await,
                    Some(Err(_)) | None => Err(Gone),
                },
                _ = tick.tick() => self.tick().await,
            };
            if outcome.is_err() {
                return;
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.service.clock.now()
    }

    async fn frame(&mut self, frame: Message) -> Result<(), Gone> {
        let now = self.now();
        let steps = match frame {
            Message::Text(text) => self.machine.text(now, text.as_str()),
            Message::Binary(_) => self.machine.binary(now),
            Message::Ping(_) | Message::Pong(_) => {
                self.machine.heard(now);
                return Ok(());
            }
            Message::Close(_) => return Err(Gone),
        };
        self.steps(steps).await
    }

    async fn tick(&mut self) -> Result<(), Gone> {
        let steps = self.machine.tick(self.now());
        if steps.contains(&Step::Ping) {
            // Also a look whether something was missed, should every wake have failed.
            self.push().await?;
        }
        self.steps(steps).await
    }

    async fn steps(&mut self, steps: Vec<Step>) -> Result<(), Gone> {
        for step in steps {
            match step {
                Step::Reply(frame) => self.send(&frame).await?,
                Step::Greet { id, hello } => self.greet(id, hello).await?,
                Step::Store {
                    id,
                    client_msg_id,
                    text,
                    sent,
                } => self.store(id, client_msg_id, &text, sent).await?,
                Step::Delivered { up_to_seq } => self.mark(up_to_seq, 0).await,
                Step::Read { up_to_seq } => self.mark(up_to_seq, up_to_seq).await,
                Step::End => return self.end().await,
                Step::Ping => self.transmit(Message::Ping(bytes::Bytes::new())).await?,
                Step::Close { code } => return self.close(code).await,
            }
        }
        Ok(())
    }

    async fn greet(&mut self, id: Option<String>, hello: Hello) -> Result<(), Gone> {
        let token = hello.session.clone().or_else(|| self.visit.token.clone());
        let service = Arc::clone(&self.service);
        match service
            .open(&self.visit.inbox, self.visit.client, &hello, token)
            .await
        {
            Ok((session, token)) => {
                let seat = service.hub.join(session.id);
                // Who claims to have more than there is has it from another conversation: give them all of this one.
                let sent_seq = if hello.last_seq <= session.last_seq {
                    hello.last_seq
                } else {
                    0
                };
                let welcome = ServerFrame::Welcome {
                    id,
                    session: token,
                    seq: session.last_seq,
                };
                self.open = Some(Open {
                    session,
                    seat,
                    sent_seq,
                });
                self.machine.welcomed();
                self.send(&welcome).await?;
                self.push().await
            }
            Err(NotOpened::Refused { code, wait }) => {
                let retry_after_ms =
                    wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
                self.send(&ServerFrame::Error {
                    id,
                    code,
                    retry_after_ms,
                })
                .await?;
                let close = if code == Code::TooManySessions {
                    close::TRY_LATER
                } else {
                    close::SESSION
                };
                self.close(close).await
            }
            Err(NotOpened::Db(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a chat session could not be opened"
                );
                self.refuse(id, Code::Unavailable, Some(RETRY_MS)).await?;
                self.close(close::TRY_LATER).await
            }
        }
    }

    async fn store(
        &mut self,
        id: Option<String>,
        client_msg_id: String,
        text: &str,
        sent: Option<Timestamp>,
    ) -> Result<(), Gone> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let session = &open.session;
        if let Err(wait) = self.service.messages.check(&session.id) {
            let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            return self.refuse(id, Code::RateLimited, Some(wait)).await;
        }
        let spoken = Spoken {
            client_msg_id: &client_msg_id,
            text,
            sent,
            at: self.now(),
        };
        let new = NewMessage {
            session: session.id,
            client_msg_id: client_msg_id.clone(),
            author: session.visitor.name.clone(),
            text: text.to_owned(),
            event: message(session, &spoken),
            span: tracing::info_span!("chat.message", otel.kind = "server"),
        };
        match self.service.writer.hand_in(new) {
            Ok(answered) => {
                self.in_hand.push(Box::pin(async move {
                    let outcome = answered.await.unwrap_or(Err(Code::Unavailable));
                    Acked {
                        id,
                        client_msg_id,
                        outcome,
                    }
                }));
                Ok(())
            }
            Err(code) => self.refuse(id, code, Some(RETRY_MS)).await,
        }
    }

    async fn acknowledge(
        &mut self,
        Acked {
            id,
            client_msg_id,
            outcome,
        }: Acked,
    ) -> Result<(), Gone> {
        match outcome {
            Ok(seq) => {
                self.send(&ServerFrame::Ack {
                    id,
                    client_msg_id,
                    seq,
                })
                .await
            }
            Err(Code::Unavailable) => self.refuse(id, Code::Unavailable, Some(RETRY_MS)).await,
            Err(code) => self.refuse(id, code, None).await,
        }
    }

    async fn mark(&mut self, delivered: i64, read: i64) {
        let Some(open) = &self.open else { return };
        // Nobody has seen what was not sent.
        let (delivered, read) = (delivered.min(open.sent_seq), read.min(open.sent_seq));
        match session::mark(&self.service.db, open.session.id, delivered, read).await {
            Ok(true) => self.service.marked.notify_one(),
            Ok(false) => {}
            // Marks only move forward: the next one makes up for it.
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a chat mark could not be stored"
            ),
        }
    }

    async fn end(&mut self) -> Result<(), Gone> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let (session, now) = (open.session.id, self.now());
        if let Err(error) = session::end(&self.service.db, session, now).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a chat session could not be ended"
            );
            return self.refuse(None, Code::Unavailable, Some(RETRY_MS)).await;
        }
        self.service.hub.wake(session);
        self.ended().await
    }

    async fn ended(&mut self) -> Result<(), Gone> {
        self.send(&ServerFrame::Closed {
            reconnect: false,
            reason: "ended",
        })
        .await?;
        self.close(close::NORMAL).await
    }

    /// Sends what the visitor's side does not have yet.
    async fn push(&mut self) -> Result<(), Gone> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let id = open.session.id;
        let (last, ended) = match session::state(&self.service.db, id).await {
            Ok(Some(state)) => state,
            Ok(None) => (open.sent_seq, true),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a chat session could not be read"
                );
                return Ok(());
            }
        };
        while let Some(sent) = self
            .open
            .as_ref()
            .map(|open| open.sent_seq)
            .filter(|sent| *sent < last)
        {
            let page = match store::after(&self.service.db, id, sent, PAGE).await {
                Ok(page) if page.is_empty() => break,
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "chat messages could not be read"
                    );
                    return Ok(());
                }
            };
            for said in page {
                let seq = said.seq;
                self.send(&ServerFrame::Message(said)).await?;
                if let Some(open) = &mut self.open {
                    open.sent_seq = seq;
                }
            }
        }
        if ended { self.ended().await } else { Ok(()) }
    }

    /// The process goes: finish what is in hand, then send the visitor's side elsewhere.
    async fn drain(&mut self) {
        let finish = async {
            while let Some(acked) = self.in_hand.next().await {
                if self.acknowledge(acked).await.is_err() {
                    return;
                }
            }
            let closed = ServerFrame::Closed {
                reconnect: true,
                reason: "restart",
            };
            if self.send(&closed).await.is_ok() {
                drop(self.close(close::RESTART).await);
            }
        };
        // What is not finished in time was not acknowledged, and is sent again.
        drop(tokio::time::timeout(DRAIN_TIME, finish).await);
    }

    async fn refuse(
        &mut self,
        id: Option<String>,
        code: Code,
        retry_after_ms: Option<u64>,
    ) -> Result<(), Gone> {
        self.send(&ServerFrame::Error {
            id,
            code,
            retry_after_ms,
        })
        .await
    }

    async fn send(&mut self, frame: &ServerFrame) -> Result<(), Gone> {
        if let ServerFrame::Error { code, .. } = frame {
            self.service.metrics.refused(*code);
        }
        let text = frame.encode(self.now());
        self.transmit(Message::Text(text.into())).await
    }

    async fn close(&mut self, code: u16) -> Result<(), Gone> {
        self.transmit(Message::Close(Some(CloseFrame {
            code,
            reason: "".into(),
        })))
        .await?;
        Err(Gone)
    }

    async fn transmit(&mut self, message: Message) -> Result<(), Gone> {
        match tokio::time::timeout(SEND_TIME, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

async fn woken(open: Option<&mut Open>) {
    match open {
        // An error means that the hub is gone, which it is not while the service lives.
        Some(open) => drop(open.seat.woken.changed().await),
        None => std::future::pending().await,
    }
}

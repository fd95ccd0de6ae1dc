//! A ticket service of a test's own, and what tests look at.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use prost::Message as _;
use solmu_bus::{Event, EventBody, ReceivedEvent, envelope::to_proto_time};
use solmu_domain::{
    clock::Clock as _,
    ids::{EventId, MessageId},
};
use solmu_proto::{
    inbound::v1::{Authenticity, MessageReceived, Sender, Threading, authenticity::Verdict},
    types::v1::{Assurance, AutomaticClass, Channel, Identity, IdentityKind, Mailbox},
};
use solmu_runtime::{Parts, Runtime};
use solmu_testkit::{Harness, wait_for};
use solmu_tickets::{Config, Keep, Keeping, Kept};
use sqlx::PgPool;
use uuid::Uuid;

pub(crate) const ACCOUNT: &str = "main";

/// One database and bus with any number of replicas.
pub(crate) struct World {
    pub(crate) harness: Harness,
    pub(crate) replicas: Vec<Runtime>,
    config: Config,
    /// Where files of answers go.
    pub(crate) files: Arc<Shelf>,
    published: Mutex<HashSet<EventId>>,
}

/// An object store in memory.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<HashMap<String, Vec<u8>>>);

impl Shelf {
    pub(crate) fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(key).cloned()
    }
}

impl Keep for Shelf {
    fn keep(&self, bytes: Vec<u8>) -> Keeping<'_> {
        Box::pin(async move {
            let mut files = self.0.lock().unwrap();
            // The same bytes have the same key, as in the real one.
            let known = files.iter().find(|(_, kept)| **kept == bytes);
            let key = known.map_or_else(|| format!("file {}", files.len()), |(key, _)| key.clone());
            files.insert(key.clone(), bytes);
            Ok(Kept {
                sha256: key.clone(),
                object_key: key,
            })
        })
    }
}

impl World {
    /// With one replica.
    pub(crate) async fn new() -> Self {
        let mut world = Self::empty().await;
        drop(world.start("a").await);
        world
    }

    /// With none yet.
    pub(crate) async fn empty() -> Self {
        Self::with(Config::default()).await
    }

    /// With none yet, of another configuration.
    pub(crate) async fn with(config: Config) -> Self {
        Self {
            harness: Harness::new().await,
            replicas: Vec::new(),
            config,
            files: Arc::default(),
            published: Mutex::default(),
        }
    }

    /// With one replica of another configuration.
    pub(crate) async fn configured(config: Config) -> Self {
        let mut world = Self::with(config).await;
        drop(world.start("a").await);
        world
    }

    /// Starts a replica with a connection of its own to the bus.
    pub(crate) async fn start(&mut self, name: &str) -> Parts {
        let runtime = Runtime {
            bus: self.harness.second_bus().await,
            ..self.harness.runtime(name)
        };
        let files = self.files.clone();
        let (parts, _) =
            solmu_tickets::start_with_files(&runtime, self.config.clone(), Some(files));
        self.replicas.push(runtime);
        parts
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.harness.db.pool()
    }

    /// Publishes each message as one delivery of its own.
    pub(crate) async fn send(&self, messages: &[MessageReceived]) {
        let events: Vec<_> = messages.iter().map(|message| self.event(message)).collect();
        self.publish(&events).await;
    }

    /// Publishes a message and waits until it is filed, so that order is certain; returns its ticket if it has one.
    pub(crate) async fn file(&self, message: &MessageReceived) -> Option<Ticket> {
        self.send(std::slice::from_ref(message)).await;
        self.settled().await;
        self.ticket_of(message).await
    }

    pub(crate) fn event<B: EventBody>(&self, body: &B) -> Event {
        let id = EventId::generate(&self.harness.clock, self.harness.rng.as_ref());
        Event::new(id, self.harness.clock.now(), body)
    }

    pub(crate) async fn publish(&self, events: &[Event]) {
        self.harness.bus.publish(events).await.unwrap();
        let mut published = self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        published.extend(events.iter().map(|event| event.id));
    }

    /// Publishes a decision or a report and waits until it is done.
    pub(crate) async fn tell<B: EventBody>(&self, body: &B) {
        self.publish(&[self.event(body)]).await;
        self.settled().await;
    }

    /// Waits until everything that was published is done, and what came of it is on the bus.
    pub(crate) async fn settled(&self) {
        self.settled_but(0).await;
    }

    /// As [`World::settled`], when `dead` of the events cannot be done.
    pub(crate) async fn settled_but(&self, dead: usize) {
        let wanted = {
            let published = self
                .published
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            published.len() - dead
        };
        wait_for("what was published is done", || async {
            self.count("SELECT count(*) FROM tickets.inbox").await >= i64::try_from(wanted).unwrap()
        })
        .await;
        wait_for("the outbox is empty", || async {
            self.count("SELECT count(*) FROM tickets.outbox WHERE sent_at IS NULL")
                .await
                == 0
        })
        .await;
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    pub(crate) async fn tickets(&self) -> Vec<Ticket> {
        sqlx::query_as("SELECT * FROM tickets.ticket ORDER BY number")
            .fetch_all(self.pool())
            .await
            .unwrap()
    }

    pub(crate) async fn ticket(&self, id: Uuid) -> Ticket {
        sqlx::query_as("SELECT * FROM tickets.ticket WHERE id = $1")
            .bind(id)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    pub(crate) async fn ticket_of(&self, message: &MessageReceived) -> Option<Ticket> {
        sqlx::query_as(
            "SELECT ticket.* FROM tickets.ticket JOIN tickets.message ON ticket.id = message.ticket_id
             WHERE message.id = $1",
        )
        .bind(Uuid::parse_str(&message.message_id).unwrap())
        .fetch_optional(self.pool())
        .await
        .unwrap()
    }

    /// What readers of a message are told.
    pub(crate) async fn notices(&self, message: &MessageReceived) -> Vec<String> {
        sqlx::query_scalar("SELECT notices FROM tickets.message WHERE id = $1")
            .bind(Uuid::parse_str(&message.message_id).unwrap())
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Links of a ticket: the other one and the kind.
    pub(crate) async fn links(&self, ticket: Uuid) -> Vec<(Uuid, String)> {
        sqlx::query_as(
            "SELECT other_id, kind FROM tickets.ticket_link WHERE ticket_id = $1 ORDER BY kind",
        )
        .bind(ticket)
        .fetch_all(self.pool())
        .await
        .unwrap()
    }

    /// How many messages left a ticket.
    pub(crate) async fn moved_away(&self, ticket: Uuid) -> i64 {
        sqlx::query_scalar("SELECT moved_away FROM tickets.ticket WHERE id = $1")
            .bind(ticket)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Puts a ticket into a status, as if by a command.
    pub(crate) async fn set_status(&self, ticket: Uuid, status: &str) {
        sqlx::query(
            "UPDATE tickets.ticket SET status = $2, version = version + 1, routing_version = routing_version + 1,
                close_at = CASE WHEN $2 = 'resolved' THEN $3::timestamptz + interval '7 days' END WHERE id = $1",
        )
        .bind(ticket)
        .bind(status)
        .bind(solmu_db::ToSqlx::to_sqlx(self.harness.clock.now()))
        .execute(self.pool())
        .await
        .unwrap();
    }

    /// Every event of the outbox, in order.
    pub(crate) async fn events(&self) -> Vec<ReceivedEvent> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT event FROM tickets.outbox ORDER BY id")
            .fetch_all(self.pool())
            .await
            .unwrap();
        rows.iter()
            .map(|bytes| {
                let event = solmu_proto::bus::v1::Event::decode(bytes.as_slice()).unwrap();
                ReceivedEvent::from_proto(event).unwrap()
            })
            .collect()
    }

    /// The bodies of the events of one type.
    pub(crate) async fn told<B: EventBody + Default>(&self) -> Vec<B> {
        let events = self.events().await;
        let of_type = events.iter().filter(|event| event.event_type == B::TYPE);
        of_type.map(|event| event.decode().unwrap()).collect()
    }
}

/// What tests look at of a ticket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ticket {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    pub(crate) subject: String,
    pub(crate) recipient: String,
    pub(crate) status: String,
    pub(crate) priority: String,
    pub(crate) contact_id: Uuid,
    pub(crate) team_id: Option<Uuid>,
    pub(crate) assignee_id: Option<Uuid>,
    pub(crate) assign_reason: String,
    pub(crate) tags: Vec<String>,
    pub(crate) breached: bool,
    pub(crate) version: i64,
    pub(crate) routing_version: i64,
    pub(crate) message_count: i64,
    pub(crate) channels: i32,
    pub(crate) previous_ticket_id: Option<Uuid>,
    pub(crate) next_ticket_id: Option<Uuid>,
}
solmu_db::from_row!(Ticket {
    id,
    number,
    subject,
    recipient,
    status,
    priority,
    contact_id,
    team_id,
    assignee_id,
    assign_reason,
    tags,
    breached,
    version,
    routing_version,
    message_count,
    channels,
    previous_ticket_id,
    next_ticket_id
});

pub(crate) fn identity(kind: IdentityKind, value: &str, assurance: Assurance) -> Identity {
    Identity {
        kind: kind.into(),
        value: value.to_owned(),
        raw: value.to_owned(),
        assurance: assurance.into(),
        ..Identity::default()
    }
}

/// A message on any channel.
pub(crate) fn message(
    channel: Channel,
    name: &str,
    id: &str,
    conversation: &str,
    sender: Sender,
) -> MessageReceived {
    MessageReceived {
        message_id: MessageId::of_inbound(name, ACCOUNT, id).to_string(),
        channel: channel.into(),
        account: ACCOUNT.to_owned(),
        external_id: id.to_owned(),
        conversation_key: conversation.to_owned(),
        sender: Some(sender),
        text: format!("words of {id}"),
        received_time: Some(to_proto_time("2026-11-02T07:59:00Z".parse().unwrap())),
        automatic_class: AutomaticClass::Human.into(),
        ..MessageReceived::default()
    }
}

/// A mail that answers nothing.
pub(crate) fn mail(id: &str, from: &str) -> MessageReceived {
    answer(id, from, &[])
}

/// A mail that answers `references`, oldest first, as clients write them.
pub(crate) fn answer(id: &str, from: &str, references: &[&str]) -> MessageReceived {
    let root = references.first().copied().unwrap_or(id);
    let newest_first: Vec<String> = references.iter().rev().map(|&it| it.to_owned()).collect();
    let sender = Sender {
        display_name: String::new(),
        identities: vec![identity(IdentityKind::Email, from, Assurance::Claimed)],
    };
    MessageReceived {
        subject: "Invoice".to_owned(),
        delivered_to: vec!["support@solmu.example".to_owned()],
        threading: Some(Threading {
            message_id_header: id.to_owned(),
            in_reply_to: newest_first.iter().take(1).cloned().collect(),
            references: newest_first,
            ..Threading::default()
        }),
        ..message(Channel::Email, "email", id, root, sender)
    }
}

/// The same, copied to `others`.
pub(crate) fn copied(message: MessageReceived, others: &[&str]) -> MessageReceived {
    let cc = others.iter().map(|&address| Mailbox {
        address: address.to_owned(),
        ..Mailbox::default()
    });
    MessageReceived {
        cc: cc.collect(),
        ..message
    }
}

/// The same, with the outcome of the checks of its sender.
pub(crate) fn judged(message: MessageReceived, verdict: Verdict) -> MessageReceived {
    MessageReceived {
        authenticity: Some(Authenticity {
            verdict: verdict.into(),
            ..Authenticity::default()
        }),
        ..message
    }
}

/// The same, of another class.
pub(crate) fn automatic(message: MessageReceived, class: AutomaticClass) -> MessageReceived {
    MessageReceived {
        automatic_class: class.into(),
        ..message
    }
}

/// An answer whose signature names `ticket`.
pub(crate) fn signed(message: MessageReceived, ticket: Uuid) -> MessageReceived {
    let threading = message.threading.unwrap_or_default();
    MessageReceived {
        threading: Some(Threading {
            signed_ticket_ids: vec![ticket.to_string()],
            ..threading
        }),
        ..message
    }
}

/// A form post.
pub(crate) fn form(id: &str, name: &str, address: &str) -> MessageReceived {
    let sender = Sender {
        display_name: name.to_owned(),
        identities: vec![identity(IdentityKind::Email, address, Assurance::Claimed)],
    };
    MessageReceived {
        account: "contact-form".to_owned(),
        message_id: MessageId::of_inbound("form", "contact-form", id).to_string(),
        subject: "From the form".to_owned(),
        fields_json: r#"{"order": 7}"#.to_owned(),
        ..message(Channel::Form, "form", id, id, sender)
    }
}

/// A chat line.
pub(crate) fn chat(id: &str, session: &str) -> MessageReceived {
    let sender = Sender {
        display_name: "Visitor".to_owned(),
        identities: vec![
            identity(
                IdentityKind::Email,
                "visitor@home.example",
                Assurance::Claimed,
            ),
            identity(IdentityKind::ChatSession, session, Assurance::Proven),
        ],
    };
    message(Channel::Chat, "chat", id, session, sender)
}

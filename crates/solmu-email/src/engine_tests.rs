//! The role on the real bus and database: in by SMTP, out by a relay.

use std::{net::SocketAddr, time::Duration};

use solmu_bus::{Event, envelope::decode_message};
use solmu_connector::{Intake, IntakeConfig, ObjectStore};
use solmu_domain::ids::EventId;
use solmu_proto::{
    inbound::v1::{DeliveryReported, MessageReceived},
    outbound::v1::MessageQueued,
    types::v1::{Channel, DeliveryState, Identity},
};
use solmu_runtime::Runtime;
use solmu_testkit::Harness;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    Config, Started,
    config::{RelayConfig, Tls},
    start,
};

struct Role {
    harness: Harness,
    runtime: Runtime,
    started: Started,
    _folder: tempfile::TempDir,
}

async fn role(mut config: Config) -> Role {
    let harness = Harness::new().await;
    let runtime = harness.runtime("one");
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectStore::open_local(folder.path()).unwrap();
    let intake = Intake::start(&runtime, IntakeConfig::default());
    config.listen = "127.0.0.1:0".parse().unwrap();
    let started = start(&runtime, config, &intake, &store).await.unwrap();
    Role {
        harness,
        runtime,
        started,
        _folder: folder,
    }
}

impl Role {
    /// Events on the inbound stream, in their order.
    async fn inbound(&self) -> Vec<solmu_bus::ReceivedEvent> {
        let jetstream = async_nats::jetstream::new(self.harness.bus.client().clone());
        let stream = jetstream
            .get_stream(self.harness.bus.stream_name("INBOUND"))
            .await
            .unwrap();
        let state = stream.cached_info().state.clone();
        let mut events = Vec::new();
        for sequence in state.first_sequence.max(1)..=state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            events.extend(decode_message(Some(&message.headers), &message.payload).unwrap());
        }
        events
    }

    async fn stop(self) {
        self.runtime.shutdown.drain.cancel();
        self.runtime.tasks.close();
        tokio::time::timeout(Duration::from_mins(2), self.runtime.tasks.wait())
            .await
            .unwrap();
        self.runtime.shutdown.stop.cancel();
        self.runtime.background.close();
        tokio::time::timeout(Duration::from_mins(2), self.runtime.background.wait())
            .await
            .unwrap();
    }
}

/// Sends one mail in one go and returns the replies' codes.
async fn send(address: SocketAddr, id: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let dialogue = format!(
        "EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<support@desk.example>\r\nDATA\r\n\
         From: a@c.example\r\nMessage-ID: <{id}>\r\nSubject: s\r\n\r\nbody\r\n.\r\nQUIT\r\n"
    );
    stream.write_all(dialogue.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let last_lines = answer
        .lines()
        .filter(|line| line.as_bytes().get(3) == Some(&b' '));
    last_lines.map(|line| line[..3].to_owned()).collect()
}

#[tokio::test]
async fn accepted_mail_is_on_the_bus_and_without_bus_nothing_is_accepted() {
    let role = role(Config::default()).await;
    let address = role.started.smtp;
    let sending =
        (0..40).map(|number| async move { send(address, &format!("{number}@c.example")).await });
    let answers = futures::future::join_all(sending).await;
    assert!(
        answers
            .iter()
            .all(|codes| codes == &["220", "250", "250", "250", "354", "250", "221"]),
        "{answers:?}"
    );
    // The same mail again is the same event.
    send(address, "7@c.example").await;
    let mut ids: Vec<EventId> = role.inbound().await.iter().map(|event| event.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 40);
    let message: MessageReceived = role.inbound().await[0].decode().unwrap();
    assert_eq!(
        (
            message.channel(),
            message.account.as_str(),
            message.text.as_str()
        ),
        (Channel::Email, "main", "body")
    );

    let jetstream = async_nats::jetstream::new(role.harness.bus.client().clone());
    jetstream
        .delete_stream(role.harness.bus.stream_name("INBOUND"))
        .await
        .unwrap();
    assert_eq!(send(address, "late@c.example").await[5], "451");
    solmu_bus::streams::apply(&role.harness.bus, 1)
        .await
        .unwrap();
    assert_eq!(send(address, "late@c.example").await[5], "250");
    assert_eq!(role.inbound().await.len(), 1);
    role.stop().await;
}

/// A relay that takes everything; what it was sent comes out of the channel.
async fn relay() -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, log) = tokio::sync::mpsc::unbounded_channel();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test peer that lives as long as the test"
    )]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reader, mut writer) = stream.into_split();
            let mut lines = BufReader::new(reader).lines();
            let _ = writer.write_all(b"220 relay\r\n").await;
            let mut in_data = false;
            while let Ok(Some(line)) = lines.next_line().await {
                let reply = match (in_data, line.as_str()) {
                    (true, ".") => "250 2.0.0 queued\r\n",
                    (true, _) => "",
                    (false, "DATA") => "354 go\r\n",
                    _ => "250 2.0.0 ok\r\n",
                };
                in_data = (in_data || line == "DATA") && line != ".";
                let _ = seen.send(line);
                let _ = writer.write_all(reply.as_bytes()).await;
            }
        }
    });
    (address, log)
}

#[tokio::test]
async fn an_answer_goes_to_the_relay_once_and_is_reported() {
    let (relay, mut log) = relay().await;
    let relay = RelayConfig {
        host: relay.ip().to_string(),
        port: relay.port(),
        tls: Tls::None,
        ..RelayConfig::default()
    };
    let role = role(Config {
        relay: Some(relay),
        ..Config::default()
    })
    .await;
    let id = "0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e60";
    let message = MessageQueued {
        message_id: id.to_owned(),
        ticket_id: "0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e5f".to_owned(),
        channel: Channel::Email.into(),
        account: "main".to_owned(),
        conversation_key: "root@c.example".to_owned(),
        recipient: Some(Identity {
            value: "a@c.example".to_owned(),
            ..Identity::default()
        }),
        subject: "s".to_owned(),
        text: "answer".to_owned(),
        in_reply_to: "root@c.example".to_owned(),
        ..MessageQueued::default()
    };
    let event = Event::new(
        EventId::stable("outbound", &[id]),
        role.runtime.clock.now(),
        &message,
    );
    role.harness.bus.publish(&[event]).await.unwrap();
    let mut seen = Vec::new();
    while !seen.contains(&".".to_owned()) {
        let line = tokio::time::timeout(Duration::from_mins(2), log.recv())
            .await
            .unwrap()
            .unwrap();
        seen.push(line);
    }
    assert!(
        seen.contains(&"RCPT TO:<a@c.example>".to_owned()),
        "{seen:?}"
    );
    assert!(
        seen.contains(&"In-Reply-To: <root@c.example>".to_owned()),
        "{seen:?}"
    );
    solmu_testkit::wait_for("the delivery report", async || {
        !role.inbound().await.is_empty()
    })
    .await;
    let events = role.inbound().await;
    let report: DeliveryReported = events[0].decode().unwrap();
    assert_eq!(
        (report.message_id.as_str(), report.state()),
        (id, DeliveryState::Sent)
    );
    assert!(
        seen.contains(&format!("Message-ID: <{}>", report.external_id)),
        "{seen:?}"
    );
    role.stop().await;
}

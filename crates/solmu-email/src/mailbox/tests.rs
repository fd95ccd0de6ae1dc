//! Mailboxes on the real bus and database, read from a scripted server.

use std::time::Duration;

use solmu_bus::envelope::decode_message;
use solmu_connector::{Intake, IntakeConfig, ObjectStore};
use solmu_imap::testing::{Model, Server, Stored, mail};
use solmu_proto::inbound::v1::MessageReceived;
use solmu_runtime::{Runtime, config::Secret};
use solmu_testkit::{Harness, wait_for};

use super::*;
use crate::{
    accounts::{ConfigError, ConfigErrors},
    config::AccountConfig,
    metrics::EmailMetrics,
    receiver,
};

struct Role {
    harness: Harness,
    server: Server,
    config: Config,
    _folder: tempfile::TempDir,
    store: ObjectStore,
}

async fn role(change: impl FnOnce(&mut Model)) -> Role {
    let server = Server::start(change).await;
    let folder = tempfile::tempdir().unwrap();
    let mailbox = MailboxConfig {
        name: "support".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: server.port,
        tls: Tls::None,
        username: "anna".to_owned(),
        password: Secret::new("secret"),
        ..MailboxConfig::default()
    };
    let account = |name: &str, default| AccountConfig {
        name: name.to_owned(),
        addresses: vec![
            format!("{name}@desk.example"),
            format!("{name}-b@desk.example"),
        ],
        default,
        ..AccountConfig::default()
    };
    Role {
        harness: Harness::new().await,
        server,
        config: Config {
            accounts: vec![account("main", true), account("sales", false)],
            mailboxes: vec![mailbox],
            ..Config::default()
        },
        store: ObjectStore::open_local(folder.path()).unwrap(),
        _folder: folder,
    }
}

impl Role {
    fn start(&self, instance: &str) -> Runtime {
        let runtime = self.harness.runtime(instance);
        let intake = Intake::start(&runtime, IntakeConfig::default());
        let metrics = EmailMetrics::new(&runtime.metrics);
        let receiver = receiver(&runtime, &self.config, &intake, &self.store, metrics).unwrap();
        start(&runtime, &self.config, &receiver, &|_| {
            panic!("no tokens are wanted")
        });
        runtime
    }

    async fn inbound(&self) -> Vec<MessageReceived> {
        let jetstream = async_nats::jetstream::new(self.harness.bus.client().clone());
        let stream = jetstream
            .get_stream(self.harness.bus.stream_name("INBOUND"))
            .await
            .unwrap();
        let state = stream.cached_info().state.clone();
        let mut messages = Vec::new();
        for sequence in state.first_sequence.max(1)..=state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let events = decode_message(Some(&message.headers), &message.payload).unwrap();
            messages.extend(events.into_iter().map(|event| event.decode().unwrap()));
        }
        messages
    }

    async fn cursor(&self) -> Option<(i64, i64)> {
        let uid_validity = self.server.model().uid_validity;
        sqlx::query_as("SELECT taken_uid, settled_uid FROM email.cursor WHERE uid_validity = $1")
            .bind(i64::from(uid_validity))
            .fetch_optional(self.harness.db.pool())
            .await
            .unwrap()
    }

    async fn until_settled(&self, uid: i64) {
        wait_for("all is settled", || async {
            self.cursor().await == Some((uid, uid))
        })
        .await;
    }
}

async fn stop(runtime: Runtime) {
    runtime.shutdown.drain.cancel();
    runtime.tasks.close();
    tokio::time::timeout(Duration::from_mins(2), runtime.tasks.wait())
        .await
        .unwrap();
    runtime.shutdown.stop.cancel();
    runtime.background.close();
    tokio::time::timeout(Duration::from_mins(2), runtime.background.wait())
        .await
        .unwrap();
}

#[tokio::test]
async fn mails_go_to_the_bus_once_and_are_marked() {
    let role = role(|_| ()).await;
    for number in 1..=7 {
        role.server.deliver(&format!("m{number}"));
    }
    let one = role.start("one");
    let two = role.start("two");
    role.until_settled(7).await;
    role.server.deliver("m8");
    role.until_settled(8).await;
    let messages = role.inbound().await;
    // Mails of different conversations may stand in any order on the stream.
    let mut ids: Vec<&str> = messages
        .iter()
        .map(|message| message.external_id.trim_matches(['<', '>']))
        .collect();
    ids.sort_unstable();
    let wanted: Vec<String> = (1..=8)
        .map(|number| format!("m{number}@mail.example"))
        .collect();
    assert_eq!(ids, wanted);
    assert_eq!(messages[0].account, "main");
    assert_eq!(role.server.flags(8), ["$SolmuImported"]);
    stop(one).await;
    stop(two).await;
}

#[tokio::test]
async fn the_other_process_goes_on_where_the_first_was() {
    let role = role(|_| ()).await;
    role.server.deliver("m1");
    let one = role.start("one");
    role.until_settled(1).await;
    stop(one).await;
    role.server.deliver("m2");
    let two = role.start("two");
    role.until_settled(2).await;
    assert_eq!(role.inbound().await.len(), 2);
    let reads = role.server.model().commands.clone();
    let bodies = reads.iter().filter(|line| line.contains("BODY.PEEK[]"));
    assert_eq!(bodies.count(), 2);
    stop(two).await;
}

#[tokio::test]
async fn a_changed_uidvalidity_makes_the_same_messages_again() {
    let role = role(|_| ()).await;
    role.server.deliver("m1");
    // Without a Message-ID it is known by its bytes.
    role.server.model().inbox.insert(
        2,
        Stored {
            raw: b"Subject: anonymous\r\n\r\nx\r\n".to_vec(),
            ..Stored::default()
        },
    );
    role.server.model().uid_next = 3;
    let one = role.start("one");
    role.until_settled(2).await;
    stop(one).await;
    role.server.model().uid_validity = 18;
    let two = role.start("two");
    role.until_settled(2).await;
    stop(two).await;
    // The stream's own window may have dropped the repeats already; what there is has the same ids.
    let messages = role.inbound().await;
    let mut ids: Vec<(String, String)> = messages
        .into_iter()
        .map(|message| (message.message_id, message.external_id))
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM email.cursor")
        .fetch_one(role.harness.db.pool())
        .await
        .unwrap();
    assert_eq!(rows, 2);
}

#[tokio::test]
async fn what_cannot_be_taken_is_noted_and_stops_nothing() {
    let mut role = role(|model| {
        model.refuses.insert((2, true));
        model.refuses.insert((4, true));
        model.refuses.insert((4, false));
    })
    .await;
    role.config.mailboxes[0].tries_per_mail = 1;
    role.config.mailboxes[0].max_message_bytes = 64 * 1024;
    for number in 1..=4 {
        role.server.deliver(&format!("m{number}"));
    }
    let hops = "Received: from a by b\r\n".repeat(200);
    let large = format!(
        "Message-ID: <large@mail.example>\r\n\r\n{}",
        "x".repeat(100_000)
    );
    {
        let mut model = role.server.model();
        let stored = |raw: String| Stored {
            raw: raw.into_bytes(),
            ..Stored::default()
        };
        model
            .inbox
            .insert(5, stored(format!("{hops}{}", mail("m5"))));
        model.inbox.insert(6, stored(large));
        model.uid_next = 7;
    }
    role.server.deliver("m7");
    let one = role.start("one");
    role.until_settled(7).await;
    let skipped: Vec<(i64, String, bool)> =
        sqlx::query_as("SELECT uid, cause, noticed FROM email.skipped ORDER BY uid")
            .fetch_all(role.harness.db.pool())
            .await
            .unwrap();
    let row = |uid, cause: &str, noticed| (uid, cause.to_owned(), noticed);
    assert_eq!(
        skipped,
        [
            row(2, "unreadable", true),
            row(4, "unreadable", false),
            row(5, "loop", false),
            row(6, "too_large", true)
        ]
    );
    let messages = role.inbound().await;
    assert_eq!(messages.len(), 5);
    let large = messages
        .iter()
        .find(|message| message.external_id.contains("large@"))
        .expect("the notice");
    assert!(
        large
            .text
            .contains("stays in the mailbox 'support', folder 'INBOX'")
    );
    assert_eq!(role.server.flags(6), [] as [String; 0]);
    assert_eq!(role.server.flags(7), ["$SolmuImported"]);
    stop(one).await;
}

#[tokio::test]
async fn a_mail_that_comes_whole_later_is_no_repeat_of_its_notice() {
    let mut role = role(|_| ()).await;
    let raw = format!(
        "From: a@c.example\r\nMessage-ID: <late@mail.example>\r\n\r\n{}",
        "x".repeat(100_000)
    );
    role.server.model().inbox.insert(
        1,
        Stored {
            raw: raw.into_bytes(),
            ..Stored::default()
        },
    );
    role.server.model().uid_next = 2;
    role.config.mailboxes[0].max_message_bytes = 64 * 1024;
    let one = role.start("one");
    role.until_settled(1).await;
    stop(one).await;
    // The limit is raised and the folder read anew.
    role.config.mailboxes[0].max_message_bytes = 1024 * 1024;
    role.server.model().uid_validity = 18;
    let two = role.start("two");
    role.until_settled(1).await;
    let mut texts: Vec<usize> = role
        .inbound()
        .await
        .into_iter()
        .map(|message| {
            assert_eq!(message.external_id, "late@mail.example");
            message.text.len()
        })
        .collect();
    texts.sort_unstable();
    assert_eq!(texts.len(), 2, "both are on the bus: their events differ");
    assert!(texts[0] < 1_000 && texts[1] >= 100_000, "{texts:?}");
    stop(two).await;
}

#[tokio::test]
async fn the_mailbox_says_whose_mail_it_is() {
    let mut role = role(|_| ()).await;
    role.config.mailboxes[0].account = "sales".to_owned();
    let to = |uid: u32, to: &str| {
        let raw = format!("{to}Message-ID: <{uid}@c.example>\r\n\r\nx").into_bytes();
        let mut model = role.server.model();
        model.uid_next = uid + 1;
        model.inbox.insert(
            uid,
            Stored {
                raw,
                ..Stored::default()
            },
        );
    };
    to(1, "To: main@desk.example, Sales-B@desk.example\r\n");
    to(2, "To: main@desk.example\r\n");
    let one = role.start("one");
    role.until_settled(2).await;
    let messages = role.inbound().await;
    assert_eq!(messages.len(), 2);
    assert!(messages.iter().all(|message| message.account == "sales"));
    stop(one).await;
}

#[test]
fn configuration_errors_are_all_told() {
    let good = MailboxConfig {
        name: "a".to_owned(),
        host: "imap.example".to_owned(),
        username: "u".to_owned(),
        password: Secret::new("p"),
        ..MailboxConfig::default()
    };
    let bad = MailboxConfig {
        name: "A b".to_owned(),
        account: "nobody".to_owned(),
        host: "imap.example".to_owned(),
        username: "u".to_owned(),
        tls: Tls::None,
        after_import: AfterImport::Move,
        idle_seconds: 1800,
        batch_mails: 0,
        oauth: Some(OauthConfig::default()),
        password: Secret::new("p"),
        ..MailboxConfig::default()
    };
    let config = Config {
        mailboxes: vec![good, bad],
        ..Config::default()
    };
    let signer = crate::testing::signer();
    let ConfigErrors(errors) = Accounts::new(&config, &signer).unwrap_err();
    let mut told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(
        errors
            .iter()
            .all(|error| matches!(error, ConfigError::Mailbox(_)))
    );
    told.sort();
    let wanted = [
        "'after_import = \"move\"' needs 'move_to'",
        "'batch_mails' must be at least 1",
        "'idle_seconds' must be at most 1740",
        "'name' must be 1 to 64 characters of a-z, 0-9, '-' and '_'",
        "'oauth' and 'password' exclude each other",
        "another one reads the same folder",
        "it needs 'tls' unless the server is on this machine",
        "oauth: 'client_id' is empty",
        "oauth: 'client_secret' and 'refresh_token' are both empty",
        "oauth: 'scope' is empty; without a refresh token it must be given",
        "oauth: 'token_url' must be an https address (http only on this machine)",
        "there is no account 'nobody'",
    ];
    assert_eq!(
        told,
        wanted.map(|problem| format!("mailbox 'A b': {problem}"))
    );
}

//! The mails of the shared generator make exactly the tickets, contacts and threads of its truth file, also when they
//! overtake each other on several connections.
//!
//! The generator is not part of the project; where it is not at hand, this test says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use solmu_client::proto::{contact::v1::ListContactsRequest, ticket::v1::ListQuarantineRequest};

use crate::support::{Api, Home, Ports, Settings, Smtp, Solmu, wait};

const MAILS: usize = 300;
const CONNECTIONS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_mails_make_exactly_the_tickets_of_their_truth() {
    let generator =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/mail/gen_mail.py");
    if !generator.exists() {
        eprintln!("not run: the shared mail generator is not there");
        return;
    }
    let (home, ports) = (Home::new(), Ports::free());
    Settings::default().write(&home);
    let folder = generate(&generator, &home.beside("mails"));
    let truth = truth_of(&folder);
    let (solmu, _) = Solmu::start(&home, "solmu", ports, &[]).await;
    send_all(&folder, ports).await;

    let api = Api::agent(&home, &solmu);
    let (_, human_or_threaded): (Vec<_>, Vec<_>) =
        truth.iter().partition(|mail| mail.kind == "auto_u");
    let expected: BTreeSet<BTreeSet<String>> = threads(&human_or_threaded).into_values().collect();
    let filed: usize = expected.iter().map(BTreeSet::len).sum();
    wait("every mail is filed", async || {
        let count: i64 = api
            .tickets()
            .await
            .iter()
            .map(|ticket| ticket.message_count)
            .sum();
        (usize::try_from(count).ok()? >= filed).then_some(())
    })
    .await;
    let mut found = BTreeSet::new();
    for ticket in api.tickets().await {
        let messages = api.messages(&ticket.id).await;
        let ids: BTreeSet<String> = messages
            .iter()
            .map(|message| message.external_id.clone())
            .collect();
        assert_eq!(ids.len(), messages.len(), "no message twice on a ticket");
        found.insert(ids);
    }
    same_threads(&found, &expected);
    let mut client = api.client.contacts();
    let request = ListContactsRequest {
        page_size: 500,
        ..ListContactsRequest::default()
    };
    let contacts = client
        .list_contacts(request)
        .await
        .unwrap()
        .into_inner()
        .contacts;
    let senders: BTreeSet<&str> = human_or_threaded
        .iter()
        .map(|mail| mail.sender.as_str())
        .collect();
    assert_eq!(contacts.len(), senders.len(), "one contact per sender");
    let request = ListQuarantineRequest {
        page_size: 500,
        ..ListQuarantineRequest::default()
    };
    let waiting = api
        .client
        .tickets()
        .list_quarantine(request)
        .await
        .unwrap()
        .into_inner()
        .messages;
    let unthreaded: BTreeSet<&str> = truth
        .iter()
        .filter(|mail| mail.kind == "auto_u")
        .map(|mail| mail.message_id.as_str())
        .collect();
    assert_eq!(
        waiting.len(),
        unthreaded.len(),
        "automatic mail that answers nothing waits"
    );
    solmu.stop().await;
}

/// Compares threads, and shows only what differs.
fn same_threads(found: &BTreeSet<BTreeSet<String>>, expected: &BTreeSet<BTreeSet<String>>) {
    let missing: Vec<_> = expected.difference(found).collect();
    let wrong: Vec<_> = found.difference(expected).collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "the same threads\nmissing: {missing:#?}\ninstead: {wrong:#?}"
    );
}

/// One line of the truth file.
struct Mail {
    kind: String,
    message_id: String,
    sender: String,
    thread: Option<i64>,
}

fn generate(generator: &Path, out: &Path) -> PathBuf {
    let status = Command::new("python3")
        .arg(generator)
        .args(["--n", &MAILS.to_string(), "--seed", "1", "--out"])
        .arg(out)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    out.to_owned()
}

/// The unique mails: a duplicate has the id of another line.
fn truth_of(folder: &Path) -> Vec<Mail> {
    let text = std::fs::read_to_string(folder.join("truth.jsonl")).unwrap();
    let mut seen = BTreeSet::new();
    let mails = text.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let message_id = line["message_id"]
            .as_str()?
            .trim_matches(['<', '>'])
            .to_owned();
        seen.insert(message_id.clone()).then(|| Mail {
            kind: line["kind"].as_str().unwrap_or_default().to_owned(),
            sender: line["sender"].as_str().unwrap_or_default().to_owned(),
            thread: line["thread"].as_i64(),
            message_id,
        })
    });
    mails.collect()
}

fn threads(mails: &[&Mail]) -> BTreeMap<i64, BTreeSet<String>> {
    let mut threads: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    for mail in mails {
        let thread = mail.thread.expect("a mail that is not lost has a thread");
        threads
            .entry(thread)
            .or_default()
            .insert(mail.message_id.clone());
    }
    threads
}

/// Sends every mail, each connection its share, so that answers may overtake what they answer.
async fn send_all(folder: &Path, ports: Ports) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join("eml"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let sending = (0..CONNECTIONS).map(|number| {
        let files = &files;
        async move {
            let mut smtp = Smtp::open(ports.smtp).await.unwrap();
            for file in files.iter().skip(number).step_by(CONNECTIONS) {
                let bytes = std::fs::read(file).unwrap();
                let reply = smtp
                    .send_bytes("x@customers.example", "support@desk.example", &bytes)
                    .await
                    .unwrap();
                assert_eq!(reply.code, 250);
            }
        }
    });
    futures::future::join_all(sending).await;
}

//! Imports of every kind of store, and of generated mail whose truth is known.

mod resume;

use std::{collections::HashMap, fs, path::PathBuf, process::Command, sync::Mutex};

use solmu_connector::IntakeError;
use solmu_proto::types::v1::AutomaticClass;

use super::*;
use crate::{
    config::Config,
    testing::{bench, fixtures},
};

fn mail(number: u32) -> String {
    format!(
        "From: a@c.example\nMessage-ID: <{number}@c.example>\nSubject: s{number}\n\nbody {number}\n"
    )
}

async fn import(
    path: &Path,
    config: &Config,
) -> (crate::testing::Bench, Result<Summary, ImportError>) {
    let bench = bench(config);
    let mut journal = Journal::empty(&bench.folder().join("import.journal"));
    let steps = Mutex::new(Vec::new());
    let summary = run(
        &bench.receiver,
        path,
        &ImportOptions {
            batch: 3,
            ..ImportOptions::default()
        },
        &mut journal,
        |at| {
            steps.lock().unwrap().push(at.read);
        },
    )
    .await;
    assert!(steps.lock().unwrap().is_sorted());
    (bench, summary)
}

#[tokio::test]
async fn folders_of_everything() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for part in [
        "Maildir/cur",
        "Maildir/new",
        "Maildir/tmp",
        "Maildir/.Sent/cur",
        "Maildir/.Sent/new",
        "plain",
    ] {
        fs::create_dir_all(root.join(part)).unwrap();
    }
    fs::write(root.join("Maildir/cur/1.x:2,S"), mail(1)).unwrap();
    fs::write(root.join("Maildir/new/2.x"), mail(2)).unwrap();
    fs::write(root.join("Maildir/tmp/3.x"), mail(3)).unwrap();
    fs::write(root.join("Maildir/.Sent/cur/4.x"), mail(4)).unwrap();
    fs::write(root.join("plain/5.eml"), mail(5)).unwrap();
    fs::write(root.join("plain/notes.txt"), "no mail").unwrap();
    fs::write(
        root.join("a.mbox"),
        format!("From x\n{}\nFrom y\n{}", mail(6), mail(7)),
    )
    .unwrap();
    fs::write(root.join("Maildir/cur/8.x:2,ST"), mail(8)).unwrap();
    fs::write(root.join("plain/9.eml"), "").unwrap();
    let (bench, summary) = import(root, &Config::default()).await;
    let summary = summary.unwrap();
    let progress = summary.progress;
    assert_eq!(
        (progress.read, progress.accepted, progress.refused),
        (6, 6, 0)
    );
    assert!(summary.is_complete());
    assert_eq!(summary.left_out.by_cause(), [("deleted", 1), ("empty", 1)]);
    let messages = bench.desk.messages();
    let ids: Vec<&str> = messages
        .iter()
        .map(|message| message.external_id.as_str())
        .collect();
    assert_eq!(
        ids,
        [
            "4@c.example",
            "1@c.example",
            "2@c.example",
            "6@c.example",
            "7@c.example",
            "5@c.example"
        ]
    );
    assert!(messages.iter().all(|message| message.account == "main"));
}

#[tokio::test]
async fn what_cannot_be_imported_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::default();
    assert!(matches!(
        import(folder.path(), &config).await.1,
        Err(ImportError::Source(SourceError::Nothing(_)))
    ));
    assert!(matches!(
        import(&folder.path().join("gone"), &config).await.1,
        Err(ImportError::Source(SourceError::Read { .. }))
    ));

    let path = folder.path().join("loop.eml");
    fs::write(&path, format!("{}\nx", "Received: by x\n".repeat(51))).unwrap();
    let summary = import(&path, &config).await.1.unwrap();
    assert_eq!(
        (summary.progress.refused, summary.progress.accepted),
        (1, 0)
    );
    assert!(
        summary.refused[0].1.contains("circles"),
        "{:?}",
        summary.refused
    );

    let bench = bench(&config);
    bench.desk.refuse_with(Some(IntakeError::Unavailable));
    fs::write(&path, mail(1)).unwrap();
    let options = ImportOptions {
        tries: 1,
        ..ImportOptions::default()
    };
    let mut journal = Journal::empty(&bench.folder().join("import.journal"));
    let outcome = run(&bench.receiver, &path, &options, &mut journal, |_| {}).await;
    assert!(matches!(
        outcome,
        Err(ImportError::Refused(Refusal::Unavailable(_)))
    ));
    let options = ImportOptions {
        account: Some("gone".to_owned()),
        ..ImportOptions::default()
    };
    assert!(matches!(
        run(&bench.receiver, &path, &options, &mut journal, |_| {}).await,
        Err(ImportError::NoAccount(_))
    ));
}

fn generated(folder: &Path, count: u32) -> Option<PathBuf> {
    let script = fixtures("mail")?.join("gen_mail.py");
    let made = Command::new("python3")
        .arg(script)
        .args(["--n", &count.to_string(), "--seed", "1", "--out"])
        .arg(folder)
        .output();
    match made {
        Ok(output) if output.status.success() => Some(folder.to_owned()),
        _ => {
            eprintln!("no mail could be generated with python3: this test did not run");
            None
        }
    }
}

fn text<'a>(truth: &'a serde_json::Value, key: &str) -> &'a str {
    truth[key]
        .as_str()
        .unwrap_or_default()
        .trim_matches(['<', '>'])
}

#[tokio::test]
async fn generated_mail_is_what_its_truth_says() {
    let folder = tempfile::tempdir().unwrap();
    let Some(root) = generated(folder.path(), 300) else {
        return;
    };
    let (from_mbox, summary) = import(&root.join("mail.mbox"), &Config::default()).await;
    assert_eq!(summary.unwrap().progress.accepted, 300);
    let (from_files, _) = import(&root.join("eml"), &Config::default()).await;
    let truth = fs::read_to_string(root.join("truth.jsonl")).unwrap();
    let messages = from_mbox.desk.messages();
    let files = from_files.desk.messages();
    let mut roots: HashMap<i64, String> = HashMap::new();
    for ((line, message), file) in truth.lines().zip(&messages).zip(&files) {
        let truth: serde_json::Value = serde_json::from_str(line).unwrap();
        let place = text(&truth, "file");
        assert_eq!(message.external_id, text(&truth, "message_id"), "{place}");
        assert_eq!(
            (&file.message_id, &file.text, &file.html),
            (&message.message_id, &message.text, &message.html),
            "{place}"
        );
        assert_eq!(message.subject, text(&truth, "subject"), "{place}");
        let sender = &message.sender.as_ref().unwrap().identities[0];
        assert_eq!(sender.value, text(&truth, "sender"), "{place}");
        assert_eq!(
            message.attachments.len() as u64,
            truth["attachments"].as_u64().unwrap(),
            "{place}"
        );
        assert_eq!(message.notices, Vec::<String>::new(), "{place}");
        let threading = message.threading.as_ref().unwrap();
        assert_eq!(
            threading.in_reply_to.first().map_or("", String::as_str),
            text(&truth, "in_reply_to"),
            "{place}"
        );
        let automatic = message.automatic_class() != AutomaticClass::Human;
        let has_answer = !threading.in_reply_to.is_empty();
        match text(&truth, "kind") {
            "new" | "reply" => assert!(
                !automatic && message.text.contains(text(&truth, "word")),
                "{place}"
            ),
            "auto_t" | "auto_u" => assert_eq!(
                message.automatic_class(),
                AutomaticClass::OutOfOffice,
                "{place}"
            ),
            _ => {}
        }
        // References hold at most eight ids in this mail, so the key is the root only for the younger threads.
        if let Some(thread) = truth["thread"]
            .as_i64()
            .filter(|_| threading.references.len() < 8 && has_answer)
        {
            assert_eq!(
                roots.get(&thread),
                Some(&message.conversation_key),
                "{place}"
            );
        } else if let Some(thread) = truth["thread"].as_i64().filter(|_| !has_answer) {
            roots
                .entry(thread)
                .or_insert_with(|| message.conversation_key.clone());
        }
    }
    assert_eq!((messages.len(), files.len()), (300, 300));
}

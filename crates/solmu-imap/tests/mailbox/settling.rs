use std::collections::BTreeSet;

use solmu_imap::{AfterImport, Event, Position};

use solmu_imap::testing::mail;

use crate::bench::Bench;

fn marked(bench: &Bench) -> Vec<u32> {
    let model = bench.server.model();
    let marked = model
        .inbox
        .iter()
        .filter(|(_, mail)| !mail.flags.is_empty());
    marked.map(|(uid, _)| *uid).collect()
}

#[tokio::test]
async fn nothing_is_marked_before_it_is_on_disk() {
    let mut bench = Bench::with_mails(4, |_| ()).await;
    bench.desk.kept().failures = 3;
    bench.start();
    bench
        .until("three times it fails", |bench| {
            bench.desk.count(Event::Down("downstream")) == 3
        })
        .await;
    bench.until_taken(4).await;
    bench
        .until("all are marked", |bench| marked(bench).len() == 4)
        .await;
    bench.stop().await;
    let commands = bench.server.model().commands.clone();
    let first_mark = commands
        .iter()
        .position(|line| line.starts_with("UID STORE"));
    let last_fetch = commands
        .iter()
        .rposition(|line| line.contains("BODY.PEEK[]"));
    assert!(first_mark > last_fetch, "{commands:?}");
}

#[tokio::test]
async fn what_a_crash_left_unmarked_is_marked_later() {
    let mut bench = Bench::with_mails(6, |_| ()).await;
    {
        let mut kept = bench.desk.kept();
        let position = Position {
            uid_validity: 17,
            taken: 5,
            settled: 1,
        };
        kept.positions.insert(17, position);
        kept.stay.push(3);
    }
    bench.start();
    bench
        .until("all are marked", |bench| marked(bench).len() == 4)
        .await;
    assert_eq!(marked(&bench), [2, 4, 5, 6]);
    assert_eq!(bench.desk.uids(), [6]);
    bench
        .until("it is kept", |bench| {
            bench.desk.kept().positions[&17].settled == 6
        })
        .await;
    bench.stop().await;
}

#[tokio::test]
async fn a_reader_that_is_killed_goes_on_where_it_was() {
    let mut bench = Bench::with_mails(40, |model| model.noisy = true).await;
    for kill_at in [1, 7, 20, 33] {
        bench.start();
        bench
            .until("some are taken", |bench| bench.desk.uids().len() >= kill_at)
            .await;
        bench.kill();
    }
    bench.start();
    bench
        .until("all are marked", |bench| marked(bench).len() == 40)
        .await;
    bench.stop().await;
    let taken: BTreeSet<u32> = bench.desk.uids().into_iter().collect();
    assert_eq!(taken.len(), 40);
}

#[tokio::test]
async fn mails_are_moved_however_the_server_can() {
    for (capabilities, left) in [
        ("IMAP4rev1 AUTH=PLAIN IDLE MOVE", 0),
        ("IMAP4rev1 AUTH=PLAIN IDLE UIDPLUS", 0),
        ("IMAP4rev1 AUTH=PLAIN IDLE", 5),
    ] {
        let mut bench =
            Bench::with_mails(5, |model| model.capabilities = capabilities.to_owned()).await;
        bench.settings.after = AfterImport::Move("Done".to_owned());
        bench.start();
        bench.until_taken(5).await;
        bench
            .until("all are moved", |bench| {
                bench.desk.kept().positions[&17].settled == 5
            })
            .await;
        bench.stop().await;
        let model = bench.server.model();
        assert_eq!(model.folders["\"Done\""].len(), 5, "{capabilities}");
        assert_eq!(model.folders["\"Done\""][0], mail("m1").into_bytes());
        assert_eq!(model.inbox.len(), left);
        assert!(
            model
                .inbox
                .values()
                .all(|mail| mail.flags.contains("\\Deleted"))
        );
    }
}

#[tokio::test]
async fn servers_without_keywords_are_read_all_the_same() {
    let mut bench = Bench::with_mails(5, |model| {
        model.permanent_flags = "(\\Seen \\Deleted)".to_owned();
    })
    .await;
    bench.start();
    bench.until_taken(5).await;
    bench.stop().await;
    assert_eq!(bench.server.asked("UID STORE"), 0);
    assert_eq!(bench.desk.kept().positions[&17].settled, 5);
}

#[tokio::test]
async fn a_refused_mark_holds_nothing_up() {
    let mut bench = Bench::with_mails(9, |model| {
        model
            .answers
            .insert("UID STORE".to_owned(), "NO [NOPERM] no".to_owned());
    })
    .await;
    bench.start();
    bench.until_taken(9).await;
    assert_eq!(bench.server.asked("UID STORE"), 1);
    assert_eq!(bench.desk.count(Event::Unsettled), 1);
    bench.stop().await;
    bench.server.model().answers.clear();
    bench.start();
    bench
        .until("all are marked", |bench| marked(bench).len() == 9)
        .await;
    assert_eq!(bench.desk.uids().len(), 9);
    bench.stop().await;
}

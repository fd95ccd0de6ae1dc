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

#[tokio::test]
async fn what_an_emptied_folder_refuses_holds_nothing_up() {
    for mails in [0, 1] {
        let mut bench = Bench::with_mails(mails, |model| {
            model.answers.insert(
                "UID FETCH 2:5 (UID)".to_owned(),
                "NO [CANNOT] no such range".to_owned(),
            );
        })
        .await;
        let position = Position {
            uid_validity: 17,
            taken: 5,
            settled: 1,
        };
        bench.desk.kept().positions.insert(17, position);
        bench.server.model().uid_next = 6;
        bench.start();
        bench
            .until("it waits", |bench| bench.server.asked("IDLE") > 0)
            .await;
        bench.server.deliver("m6");
        bench.until_taken(1).await;
        assert_eq!(bench.server.asked("UID FETCH 2:5"), mails as usize);
        assert_eq!(
            bench.desk.count(Event::Unsettled),
            mails as usize,
            "{mails}"
        );
        bench.stop().await;
    }
}

#[tokio::test]
async fn copies_are_never_made_twice() {
    let copying = "IMAP4rev1 AUTH=PLAIN IDLE UIDPLUS";
    // Where the connection breaks after the server has done it, or what the server refuses; and how many originals
    // stay because nobody can say whether they were copied.
    let cut = |start: &str| (start.to_owned(), None);
    let no = |start: &str| (start.to_owned(), Some("NO [NOPERM] no".to_owned()));
    for ((start, answer), left) in [
        (cut("UID STORE 1:3 +FLAGS.SILENT ($SolmuImported)"), 0),
        (cut("UID COPY"), 3),
        (cut("UID STORE 1:3 +FLAGS.SILENT (\\Deleted)"), 0),
        (cut("UID EXPUNGE"), 0),
        (no("UID STORE 1:3 +FLAGS.SILENT (\\Deleted)"), 3),
        (no("UID EXPUNGE"), 3),
    ] {
        let mut bench = Bench::with_mails(3, |model| {
            model.capabilities = copying.to_owned();
            model.folders.insert("\"Done\"".to_owned(), Vec::new());
            match answer {
                Some(answer) => drop(model.answers.insert(start.clone(), answer)),
                None => drop(model.cuts.insert(start.clone(), 1)),
            }
        })
        .await;
        bench.settings.after = AfterImport::Move("Done".to_owned());
        bench.start();
        bench
            .until("all is settled", |bench| {
                bench
                    .desk
                    .kept()
                    .positions
                    .get(&17)
                    .is_some_and(|position| position.settled == 3)
            })
            .await;
        bench.stop().await;
        // Another process finds nothing to do.
        bench.start();
        bench.server.deliver("m4");
        bench
            .until("the next one is settled", |bench| {
                bench.desk.kept().positions[&17].settled == 4
            })
            .await;
        bench.stop().await;
        let model = bench.server.model();
        let copies: BTreeSet<&Vec<u8>> = model.folders["\"Done\""].iter().collect();
        assert_eq!(model.folders["\"Done\""].len(), 4, "{start}");
        assert_eq!(copies.len(), 4, "{start}");
        let first = model.inbox.keys().filter(|uid| **uid <= 3).count();
        assert_eq!(first, left, "{start}");
    }
}

#[tokio::test]
async fn a_refused_copy_is_tried_again() {
    let mut bench = Bench::with_mails(3, |model| {
        model.capabilities = "IMAP4rev1 AUTH=PLAIN IDLE".to_owned();
        model.folders.insert("\"Done\"".to_owned(), Vec::new());
        model
            .answers
            .insert("UID COPY".to_owned(), "NO [OVERQUOTA] full".to_owned());
    })
    .await;
    bench.settings.after = AfterImport::Move("Done".to_owned());
    bench.settings.times.poll = std::time::Duration::from_millis(50);
    bench.start();
    bench.until_taken(3).await;
    bench
        .until("it is told", |bench| {
            bench.desk.count(Event::Unsettled) == 1
        })
        .await;
    {
        let mut model = bench.server.model();
        model.answers.clear();
        model.bye_in = Some(1);
    }
    bench
        .until("all is settled", |bench| {
            bench.desk.kept().positions[&17].settled == 3
        })
        .await;
    bench.stop().await;
    let model = bench.server.model();
    assert_eq!(model.folders["\"Done\""].len(), 3);
    assert!(
        model
            .inbox
            .values()
            .all(|mail| mail.flags.contains("\\Deleted"))
    );
}

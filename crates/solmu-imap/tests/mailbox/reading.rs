use std::time::Duration;

use solmu_imap::{AfterImport, Event, From, Left, MailContent, Position};

use solmu_imap::testing::mail;

use crate::bench::Bench;

#[tokio::test]
async fn every_mail_comes_once_in_order_and_unread() {
    let mut bench = Bench::with_mails(11, |model| model.noisy = true).await;
    bench.start();
    bench.until_taken(11).await;
    assert_eq!(bench.desk.uids(), (1..=11).collect::<Vec<_>>());
    assert_eq!(
        bench.desk.content(7),
        Some(MailContent::Whole(mail("m7").into()))
    );
    bench
        .until("the last is marked", |bench| {
            bench.server.flags(11) == ["$SolmuImported"]
        })
        .await;
    assert_eq!(bench.server.flags(1), ["$SolmuImported"]);
    bench.stop().await;

    bench.server.deliver("m12");
    bench.start();
    bench.until_taken(12).await;
    bench.stop().await;
    assert_eq!(bench.server.asked("LOGOUT"), 2);
}

#[tokio::test]
async fn news_come_by_idle() {
    let mut bench = Bench::with_mails(1, |_| ()).await;
    bench.settings.after = AfterImport::Nothing;
    bench.start();
    for number in 2..6_usize {
        bench
            .until("it waits", |bench| bench.server.asked("IDLE") >= number - 1)
            .await;
        bench.server.deliver(&format!("m{number}"));
        bench.until_taken(number).await;
    }
    bench.stop().await;
    assert_eq!(bench.server.asked("EXAMINE \"INBOX\""), 1);
    assert_eq!(bench.server.asked("SELECT"), 0);
    assert_eq!(bench.server.asked("UID STORE"), 0);
    let position = Position {
        uid_validity: 17,
        taken: 5,
        settled: 5,
    };
    assert_eq!(bench.desk.kept().positions[&17], position);
}

#[tokio::test]
async fn the_safety_poll_finds_what_idle_does_not_tell() {
    let mut bench = Bench::with_mails(1, |model| model.tells = false).await;
    bench.settings.times.poll = Duration::from_millis(60);
    bench.settings.times.idle = Duration::from_millis(20);
    bench.start();
    bench.until_taken(1).await;
    bench.server.deliver("m2");
    bench.until_taken(2).await;
    bench
        .until("idle is begun anew and the folder too", |bench| {
            bench.server.asked("IDLE") > 6 && bench.server.asked("SELECT") > 2
        })
        .await;
    bench.stop().await;
    assert_eq!(bench.server.model().connections, 1);
}

#[tokio::test]
async fn servers_without_idle_are_polled() {
    for refuses in [false, true] {
        let mut bench = Bench::with_mails(1, |model| {
            if refuses {
                model
                    .answers
                    .insert("IDLE".to_owned(), "NO not now".to_owned());
            } else {
                model.capabilities = "IMAP4rev1 AUTH=PLAIN".to_owned();
            }
        })
        .await;
        bench.settings.times.poll_without_idle = Duration::from_millis(30);
        bench.start();
        bench.until_taken(1).await;
        bench.server.deliver("m2");
        bench.until_taken(2).await;
        bench.stop().await;
        assert_eq!(bench.server.asked("IDLE"), usize::from(refuses));
    }
}

#[tokio::test]
async fn a_new_mailbox_may_begin_with_what_comes() {
    let mut bench = Bench::with_mails(3, |_| ()).await;
    bench.settings.from = From::New;
    bench.start();
    bench
        .until("it waits", |bench| bench.server.asked("IDLE") > 0)
        .await;
    assert_eq!(bench.desk.uids(), [] as [u32; 0]);
    bench.stop().await;
    bench.server.deliver("m4");
    bench.start();
    bench.until_taken(1).await;
    assert_eq!(bench.desk.uids(), [4]);
    bench.stop().await;
}

#[tokio::test]
async fn an_empty_folder_and_a_missing_one() {
    let mut bench = Bench::new(|_| ()).await;
    bench.start();
    bench
        .until("it waits", |bench| bench.server.asked("IDLE") > 0)
        .await;
    assert_eq!(bench.server.asked("UID FETCH"), 0);
    bench.server.deliver("m1");
    bench.until_taken(1).await;
    bench.stop().await;

    let mut bench = Bench::new(|model| {
        model
            .answers
            .insert("SELECT".to_owned(), "NO [NONEXISTENT] gone".to_owned());
    })
    .await;
    bench.start();
    bench
        .until("it tries again", |bench| {
            bench.desk.count(Event::Down("refused")) > 2
        })
        .await;
    bench.server.model().answers.clear();
    bench
        .until("it is up", |bench| bench.desk.count(Event::Up) > 0)
        .await;
    bench.stop().await;
}

#[tokio::test]
async fn of_a_mail_that_is_too_large_the_header_comes() {
    let mut bench = Bench::with_mails(4, |model| {
        // Exchange tells sizes that are not right.
        model.sizes.insert(3, 10);
    })
    .await;
    let long = "x".repeat(2_000_000);
    bench.settings.limits.message_bytes = 500_000;
    let large = bench.server.deliver(&format!("l\r\n\r\n{long}"));
    {
        let mut model = bench.server.model();
        let raw = model.inbox[&large].raw.clone();
        if let Some(mail) = model.inbox.get_mut(&3) {
            mail.raw = raw;
        }
    }
    bench.server.deliver("m6");
    bench.start();
    bench.until_taken(6).await;
    let header = MailContent::Header {
        header: "Message-ID: <l\r\n\r\n".into(),
        why: Left::TooLarge,
    };
    assert_eq!(bench.desk.content(3), Some(header.clone()));
    assert_eq!(bench.desk.content(5), Some(header));
    bench
        .until("the others are marked", |bench| {
            bench.server.flags(6) == ["$SolmuImported"]
        })
        .await;
    assert_eq!(bench.server.flags(5), [] as [String; 0]);
    assert_eq!(bench.server.flags(3), [] as [String; 0]);
    bench.stop().await;
}

/// A server may announce a byte and send megabytes, of each of many mails.
#[tokio::test]
async fn mails_larger_than_announced_do_not_pile_up() {
    let mut bench = Bench::new(|_| ()).await;
    bench.settings.limits.batch_mails = 6;
    bench.settings.limits.batch_bytes = 100;
    // It stands three times in each.
    let body = "x".repeat(200_000);
    for number in 1..=6_u32 {
        bench.server.deliver(&format!("m{number}\r\n\r\n{body}"));
        bench.server.model().sizes.insert(number, 1);
    }
    bench.start();
    bench.until_taken(6).await;
    bench.stop().await;
    assert_eq!(bench.desk.uids(), [1, 2, 3, 4, 5, 6]);
    let whole = |uid: u32| matches!(bench.desk.content(uid), Some(MailContent::Whole(raw)) if raw.len() > 600_000);
    assert!((1..=6).all(whole), "a mail came as less");
    // A megabyte more than a batch is what a wrong size may cost: two of these go together, never all six.
    assert_eq!(bench.desk.kept().handed, [2, 2, 2]);
}

#[tokio::test]
async fn batches_keep_to_their_bytes() {
    let mut bench = Bench::with_mails(6, |_| ()).await;
    bench.settings.limits.batch_bytes = (mail("m1").len() * 2) as u64;
    bench.start();
    bench.until_taken(6).await;
    bench.stop().await;
    let asked: Vec<String> = bench
        .server
        .model()
        .commands
        .iter()
        .filter(|line| line.contains("BODY.PEEK[]"))
        .cloned()
        .collect();
    assert_eq!(
        asked,
        [
            "UID FETCH 1:2 (UID BODY.PEEK[])",
            "UID FETCH 3:4 (UID BODY.PEEK[])",
            "UID FETCH 5:6 (UID BODY.PEEK[])"
        ]
    );
}

use std::time::Duration;

use solmu_imap::{AfterImport, Event, Left, MailContent};

use solmu_imap::testing::mail;

use crate::bench::Bench;

#[tokio::test]
async fn a_connection_that_breaks_in_a_mail_loses_none() {
    let mut bench = Bench::with_mails(10, |model| {
        model.breaks.insert((3, true), 1);
        model.breaks.insert((8, true), 2);
    })
    .await;
    bench.start();
    bench.until_taken(10).await;
    assert_eq!(bench.desk.uids(), (1..=10).collect::<Vec<_>>());
    assert!(bench.server.model().connections >= 4);
    assert_eq!(
        bench.desk.content(8),
        Some(MailContent::Whole(mail("m8").into()))
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_mail_that_always_breaks_the_connection_comes_as_its_header() {
    let mut bench = Bench::with_mails(6, |model| {
        model.breaks.insert((2, true), u32::MAX);
        model.breaks.insert((5, true), u32::MAX);
        model.breaks.insert((5, false), u32::MAX);
    })
    .await;
    bench.start();
    bench.until_taken(6).await;
    assert_eq!(bench.desk.uids(), (1..=6).collect::<Vec<_>>());
    let header = "Message-ID: <m2@mail.example>\r\nSubject: m2\r\n\r\n";
    let header = MailContent::Header {
        header: header.into(),
        why: Left::Unreadable,
    };
    assert_eq!(bench.desk.content(2), Some(header));
    assert_eq!(bench.desk.content(5), Some(MailContent::Nothing));
    bench.stop().await;
}

#[tokio::test]
async fn a_mail_that_the_server_refuses_stops_no_other() {
    let mut bench = Bench::with_mails(6, |model| {
        model.refuses.insert((2, true));
        model.refuses.insert((4, true));
        model.refuses.insert((4, false));
    })
    .await;
    bench.start();
    bench.until_taken(6).await;
    assert!(matches!(
        bench.desk.content(2),
        Some(MailContent::Header {
            why: Left::Unreadable,
            ..
        })
    ));
    assert_eq!(bench.desk.content(4), Some(MailContent::Nothing));
    assert_eq!(
        bench.desk.content(3),
        Some(MailContent::Whole(mail("m3").into()))
    );
    assert_eq!(bench.server.model().connections, 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_server_that_refuses_everything_for_a_while_costs_no_mail() {
    let mut bench = Bench::with_mails(5, |model| {
        for uid in 1..=5 {
            model.refuses.insert((uid, true));
            model.refuses.insert((uid, false));
        }
    })
    .await;
    bench.start();
    bench
        .until("it was asked again", |bench| {
            bench.server.model().connections >= 3
        })
        .await;
    assert!(bench.desk.uids().is_empty(), "none is passed over");
    bench.server.model().refuses.clear();
    bench.until_taken(5).await;
    for uid in 1..=5 {
        let whole = MailContent::Whole(mail(&format!("m{uid}")).into());
        assert_eq!(bench.desk.content(uid), Some(whole));
    }
    bench.stop().await;
}

#[tokio::test]
async fn trouble_that_comes_and_goes_at_any_moment_costs_no_mail() {
    for before in 0..9 {
        for refused in [1, 2, 3, 4, 5, 6, 8, 11, 17] {
            let mut bench =
                Bench::with_mails(5, |model| model.refuses_all = (before, refused)).await;
            bench.start();
            bench.until_taken(5).await;
            for uid in 1..=5 {
                let whole = MailContent::Whole(mail(&format!("m{uid}")).into());
                let content = bench.desk.content(uid);
                assert_eq!(content, Some(whole), "{refused} after {before}");
            }
            bench.stop().await;
        }
    }
}

#[tokio::test]
async fn trouble_that_meets_one_or_two_new_mails_costs_none() {
    for after in [AfterImport::Mark, AfterImport::Move("Done".to_owned())] {
        let mut bench = Bench::with_mails(3, |_| ()).await;
        bench.settings.after = after;
        bench.start();
        bench.until_taken(3).await;
        bench
            .until("it waits", |bench| bench.server.asked("IDLE") > 0)
            .await;
        {
            let mut model = bench.server.model();
            for uid in 1..=5 {
                model.refuses.insert((uid, true));
                model.refuses.insert((uid, false));
            }
        }
        let before = bench.server.model().connections;
        bench.server.deliver("m4");
        bench.server.deliver("m5");
        bench
            .until("it was asked again", |bench| {
                bench.server.model().connections >= before + 4
            })
            .await;
        assert_eq!(bench.desk.uids(), [1, 2, 3], "none is passed over");
        bench.server.model().refuses.clear();
        bench.until_taken(5).await;
        for uid in 4..=5 {
            let whole = MailContent::Whole(mail(&format!("m{uid}")).into());
            assert_eq!(bench.desk.content(uid), Some(whole));
        }
        bench.stop().await;
    }
}

#[tokio::test]
async fn one_broken_mail_does_not_stop_an_empty_mailbox_for_ever() {
    for (header, wanted) in [(false, false), (true, true)] {
        let mut bench = Bench::with_mails(1, |model| {
            model.refuses.insert((1, true));
            if !header {
                model.refuses.insert((1, false));
            }
        })
        .await;
        bench.settings.limits.give_up_connections = 4;
        bench.settings.times.give_up = Duration::ZERO;
        bench.start();
        bench.until_taken(1).await;
        let content = bench.desk.content(1);
        let is_header = matches!(content, Some(MailContent::Header { .. }));
        assert_eq!(is_header, wanted, "{content:?}");
        assert!(bench.server.model().connections >= 4);
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_mail_that_breaks_the_connection_in_an_empty_mailbox_is_given_up_as_well() {
    let mut bench = Bench::with_mails(1, |model| {
        model.breaks.insert((1, true), u32::MAX);
    })
    .await;
    bench.settings.limits.give_up_connections = 3;
    bench.settings.times.give_up = Duration::ZERO;
    bench.start();
    bench.until_taken(1).await;
    let content = bench.desk.content(1);
    assert!(
        matches!(content, Some(MailContent::Header { .. })),
        "{content:?}"
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_broken_mail_beside_a_good_one_waits_for_nothing() {
    let mut bench = Bench::with_mails(1, |_| ()).await;
    bench.start();
    bench.until_taken(1).await;
    bench
        .until("it waits", |bench| bench.server.asked("IDLE") > 0)
        .await;
    bench.server.model().refuses.insert((2, true));
    bench.server.deliver("m2");
    bench.until_taken(2).await;
    assert!(matches!(
        bench.desk.content(2),
        Some(MailContent::Header {
            why: Left::Unreadable,
            ..
        })
    ));
    assert_eq!(bench.server.model().connections, 1);
    bench.stop().await;

    // A good one that comes later, in another batch, is as good.
    let mut bench = Bench::with_mails(1, |model| {
        model.refuses.insert((1, true));
    })
    .await;
    bench.settings.limits.batch_mails = 1;
    bench.start();
    bench
        .until("it was asked again", |bench| {
            bench.server.model().connections >= 3
        })
        .await;
    assert!(bench.desk.uids().is_empty());
    bench.server.deliver("m2");
    bench.until_taken(2).await;
    assert_eq!(
        bench.desk.content(2),
        Some(MailContent::Whole(mail("m2").into()))
    );
    bench.stop().await;
}

#[tokio::test]
async fn refused_questions_hide_no_mail() {
    let mut bench = Bench::with_mails(6, |model| {
        let no = "NO [SERVERBUG] cannot".to_owned();
        for question in [
            "UID FETCH 1:* (UID)",
            "UID FETCH 1:4 (UID RFC822.SIZE)",
            "UID FETCH 2 (UID RFC822.SIZE)",
            "UID FETCH 2:2 (UID)",
        ] {
            model.answers.insert(question.to_owned(), no.clone());
        }
    })
    .await;
    bench.start();
    bench.until_taken(6).await;
    assert_eq!(bench.desk.uids(), (1..=6).collect::<Vec<_>>());
    for uid in 1..=6 {
        let whole = MailContent::Whole(mail(&format!("m{uid}")).into());
        assert_eq!(bench.desk.content(uid), Some(whole));
    }
    assert_eq!(bench.desk.count(Event::Vanished(1)), 0);
    assert_eq!(bench.server.asked("UID SEARCH"), 1);
    assert_eq!(bench.server.model().connections, 1);
    bench.stop().await;
}

#[tokio::test]
async fn goodbyes_at_every_step_lose_none() {
    for step in 1..12 {
        let mut bench = Bench::with_mails(9, |model| model.bye_in = Some(step)).await;
        bench.start();
        bench
            .until("all are taken", |bench| bench.desk.uids().len() >= 9)
            .await;
        let mut uids = bench.desk.uids();
        uids.dedup();
        assert_eq!(uids, (1..=9).collect::<Vec<_>>(), "step {step}");
        bench
            .until("all are marked", |bench| {
                (1..=9).all(|uid| bench.server.flags(uid) == ["$SolmuImported"])
            })
            .await;
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_changed_uidvalidity_hands_everything_over_again() {
    let mut bench = Bench::with_mails(3, |_| ()).await;
    bench.settings.times.poll = Duration::from_millis(50);
    bench.start();
    bench.until_taken(3).await;
    bench.server.model().uid_validity = 18;
    // During the session, and known again after it.
    bench.until_taken(6).await;
    assert_eq!(bench.desk.count(Event::Resync), 1);
    assert_eq!(bench.desk.uids(), [1, 2, 3, 1, 2, 3]);
    bench.stop().await;
    bench.server.model().uid_validity = 17;
    bench.server.deliver("m4");
    bench.start();
    bench.until_taken(7).await;
    assert_eq!(bench.desk.count(Event::Resync), 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_server_without_uidvalidity_is_not_read() {
    let mut bench = Bench::with_mails(3, |model| model.uid_validity = 0).await;
    bench.start();
    bench
        .until("it is told", |bench| {
            bench.desk.count(Event::Down("refused")) > 1
        })
        .await;
    assert_eq!(bench.desk.uids(), [] as [u32; 0]);
    bench.stop().await;
}

#[tokio::test]
async fn mails_that_go_away_in_between_are_counted() {
    let mut bench = Bench::with_mails(3, |model| {
        // The server names a mail and then does not know it.
        for question in [
            "UID FETCH 1:3 (UID RFC822.SIZE)",
            "UID FETCH 2 (UID RFC822.SIZE)",
            "UID FETCH 2:2 (UID)",
        ] {
            let nothing = "OK nothing".to_owned();
            model.answers.insert(question.to_owned(), nothing);
        }
    })
    .await;
    bench.start();
    bench.until_taken(2).await;
    assert_eq!(bench.desk.uids(), [1, 3]);
    assert_eq!(bench.desk.count(Event::Vanished(1)), 1);
    bench.stop().await;
}

#[tokio::test]
async fn nobody_there_and_no_imap() {
    let mut bench = Bench::new(|model| model.greeting = "220 mail.example ESMTP".to_owned()).await;
    bench.start();
    bench
        .until("it is told", |bench| {
            bench.desk.count(Event::Down("refused")) > 1
        })
        .await;
    bench.stop().await;
    bench.settings.port = 9;
    bench.start();
    bench
        .until("it is told", |bench| {
            bench.desk.count(Event::Down("connect")) > 1
        })
        .await;
    bench.stop().await;
}

//! Imports that are killed, repeated, or meet what cannot be read.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
};

use solmu_connector::{InboundEvent, IntakeError};
use solmu_domain::rng::{Rng, SeededRng};

use super::{super::*, mail};
use crate::{
    config::Config,
    testing::{bench, receiver_with},
};

/// What the desk was handed, however often. It takes its time, and now and then its answer is lost.
#[derive(Debug, Clone)]
struct Slow {
    seen: Arc<Mutex<HashMap<String, u32>>>,
    order: Arc<Mutex<Vec<String>>>,
    rng: SeededRng,
}

impl Slow {
    fn new(seed: u64) -> Self {
        Self {
            seen: Arc::default(),
            order: Arc::default(),
            rng: SeededRng::new(seed),
        }
    }

    fn ids(&self) -> HashSet<String> {
        self.seen.lock().unwrap().keys().cloned().collect()
    }
}

impl Accept for Slow {
    async fn accept_all(&self, events: Vec<InboundEvent>) -> Result<(), IntakeError> {
        for _ in 0..self.rng.next_u64() % 4 {
            tokio::task::yield_now().await;
        }
        for event in events {
            if let InboundEvent::Message(message) = event {
                let mut seen = self.seen.lock().unwrap();
                *seen.entry(message.external_id.clone()).or_default() += 1;
                self.order.lock().unwrap().push(message.external_id.clone());
            }
        }
        // A kill between here and the end of this call is an acknowledgement that nobody heard.
        for _ in 0..self.rng.next_u64() % 4 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// Polls an import at most `polls` times, then drops it where it stands.
async fn run_for<F: Future>(polls: u64, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        // Polled again at once, so that the number of polls decides and not the scheduler.
        context.waker().wake_by_ref();
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// A folder with everything: mailbox files, a Maildir, single mails.
fn store(root: &Path) -> HashSet<String> {
    for folder in [
        "box/deep",
        "Maildir/cur",
        "Maildir/new",
        "Maildir/tmp",
        "loose",
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let mbox = |numbers: std::ops::Range<u32>| mailbox(numbers.map(mail));
    fs::write(root.join("box/a.mbox"), mbox(0..40)).unwrap();
    fs::write(root.join("box/deep/Inbox"), mbox(40..70)).unwrap();
    for number in 70..80 {
        fs::write(
            root.join(format!("Maildir/cur/{number}.x:2,S")),
            mail(number),
        )
        .unwrap();
        fs::write(
            root.join(format!("Maildir/new/1{number}.x")),
            mail(number + 10),
        )
        .unwrap();
        fs::write(root.join(format!("loose/{number}.eml")), mail(number + 20)).unwrap();
    }
    fs::write(root.join("Maildir/tmp/1.eml"), mail(900)).unwrap();
    (0..100)
        .map(|number| format!("{number}@c.example"))
        .collect()
}

/// A mailbox file of these mails.
fn mailbox(mails: impl IntoIterator<Item = String>) -> String {
    mails.into_iter().fold(String::new(), |file, mail| {
        file + "From x@c.example Mon Nov  2 00:00:00 2026\n" + &mail + "\n"
    })
}

fn options() -> ImportOptions {
    ImportOptions {
        batch: 3,
        parallel: 2,
        ..ImportOptions::default()
    }
}

#[tokio::test]
async fn a_killed_import_skips_nothing_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let all = store(&folder.path().join("mail"));
    let root = folder.path().join("mail");
    let mut all_kills = 0;
    for seed in 0..30 {
        let mut kills = 0;
        let slow = Slow::new(seed);
        let rng = SeededRng::new(seed ^ 0x5eed);
        let bench = bench(&Config::default());
        let receiver = receiver_with(&bench, slow.clone());
        let place = folder.path().join(format!("{seed}.journal"));
        let summary = loop {
            let mut journal = Journal::open(&place).unwrap();
            let options = options();
            let import = run(&receiver, &root, &options, &mut journal, |_| {});
            match run_for(1 + rng.next_u64() % 30, import).await {
                Some(summary) => break summary.unwrap(),
                None => kills += 1,
            }
            // A kill may also tear the last line of the journal.
            if rng.next_u64().is_multiple_of(3)
                && let Ok(written) = fs::read(&place)
            {
                let cut = written
                    .len()
                    .saturating_sub(usize::try_from(rng.next_u64() % 60).unwrap());
                fs::write(&place, &written[..cut]).unwrap();
            }
        };
        assert_eq!(slow.ids(), all, "seed {seed}");
        assert!(summary.is_complete());
        let progress = summary.progress;
        assert_eq!(progress.bytes, progress.total_bytes, "seed {seed}");
        assert!(progress.earlier + progress.accepted >= 100, "seed {seed}");
        // A kill repeats one batch at most, and a torn line one more.
        let handed_in = slow.order.lock().unwrap().len();
        assert!(handed_in <= 100 + kills * 6, "seed {seed}: {handed_in}");
        all_kills += kills;

        let mut journal = Journal::open(&place).unwrap();
        let again = run(&receiver, &root, &options(), &mut journal, |_| {})
            .await
            .unwrap();
        assert_eq!(
            (again.progress.read, again.progress.accepted),
            (0, 0),
            "seed {seed}"
        );
        assert_eq!(slow.order.lock().unwrap().len(), handed_in, "seed {seed}");
    }
    assert!(all_kills > 100, "{all_kills}");
}

async fn import(bench: &crate::testing::Bench, root: &Path, journal: &Path) -> Summary {
    let mut journal = Journal::open(journal).unwrap();
    let summary = run(&bench.receiver, root, &options(), &mut journal, |_| {}).await;
    summary.unwrap()
}

#[tokio::test]
async fn refused_mails_are_tried_again_and_only_they() {
    let folder = tempfile::tempdir().unwrap();
    let (root, journal) = (folder.path().join("a.mbox"), folder.path().join("j"));
    let looping = |number: u32| format!("{}{}", "Received: by x\n".repeat(51), mail(number));
    let mails = [mail(1), looping(2), mail(3), looping(4)];
    let text = mailbox(mails);
    fs::write(&root, text).unwrap();
    let first = bench(&Config::default());
    let summary = import(&first, &root, &journal).await;
    assert_eq!(
        (summary.progress.accepted, summary.progress.refused),
        (2, 2)
    );
    assert_eq!(summary.causes["loop"], 2);
    assert!(
        summary.refused[0].0.contains("a.mbox@"),
        "{:?}",
        summary.refused
    );
    assert!(!summary.is_complete());

    let again = import(&first, &root, &journal).await;
    assert_eq!((again.progress.read, again.progress.refused), (2, 2));
    assert_eq!((again.progress.accepted, again.progress.earlier), (0, 2));

    let mut config = Config::default();
    config.smtp.max_hops = 60;
    let patient = bench(&config);
    let mended = import(&patient, &root, &journal).await;
    assert_eq!((mended.progress.accepted, mended.progress.earlier), (2, 2));
    assert!(mended.is_complete());
    let taken: Vec<String> = patient
        .desk
        .messages()
        .into_iter()
        .map(|it| it.external_id)
        .collect();
    assert_eq!(taken, ["2@c.example", "4@c.example"]);
    let last = import(&patient, &root, &journal).await;
    assert_eq!((last.progress.read, last.progress.earlier), (0, 4));
}

#[tokio::test]
async fn files_that_change_are_read_again_and_flags_are_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let (root, journal) = (folder.path().join("mail"), folder.path().join("j"));
    store(&root);
    let bench = bench(&Config::default());
    assert_eq!(import(&bench, &root, &journal).await.progress.accepted, 100);
    fs::rename(
        root.join("Maildir/new/170.x"),
        root.join("Maildir/cur/170.x:2,RS"),
    )
    .unwrap();
    assert_eq!(import(&bench, &root, &journal).await.progress.read, 0);
    fs::write(root.join("loose/99.eml"), mail(500)).unwrap();
    fs::write(root.join("loose/70.eml"), format!("{}more\n", mail(501))).unwrap();
    let third = import(&bench, &root, &journal).await;
    assert_eq!((third.progress.accepted, third.progress.earlier), (2, 99));
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (root, place) = (folder.path().join("mail"), folder.path().join("j"));
    fs::create_dir(&root).unwrap();
    for number in 0..9 {
        fs::write(root.join(format!("{number}.eml")), mail(number)).unwrap();
    }
    let bench = bench(&Config::default());
    let mut journal = Journal::open(&place).unwrap();
    // The last file goes away while the import runs.
    let options = options();
    let summary = run(&bench.receiver, &root, &options, &mut journal, |_| {
        let _ = fs::remove_file(root.join("8.eml"));
    });
    let summary = summary.await.unwrap();
    assert_eq!(
        (summary.progress.accepted, summary.progress.unreadable),
        (8, 1)
    );
    assert!(summary.unreadable[0].0.ends_with("8.eml"));
    assert!(!summary.is_complete());
    fs::write(root.join("8.eml"), mail(8)).unwrap();
    let again = import(&bench, &root, &place).await;
    assert_eq!((again.progress.accepted, again.progress.earlier), (1, 8));
}

#[tokio::test]
async fn a_dry_run_counts_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (root, place) = (folder.path().join("mail"), folder.path().join("j"));
    store(&root);
    fs::write(root.join("loose/big.eml"), "x".repeat(2_000)).unwrap();
    let options = ImportOptions {
        max_bytes: 1_000,
        ..options()
    };
    let dry = || dry_run(&root, &options, &Journal::open(&place).unwrap()).unwrap();
    let summary = dry();
    assert_eq!((summary.progress.read, summary.progress.accepted), (101, 0));
    assert_eq!(summary.causes["too_large"], 1);
    assert_eq!(summary.progress.bytes, summary.progress.total_bytes);
    assert!(!place.exists());

    let bench = bench(&Config::default());
    let mut journal = Journal::open(&place).unwrap();
    run(&bench.receiver, &root, &options, &mut journal, |_| {})
        .await
        .unwrap();
    assert_eq!(bench.desk.messages().len(), 100);
    let after = dry();
    assert_eq!((after.progress.read, after.progress.earlier), (1, 100));
}

/// Takes everything but mails of this id, which are too large for it.
#[derive(Debug, Clone, Default)]
struct Picky(Arc<Mutex<Vec<String>>>);

impl Accept for Picky {
    async fn accept_all(&self, events: Vec<InboundEvent>) -> Result<(), IntakeError> {
        let ids: Vec<String> = events
            .iter()
            .filter_map(|event| match event {
                InboundEvent::Message(message) => Some(message.external_id.clone()),
                InboundEvent::Delivery(_) => None,
            })
            .collect();
        if ids.contains(&"1@c.example".to_owned()) {
            return Err(IntakeError::TooLarge);
        }
        self.0.lock().unwrap().extend(ids);
        Ok(())
    }
}

#[tokio::test]
async fn one_mail_that_the_bus_cannot_take_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a.mbox");
    let text = mailbox((0..5).map(mail));
    fs::write(&root, text).unwrap();
    let picky = Picky::default();
    let bench = bench(&Config::default());
    let receiver = receiver_with(&bench, picky.clone());
    let mut journal = Journal::open(&folder.path().join("j")).unwrap();
    let summary = run(&receiver, &root, &options(), &mut journal, |_| {})
        .await
        .unwrap();
    assert_eq!(
        (summary.progress.accepted, summary.progress.refused),
        (4, 1)
    );
    assert_eq!(picky.0.lock().unwrap().len(), 4);
}

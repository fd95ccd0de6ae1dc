//! Threads are the same whatever the order of arrival, with two replicas at once.

use std::collections::{BTreeMap, BTreeSet};

use solmu_domain::rng::{Rng as _, SeededRng};
use solmu_proto::inbound::v1::MessageReceived;
use uuid::Uuid;

use crate::support::{World, answer, copied, mail};

/// People, and the party that each belongs to.
const PEOPLE: [(&str, &str); 8] = [
    ("aino@c.example", "c"),
    ("boss@c.example", "c"),
    ("matti@c.example", "c"),
    ("one@p.example", "p"),
    ("two@p.example", "p"),
    ("liisa@gmail.com", "liisa"),
    ("pekka@gmail.com", "pekka"),
    ("mallory@evil.example", "evil"),
];

/// Numbers from a seed.
pub(crate) struct Dice(pub(crate) SeededRng);

impl Dice {
    pub(crate) fn roll(&self, sides: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % u64::try_from(sides).unwrap()).unwrap()
    }

    pub(crate) fn shuffle<T>(&self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.roll(last + 1));
        }
    }
}

/// A tree of mails below a root that is there or was never sent to us. Mails name the root, as mail clients do, and
/// all or some of the others above them. In some trees everybody but the last of [`PEOPLE`] writes to all the others.
/// Returns the mails, each with its thread: those who meet in one ticket.
fn tree(case: usize, dice: &Dice) -> Vec<(MessageReceived, usize)> {
    let size = 3 + dice.roll(10);
    let to_all = dice.roll(3) == 0;
    let group: Vec<&str> = PEOPLE[..7].iter().map(|(address, _)| *address).collect();
    let mut threads = Threads::default();
    let mut write = |message: MessageReceived, (from, party): (&'static str, &str)| {
        let in_group = to_all && party != "evil";
        threads.add(
            &message,
            from,
            if in_group { "all" } else { party },
            in_group,
        );
        if in_group {
            copied(message, &group)
        } else {
            message
        }
    };
    let root = format!("{case}-root@x.example");
    let mut paths = vec![vec![root.clone()]];
    let mut mails = Vec::new();
    if dice.roll(2) == 0 {
        let person = PEOPLE[dice.roll(PEOPLE.len())];
        mails.push(write(mail(&root, person.0), person));
    }
    for n in 0..size {
        let person = PEOPLE[dice.roll(PEOPLE.len())];
        let parent = paths[dice.roll(paths.len())].clone();
        let id = format!("{case}-{n}@x.example");
        let mut references: Vec<&str> = parent.iter().map(String::as_str).collect();
        // Long lists are cut in the middle.
        if references.len() > 3 && dice.roll(2) == 0 {
            references.drain(1..references.len() - 1);
        }
        let mut message = answer(&id, person.0, &references);
        // As if the reference that gives the partition had been another one: two replicas get the thread.
        if dice.roll(2) == 0 {
            message.conversation_key = format!("{case}-{n}-key@x.example");
        }
        mails.push(write(message, person));
        paths.push(parent.into_iter().chain([id]).collect());
    }
    let threads = threads.0;
    mails
        .into_iter()
        .zip(threads)
        .map(|(message, it)| (message, case * 100 + it.thread))
        .collect()
}

/// A mail as the rule sees it.
struct Seen {
    id: String,
    from: &'static str,
    party: String,
    names: Vec<String>,
    to_all: bool,
    thread: usize,
}

/// The rule, said once more and simply: two mails are of one thread if colleagues wrote them and one names the other,
/// if one person wrote them and they name the same, if they were written to all, or if a third one is of one thread
/// with both.
#[derive(Default)]
struct Threads(Vec<Seen>);

impl Threads {
    fn add(&mut self, message: &MessageReceived, from: &'static str, party: &str, to_all: bool) {
        let threading = message.threading.clone().unwrap_or_default();
        let seen = Seen {
            id: message.external_id.clone(),
            from,
            party: party.to_owned(),
            names: threading.references,
            to_all,
            thread: self.0.len(),
        };
        let near = |it: &Seen| {
            let named = it.names.contains(&seen.id) || seen.names.contains(&it.id);
            let same = it.from == seen.from && it.names.iter().any(|id| seen.names.contains(id));
            (it.party == seen.party && named) || same || (it.to_all && seen.to_all)
        };
        let met: BTreeSet<usize> = self
            .0
            .iter()
            .filter(|it| near(it))
            .map(|it| it.thread)
            .collect();
        for it in &mut self.0 {
            if met.contains(&it.thread) {
                it.thread = seen.thread;
            }
        }
        self.0.push(seen);
    }
}

/// Sends the mails in random batches, of which some are waited for.
async fn send(world: &World, dice: &Dice, mails: &[(MessageReceived, usize)]) {
    let mut left = mails;
    while !left.is_empty() {
        let (batch, rest) = left.split_at(1 + dice.roll(left.len()));
        let batch: Vec<_> = batch.iter().map(|(message, _)| message.clone()).collect();
        world.send(&batch).await;
        if dice.roll(3) == 0 {
            world.settled().await;
        }
        left = rest;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_in_any_batches_gives_the_same_tickets() {
    let mut world = World::empty().await;
    drop(world.start("a").await);
    drop(world.start("b").await);
    for seed in 0..16_u64 {
        let dice = Dice(SeededRng::new(seed));
        // Three trees at a time.
        let cases = usize::try_from(seed).unwrap() * 3;
        let mut mails: Vec<_> = (cases..cases + 3)
            .flat_map(|case| tree(case, &dice))
            .collect();
        dice.shuffle(&mut mails);
        send(&world, &dice, &mails).await;
        world.settled().await;
        let rows: Vec<(String, Uuid)> =
            sqlx::query_as("SELECT external_id, ticket_id FROM tickets.message")
                .fetch_all(world.pool())
                .await
                .unwrap();
        let ticket_of: BTreeMap<String, Uuid> = rows.into_iter().collect();
        let mut wanted: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        let mut got: BTreeMap<Uuid, BTreeSet<&str>> = BTreeMap::new();
        for (message, thread) in &mails {
            let id = message.external_id.as_str();
            wanted.entry(*thread).or_default().insert(id);
            got.entry(ticket_of[id]).or_default().insert(id);
        }
        let wanted: BTreeSet<_> = wanted.into_values().collect();
        let got: BTreeSet<_> = got.into_values().collect();
        assert_eq!(got, wanted, "seed {seed}");
    }
    let gaps = "SELECT count(*) FROM tickets.ticket WHERE message_count - moved_away <>
        (SELECT count(*) FROM tickets.message WHERE ticket_id = ticket.id)";
    assert_eq!(world.count(gaps).await, 0);
}

/// Siblings of a mail that never came, from two partitions at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn siblings_of_a_lost_mail_meet_though_a_stranger_was_there_first() {
    let mut world = World::empty().await;
    drop(world.start("a").await);
    drop(world.start("b").await);
    let lost: Vec<String> = (0..30).map(|n| format!("lost-{n}@x.example")).collect();
    let strangers: Vec<_> = lost
        .iter()
        .map(|lost| answer(&format!("s-{lost}"), "mallory@evil.example", &[lost]))
        .collect();
    world.send(&strangers).await;
    world.settled().await;
    let mut siblings = Vec::new();
    for lost in &lost {
        for n in 0..3 {
            let from = "aino@c.example";
            let mut sibling = answer(&format!("{n}-{lost}"), from, &[lost]);
            sibling.conversation_key = format!("key-{n}-{lost}");
            siblings.push(sibling);
        }
    }
    world.send(&siblings).await;
    world.settled().await;
    let tickets = world.tickets().await;
    assert_eq!(tickets.len(), 60);
    assert_eq!(
        tickets.iter().filter(|it| it.message_count == 3).count(),
        30
    );
}

/// A provider whose domain nobody listed is no company: whoever answers the same newsletter is a customer of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_of_one_domain_who_answer_a_mail_that_nobody_has_stay_apart() {
    let world = World::new().await;
    let news = "news@shop.example";
    let file = async |id: &str, from: &str| world.file(&answer(id, from, &[news])).await.unwrap();
    let one = file("1@t.example", "one@tele.example").await;
    let two = file("2@t.example", "two@tele.example").await;
    assert_ne!(one.id, two.id);
    assert_eq!(file("3@t.example", "one@tele.example").await.id, one.id);
    assert_eq!(file("4@t.example", "two@tele.example").await.id, two.id);
    // Not even when the newsletter comes to us, too; whoever answers it goes on where they were.
    world.file(&mail(news, "news@shop.example")).await.unwrap();
    assert_eq!(file("5@t.example", "two@tele.example").await.id, two.id);
    let three = file("6@t.example", "three@tele.example").await;
    assert!(three.id != one.id && three.id != two.id);
    // Colleagues do meet once the mail is there that both answered, if it is of one of them.
    let late = "late@tele.example";
    for (id, from) in [
        ("7@t.example", "four@tele.example"),
        ("8@t.example", "five@tele.example"),
    ] {
        world.file(&answer(id, from, &[late])).await.unwrap();
    }
    let met = world.file(&mail(late, "boss@tele.example")).await.unwrap();
    assert_eq!(met.message_count - world.moved_away(met.id).await, 3);
}

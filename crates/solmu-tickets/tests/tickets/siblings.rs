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
struct Dice(SeededRng);

impl Dice {
    fn roll(&self, sides: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % u64::try_from(sides).unwrap()).unwrap()
    }

    fn shuffle<T>(&self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.roll(last + 1));
        }
    }
}

/// A tree of mails below a root that is there or was never sent to us. Mails name the root, as mail clients do, and
/// all or some of the others above them. In some trees everybody but the last of [`PEOPLE`] writes to all the others.
/// Returns the mails, each with its party: those who meet in one ticket.
fn tree(case: usize, dice: &Dice) -> Vec<(MessageReceived, String)> {
    let size = 3 + dice.roll(10);
    let to_all = dice.roll(3) == 0;
    let group: Vec<&str> = PEOPLE[..7].iter().map(|(address, _)| *address).collect();
    let addressed = |message: MessageReceived, party: &str| {
        if to_all && party != "evil" {
            (copied(message, &group), format!("{case}-all"))
        } else {
            (message, format!("{case}-{party}"))
        }
    };
    let root = format!("{case}-root@x.example");
    let mut paths = vec![vec![root.clone()]];
    let mut mails = Vec::new();
    if dice.roll(2) == 0 {
        let (from, party) = PEOPLE[dice.roll(PEOPLE.len())];
        mails.push(addressed(mail(&root, from), party));
    }
    for n in 0..size {
        let (from, party) = PEOPLE[dice.roll(PEOPLE.len())];
        let parent = paths[dice.roll(paths.len())].clone();
        let id = format!("{case}-{n}@x.example");
        let mut references: Vec<&str> = parent.iter().map(String::as_str).collect();
        // Long lists are cut in the middle.
        if references.len() > 3 && dice.roll(2) == 0 {
            references.drain(1..references.len() - 1);
        }
        let mut message = answer(&id, from, &references);
        // As if the reference that gives the partition had been another one: two replicas get the thread.
        if dice.roll(2) == 0 {
            message.conversation_key = format!("{case}-{n}-key@x.example");
        }
        mails.push(addressed(message, party));
        paths.push(parent.into_iter().chain([id]).collect());
    }
    mails
}

/// Sends the mails in random batches, of which some are waited for.
async fn send(world: &World, dice: &Dice, mails: &[(MessageReceived, String)]) {
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
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut got: BTreeMap<Uuid, BTreeSet<&str>> = BTreeMap::new();
        for (message, party) in &mails {
            let id = message.external_id.as_str();
            wanted.entry(party).or_default().insert(id);
            got.entry(ticket_of[id]).or_default().insert(id);
        }
        let wanted: BTreeSet<_> = wanted.into_values().collect();
        let got: BTreeSet<_> = got.into_values().collect();
        assert_eq!(got, wanted, "seed {seed}");
    }
    let gaps = "SELECT count(*) FROM tickets.ticket WHERE message_count <>
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
        for (n, from) in ["aino@c.example", "boss@c.example", "matti@c.example"]
            .iter()
            .enumerate()
        {
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

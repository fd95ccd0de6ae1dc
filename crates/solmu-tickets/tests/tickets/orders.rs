//! A thread is the same thread in whatever order its mails arrive: every order of small families, in several batches.

use std::collections::{BTreeMap, BTreeSet};

use solmu_domain::rng::SeededRng;
use solmu_proto::{inbound::v1::MessageReceived, types::v1::AutomaticClass};
use uuid::Uuid;

use crate::{
    siblings::Dice,
    support::{World, answer, automatic, copied, mail},
};

const AINO: &str = "aino@c.example";
const BOSS: &str = "boss@c.example";
const LIISA: &str = "liisa@gmail.com";
const MALLORY: &str = "mallory@evil.example";

/// A mail of a family: its name, who writes it, what it names (oldest first), who is copied.
struct Member {
    name: &'static str,
    from: &'static str,
    names: &'static [&'static str],
    copied: &'static [&'static str],
    class: AutomaticClass,
    /// Those who meet in one ticket have the same.
    thread: u8,
}

const fn wrote(name: &'static str, from: &'static str, names: &'static [&'static str]) -> Member {
    Member {
        name,
        from,
        names,
        copied: &[],
        class: AutomaticClass::Human,
        thread: 0,
    }
}

/// Everybody names everything above.
const REFERENCES: &[Member] = &[
    wrote("1", AINO, &[]),
    wrote("2", AINO, &["1"]),
    wrote("3", BOSS, &["1", "2"]),
    wrote("4", AINO, &["1", "2", "3"]),
];
/// Everybody names the mail right above, and nothing else.
const BARE: &[Member] = &[
    wrote("1", AINO, &[]),
    wrote("2", AINO, &["1"]),
    wrote("3", BOSS, &["2"]),
    wrote("4", AINO, &["3"]),
    wrote("5", AINO, &["4"]),
];
/// Two branches that one late mail ties together, and a parent that nobody has.
const BRANCHES: &[Member] = &[
    wrote("1", AINO, &["lost"]),
    wrote("2", AINO, &["1"]),
    wrote("3", AINO, &["other"]),
    wrote("4", AINO, &["3"]),
    wrote("5", AINO, &["2", "4"]),
];
/// A responder is the link between two people's mails.
const RESPONDER: &[Member] = &[
    wrote("1", AINO, &[]),
    Member {
        class: AutomaticClass::OutOfOffice,
        ..wrote("2", AINO, &["1"])
    },
    wrote("3", AINO, &["2"]),
    wrote("4", AINO, &["3"]),
];
/// Somebody from outside is copied and answers; a stranger who knows the ids stays out and brings nobody together.
const MIXED: &[Member] = &[
    Member {
        copied: &[LIISA],
        ..wrote("1", AINO, &[])
    },
    Member {
        copied: &[AINO],
        ..wrote("2", LIISA, &["1"])
    },
    Member {
        copied: &[LIISA],
        ..wrote("3", AINO, &["2"])
    },
    Member {
        copied: &[AINO],
        ..wrote("4", LIISA, &["2"])
    },
    Member {
        thread: 1,
        copied: &[AINO, LIISA],
        ..wrote("5", MALLORY, &["1", "2", "3"])
    },
];

/// Every order of the numbers below `size`.
fn orders(size: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for next in 0..size {
        orders = orders
            .iter()
            .flat_map(|order| {
                (0..=order.len()).map(move |place| {
                    let mut longer = order.clone();
                    longer.insert(place, next);
                    longer
                })
            })
            .collect();
    }
    orders
}

/// A mail of the family `case`, whose ids no other family names.
fn written(case: &str, member: &Member) -> MessageReceived {
    let id = |name: &str| format!("{case}-{name}@x.example");
    let names: Vec<String> = member.names.iter().map(|name| id(name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let message = match names.as_slice() {
        [] => mail(&id(member.name), member.from),
        names => answer(&id(member.name), member.from, names),
    };
    MessageReceived {
        // Partitions of their own, so that two replicas get the thread.
        conversation_key: id(member.name),
        ..automatic(copied(message, member.copied), member.class)
    }
}

/// Files the family in every order: its mails come in groups of these sizes, each of which is waited for.
async fn file_in_every_order(world: &World, name: &str, family: &[Member], groups: &[usize]) {
    let orders = orders(family.len());
    let cases: Vec<String> = (0..orders.len())
        .map(|order| format!("{name}-{}-{order}", groups.len()))
        .collect();
    let mut from = 0;
    for size in groups {
        let group: Vec<_> = cases
            .iter()
            .zip(&orders)
            .flat_map(|(case, order)| {
                let chosen = order[from..from + size].iter();
                chosen.map(|member| written(case, &family[*member]))
            })
            .collect();
        world.send(&group).await;
        world.settled().await;
        from += size;
    }
    let tickets = tickets_of(world, &format!("{name}-{}-%", groups.len())).await;
    let mut wanted: BTreeMap<u8, BTreeSet<String>> = BTreeMap::new();
    for (case, order) in cases.iter().zip(&orders) {
        wanted.clear();
        for member in family {
            let id = format!("{case}-{}@x.example", member.name);
            wanted.entry(member.thread).or_default().insert(id);
        }
        let mut got: BTreeMap<Uuid, BTreeSet<String>> = BTreeMap::new();
        for id in wanted.values().flatten() {
            let ticket = tickets
                .get(id)
                .unwrap_or_else(|| panic!("{id} is not filed"));
            got.entry(*ticket).or_default().insert(id.clone());
        }
        let wanted: BTreeSet<_> = wanted.values().cloned().collect();
        let got: BTreeSet<_> = got.into_values().collect();
        assert_eq!(
            got, wanted,
            "{name} in groups of {groups:?}, order {order:?}"
        );
    }
}

async fn tickets_of(world: &World, ids: &str) -> BTreeMap<String, Uuid> {
    let rows: Vec<(String, Uuid)> = sqlx::query_as(
        "SELECT external_id, ticket_id FROM tickets.message WHERE external_id LIKE $1",
    )
    .bind(ids)
    .fetch_all(world.pool())
    .await
    .unwrap();
    rows.into_iter().collect()
}

/// What must hold of tickets whatever was merged.
async fn nothing_is_lost(world: &World) {
    for (sql, what) in [
        (
            "SELECT count(*) FROM tickets.ticket WHERE message_count - moved_away <>
                (SELECT count(*) FROM tickets.message WHERE ticket_id = ticket.id)",
            "a ticket counts its messages",
        ),
        (
            "SELECT count(*) FROM tickets.ticket WHERE merged_into IS NOT NULL
                AND (status <> 'closed' OR message_count <> moved_away)",
            "a merged ticket is closed and empty",
        ),
        (
            "SELECT count(*) FROM tickets.ticket AS source JOIN tickets.ticket AS target ON target.id = source.merged_into
                WHERE source.number < target.number",
            "the younger one becomes part of the older one",
        ),
        (
            "SELECT count(*) FROM tickets.ticket WHERE merged_into IS NOT NULL AND NOT EXISTS
                (SELECT 1 FROM tickets.ticket_merge WHERE source_id = ticket.id AND target_id = merged_into
                    AND unmerged_at IS NULL)",
            "each merge is on record",
        ),
    ] {
        assert_eq!(world.count(sql).await, 0, "{what}");
    }
}

async fn two_replicas() -> World {
    let mut world = World::empty().await;
    drop(world.start("a").await);
    drop(world.start("b").await);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_is_one_ticket_in_every_order() {
    let world = two_replicas().await;
    for groups in [&[1, 1, 1, 1][..], &[4], &[2, 2]] {
        file_in_every_order(&world, "references", REFERENCES, groups).await;
    }
    for groups in [&[1, 1, 1, 1, 1][..], &[5], &[2, 3], &[4, 1]] {
        file_in_every_order(&world, "bare", BARE, groups).await;
    }
    nothing_is_lost(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branches_and_responders_meet_in_every_order() {
    let world = two_replicas().await;
    for groups in [&[1, 1, 1, 1, 1][..], &[5], &[3, 2]] {
        file_in_every_order(&world, "branches", BRANCHES, groups).await;
    }
    for groups in [&[1, 1, 1, 1][..], &[4], &[2, 2]] {
        file_in_every_order(&world, "responder", RESPONDER, groups).await;
    }
    nothing_is_lost(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_of_several_companies_meet_in_every_order_and_strangers_in_none() {
    let world = two_replicas().await;
    for groups in [&[1, 1, 1, 1, 1][..], &[5], &[2, 3]] {
        file_in_every_order(&world, "mixed", MIXED, groups).await;
    }
    nothing_is_lost(&world).await;
}

/// A long thread: each mail names the eight before it, or only the last; some are a colleague's, some a responder's.
fn long_thread(case: &str, bare: bool, dice: &Dice) -> Vec<MessageReceived> {
    let id = |n: usize| format!("{case}-{n}@x.example");
    let above = |n: usize| n.saturating_sub(if bare { 1 } else { 8 })..n;
    let mails = (0..36).map(|n| {
        let names: Vec<String> = above(n).map(id).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (from, class) = match dice.roll(10) {
            _ if n == 0 => (AINO, AutomaticClass::Human),
            0 | 1 => (BOSS, AutomaticClass::Human),
            2 => (AINO, AutomaticClass::AutoReply),
            _ => (AINO, AutomaticClass::Human),
        };
        MessageReceived {
            conversation_key: id(n),
            ..automatic(answer(&id(n), from, &names), class)
        }
    });
    mails.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_threads_are_one_ticket_each_in_any_order_and_batches() {
    let world = two_replicas().await;
    for seed in 0..6 {
        let dice = Dice(SeededRng::new(seed));
        let mut mails: Vec<_> = (0..4)
            .flat_map(|case| long_thread(&format!("long-{seed}-{case}"), case % 2 == 0, &dice))
            .collect();
        dice.shuffle(&mut mails);
        let mut left = mails.as_slice();
        while !left.is_empty() {
            let (group, rest) = left.split_at(1 + dice.roll(left.len()));
            world.send(group).await;
            if dice.roll(2) == 0 {
                world.settled().await;
            }
            left = rest;
        }
        world.settled().await;
        for case in 0..4 {
            let tickets = tickets_of(&world, &format!("long-{seed}-{case}-%")).await;
            assert_eq!(
                tickets.len(),
                36,
                "seed {seed}, thread {case}: every mail is filed"
            );
            let different: BTreeSet<_> = tickets.values().collect();
            assert_eq!(
                different.len(),
                1,
                "seed {seed}, thread {case} is one ticket"
            );
        }
    }
    nothing_is_lost(&world).await;
}

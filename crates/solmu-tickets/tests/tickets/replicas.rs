//! Two replicas over the same streams, of which one goes and one comes in between.

use std::collections::BTreeMap;

use solmu_testkit::wait_for;

use crate::support::{World, answer, mail};

const CONVERSATIONS: usize = 30;
const MESSAGES: usize = 10;

async fn both_work(world: &World) {
    let holders = "SELECT count(DISTINCT holder) FROM platform.lease
        WHERE name LIKE '%tickets-inbound' AND expires_at > clock_timestamp()";
    wait_for("both replicas hold shards", || async {
        world.count(holders).await == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_keep_their_order_over_two_replicas() {
    let mut world = World::empty().await;
    drop(world.start("a").await);
    drop(world.start("b").await);
    both_work(&world).await;

    for place in 0..MESSAGES {
        let wave: Vec<_> = (0..CONVERSATIONS)
            .map(|conversation| {
                let from = format!("c{conversation}@d{conversation}.example");
                let root = format!("{conversation}-0@c.example");
                match place {
                    0 => mail(&root, &from),
                    _ => answer(
                        &format!("{conversation}-{place}@c.example"),
                        &from,
                        &[&root],
                    ),
                }
            })
            .collect();
        world.send(&wave).await;
        // Everything again, and a replica that leaves with work in hand: nothing may be doubled or reordered.
        world.send(&wave[..10]).await;
        if place == 4 {
            world.replicas[0].shutdown.drain.cancel();
            world.replicas[0].shutdown.stop.cancel();
        }
    }
    world.settled().await;
    assert_eq!(world.tickets().await.len(), CONVERSATIONS);
    let rows: Vec<(uuid::Uuid, i64, String)> = sqlx::query_as(
        "SELECT ticket_id, sequence, external_id FROM tickets.message ORDER BY ticket_id, sequence",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    assert_eq!(rows.len(), CONVERSATIONS * MESSAGES);
    let mut threads: BTreeMap<uuid::Uuid, Vec<String>> = BTreeMap::new();
    for (ticket, sequence, id) in rows {
        let thread = threads.entry(ticket).or_default();
        thread.push(id);
        assert_eq!(usize::try_from(sequence).unwrap(), thread.len());
    }
    for thread in threads.values() {
        let (conversation, _) = thread[0].split_once('-').unwrap();
        let wanted: Vec<_> = (0..MESSAGES)
            .map(|place| format!("{conversation}-{place}@c.example"))
            .collect();
        assert_eq!(*thread, wanted);
    }
    assert_eq!(world.events().await.len(), CONVERSATIONS * MESSAGES);
}

/// Replies with different roots are in different partitions, so two replicas may open their thread at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_that_meet_from_two_partitions_are_one_ticket() {
    let mut world = World::empty().await;
    drop(world.start("a").await);
    drop(world.start("b").await);
    both_work(&world).await;
    let from = "aino@c.example";
    let mut all = Vec::new();
    for thread in 0..40 {
        let shared = format!("shared-{thread}@c.example");
        for part in 0..4 {
            let own_root = format!("root-{thread}-{part}@c.example");
            all.push(answer(
                &format!("{thread}-{part}@c.example"),
                from,
                &[&own_root, &shared],
            ));
        }
    }
    world.send(&all).await;
    world.settled().await;
    assert_eq!(world.tickets().await.len(), 40);
    assert_eq!(
        world.count("SELECT count(*) FROM tickets.message").await,
        160
    );
    assert_eq!(world.count("SELECT count(*) FROM tickets.contact").await, 1);
    let gaps = world
        .count("SELECT count(*) FROM tickets.ticket WHERE message_count <> 4")
        .await;
    assert_eq!(gaps, 0);
}

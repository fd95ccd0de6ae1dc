//! Files of erased contacts go once nobody needs them, whatever fails on the way.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use futures::FutureExt as _;
use solmu_domain::clock::Clock as _;
use solmu_testkit::Harness;

use super::*;

const STAY: SignedDuration = SignedDuration::from_mins(60);

/// Objects with the time at which they were written; while `broken`, nothing can be removed.
#[derive(Debug, Default)]
struct Shelf {
    objects: Mutex<BTreeMap<String, Timestamp>>,
    broken: Mutex<bool>,
}

impl Shelf {
    fn put(&self, key: &str, at: Timestamp) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.insert(key.to_owned(), at);
    }

    fn set_broken(&self, broken: bool) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = broken;
    }

    fn keys(&self) -> Vec<String> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.keys().cloned().collect()
    }
}

impl Objects for Shelf {
    fn remove<'a>(
        &'a self,
        key: &'a str,
        newest: Timestamp,
    ) -> BoxFuture<'a, Result<bool, BoxError>> {
        async move {
            if *self.broken.lock().unwrap_or_else(PoisonError::into_inner) {
                return Err("the disk is away".into());
            }
            let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
            if objects.get(key).is_some_and(|at| *at > newest) {
                return Ok(false);
            }
            objects.remove(key);
            Ok(true)
        }
        .boxed()
    }
}

struct World {
    harness: Harness,
    shelf: Arc<Shelf>,
    remover: Remover,
}

impl World {
    async fn new() -> Self {
        let harness = Harness::new().await;
        let shelf = Arc::new(Shelf::default());
        let remover = Remover {
            clock: Arc::new(harness.clock.clone()),
            db: harness.db.clone(),
            stay: STAY,
            objects: shelf.clone(),
        };
        Self {
            harness,
            shelf,
            remover,
        }
    }

    /// Erases a contact that had these files: they are due after a while.
    async fn erase(&self, keys: &[&str]) {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        let due = self.harness.clock.now() + STAY;
        let mut connection = self.harness.db.pool().acquire().await.unwrap();
        add(&mut connection, &keys, due).await.unwrap();
    }

    async fn noted(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT key FROM tickets.erased_object ORDER BY key")
            .fetch_all(self.harness.db.pool())
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_go_when_they_are_due_and_nobody_needs_them() {
    let world = World::new().await;
    let start = world.harness.clock.now();
    for key in ["alone", "shared", "waiting", "unlisted"] {
        world.shelf.put(key, start);
    }
    world
        .erase(&["alone", "gone before", "shared", "unlisted", "waiting"])
        .await;
    assert_eq!(world.remover.round().await.unwrap(), 0, "not due yet");
    for statement in [
        "INSERT INTO tickets.raw_original (message_id, sha256, size_bytes, content_type, object_key)
            VALUES (gen_random_uuid(), '', 1, '', 'shared')",
        "INSERT INTO tickets.quarantine (message_id, channel, account, sender, subject, cause_code, automatic_class,
                message, quarantined_at, object_keys)
            VALUES (gen_random_uuid(), 1, '', '', '', '', 1, '', now(), '[\"waiting\"]'),
                (gen_random_uuid(), 1, '', '', '', '', 1, 'x unlisted y', now(), NULL)",
    ] {
        sqlx::query(statement)
            .execute(world.harness.db.pool())
            .await
            .unwrap();
    }
    world.harness.clock.advance(STAY);
    assert_eq!(world.remover.round().await.unwrap(), 5);
    assert_eq!(world.shelf.keys(), ["shared", "unlisted", "waiting"]);
    assert_eq!(world.noted().await, Vec::<String>::new());
    assert_eq!(world.remover.round().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_or_a_crash_means_another_attempt() {
    let world = World::new().await;
    let clock = &world.harness.clock;
    world.shelf.put("a", clock.now());
    world.erase(&["a"]).await;
    clock.advance(STAY);
    world.shelf.set_broken(true);
    assert_eq!(world.remover.round().await.unwrap(), 1);
    assert_eq!(world.remover.round().await.unwrap(), 0, "after a pause");
    clock.advance(FIRST_PAUSE);
    assert_eq!(world.remover.round().await.unwrap(), 1);
    world.shelf.set_broken(false);
    // The next one claims it and is gone.
    clock.advance(FIRST_PAUSE * 2);
    let until = clock.now() + CLAIM;
    let claimed = world.remover.claim(clock.now(), until).await.unwrap();
    assert_eq!(claimed, [("a".to_owned(), 3)]);
    assert_eq!(world.remover.round().await.unwrap(), 0, "it is claimed");
    clock.advance(CLAIM);
    assert_eq!(world.remover.round().await.unwrap(), 1);
    assert_eq!(world.shelf.keys(), Vec::<String>::new());
    assert_eq!(world.noted().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_stays_until_it_is_clear_who_needs_it() {
    let world = World::new().await;
    let clock = &world.harness.clock;
    world.shelf.put("a", clock.now());
    world.erase(&["a"]).await;
    clock.advance(STAY / 2);
    world.shelf.put("a", clock.now());
    clock.advance(STAY / 2);
    assert_eq!(world.remover.round().await.unwrap(), 1);
    assert_eq!(world.shelf.keys(), ["a"]);
    // The message never came.
    clock.advance(STAY);
    assert_eq!(world.remover.round().await.unwrap(), 1);
    assert_eq!(world.shelf.keys(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_while_an_object_is_claimed_is_not_lost() {
    let world = World::new().await;
    let clock = &world.harness.clock;
    world.erase(&["a"]).await;
    clock.advance(STAY);
    let until = clock.now() + CLAIM;
    world.remover.claim(clock.now(), until).await.unwrap();
    world.erase(&["a"]).await;
    let done = Outcome {
        done: vec!["a".to_owned()],
        ..Outcome::default()
    };
    world.remover.note(done, until).await.unwrap();
    assert_eq!(world.noted().await, ["a"]);
}

#[test]
fn pauses_double_up_to_an_hour() {
    assert_eq!(pause(1), SignedDuration::from_mins(1));
    assert_eq!(pause(3), SignedDuration::from_mins(4));
    assert_eq!(pause(1_000), SignedDuration::from_mins(64));
}

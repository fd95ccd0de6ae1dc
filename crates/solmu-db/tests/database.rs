//! Leases, outbox and inbox on the real PostgreSQL.

use std::time::Duration;

use solmu_db::{
    Db, DbConfig, DbError, HasDbError as _, inbox,
    lease::{self, LeaseGroup},
    migrate,
    outbox::{self, Owner},
};
use solmu_domain::{clock::Clock as _, ids::EventId};
use solmu_testkit::{Harness, wait_for};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

fn event(place: u8) -> outbox::OutboxEvent {
    outbox::OutboxEvent {
        event_id: uuid::Uuid::from_u128(u128::from(place)),
        family: "tickets".to_owned(),
        shard: 0,
        event: vec![place],
    }
}

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    let harness = Harness::new().await;
    migrate::migrate(&harness.db).await.unwrap();
    assert_eq!(
        migrate::current_version(&harness.db).await.unwrap(),
        migrate::needed_version()
    );
}

#[tokio::test]
async fn inbox_knows_repeats_also_across_a_rollback() {
    let harness = Harness::new().await;
    let id = EventId::stable("test", &["1"]);
    let now = harness.clock.now();
    let failed: Result<(), DbError> = harness
        .db
        .tx("test.rollback", |tx| {
            Box::pin(async move {
                assert!(
                    inbox::claim(tx, Owner::Tickets, "c", &[id], now)
                        .await?
                        .contains(&id)
                );
                Err(DbError::LeaseLost {
                    name: "test".to_owned(),
                    shard: 0,
                })
            })
        })
        .await;
    assert!(failed.is_err());
    for expected in [true, false] {
        let claimed = harness
            .db
            .tx("test.claim", |tx| {
                Box::pin(async move { inbox::claim(tx, Owner::Tickets, "c", &[id, id], now).await })
            })
            .await
            .unwrap();
        assert_eq!(claimed.contains(&id), expected);
    }
}

#[tokio::test]
async fn outbox_keeps_order_until_sent_and_purged() {
    let harness = Harness::new().await;
    let (pool, now) = (harness.db.pool(), harness.clock.now());
    let mut tx = pool.begin().await.unwrap();
    outbox::add(&mut tx, Owner::Sla, vec![event(1), event(2), event(3)], now)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut relay = pool.acquire().await.unwrap();
    let unsent = outbox::take(&mut relay, Owner::Sla, &[], 2).await.unwrap();
    assert_eq!(
        unsent.iter().map(|row| row.event[0]).collect::<Vec<_>>(),
        [1, 2]
    );
    let ids: Vec<i64> = unsent.iter().map(|row| row.id).collect();
    let known = &ids[..1];
    let rest = outbox::take(&mut relay, Owner::Sla, known, 9)
        .await
        .unwrap();
    assert_eq!(
        rest.iter().map(|row| row.event[0]).collect::<Vec<_>>(),
        [2, 3],
        "what is known to be out is not taken again"
    );
    outbox::mark_sent(&mut relay, Owner::Sla, &ids, now)
        .await
        .unwrap();
    let rest = outbox::take(&mut relay, Owner::Sla, &[], 9).await.unwrap();
    assert_eq!(rest[0].event, [3]);
    let backlog = outbox::backlog(pool, Owner::Sla).await.unwrap();
    assert_eq!((backlog.pending, backlog.oldest), (1, Some(now)));
    let later = now + jiff::SignedDuration::from_secs(1);
    assert_eq!(outbox::purge(pool, Owner::Sla, later).await.unwrap(), 2);
}

#[tokio::test]
async fn shards_are_shared_and_a_stopped_member_gives_its_own_back() {
    let harness = Harness::new().await;
    let tasks = TaskTracker::new();
    let stops = [CancellationToken::new(), CancellationToken::new()];
    let mut held = Vec::new();
    for (index, stop) in stops.iter().enumerate() {
        let mut group = LeaseGroup::new("test.shards", 4, format!("member-{index}"));
        group.ttl = Duration::from_millis(800);
        held.push(lease::keep(&harness.db, group, &tasks, stop.clone()));
    }
    wait_for("both hold two shards", || async {
        held.iter().all(|held| held.borrow().len() == 2)
    })
    .await;
    let before = held[1].borrow().clone();
    stops[0].cancel();
    wait_for("the survivor holds all", || async {
        held[1].borrow().len() == 4
    })
    .await;
    let after = held[1].borrow().clone();
    for (shard, epoch) in &after {
        assert!(
            before.get(shard).is_none_or(|old| old == epoch),
            "an unbroken lease keeps its epoch"
        );
    }
    stops[1].cancel();
}

#[tokio::test]
async fn a_lost_lease_stops_the_transaction() {
    let harness = Harness::new().await;
    let tasks = TaskTracker::new();
    let stop = CancellationToken::new();
    let held = lease::keep(
        &harness.db,
        LeaseGroup::new("test.fence", 1, "me"),
        &tasks,
        stop.clone(),
    );
    wait_for("the lease is held", || async { held.borrow().len() == 1 }).await;
    let mine = held.borrow().clone();
    let mut tx = harness.db.pool().begin().await.unwrap();
    lease::fence(&mut tx, "test.fence", &mine).await.unwrap();
    tx.rollback().await.unwrap();
    sqlx::query("UPDATE platform.lease SET holder = 'other', epoch = epoch + 1")
        .execute(harness.db.pool())
        .await
        .unwrap();
    let mut tx = harness.db.pool().begin().await.unwrap();
    let error = lease::fence(&mut tx, "test.fence", &mine)
        .await
        .unwrap_err();
    assert!(
        matches!(error, DbError::LeaseLost { shard: 0, .. })
            && !error.db_error().unwrap().is_conflict()
    );
    stop.cancel();
}

#[test]
fn owners_have_their_own_channel() {
    let channels: std::collections::HashSet<_> =
        Owner::ALL.iter().map(|owner| owner.channel()).collect();
    assert_eq!(channels.len(), Owner::ALL.len());
}

/// Whether a statement goes on in PostgreSQL.
async fn is_running(harness: &Harness, statement: &str) -> bool {
    let found: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query = $1",
    )
    .bind(statement)
    .fetch_one(harness.db.pool())
    .await
    .expect("the database tells what runs");
    found > 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_end_when_they_take_too_long_also_if_nobody_waits_for_them() {
    let harness = Harness::new().await;
    let config = DbConfig {
        max_connections: 2,
        read_timeout: Duration::from_millis(500),
        ..DbConfig::default()
    };
    let db = Db::new(&harness.db_url, &config).unwrap();
    let slow = "SELECT pg_sleep(86400)";
    let ended = sqlx::query(slow).execute(db.reads()).await.unwrap_err();
    assert!(DbError::from(ended).is_timed_out());
    // The connection is as good as before, and whoever files is not bounded.
    let shown = |setting: &'static str| format!("SHOW {setting}");
    for (pool, setting, value) in [
        (db.reads(), "statement_timeout", "500ms"),
        (db.pool(), "statement_timeout", "0"),
        (db.reads(), "client_min_messages", "warning"),
        (db.pool(), "client_min_messages", "warning"),
    ] {
        let query = sqlx::AssertSqlSafe(shown(setting));
        let found: String = sqlx::query_scalar(query).fetch_one(pool).await.unwrap();
        assert_eq!(found, value, "{setting}");
    }
    let reads = db.reads().clone();
    let given_up = TaskTracker::new().spawn(async move { sqlx::query(slow).execute(&reads).await });
    wait_for("the statement begins, or is over", || async {
        given_up.is_finished() || is_running(&harness, slow).await
    })
    .await;
    given_up.abort();
    wait_for("the statement ends", || async {
        !is_running(&harness, slow).await
    })
    .await;
    let one: i32 = sqlx::query_scalar("SELECT 1")
        .fetch_one(db.reads())
        .await
        .unwrap();
    assert_eq!(one, 1);
}

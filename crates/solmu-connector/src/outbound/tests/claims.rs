//! What is taken next, and that looking for it reads little, however much waits.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use solmu_db::{Db, SqlTimestamp, ToSqlx as _};
use sqlx::{AssertSqlSafe, Row as _};

use super::*;
use crate::outbound::{
    claim::{self, Claimed, IN_LINE, OF_LANES, Place, WALK, Wanted},
    lanes::Openings,
};

const CHANNEL: &str = "claims";

fn now() -> Timestamp {
    "2026-11-02T08:00:00Z".parse().unwrap()
}

fn closed(lanes: &[&str]) -> Openings {
    Openings {
        closed: lanes.iter().map(ToString::to_string).collect(),
        open: Vec::new(),
    }
}

fn wanted(limit: usize, openings: &Openings) -> Wanted<'_> {
    Wanted {
        channel: CHANNEL,
        limit,
        openings,
        now: now(),
        until: now() + SignedDuration::from_mins(2),
    }
}

/// Queues `count` messages of `lane`, each of a conversation of its own, due at `at`.
async fn fill(db: &Db, lane: &str, count: i32, at: Timestamp) {
    sqlx::query(
        "INSERT INTO connector.outbound (message_id, channel, account, conversation_key, lane, state, message, \
           next_attempt_at, queued_at) \
         SELECT gen_random_uuid(), $1, 'main', $2 || ' ' || number, $2, 'queued', '', $3, $3 \
         FROM generate_series(1, $4) AS number",
    )
    .bind(CHANNEL)
    .bind(lane)
    .bind(at.to_sqlx())
    .bind(count)
    .execute(db.pool())
    .await
    .unwrap();
}

fn by_lane(claimed: &[Claimed]) -> BTreeMap<&str, usize> {
    let mut lanes = BTreeMap::new();
    for message in claimed {
        *lanes.entry(message.lane.as_str()).or_default() += 1;
    }
    lanes
}

/// Blocks of 8 KiB that a statement touched, and its plan.
async fn cost(
    db: &Db,
    statement: &str,
    bind: impl FnOnce(Explained<'_>) -> Explained<'_>,
) -> (i64, String) {
    let sql = format!("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, FORMAT JSON) {statement}");
    let mut tx = db.pool().begin().await.unwrap();
    let plan: serde_json::Value = bind(sqlx::query(AssertSqlSafe(sql)))
        .fetch_one(&mut *tx)
        .await
        .unwrap()
        .get(0);
    tx.rollback().await.unwrap();
    let top = &plan[0]["Plan"];
    let blocks = |name: &str| top[name].as_i64().unwrap();
    (
        blocks("Shared Hit Blocks") + blocks("Shared Read Blocks"),
        plan.to_string(),
    )
}

type Explained<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

#[tokio::test]
async fn what_waits_behind_a_resting_lane_is_not_read() {
    /// Every look at a table with a few waiting messages costs some of them, too.
    const FEW_BLOCKS: i64 = 1_500;
    let harness = Harness::new().await;
    let db = &harness.db;
    // What the planner knows is part of the test.
    sqlx::query("ALTER TABLE connector.outbound SET (autovacuum_enabled = false)")
        .execute(db.pool())
        .await
        .unwrap();
    let earlier = now() - SignedDuration::from_hours(1);
    fill(db, "rests.example", 20_000, earlier).await;
    // These first: they are the oldest of their conversations.
    fill(db, "open.example", 3, now()).await;
    fill(db, "zzz.example", 3, now()).await;
    let later = now() + SignedDuration::from_hours(1);
    fill(db, "open.example", 2_000, later).await;
    let openings = closed(&["rests.example"]);
    // With and without what the planner knows after a while.
    for analyze in [false, true] {
        if analyze {
            sqlx::query("ANALYZE connector.outbound")
                .execute(db.pool())
                .await
                .unwrap();
        }
        let looks = looks(db, &openings).await;
        for (name, (blocks, plan)) in looks {
            assert!(
                blocks < FEW_BLOCKS && !plan.contains("Seq Scan"),
                "{name}, analyzed: {analyze}, {blocks} blocks: {}",
                &plan[..plan.len().min(4_000)]
            );
        }
    }
    let mut place = Place::default();
    let found = claim::in_line(db, wanted(8, &openings)).await.unwrap();
    let others = claim::lane_by_lane(db, wanted(8, &openings), &mut place)
        .await
        .unwrap();
    assert!(found.claimed.is_empty() && found.more);
    let others = by_lane(&others);
    assert_eq!(
        others,
        BTreeMap::from([("open.example", 1), ("zzz.example", 1)])
    );
}

async fn looks(db: &Db, openings: &Openings) -> [(&'static str, (i64, String)); 3] {
    let (at, until): (SqlTimestamp, SqlTimestamp) = (now().to_sqlx(), now().to_sqlx());
    let closed = openings.closed.clone();
    let in_line = cost(db, IN_LINE, |query| {
        query
            .bind(CHANNEL)
            .bind(at)
            .bind(until)
            .bind(8_i64)
            .bind(closed)
            .bind(Vec::<String>::new())
            .bind(Vec::<i64>::new())
            .bind(64_i64)
            .bind(1_i64)
            .bind("sending")
    });
    let in_line = in_line.await;
    let closed = openings.closed.clone();
    let walk = cost(db, WALK, |query| {
        query
            .bind(CHANNEL)
            .bind(at)
            .bind("")
            .bind(closed)
            .bind(8_i64)
            .bind(500_i64)
    });
    let walk = walk.await;
    let of_lanes = cost(db, OF_LANES, |query| {
        query
            .bind(CHANNEL)
            .bind(at)
            .bind(until)
            .bind(8_i64)
            .bind(vec!["open.example", "zzz.example"])
            .bind(vec![4_i64, 4])
            .bind("sending")
    });
    [
        ("the line", in_line),
        ("the walk", walk),
        ("the lanes", of_lanes.await),
    ]
}

#[tokio::test]
async fn every_lane_gets_its_turn() {
    let harness = Harness::new().await;
    let db = &harness.db;
    let names: Vec<String> = (0..30)
        .map(|number| format!("lane{number:02}.example"))
        .collect();
    // The first lanes have most, the empty name is a lane like any other.
    for (number, lane) in names.iter().enumerate() {
        fill(db, lane, if number < 3 { 200 } else { 2 }, now()).await;
    }
    fill(db, "", 2, now()).await;
    let openings = closed(&["lane00.example", "lane10.example"]);
    let mut place = Place::default();
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        let claimed = claim::lane_by_lane(db, wanted(8, &openings), &mut place)
            .await
            .unwrap();
        assert_eq!(claimed.len(), 8);
        assert!(by_lane(&claimed).values().all(|count| *count == 1));
        seen.extend(claimed.into_iter().map(|message| message.lane));
    }
    assert_eq!(seen.len(), 29, "all but the closed ones");
    // Around and around: what is left is taken, and of a closed lane nothing is.
    let mut left = 0;
    loop {
        let claimed = claim::lane_by_lane(db, wanted(50, &openings), &mut place)
            .await
            .unwrap();
        assert!(by_lane(&claimed).values().all(|count| *count == 1));
        if claimed.is_empty() {
            break;
        }
        left += claimed.len();
    }
    let open = 2 * 200 + 26 * 2 + 2;
    assert_eq!(left, open - 4 * 8);
}

#[tokio::test]
async fn a_conversation_and_a_room_hold_back_what_is_behind_them() {
    let harness = Harness::new().await;
    let db = &harness.db;
    let later = now() + SignedDuration::from_mins(5);
    fill(db, "a.example", 6, now()).await;
    fill(db, "b.example", 6, now()).await;
    // Of each conversation there is a second message; in b.example the first ones wait for their retry.
    fill(db, "a.example", 6, now()).await;
    fill(db, "b.example", 6, now()).await;
    sqlx::query(
        "UPDATE connector.outbound SET next_attempt_at = $2 WHERE lane = 'b.example' AND sequence IN \
         (SELECT min(sequence) FROM connector.outbound WHERE channel = $1 GROUP BY conversation_key)",
    )
    .bind(CHANNEL)
    .bind(later.to_sqlx())
    .execute(db.pool())
    .await
    .unwrap();
    let openings = Openings {
        closed: Vec::new(),
        open: vec![("a.example".to_owned(), 4), ("b.example".to_owned(), 4)],
    };
    let mut place = Place::default();
    let found = claim::in_line(db, wanted(50, &openings)).await.unwrap();
    assert_eq!(by_lane(&found.claimed), BTreeMap::from([("a.example", 4)]));
    assert!(!found.more);
    let rest = claim::lane_by_lane(db, wanted(50, &openings), &mut place)
        .await
        .unwrap();
    assert_eq!(by_lane(&rest), BTreeMap::from([("a.example", 2)]));
    let none = claim::lane_by_lane(db, wanted(50, &openings), &mut place)
        .await
        .unwrap();
    assert!(none.is_empty());
    assert_eq!(place, Place::default(), "it begins anew");
}

//! Buckets in memory, and ten thousand mails against the table.

use jiff::SignedDuration;
use solmu_testkit::Harness;
use sqlx::Row as _;

use super::*;

fn start() -> Timestamp {
    "2026-11-02T08:00:00Z".parse().unwrap()
}

fn later(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

#[test]
fn a_bucket_begins_full_and_refills_evenly() {
    let (mut budgets, loops) = (Budgets::default(), Loops::default());
    let mut out = |at| budgets.spend(Kind::AutomaticOut, "a@x.fi", Uuid::nil(), &loops, at);
    assert_eq!((0..20).filter(|_| out(start())).count(), 10);
    assert!(!out(later(18 * 60 - 1)) && out(later(18 * 60)) && !out(later(18 * 60)));
    assert_eq!((0..20).filter(|_| out(later(1_000_000))).count(), 10);
    // A clock that goes back gives nothing and takes nothing.
    assert!(!out(start()));
}

#[test]
fn a_cap_of_nothing_stops_all() {
    let mut budgets = Budgets::default();
    let loops = Loops {
        automatic_to_address: Cap {
            messages: 0,
            seconds: 0,
        },
        ..Loops::default()
    };
    assert!(!budgets.spend(Kind::AutomaticOut, "a@x.fi", Uuid::nil(), &loops, start()));
}

#[test]
fn looking_spends_nothing() {
    let (mut budgets, loops) = (Budgets::default(), Loops::default());
    let ticket = Uuid::from_u128(1);
    for _ in 0..3 {
        assert!(budgets.has(Kind::Acknowledgement, "a@x.fi", ticket, &loops, start()));
    }
    assert!(budgets.spend(Kind::Acknowledgement, "a@x.fi", ticket, &loops, start()));
    assert!(!budgets.has(
        Kind::Acknowledgement,
        "a@x.fi",
        ticket,
        &loops,
        later(3_600)
    ));
    assert!(budgets.has(
        Kind::Acknowledgement,
        "a@x.fi",
        ticket,
        &loops,
        later(24 * 3_600)
    ));
}

/// Spends `count` tokens in one transaction; says how many there were.
async fn batch(harness: &Harness, loops: &Loops, ticket: Uuid, count: usize) -> usize {
    let loops = loops.clone();
    harness
        .db
        .tx("test.spend", |tx| {
            let loops = loops.clone();
            Box::pin(async move {
                let addresses = HashSet::from(["loop@x.fi".to_owned()]);
                let mut budgets = Budgets::load(tx, &addresses, [ticket].into_iter()).await?;
                let spent = (0..count)
                    .filter(|_| {
                        budgets.spend(Kind::AutomaticIn, "loop@x.fi", ticket, &loops, start())
                    })
                    .count();
                budgets.write(tx).await?;
                Ok::<_, TicketError>(spent)
            })
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_mails_pass_a_cap_as_often_as_it_says_and_by_its_index() {
    let harness = Harness::new().await;
    let loops = Loops::default();
    // What other loops have left behind, on many tickets of one address and of others.
    sqlx::query(
        "INSERT INTO tickets.loop_budget SELECT CASE WHEN n % 2 = 0 THEN 'loop@x.fi' ELSE 'o' || n || '@x.fi' END,
            gen_random_uuid(), 3, 0, '2026-11-02T07:00:00Z', 1 FROM generate_series(1, 20000) AS n",
    )
    .execute(harness.db.pool())
    .await
    .unwrap();
    sqlx::query("ANALYZE tickets.loop_budget")
        .execute(harness.db.pool())
        .await
        .unwrap();
    let ticket = Uuid::from_u128(7);
    let mut passed = 0;
    for _ in 0..25 {
        // Two replicas at once: one of them is decided again.
        let (one, two) = tokio::join!(
            batch(&harness, &loops, ticket, 200),
            batch(&harness, &loops, ticket, 200)
        );
        passed += one + two;
    }
    let cap = loops.automatic_from_address.messages;
    assert_eq!(u32::try_from(passed).unwrap(), cap);
    let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN {LOAD}")))
        .bind(vec!["loop@x.fi"])
        .bind(vec![ticket, Uuid::nil()])
        .fetch_all(harness.db.pool())
        .await
        .unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(
        plan.contains("loop_budget_pkey") && !plan.contains("Seq Scan"),
        "{plan}"
    );
    let mut tx = harness.db.pool().acquire().await.unwrap();
    assert_eq!(purge(&mut tx, start()).await.unwrap(), 20_000);
}

//! SIGTERM under load: who was told 250 can rely on it, and who was not keeps the mail.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::support::{Home, Load, Ports, Settings, Solmu, Told, until, wait};

const SENDERS: usize = 8;
const MAILS: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_breaks_no_promise() {
    let (home, ports) = (Home::new(), Ports::free());
    Settings::default().write(&home);
    let (solmu, _) = Solmu::start(&home, "solmu", ports, &[]).await;
    let load = Load::start(ports.smtp, SENDERS, Duration::from_millis(1), false);
    until("the load has begun", Duration::from_mins(1), async || {
        (load.accepted() >= MAILS).then_some(())
    })
    .await;
    let took = solmu.stop().await;
    let sent = load.stop().await;

    let mut told = BTreeMap::new();
    for mail in &sent {
        *told.entry(format!("{:?}", mail.told)).or_insert(0) += 1;
    }
    eprintln!(
        "stopped in {} ms; senders were told: {told:?}",
        took.as_millis()
    );
    let unanswered = sent
        .iter()
        .filter(|mail| mail.told == Told::Cut { whole: true })
        .count();
    assert_eq!(
        unanswered, 0,
        "a mail that was sent to its end gets an answer"
    );

    // What was accepted and not yet filed waits on the bus for the next start.
    let (solmu, _) = Solmu::start(&home, "solmu", ports, &[]).await;
    let (postgres, _) = home.engine_urls();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&postgres)
        .await
        .unwrap();
    let accepted: BTreeSet<&str> = sent
        .iter()
        .filter(|mail| mail.told == Told::Accepted)
        .map(|mail| mail.id.as_str())
        .collect();
    wait("every accepted mail is filed", async || {
        let filed = filed(&pool).await;
        accepted
            .iter()
            .all(|id| filed.contains_key(*id))
            .then_some(())
    })
    .await;
    let filed = filed(&pool).await;
    assert!(
        filed.values().all(|count| *count == 1),
        "a mail was filed twice"
    );
    let refused = sent
        .iter()
        .filter(|mail| matches!(mail.told, Told::Refused(_) | Told::Unreachable));
    for mail in refused {
        assert!(
            !filed.contains_key(&mail.id),
            "{} was refused and filed all the same",
            mail.id
        );
    }
    eprintln!("accepted {}, filed {}", accepted.len(), filed.len());
    pool.close().await;
    solmu.stop().await;
}

async fn filed(pool: &PgPool) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT external_id, count(*) FROM tickets.message WHERE author_kind = 1 GROUP BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter().collect()
}

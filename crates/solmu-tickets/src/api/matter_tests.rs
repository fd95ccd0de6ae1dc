//! Who sees a pair, and what finding one costs.

use solmu_db::ToSqlx as _;
use solmu_domain::{
    clock::Clock as _,
    ids::{AgentId, TeamId},
};
use solmu_runtime::access::Visibility;
use solmu_testkit::Harness;
use sqlx::PgPool;

use super::*;
use crate::{Config, matters::CANDIDATES};

const OURS: Uuid = Uuid::from_u128(1);
const THEIRS: Uuid = Uuid::from_u128(2);
const ME: Uuid = Uuid::from_u128(3);

struct Desk {
    harness: Harness,
    matters: Matters,
}

impl Desk {
    async fn new() -> Self {
        let harness = Harness::new().await;
        let context = Context::new(&harness.runtime("matters"), Config::default());
        let matters = Matters {
            context: Arc::new(context),
        };
        sqlx::query(
            "INSERT INTO tickets.contact (id, display_name, created_at) VALUES ($1, '', now())",
        )
        .bind(Uuid::nil())
        .execute(harness.db.pool())
        .await
        .unwrap();
        Self { harness, matters }
    }

    fn pool(&self) -> &PgPool {
        self.harness.db.pool()
    }

    async fn ticket(&self, number: u128, team: Uuid, restricted_to: Option<Uuid>) -> Uuid {
        let id = Uuid::from_u128(number);
        sqlx::query(
            "INSERT INTO tickets.ticket (id, number, subject, status, priority, contact_id, channel, account, recipient,
                conversation_key, language, created_at, updated_at, team_id, restricted_to)
             VALUES ($1, $2, 'secret', 'open', 'normal', $3, 1, 'main', '', '', '', $4, $4, $5,
                CASE WHEN $6::uuid IS NOT NULL THEN ARRAY[$6::uuid] END)",
        )
        .bind(id)
        .bind(i64::try_from(number).unwrap())
        .bind(Uuid::nil())
        .bind(self.harness.clock.now().to_sqlx())
        .bind(team)
        .bind(restricted_to)
        .execute(self.pool())
        .await
        .unwrap();
        id
    }

    /// A pair that waits.
    async fn pair(&self, ticket: Uuid, opened: Uuid) -> Uuid {
        let id = Uuid::new_v5(&ticket, opened.as_bytes());
        sqlx::query(
            "INSERT INTO tickets.matter (id, state, message_id, ticket_id, opened_id, ground, score, proven, reference,
                contact_id, channel, account, address, conversation_key, recipient, created_at)
             VALUES ($1, 2, $1, $2, $3, 'words', 60, true, '', $4, 1, 'main', '', '', '', $5)",
        )
        .bind(id)
        .bind(ticket)
        .bind(opened)
        .bind(Uuid::nil())
        .bind(self.harness.clock.now().to_sqlx())
        .execute(self.pool())
        .await
        .unwrap();
        id
    }

    async fn listed(&self, visibility: &Visibility, ticket: Option<Uuid>) -> Vec<Uuid> {
        let request = proto::ListMatterProposalsRequest::default();
        let page = list::page(self.pool(), ticket, &request, visibility, 100).await;
        let ids = page.unwrap().proposals;
        ids.iter().map(|it| it.id.parse().unwrap()).collect()
    }

    async fn decides(&self, visibility: &Visibility, pair: Uuid) -> bool {
        let agent = AgentId::from_uuid(ME);
        let caller = Caller::new("t", Role::Agent, Some(agent)).seeing(visibility.clone());
        self.matters.check_sight(&caller, pair).await.is_ok()
    }
}

/// An agent who is bound to our team, and one who is bound to none.
fn people() -> [Visibility; 2] {
    let agent = AgentId::from_uuid(ME);
    let teams: Arc<[TeamId]> = [TeamId::from_uuid(OURS)].into();
    let bound = Visibility::Teams {
        agent,
        teams: teams.clone(),
    };
    let manager = Visibility::AllTeams {
        agent: Some(agent),
        teams,
    };
    [bound, manager]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_shown_half_of_a_pair() {
    let desk = Desk::new().await;
    let [bound, manager] = people();
    let ours = desk.ticket(10, OURS, None).await;
    let also = desk.ticket(11, OURS, None).await;
    let theirs = desk.ticket(12, THEIRS, None).await;
    let named = desk.ticket(13, THEIRS, Some(OURS)).await;
    let hidden = desk.ticket(14, OURS, Some(THEIRS)).await;
    let seen = desk.pair(ours, also).await;
    let half = desk.pair(ours, theirs).await;
    let other_half = desk.pair(theirs, ours).await;
    let by_name = desk.pair(named, ours).await;
    let secret = desk.pair(hidden, ours).await;
    let secret_too = desk.pair(ours, hidden).await;
    for (who, sees) in [
        (&bound, vec![seen, by_name]),
        (&manager, vec![seen, half, other_half, by_name]),
        (
            &Visibility::Everything,
            vec![seen, half, other_half, by_name, secret, secret_too],
        ),
    ] {
        for ticket in [None, Some(ours)] {
            let mut listed = desk.listed(who, ticket).await;
            let mut wanted = sees.clone();
            listed.sort();
            wanted.sort();
            assert_eq!(listed, wanted, "{who:?} {ticket:?}");
        }
        for pair in [seen, half, other_half, by_name, secret, secret_too] {
            assert_eq!(
                desk.decides(who, pair).await,
                sees.contains(&pair),
                "{who:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_see_what_both_have_become_decides_nothing() {
    let desk = Desk::new().await;
    let [bound, manager] = people();
    let one = desk.ticket(10, OURS, None).await;
    let other = desk.ticket(11, OURS, None).await;
    let pair = desk.pair(one, other).await;
    assert!(desk.decides(&bound, pair).await);
    // What a decision would change is the ticket that one of them is part of by now.
    let head = desk.ticket(12, THEIRS, None).await;
    sqlx::query("UPDATE tickets.ticket SET merged_into = $2, status = 'closed' WHERE id = $1")
        .bind(one)
        .bind(head)
        .execute(desk.pool())
        .await
        .unwrap();
    assert!(!desk.decides(&bound, pair).await);
    assert!(desk.decides(&manager, pair).await);
}

/// With sequential scans forbidden, a plan that still has one has no index to use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_each_message_has_its_index() {
    let desk = Desk::new().await;
    let mut connection = desk.pool().acquire().await.unwrap();
    sqlx::query("SELECT set_config('enable_seqscan', 'off', false), set_config('enable_sort', 'off', false)")
        .execute(&mut *connection)
        .await
        .unwrap();
    for (statement, index) in [
        (CANDIDATES.to_owned(), "ticket_contact_open"),
        (
            "SELECT 1 FROM tickets.matter WHERE message_id = $1[1]".to_owned(),
            "matter_pair",
        ),
    ] {
        let statement = statement
            .replace("$1", "('{00000000-0000-0000-0000-000000000000}'::uuid[])")
            .replace("$2", "'2026-11-02'::timestamptz")
            .replace("$3", "20");
        let lines: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("EXPLAIN {statement}")))
                .fetch_all(&mut *connection)
                .await
                .unwrap();
        let plan = lines.join("\n");
        assert!(!plan.contains("Seq Scan") && plan.contains(index), "{plan}");
    }
}

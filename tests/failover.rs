//! Two and three routers, of which the leading one is killed with -9, or stopped for a while and let go on, while customers
//! write: another one leads, no ticket is given to two people, nobody gets more than they can take, and who wakes up after
//! somebody else has begun to lead writes nothing any more.
//!
//! What is looked at is the order of the decisions themselves: each carries the epoch of the lease that it was made under,
//! and a number that grows as they are stored. A decision of an older epoch behind one of a newer epoch would be one of a
//! leader who led no more.

use std::time::Duration;

use solmu_client::proto::routing::v1::{
    Agent, CreateAgentRequest, ListAgentsRequest, Presence, SetPresenceRequest, UpdateAgentRequest,
};
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::{
    crash::{filed_exactly_once, owners_are_right, settled},
    support::{Api, Home, Load, Ports, Settings, Solmu, wait},
};

const SENDERS: usize = 2;
const PACE: Duration = Duration::from_millis(60);
/// Open tickets of each of three agents at most: fewer in sum than tickets, so that some have to wait.
const CAPACITY: i32 = 30;
const ROUTERS: [&str; 3] = ["router-1", "router-2", "router-3"];

/// What happens to who leads.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// kill -9, and a new process.
    Kill,
    /// SIGSTOP until somebody else has led for a while, then SIGCONT.
    Pause,
}

/// One process with all but the routers, and the routers.
struct System {
    routers: Vec<Solmu>,
    front: Solmu,
    flags: Vec<String>,
    pool: PgPool,
    home: Home,
}

impl System {
    async fn start(count: usize) -> Self {
        let home = Home::new();
        Settings {
            connections: Some(8),
            ..Settings::default()
        }
        .write(&home);
        let roles = ["email", "tickets", "sla"];
        let services = roles.iter().flat_map(|role| ["--service", *role]);
        let services: Vec<String> = services.map(str::to_owned).collect();
        let (front, _) = Solmu::start(&home, "front", Ports::free(), &services).await;
        let (postgres, nats) = home.engine_urls();
        let flags = [
            "--postgres",
            &postgres,
            "--nats",
            &nats,
            "--service",
            "router",
        ];
        let flags: Vec<String> = flags.map(str::to_owned).to_vec();
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect(&postgres)
            .await
            .unwrap();
        let routers = ROUTERS.iter().take(count);
        let mut routers: Vec<Solmu> = routers
            .map(|name| Solmu::spawn(&home, name, Ports::free(), &flags))
            .collect();
        for router in &mut routers {
            router.ready().await;
        }
        Self {
            routers,
            front,
            flags,
            pool,
            home,
        }
    }

    /// Who leads, as a position in the list, and under which epoch.
    async fn leader(&self) -> Option<(usize, i64)> {
        let lease: Option<(String, i64)> = sqlx::query_as(
            "SELECT holder, epoch FROM platform.lease WHERE name = 'router' AND expires_at > clock_timestamp()",
        )
        .fetch_optional(&self.pool)
        .await
        .unwrap();
        let (holder, epoch) = lease?;
        let named = |router: &Solmu| holder.starts_with(&format!("{}-", router.pid()));
        Some((self.routers.iter().position(named)?, epoch))
    }

    /// Waits until decisions are made under a newer epoch than this.
    async fn decides_after(&self, epoch: i64) {
        wait("another one decides", async || {
            let newest: Option<i64> =
                sqlx::query_scalar("SELECT max(lease_epoch) FROM routing.decision")
                    .fetch_one(&self.pool)
                    .await
                    .unwrap();
            newest.is_some_and(|newest| newest > epoch).then_some(())
        })
        .await;
    }

    /// Hits the leader; returns when somebody else leads and decides, and the one that was hit is there again.
    async fn strike(&mut self, blow: Blow) {
        let (which, epoch) = wait("somebody leads", async || self.leader().await).await;
        match blow {
            Blow::Kill => {
                let old = &mut self.routers[which];
                old.kill();
                let (name, ports) = (old.name, old.ports);
                self.decides_after(epoch).await;
                self.routers[which] = Solmu::spawn(&self.home, name, ports, &self.flags);
                self.routers[which].ready().await;
            }
            Blow::Pause => {
                let begun = self.routers[which].output().len();
                self.routers[which].pause();
                self.decides_after(epoch).await;
                self.routers[which].resume();
                // It has come to itself when it says that its lease, or what it had in hand, is gone; or it leads anew.
                let old = &self.routers[which];
                let http = reqwest::Client::builder().no_proxy();
                let http = http.timeout(Duration::from_secs(5)).build().unwrap();
                wait("the one that was stopped goes on", async || {
                    let answers = http.get(old.ports.admin_url("/readyz")).send().await;
                    answers.is_ok().then_some(())
                })
                .await;
                eprintln!(
                    "after its pause: {} bytes of log",
                    old.output().len() - begun
                );
            }
        }
        eprintln!(
            "{blow:?} of {}, who led under epoch {epoch}",
            ROUTERS[which]
        );
    }
}

/// Two more agents, and the first one with less room; returns what they can carry in sum.
async fn hire(system: &System) -> i64 {
    let mut routing = Api::admin(&system.home, &system.routers[0])
        .client
        .routing();
    let listed = routing.list_agents(ListAgentsRequest::default()).await;
    let first = listed.unwrap().into_inner().agents.remove(0);
    let teams = first.team_ids.clone();
    let request = UpdateAgentRequest {
        agent: Some(Agent {
            capacity: CAPACITY,
            ..first
        }),
        ..UpdateAgentRequest::default()
    };
    routing.update_agent(request).await.unwrap();
    for name in ["Kaisa", "Otso"] {
        let agent = Agent {
            display_name: name.to_owned(),
            team_ids: teams.clone(),
            capacity: CAPACITY,
            ..Agent::default()
        };
        let request = CreateAgentRequest {
            agent: Some(agent),
            ..CreateAgentRequest::default()
        };
        let made = routing.create_agent(request).await.unwrap();
        let online = SetPresenceRequest {
            agent_id: made.into_inner().id,
            presence: Presence::Online.into(),
        };
        routing.set_presence(online).await.unwrap();
    }
    i64::from(CAPACITY) * 3
}

async fn fail_over(count: usize, blows: &[Blow]) {
    let mut system = System::start(count).await;
    let capacity = hire(&system).await;
    let load = Load::start(system.front.ports.smtp, SENDERS, PACE, true);
    wait("the first decision", async || {
        let decided: i64 = sqlx::query_scalar("SELECT count(*) FROM routing.decision")
            .fetch_one(&system.pool)
            .await
            .unwrap();
        (decided > 0).then_some(())
    })
    .await;
    for blow in blows {
        system.strike(*blow).await;
    }
    // Enough that not all of it has room.
    let enough = usize::try_from(capacity).unwrap() * 2;
    wait("there are more tickets than room", async || {
        (load.accepted() >= enough).then_some(())
    })
    .await;
    let sent = load.stop().await;

    settled(&system.pool, &sent, capacity).await;
    filed_exactly_once(&system.pool, &sent).await;
    owners_are_right(&system.pool, capacity).await;
    nobody_wrote_after_a_newer_leader(&system.pool, blows.len()).await;
    system.pool.close().await;
}

/// Epochs of decisions never go back, and there were as many leaders as blows, or more.
async fn nobody_wrote_after_a_newer_leader(pool: &PgPool, blows: usize) {
    let late: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT seq, lease_epoch FROM (
            SELECT seq, lease_epoch, max(lease_epoch) OVER (ORDER BY seq) AS newest FROM routing.decision) AS decision
         WHERE lease_epoch < newest ORDER BY seq LIMIT 5",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(late.is_empty(), "decided without the lease: {late:?}");
    let leaders: i64 =
        sqlx::query_scalar("SELECT count(DISTINCT lease_epoch) FROM routing.decision")
            .fetch_one(pool)
            .await
            .unwrap();
    assert!(
        usize::try_from(leaders).unwrap() > blows,
        "{leaders} leaders"
    );
    let reserved: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (
            SELECT ticket_id FROM routing.decision
            WHERE outcome = 'reserved' AND agent_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1) AS twice",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(reserved, 0, "tickets that are promised to two people");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_routers_the_other_one_leads() {
    fail_over(2, &[Blow::Pause, Blow::Kill]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_routers_another_one_leads_each_time() {
    fail_over(3, &[Blow::Kill, Blow::Pause, Blow::Pause, Blow::Kill]).await;
}

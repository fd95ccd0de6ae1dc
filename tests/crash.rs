//! Everything is killed with -9, again and again, while customers write: what was accepted is filed exactly once, each
//! ticket ends with one owner or waits for a reason, and nothing is given up.
//!
//! What dies, and when, follows from a seed that is printed; `SOLMU_CRASH_SEED` plays one again.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng, seq::SliceRandom as _};
use solmu_client::proto::routing::v1::{
    Agent, CreateAgentRequest, ListAgentsRequest, Presence, SetPresenceRequest, UpdateAgentRequest,
};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};

use crate::support::{Api, Engine, Home, Load, Ports, Sent, Settings, Solmu, Told, until, wait};

const SENDERS: usize = 3;
const PACE: Duration = Duration::from_millis(40);
/// Each target dies so often.
const ROUNDS: usize = 4;
/// The processes, and the role of each: two ticket services and two routers, so that work also changes hands.
const PROCESSES: [(&str, &str); 6] = [
    ("email", "email"),
    ("tickets", "tickets"),
    ("tickets-2", "tickets"),
    ("router", "router"),
    ("router-2", "router"),
    ("sla", "sla"),
];
/// How long accepted mail may take to be filed, routed and timed once all is well.
const SETTLE: Duration = Duration::from_mins(2);
/// Open tickets of each agent at most: fewer in sum than tickets, so that some have to wait.
const CAPACITY: i32 = 60;

/// What can die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Process(&'static str),
    Engine(&'static str),
    /// The process that supervises the engines: all of it at once.
    Everything,
}

const ENGINES: [Target; 2] = [Target::Engine("postgres"), Target::Engine("nats")];

/// Every role in processes of its own, and one more process that supervises the engines.
struct System {
    processes: HashMap<&'static str, Solmu>,
    engines: Solmu,
    flags: Vec<String>,
    home: Home,
}

impl System {
    async fn start() -> Self {
        let home = Home::new();
        Settings {
            connections: Some(6),
            ..Settings::default()
        }
        .write(&home);
        let service = ["--service".to_owned(), "forms".to_owned()];
        let (engines, _) = Solmu::start(&home, "engines", Ports::free(), &service).await;
        let (postgres, nats) = home.engine_urls();
        let flags = ["--postgres", &postgres, "--nats", &nats]
            .map(str::to_owned)
            .to_vec();
        let mut system = Self {
            processes: HashMap::new(),
            engines,
            flags,
            home,
        };
        for (name, _) in PROCESSES {
            let process = system.spawn(name, Ports::free());
            system.processes.insert(name, process);
        }
        for process in system.processes.values_mut() {
            process.ready().await;
        }
        system
    }

    fn spawn(&self, name: &'static str, ports: Ports) -> Solmu {
        let (_, role) = PROCESSES
            .into_iter()
            .find(|(known, _)| *known == name)
            .expect("it is one of them");
        let mut flags = self.flags.clone();
        flags.extend(["--service".to_owned(), role.to_owned()]);
        Solmu::spawn(&self.home, name, ports, &flags)
    }

    /// Kills it; roles and the supervisor are started again, engines by their supervisor. False if it was not there.
    fn kill(&mut self, target: Target) -> bool {
        match target {
            Target::Process(name) => {
                let mut old = self
                    .processes
                    .remove(name)
                    .expect("processes are always put back");
                old.kill();
                let new = self.spawn(name, old.ports);
                self.processes.insert(name, new);
            }
            Target::Engine(name) => {
                let engine = if name == "nats" {
                    Engine::Nats
                } else {
                    Engine::Postgres
                };
                let Some(pid) = self.home.engine_pid(engine) else {
                    return false;
                };
                kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            }
            Target::Everything => {
                self.engines.kill();
                let service = ["--service".to_owned(), "forms".to_owned()];
                self.engines = Solmu::spawn(&self.home, "engines", self.engines.ports, &service);
            }
        }
        true
    }

    fn api(&self, name: &str) -> Api {
        Api::admin(&self.home, &self.processes[name])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_filed_once_whatever_dies() {
    let begun = Instant::now();
    let seed = std::env::var_os("SOLMU_CRASH_SEED")
        .map_or_else(rand::random, |seed| seed.to_string_lossy().parse().unwrap());
    eprintln!("seed {seed}");
    let mut system = System::start().await;
    let capacity = hire(&system).await;
    let load = Load::start(system.processes["email"].ports.smtp, SENDERS, PACE, true);
    let killed = rampage(&mut system, &load, seed).await;
    let sent = load.stop().await;
    eprintln!("{} ms: the killing is over", begun.elapsed().as_millis());
    assert!(killed.values().sum::<usize>() >= 20, "{killed:?}");
    assert!(sent.iter().all(|mail| mail.told == Told::Accepted));

    let (postgres, _) = system.home.engine_urls();
    let pool = wait("the database is back", async || {
        let connecting = PgPoolOptions::new().max_connections(2).connect(&postgres);
        connecting.await.ok()
    })
    .await;
    settled(&pool, &sent, capacity).await;
    eprintln!("{} ms: settled", begun.elapsed().as_millis());
    filed_exactly_once(&pool, &sent).await;
    conversations_are_whole(&pool, &sent).await;
    owners_are_right(&pool, capacity).await;
    let dead = system.home.run(&["dead", "list", "--json"]);
    assert_eq!(dead, "", "nothing was given up");

    let attempts: usize = sent.iter().map(|mail| mail.attempts).sum();
    eprintln!(
        "killed {} times ({killed:?}); {} mails accepted after {attempts} attempts; {} ms in all",
        killed.values().sum::<usize>(),
        sent.len(),
        begun.elapsed().as_millis()
    );
    pool.close().await;
}

/// Three agents; returns what they can carry in sum.
async fn hire(system: &System) -> i64 {
    let routing = system.api("router").client.routing();
    let first = routing
        .clone()
        .list_agents(ListAgentsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .agents
        .remove(0);
    let teams = first.team_ids.clone();
    let agent = Agent {
        capacity: CAPACITY,
        ..first
    };
    routing
        .clone()
        .update_agent(UpdateAgentRequest {
            agent: Some(agent),
            ..UpdateAgentRequest::default()
        })
        .await
        .unwrap();
    for name in ["Kaisa", "Otso"] {
        let agent = Agent {
            display_name: name.to_owned(),
            team_ids: teams.clone(),
            capacity: CAPACITY,
            ..Agent::default()
        };
        let agent = CreateAgentRequest {
            agent: Some(agent),
            ..CreateAgentRequest::default()
        };
        let agent_id = routing
            .clone()
            .create_agent(agent)
            .await
            .unwrap()
            .into_inner()
            .id;
        let online = SetPresenceRequest {
            agent_id,
            presence: Presence::Online.into(),
        };
        routing.clone().set_presence(online).await.unwrap();
    }
    i64::from(CAPACITY) * 3
}

/// Kills by the seed. After each kill customers must get through again, for as long as the seed says; now and then the
/// next kill comes at once.
async fn rampage(system: &mut System, load: &Load, seed: u64) -> BTreeMap<Target, usize> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut plan: Vec<Target> = PROCESSES
        .map(|(name, _)| Target::Process(name))
        .repeat(ROUNDS);
    plan.extend(ENGINES.repeat(ROUNDS));
    plan.push(Target::Everything);
    plan.shuffle(&mut rng);
    let mut killed = BTreeMap::new();
    for target in plan {
        let (before, begun) = (load.accepted(), Instant::now());
        until("the target is there", Duration::from_mins(2), async || {
            system.kill(target).then_some(())
        })
        .await;
        *killed.entry(target).or_insert(0) += 1;
        let at_once = rng.random_ratio(1, 6);
        let mails = if at_once { 0 } else { rng.random_range(5..100) };
        until(
            "customers get through",
            Duration::from_mins(2),
            async || (load.accepted() >= before + mails).then_some(()),
        )
        .await;
        eprintln!(
            "killed {target:?}, then {mails} mails in {} ms",
            begun.elapsed().as_millis()
        );
    }
    for process in system.processes.values_mut() {
        process.ready().await;
    }
    killed
}

/// Tickets that are neither owned, with the router and the ticket service of one mind, nor waiting for a reason.
const ADRIFT: &str = "SELECT ticket.number, coalesce(route.state, 'unknown to the router') FROM tickets.ticket
    LEFT JOIN routing.ticket AS route ON route.ticket_id = ticket.id
    WHERE NOT coalesce(CASE WHEN ticket.assignee_id IS NULL
        THEN route.state = 'waiting' AND route.wait_reason <> ''
        ELSE route.state = 'assigned' AND route.owner_id = ticket.assignee_id AND ticket.assign_reason <> '' END, false)";

/// How far things have come.
#[derive(Debug, Default)]
struct Progress {
    filed: i64,
    tickets: i64,
    due: i64,
    owned: i64,
    adrift: i64,
}
solmu_db::from_row!(Progress {
    filed,
    tickets,
    due,
    owned,
    adrift
});

/// Waits until everything has gone its way: filed, timed, owned as far as there is room, and else waiting.
pub(crate) async fn settled(pool: &PgPool, sent: &[Sent], capacity: i64) {
    let mails = i64::try_from(sent.len()).unwrap();
    let question = format!(
        "SELECT (SELECT count(*) FROM tickets.message WHERE author_kind = 1) AS filed,
                (SELECT count(*) FROM tickets.ticket) AS tickets,
                (SELECT count(*) FROM tickets.ticket WHERE next_due IS NOT NULL) AS due,
                (SELECT count(*) FROM tickets.ticket WHERE assignee_id IS NOT NULL) AS owned,
                (SELECT count(*) FROM ({ADRIFT}) AS adrift) AS adrift"
    );
    let mut last = Progress::default();
    let looked = Instant::now();
    loop {
        let now = sqlx::query_as(AssertSqlSafe(question.as_str()))
            .fetch_one(pool)
            .await;
        // A connection may still be one to a server that was killed.
        last = now.unwrap_or(last);
        let Progress {
            filed,
            tickets,
            due,
            owned,
            adrift,
        } = last;
        if filed >= mails && due == tickets && owned == tickets.min(capacity) && adrift == 0 {
            return;
        }
        if looked.elapsed() > SETTLE {
            tell_of_routing(pool).await;
            panic!("{mails} mails, room for {capacity}; after {SETTLE:?}: {last:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the router thinks, for whoever has to find out why tickets do not move.
async fn tell_of_routing(pool: &PgPool) {
    for question in [
        "SELECT concat_ws(' ', display_name, presence, load, 'of', capacity, alive_until) FROM routing.agent",
        "SELECT concat_ws(' ', state, wait_reason, count(*)) FROM routing.ticket GROUP BY state, wait_reason",
        "SELECT concat_ws(' ', outcome, outcome_cause, count(*)) FROM routing.decision GROUP BY outcome, outcome_cause",
    ] {
        let lines: Result<Vec<String>, _> = sqlx::query_scalar(question).fetch_all(pool).await;
        eprintln!("{lines:#?}");
    }
}

pub(crate) async fn filed_exactly_once(pool: &PgPool, sent: &[Sent]) {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT external_id, count(*) FROM tickets.message WHERE author_kind = 1 GROUP BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let filed: BTreeMap<String, i64> = rows.into_iter().collect();
    let lost: Vec<&str> = sent
        .iter()
        .map(|mail| mail.id.as_str())
        .filter(|id| !filed.contains_key(*id))
        .collect();
    assert!(lost.is_empty(), "accepted and lost: {lost:?}");
    let twice: Vec<_> = filed.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "filed more than once: {twice:?}");
    assert_eq!(
        filed.len(),
        sent.len(),
        "nothing was filed that nobody sent"
    );
}

/// Answers are on the ticket of what they answer, and each ticket's messages are counted without gaps.
async fn conversations_are_whole(pool: &PgPool, sent: &[Sent]) {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT external_id, ticket_id::text, sequence FROM tickets.message WHERE author_kind = 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let place: HashMap<&str, (&str, i64)> = rows
        .iter()
        .map(|(id, ticket, sequence)| (id.as_str(), (ticket.as_str(), *sequence)))
        .collect();
    for mail in sent {
        let (ticket, sequence) = place[mail.id.as_str()];
        match &mail.parent {
            Some(parent) => {
                let (parents, first) = place[parent.as_str()];
                assert_eq!(
                    ticket, parents,
                    "{} is not on the ticket of {parent}",
                    mail.id
                );
                assert!(
                    first < sequence,
                    "{} stands before {parent}, which it answers",
                    mail.id
                );
            }
            None => assert_eq!(sequence, 1, "{} opened no ticket", mail.id),
        }
    }
    let broken: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT ticket.number, ticket.message_count, count(message.*) FROM tickets.ticket
         JOIN tickets.message ON message.ticket_id = ticket.id
         GROUP BY ticket.id HAVING count(message.*) <> ticket.message_count OR max(message.sequence) <> count(message.*)",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(
        broken.is_empty(),
        "tickets that miscount their messages: {broken:?}"
    );
}

pub(crate) async fn owners_are_right(pool: &PgPool, capacity: i64) {
    let loads: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "SELECT agent.display_name, agent.capacity::bigint, agent.load, count(ticket.id) FROM routing.agent
         LEFT JOIN tickets.ticket ON ticket.assignee_id = agent.id GROUP BY agent.id",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    eprintln!("loads: {loads:?}");
    for (name, most, load, tickets) in &loads {
        assert!(
            tickets <= most,
            "{name} has {tickets} tickets and room for {most}"
        );
        assert_eq!(load, tickets, "the router is wrong about {name}");
    }
    assert_eq!(
        loads.iter().map(|(_, most, ..)| most).sum::<i64>(),
        capacity
    );
    let adrift: Vec<(i64, String)> = sqlx::query_as(ADRIFT).fetch_all(pool).await.unwrap();
    assert!(
        adrift.is_empty(),
        "neither owned nor waiting for a reason: {adrift:?}"
    );
    let twice: Vec<(String, i64)> = sqlx::query_as(
        "SELECT ticket_id::text, count(*) FROM routing.decision
         WHERE outcome = 'applied' AND agent_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(twice.is_empty(), "given to two people: {twice:?}");
}

//! From a published event to a durable decision, and the way back from an outage: `cargo bench -p solmu-router --bench
//! route`.
//!
//! The router as it runs in a deployment, on a private PostgreSQL and a private nats-server that sync every commit and
//! every publish, and a ticket service that only compares and sets. 2,000 agents who have room, 200 rules.
//!
//! 1. 300 tickets a second are opened. The time from before the publish until the decision can be read from the table,
//!    which is looked at every two milliseconds.
//! 2. Tickets are opened as fast as the bus takes them: decisions a second, in full batches.
//! 3. The router is stopped, an hour of work piles up (30 events a second), and it is started again: how long until all is
//!    decided.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use solmu_bus::{
    Bus, BusConfig, ConsumerSpec, Delivered, Event, EventBody, Family, Handler, Held, Lane,
    Verdict, consumer, envelope::to_proto_time, metrics::ConsumerMetrics,
};
use solmu_db::{Db, DbConfig};
use solmu_domain::{
    clock::{Clock as _, SystemClock},
    ids::{EventId, TicketId},
    rng::SystemRng,
};
use solmu_engines::{EngineConfig, Engines};
use solmu_inquiry::Inquiry;
use solmu_proto::{
    routing::v1::AssignmentDecided,
    ticket::v1::{TicketAssigned, TicketOpened, TicketState},
    types::v1::{Channel, Priority, TicketStatus},
};
use solmu_router::{Config, FetchTexts, RoutingTexts, start_with};
use solmu_runtime::{Keyring, Runtime, RuntimeParts};
use solmu_telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Tickets a second of the steady run, and how long it takes.
const STEADY: (u64, u64) = (300, 10);
/// Tickets of the run at full speed.
const BATCHED: usize = 10_000;
/// Events of an hour at 30 a second, in tickets: each brings the event that opens it. What the ticket service says of the
/// decisions comes on top.
const OUTAGE: usize = 108_000;
/// Tickets that one publish carries.
const AT_ONCE: usize = 500;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    solmu_engines::run_child_if_asked();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let engines = Engines::start(&EngineConfig::new(folder.path()), &|_| {})?;
    let urls = (engines.postgres_url(), engines.nats_url());
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(measure(&urls.0, &urls.1));
    runtime.shutdown_timeout(Duration::from_secs(5));
    engines.stop()?;
    outcome
}

async fn measure(postgres: &str, nats: &str) -> Result<(), Error> {
    let bench = Bench::new(postgres, nats).await?;
    bench.populate().await?;
    let stop = CancellationToken::new();
    bench.serve_tickets(&stop);
    let router = bench.start_router("first")?;
    bench.open(1, |_| {}).await?;
    bench.decided(1).await?;
    bench.steady().await?;
    bench.batched().await?;
    end(&router).await;
    bench.outage().await?;
    stop.cancel();
    Ok(())
}

struct Bench {
    db: Db,
    bus: Bus,
}

impl Bench {
    async fn new(postgres: &str, nats: &str) -> Result<Self, Error> {
        let db = Db::new(postgres, &DbConfig::default())?;
        solmu_db::migrate::migrate(&db).await?;
        let bus = Bus::connect(nats, BusConfig::default()).await?;
        solmu_bus::streams::apply(&bus, 1).await?;
        Ok(Self { db, bus })
    }

    /// One team of 2,000 agents with room for all that comes, and 200 rules.
    async fn populate(&self) -> Result<(), Error> {
        for statement in [
            "INSERT INTO routing.team (id, display_name, is_default, created_at)
             SELECT gen_random_uuid(), 'team ' || number, number = 1, now() FROM generate_series(1, 20) AS number",
            "INSERT INTO routing.agent (id, display_name, email, capacity, presence, presence_at, version, created_at)
             SELECT gen_random_uuid(), 'agent ' || number, '', 1000, 'online', now(), 1, now()
             FROM generate_series(1, 2000) AS number",
            "INSERT INTO routing.agent_team (agent_id, team_id)
             SELECT agent.id, team.id FROM
                (SELECT id, row_number() OVER (ORDER BY id) % 20 AS place FROM routing.agent) AS agent
                JOIN (SELECT id, row_number() OVER (ORDER BY id) % 20 AS place FROM routing.team) AS team USING (place)",
            "INSERT INTO routing.rule (id, display_name, position, condition, tree, team_id, add_tags, enabled, version,
                updated_at)
             SELECT gen_random_uuid(), 'rule ' || number, number, 'account = box' || number,
                jsonb_build_object('field', 'account', 'operator', '=', 'value', 'box' || number), team.id, '{}', true, 1,
                now()
             FROM generate_series(1, 200) AS number
             JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM routing.team) AS team
                ON team.place = number % 20",
            "UPDATE routing.rule_set SET version = version + 1",
        ] {
            sqlx::query(statement).execute(self.db.pool()).await?;
        }
        Ok(())
    }

    fn runtime(&self, instance: &str) -> Result<Runtime, Error> {
        Ok(Runtime::new(RuntimeParts {
            clock: Arc::new(SystemClock),
            rng: Arc::new(SystemRng),
            db: self.db.clone(),
            bus: self.bus.clone(),
            metrics: Metrics::new(),
            instance: instance.to_owned(),
            secrets: Keyring::new([("a".to_owned(), vec![1; 32])])?,
        }))
    }

    fn start_router(&self, instance: &str) -> Result<Runtime, Error> {
        let runtime = self.runtime(instance)?;
        start_with(&runtime, &Config::default(), Arc::new(NoTexts))?;
        Ok(runtime)
    }

    /// Opens so many tickets; `published` is told the ids before each publish.
    async fn open(
        &self,
        count: usize,
        mut published: impl FnMut(&[TicketId]),
    ) -> Result<(), Error> {
        let mut left = count;
        while left > 0 {
            let now = left.min(AT_ONCE);
            left -= now;
            let opened: Vec<_> = (0..now).map(new_ticket).collect();
            let ids: Vec<TicketId> = opened.iter().map(|(id, _)| *id).collect();
            let events: Vec<Event> = opened.iter().map(|(_, body)| event(body)).collect();
            published(&ids);
            self.bus.publish(&events).await?;
        }
        Ok(())
    }

    async fn decisions(&self) -> Result<usize, Error> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM routing.decision")
            .fetch_one(self.db.pool())
            .await?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Waits until so many decisions are stored.
    async fn decided(&self, count: usize) -> Result<(), Error> {
        while self.decisions().await? < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn steady(&self) -> Result<(), Error> {
        let (rate, seconds) = STEADY;
        let total = usize::try_from(rate * seconds)?;
        let mut last: i64 = sqlx::query_scalar("SELECT max(seq) FROM routing.decision")
            .fetch_one(self.db.pool())
            .await?;
        let (sender, mut opened) = tokio::sync::mpsc::unbounded_channel();
        let bus = self.bus.clone();
        let publisher = async {
            let mut pace = tokio::time::interval(Duration::from_micros(1_000_000 / rate));
            // Each ticket in a publish of its own, as unrelated customers write: nobody waits for another one's.
            let mut flying = tokio::task::JoinSet::new();
            for _ in 0..total {
                pace.tick().await;
                let (id, body) = new_ticket(0);
                sender.send((id, Instant::now()))?;
                let bus = bus.clone();
                flying.spawn(async move { bus.publish(&[event(&body)]).await });
            }
            for outcome in flying.join_all().await {
                outcome?;
            }
            Ok::<_, Error>(())
        };
        let watcher = async {
            let mut begun: HashMap<TicketId, Instant> = HashMap::new();
            let mut times = Vec::with_capacity(total);
            while times.len() < total {
                let rows: Vec<(i64, Uuid)> = sqlx::query_as(
                    "SELECT seq, ticket_id FROM routing.decision WHERE seq > $1 ORDER BY seq",
                )
                .bind(last)
                .fetch_all(self.db.pool())
                .await?;
                let seen = Instant::now();
                while let Ok((id, at)) = opened.try_recv() {
                    begun.insert(id, at);
                }
                for (seq, ticket) in rows {
                    last = last.max(seq);
                    if let Some(at) = begun.remove(&TicketId::from_uuid(ticket)) {
                        times.push(seen.duration_since(at));
                    }
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok::<_, Error>(times)
        };
        let ((), mut times) = tokio::try_join!(publisher, watcher)?;
        times.sort_unstable();
        let at = |hundredths: usize| times[(times.len() * hundredths / 100).min(times.len() - 1)];
        println!(
            "{rate} tickets a second, publish to durable decision: p50 {} ms, p99 {} ms, longest {} ms",
            at(50).as_millis(),
            at(99).as_millis(),
            at(100).as_millis()
        );
        Ok(())
    }

    async fn batched(&self) -> Result<(), Error> {
        let before = self.decisions().await?;
        let begun = Instant::now();
        let (opened, decided) =
            tokio::join!(self.open(BATCHED, |_| {}), self.decided(before + BATCHED));
        opened?;
        decided?;
        println!(
            "{BATCHED} tickets at full speed: {:.0} decisions a second, published, decided and answered on the same machine",
            per_second(BATCHED, begun.elapsed())
        );
        Ok(())
    }

    async fn outage(&self) -> Result<(), Error> {
        let before = self.decisions().await?;
        self.open(OUTAGE, |_| {}).await?;
        let begun = Instant::now();
        let router = self.start_router("second")?;
        self.decided(before + OUTAGE).await?;
        let took = begun.elapsed();
        println!(
            "an hour's outage at 30 events a second ({OUTAGE} tickets): caught up in {:.1} s, {:.0} decisions a second",
            took.as_secs_f64(),
            per_second(OUTAGE, took)
        );
        end(&router).await;
        Ok(())
    }

    /// The ticket service: it does what was decided, and says so.
    fn serve_tickets(&self, stop: &CancellationToken) {
        let filter = self.bus.subject_filter(Family::Routing);
        let spec = ConsumerSpec {
            name: "bench_tickets",
            lanes: Box::new(move |_| {
                vec![Lane {
                    stream: "DECISIONS",
                    durable: "bench_tickets".to_owned(),
                    filters: vec![filter.clone()],
                    leased: false,
                }]
            }),
            max_events: 500,
            linger: Duration::from_millis(10),
            max_attempts: 5,
        };
        let (sender, held) = tokio::sync::watch::channel(Held::from([(0, 1)]));
        let work = consumer::run(
            self.bus.clone(),
            spec,
            Arc::new(Applier(self.bus.clone())),
            held,
            Arc::new(SystemClock),
            ConsumerMetrics::new(&Metrics::new()),
            stop.clone(),
        );
        #[expect(clippy::disallowed_methods, reason = "a bench has no task tracker")]
        tokio::spawn(async move {
            work.await;
            drop(sender);
        });
    }
}

struct Applier(Bus);

impl Handler for Applier {
    fn handle<'a>(
        &'a self,
        batch: &'a [Delivered],
        _: &'a Held,
    ) -> Pin<Box<dyn Future<Output = Vec<Verdict>> + Send + 'a>> {
        Box::pin(async move {
            let decided = batch.iter().filter_map(|it| it.event.decode().ok());
            let answers: Vec<Event> = decided.map(|decision| event(&applied(&decision))).collect();
            let verdict = match self.0.publish(&answers).await {
                Ok(()) => Verdict::Done,
                Err(error) => Verdict::Retry(solmu_bus::Cause::passing("bus_away", &error)),
            };
            vec![verdict; batch.len()]
        })
    }
}

/// The ticket as the decision makes it.
fn applied(decision: &AssignmentDecided) -> TicketAssigned {
    let id = decision.ticket_id.clone();
    TicketAssigned {
        ticket: Some(TicketState {
            team_id: decision.team_id.clone(),
            assignee_id: decision.agent_id.clone(),
            version: decision.routing_version + 1,
            routing_version: decision.routing_version + 1,
            ..state(id, 0)
        }),
        decision_id: decision.decision_id.clone(),
        reason: decision.reason.clone(),
        ..TicketAssigned::default()
    }
}

fn new_ticket(number: usize) -> (TicketId, TicketOpened) {
    let id = TicketId::generate(&SystemClock, &SystemRng);
    let body = TicketOpened {
        ticket: Some(state(id.to_string(), number)),
        ..TicketOpened::default()
    };
    (id, body)
}

fn state(ticket_id: String, number: usize) -> TicketState {
    TicketState {
        ticket_id,
        number: i64::try_from(number).unwrap_or(0),
        channel: Channel::Email.into(),
        account: format!("box{}", number % 200),
        status: TicketStatus::New.into(),
        priority: Priority::Normal.into(),
        version: 1,
        routing_version: 1,
        create_time: Some(to_proto_time(SystemClock.now())),
        ..TicketState::default()
    }
}

fn event<B: EventBody>(body: &B) -> Event {
    Event::new(
        EventId::generate(&SystemClock, &SystemRng),
        SystemClock.now(),
        body,
    )
}

/// Ends a router as a signal does.
async fn end(runtime: &Runtime) {
    runtime.shutdown.drain.cancel();
    runtime.tasks.close();
    runtime.tasks.wait().await;
    runtime.shutdown.stop.cancel();
    runtime.background.close();
    runtime.background.wait().await;
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// No rule looks at words.
struct NoTexts;

impl RoutingTexts for NoTexts {
    fn fetch<'a>(&'a self, _: &'a [TicketId]) -> FetchTexts<'a> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

impl Inquiry for NoTexts {
    fn is_configured(&self) -> bool {
        false
    }
}

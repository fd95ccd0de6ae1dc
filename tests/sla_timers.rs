//! Timers of the SLA service while the processes that fire them are killed with -9, both at once, or stopped for longer
//! than their lease: each warning, breach and step is told once and has its one effect, none is lost, and what is late
//! says so.
//!
//! Two processes of the role share the work of firing as two replicas do: one leads, the other takes over. Time is real
//! here; that clocks which jump fire nothing twice is tested where the clock can be moved (crates/solmu-sla). The spans of
//! what fired lead back to the mails.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use solmu_client::proto::sla::v1::{
    ActionKind, Calendar, CreateCalendarRequest, CreatePolicyRequest, Policy, SlaBreached,
    SlaEscalated, SlaWarned, Step, Target, step::At,
};
use solmu_proto::bus::v1::Event;
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::{
    support::{Api, Home, Letter, Ports, Settings, Smtp, Solmu, wait},
    trace::Collector,
};

/// Tickets of each round.
const LETTERS: usize = 6;
/// Seconds to the first response, and from the breach to the last step.
const TARGET: i32 = 3;
const AFTER: i32 = 1;
/// What each ticket comes to: a warning, a breach, and two steps after it.
const KINDS: [(&str, usize); 3] = [("warned", 1), ("breached", 1), ("escalated", 2)];
const SECOND: i128 = 1_000_000_000;

/// What happens to whom, once the tickets of a round are there.
#[derive(Debug, Clone, Copy)]
enum Blow {
    KillLeader,
    /// When the first of the round's timers has fired.
    KillLeaderWhileItFires,
    KillBoth,
    /// Until the other one has told of everything.
    PauseLeader,
    /// The same, and who took over is killed once the paused one is back.
    PauseLeaderAndKillTheOther,
    /// Whoever was paused before has its chance to tell something again.
    Nothing,
}

const ROUNDS: [Blow; 6] = [
    Blow::KillLeaderWhileItFires,
    Blow::PauseLeader,
    Blow::KillBoth,
    Blow::KillLeader,
    Blow::PauseLeaderAndKillTheOther,
    Blow::Nothing,
];

/// A process with mail and tickets, which supervises the engines, and two that fire timers.
struct System {
    replicas: [Solmu; 2],
    front: Solmu,
    flags: Vec<String>,
    pool: PgPool,
    home: Home,
    collector: Collector,
}

impl System {
    async fn start() -> Self {
        let (home, collector) = (Home::new(), Collector::start().await);
        Settings {
            otlp: Some(collector.address),
            connections: Some(8),
            ..Settings::default()
        }
        .write(&home);
        let front = ["--service", "email", "--service", "tickets"].map(str::to_owned);
        let (front, _) = Solmu::start(&home, "front", Ports::free(), &front).await;
        let (postgres, nats) = home.engine_urls();
        let flags = ["--postgres", &postgres, "--nats", &nats, "--service", "sla"];
        let flags = flags.map(str::to_owned).to_vec();
        let mut replicas =
            ["sla", "sla-2"].map(|name| Solmu::spawn(&home, name, Ports::free(), &flags));
        for replica in &mut replicas {
            replica.ready().await;
        }
        let pool = PgPoolOptions::new().max_connections(2);
        let pool = pool.connect(&postgres).await.unwrap();
        keep_what_is_told(&pool).await;
        Self {
            replicas,
            front,
            flags,
            pool,
            home,
            collector,
        }
    }

    /// Waits until one of the processes leads; says which.
    async fn leader(&self) -> usize {
        wait("one of them leads", async || {
            let holder: Option<String> = sqlx::query_scalar(
                "SELECT holder FROM platform.lease WHERE name = 'sla' AND expires_at > clock_timestamp()",
            )
            .fetch_optional(&self.pool)
            .await
            .unwrap();
            let holder = holder?;
            let is_it = |replica: &Solmu| holder.starts_with(&format!("{}-", replica.pid()));
            self.replicas.iter().position(is_it)
        })
        .await
    }

    fn kill(&mut self, which: usize) {
        self.replicas[which].kill();
    }

    fn restart(&mut self, which: usize) {
        let (name, ports) = (self.replicas[which].name, self.replicas[which].ports);
        self.replicas[which] = Solmu::spawn(&self.home, name, ports, &self.flags);
    }

    async fn told(&self) -> Vec<Event> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT event FROM sla.told ORDER BY id")
            .fetch_all(&self.pool)
            .await
            .unwrap();
        rows.iter()
            .map(|row| Event::decode(row.as_slice()).unwrap())
            .filter(|event| kind_of(event).is_some())
            .collect()
    }

    /// Waits until everything about `tickets` tickets was told, at least once.
    async fn complete(&self, tickets: usize) {
        let per_ticket: usize = KINDS.iter().map(|(_, count)| count).sum();
        wait("all timers have fired", async || {
            (self.told().await.len() >= tickets * per_ticket).then_some(())
        })
        .await;
    }

    /// Customers write; waits until their tickets are there.
    async fn open_tickets(&self, round: usize) {
        let mut smtp = Smtp::open(self.front.ports.smtp).await.unwrap();
        for number in 0..LETTERS {
            let from = format!("aino.{round}.{number}@customer.example");
            let letter = Letter::new(&from, &format!("Question {round} {number}"), "Hello?");
            assert_eq!(smtp.send(&letter).await.unwrap().code, 250);
        }
        let wanted = i64::try_from((round + 1) * LETTERS).unwrap();
        wait("the mails are tickets", async || {
            let filed: i64 = sqlx::query_scalar("SELECT count(*) FROM tickets.ticket")
                .fetch_one(&self.pool)
                .await
                .unwrap();
            (filed >= wanted).then_some(())
        })
        .await;
    }

    async fn strike(&mut self, blow: Blow, before: usize, tickets: usize) {
        let leader = self.leader().await;
        match blow {
            Blow::Nothing => {}
            Blow::KillLeader => {
                self.kill(leader);
                self.restart(leader);
            }
            Blow::KillLeaderWhileItFires => {
                wait("a timer of the round has fired", async || {
                    (self.told().await.len() > before).then_some(())
                })
                .await;
                self.kill(leader);
                self.restart(leader);
            }
            Blow::KillBoth => {
                self.kill(leader);
                self.kill(1 - leader);
                self.restart(leader);
                self.restart(1 - leader);
            }
            Blow::PauseLeader | Blow::PauseLeaderAndKillTheOther => {
                self.replicas[leader].pause();
                self.complete(tickets).await;
                // It goes on where it was, with timers in hand that are not its own any more.
                self.replicas[leader].resume();
                if matches!(blow, Blow::PauseLeaderAndKillTheOther) {
                    self.kill(1 - leader);
                    self.restart(1 - leader);
                }
            }
        }
    }
}

/// The relay forgets what it has sent after some minutes, and a slow machine needs more: what goes into the outbox is kept
/// beside it.
async fn keep_what_is_told(pool: &PgPool) {
    for statement in [
        "CREATE TABLE sla.told (id bigint PRIMARY KEY, event bytea NOT NULL)",
        "CREATE FUNCTION sla.keep_told() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN INSERT INTO sla.told VALUES (NEW.id, NEW.event); RETURN NULL; END'",
        "CREATE TRIGGER told AFTER INSERT ON sla.outbox FOR EACH ROW EXECUTE FUNCTION sla.keep_told()",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
}

/// A few seconds to the first response; a warning at half of them, a higher priority with the breach, and a notice.
async fn promise(api: &Api) {
    let mut sla = api.client.sla();
    let calendar = Calendar {
        display_name: "Always".to_owned(),
        definition_json: r#"{"always_open": true}"#.to_owned(),
        ..Calendar::default()
    };
    let calendar = CreateCalendarRequest {
        calendar: Some(calendar),
        ..CreateCalendarRequest::default()
    };
    let calendar = sla.create_calendar(calendar).await.unwrap().into_inner();
    let step = |at, action: ActionKind, target: &str| Step {
        at: Some(at),
        action: action.into(),
        target: target.to_owned(),
        event_only: action == ActionKind::Notify,
        ..Step::default()
    };
    let policy = Policy {
        display_name: "Quick".to_owned(),
        position: 1,
        calendar_id: calendar.id,
        targets: vec![Target {
            priority: "*".to_owned(),
            first_response_seconds: TARGET,
            ..Target::default()
        }],
        steps: vec![
            step(At::UsedPercent(50), ActionKind::Warn, ""),
            step(At::AfterSeconds(0), ActionKind::RaisePriority, ""),
            step(At::AfterSeconds(AFTER), ActionKind::Notify, "team"),
        ],
        ..Policy::default()
    };
    let policy = CreatePolicyRequest {
        policy: Some(policy),
        ..CreatePolicyRequest::default()
    };
    sla.create_policy(policy).await.unwrap();
}

fn kind_of(event: &Event) -> Option<&'static str> {
    let kind = event
        .r#type
        .strip_prefix("solmu.sla.")?
        .strip_suffix(".v1")?;
    KINDS
        .iter()
        .map(|(name, _)| *name)
        .find(|name| *name == kind)
}

/// What tests look at of a timer.
struct Fired {
    ticket: String,
    /// The kind, and the step of an escalation.
    what: String,
    /// Nanoseconds.
    scheduled: i128,
    done: i128,
    late: bool,
}

fn fired(event: &Event) -> Fired {
    let kind = kind_of(event).expect("others are left out");
    let data = event.data.as_slice();
    let (ticket, step, scheduled, fired, late) = match kind {
        "warned" => {
            let it = SlaWarned::decode(data).unwrap();
            (
                it.ticket_id,
                it.step,
                it.scheduled_time,
                it.fire_time,
                it.late,
            )
        }
        "breached" => {
            let it = SlaBreached::decode(data).unwrap();
            (
                it.ticket_id,
                String::new(),
                it.scheduled_time,
                it.fire_time,
                it.late,
            )
        }
        _ => {
            let it = SlaEscalated::decode(data).unwrap();
            (
                it.ticket_id,
                it.step,
                it.scheduled_time,
                it.fire_time,
                it.late,
            )
        }
    };
    let nanos = |at: Option<prost_types::Timestamp>| {
        let at = at.unwrap();
        i128::from(at.seconds) * SECOND + i128::from(at.nanos)
    };
    Fired {
        ticket,
        what: format!("{kind} {step}").trim().to_owned(),
        scheduled: nanos(scheduled),
        done: nanos(fired),
        late,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_timer_fires_once_whoever_is_killed_or_paused() {
    let mut system = System::start().await;
    promise(&Api::admin(&system.home, &system.replicas[0])).await;
    for (round, blow) in ROUNDS.into_iter().enumerate() {
        let before = system.told().await.len();
        let tickets = (round + 1) * LETTERS;
        system.open_tickets(round).await;
        system.strike(blow, before, tickets).await;
        system.complete(tickets).await;
        for replica in &mut system.replicas {
            replica.ready().await;
        }
        eprintln!("round {round}: {blow:?}");
    }
    timers_lead_back(&system.collector).await;
    let tickets = ROUNDS.len() * LETTERS;
    effects(&system.pool, tickets).await;
    let told = system.told().await;
    told_once(&told, tickets);
    let [first, second] = system.replicas;
    first.stop().await;
    second.stop().await;
    system.pool.close().await;
    system.front.stop().await;
}

/// What a timer does is a trace of its own, and linked with that of the mail that opened the ticket.
async fn timers_lead_back(collector: &Collector) {
    wait("the span of a timer is linked with a mail", async || {
        let spans = collector.spans();
        let mails: BTreeSet<&[u8]> = spans
            .iter()
            .filter(|span| span.name == "email.receive")
            .map(|span| span.trace_id.as_slice())
            .collect();
        let timers: Vec<_> = spans
            .iter()
            .filter(|span| span.name == "sla.timer")
            .collect();
        assert!(
            timers
                .iter()
                .all(|span| !mails.contains(span.trace_id.as_slice()))
        );
        let is_of_mail = |trace: &Vec<u8>| mails.contains(trace.as_slice());
        let mut links = timers.iter().flat_map(|span| &span.links);
        links.any(|link| is_of_mail(&link.trace_id)).then_some(())
    })
    .await;
}

/// Each ticket was raised by one step and not by two, and is marked.
async fn effects(pool: &PgPool, tickets: usize) {
    let raised = wait("every step has its effect", async || {
        let rows: Vec<(String, bool, i64)> = sqlx::query_as(
            "SELECT priority, breached, count(*) FROM tickets.ticket GROUP BY 1, 2 ORDER BY 1, 2",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        let waiting = rows
            .iter()
            .any(|(priority, breached, _)| priority == "normal" || !breached);
        (!waiting).then_some(rows)
    })
    .await;
    let wanted = i64::try_from(tickets).unwrap();
    assert_eq!(raised, [("high".to_owned(), true, wanted)]);
}

fn told_once(told: &[Event], tickets: usize) {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut late = 0;
    for event in told {
        let timer = fired(event);
        assert!(timer.done >= timer.scheduled, "{} was early", timer.what);
        let lateness = timer.done - timer.scheduled;
        assert_eq!(
            timer.late,
            lateness > SECOND,
            "{} after {lateness} ns",
            timer.what
        );
        late += usize::from(timer.late);
        *counts.entry((timer.ticket, timer.what)).or_default() += 1;
    }
    let repeated: Vec<_> = counts
        .iter()
        .filter(|(_, count)| **count != 1)
        .take(5)
        .collect();
    assert!(repeated.is_empty(), "told more than once: {repeated:?}");
    let per_ticket: usize = KINDS.iter().map(|(_, count)| count).sum();
    assert_eq!(counts.len(), tickets * per_ticket, "none is lost");
    assert!(late > 0, "somebody was away for longer than a second");
    eprintln!(
        "{} timers of {tickets} tickets, {late} of them late",
        told.len()
    );
}

//! Replicas that can be stopped and crashed, ticket events, and what the service told.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use solmu_bus::{Bus, Event, EventBody, envelope::to_proto_time};
use solmu_db::{Db, DbConfig};
use solmu_domain::{
    clock::{Clock as _, SharedClock},
    ids::{EventId, TicketId},
};
use solmu_inquiry::{Inquiry, Nobody};
use solmu_proto::{
    bus::v1 as bus_proto,
    sla::v1::{
        DueTimesDecided, SlaBreached, SlaEscalated, SlaWarned, sla_service_client::SlaServiceClient,
    },
    ticket::v1::{
        FieldChange, MessageFact, TicketAssigned, TicketChanged, TicketMerged, TicketMessageAdded,
        TicketOpened, TicketState, TicketUnmerged,
    },
    types::v1::{Actor, AutomaticClass, Channel, Priority, TicketStatus, actor},
};
use solmu_runtime::{
    Keyring, Parts, Runtime, RuntimeParts,
    access::{Caller, Role},
};
use solmu_sla::Config;
use solmu_telemetry::{
    Metrics,
    metrics::{Counter, Unit},
    vendor::{Call, VendorMetrics},
};
use solmu_testkit::{Harness, wait_for};
use tonic::service::{Interceptor, Routes, interceptor::InterceptedService};
use uuid::Uuid;

/// A process of its own: its runtime, pool and bus connection end with it.
pub(crate) struct Node {
    tokio: tokio::runtime::Runtime,
    runtime: Runtime,
    routes: Routes,
}

impl Node {
    /// With the harness's clock.
    pub(crate) async fn start(harness: &Harness, name: &str) -> Self {
        Self::start_with(harness, name, Arc::new(harness.clock.clone())).await
    }

    pub(crate) async fn start_with(harness: &Harness, name: &str, clock: SharedClock) -> Self {
        Self::configured(harness, name, clock, Config::default()).await
    }

    pub(crate) async fn configured(
        harness: &Harness,
        name: &str,
        clock: SharedClock,
        settings: Config,
    ) -> Self {
        Self::asking(harness, name, clock, settings, Arc::new(Nobody)).await
    }

    /// With somebody to ask about contacts and organisations.
    pub(crate) async fn asking(
        harness: &Harness,
        name: &str,
        clock: SharedClock,
        settings: Config,
        inquiry: Arc<dyn Inquiry>,
    ) -> Self {
        keep_what_is_told(harness).await;
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (harness, name) = (harness.clone(), name.to_owned());
        let starting = tokio.spawn(async move {
            let config = DbConfig {
                max_connections: 8,
                ..DbConfig::default()
            };
            let bus = Bus::connect(&harness.nats_url, harness.bus.config().clone());
            let runtime = Runtime::new(RuntimeParts {
                clock,
                rng: harness.rng.clone(),
                db: Db::new(&harness.db_url, &config).expect("a good URL"),
                bus: bus.await.expect("the bus answers"),
                metrics: Metrics::new(),
                instance: name,
                secrets: Keyring::new([("a".to_owned(), vec![7; 32])]).expect("a good key"),
            });
            let Parts { grpc, .. } =
                solmu_sla::start_with(&runtime, settings, inquiry).expect("it starts");
            (runtime, grpc.expect("it has a service"))
        });
        let (runtime, routes) = starting.await.expect("it starts");
        Self {
            tokio,
            runtime,
            routes,
        }
    }

    /// As on SIGTERM.
    pub(crate) async fn stop(self) {
        let Runtime {
            shutdown,
            tasks,
            background,
            ..
        } = &self.runtime;
        shutdown.drain.cancel();
        tasks.close();
        tasks.wait().await;
        shutdown.stop.cancel();
        background.close();
        background.wait().await;
        self.crash();
    }

    /// As by kill -9: tasks stop where they are, leases are not given back.
    pub(crate) fn crash(self) {
        self.tokio.shutdown_background();
    }

    pub(crate) fn client(
        &self,
        role: Role,
    ) -> SlaServiceClient<InterceptedService<Routes, impl Interceptor + use<>>> {
        let caller = Caller::new("test", role, None);
        let with_caller = move |mut request: tonic::Request<()>| {
            request.extensions_mut().insert(caller.clone());
            Ok(request)
        };
        SlaServiceClient::new(InterceptedService::new(self.routes.clone(), with_caller))
    }

    /// Breaches of first response of a normal ticket that this process told of.
    pub(crate) fn breaches(&self) -> u64 {
        let counter: Counter<2> = self.runtime.metrics.counter(
            "solmu_sla_breaches_total",
            "Deadlines that were missed",
            Unit::Count,
            ["metric", "priority"],
        );
        counter.get(["first_response", "normal"])
    }

    /// Webhook calls of this process that were answered with a wish for fewer.
    pub(crate) fn throttled(&self) -> u64 {
        VendorMetrics::new(&self.runtime.metrics).count("sla", Call::Webhook)
    }
}

/// A harness with the default policy: 8 hours to the first response and each other, 72 to the resolution, a warning 15
/// minutes before.
pub(crate) async fn harness() -> Harness {
    let harness = Harness::new().await;
    let made = solmu_sla::bootstrap(&harness.db, &harness.clock, harness.rng.as_ref()).await;
    assert!(made.expect("the defaults are valid"));
    harness
}

/// A ticket as its service tells of it.
pub(crate) struct Ticket {
    pub(crate) state: TicketState,
    sequence: i64,
}

impl Ticket {
    /// A ticket that is opened now, by mail.
    pub(crate) fn new(harness: &Harness) -> Self {
        let id = TicketId::generate(&harness.clock, harness.rng.as_ref());
        Self {
            state: TicketState {
                ticket_id: id.to_string(),
                channel: Channel::Email.into(),
                status: TicketStatus::New.into(),
                priority: Priority::Normal.into(),
                version: 1,
                create_time: Some(to_proto_time(harness.clock.now())),
                ..TicketState::default()
            },
            sequence: 0,
        }
    }

    pub(crate) fn id(&self) -> String {
        self.state.ticket_id.clone()
    }

    pub(crate) fn opened(&mut self) -> Event {
        let at = time_of(self.state.create_time.as_ref());
        let body = TicketOpened {
            ticket: Some(self.state.clone()),
            message: Some(message(actor::Kind::Customer, at)),
            previous_ticket_id: String::new(),
            ..TicketOpened::default()
        };
        self.event(at, &body)
    }

    /// A person's public message, which leaves the ticket in `status`.
    pub(crate) fn message(
        &mut self,
        author: actor::Kind,
        at: Timestamp,
        status: TicketStatus,
    ) -> Event {
        let previous_status = self.state.status;
        self.state.status = status.into();
        self.state.version += 1;
        let body = TicketMessageAdded {
            ticket: Some(self.state.clone()),
            message: Some(message(author, at)),
            previous_status,
            ..TicketMessageAdded::default()
        };
        self.event(at, &body)
    }

    pub(crate) fn status(&mut self, at: Timestamp, status: TicketStatus) -> Event {
        self.state.status = status.into();
        self.changed(at, "status")
    }

    pub(crate) fn priority(&mut self, at: Timestamp, priority: Priority) -> Event {
        self.state.priority = priority.into();
        self.changed(at, "priority")
    }

    pub(crate) fn tag(&mut self, at: Timestamp, tag: &str) -> Event {
        self.state.tags.push(tag.to_owned());
        self.changed(at, "tags")
    }

    /// Another team has it from now on; nobody's with an empty id.
    pub(crate) fn team(&mut self, at: Timestamp, team_id: &str) -> Event {
        let previous_team_id = std::mem::replace(&mut self.state.team_id, team_id.to_owned());
        self.state.version += 1;
        let body = TicketAssigned {
            ticket: Some(self.state.clone()),
            previous_team_id,
            assign_time: Some(to_proto_time(at)),
            ..TicketAssigned::default()
        };
        self.event(at, &body)
    }

    /// Another ticket becomes part of it.
    pub(crate) fn merged(&mut self, at: Timestamp, source: &Self) -> Event {
        self.state.version += 1;
        let body = TicketMerged {
            ticket: Some(self.state.clone()),
            source_ticket_id: source.id(),
            merge_time: Some(to_proto_time(at)),
            ..TicketMerged::default()
        };
        self.event(at, &body)
    }

    /// The other ticket stands for itself again.
    pub(crate) fn unmerged(&mut self, at: Timestamp, source: &Self) -> Event {
        self.state.version += 1;
        let body = TicketUnmerged {
            ticket: Some(self.state.clone()),
            source_ticket_id: source.id(),
            unmerge_time: Some(to_proto_time(at)),
            ..TicketUnmerged::default()
        };
        self.event(at, &body)
    }

    /// What it is about.
    pub(crate) fn category(&mut self, at: Timestamp, category: &str) -> Event {
        category.clone_into(&mut self.state.category);
        self.changed(at, "category")
    }

    pub(crate) fn changed(&mut self, at: Timestamp, field: &str) -> Event {
        self.state.version += 1;
        let body = TicketChanged {
            ticket: Some(self.state.clone()),
            changes: vec![FieldChange {
                field: field.to_owned(),
                ..FieldChange::default()
            }],
            change_time: Some(to_proto_time(at)),
            ..TicketChanged::default()
        };
        self.event(at, &body)
    }

    fn event<B: EventBody>(&mut self, at: Timestamp, body: &B) -> Event {
        self.sequence += 1;
        let key = [self.state.ticket_id.as_str(), &self.sequence.to_string()];
        Event::new(EventId::stable("test", &key), at, body)
    }
}

fn message(kind: actor::Kind, at: Timestamp) -> MessageFact {
    MessageFact {
        author: Some(Actor {
            kind: kind.into(),
            id: String::new(),
        }),
        public: true,
        automatic_class: AutomaticClass::Human.into(),
        create_time: Some(to_proto_time(at)),
        ..MessageFact::default()
    }
}

/// Minutes after now.
pub(crate) fn minutes(harness: &Harness, minutes: i64) -> Timestamp {
    harness.clock.now() + SignedDuration::from_mins(minutes)
}

pub(crate) fn time_of(at: Option<&prost_types::Timestamp>) -> Timestamp {
    solmu_bus::envelope::from_proto_time(at.expect("a time"))
}

/// What the service told, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Due(DueTimesDecided),
    Warned(SlaWarned),
    Breached(SlaBreached),
    Escalated(SlaEscalated),
}

/// The relay forgets what it has sent by the clock of the test, which jumps by days: what goes into the outbox is kept
/// beside it.
async fn keep_what_is_told(harness: &Harness) {
    const KEEP: [&str; 3] = [
        "CREATE TABLE IF NOT EXISTS sla.told (id bigint PRIMARY KEY, event bytea NOT NULL)",
        "CREATE OR REPLACE FUNCTION sla.keep_told() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN INSERT INTO sla.told VALUES (NEW.id, NEW.event); RETURN NULL; END'",
        "CREATE OR REPLACE TRIGGER told AFTER INSERT ON sla.outbox FOR EACH ROW EXECUTE FUNCTION sla.keep_told()",
    ];
    let mut tx = harness.db.pool().begin().await.expect("a connection");
    // Nodes of one test may start at the same time.
    let lock = "SELECT pg_advisory_xact_lock(1)";
    for statement in [lock].into_iter().chain(KEEP) {
        let done = sqlx::query(statement).execute(&mut *tx).await;
        done.expect("a good statement");
    }
    tx.commit().await.expect("it is written");
}

/// Everything that was told, in the order of the outbox.
pub(crate) async fn told(harness: &Harness) -> Vec<Told> {
    let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT event FROM sla.told ORDER BY id")
        .fetch_all(harness.db.pool())
        .await
        .expect("a good query");
    let read = |row: Vec<u8>| {
        let event = bus_proto::Event::decode(row.as_slice()).expect("an event");
        let data = event.data.as_slice();
        match event.r#type.as_str() {
            DueTimesDecided::TYPE => Told::Due(DueTimesDecided::decode(data).expect("its body")),
            SlaWarned::TYPE => Told::Warned(SlaWarned::decode(data).expect("its body")),
            SlaBreached::TYPE => Told::Breached(SlaBreached::decode(data).expect("its body")),
            SlaEscalated::TYPE => Told::Escalated(SlaEscalated::decode(data).expect("its body")),
            other => panic!("{other}"),
        }
    };
    rows.into_iter().map(read).collect()
}

pub(crate) async fn decisions(harness: &Harness) -> Vec<DueTimesDecided> {
    let told = told(harness).await.into_iter();
    told.filter_map(|told| match told {
        Told::Due(decided) => Some(decided),
        _ => None,
    })
    .collect()
}

pub(crate) async fn warnings(harness: &Harness) -> Vec<SlaWarned> {
    let told = told(harness).await.into_iter();
    told.filter_map(|told| match told {
        Told::Warned(warned) => Some(warned),
        _ => None,
    })
    .collect()
}

pub(crate) async fn breaches(harness: &Harness) -> Vec<SlaBreached> {
    let told = told(harness).await.into_iter();
    told.filter_map(|told| match told {
        Told::Breached(breached) => Some(breached),
        _ => None,
    })
    .collect()
}

pub(crate) async fn escalations(harness: &Harness) -> Vec<SlaEscalated> {
    let told = told(harness).await.into_iter();
    told.filter_map(|told| match told {
        Told::Escalated(escalated) => Some(escalated),
        _ => None,
    })
    .collect()
}

/// The last decision about a ticket.
pub(crate) async fn last_decision(harness: &Harness, ticket: &Ticket) -> Option<DueTimesDecided> {
    let mut decided = decisions(harness).await.into_iter();
    decided.rfind(|decided| decided.ticket_id == ticket.id())
}

/// Publishes events and waits for the decision that follows; answers with it.
pub(crate) async fn decided_after(harness: &Harness, events: &[Event]) -> DueTimesDecided {
    let before = decisions(harness).await.len();
    harness.bus.publish(events).await.expect("the bus takes it");
    wait_for("the due times are decided", || async {
        decisions(harness).await.len() > before
    })
    .await;
    decisions(harness).await.pop().expect("it was there")
}

/// Waits until the service has done these events.
pub(crate) async fn done(harness: &Harness, events: &[Event]) {
    let ids: Vec<Uuid> = events.iter().map(|event| event.id.as_uuid()).collect();
    wait_for("the events are done", || async {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sla.inbox WHERE event_id = ANY($1)")
                .bind(&ids)
                .fetch_one(harness.db.pool())
                .await
                .expect("a good query");
        usize::try_from(count).expect("a count") == ids.len()
    })
    .await;
}

/// Publishes events and waits until the service has done them.
pub(crate) async fn publish(harness: &Harness, events: &[Event]) {
    harness.bus.publish(events).await.expect("the bus takes it");
    done(harness, events).await;
}

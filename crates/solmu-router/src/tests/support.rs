//! A process with a router in it, and a ticket service that only knows how to compare and set.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use solmu_bus::{
    ConsumerSpec, Delivered, Event, EventBody, Family, Handler, Held, Lane, Verdict, consumer,
    envelope::to_proto_time, metrics::ConsumerMetrics,
};
use solmu_domain::{
    clock::Clock as _,
    ids::{AgentId, EventId, TeamId, TicketId},
};
use solmu_inquiry::{Answer, Asked, Inquiry, InquiryError, Owns};
use solmu_proto::{
    contact::v1::{ContactAttribute, contact_attribute::Subject},
    routing::v1::{self as routing, AssignmentDecided},
    ticket::v1::{
        AssignmentRejected, FieldDefinition, TicketAssigned, TicketChanged, TicketOpened,
        TicketState, assignment_rejected::Cause,
    },
    types::v1::{Channel, Priority, TicketStatus},
};
use solmu_runtime::{
    Runtime,
    access::{Caller, Role},
};
use solmu_telemetry::Metrics;
use solmu_testkit::Harness;
use tokio_util::sync::CancellationToken;
use tonic::Request;

use crate::{
    Config, RoutingTexts, TextsError,
    service::Service,
    texts::{self, FetchTexts},
};

/// Ends a replica as a signal does.
pub(super) async fn end(runtime: &Runtime) {
    runtime.shutdown.drain.cancel();
    runtime.tasks.close();
    runtime.tasks.wait().await;
    runtime.shutdown.stop.cancel();
    runtime.background.close();
    runtime.background.wait().await;
}

pub(super) fn service(runtime: &Runtime, texts: Option<Arc<dyn RoutingTexts>>) -> Service {
    let none = || Arc::from(texts::of_config(&Config::default()).unwrap());
    Service::new(
        runtime,
        &Config::default(),
        texts.unwrap_or_else(none),
        Arc::default(),
    )
}

/// A request as the server hands it on.
pub(super) fn by<T>(role: Role, agent_id: Option<AgentId>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .extensions_mut()
        .insert(Caller::new("t", role, agent_id));
    request
}

pub(super) fn admin<T>(message: T) -> Request<T> {
    by(Role::Admin, None, message)
}

pub(super) fn agent_request(
    name: &str,
    capacity: i32,
    online: bool,
) -> routing::CreateAgentRequest {
    let presence = if online {
        routing::Presence::Online
    } else {
        routing::Presence::Offline
    };
    routing::CreateAgentRequest {
        agent: Some(routing::Agent {
            display_name: name.to_owned(),
            capacity,
            presence: presence.into(),
            ..routing::Agent::default()
        }),
        ..routing::CreateAgentRequest::default()
    }
}

/// Words by ticket; away until told otherwise.
#[derive(Default)]
pub(super) struct FakeTexts {
    pub(super) words: Mutex<Option<HashMap<TicketId, String>>>,
    /// Custom fields; not known until somebody says so.
    pub(super) definitions: Mutex<Option<Vec<FieldDefinition>>>,
    /// Fields of contacts and organisations; away until told otherwise.
    pub(super) owns: Mutex<Option<Owns>>,
    /// What was asked of them.
    pub(super) asked: Mutex<Vec<Asked>>,
    pub(super) attributes: Mutex<Vec<ContactAttribute>>,
}

impl Inquiry for FakeTexts {
    fn is_configured(&self) -> bool {
        true
    }

    fn values<'a>(&'a self, asked: &'a Asked) -> Answer<'a, Owns> {
        self.asked.lock().unwrap().push(asked.clone());
        let known = self.owns.lock().unwrap().clone();
        Box::pin(std::future::ready(known.ok_or_else(away)))
    }

    fn fields(&self) -> Answer<'_, Vec<FieldDefinition>> {
        let known = self.definitions.lock().unwrap().clone();
        Box::pin(std::future::ready(known.ok_or_else(away)))
    }

    fn attributes(&self, _: Subject) -> Answer<'_, Vec<ContactAttribute>> {
        let known = self.attributes.lock().unwrap().clone();
        Box::pin(std::future::ready(Ok(known)))
    }
}

fn away() -> InquiryError {
    InquiryError::Refused(Box::new(tonic::Status::unavailable("away")))
}

impl RoutingTexts for FakeTexts {
    fn fetch<'a>(&'a self, tickets: &'a [TicketId]) -> FetchTexts<'a> {
        Box::pin(async move {
            let words = self.words.lock().unwrap();
            let Some(words) = words.as_ref() else {
                return Err(TextsError::Refused(Box::new(tonic::Status::unavailable(
                    "away",
                ))));
            };
            let text = |id: &TicketId| solmu_proto::ticket::v1::RoutingText {
                ticket_id: id.to_string(),
                text: words.get(id).cloned().unwrap_or_default(),
                ..solmu_proto::ticket::v1::RoutingText::default()
            };
            Ok(tickets.iter().map(text).collect())
        })
    }
}

/// A new ticket's state.
pub(super) fn new_ticket(harness: &Harness, number: i64) -> TicketState {
    TicketState {
        ticket_id: TicketId::generate(&harness.clock, harness.rng.as_ref()).to_string(),
        number,
        channel: Channel::Email.into(),
        account: "main".to_owned(),
        status: TicketStatus::New.into(),
        priority: Priority::Normal.into(),
        version: 1,
        routing_version: 1,
        create_time: Some(to_proto_time(harness.clock.now())),
        ..TicketState::default()
    }
}

/// The ticket service: it applies decisions by compare-and-set, and nobody ever has two of them for one ticket.
pub(super) struct Tickets {
    harness: Harness,
    pub(super) state: Mutex<World>,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) tickets: BTreeMap<TicketId, TicketState>,
    /// Open tickets of each agent, and the most that they ever had.
    pub(super) loads: HashMap<String, (u32, u32)>,
    done: HashSet<String>,
    pub(super) rejected: usize,
}

impl Tickets {
    pub(super) fn new(harness: &Harness) -> Arc<Self> {
        Arc::new(Self {
            harness: harness.clone(),
            state: Mutex::default(),
        })
    }

    fn event<B: EventBody>(&self, body: &B) -> Event {
        let id = EventId::generate(&self.harness.clock, self.harness.rng.as_ref());
        Event::new(id, self.harness.clock.now(), body)
    }

    pub(super) async fn publish<B: EventBody>(&self, bodies: &[B]) {
        let events: Vec<_> = bodies.iter().map(|body| self.event(body)).collect();
        self.harness.bus.publish(&events).await.unwrap();
    }

    /// Opens so many tickets.
    pub(super) async fn open(&self, count: usize) -> Vec<TicketId> {
        let states: Vec<_> = (1..=count)
            .map(|number| new_ticket(&self.harness, i64::try_from(number).unwrap()))
            .collect();
        let mut ids = Vec::new();
        let mut opened = Vec::new();
        for state in states {
            let id: TicketId = state.ticket_id.parse().unwrap();
            ids.push(id);
            self.state.lock().unwrap().tickets.insert(id, state.clone());
            opened.push(TicketOpened {
                ticket: Some(state),
                ..TicketOpened::default()
            });
        }
        self.publish(&opened).await;
        ids
    }

    /// Resolves a ticket.
    pub(super) async fn resolve(&self, id: TicketId) {
        let state = {
            let world = &mut *self.state.lock().unwrap();
            let ticket = world.tickets.get_mut(&id).unwrap();
            ticket.status = TicketStatus::Resolved.into();
            ticket.version += 1;
            ticket.routing_version += 1;
            if let Some(load) = world.loads.get_mut(&ticket.assignee_id) {
                load.0 -= 1;
            }
            ticket.clone()
        };
        self.publish(&[TicketChanged {
            ticket: Some(state),
            ..TicketChanged::default()
        }])
        .await;
    }

    pub(super) fn owned(&self) -> usize {
        let world = self.state.lock().unwrap();
        let owned = world
            .tickets
            .values()
            .filter(|it| !it.assignee_id.is_empty());
        owned.count()
    }

    pub(super) fn team(&self, id: TicketId) -> Option<TeamId> {
        self.state.lock().unwrap().tickets[&id].team_id.parse().ok()
    }

    pub(super) fn owner(&self, id: TicketId) -> Option<AgentId> {
        self.state.lock().unwrap().tickets[&id]
            .assignee_id
            .parse()
            .ok()
    }

    fn apply(&self, decision: &AssignmentDecided) -> Option<Event> {
        let world = &mut *self.state.lock().unwrap();
        if !world.done.insert(decision.decision_id.clone()) {
            return None;
        }
        let id: TicketId = decision.ticket_id.parse().unwrap();
        let ticket = world.tickets.get_mut(&id)?;
        let cause = if ticket.status() == TicketStatus::Resolved {
            Some(Cause::NotOpen)
        } else if !ticket.assignee_id.is_empty() && ticket.assignee_id != decision.previous_agent_id
        {
            Some(Cause::AlreadyAssigned)
        } else if ticket.routing_version != decision.routing_version {
            Some(Cause::StaleTicket)
        } else {
            None
        };
        if let Some(cause) = cause {
            world.rejected += 1;
            return Some(self.event(&AssignmentRejected {
                ticket: Some(ticket.clone()),
                decision_id: decision.decision_id.clone(),
                agent_id: decision.agent_id.clone(),
                cause: cause.into(),
                ..AssignmentRejected::default()
            }));
        }
        if let Some(load) = world.loads.get_mut(&ticket.assignee_id) {
            load.0 -= 1;
        }
        ticket.team_id.clone_from(&decision.team_id);
        ticket.assignee_id.clone_from(&decision.agent_id);
        ticket.version += 1;
        ticket.routing_version += 1;
        if !decision.agent_id.is_empty() {
            let load = world.loads.entry(decision.agent_id.clone()).or_default();
            load.0 += 1;
            load.1 = load.1.max(load.0);
        }
        Some(self.event(&TicketAssigned {
            ticket: Some(ticket.clone()),
            decision_id: decision.decision_id.clone(),
            reason: decision.reason.clone(),
            ..TicketAssigned::default()
        }))
    }

    /// Consumes decisions until `stop`.
    pub(super) fn serve(self: &Arc<Self>, stop: CancellationToken) {
        let filter = self.harness.bus.subject_filter(Family::Routing);
        let spec = ConsumerSpec {
            name: "fake_tickets",
            lanes: Box::new(move |_| {
                vec![Lane {
                    stream: "DECISIONS",
                    durable: "fake_tickets".to_owned(),
                    filters: vec![filter.clone()],
                    leased: false,
                }]
            }),
            max_events: 50,
            linger: Duration::from_millis(1),
            max_attempts: 5,
        };
        let (sender, held) = tokio::sync::watch::channel(Held::from([(0, 1)]));
        let work = consumer::run(
            self.harness.bus.clone(),
            spec,
            Arc::new(Applier(Arc::clone(self))),
            held,
            Arc::new(self.harness.clock.clone()),
            ConsumerMetrics::new(&Metrics::new()),
            stop,
        );
        #[expect(clippy::disallowed_methods, reason = "a test has no task tracker")]
        tokio::spawn(async move {
            work.await;
            drop(sender);
        });
    }
}

struct Applier(Arc<Tickets>);

impl Handler for Applier {
    fn handle<'a>(
        &'a self,
        batch: &'a [Delivered],
        _: &'a Held,
    ) -> Pin<Box<dyn Future<Output = Vec<Verdict>> + Send + 'a>> {
        Box::pin(async move {
            let decided = batch.iter().map(|it| it.event.decode().unwrap());
            let answers: Vec<_> = decided.filter_map(|it| self.0.apply(&it)).collect();
            self.0.harness.bus.publish(&answers).await.unwrap();
            vec![Verdict::Done; batch.len()]
        })
    }
}

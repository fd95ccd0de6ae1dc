//! What a transaction has decided, gathered while it works and written in one go at its end.

use jiff::Timestamp;
use solmu_bus::{Bus, Event, EventBody, envelope::to_proto_time};
use solmu_db::{
    DbError,
    outbox::{self, OutboxEvent, Owner},
};
use solmu_domain::{
    clock::SharedClock,
    ids::{EventId, TicketId},
    rng::SharedRng,
    sla::{ClockEvent, InstantKind, Metric, Terms},
};
use solmu_proto::sla::v1 as proto;
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;

use crate::{
    error::FoldError,
    store::clocks,
    tracked::{Notice, Tracked},
};

/// What new events are made with. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Maker {
    pub(crate) bus: Bus,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
}

/// Rows and events of one transaction.
#[derive(Debug)]
pub(crate) struct Changes {
    now: Timestamp,
    rows: Vec<(Tracked, Option<Timestamp>)>,
    history: Vec<(TicketId, ClockEvent)>,
    events: Vec<Event>,
    notices: Vec<Notice>,
}

/// What is known once it is written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) notices: Vec<Notice>,
    /// Whether the relay has work.
    pub(crate) events: bool,
    /// The earliest timer of the tickets that were written.
    pub(crate) wake_at: Option<Timestamp>,
}

impl Changes {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self {
            now,
            rows: Vec::new(),
            history: Vec::new(),
            events: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Remembers what happened, for later replays.
    pub(crate) fn remember(&mut self, ticket: TicketId, events: &[ClockEvent]) {
        let events = events.iter().map(|event| (ticket, event.clone()));
        self.history.extend(events);
    }

    /// A ticket to which nothing is promised: known, so that its events need not be kept.
    pub(crate) fn settle_without_promise(&mut self, ticket: Tracked) {
        self.rows.push((ticket, None));
    }

    /// Takes a ticket whose clocks have changed, with what there is to tell; decides on its due times anew.
    pub(crate) fn settle(
        &mut self,
        mut ticket: Tracked,
        notices: Vec<Notice>,
        terms: &Terms<'_>,
        trace: &TraceContext,
        maker: &Maker,
    ) -> Result<(), FoldError> {
        let Some(promise) = &ticket.promise else {
            self.settle_without_promise(ticket);
            return Ok(());
        };
        let decided = promise.decide(terms)?;
        let wake_at = promise.wake_at(terms)?;
        let policy_id = promise.policy.id.to_string();
        for notice in &notices {
            self.events
                .push(notice_event(ticket.ticket, notice, self.now, trace));
        }
        self.notices.extend(notices);
        if decided != ticket.decided {
            ticket.decided = decided;
            let body = decision(&ticket, policy_id, self.now);
            let id = EventId::generate(maker.clock.as_ref(), maker.rng.as_ref());
            self.events
                .push(Event::traced(id, self.now, &body, trace.clone()));
        }
        self.rows.push((ticket, wake_at));
        Ok(())
    }

    /// Writes everything.
    pub(crate) async fn write(self, tx: &mut PgConnection, bus: &Bus) -> Result<Written, DbError> {
        clocks::clock_upsert(tx, &self.rows, self.now).await?;
        clocks::event_insert(tx, &self.history).await?;
        let written = Written {
            events: !self.events.is_empty(),
            wake_at: self.rows.iter().filter_map(|(_, wake_at)| *wake_at).min(),
            notices: self.notices,
        };
        let events = self.events.iter().map(|event| outbox_event(bus, event));
        outbox::add(tx, Owner::Sla, events.collect(), self.now).await?;
        Ok(written)
    }
}

fn outbox_event(bus: &Bus, event: &Event) -> OutboxEvent {
    let encoded = bus.encode(event);
    OutboxEvent {
        event_id: event.id.as_uuid(),
        family: encoded.family.token().to_owned(),
        shard: encoded.shard,
        event: encoded.bytes,
    }
}

fn decision(ticket: &Tracked, policy_id: String, now: Timestamp) -> proto::DueTimesDecided {
    let due = ticket.decided.due;
    proto::DueTimesDecided {
        ticket_id: ticket.ticket.to_string(),
        ticket_version: ticket.version,
        policy_id,
        first_response_due_time: due.first_response_due.map(to_proto_time),
        next_response_due_time: due.next_response_due.map(to_proto_time),
        resolution_due_time: due.resolution_due.map(to_proto_time),
        breached: ticket.decided.breached,
        decide_time: Some(to_proto_time(now)),
    }
}

/// The event of a notice. Its id follows from what it tells, so that it is one event even if it were told twice.
fn notice_event(ticket: TicketId, notice: &Notice, now: Timestamp, trace: &TraceContext) -> Event {
    let ticket_id = ticket.to_string();
    let key = [
        ticket_id.as_str(),
        notice.metric.as_str(),
        &notice.cycle.to_string(),
        &notice.due.to_string(),
    ];
    let due_time = Some(to_proto_time(notice.due));
    let fire_time = Some(to_proto_time(notice.fired_at));
    match notice.kind {
        InstantKind::Warning => {
            let id = EventId::stable("sla.warned", &key);
            let body = proto::SlaWarned {
                metric: proto_metric(notice.metric).into(),
                due_time,
                scheduled_time: Some(to_proto_time(notice.scheduled_at)),
                fire_time,
                ticket_id,
            };
            event(id, now, &body, trace)
        }
        InstantKind::Breach => {
            let id = EventId::stable("sla.breached", &key);
            let body = proto::SlaBreached {
                metric: proto_metric(notice.metric).into(),
                due_time,
                fire_time,
                ticket_id,
            };
            event(id, now, &body, trace)
        }
    }
}

fn event<B: EventBody>(id: EventId, now: Timestamp, body: &B, trace: &TraceContext) -> Event {
    Event::traced(id, now, body, trace.clone())
}

/// The metric on the wire.
pub(crate) const fn proto_metric(metric: Metric) -> proto::Metric {
    match metric {
        Metric::FirstResponse => proto::Metric::FirstResponse,
        Metric::NextResponse => proto::Metric::NextResponse,
        Metric::Resolution => proto::Metric::Resolution,
    }
}

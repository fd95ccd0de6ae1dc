//! What a transaction has decided, gathered while it works and written in one go at its end.

use std::{collections::BTreeSet, sync::Arc};

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
    sla::{ActionKind, ClockEvent, ClockEventKind, InstantKind, Metric},
};
use solmu_proto::sla::v1 as proto;
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    catalogue::Catalogue,
    error::FoldError,
    store::{
        clocks,
        cycles::{self, Booking, CycleKey, CycleRow},
        webhooks::{self, CallRow},
    },
    tracked::{Notice, Tracked},
    webhooks::body_of,
};

/// What new events are made with. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Maker {
    pub(crate) bus: Bus,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
    /// Names of the webhooks that can be called.
    pub(crate) webhooks: Arc<BTreeSet<String>>,
}

/// Rows and events of one transaction.
#[derive(Debug)]
pub(crate) struct Changes {
    now: Timestamp,
    rows: Vec<(Tracked, Option<Timestamp>)>,
    history: Vec<(TicketId, ClockEvent)>,
    /// Tickets whose moves between policies and calendars are to be forgotten first.
    rebased: Vec<TicketId>,
    cycles: Vec<CycleRow>,
    unbooked: Vec<CycleKey>,
    events: Vec<Event>,
    notices: Vec<Notice>,
    margins: Vec<Margin>,
    calls: Vec<CallRow>,
}

/// How near a promise came to its deadline: told when its cycle ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Margin {
    pub(crate) metric: Metric,
    pub(crate) breached: bool,
    /// Business seconds that were left, or by which it was late.
    pub(crate) seconds: i64,
}

impl Margin {
    fn of(booking: &Booking) -> Self {
        let left = booking.target_s.saturating_sub(booking.elapsed_s);
        let seconds = if booking.breached { -left } else { left };
        Self {
            metric: booking.metric,
            breached: booking.breached,
            // A target that was raised after the breach, and rounding.
            seconds: seconds.max(0),
        }
    }
}

/// What is known once it is written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) notices: Vec<Notice>,
    pub(crate) margins: Vec<Margin>,
    /// The earliest timer of the tickets that were written.
    pub(crate) wake_at: Option<Timestamp>,
    /// Whether a webhook is to be called.
    pub(crate) calls: bool,
}

impl Written {
    /// Adds what the same transaction wrote next.
    pub(crate) fn add(&mut self, more: Self) {
        self.notices.extend(more.notices);
        self.margins.extend(more.margins);
        self.calls |= more.calls;
        if let Some(at) = more.wake_at {
            self.wake_before(at);
        }
    }

    /// There is something to do at `at`.
    pub(crate) fn wake_before(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }
}

impl Changes {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self {
            now,
            rows: Vec::new(),
            history: Vec::new(),
            rebased: Vec::new(),
            cycles: Vec::new(),
            unbooked: Vec::new(),
            events: Vec::new(),
            notices: Vec::new(),
            margins: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// Remembers what happened, for later replays.
    pub(crate) fn remember(&mut self, ticket: TicketId, events: &[ClockEvent]) {
        let events = events.iter().map(|event| (ticket, event.clone()));
        self.history.extend(events);
    }

    /// Forgets a ticket's moves between policies and calendars; what is remembered after that stays.
    pub(crate) fn forget_moves(&mut self, ticket: TicketId) {
        let is_move = |event: &ClockEvent| {
            let kind = &event.kind;
            matches!(
                kind,
                ClockEventKind::Policy { .. } | ClockEventKind::Calendar { .. }
            )
        };
        self.history
            .retain(|(id, event)| *id != ticket || !is_move(event));
        self.rebased.push(ticket);
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
        catalogue: &Catalogue,
        trace: &TraceContext,
        maker: &Maker,
    ) -> Result<(), FoldError> {
        let Some(promise) = &ticket.promise else {
            self.settle_without_promise(ticket);
            return Ok(());
        };
        let terms = &catalogue.terms(&promise.policies)?;
        let decided = promise.decide(terms)?;
        let wake_at = promise.wake_at(terms)?;
        let policy_id = promise.policies.first().id.to_string();
        self.book(&ticket, catalogue);
        for notice in &notices {
            let team = promise.clocks.team();
            let agents = match notice.action {
                ActionKind::Notify => catalogue.contacts(&notice.target, team),
                _ => &[],
            };
            let event = notice_event(ticket.ticket, notice, agents, self.now, trace);
            if notice.action == ActionKind::Webhook && maker.webhooks.contains(&notice.target) {
                self.calls.push(CallRow {
                    id: event.id.as_uuid(),
                    name: notice.target.clone(),
                    body: body_of(ticket.ticket, notice),
                });
            }
            self.events.push(event);
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

    /// Notes what has changed of what counts for attainment.
    fn book(&mut self, ticket: &Tracked, catalogue: &Catalogue) {
        let Some(promise) = &ticket.promise else {
            return;
        };
        let bookings = promise.bookings();
        let is_there = |old: &&Booking| {
            let same = |new: &Booking| (new.metric, new.cycle) == (old.metric, old.cycle);
            bookings.iter().any(same)
        };
        let gone = ticket.booked.iter().filter(|old| !is_there(old));
        self.unbooked
            .extend(gone.map(|old| (ticket.ticket, old.metric, old.cycle)));
        for booking in bookings {
            if ticket.booked.contains(&booking) {
                continue;
            }
            let same = |old: &Booking| {
                (old.metric, old.cycle, old.ended) == (booking.metric, booking.cycle, true)
            };
            if booking.ended && !ticket.booked.iter().any(same) {
                self.margins.push(Margin::of(&booking));
            }
            self.cycles.push(CycleRow {
                ticket: ticket.ticket,
                policy: catalogue.owner(&promise.policies, booking.metric).as_uuid(),
                team: booking.team,
                channel: ticket.channel.clone(),
                priority: promise.clocks.priority().to_owned(),
                booking,
            });
        }
    }

    /// Writes everything.
    pub(crate) async fn write(self, tx: &mut PgConnection, bus: &Bus) -> Result<Written, DbError> {
        clocks::clock_upsert(tx, &self.rows, self.now).await?;
        clocks::event_forget_moves(tx, &self.rebased).await?;
        cycles::cycle_delete(tx, &self.unbooked).await?;
        cycles::cycle_upsert(tx, &self.cycles).await?;
        clocks::event_insert(tx, &self.history).await?;
        webhooks::call_insert(tx, &self.calls, self.now).await?;
        let written = Written {
            calls: !self.calls.is_empty(),
            wake_at: self.rows.iter().filter_map(|(_, wake_at)| *wake_at).min(),
            notices: self.notices,
            margins: self.margins,
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
        periodic_update_due_time: due.periodic_update_due.map(to_proto_time),
        agent_work_due_time: due.agent_work_due.map(to_proto_time),
        ownership_due_time: due.ownership_due.map(to_proto_time),
        breached: ticket.decided.breached,
        decide_time: Some(to_proto_time(now)),
    }
}

/// The event of a notice. Its id follows from what it tells, so that it is one event even if it were told twice. `agents`
/// are those whom the target of a step means by what they are to a team.
fn notice_event(
    ticket: TicketId,
    notice: &Notice,
    agents: &[Uuid],
    now: Timestamp,
    trace: &TraceContext,
) -> Event {
    let ticket_id = ticket.to_string();
    let (cycle, due) = (notice.cycle.to_string(), notice.due.to_string());
    let mut key = vec![ticket_id.as_str(), notice.metric.as_str(), &cycle, &due];
    if !notice.step.is_empty() {
        key.push(&notice.step);
    }
    let due_time = Some(to_proto_time(notice.due));
    let fire_time = Some(to_proto_time(notice.fired_at));
    let scheduled_time = Some(to_proto_time(notice.scheduled_at));
    let metric = proto_metric(notice.metric).into();
    let (late, number) = (
        notice.is_late(),
        i32::try_from(notice.cycle).unwrap_or(i32::MAX),
    );
    match notice.kind {
        InstantKind::Warning => {
            let id = EventId::stable("sla.warned", &key);
            let body = proto::SlaWarned {
                metric,
                due_time,
                scheduled_time,
                fire_time,
                late,
                cycle: number,
                step: notice.step.clone(),
                ticket_id,
            };
            event(id, now, &body, trace)
        }
        InstantKind::Breach => {
            let id = EventId::stable("sla.breached", &key);
            let body = proto::SlaBreached {
                metric,
                due_time,
                fire_time,
                scheduled_time,
                late,
                cycle: number,
                ticket_id,
            };
            event(id, now, &body, trace)
        }
        InstantKind::Escalation => {
            let id = EventId::stable("sla.escalated", &key);
            let body = proto::SlaEscalated {
                metric,
                cycle: number,
                due_time,
                scheduled_time,
                fire_time,
                late,
                step: notice.step.clone(),
                action: proto_action(notice.action).into(),
                target: notice.target.clone(),
                agent_ids: agents.iter().map(Uuid::to_string).collect(),
                event_only: notice.event_only,
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
        Metric::PeriodicUpdate => proto::Metric::PeriodicUpdate,
        Metric::AgentWork => proto::Metric::AgentWork,
        Metric::Ownership => proto::Metric::Ownership,
    }
}

/// What a step does, on the wire.
pub(crate) const fn proto_action(action: ActionKind) -> proto::ActionKind {
    match action {
        ActionKind::Warn => proto::ActionKind::Warn,
        ActionKind::Notify => proto::ActionKind::Notify,
        ActionKind::RaisePriority => proto::ActionKind::RaisePriority,
        ActionKind::Reassign => proto::ActionKind::Reassign,
        ActionKind::AddFollower => proto::ActionKind::AddFollower,
        ActionKind::Webhook => proto::ActionKind::Webhook,
    }
}

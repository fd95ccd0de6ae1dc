//! A day in virtual time: arrivals, shifts and handling times through the real decisions.
//!
//! The floor is the one that the router decides with; only the clock is a heap of instants, and handling a ticket takes
//! as long as the file says. So what a change of teams, skills or patience does can be seen before it is made.

mod arrivals;
mod format;
mod input;
mod stats;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use solmu_domain::ids::{AgentId, TicketId};

pub use input::{InputError, Plan, read_plan};
pub use stats::{AgentReport, Report, Waits};

use crate::{Estimate, Floor, Micros, Placement, Round};
use input::{Planned, Worker};
use stats::Ledger;

/// What happens at an instant. In this order among equals: who comes is there before work does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    /// A shift begins or ends.
    Shift { agent: usize, begins: bool },
    /// A ticket is done.
    Done(TicketId),
    /// A ticket comes.
    Arrives(usize),
    /// Time alone changes something.
    Timer,
}

/// A ticket that found somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct Assigned {
    /// Name of the ticket.
    pub ticket: String,
    /// Name of the agent.
    pub agent: String,
    /// Seconds since the beginning.
    pub at: f64,
    /// Seconds that it waited.
    pub waited: f64,
    /// Skills that it asked for and no longer insisted on, which the agent lacks.
    pub missing: u32,
    /// Seconds that it was expected to wait when it came, if there was enough history.
    pub expected: Option<f64>,
}

struct Day<'a> {
    plan: &'a Plan,
    floor: Floor,
    events: BinaryHeap<Reverse<(Micros, Happens)>>,
    /// The timer that was set last.
    armed: Option<Micros>,
    ledger: Ledger,
    estimate: Estimate,
    expected: HashMap<TicketId, Option<Micros>>,
    names: HashMap<AgentId, usize>,
    tickets: HashMap<TicketId, usize>,
}

/// Runs a plan to its end: until nothing happens any more. `tell` hears each assignment.
pub fn run(plan: &Plan, mut tell: impl FnMut(&Assigned)) -> Report {
    let mut day = Day::new(plan);
    while let Some(Reverse((now, first))) = day.events.pop() {
        day.happen(now, first);
        while let Some(Reverse((at, next))) = day.events.peek().copied()
            && at == now
        {
            day.events.pop();
            day.happen(now, next);
        }
        day.decide(now, &mut tell);
    }
    for id in day.expected.keys() {
        day.ledger.left_over(plan, &plan.tickets[day.tickets[id]]);
    }
    day.ledger.report(plan)
}

impl<'a> Day<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut floor = Floor::new(plan.policy.clone());
        for (team, policy) in &plan.teams {
            floor.set_team(*team, policy.clone(), 0);
        }
        let mut events = BinaryHeap::new();
        for (agent, worker) in plan.workers.iter().enumerate() {
            floor.set_agent(worker.seen(worker.shifts.is_empty()));
            for (begin, end) in &worker.shifts {
                events.push(Reverse((
                    *begin,
                    Happens::Shift {
                        agent,
                        begins: true,
                    },
                )));
                events.push(Reverse((
                    *end,
                    Happens::Shift {
                        agent,
                        begins: false,
                    },
                )));
            }
        }
        for (index, planned) in plan.tickets.iter().enumerate() {
            events.push(Reverse((planned.ticket.arrived, Happens::Arrives(index))));
        }
        let ids = plan.workers.iter().enumerate();
        let tickets = plan.tickets.iter().enumerate();
        Self {
            plan,
            floor,
            events,
            armed: None,
            ledger: Ledger::new(plan.workers.len()),
            estimate: Estimate::default(),
            expected: HashMap::new(),
            names: ids.map(|(index, it)| (it.agent.id, index)).collect(),
            tickets: tickets.map(|(index, it)| (it.ticket.id, index)).collect(),
        }
    }

    fn happen(&mut self, now: Micros, event: Happens) {
        match event {
            Happens::Shift { agent, begins } => {
                let worker: &Worker = &self.plan.workers[agent];
                self.floor.set_agent(worker.seen(begins));
            }
            Happens::Done(ticket) => self.floor.release(ticket),
            Happens::Arrives(index) => {
                let ticket = &self.plan.tickets[index].ticket;
                self.floor.wait(ticket, now);
                let position = self.floor.position(ticket.id).unwrap_or(1);
                let expected = self.estimate.wait(ticket.team, position, now);
                self.expected.insert(ticket.id, expected);
            }
            Happens::Timer => {}
        }
    }

    fn decide(&mut self, now: Micros, tell: &mut impl FnMut(&Assigned)) {
        let placements = self.floor.decide(&Round {
            now,
            top: 1,
            most: usize::MAX,
        });
        for placement in placements {
            tell(&self.assign(now, &placement));
        }
        let next = self.floor.next_change();
        if let Some(at) = next
            && self.armed.is_none_or(|armed| at < armed || armed <= now)
        {
            self.armed = Some(at);
            self.events.push(Reverse((at, Happens::Timer)));
        }
    }

    fn assign(&mut self, now: Micros, placement: &Placement) -> Assigned {
        let worker = self.names[&placement.agent];
        let planned: &Planned = &self.plan.tickets[self.tickets[&placement.ticket]];
        let done = now.saturating_add(planned.handling.max(1));
        self.events
            .push(Reverse((done, Happens::Done(placement.ticket))));
        self.estimate.note(planned.ticket.team, now);
        let missing = placement.considered.first().map_or(0, |it| it.missing);
        self.ledger
            .assigned(self.plan, planned, worker, now, missing);
        let expected = self.expected.remove(&placement.ticket).flatten();
        Assigned {
            ticket: planned.name.clone(),
            agent: self.plan.workers[worker].name.clone(),
            at: stats::seconds(now),
            waited: stats::seconds(now - planned.ticket.arrived),
            missing,
            expected: expected.map(stats::seconds),
        }
    }
}

//! What is kept of a ticket to which nothing is promised, so that it can get clocks later.
//!
//! A rule, an agent or an edit may bring the first policy long after the opening. The opening and every event stay
//! known, so its clocks begin as if the policy had held from the opening: the customer has waited since then. Only a
//! policy that says `from_now_on` begins at the change.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use solmu_domain::sla::{ClockEvent, ClockEventKind, TicketStart, sort_events};

use crate::{
    batch::rebase,
    catalogue::{Catalogue, Choice, NO_POLICY},
    error::FoldError,
    facts::TicketFacts,
    intake::Opening,
    tracked::Promise,
};

/// An open or done ticket without a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unpromised {
    /// Without policy and calendar.
    pub(crate) start: TicketStart,
    /// What policies look at, as of the newest event that may have changed it.
    pub(crate) facts: TicketFacts,
    /// Whether the ticket is neither resolved nor closed.
    pub(crate) open: bool,
}

/// A ticket's first promise, with the events that it adds to the history and whether these are all of its moves.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) promise: Promise,
    pub(crate) moves: Vec<ClockEvent>,
}

impl Unpromised {
    /// The ticket after its opening and `events`.
    pub(crate) fn new(opening: &Opening, events: &[ClockEvent]) -> Self {
        let mut ticket = Self {
            start: start_of(opening),
            facts: opening.facts.clone(),
            open: true,
        };
        ticket.note_status(events);
        ticket
    }

    /// Reads from the whole history whether the ticket is open.
    pub(crate) fn note_status(&mut self, history: &[ClockEvent]) {
        let mut history = history.to_vec();
        sort_events(&mut history);
        let last = history.iter().rev().find_map(|event| match &event.kind {
            ClockEventKind::Status { to } => Some(*to),
            _ => None,
        });
        self.open = !last.unwrap_or(self.start.status).is_done();
    }

    /// The clocks of the ticket under its first policies. `history` is all that happened, `at` is when they came to
    /// hold.
    pub(crate) fn adopt(
        &self,
        choice: Choice,
        mut history: Vec<ClockEvent>,
        at: Timestamp,
        from_now_on: bool,
        catalogue: &Catalogue,
    ) -> Result<Adopted, FoldError> {
        let mut start = self.start.clone();
        start.calendar.clone_from(&choice.calendars.key);
        start.calendars.clone_from(&choice.calendars.metrics);
        let terms = catalogue.terms(&choice.policies)?;
        let set = choice.policies.clone();
        let mut promise = Promise::open(set, start, Vec::new(), &terms)?;
        let moves = if from_now_on {
            let last = history.iter().map(|event| event.at).max();
            let at = at.max(last.unwrap_or(at));
            let to = choice.policies.to_string();
            let moves = vec![ClockEvent::new(at, ClockEventKind::Policy { to })];
            history.extend(moves.iter().cloned());
            moves
        } else {
            history = rebase(&mut promise, history, choice, catalogue);
            let is_move = |event: &&ClockEvent| crate::batch::is_move(event);
            history.iter().filter(is_move).cloned().collect()
        };
        promise.replay(history, &terms)?;
        Ok(Adopted { promise, moves })
    }
}

/// A ticket's beginning under no policy.
pub(crate) fn start_of(opening: &Opening) -> TicketStart {
    TicketStart {
        at: opening.at,
        status: opening.status,
        priority: opening.facts.priority.clone(),
        calendar: String::new(),
        outbound: opening.outbound,
        calendars: std::collections::BTreeMap::new(),
        policy: NO_POLICY.to_owned(),
        team: opening.facts.team.map(|team| team.to_string()),
    }
}

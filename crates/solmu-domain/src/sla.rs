//! SLA arithmetic: business calendars, targets and clocks, exact to the microsecond.
//!
//! Three layers, none of which does IO or reads a clock:
//!
//! * [`Calendar`] turns weekly hours, holidays, overrides and breaks into intervals of instants and answers
//!   `elapsed`, `due`, `is_open` and `next_opening` in O(log n) from cached prefix sums;
//! * [`TicketClocks`] is the state of one ticket's clocks, changed by one [`ClockEvent`] at a time; replaying all
//!   events gives the same state, so a service may store it as JSON and never recompute;
//! * [`report`](TicketClocks::report), [`due_times`](TicketClocks::due_times) and
//!   [`next_instants`](TicketClocks::next_instants) are what is shown, stored on the ticket, and handed to timers.
//!
//! A deadline is the *earliest* instant at which the target is used up, so a target that ends with the working day is
//! due at closing and not at the next opening; it is breached by whatever happens strictly later.

mod calendar;
mod clocks;
mod cycle;
pub mod eval;
mod event;
mod explain;
mod ical;
mod intervals;
mod lifecycle;
mod metric;
mod plan;
mod policy;
mod report;
mod rules;
mod spec;
mod terms;

pub use calendar::{Calendar, Opening};
pub use clocks::TicketClocks;
pub use cycle::{Cycle, End, Outcome};
pub use event::{
    ChangeKind, ClockChange, ClockEvent, ClockEventKind, drop_taken_back, sort_events,
};
pub use explain::{
    ExplainedStep, Explanation, MAX_SEGMENTS, Segment, SegmentKind, Timeline, explain,
};
pub use ical::{HolidayImport, ICAL_MAX_BYTES, IcalError, SkippedEntry, holidays_of_ical};
pub use metric::{ClockStatus, Metric};
pub use policy::{ANY_PRIORITY, MetricTargets, NextResponseFrom, Policy, PolicyError};
pub use report::{
    ClockState, DueTimes, Instant, InstantKind, MetricReport, REARM_AFTER, Reminder, TicketReport,
    reminder_rearms,
};
pub use rules::{
    ActionKind, CalendarFrom, MAX_STEPS, OnEdit, OnMerge, OnPriority, OnReopen, PolicyRules, Step,
    StepAt,
};
pub use spec::{CalendarError, CalendarSpec, WindowSpec};
pub use terms::{Calendars, ClockError, Current, Policies, Terms, TicketStart};

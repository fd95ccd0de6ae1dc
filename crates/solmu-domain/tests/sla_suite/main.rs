//! Tests of the SLA arithmetic through its public functions: tables for each rule, properties, and the shared cases.

mod calendar;
mod calendar_dst;
mod cases;
mod clocks;
mod explain;
mod ical;
mod merges;
mod metrics;
mod properties;
mod refusals;
mod rules;
mod support;
mod timers;

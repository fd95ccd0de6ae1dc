//! The message bus: subjects, the event envelope, the publisher, and the consumer with its layers.
//!
//! Events are CloudEvents 1.0. A bus message carries one event in binary mode, or an `EventBatch` of complete events
//! of one partition: a disk sync is the unit of cost, so what arrives together travels together. A consumer returns
//! verdicts; only this crate acknowledges, delays and dead-letters.

pub mod bus;
pub mod cause;
pub mod consumer;
pub mod dead;
pub mod envelope;
pub mod events;
pub mod family;
pub mod handler;
pub mod lag;
mod lanes;
pub mod metrics;
mod order;
mod partitions;
pub mod publish;
pub mod reach;
mod reap;
mod spans;
pub mod streams;
pub mod tail;

pub use bus::{Bus, BusConfig, BusError};
pub use cause::{Cause, Verdict};
pub use envelope::{Event, ReceivedEvent};
pub use events::EventBody;
pub use family::Family;
pub use handler::{ConsumerSpec, Delivered, Handler, Held, Lane, OneByOne};
pub use publish::PublishError;

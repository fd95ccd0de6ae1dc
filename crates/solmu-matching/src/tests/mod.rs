//! Every rule by a table, the fixtures of others, properties, and the theory of queues.

mod fixtures;
mod properties;
mod queueing;
mod rules;
mod sun;
mod support;

//! Every rule by a table, the fixtures of others, properties, and the theory of queues.

mod figures;
mod fixtures;
mod odd;
mod properties;
mod queueing;
mod reference;
mod rules;
mod staffed;
mod sun;
mod support;

//! What every role shares to run as a process: configuration, lifecycle and drain, servers, access, the outbox relay.
//!
//! A role is `Config`, `start(&Runtime, Config) -> Parts` and `Error`; the binary builds one [`Runtime`], starts the
//! roles that it was asked for, merges their [`Parts`] and serves them. Nothing here knows a ticket.

pub mod access;
pub mod admin;
pub mod api_error;
pub mod calls;
pub mod config;
pub mod doctor;
pub mod events;
pub mod health;
pub mod keyring;
pub mod lifecycle;
pub mod page;
pub mod relay;
pub mod request;
mod runtime;
pub mod server;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod watch;

pub use api_error::ApiError;
pub use keyring::Keyring;
pub use lifecycle::Shutdown;
pub use runtime::{Parts, RoleName, Runtime, RuntimeParts, UnknownRole};

//! Finds and supervises a private PostgreSQL (15 to 18) and a private nats-server (2.10 or newer).
//!
//! The embedded default of Solmu is the real engines, so that a laptop and a cluster run the same SQL dialect, the
//! same bus and the same code. This crate starts them unprivileged in a data directory of their own, restarts one that
//! dies, and stops them in order; the rest of the program only sees two URLs.
//!
//! What is not obvious, and why it is so:
//! - A child starts through the hidden subcommand [`EXEC_SUBCOMMAND`] of our own executable ([`run_child_if_asked`]),
//!   which gives up root, asks the kernel for a signal when the supervisor dies and becomes the engine. `pre_exec`
//!   would need `unsafe`.
//! - Each engine has one thread for as long as it runs, because the kernel sends that signal when the *thread* that
//!   started the child ends: a child started from a thread pool is stopped at a random moment.
//! - PostgreSQL listens on a unix socket only, nats-server on loopback with a random token: no password, no port
//!   clash, nothing for another host to reach.
//! - The data directory is locked: two nats-servers on one store start happily and ruin it.
//! - Nothing is downloaded here; `make tools` does that.

mod access;
mod config;
mod engine;
mod engines;
mod error;
mod exec;
mod files;
mod find;
mod identity;
mod import;
mod layout;
mod nats;
mod postgres;
mod process;
mod supervisor;

pub use config::{Durability, EngineConfig};
pub use engine::{EngineHealth, EngineState};
pub use engines::{Engines, noted_postgres_bin};
pub use error::{EngineError, EngineName, Missing, Rejected};
pub use exec::{EXEC_SUBCOMMAND, run_child_if_asked};

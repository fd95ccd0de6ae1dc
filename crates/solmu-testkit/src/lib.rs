//! What tests share: the real engines, a database and a bus namespace per test, a fake clock, and `wait_for`.
//!
//! The engines are started once per test run by `cargo xtask test`, which says where they are in two environment
//! variables. A test that needs them and was not started that way fails and says so; it is never skipped.

pub mod harness;
pub mod wait;

pub use harness::Harness;
pub use wait::wait_for;

/// Environment variable with the URL of a PostgreSQL on which databases may be made.
pub const POSTGRES_VARIABLE: &str = "SOLMU_TEST_POSTGRES_URL";
/// Environment variable with the URL of a nats-server with JetStream.
pub const NATS_VARIABLE: &str = "SOLMU_TEST_NATS_URL";

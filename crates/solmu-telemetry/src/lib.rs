//! Logs, traces and metrics: set-up, names and propagation.
//!
//! One crate decides how a process is observed, so that every role is observed in the same way: JSON lines on stdout,
//! spans to an OTLP collector when there is one, and OpenMetrics text for whoever scrapes. Trace ids exist even without
//! a collector: they tie the log lines of several processes together, and they travel through gRPC and NATS headers as
//! W3C trace context.

mod config;
mod init;
mod log_layer;
pub mod metrics;
mod process;
mod sampler;
pub mod trace_context;
pub mod vendor;

pub use config::{LogFormat, LogOutput, TelemetryConfig};
pub use init::{Guard, Sink, TelemetryError, build, init};
pub use metrics::Metrics;
pub use trace_context::TraceContext;

/// For the macros of this crate.
#[doc(hidden)]
pub use tracing as __tracing;

/// The version that logs, traces and `build_info` carry: that of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

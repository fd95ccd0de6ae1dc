//! What can be set about logs and traces.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text, for people.
    #[default]
    Text,
    /// One JSON object per line, for collectors.
    Json,
}

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogOutput {
    /// Standard output: what container platforms collect.
    #[default]
    Stdout,
    /// Standard error: for commands whose answer is on standard output.
    Stderr,
}

/// Logs and traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// How a log line looks: `text` or `json`.
    pub format: LogFormat,
    /// Where log lines go: `stdout` or `stderr`.
    pub output: LogOutput,
    /// Which lines are logged: a level, or directives such as `info,solmu_email=debug`.
    pub filter: String,
    /// The OTLP gRPC endpoint that gets the spans, such as `http://127.0.0.1:4317`. Without it spans are not exported.
    pub otlp_endpoint: Option<String>,
    /// The name of this service in logs and traces.
    pub service_name: String,
    /// The share of new traces that are exported, 0 to 1. A trace begun elsewhere keeps the decision made there.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            output: LogOutput::Stdout,
            filter: "info,async_nats=warn".to_owned(),
            otlp_endpoint: None,
            service_name: "solmu".to_owned(),
            sample_ratio: 1.0,
        }
    }
}

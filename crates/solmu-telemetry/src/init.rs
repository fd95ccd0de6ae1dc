//! Puts the log layer and the tracer in place, and takes them down last.
//!
//! Without an OTLP endpoint a tracer is installed all the same, with nothing behind it: spans then have ids, which is
//! what ties log lines and bus messages together, and are never recorded.

use std::io::{IsTerminal, Write};

use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use tracing::{Dispatch, Level, Metadata, Subscriber, subscriber::Interest};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::LevelFilter,
    layer::{Context, Filter, SubscriberExt},
    registry::LookupSpan,
    reload,
};

use crate::{
    VERSION,
    config::{LogFormat, LogOutput, TelemetryConfig},
    log_layer::LogLayer,
    sampler::Roots,
};

/// Links of one span at most: a batch has one for each of its events. The default of 128 is less than a batch may have.
const LINKS: u32 = 1_000;

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is no list of directives.
    #[error("log filter '{filter}' is not valid")]
    Filter {
        /// The text that was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The sampling ratio is not between 0 and 1.
    #[error("sample ratio {0} is not between 0 and 1")]
    SampleRatio(f64),
    /// No exporter can be made for the endpoint.
    #[error("cannot export spans to '{endpoint}'")]
    Exporter {
        /// The endpoint.
        endpoint: String,
        /// The cause.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// Another subscriber is already in place.
    #[error("telemetry is already set up in this process")]
    AlreadySet(#[source] tracing::dispatcher::SetGlobalDefaultError),
    /// The filter could not be changed.
    #[error("cannot change the log filter")]
    Reload(#[source] reload::Error),
}

/// Takes one complete log line, with its line feed.
pub type Sink = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Keeps telemetry alive; [`Guard::shutdown`] hands over what is still buffered.
#[derive(Debug)]
#[must_use = "dropping the guard loses buffered spans"]
pub struct Guard {
    provider: SdkTracerProvider,
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Guard {
    /// Changes which lines are logged while the process runs.
    pub fn set_filter(&self, filter: &str) -> Result<(), TelemetryError> {
        self.filter
            .reload(parse_filter(filter)?)
            .map_err(TelemetryError::Reload)
    }

    /// Exports what is still buffered; the last thing that a process does. Waits for at most about 5 s.
    ///
    /// A collector that is away must not turn a clean exit into a failed one, so a failed flush is only logged.
    pub async fn shutdown(self) {
        // The exporter needs this runtime while the flush waits, so the wait has its own thread.
        let flushed = tokio::task::spawn_blocking(move || self.provider.shutdown()).await;
        match flushed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = %error, "spans were not all exported"),
            Err(error) => tracing::warn!(error = %error, "span exporter did not stop cleanly"),
        }
    }
}

/// Sets up telemetry for the whole process. With an OTLP endpoint it must be called inside the tokio runtime.
pub fn init(config: &TelemetryConfig) -> Result<Guard, TelemetryError> {
    let (sink, colour): (Sink, bool) = match config.output {
        // A log that cannot be written must not take the service down with it, so the error is dropped.
        LogOutput::Stdout => (
            Box::new(|line| drop(std::io::stdout().lock().write_all(line))),
            std::io::stdout().is_terminal(),
        ),
        LogOutput::Stderr => (
            Box::new(|line| drop(std::io::stderr().lock().write_all(line))),
            std::io::stderr().is_terminal(),
        ),
    };
    let (dispatch, guard) = build(config, sink, colour)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(TelemetryError::AlreadySet)?;
    Ok(guard)
}

/// Builds the same subscriber without installing it: for tests and tools that capture their own lines.
pub fn build(
    config: &TelemetryConfig,
    sink: Sink,
    colour: bool,
) -> Result<(Dispatch, Guard), TelemetryError> {
    let provider = tracer_provider(config)?;
    let (filter, handle) = reload::Layer::new(parse_filter(&config.filter)?);
    let colour = colour && config.format == LogFormat::Text;
    let logs =
        LogLayer::new(config.format, config.service_name.clone(), colour, sink).with_filter(filter);
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("solmu"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_filter(Traced);
    // Not as a Vec of layers: it does not tell its layers which dispatcher they serve, and log lines would have no ids.
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(logs).with(spans));
    Ok((
        dispatch,
        Guard {
            provider,
            filter: handle,
        },
    ))
}

/// Spans of level info and above are traced whatever is logged: a quieter log must not tear traces apart.
/// Of events only warnings and errors are attached to spans; the log has the rest.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    let least = if metadata.is_span() {
        Level::INFO
    } else {
        Level::WARN
    };
    *metadata.level() <= least
}

/// A transaction: traced as a part of something, and not when a loop looks whether there is work.
fn is_detail(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.name().starts_with("db.")
}

/// What becomes a span of a trace: [`is_traced`], and [`is_detail`] inside of another span.
struct Traced;

impl<S> Filter<S> for Traced
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        is_traced(metadata) || (is_detail(metadata) && context.lookup_current().is_some())
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_traced(metadata) {
            Interest::always()
        } else if is_detail(metadata) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }
}

fn parse_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|source| TelemetryError::Filter {
            filter: filter.to_owned(),
            source,
        })
}

fn tracer_provider(config: &TelemetryConfig) -> Result<SdkTracerProvider, TelemetryError> {
    if !(0.0..=1.0).contains(&config.sample_ratio) {
        return Err(TelemetryError::SampleRatio(config.sample_ratio));
    }
    let resource = Resource::builder_empty()
        .with_service_name(config.service_name.clone())
        .with_attribute(KeyValue::new("service.version", VERSION))
        .build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    let Some(endpoint) = &config.otlp_endpoint else {
        let nothing = Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
        return Ok(builder.with_sampler(nothing).build());
    };
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|source| TelemetryError::Exporter {
            endpoint: endpoint.clone(),
            source,
        })?;
    let share = Sampler::ParentBased(Box::new(Roots::new(config.sample_ratio)));
    Ok(builder
        .with_sampler(share)
        .with_max_links_per_span(LINKS)
        .with_batch_exporter(exporter)
        .build())
}

#[cfg(test)]
#[path = "init_tests.rs"]
mod tests;

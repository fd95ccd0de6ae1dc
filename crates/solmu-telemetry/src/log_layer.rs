//! Writes log lines: one object per event with the fields of its spans.
//!
//! This is a layer of its own, and not the formatter of `tracing-subscriber`, for two reasons: a formatter cannot reach
//! the OpenTelemetry context (so no trace id), and fields whose name says that they hold a secret or a person's data
//! are blotted out here, whoever logged them.

use std::{
    fmt::{self, Write as _},
    sync::OnceLock,
};

use opentelemetry::trace::TraceContextExt;
use serde_json::Value;
use tracing::{
    Dispatch, Event, Level, Subscriber,
    dispatcher::WeakDispatch,
    field::{Field, Visit},
    span,
};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::{
    Layer,
    fmt::{
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::Context,
    registry::{LookupSpan, Scope},
};

use crate::{VERSION, config::LogFormat, init::Sink};

/// Last words of field names whose value is never written.
const SECRET_WORDS: [&str; 9] = [
    "authorization",
    "body",
    "cookie",
    "email",
    "password",
    "phone",
    "secret",
    "signature",
    "token",
];
/// What is written in its place.
const REDACTED: &str = "[redacted]";

/// See the module.
pub(crate) struct LogLayer {
    format: LogFormat,
    service: String,
    colour: bool,
    sink: Sink,
    dispatch: OnceLock<WeakDispatch>,
}

/// The ids under which a line is found in a trace viewer.
#[derive(Default)]
struct TraceIds {
    trace: String,
    span: String,
}

/// Field names with values; a later value replaces an earlier one of the same name.
#[derive(Default)]
struct Fields {
    message: String,
    target: Option<String>,
    others: Vec<(&'static str, Value)>,
}

impl LogLayer {
    pub(crate) fn new(format: LogFormat, service: String, colour: bool, sink: Sink) -> Self {
        Self {
            format,
            service,
            colour,
            sink,
            dispatch: OnceLock::new(),
        }
    }

    /// The ids of the innermost span that is traced. Must be called while no span's extensions are borrowed.
    fn trace_ids<S>(&self, scope: Option<Scope<'_, S>>) -> TraceIds
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let Some(dispatch) = self.dispatch.get().and_then(WeakDispatch::upgrade) else {
            return TraceIds::default();
        };
        for span in scope.into_iter().flatten() {
            if let Some(context) = get_otel_context(&span.id(), &dispatch) {
                let context = context.span().span_context().clone();
                if context.is_valid() {
                    return TraceIds {
                        trace: context.trace_id().to_string(),
                        span: context.span_id().to_string(),
                    };
                }
            }
        }
        TraceIds::default()
    }

    fn json(
        &self,
        time: &str,
        level: Level,
        target: &str,
        fields: &Fields,
        ids: &TraceIds,
    ) -> String {
        let mut line = String::with_capacity(256);
        line.push('{');
        let texts = [
            ("ts", time),
            ("level", level_name(level)),
            ("target", target),
            ("message", fields.message.as_str()),
            ("service", self.service.as_str()),
            ("version", VERSION),
            ("trace_id", ids.trace.as_str()),
            ("span_id", ids.span.as_str()),
        ];
        for (key, text) in texts {
            if !(text.is_empty() && key.ends_with("_id")) {
                push_member(&mut line, key, &Value::from(text));
            }
        }
        for (key, value) in &fields.others {
            push_member(&mut line, key, value);
        }
        line.push_str("}\n");
        line
    }

    fn text(
        &self,
        time: &str,
        level: Level,
        target: &str,
        fields: &Fields,
        ids: &TraceIds,
    ) -> String {
        let (on, off) = if self.colour {
            (level_colour(level), "\x1b[0m")
        } else {
            ("", "")
        };
        let mut line = format!(
            "{time} {on}{:>5}{off} {target}: {}",
            level_name(level),
            one_line(&fields.message)
        );
        for (key, value) in &fields.others {
            match value {
                Value::String(text) if is_plain(text) => {
                    push(&mut line, format_args!(" {key}={text}"));
                }
                other => push(&mut line, format_args!(" {key}={other}")),
            }
        }
        if !ids.trace.is_empty() {
            push(&mut line, format_args!(" trace_id={}", ids.trace));
        }
        line.push('\n');
        line
    }
}

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        // Only the first one counts: a layer belongs to one subscriber.
        drop(self.dispatch.set(dispatch.downgrade()));
    }

    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let ids = self.trace_ids(context.event_scope(event));
        let mut fields = Fields::default();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(Scope::from_root)
        {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                for (key, value) in &of_span.others {
                    fields.put(key, value.clone());
                }
            }
        }
        event.record(&mut fields);

        let mut time = String::with_capacity(32);
        SystemTime
            .format_time(&mut Writer::new(&mut time))
            .expect("writing to a string cannot fail");
        let level = *event.metadata().level();
        let target = fields
            .target
            .as_deref()
            .unwrap_or(event.metadata().target());
        let line = match self.format {
            LogFormat::Json => self.json(&time, level, target, &fields, &ids),
            LogFormat::Text => self.text(&time, level, target, &fields, &ids),
        };
        (self.sink)(line.as_bytes());
    }
}

impl Fields {
    fn put(&mut self, key: &'static str, value: Value) {
        match self.others.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => self.others.push((key, value)),
        }
    }

    fn take(&mut self, field: &Field, value: Value) {
        let name = field.name();
        match (name, &value) {
            ("message", Value::String(text)) => self.message.clone_from(text),
            // Lines that come from crates of the `log` world.
            ("log.target", Value::String(text)) => self.target = Some(text.clone()),
            ("log.module_path" | "log.file" | "log.line", _) => {}
            _ if is_secret(name) => self.put(name, Value::from(REDACTED)),
            _ => self.put(name, value),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, Value::from(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::from(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field, Value::from(chain(value)));
    }
}

/// An error with its causes, separated by colons.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        push(&mut text, format_args!(": {error}"));
        cause = error.source();
    }
    text
}

fn push(text: &mut String, more: fmt::Arguments<'_>) {
    text.write_fmt(more)
        .expect("writing to a string cannot fail");
}

fn is_secret(name: &str) -> bool {
    let last = name.rsplit(['.', '_']).next().unwrap_or(name);
    SECRET_WORDS.contains(&last)
}

fn push_member(line: &mut String, key: &str, value: &Value) {
    if line.len() > 1 {
        line.push(',');
    }
    push(line, format_args!("{}:{value}", Value::from(key)));
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|letter| letter.is_alphanumeric() || "-_./:+@".contains(letter))
}

/// A line feed in a message must not look like a second line.
fn one_line(text: &str) -> String {
    if text.chars().any(char::is_control) {
        text.escape_debug().to_string()
    } else {
        text.to_owned()
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn level_colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG | Level::TRACE => "\x1b[2m",
    }
}

#[cfg(test)]
#[path = "log_layer_tests.rs"]
mod tests;

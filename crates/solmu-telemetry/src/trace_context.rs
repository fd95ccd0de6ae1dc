//! W3C trace context as two strings, the form in which it crosses process borders.
//!
//! Events keep it in their rows and envelopes, so it is plain data and not an OpenTelemetry type: a relay publishes an
//! event under the context that was stored with it, which may be days old. Source: W3C Trace Context, level 1.

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header and metadata key of [`TraceContext::traceparent`].
pub const TRACEPARENT: &str = "traceparent";
/// The header and metadata key of [`TraceContext::tracestate`].
pub const TRACESTATE: &str = "tracestate";
/// A field of a root span: 1 makes it exported whatever the share of traces is that are. What is linked to an exported trace
/// carries it ([`TraceContext::priority`]), or its trace would end at a link to nothing. Only our own code names fields, so
/// nobody outside can ask for it; collectors know the name, too.
pub const PRIORITY: &str = "sampling.priority";
/// The longest `tracestate` that is passed on, in bytes (the length that the standard asks everyone to support).
const TRACESTATE_MAX: usize = 512;

/// Where something stands in a trace. Both strings are empty when there is no trace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TraceContext {
    /// `00-<trace id>-<span id>-<flags>`, 55 characters, or empty.
    pub traceparent: String,
    /// Vendor data, passed on as it came, or empty.
    pub tracestate: String,
}

impl TraceContext {
    /// The context of the current span. Empty, and cheap, when there is none or it is filtered out.
    #[must_use]
    pub fn current() -> Self {
        Self::of(&Span::current())
    }

    /// The context of `span`.
    #[must_use]
    pub fn of(span: &Span) -> Self {
        if span.is_disabled() {
            return Self::default();
        }
        Self::from_span_context(span.context().span().span_context())
    }

    /// Reads the context out of headers. What is not valid trace context counts as none.
    #[must_use]
    pub fn from_headers<'a>(get: impl Fn(&'static str) -> Option<&'a str>) -> Self {
        let found = Self {
            traceparent: get(TRACEPARENT).unwrap_or_default().to_owned(),
            tracestate: get(TRACESTATE)
                .filter(|state| state.len() <= TRACESTATE_MAX)
                .unwrap_or_default()
                .to_owned(),
        };
        if found.span_context().is_some() {
            found
        } else {
            Self::default()
        }
    }

    /// The context that a row keeps as its `traceparent`: of what a timer, a report or a sweep goes back to. What is not
    /// valid counts as none.
    #[must_use]
    pub fn stored(traceparent: &str) -> Self {
        Self::from_headers(|key| (key == TRACEPARENT).then_some(traceparent))
    }

    /// Whether the trace is exported, so that a link to it leads somewhere. Cheap: it looks at the flags only.
    #[must_use]
    pub fn is_exported(&self) -> bool {
        let flags = self.traceparent.as_bytes().get(54);
        flags
            .and_then(|digit| char::from(*digit).to_digit(16))
            .is_some_and(|flags| flags & 1 == 1)
    }

    /// The value of the field [`PRIORITY`] for a root span that is linked to this trace: none if it is not exported.
    #[must_use]
    pub fn priority(&self) -> Option<i64> {
        self.is_exported().then_some(1)
    }

    /// What a row keeps for [`TraceContext::stored`]: nothing of a trace that is not exported, since no link could lead there,
    /// and rows are many.
    #[must_use]
    pub fn to_store(&self) -> &str {
        if self.is_exported() {
            &self.traceparent
        } else {
            ""
        }
    }

    /// The headers to send, none when there is no trace.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            (TRACEPARENT, self.traceparent.as_str()),
            (TRACESTATE, self.tracestate.as_str()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
    }

    /// Whether there is no trace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.traceparent.is_empty()
    }

    /// The trace id: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        self.span_context()
            .map(|context| context.trace_id().to_string())
    }

    fn from_span_context(context: &SpanContext) -> Self {
        if !context.is_valid() {
            return Self::default();
        }
        let flags = context.trace_flags() & TraceFlags::SAMPLED;
        Self {
            traceparent: format!(
                "00-{}-{}-{:02x}",
                context.trace_id(),
                context.span_id(),
                flags.to_u8()
            ),
            tracestate: context.trace_state().header(),
        }
    }

    /// Parses the two strings; `None` for what is no trace context.
    fn span_context(&self) -> Option<SpanContext> {
        let mut parts = self.traceparent.trim().split('-');
        let (version, trace_id, span_id, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Version 0 has exactly four parts; a later version may have more; 255 is forbidden.
        if version.len() != 2 || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let lower_hex = |text: &str| {
            text.bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if trace_id.len() != 32 || span_id.len() != 16 || flags.len() != 2 {
            return None;
        }
        if ![version, trace_id, span_id, flags]
            .into_iter()
            .all(lower_hex)
        {
            return None;
        }
        let context = SpanContext::new(
            TraceId::from_hex(trace_id).ok()?,
            SpanId::from_hex(span_id).ok()?,
            TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
            true,
            self.tracestate.parse::<TraceState>().unwrap_or_default(),
        );
        context.is_valid().then_some(context)
    }
}

/// The id of the trace that the current span belongs to, if that trace is exported: what others can look up.
pub(crate) fn exported_trace_id() -> Option<String> {
    let span = Span::current();
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let found = span.span_context();
    (found.is_valid() && found.is_sampled()).then(|| found.trace_id().to_string())
}

/// Makes `span` a child of `parent`, so that one trace goes on across processes.
///
/// It must come before the span is entered. A span that is filtered out, or a parent that is no trace context, is left
/// as it is.
pub fn set_parent(span: &Span, parent: &TraceContext) {
    if span.is_disabled() || parent.is_empty() {
        return;
    }
    if let Some(context) = parent.span_context() {
        // The error says that the span is filtered out or already started: both leave it without this parent.
        drop(span.set_parent(Context::new().with_remote_span_context(context)));
    }
}

/// Notes on `span` that it has to do with `other`, without making it part of that trace: for batches, redeliveries,
/// timers, and for callers whose sampling decision is not trusted.
///
/// What a timer does goes back to what set it by [`timer_span`](crate::timer_span).
pub fn add_link(span: &Span, other: &TraceContext) {
    if span.is_disabled() || other.is_empty() {
        return;
    }
    if let Some(context) = other.span_context() {
        span.add_link(context);
    }
}

/// The span of what a timer does: a trace of its own, linked with the one that set the timer, days ago, and exported if that
/// one is. One trace that went on for weeks would be one that no tool shows.
///
/// What is published goes on from this span ([`TraceContext::of`]). The name is a constant text; fields may follow.
///
/// ```
/// use solmu_telemetry::{TraceContext, timer_span};
///
/// let first = TraceContext::stored("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
/// let span = timer_span!("ticket.timer", &first, kind = "wake");
/// ```
#[macro_export]
macro_rules! timer_span {
    ($name:literal, $first:expr $(, $($fields:tt)*)?) => {{
        let first: &$crate::TraceContext = $first;
        let span = $crate::__tracing::info_span!(
            parent: None,
            $name,
            sampling.priority = first.priority(),
            $($($fields)*)?
        );
        $crate::trace_context::add_link(&span, first);
        span
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(traceparent: &str) -> TraceContext {
        TraceContext::from_headers(|key| (key == TRACEPARENT).then_some(traceparent))
    }

    fn with_telemetry<T>(run: impl FnOnce() -> T) -> T {
        let (dispatch, _guard) =
            crate::build(&crate::TelemetryConfig::default(), Box::new(|_| {}), false)
                .expect("telemetry");
        tracing::dispatcher::with_default(&dispatch, run)
    }

    #[test]
    fn reads_what_the_standard_allows() {
        assert_eq!(
            read(PARENT).trace_id().as_deref(),
            Some("0af7651916cd43dd8448eb211c80319c")
        );
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more";
        assert!(
            !read(later).is_empty(),
            "a later version may have more parts"
        );
        let headers: Vec<_> = read(PARENT)
            .headers()
            .map(|(key, value)| (key, value.to_owned()))
            .collect();
        assert_eq!(headers, [("traceparent", PARENT.to_owned())]);
    }

    #[test]
    fn refuses_what_it_forbids() {
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
        ] {
            assert!(read(bad).is_empty(), "{bad}");
        }
    }

    #[test]
    fn no_span_no_context() {
        assert!(TraceContext::current().is_empty());
        with_telemetry(|| assert!(TraceContext::current().is_empty()));
    }

    #[test]
    fn a_trace_goes_on_through_strings() {
        with_telemetry(|| {
            let first = tracing::info_span!("first");
            let sent = first.in_scope(TraceContext::current);
            assert!(!sent.is_empty(), "spans have ids without an exporter");

            let second = tracing::info_span!("second");
            set_parent(&second, &sent);
            let received = second.in_scope(TraceContext::current);
            assert_eq!(received.trace_id(), sent.trace_id());
            assert_ne!(received.traceparent, sent.traceparent);
        });
    }

    #[test]
    fn a_link_leaves_the_trace_alone() {
        with_telemetry(|| {
            let span = tracing::info_span!("linked");
            add_link(&span, &read(PARENT));
            assert_ne!(TraceContext::of(&span).trace_id(), read(PARENT).trace_id());
        });
    }

    #[test]
    fn what_is_stored_says_whether_it_leads_somewhere() {
        assert_eq!(TraceContext::stored(PARENT).priority(), Some(1));
        let quiet = TraceContext::stored(&PARENT.replace("-01", "-00"));
        assert!(!quiet.is_empty() && !quiet.is_exported());
        for none in [
            "",
            "00-01",
            "not a trace context, and longer than one is, by a few letters",
        ] {
            assert_eq!(TraceContext::stored(none).priority(), None, "{none}");
        }
    }

    #[test]
    fn a_timer_begins_a_trace_of_its_own() {
        with_telemetry(|| {
            let outer = tracing::info_span!("round");
            let first = read(PARENT);
            let timer =
                outer.in_scope(|| crate::timer_span!("timer", &first, kind = "wake", number = 1));
            let own = TraceContext::of(&timer);
            assert!(own.trace_id().is_some());
            assert_ne!(own.trace_id(), first.trace_id());
            assert_ne!(own.trace_id(), TraceContext::of(&outer).trace_id());
        });
        let none = crate::timer_span!("timer", &TraceContext::default());
        assert!(TraceContext::of(&none).is_empty());
    }

    #[test]
    fn only_what_leads_somewhere_is_kept() {
        assert_eq!(read(PARENT).to_store(), PARENT);
        assert_eq!(read(&PARENT.replace("-01", "-00")).to_store(), "");
        assert_eq!(TraceContext::default().to_store(), "");
    }

    #[test]
    fn the_callers_sampling_decision_is_kept() {
        with_telemetry(|| {
            let span = tracing::info_span!("child");
            set_parent(&span, &read(PARENT));
            assert!(TraceContext::of(&span).traceparent.ends_with("-01"));
        });
    }

    #[test]
    fn a_quiet_log_does_not_tear_the_trace() {
        let config = crate::TelemetryConfig {
            filter: "error".to_owned(),
            ..Default::default()
        };
        let (dispatch, _guard) = crate::build(&config, Box::new(|_| {}), false).expect("telemetry");
        tracing::dispatcher::with_default(&dispatch, || {
            assert!(!TraceContext::of(&tracing::info_span!("quiet")).is_empty());
        });
    }
}

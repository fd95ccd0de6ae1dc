//! Which new traces are exported: a share of them, and those that are linked to one that is.
//!
//! A batch of the bus and a timer begin traces of their own. Left to chance, one in ten of them would be there when one in
//! ten of all traces is exported, and the links of the others would lead nowhere.

use opentelemetry::{
    Context, KeyValue, Value,
    trace::{Link, SpanKind, TraceId},
};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

use crate::trace_context::PRIORITY;

/// Decides on spans without a parent.
#[derive(Debug, Clone)]
pub(crate) struct Roots {
    share: Sampler,
}

impl Roots {
    /// `ratio`: the share of new traces, 0 to 1.
    pub(crate) fn new(ratio: f64) -> Self {
        Self {
            share: Sampler::TraceIdRatioBased(ratio),
        }
    }
}

impl ShouldSample for Roots {
    fn should_sample(
        &self,
        parent_context: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        span_kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result =
            self.share
                .should_sample(parent_context, trace_id, name, span_kind, attributes, links);
        if attributes.iter().any(is_wanted) {
            result.decision = SamplingDecision::RecordAndSample;
        }
        result
    }
}

fn is_wanted(attribute: &KeyValue) -> bool {
    attribute.key.as_str() == PRIORITY && attribute.value == Value::I64(1)
}

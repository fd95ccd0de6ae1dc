//! What is counted of live chat.

use solmu_telemetry::metrics::{Counter, Gauge, Metrics, Unit};

use crate::frame::Code;

/// Handles of this crate's metrics.
#[derive(Debug, Clone)]
pub(crate) struct ChatMetrics {
    sockets: Gauge<0>,
    messages: Counter<2>,
    refusals: Counter<1>,
    unpublished: Gauge<0>,
}

/// A connection that is counted while it lives.
#[derive(Debug)]
pub(crate) struct CountedSocket(Gauge<0>);

impl Drop for CountedSocket {
    fn drop(&mut self) {
        self.0.add([], -1.0);
    }
}

impl ChatMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let count = Unit::Count;
        Self {
            sockets: metrics.gauge(
                "solmu_chat_sockets",
                "Open chat connections of this process",
                count,
                [],
            ),
            messages: metrics.counter(
                "solmu_chat_messages_total",
                "Chat messages, by direction and what became of them",
                count,
                ["direction", "outcome"],
            ),
            refusals: metrics.counter(
                "solmu_chat_refusals_total",
                "Error frames sent to visitors",
                count,
                ["code"],
            ),
            unpublished: metrics.gauge(
                "solmu_chat_unpublished",
                "Chat messages that are stored and not yet on the bus, at the last look",
                count,
                [],
            ),
        }
    }

    pub(crate) fn socket(&self) -> CountedSocket {
        self.sockets.add([], 1.0);
        CountedSocket(self.sockets.clone())
    }

    pub(crate) fn inbound(&self, outcome: Result<(), Code>) {
        self.messages
            .inc(["in", outcome.map_or_else(Code::as_str, |()| "accepted")]);
    }

    pub(crate) fn outbound(&self, outcome: &'static str) {
        self.messages.inc(["out", outcome]);
    }

    pub(crate) fn refused(&self, code: Code) {
        self.refusals.inc([code.as_str()]);
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of rows of one look")]
    pub(crate) fn unpublished(&self, rows: usize) {
        self.unpublished.set([], rows as f64);
    }
}

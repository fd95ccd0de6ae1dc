//! The way out: answers that a connector has to send, sent once and in order, and what became of them.
//!
//! The vendors' APIs are not idempotent, so the row of a message is the memory of what was done with it: it is
//! `sending` before the vendor is called and carries the vendor's id after. A row that is still `sending` after its
//! sender must have come back is `unknown`: reported as such, never blindly sent again, because a customer who gets a
//! message twice is worse served than an agent who is asked to look.
//!
//! The bus message is acknowledged when the row is stored; retries wait in the row, not on the bus, so they survive a
//! restart and may take hours. Every replica sends; `FOR UPDATE SKIP LOCKED` shares the work, and of one conversation
//! only the oldest unfinished message is taken. What shares a limit on the other side is a lane ([`Sender::lane`]):
//! each process takes no more of a lane than its limits allow, and a lane that is throttled rests alone.

mod claim;
mod consumer;
mod deliveries;
mod lanes;
mod state;
mod store;
mod worker;

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_bus::{consumer as bus_consumer, metrics::ConsumerMetrics};
use solmu_db::lease::{self, LeaseGroup};
use solmu_proto::{outbound::v1::MessageQueued, types::v1::Channel};
use solmu_runtime::Runtime;
use solmu_telemetry::{
    metrics::{Counter, Gauge, Metrics, Unit},
    vendor::VendorMetrics,
};
use tokio::sync::Notify;

use crate::{intake::Intake, names::channel_name};

pub use deliveries::Deliveries;
pub use lanes::LaneLimits;
pub use worker::is_bad_address;

/// How messages are sent and tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutboundConfig {
    /// Messages that this process sends at the same time, on each channel.
    pub concurrency: usize,
    /// Attempts before a message that cannot be sent is failed.
    pub max_attempts: u32,
    /// Wait before the second attempt, in seconds; doubled each time.
    pub first_retry_seconds: u64,
    /// Longest wait between attempts, in seconds.
    pub max_retry_seconds: u64,
    /// Longest time that one attempt may take, in seconds. After it, the outcome is unknown.
    pub send_timeout_seconds: u64,
    /// How often due retries are looked for, in milliseconds. New messages do not wait for it.
    pub poll_interval_ms: u64,
    /// How long finished messages are remembered, in days. Must be longer than the bus may repeat one.
    pub keep_days: u32,
}

impl Default for OutboundConfig {
    fn default() -> Self {
        Self {
            concurrency: 8,
            // Some twenty minutes, then hourly: about four days (RFC 5321 section 4.5.4.1 wants four to five).
            max_attempts: 105,
            first_retry_seconds: 5,
            max_retry_seconds: 3_600,
            send_timeout_seconds: 60,
            poll_interval_ms: 1_000,
            keep_days: 30,
        }
    }
}

impl OutboundConfig {
    fn send_timeout(&self) -> Duration {
        Duration::from_secs(self.send_timeout_seconds.max(1))
    }

    /// How long a row may be `sending`: well beyond the time limit of the attempt, for clocks that differ a little.
    fn claim_time(&self) -> Duration {
        self.send_timeout() * 2 + Duration::from_secs(30)
    }
}

/// What became of an attempt to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// The other side took it.
    Sent {
        /// Its id of the message.
        external_id: String,
    },
    /// It certainly did not take it, and may later.
    Retry {
        /// When it asked to be tried again; nothing for the usual backoff.
        after: Option<Duration>,
        /// Stable code.
        code: String,
        /// For people; no personal data.
        text: String,
    },
    /// It certainly did not take it, because it wants fewer messages.
    Throttled {
        /// What waits.
        rests: Rests,
        /// How long it told us to wait, if it did.
        after: Option<Duration>,
        /// Stable code.
        code: String,
        /// For people; no personal data.
        text: String,
    },
    /// It certainly did not take it, and never will.
    Failed {
        /// Stable code.
        code: String,
        /// For people; no personal data.
        text: String,
    },
    /// It may have taken it: the answer was lost.
    Unknown {
        /// Stable code.
        code: String,
        /// For people; no personal data.
        text: String,
    },
}

/// What waits after the other side asked for fewer messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rests {
    /// Everything of the lane: the limit is of a domain, a number or an account.
    Lane,
    /// This conversation alone: others may be well within their limits.
    Conversation,
}

impl SendOutcome {
    /// Certainly not taken, and never will be.
    pub fn failed(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Failed {
            code: code.into(),
            text: text.into(),
        }
    }

    /// Certainly not taken; try again after the usual wait.
    pub fn retry(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Retry {
            after: None,
            code: code.into(),
            text: text.into(),
        }
    }

    /// Perhaps taken.
    pub fn unknown(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Unknown {
            code: code.into(),
            text: text.into(),
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "sent",
            Self::Retry { .. } => "retry",
            Self::Throttled { .. } => "throttled",
            Self::Failed { .. } => "failed",
            Self::Unknown { .. } => "unknown",
        }
    }
}

/// Sends messages of one channel.
pub trait Sender: Send + Sync + 'static {
    /// Sends one message. It is called at most once at a time for one conversation, and is cut off after the
    /// configured time, which counts as unknown.
    fn send(&self, message: &MessageQueued) -> impl Future<Output = SendOutcome> + Send;

    /// The account that sends messages which name none: answers to forms, which go out by e-mail.
    fn default_account(&self) -> String {
        String::new()
    }

    /// What the message shares limits with, e.g. the domain of its recipient or the number that it is sent from. Stored with
    /// the message.
    fn lane(&self, _message: &MessageQueued) -> String {
        String::new()
    }

    /// The limits of a lane. Asked each time, so that a changed configuration counts for stored messages too.
    fn lane_limits(&self, _lane: &str) -> LaneLimits {
        LaneLimits::default()
    }
}

/// Metrics of the way out.
#[derive(Debug, Clone)]
pub(crate) struct OutboundMetrics {
    pub(crate) attempts: Counter<2>,
    pub(crate) resting: Gauge<1>,
    pub(crate) vendors: VendorMetrics,
}

impl OutboundMetrics {
    fn new(metrics: &Metrics) -> Self {
        Self {
            attempts: metrics.counter(
                "solmu_outbound_attempts_total",
                "attempts to send a message to a customer, by what became of them",
                Unit::Count,
                ["channel", "outcome"],
            ),
            resting: metrics.gauge(
                "solmu_outbound_resting_lanes",
                "recipient domains and numbers of ours for which fewer messages were asked for, so that none are sent now",
                Unit::Count,
                ["channel"],
            ),
            vendors: VendorMetrics::new(metrics),
        }
    }
}

/// Sends the messages of `channel` through `sender` until the runtime drains.
pub fn start(
    runtime: &Runtime,
    intake: &Intake,
    channel: Channel,
    config: OutboundConfig,
    sender: impl Sender,
) {
    let (wake, sender) = (Arc::new(Notify::new()), Arc::new(sender));
    let group = LeaseGroup::new(
        format!("outbound.{}", channel_name(channel)),
        1,
        runtime.instance.as_str(),
    );
    let held = lease::keep(
        &runtime.db,
        group,
        &runtime.background,
        runtime.shutdown.stop.clone(),
    );
    let handler = consumer::Enqueue::new(
        runtime.db.clone(),
        runtime.clock.clone(),
        channel,
        Arc::clone(&sender),
        Arc::clone(&wake),
    );
    let consuming = bus_consumer::run(
        runtime.bus.clone(),
        consumer::spec(&runtime.bus, channel),
        Arc::new(handler),
        held,
        runtime.clock.clone(),
        ConsumerMetrics::new(&runtime.metrics),
        runtime.shutdown.drain.clone(),
    );
    runtime.spawn("outbound-consumer", consuming);
    let worker = worker::Worker {
        db: runtime.db.clone(),
        clock: runtime.clock.clone(),
        rng: runtime.rng.clone(),
        tasks: runtime.tasks.clone(),
        intake: intake.clone(),
        channel,
        config,
        sender,
        wake,
        metrics: OutboundMetrics::new(&runtime.metrics),
    };
    runtime.spawn(
        "outbound-worker",
        Arc::new(worker).run(runtime.shutdown.drain.clone()),
    );
}

#[cfg(test)]
mod tests;

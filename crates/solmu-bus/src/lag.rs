//! What waits on the bus, as the server says: also for consumers that nobody runs.
//!
//! A consumer can only tell of what it has pulled, so its own figures are silent when it is dead, and that is when they
//! are wanted. Here the server is asked instead: how much waits for each durable, and how old the oldest of it is. The
//! time is that of the message, not of a change in some number: one poison message behind an idle flow shows as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_nats::jetstream::{consumer, stream::Stream};
use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use solmu_domain::clock::SharedClock;
use solmu_telemetry::{
    Metrics,
    metrics::{Counter, Gauge, Unit, intern},
};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{Bus, BusError},
    family::Family,
    partitions::{self, Unfiled},
    streams::STREAMS,
};

/// How often the server is asked.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// How old figures may be that are still shown, when the server does not answer: longer than a hiccup, shorter than the wait of any
/// alert. Older ones would tell of a calm that nobody knows of.
const KEEP: SignedDuration = SignedDuration::from_secs(30);

/// Consumers that get a series of their own at most; the bus may have many readers. What comes after is not shown.
const MAX_CONSUMERS: usize = 100;

/// One stream and its consumers, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// By the name in [`STREAMS`].
    pub streams: BTreeMap<&'static str, StreamLag>,
    /// Durables without their shard: `tickets-inbound` for `tickets-inbound-3`.
    pub consumers: BTreeMap<String, ConsumerLag>,
    /// Partitions of INBOUND that have a consumer which files them.
    pub filing: BTreeSet<u16>,
    /// Messages in partitions that have none. They also count as waiting for those that file.
    pub unfiled: u64,
}

/// How full a stream is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamLag {
    /// Messages that it holds.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes at most; what is published then is refused.
    pub limit: u64,
}

/// What waits for a consumer, over all its shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsumerLag {
    /// Bus messages that wait or are in hand.
    pub pending: u64,
    /// Those of them that were delivered and are not acknowledged.
    pub unacknowledged: u64,
    /// When the oldest of them was published.
    pub oldest: Option<Timestamp>,
}

impl ConsumerLag {
    fn add(&mut self, other: Self) {
        self.pending += other.pending;
        self.unacknowledged += other.unacknowledged;
        self.oldest = match (self.oldest, other.oldest) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
    }
}

impl Survey {
    /// What no consumer takes waits for those that file.
    fn add_unfiled(&mut self, unfiled: &[Unfiled]) {
        for it in unfiled {
            self.unfiled += it.messages;
            let lag = ConsumerLag {
                pending: it.messages,
                unacknowledged: 0,
                oldest: it.first.and_then(|(_, published)| published),
            };
            let filing = self
                .consumers
                .entry(partitions::FILING.to_owned())
                .or_default();
            filing.add(lag);
        }
    }
}

impl Bus {
    /// Asks the server what every stream holds, and what waits for every durable consumer.
    pub async fn survey(&self) -> Result<Survey, BusError> {
        let mut survey = Survey::default();
        for spec in &STREAMS {
            let name = self.stream_name(spec.name);
            let stream = self
                .jetstream()
                .get_stream(&name)
                .await
                .map_err(BusError::apply(&name))?;
            let info = stream.cached_info();
            survey.streams.insert(
                spec.name,
                StreamLag {
                    messages: info.state.messages,
                    bytes: info.state.bytes,
                    limit: u64::try_from(info.config.max_bytes).unwrap_or(0),
                },
            );
            let consumers: Vec<_> = stream
                .consumers()
                .try_collect()
                .await
                .map_err(BusError::apply(&name))?;
            if spec.families.contains(&Family::Inbound) {
                let unfiled = partitions::unfiled(self, &stream, &consumers).await?;
                survey.add_unfiled(&unfiled);
                let durables = consumers
                    .iter()
                    .filter_map(|info| info.config.durable_name.as_deref());
                survey.filing = partitions::shards(durables);
            }
            for info in consumers {
                let Some(durable) = info.config.durable_name.clone() else {
                    continue;
                };
                let group = group_of(&durable).to_owned();
                if survey.consumers.len() < MAX_CONSUMERS || survey.consumers.contains_key(&group) {
                    let lag = lag_of(&stream, &info).await;
                    survey.consumers.entry(group).or_default().add(lag);
                }
            }
        }
        Ok(survey)
    }
}

/// A durable without the number of its shard.
fn group_of(durable: &str) -> &str {
    match durable.rsplit_once('-') {
        Some((group, shard))
            if !shard.is_empty() && shard.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            group
        }
        _ => durable,
    }
}

async fn lag_of(stream: &Stream, info: &consumer::Info) -> ConsumerLag {
    let unacknowledged = info.num_ack_pending as u64;
    let pending = info.num_pending + unacknowledged;
    let mut lag = ConsumerLag {
        pending,
        unacknowledged,
        oldest: None,
    };
    if pending == 0 {
        return lag;
    }
    let config = &info.config;
    let mut filters: Vec<&str> = config.filter_subjects.iter().map(String::as_str).collect();
    if filters.is_empty() {
        filters.push(match config.filter_subject.as_str() {
            "" => ">",
            filter => filter,
        });
    }
    let from = info.ack_floor.stream_sequence + 1;
    for filter in filters {
        // None of this subject, or it went a moment ago: the others tell.
        let Ok(message) = stream.get_first_raw_message_by_subject(filter, from).await else {
            continue;
        };
        let published = Timestamp::from_nanosecond(message.time.unix_timestamp_nanos()).ok();
        lag.oldest = match (lag.oldest, published) {
            (Some(known), Some(published)) => Some(known.min(published)),
            (known, published) => known.or(published),
        };
    }
    lag
}

/// The figures of a survey as metrics.
#[derive(Debug)]
struct LagMetrics {
    pending: Gauge<1>,
    unacknowledged: Gauge<1>,
    oldest_age: Gauge<1>,
    messages: Gauge<1>,
    bytes: Gauge<1>,
    limit: Gauge<1>,
    surveys: Counter<1>,
    /// Streams and consumers that were shown last.
    streams: Vec<&'static str>,
    shown: Vec<&'static str>,
    /// When that was.
    asked: Option<Timestamp>,
}

impl LagMetrics {
    fn register(metrics: &Metrics) -> Self {
        let gauge = |name, help, unit, label| metrics.gauge(name, help, unit, [label]);
        Self {
            pending: gauge(
                "solmu_bus_pending_messages",
                "bus messages that wait for a consumer or are in its hands, as the server says",
                Unit::Count,
                "consumer",
            ),
            unacknowledged: gauge(
                "solmu_bus_unacknowledged_messages",
                "bus messages in the hands of a consumer, as the server says",
                Unit::Count,
                "consumer",
            ),
            oldest_age: gauge(
                "solmu_bus_oldest_age_seconds",
                "age of the oldest bus message that a consumer has not done, as the server says; 0 if there is none",
                Unit::Seconds,
                "consumer",
            ),
            messages: gauge(
                "solmu_bus_stream_messages",
                "bus messages in a stream",
                Unit::Count,
                "stream",
            ),
            bytes: gauge(
                "solmu_bus_stream_bytes",
                "size of a stream",
                Unit::Bytes,
                "stream",
            ),
            limit: gauge(
                "solmu_bus_stream_limit_bytes",
                "size at which a stream takes nothing more",
                Unit::Bytes,
                "stream",
            ),
            surveys: metrics.counter(
                "solmu_bus_surveys_total",
                "how often the server was asked what waits",
                Unit::Count,
                ["outcome"],
            ),
            streams: Vec::new(),
            shown: Vec::new(),
            asked: None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges of counts and bytes")]
    fn show(&mut self, survey: &Survey, now: Timestamp) {
        self.surveys.inc(["ok"]);
        self.asked = Some(now);
        self.streams = survey.streams.keys().copied().collect();
        for (name, stream) in &survey.streams {
            self.messages.set([name], stream.messages as f64);
            self.bytes.set([name], stream.bytes as f64);
            self.limit.set([name], stream.limit as f64);
        }
        for gone in std::mem::take(&mut self.shown) {
            if !survey.consumers.contains_key(gone) {
                self.pending.remove([gone]);
                self.unacknowledged.remove([gone]);
                self.oldest_age.remove([gone]);
            }
        }
        for (name, lag) in &survey.consumers {
            let name = intern(name);
            self.shown.push(name);
            self.pending.set([name], lag.pending as f64);
            self.unacknowledged.set([name], lag.unacknowledged as f64);
            let age = lag.oldest.map_or(0.0, |oldest| {
                now.duration_since(oldest).as_secs_f64().max(0.0)
            });
            self.oldest_age.set([name], age);
        }
    }

    /// The server did not answer: what it said a while ago is not told as if it were so now.
    fn fail(&mut self, now: Timestamp) {
        self.surveys.inc(["failed"]);
        if self
            .asked
            .is_none_or(|asked| now.duration_since(asked) <= KEEP)
        {
            return;
        }
        for name in std::mem::take(&mut self.streams) {
            self.messages.remove([name]);
            self.bytes.remove([name]);
            self.limit.remove([name]);
        }
        for name in std::mem::take(&mut self.shown) {
            self.pending.remove([name]);
            self.unacknowledged.remove([name]);
            self.oldest_age.remove([name]);
        }
        self.asked = None;
    }
}

/// Keeps the metrics of a process up to date until `stop`. One role of a deployment is enough; more tell the same.
pub async fn watch(bus: Bus, clock: SharedClock, metrics: Metrics, stop: CancellationToken) {
    let mut shown = LagMetrics::register(&metrics);
    loop {
        match bus.survey().await {
            Ok(survey) => shown.show(&survey, clock.now()),
            Err(error) => {
                // Readiness tells when the bus is away; here figures are late, and then gone.
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "cannot ask what waits on the bus"
                );
                shown.fail(clock.now());
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_of_a_durable_are_one_consumer() {
        assert_eq!(group_of("tickets-inbound-3"), "tickets-inbound");
        assert_eq!(group_of("tickets-decisions"), "tickets-decisions");
        assert_eq!(group_of("outbound_email"), "outbound_email");
        assert_eq!(group_of("odd-"), "odd-");
    }

    #[test]
    fn the_oldest_of_all_shards_counts() {
        let at = |second| Timestamp::from_second(second).ok();
        let lag = |pending, oldest| ConsumerLag {
            pending,
            unacknowledged: 0,
            oldest,
        };
        let mut all = lag(2, at(100));
        all.add(lag(0, None));
        all.add(lag(3, at(40)));
        assert_eq!(all, lag(5, at(40)));
    }

    #[test]
    fn a_consumer_that_is_gone_is_not_shown() {
        let metrics = Metrics::new();
        let mut shown = LagMetrics::register(&metrics);
        let now = Timestamp::from_second(100).unwrap();
        let mut survey = Survey::default();
        let lag = ConsumerLag {
            pending: 4,
            unacknowledged: 1,
            oldest: Timestamp::from_second(70).ok(),
        };
        survey.consumers.insert("reports".to_owned(), lag);
        shown.show(&survey, now);
        let text = metrics.encode();
        assert!(
            text.contains("solmu_bus_oldest_age_seconds{consumer=\"reports\"} 30"),
            "{text}"
        );
        shown.show(&Survey::default(), now);
        let text = metrics.encode();
        assert!(!text.contains("reports"), "{text}");
    }

    #[test]
    fn figures_that_nobody_renews_are_not_told_for_long() {
        let metrics = Metrics::new();
        let mut shown = LagMetrics::register(&metrics);
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut survey = Survey::default();
        survey.streams.insert("INBOUND", StreamLag::default());
        survey
            .consumers
            .insert("reports".to_owned(), ConsumerLag::default());
        shown.show(&survey, at(100));
        let told = || {
            let text = metrics.encode();
            ["INBOUND", "reports"].map(|name| text.contains(name))
        };
        shown.fail(at(130));
        assert_eq!(told(), [true, true], "a hiccup");
        shown.fail(at(131));
        assert_eq!(told(), [false, false]);
        shown.fail(at(140));
        let text = metrics.encode();
        assert!(
            text.contains("solmu_bus_surveys_total{outcome=\"failed\"} 3"),
            "{text}"
        );
        shown.show(&survey, at(200));
        assert_eq!(told(), [true, true]);
    }
}

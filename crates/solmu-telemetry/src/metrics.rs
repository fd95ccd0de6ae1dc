//! Metrics: typed handles into one registry per process.
//!
//! The registry is passed on explicitly and asked by name: registering the same metric twice gives the same handle, so
//! each crate can build its own struct of metrics wherever it starts. Names are written as they are scraped
//! (`solmu_outbox_oldest_age_seconds`, `solmu_dead_letters_total`), so that a search finds the code behind an alert.
//! Label values are `&'static str`: enums have a method that gives one, ids and addresses cannot become labels by
//! accident. For bounded sets that are known only at run time (routes, consumer names) there is [`intern`].

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use prometheus_client::{
    collector::Collector,
    encoding::text::encode,
    metrics::{
        counter::Counter as RawCounter, exemplar::HistogramWithExemplars, family::Family,
        gauge::Gauge as RawGauge,
    },
    registry::{Metric, Registry},
};

mod names;

use crate::{process::ProcessCollector, trace_context};

use names::base_name;
pub use names::intern;

/// Bounds for calls that a person or a service waits for, in seconds.
pub const CALL_SECONDS: &[f64] = &[
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Bounds for the way of a message through the pipeline, in seconds.
pub const PIPELINE_SECONDS: &[f64] = &[
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];
/// Bounds for how many things one batch holds.
pub const BATCH_SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things; the name has no unit.
    Count,
    /// Seconds; the name ends in `_seconds` (before `_total`).
    Seconds,
    /// Bytes; the name ends in `_bytes` (before `_total`).
    Bytes,
    /// A share of 1; the name ends in `_ratio`.
    Ratio,
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size.
    Histogram,
}

/// One line of the catalogue of metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricInfo {
    /// The name as it is scraped.
    pub name: &'static str,
    /// What it tells, one sentence without full stop.
    pub help: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// Its kind.
    pub kind: Kind,
    /// Its labels.
    pub labels: Vec<&'static str>,
}

/// Label values in the order in which the labels were declared.
pub type Values<const N: usize> = [&'static str; N];
type Labels<const N: usize> = [(&'static str, &'static str); N];
type FloatGauge = RawGauge<f64, AtomicU64>;
/// The trace of an observation, as an exemplar names it.
type Exemplar = [(&'static str, String); 1];
type RawHistogram = HistogramWithExemplars<Exemplar>;

/// Counters, one per combination of label values.
#[derive(Debug, Clone)]
pub struct Counter<const N: usize = 0> {
    keys: [&'static str; N],
    family: Family<Labels<N>, RawCounter>,
}

/// Gauges, one per combination of label values.
#[derive(Debug, Clone)]
pub struct Gauge<const N: usize = 0> {
    keys: [&'static str; N],
    family: Family<Labels<N>, FloatGauge>,
}

/// Histograms, one per combination of label values.
///
/// Each bucket names the last traced call that fell into it (an exemplar), so that a slow one can be looked at: if the observation
/// is made inside of a span that is exported.
#[derive(Debug, Clone)]
pub struct Histogram<const N: usize = 0> {
    keys: [&'static str; N],
    family: Family<Labels<N>, RawHistogram, Bounds>,
}

/// Makes histograms with given bounds.
#[derive(Debug, Clone, Copy)]
pub struct Bounds(&'static [f64]);

impl prometheus_client::metrics::family::MetricConstructor<RawHistogram> for Bounds {
    fn new_metric(&self) -> RawHistogram {
        RawHistogram::new(self.0.iter().copied())
    }
}

fn labels<const N: usize>(keys: [&'static str; N], values: Values<N>) -> Labels<N> {
    std::array::from_fn(|index| (keys[index], values[index]))
}

impl<const N: usize> Counter<N> {
    /// Counts one.
    pub fn inc(&self, values: Values<N>) {
        self.add(values, 1);
    }

    /// Counts `by`.
    pub fn add(&self, values: Values<N>, by: u64) {
        self.family
            .get_or_create(&labels(self.keys, values))
            .inc_by(by);
    }

    /// What has been counted so far.
    #[must_use]
    pub fn get(&self, values: Values<N>) -> u64 {
        self.family.get_or_create(&labels(self.keys, values)).get()
    }
}

impl<const N: usize> Gauge<N> {
    /// Sets the value.
    pub fn set(&self, values: Values<N>, to: f64) {
        self.family
            .get_or_create(&labels(self.keys, values))
            .set(to);
    }

    /// Adds to the value (or takes away).
    pub fn add(&self, values: Values<N>, by: f64) {
        self.family
            .get_or_create(&labels(self.keys, values))
            .inc_by(by);
    }

    /// The present value.
    #[must_use]
    pub fn get(&self, values: Values<N>) -> f64 {
        self.family.get_or_create(&labels(self.keys, values)).get()
    }

    /// Takes a series away, for what is gone.
    pub fn remove(&self, values: Values<N>) {
        self.family.remove(&labels(self.keys, values));
    }
}

impl<const N: usize> Histogram<N> {
    /// Tells the series from now on, with nothing counted yet. `rate` and `increase` do not see the first value of a series
    /// that was not there before: objectives need those that are known to be there from the start.
    pub fn declare(&self, values: Values<N>) {
        drop(self.family.get_or_create(&labels(self.keys, values)));
    }

    /// Counts a value, with the trace of the current span.
    pub fn observe(&self, values: Values<N>, value: f64) {
        let exemplar = trace_context::exported_trace_id().map(|trace_id| [("trace_id", trace_id)]);
        self.family
            .get_or_create(&labels(self.keys, values))
            .observe(value, exemplar, None);
    }
}

struct Entry {
    info: MetricInfo,
    handle: Box<dyn Any + Send>,
}

struct Inner {
    registry: Registry,
    entries: BTreeMap<&'static str, Entry>,
    collectors: BTreeSet<&'static str>,
}

/// The registry of a process.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Inner>>);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics")
            .field("metrics", &self.lock().entries.len())
            .finish()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            registry: Registry::default(),
            entries: BTreeMap::new(),
            collectors: BTreeSet::new(),
        })))
    }

    /// A registry that also tells about the process: build, memory, processor time, files, tokio.
    #[must_use]
    pub fn for_process() -> Self {
        let metrics = Self::new();
        metrics.collector("process", Box::new(ProcessCollector::new()));
        metrics
            .gauge(
                "solmu_build_info",
                "The version that runs, as a label",
                Unit::Count,
                ["version"],
            )
            .set([crate::VERSION], 1.0);
        metrics
    }

    /// A counter. Its name ends in `_total`.
    ///
    /// # Panics
    /// When the name does not fit unit and kind, or is taken by another metric: mistakes of the code that calls.
    #[must_use]
    pub fn counter<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        unit: Unit,
        keys: [&'static str; N],
    ) -> Counter<N> {
        let made = self.register(
            MetricInfo {
                name,
                help,
                unit,
                kind: Kind::Counter,
                labels: keys.to_vec(),
            },
            || {
                let counter = Counter {
                    keys,
                    family: Family::default(),
                };
                (counter.clone(), counter.family)
            },
        );
        if N == 0 {
            drop(made.family.get_or_create(&labels(keys, [""; N])));
        }
        made
    }

    /// A gauge.
    ///
    /// # Panics
    /// As [`Metrics::counter`].
    #[must_use]
    pub fn gauge<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        unit: Unit,
        keys: [&'static str; N],
    ) -> Gauge<N> {
        let made = self.register(
            MetricInfo {
                name,
                help,
                unit,
                kind: Kind::Gauge,
                labels: keys.to_vec(),
            },
            || {
                let gauge = Gauge {
                    keys,
                    family: Family::default(),
                };
                (gauge.clone(), gauge.family)
            },
        );
        if N == 0 {
            drop(made.family.get_or_create(&labels(keys, [""; N])));
        }
        made
    }

    /// A histogram with the given upper bounds (`+Inf` is added).
    ///
    /// # Panics
    /// As [`Metrics::counter`].
    #[must_use]
    pub fn histogram<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        unit: Unit,
        keys: [&'static str; N],
        bounds: &'static [f64],
    ) -> Histogram<N> {
        let made = self.register(
            MetricInfo {
                name,
                help,
                unit,
                kind: Kind::Histogram,
                labels: keys.to_vec(),
            },
            || {
                let histogram = Histogram {
                    keys,
                    family: Family::new_with_constructor(Bounds(bounds)),
                };
                (histogram.clone(), histogram.family)
            },
        );
        if N == 0 {
            drop(made.family.get_or_create(&labels(keys, [""; N])));
        }
        made
    }

    /// A source of values that are read at each scrape. A second one of the same name is not added.
    pub fn collector(&self, name: &'static str, collector: Box<dyn Collector>) {
        let mut inner = self.lock();
        if inner.collectors.insert(name) {
            inner.registry.register_collector(collector);
        }
    }

    /// All metrics as OpenMetrics text (`application/openmetrics-text; version=1.0.0`).
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.lock().registry) {
            // Only a collector that gives up can cause this; the scraper sees a text without its end mark.
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }

    /// Every metric that was registered, by name.
    #[must_use]
    pub fn catalogue(&self) -> Vec<MetricInfo> {
        self.lock()
            .entries
            .values()
            .map(|entry| entry.info.clone())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register<H, M>(&self, info: MetricInfo, make: impl FnOnce() -> (H, M)) -> H
    where
        H: Clone + Send + 'static,
        M: Metric,
    {
        let (base, unit) = base_name(&info);
        let mut inner = self.lock();
        if let Some(entry) = inner.entries.get(info.name) {
            assert_eq!(
                entry.info, info,
                "metric '{}' is registered twice with different meanings",
                info.name
            );
            let handle = entry.handle.downcast_ref::<H>();
            return handle
                .expect("the same description has the same type")
                .clone();
        }
        let (handle, metric) = make();
        match unit {
            Some(unit) => inner
                .registry
                .register_with_unit(base, info.help, unit, metric),
            None => inner.registry.register(base, info.help, metric),
        }
        inner.entries.insert(
            info.name,
            Entry {
                info,
                handle: Box::new(handle.clone()),
            },
        );
        handle
    }
}

#[cfg(test)]
#[path = "metrics/tests.rs"]
mod tests;

//! What the process itself uses: memory, processor time, open files, and how busy tokio is.
//!
//! Read from /proc at each scrape; on systems without it only the tokio values are given.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct ProcessCollector {
    /// Only there when the collector was made inside a runtime.
    tokio: Option<tokio::runtime::Handle>,
}

impl ProcessCollector {
    pub(crate) fn new() -> Self {
        Self {
            tokio: tokio::runtime::Handle::try_current().ok(),
        }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some(bytes) = resident_bytes() {
            let help = "Memory that is resident.";
            gauge(
                &mut encoder,
                "process_resident_memory",
                help,
                Some(&Unit::Bytes),
                bytes,
            )?;
        }
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            let help = "Processor time used in user and system mode.";
            let metric = encoder.encode_descriptor(
                "process_cpu",
                help,
                Some(&Unit::Seconds),
                MetricType::Counter,
            )?;
            counter.encode(metric)?;
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            gauge(
                &mut encoder,
                "process_open_fds",
                "Open file descriptors.",
                None,
                files.count() as u64,
            )?;
        }
        if let Some(tokio) = &self.tokio {
            let metrics = tokio.metrics();
            let (tasks, queued) = (
                metrics.num_alive_tasks() as u64,
                metrics.global_queue_depth() as u64,
            );
            gauge(
                &mut encoder,
                "tokio_tasks_alive",
                "Tasks that have not ended.",
                None,
                tasks,
            )?;
            gauge(
                &mut encoder,
                "tokio_queue_depth",
                "Tasks that wait in the shared queue.",
                None,
                queued,
            )?;
            let workers = metrics.num_workers();
            gauge(
                &mut encoder,
                "tokio_workers",
                "Threads that run tasks.",
                None,
                workers as u64,
            )?;
            let busy: f64 = (0..workers)
                .map(|worker| metrics.worker_total_busy_duration(worker).as_secs_f64())
                .sum();
            let metric = encoder.encode_descriptor(
                "tokio_busy",
                "Time that the threads have spent running tasks.",
                Some(&Unit::Seconds),
                MetricType::Counter,
            )?;
            ConstCounter::new(busy).encode(metric)?;
        }
        Ok(())
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(value);
    let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    gauge.encode(metric)
}

/// `VmRSS` of proc(5), given there in kB.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024)
}

/// Fields 14 and 15 (`utime`, `stime`) of `/proc/self/stat`, in ticks; Linux gives user space 100 ticks a second.
fn cpu_seconds() -> Option<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may hold spaces and brackets, so counting begins after the last bracket.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

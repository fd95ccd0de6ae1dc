//! Every stream with its limits. `solmu streams apply` makes the bus look like this file; nothing else defines one.

use std::time::Duration;

use async_nats::jetstream::{
    self, ErrorCode,
    context::{CreateStreamError, CreateStreamErrorKind},
    stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
};
use futures::TryStreamExt as _;
use solmu_proto::types::v1::Channel;

use crate::{
    bus::{Bus, BusError},
    family::Family,
    partitions::FILING,
};

/// A stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSpec {
    /// Last part of the name; the namespace stands before it.
    pub name: &'static str,
    /// Families whose subjects it keeps.
    pub families: &'static [Family],
    /// How long a message is kept; `None` means until it is acknowledged (or removed by the reaper).
    pub max_age: Option<Duration>,
    /// Whether a message goes once its consumer has acknowledged it.
    pub work_queue: bool,
    /// What it is for.
    pub description: &'static str,
}

/// The streams of Solmu.
pub const STREAMS: [StreamSpec; 5] = [
    StreamSpec {
        name: "INBOUND",
        families: &[Family::Inbound],
        // No age: an unfiled message must outlive any outage. Filed ones go 72 h after filing (see `reap`).
        max_age: None,
        work_queue: false,
        description: "messages and delivery reports that connectors received; kept 72 h after filing",
    },
    StreamSpec {
        name: "TICKETS",
        families: &[Family::Tickets],
        max_age: Some(Duration::from_hours(14 * 24)),
        work_queue: false,
        description: "what happened to tickets: ids and states, no bodies",
    },
    StreamSpec {
        name: "DECISIONS",
        families: &[Family::Routing, Family::Sla, Family::Roster],
        max_age: Some(Duration::from_hours(14 * 24)),
        work_queue: false,
        description: "who and when: decisions of the router and the SLA service",
    },
    StreamSpec {
        name: "OUTBOUND",
        families: &[
            Family::Outbound(Channel::Email),
            Family::Outbound(Channel::Chat),
            Family::Outbound(Channel::Form),
            Family::Outbound(Channel::Whatsapp),
            Family::Outbound(Channel::Telegram),
        ],
        max_age: None,
        work_queue: true,
        description: "answers that connectors have to send; each goes when it was sent",
    },
    StreamSpec {
        name: "DEAD",
        families: &[Family::Dead],
        max_age: Some(Duration::from_hours(30 * 24)),
        work_queue: false,
        description: "events that a consumer could not do, with their cause; replayable",
    },
];

/// The stream that keeps a family.
#[must_use]
pub fn stream_of(family: Family) -> &'static StreamSpec {
    STREAMS
        .iter()
        .find(|spec| spec.families.contains(&family))
        .unwrap_or(&STREAMS[3])
}

/// Makes every stream as defined here; says what it did, a line each.
pub async fn apply(bus: &Bus, replicas: usize) -> Result<Vec<String>, BusError> {
    let mut report = Vec::new();
    for spec in &STREAMS {
        let config = config_of(bus, spec, replicas);
        let name = config.name.clone();
        let existing = bus.jetstream().get_stream(&name).await;
        match existing {
            Ok(stream) if same_limits(&stream.cached_info().config, &config) => {
                report.push(format!("{name}: unchanged"));
            }
            Ok(_) => {
                let updated = bus.jetstream().update_stream(&config).await;
                updated.map_err(|error| refused(&config, error))?;
                report.push(format!("{name}: updated"));
            }
            Err(_) => {
                let created = bus.jetstream().create_stream(config.clone()).await;
                created.map_err(|error| refused(&config, error))?;
                report.push(format!("{name}: created"));
            }
        }
    }
    Ok(report)
}

/// Why a stream was not made, with what to do where somebody can do something: the servers only say "insufficient storage
/// resources".
fn refused(config: &Config, error: CreateStreamError) -> BusError {
    let CreateStreamErrorKind::JetStream(answer) = error.kind() else {
        return BusError::apply(&config.name)(error);
    };
    let (name, source) = (config.name.clone(), Box::new(error));
    match answer.error_code() {
        ErrorCode::STORAGE_RESOURCES_EXCEEDED | ErrorCode::INSUFFICIENT_RESOURCES => {
            BusError::NoRoom {
                name,
                bytes: config.max_bytes,
                source,
            }
        }
        // A cluster in which no server has room says it with the code of one that has too few.
        ErrorCode::CLUSTER_NO_PEERS if answer.to_string().contains("insufficient storage") => {
            BusError::NoRoom {
                name,
                bytes: config.max_bytes,
                source,
            }
        }
        ErrorCode::CLUSTER_NO_PEERS | ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED => {
            BusError::TooFewServers {
                name,
                replicas: config.num_replicas,
                source,
            }
        }
        _ => BusError::JetStream { name, source },
    }
}

/// What [`apply`] would do, a text for each stream; nothing when all are as defined here.
pub async fn differences(bus: &Bus, replicas: usize) -> Vec<String> {
    let mut found = Vec::new();
    for spec in &STREAMS {
        let config = config_of(bus, spec, replicas);
        match bus.jetstream().get_stream(&config.name).await {
            Ok(stream) if same_limits(&stream.cached_info().config, &config) => {}
            Ok(_) => found.push(format!("{} has other limits", config.name)),
            Err(_) => found.push(format!("{} is missing", config.name)),
        }
    }
    found
}

/// Whether every stream is there: what readiness asks.
pub async fn all_present(bus: &Bus) -> bool {
    for spec in &STREAMS {
        if bus
            .jetstream()
            .get_stream(bus.stream_name(spec.name))
            .await
            .is_err()
        {
            return false;
        }
    }
    true
}

fn config_of(bus: &Bus, spec: &StreamSpec, replicas: usize) -> Config {
    Config {
        name: bus.stream_name(spec.name),
        subjects: spec
            .families
            .iter()
            .map(|family| bus.subject_filter(*family))
            .collect(),
        retention: if spec.work_queue {
            RetentionPolicy::WorkQueue
        } else {
            RetentionPolicy::Limits
        },
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: replicas,
        max_age: spec.max_age.unwrap_or_default(),
        max_bytes: bus.config().max_stream_bytes,
        duplicate_window: Duration::from_mins(2),
        description: Some(spec.description.to_owned()),
        ..Config::default()
    }
}

fn same_limits(have: &Config, want: &Config) -> bool {
    have.subjects == want.subjects
        && have.retention == want.retention
        && have.discard == want.discard
        && have.num_replicas == want.num_replicas
        && have.max_age == want.max_age
        && have.max_bytes == want.max_bytes
        && have.duplicate_window == want.duplicate_window
        && have.description == want.description
}

/// Forgets how far INBOUND has been filed: new consumers read the whole stream, and who files it drops what it knows. For a
/// database that was restored to an earlier time. Names what was forgotten.
pub async fn rewind_inbound(bus: &Bus) -> Result<Vec<String>, BusError> {
    let name = bus.stream_name("INBOUND");
    let stream = bus
        .jetstream()
        .get_stream(&name)
        .await
        .map_err(BusError::apply(&name))?;
    let all: Vec<String> = stream
        .consumer_names()
        .try_collect()
        .await
        .map_err(BusError::apply(&name))?;
    let mut forgotten: Vec<String> = all
        .into_iter()
        .filter(|durable| durable.starts_with(FILING) && durable.len() > FILING.len())
        .collect();
    forgotten.sort();
    for durable in &forgotten {
        stream
            .delete_consumer(durable)
            .await
            .map_err(BusError::apply(durable))?;
    }
    Ok(forgotten)
}

/// What JetStream says of a consumer, for lag figures.
pub async fn consumer_info(
    bus: &Bus,
    stream: &str,
    durable: &str,
) -> Result<jetstream::consumer::Info, BusError> {
    let stream_name = bus.stream_name(stream);
    let stream = bus
        .jetstream()
        .get_stream(&stream_name)
        .await
        .map_err(BusError::apply(&stream_name))?;
    stream
        .consumer_info(durable)
        .await
        .map_err(BusError::apply(durable))
}

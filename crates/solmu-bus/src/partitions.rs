//! Partitions of INBOUND that nobody files.
//!
//! The number of partitions stands in the configuration of every process and has to be the same in all. One with another number publishes
//! to subjects that no consumer takes: mail that was accepted, and that is in no figure of any consumer. So the subjects of the stream
//! are held against its durables here: what waits there is told as waiting, and is never removed as done.

use std::{collections::BTreeSet, time::Duration};

use async_nats::jetstream::{consumer, stream::Stream};
use futures::TryStreamExt as _;
use jiff::Timestamp;

use crate::{
    bus::{Bus, BusError},
    family::Family,
};

/// Group of the consumers that file INBOUND; with a hyphen and the shard, the name of the durable.
pub(crate) const FILING: &str = "tickets-inbound";

/// A durable is made anew when its lease changes hands; one that is missing after this was not there at all.
const AGAIN: Duration = Duration::from_millis(300);

/// Messages of one subject that no durable takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfiled {
    pub(crate) messages: u64,
    /// Sequence and time of the first; none if it went a moment ago.
    pub(crate) first: Option<(u64, Option<Timestamp>)>,
}

/// Shards of a group of durables, by their names.
pub(crate) fn shards<'a>(durables: impl Iterator<Item = &'a str>) -> BTreeSet<u16> {
    durables
        .filter_map(|durable| {
            durable
                .strip_prefix(FILING)?
                .strip_prefix('-')?
                .parse()
                .ok()
        })
        .collect()
}

/// What the durables take: single subjects, and whether one of them takes all.
#[derive(Debug, Default)]
struct Taken {
    subjects: BTreeSet<String>,
    others: bool,
}

impl Taken {
    fn of<'a>(infos: impl Iterator<Item = &'a consumer::Config>) -> Self {
        let mut taken = Self::default();
        for config in infos.filter(|config| config.durable_name.is_some()) {
            let filters = config.filter_subjects.iter();
            let all = filters.chain(std::iter::once(&config.filter_subject));
            let mut named = false;
            for filter in all.filter(|filter| !filter.is_empty()) {
                named = true;
                if filter.contains(['*', '>']) {
                    taken.others = true;
                } else {
                    taken.subjects.insert(filter.clone());
                }
            }
            taken.others |= !named;
        }
        taken
    }

    /// Who reads all of a stream reads along, and files nothing: where there are durables for single partitions, these count.
    fn takes(&self, subject: &str) -> bool {
        if self.subjects.is_empty() {
            self.others
        } else {
            self.subjects.contains(subject)
        }
    }
}

/// What waits in INBOUND where no durable takes it, subject by subject. Ask for `infos` first: what came after that is no fault.
pub(crate) async fn unfiled(
    bus: &Bus,
    stream: &Stream,
    infos: &[consumer::Info],
) -> Result<Vec<Unfiled>, BusError> {
    let taken = Taken::of(infos.iter().map(|info| &info.config));
    let mut open = untaken(bus, stream, &taken).await?;
    if !open.is_empty() {
        tokio::time::sleep(AGAIN).await;
        let name = &stream.cached_info().config.name;
        let infos: Vec<_> = stream
            .consumers()
            .try_collect()
            .await
            .map_err(BusError::apply(name))?;
        let taken = Taken::of(infos.iter().map(|info| &info.config));
        open.retain(|(subject, _)| !taken.takes(subject));
    }
    let mut found = Vec::with_capacity(open.len());
    for (subject, messages) in open {
        let first = stream.get_first_raw_message_by_subject(&subject, 1).await;
        let first = first.ok().map(|message| {
            let published = message.time.unix_timestamp_nanos();
            (message.sequence, Timestamp::from_nanosecond(published).ok())
        });
        found.push(Unfiled { messages, first });
    }
    Ok(found)
}

async fn untaken(
    bus: &Bus,
    stream: &Stream,
    taken: &Taken,
) -> Result<Vec<(String, u64)>, BusError> {
    let name = &stream.cached_info().config.name;
    let subjects: Vec<(String, usize)> = stream
        .info_with_subjects(bus.subject_filter(Family::Inbound))
        .await
        .map_err(BusError::apply(name))?
        .try_collect()
        .await
        .map_err(BusError::apply(name))?;
    Ok(subjects
        .into_iter()
        .filter(|(subject, _)| !taken.takes(subject))
        .map(|(subject, messages)| (subject, messages as u64))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durable(filters: &[&str]) -> consumer::Config {
        consumer::Config {
            durable_name: Some("d".to_owned()),
            filter_subjects: filters.iter().map(|it| (*it).to_owned()).collect(),
            ..consumer::Config::default()
        }
    }

    #[test]
    fn who_reads_along_files_nothing() {
        let of = |configs: &[consumer::Config]| Taken::of(configs.iter());
        let taken = of(&[durable(&["s.inbound.v1.0"]), durable(&["s.inbound.v1.*"])]);
        assert!(taken.takes("s.inbound.v1.0"));
        assert!(!taken.takes("s.inbound.v1.1"));
        assert!(of(&[durable(&[])]).takes("s.inbound.v1.1"));
        assert!(!of(&[]).takes("s.inbound.v1.0"));
        let passing = consumer::Config::default();
        assert!(!of(&[passing]).takes("s.inbound.v1.0"), "no durable");
    }

    #[test]
    fn shards_are_read_off_the_names() {
        let names = [
            "tickets-inbound-0",
            "tickets-inbound-12",
            "tickets-inbound",
            "other-3",
        ];
        assert_eq!(shards(names.into_iter()), BTreeSet::from([0, 12]));
    }
}

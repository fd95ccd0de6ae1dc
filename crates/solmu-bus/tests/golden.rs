//! Bytes of released events decode for ever.
//!
//! `tests/golden` of the workspace has two files per event type: the bytes as the release wrote them, and beside them
//! what they mean, as text. This test decodes each and compares. A file that exists is never changed: a difference means
//! that events which wait in a stream somewhere are misread. To add the files of a new type, or of a type that
//! got fields (then with a higher number in its name):
//!
//! ```sh
//! UPDATE_GOLDEN=1 cargo test -p solmu-bus --test golden
//! ```
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    collections::BTreeSet,
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
};

use solmu_bus::EventBody;
use solmu_proto::{
    bus::v1 as bus, contact::v1 as contact, inbound::v1 as inbound, outbound::v1 as outbound,
    routing::v1 as routing, sla::v1 as sla, ticket::v1 as ticket,
};

#[path = "golden/samples.rs"]
mod samples;
#[path = "golden/ticket_samples.rs"]
mod ticket_samples;

/// Every type with its bytes in this release. A type that gets fields is added again, with a higher number.
fn current() -> Vec<Golden> {
    vec![
        golden(5, &samples::message_received()),
        golden(2, &samples::delivery_reported()),
        golden(4, &ticket_samples::ticket_opened()),
        golden(3, &ticket_samples::message_added()),
        golden(3, &ticket_samples::ticket_changed()),
        golden(3, &ticket_samples::ticket_assigned()),
        golden(4, &ticket_samples::assignment_rejected()),
        golden(3, &ticket_samples::delivery_updated()),
        golden(2, &ticket_samples::message_quarantined()),
        golden(3, &ticket_samples::ticket_merged()),
        golden(3, &ticket_samples::ticket_unmerged()),
        golden(3, &ticket_samples::message_split()),
        golden(2, &ticket_samples::task_due()),
        golden(1, &samples::contact_merged()),
        golden(1, &samples::contact_unmerged()),
        golden(2, &samples::contact_erased()),
        golden(1, &samples::contact_changed()),
        golden(1, &samples::organization_changed()),
        golden(2, &samples::assignment_decided()),
        golden(1, &samples::roster_changed()),
        golden(1, &samples::offer_changed()),
        golden(2, &samples::due_times_decided()),
        golden(2, &samples::warned()),
        golden(2, &samples::breached()),
        golden(2, &samples::escalated()),
        golden(3, &samples::message_queued()),
    ]
}

/// The envelopes are no events, and as much a promise.
fn envelopes() -> Vec<Golden> {
    vec![
        Golden {
            file: format!("{BATCH}.3"),
            bytes: prost::Message::encode_to_vec(&samples::event_batch()),
        },
        Golden {
            file: format!("{DEAD_LETTER}.3"),
            bytes: prost::Message::encode_to_vec(&samples::dead_letter()),
        },
    ]
}

/// What a file's bytes mean, by the type in its name.
fn meaning(event_type: &str, bytes: &[u8]) -> Option<String> {
    match event_type {
        inbound::MessageReceived::TYPE => text::<inbound::MessageReceived>(bytes),
        inbound::DeliveryReported::TYPE => text::<inbound::DeliveryReported>(bytes),
        ticket::TicketOpened::TYPE => text::<ticket::TicketOpened>(bytes),
        ticket::TicketMessageAdded::TYPE => text::<ticket::TicketMessageAdded>(bytes),
        ticket::TicketChanged::TYPE => text::<ticket::TicketChanged>(bytes),
        ticket::TicketAssigned::TYPE => text::<ticket::TicketAssigned>(bytes),
        ticket::AssignmentRejected::TYPE => text::<ticket::AssignmentRejected>(bytes),
        ticket::DeliveryUpdated::TYPE => text::<ticket::DeliveryUpdated>(bytes),
        ticket::MessageQuarantined::TYPE => text::<ticket::MessageQuarantined>(bytes),
        ticket::TicketMerged::TYPE => text::<ticket::TicketMerged>(bytes),
        ticket::TicketUnmerged::TYPE => text::<ticket::TicketUnmerged>(bytes),
        ticket::MessageSplit::TYPE => text::<ticket::MessageSplit>(bytes),
        ticket::TaskDue::TYPE => text::<ticket::TaskDue>(bytes),
        contact::ContactMerged::TYPE => text::<contact::ContactMerged>(bytes),
        contact::ContactUnmerged::TYPE => text::<contact::ContactUnmerged>(bytes),
        contact::ContactErased::TYPE => text::<contact::ContactErased>(bytes),
        contact::ContactChanged::TYPE => text::<contact::ContactChanged>(bytes),
        contact::OrganizationChanged::TYPE => text::<contact::OrganizationChanged>(bytes),
        routing::AssignmentDecided::TYPE => text::<routing::AssignmentDecided>(bytes),
        routing::RosterChanged::TYPE => text::<routing::RosterChanged>(bytes),
        routing::OfferChanged::TYPE => text::<routing::OfferChanged>(bytes),
        sla::DueTimesDecided::TYPE => text::<sla::DueTimesDecided>(bytes),
        sla::SlaWarned::TYPE => text::<sla::SlaWarned>(bytes),
        sla::SlaBreached::TYPE => text::<sla::SlaBreached>(bytes),
        sla::SlaEscalated::TYPE => text::<sla::SlaEscalated>(bytes),
        outbound::MessageQueued::TYPE => text::<outbound::MessageQueued>(bytes),
        BATCH => text::<bus::EventBatch>(bytes),
        DEAD_LETTER => text::<bus::DeadLetter>(bytes),
        _ => None,
    }
}

const BATCH: &str = "solmu.bus.event_batch.v1";
const DEAD_LETTER: &str = "solmu.bus.dead_letter.v1";

struct Golden {
    file: String,
    bytes: Vec<u8>,
}

fn golden<B: EventBody>(number: u32, body: &B) -> Golden {
    Golden {
        file: format!("{}.{number}", B::TYPE),
        bytes: body.encode_to_vec(),
    }
}

fn text<M: prost::Message + Default + Debug>(bytes: &[u8]) -> Option<String> {
    M::decode(bytes).ok().map(|body| format!("{body:#?}\n"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

#[test]
fn released_bytes_mean_what_they_meant() {
    update_if_asked();
    let mut seen = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(stem) = name.strip_suffix(".binpb") else {
            continue;
        };
        let (event_type, _) = stem.rsplit_once('.').unwrap();
        let bytes = fs::read(&path).unwrap();
        let decoded =
            meaning(event_type, &bytes).unwrap_or_else(|| panic!("{name} does not decode"));
        if ![BATCH, DEAD_LETTER].contains(&event_type) {
            // What could be replayed once can be replayed today.
            let readable = solmu_bus::events::is_readable(event_type, &bytes);
            assert_eq!(readable, Some(true), "{name}");
        }
        let wanted = fs::read_to_string(path.with_extension("txt")).unwrap();
        assert!(
            keeps(&decoded, &wanted),
            "{name} is read in another way now:\n{decoded}"
        );
        seen += 1;
    }
    assert!(
        seen >= current().len() + envelopes().len(),
        "files are missing"
    );
}

/// Whether every line of `wanted` is still there, in order: fields that are new show as lines between them.
fn keeps(decoded: &str, wanted: &str) -> bool {
    let mut lines = decoded.lines();
    wanted.lines().all(|line| lines.any(|other| other == line))
}

/// Writes what is missing, once.
fn update_if_asked() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "how a developer asks for new files; no configuration of the program"
    )]
    let asked = std::env::var("UPDATE_GOLDEN").is_ok();
    if asked {
        ONCE.call_once(|| current().iter().chain(&envelopes()).for_each(write_new));
    }
}

/// Writes a pair that is not there yet; what is there stays as it is.
fn write_new(golden: &Golden) {
    let path = folder().join(format!("{}.binpb", golden.file));
    if path.exists() {
        return;
    }
    let (event_type, _) = golden.file.rsplit_once('.').unwrap();
    fs::create_dir_all(folder()).unwrap();
    fs::write(
        path.with_extension("txt"),
        meaning(event_type, &golden.bytes).unwrap(),
    )
    .unwrap();
    fs::write(&path, &golden.bytes).unwrap();
}

#[test]
fn what_is_written_today_is_among_the_released() {
    update_if_asked();
    for golden in current().into_iter().chain(envelopes()) {
        let path = folder().join(format!("{}.binpb", golden.file));
        let released = fs::read(&path)
            .unwrap_or_else(|_| panic!("{} is missing: run with UPDATE_GOLDEN=1", path.display()));
        assert!(
            released == golden.bytes,
            "{} is written in another way now: if it got fields, add it with a higher number",
            golden.file
        );
    }
}

#[test]
fn every_event_has_its_golden_bytes() {
    let declared: BTreeSet<&str> = include_str!("../src/events.rs")
        .split('"')
        .filter(|text| text.starts_with("solmu.") && text.rsplit('.').next() == Some("v1"))
        .collect();
    let goldens = current();
    let covered: BTreeSet<&str> = goldens
        .iter()
        .filter_map(|golden| golden.file.rsplit_once('.'))
        .map(|(event_type, _)| event_type)
        .collect();
    assert_eq!(covered, declared);
}

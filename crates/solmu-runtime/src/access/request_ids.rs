//! Which methods that change something may be called without a request id, and why.
//!
//! A caller who does not hear what became of a call makes it again. Under a request id that is safe; a method without one
//! has to be safe by itself. So each one that changes something has the field, or stands here with what makes it safe.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::FileDescriptorSet;

use super::permissions::TABLE;

/// What names of methods begin with that change nothing.
const READS: [&str; 11] = [
    "BatchGet", "DryRun", "Explain", "Export", "Get", "List", "Preview", "Render", "Search",
    "Verify", "Watch",
];

/// Methods without a request id, by the reason.
const EXCEPTIONS: [(&str, &[&str]); 5] = [
    (
        "says what holds now, and is said again all the time",
        &[
            "routing.v1.RoutingService/SetPresence",
            "routing.v1.RoutingService/Heartbeat",
            "routing.v1.RoutingService/KeepPresence",
            "ticket.v1.DeskService/Heartbeat",
        ],
    ),
    (
        "replaces what people set up: a repeat says the same, or is ABORTED by its etag",
        &[
            "routing.v1.RoutingService/UpdateTeam",
            "routing.v1.RoutingService/UpdateAgent",
            "routing.v1.RoutingService/UpdateRule",
            "sla.v1.SlaService/UpdateCalendar",
            "sla.v1.SlaService/ImportHolidays",
            "sla.v1.SlaService/SetTeamCalendar",
            "sla.v1.SlaService/SetTeamContacts",
            "sla.v1.SlaService/UpdatePolicy",
            "ticket.v1.CatalogueService/UpdateCatalogueItem",
            "ticket.v1.DeskService/UpdateCannedAnswer",
            "ticket.v1.DeskService/UpdateMacro",
            "ticket.v1.FieldService/UpdateField",
            "ticket.v1.SearchService/UpdateView",
            "ticket.v1.SubstatusService/UpdateSubstatus",
            "ticket.v1.TimeService/UpdateTimeEntry",
        ],
    ),
    (
        "removes or ends one thing: a repeat finds it gone",
        &[
            "access.v1.AccessService/RevokeToken",
            "contact.v1.ContactService/EraseContact",
            "contact.v1.ContactService/DeleteContactAttribute",
            "routing.v1.RoutingService/DeleteTeam",
            "routing.v1.RoutingService/DeleteAgent",
            "routing.v1.RoutingService/DeleteRule",
            "sla.v1.SlaService/DeleteCalendar",
            "sla.v1.SlaService/DeletePolicy",
            "ticket.v1.CatalogueService/DeleteCatalogueItem",
            "ticket.v1.DeskService/DeleteCannedAnswer",
            "ticket.v1.DeskService/DeleteMacro",
            "ticket.v1.FieldService/ArchiveField",
            "ticket.v1.LinkService/RevokeTicketLink",
            "ticket.v1.SearchService/DeleteView",
            "ticket.v1.SubstatusService/RetireSubstatus",
            "ticket.v1.TicketService/UnblockSender",
            "ticket.v1.TimeService/DeleteTimeEntry",
            "ticket.v1.TimeService/DiscardTimer",
            "ticket.v1.WorkService/DeleteTask",
        ],
    ),
    (
        "is made under a name of the caller's: a repeat is ALREADY_EXISTS, or the same again",
        &[
            "contact.v1.ContactService/CreateContactAttribute",
            "sla.v1.SlaService/CreateCalendar",
            "sla.v1.SlaService/CreatePolicy",
            "ticket.v1.TicketService/BlockSender",
        ],
    ),
    (
        "is decided once: a repeat has no effect, or is refused",
        &[
            "routing.v1.RoutingService/AcceptOffer",
            "routing.v1.RoutingService/DeclineOffer",
            "ticket.v1.TicketService/ReleaseQuarantined",
            "ticket.v1.TicketService/RejectQuarantined",
        ],
    ),
];

/// Every method that changes something, and whether its request has a request id.
fn changing() -> BTreeMap<String, bool> {
    let set = FileDescriptorSet::decode(solmu_proto::DESCRIPTOR_SET).unwrap();
    let mut has_id = BTreeMap::new();
    for file in &set.file {
        for message in &file.message_type {
            let name = format!(".{}.{}", file.package(), message.name());
            let found = message.field.iter().any(|it| it.name() == "request_id");
            has_id.insert(name, found);
        }
    }
    let mut methods = BTreeMap::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("{}.{}/{}", file.package(), service.name(), method.name());
                let reads = READS.iter().any(|verb| method.name().starts_with(verb));
                if !reads {
                    methods.insert(path, has_id[method.input_type()]);
                }
            }
        }
    }
    methods
}

#[test]
fn what_changes_something_has_a_request_id_or_a_reason() {
    let methods = changing();
    let excepted: Vec<String> = EXCEPTIONS
        .iter()
        .flat_map(|(_, methods)| methods.iter().map(|it| format!("solmu.{it}")))
        .collect();
    let missing: Vec<&String> = methods
        .iter()
        .filter(|(path, has_id)| !**has_id && !excepted.contains(path))
        .map(|(path, _)| path)
        .collect();
    assert!(
        missing.is_empty(),
        "these change something and take no request_id: add the field, or the reason why not in EXCEPTIONS of \
         crates/solmu-runtime/src/access/request_ids.rs: {missing:#?}"
    );
    for path in &excepted {
        assert_eq!(
            methods.get(path),
            Some(&false),
            "{path} is no exception: take it out of EXCEPTIONS"
        );
    }
    let distinct: std::collections::BTreeSet<&String> = excepted.iter().collect();
    assert_eq!(distinct.len(), excepted.len(), "one reason is enough");
}

/// The names that say that a method only reads are true: the permission table asks for no more.
#[test]
fn what_is_left_out_only_reads() {
    for service in TABLE {
        for row in service.rows {
            let reads = READS.iter().any(|verb| row.method.starts_with(verb));
            let changes = row.scope.as_str().split('.').next_back() == Some("write");
            assert!(!(reads && changes), "{}/{}", service.service, row.method);
        }
    }
}

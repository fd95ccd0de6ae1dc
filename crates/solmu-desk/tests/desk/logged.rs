//! Every call that changes a ticket writes an entry into its log, with who called.
//!
//! The calls are those of the protos: a new one is either made here, or says below where it is proven or why it changes no
//! ticket.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use solmu_proto::ticket::v1::{self as proto, activity};
use tonic::{Response, Status};
use uuid::Uuid;

use crate::{
    logged_calls as calls,
    support::{AGENT, Api, Ticket, mail},
};

/// What names of methods begin with that change nothing.
const READS: [&str; 10] = [
    "BatchGet", "DryRun", "Explain", "Export", "Get", "List", "Render", "Search", "Verify", "Watch",
];

/// Calls that change no ticket, or whose entries are proven where they can be made.
const ELSEWHERE: [(&str, &str); 29] = [
    (
        "CatalogueService/CreateCatalogueItem",
        "a service is no ticket",
    ),
    (
        "CatalogueService/UpdateCatalogueItem",
        "a service is no ticket",
    ),
    (
        "CatalogueService/DeleteCatalogueItem",
        "a service is no ticket",
    ),
    (
        "CatalogueService/OrderCatalogueItem",
        "catalogue.rs: the tickets that it opens",
    ),
    (
        "DeskService/Heartbeat",
        "who looks at a ticket does not change it",
    ),
    ("DeskService/CreateCannedAnswer", "a text is no ticket"),
    ("DeskService/UpdateCannedAnswer", "a text is no ticket"),
    ("DeskService/DeleteCannedAnswer", "a text is no ticket"),
    ("DeskService/UpdateMacro", "a macro is no ticket"),
    ("DeskService/DeleteMacro", "a macro is no ticket"),
    ("DeskService/CreateMacro", "a macro is no ticket"),
    ("FieldService/CreateField", "a definition is no ticket"),
    ("FieldService/UpdateField", "a definition is no ticket"),
    ("FieldService/ArchiveField", "a definition is no ticket"),
    (
        "LinkService/CreateTicketLink",
        "solmu-publiclink, tests/calls.rs",
    ),
    (
        "LinkService/RevokeTicketLink",
        "solmu-publiclink, tests/calls.rs",
    ),
    (
        "MatterService/AcceptMatter",
        "solmu-tickets, matters.rs: a merge",
    ),
    ("MatterService/DismissMatter", "solmu-tickets, matters.rs"),
    ("SearchService/CreateView", "a view is no ticket"),
    ("SearchService/UpdateView", "a view is no ticket"),
    ("SearchService/DeleteView", "a view is no ticket"),
    (
        "SubstatusService/CreateSubstatus",
        "a definition is no ticket",
    ),
    (
        "SubstatusService/UpdateSubstatus",
        "a definition is no ticket",
    ),
    (
        "SubstatusService/RetireSubstatus",
        "a definition is no ticket",
    ),
    ("TicketService/BlockSender", "about an address"),
    ("TicketService/UnblockSender", "about an address"),
    (
        "TicketService/ForwardToExpert",
        "solmu-tickets, experts.rs: the note that is sent",
    ),
    (
        "TicketService/RejectQuarantined",
        "the message has no ticket",
    ),
    (
        "TicketService/ReleaseQuarantined",
        "solmu-tickets, quarantine.rs: the message that is filed",
    ),
];

/// Calls of a timer that runs: nothing of the ticket changes before it is stopped.
const RUNNING: [&str; 2] = ["TimeService/StartTimer", "TimeService/DiscardTimer"];

/// Names of methods that change something, without the package.
fn changing() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(solmu_proto::DESCRIPTOR_SET).unwrap();
    let files = set.file.iter();
    let files = files.filter(|it| it.package() == "solmu.ticket.v1");
    let methods = files.flat_map(|it| &it.service).flat_map(|service| {
        let methods = service.method.iter();
        methods.map(move |it| (service.name(), it.name()))
    });
    methods
        .filter(|(_, name)| !READS.iter().any(|verb| name.starts_with(verb)))
        .map(|(service, name)| format!("{service}/{name}"))
        .collect()
}

pub(crate) struct Walk {
    pub(crate) api: Api,
    opened: u32,
    /// Calls that were made, and whether an entry of the agent came with them.
    made: BTreeMap<&'static str, bool>,
}

impl Walk {
    pub(crate) async fn ticket(&mut self) -> Ticket {
        self.opened += 1;
        let id = format!("{}@walk.example", self.opened);
        let mail = mail(&id, &format!("{}@c.example", self.opened));
        self.api.world.file(&mail).await.unwrap()
    }

    /// Entries of the agent in the log of a ticket.
    pub(crate) async fn entries(&self, ticket: Uuid) -> usize {
        let request = proto::ListActivitiesRequest {
            ticket_id: ticket.to_string(),
            page_size: 500,
            ..proto::ListActivitiesRequest::default()
        };
        let page = self
            .api
            .activity()
            .list_activities(self.api.admin(request))
            .await;
        let all = page.unwrap().into_inner().activities;
        let agent = AGENT.to_string();
        let theirs = all.iter().filter(|it| {
            let actor = it.actor.as_ref();
            it.kind() != activity::Kind::Unspecified && actor.is_some_and(|it| it.id == agent)
        });
        theirs.count()
    }

    /// Makes a call; notes whether the log of the ticket says so.
    pub(crate) async fn call<T>(
        &mut self,
        method: &'static str,
        ticket: Uuid,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> T {
        let before = self.entries(ticket).await;
        let answer = call
            .await
            .unwrap_or_else(|status| panic!("{method}: {status:?}"));
        let logged = self.entries(ticket).await > before;
        *self.made.entry(method).or_insert(true) &= logged;
        answer.into_inner()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_a_ticket_is_in_its_log() {
    let mut walk = Walk {
        api: Api::new().await,
        opened: 0,
        made: BTreeMap::new(),
    };
    calls::commands(&mut walk).await;
    calls::restricting(&mut walk).await;
    calls::merging(&mut walk).await;
    calls::tasks(&mut walk).await;
    calls::linking(&mut walk).await;
    calls::times(&mut walk).await;
    calls::many(&mut walk).await;
    let silent: Vec<_> = walk.made.iter().filter(|(_, logged)| !**logged).collect();
    assert!(silent.is_empty(), "not in the log: {silent:?}");
    let mut known: BTreeSet<String> = walk.made.keys().map(|it| (*it).to_owned()).collect();
    known.extend(ELSEWHERE.iter().map(|(method, _)| (*method).to_owned()));
    known.extend(RUNNING.map(str::to_owned));
    let all = changing();
    let untried: Vec<_> = all.difference(&known).collect();
    let gone: Vec<_> = known.difference(&all).collect();
    assert!(
        untried.is_empty() && gone.is_empty(),
        "not tried: {untried:?}; not there: {gone:?}"
    );
}

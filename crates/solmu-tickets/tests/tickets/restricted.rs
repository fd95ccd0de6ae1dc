//! Restricted tickets: who is not named finds nothing of them anywhere, and they never get wider by themselves.

use futures::StreamExt as _;
use solmu_proto::{
    access::v1::Role,
    contact::v1::ListEncountersRequest,
    inbound::v1::MessageReceived,
    routing::v1::AssignmentDecided,
    ticket::v1::{
        AddNoteRequest, AssignTicketRequest, AssignmentRejected, CreateTaskRequest,
        CreateViewRequest, GetTicketRequest, LinkKind, LinkTicketsRequest, ListActivitiesRequest,
        ListMessagesRequest, ListTasksRequest, ListTicketsRequest, ListViewsRequest,
        MergeTicketsRequest, RestrictTicketRequest, SavedView, SearchTicketsRequest,
        SplitMessageRequest, Task, Ticket, UnrestrictTicketRequest, UpdateTicketRequest,
        VerifyActivityRequest, WatchTicketsRequest, assignment_rejected::Cause,
    },
};
use solmu_testkit::wait_for;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use crate::{
    api_world::{AGENT, Api, opened, reason, with},
    support::{answer, mail, signed},
};

/// An agent whom no restriction names.
pub(crate) const OUTSIDER: Uuid = Uuid::from_u128(78);
pub(crate) const SECURITY: Uuid = Uuid::from_u128(900);
const THREAT: &str = "uhkausviesti";

pub(crate) struct Desk {
    pub(crate) api: Api,
    outsider: String,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        let api = Api::new().await;
        let outsider = api.token(Role::Agent, &OUTSIDER.to_string()).await;
        Self { api, outsider }
    }

    /// A call of an agent whom no restriction names.
    pub(crate) fn outside<T>(&self, message: T) -> Request<T> {
        with(message, &self.outsider)
    }

    /// Restricts to the agent of the tests.
    pub(crate) async fn restrict(&self, ticket: Uuid) -> Result<Ticket, Status> {
        self.restrict_to(ticket, &[AGENT], &[]).await
    }

    pub(crate) async fn restrict_to(
        &self,
        ticket: Uuid,
        agents: &[Uuid],
        teams: &[Uuid],
    ) -> Result<Ticket, Status> {
        let request = RestrictTicketRequest {
            ticket_id: ticket.to_string(),
            agent_ids: agents.iter().map(Uuid::to_string).collect(),
            team_ids: teams.iter().map(Uuid::to_string).collect(),
            reason: "a threat".to_owned(),
            ..RestrictTicketRequest::default()
        };
        let call = self.api.admin(request);
        let done = self.api.tickets().restrict_ticket(call).await;
        done.map(Response::into_inner)
    }

    pub(crate) async fn get(&self, ticket: Uuid) -> Ticket {
        let id = ticket.to_string();
        let call = self.api.agent(GetTicketRequest { id });
        self.api
            .tickets()
            .get_ticket(call)
            .await
            .unwrap()
            .into_inner()
    }

    /// Whether who is not named sees the ticket.
    pub(crate) async fn sees(&self, ticket: Uuid) -> bool {
        let id = ticket.to_string();
        let call = self.outside(GetTicketRequest { id });
        match self.api.tickets().get_ticket(call).await {
            Ok(_) => true,
            Err(status) => {
                assert_eq!(status.code(), Code::NotFound, "{status:?}");
                false
            }
        }
    }

    /// The ticket of a mail of Aino's.
    pub(crate) async fn opened(&self, id: &str) -> Uuid {
        let opened = self.api.world.file(&mail(id, "aino@c.example")).await;
        opened.unwrap().id
    }
}

fn refusal<T>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.err().unwrap();
    (status.code(), reason(&status))
}

/// A threat with a task, and a ticket that is linked with it; restricted to the agent of the tests.
async fn threat(desk: &Desk) -> (Uuid, Uuid) {
    let api = &desk.api;
    let letter = MessageReceived {
        subject: "Uhkaus".to_owned(),
        text: THREAT.to_owned(),
        language: "fi".to_owned(),
        ..mail("m@c.example", "aino@c.example")
    };
    let ticket = api.world.file(&letter).await.unwrap();
    let other = desk.opened("o@c.example").await;
    let task = CreateTaskRequest {
        task: Some(Task {
            ticket_id: ticket.id.to_string(),
            title: "call the police".to_owned(),
            assignee_id: OUTSIDER.to_string(),
            ..Task::default()
        }),
        ..CreateTaskRequest::default()
    };
    api.work().create_task(api.agent(task)).await.unwrap();
    let link = LinkTicketsRequest {
        ticket_id: other.to_string(),
        other_ticket_id: ticket.id.to_string(),
        kind: LinkKind::Related.into(),
        ..LinkTicketsRequest::default()
    };
    api.work().link_tickets(api.agent(link)).await.unwrap();
    let view = CreateViewRequest {
        view: Some(SavedView {
            display_name: "all".to_owned(),
            ..SavedView::default()
        }),
        ..CreateViewRequest::default()
    };
    api.search().create_view(desk.outside(view)).await.unwrap();
    wait_for("everything is indexed", || async {
        api.world
            .count("SELECT count(*) FROM tickets.search_queue")
            .await
            == 0
    })
    .await;
    assert!(desk.sees(ticket.id).await);
    let shown = desk.restrict(ticket.id).await.unwrap();
    assert!(
        shown.restricted && shown.assignee_id == AGENT.to_string(),
        "{shown:?}"
    );
    assert_eq!(shown.restricted_agent_ids, [AGENT.to_string()]);
    (ticket.id, other)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_named_finds_nothing() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let (ticket, other) = threat(&desk).await;
    assert!(!desk.sees(ticket).await);
    let mut tickets = api.tickets();
    let list = tickets.list_tickets(desk.outside(ListTicketsRequest::default()));
    let list = list.await.unwrap().into_inner().tickets;
    assert_eq!(list.len(), 1, "{list:?}");
    let words = || SearchTicketsRequest {
        query: THREAT.to_owned(),
        ..SearchTicketsRequest::default()
    };
    let hits = api.search().search_tickets(desk.outside(words())).await;
    assert!(hits.unwrap().into_inner().hits.is_empty());
    let hits = api.search().search_tickets(api.agent(words())).await;
    assert_eq!(hits.unwrap().into_inner().hits.len(), 1);
    let views = ListViewsRequest {
        with_counts: true,
        ..ListViewsRequest::default()
    };
    let count = loop {
        let listed = api.search().list_views(desk.outside(views.clone())).await;
        let view = listed.unwrap().into_inner().views.remove(0);
        // A count that took too long on a busy machine is asked for again.
        if let Some(count) = view.count.filter(|count| !count.unknown) {
            break count;
        }
    };
    assert_eq!(count.tickets, 1);
    let tasks = ListTasksRequest {
        assignee_id: OUTSIDER.to_string(),
        ..ListTasksRequest::default()
    };
    let tasks = api.work().list_tasks(desk.outside(tasks)).await;
    assert!(tasks.unwrap().into_inner().tasks.is_empty());
    let contact = desk.get(ticket).await.contact_id;
    let encounters = ListEncountersRequest {
        contact_id: contact,
        ..ListEncountersRequest::default()
    };
    let met = api
        .contacts()
        .list_encounters(desk.outside(encounters))
        .await;
    let met = met.unwrap().into_inner().encounters;
    assert!(met.iter().all(|it| it.ticket_id == other.to_string()) && met.len() == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_named_gets_no_answer() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let (ticket, other) = threat(&desk).await;
    let id = || ticket.to_string();
    let messages = ListMessagesRequest {
        ticket_id: id(),
        ..ListMessagesRequest::default()
    };
    let note = AddNoteRequest {
        ticket_id: id(),
        text: "x".to_owned(),
        ..AddNoteRequest::default()
    };
    let log = ListActivitiesRequest {
        ticket_id: id(),
        ..ListActivitiesRequest::default()
    };
    let verify = VerifyActivityRequest {
        ticket_id: id(),
        ..VerifyActivityRequest::default()
    };
    for code in [
        refusal(api.tickets().list_messages(desk.outside(messages)).await).0,
        refusal(api.tickets().add_note(desk.outside(note)).await).0,
        refusal(
            api.activity()
                .list_activities(desk.outside(log.clone()))
                .await,
        )
        .0,
        refusal(api.activity().verify_activity(desk.outside(verify)).await).0,
    ] {
        assert_eq!(code, Code::NotFound);
    }
    let linked = GetTicketRequest {
        id: other.to_string(),
    };
    let linked = api.tickets().get_ticket(desk.outside(linked)).await;
    let links = linked.unwrap().into_inner().links;
    assert!(links[0].restricted && links[0].ticket_id.is_empty() && links[0].ticket_number == 0);

    let log = api.activity().list_activities(api.agent(log)).await;
    let log = log.unwrap().into_inner().activities;
    let entry = log
        .iter()
        .find(|it| it.changes.iter().any(|it| it.field == "restricted"));
    assert_eq!(entry.unwrap().reason, "a threat");
    let end = UnrestrictTicketRequest {
        ticket_id: id(),
        reason: "it was a joke".to_owned(),
        ..UnrestrictTicketRequest::default()
    };
    let code = refusal(
        api.tickets()
            .unrestrict_ticket(desk.outside(end.clone()))
            .await,
    )
    .0;
    assert_eq!(code, Code::NotFound);
    let ended = api.tickets().unrestrict_ticket(api.agent(end)).await;
    assert!(!ended.unwrap().into_inner().restricted);
    assert!(desk.sees(ticket).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_is_told_that_it_is_gone_and_nothing_after_that() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let ticket = opened(api).await;
    let other = desk.opened("o@c.example").await;
    let watch = WatchTicketsRequest::default();
    let mut changes = api
        .tickets()
        .watch_tickets(desk.outside(watch))
        .await
        .unwrap()
        .into_inner();
    desk.restrict(ticket.id).await.unwrap();
    let mut gone = changes.next().await.unwrap().unwrap();
    while gone.event_type != "solmu.ticket.changed.v1" {
        assert!(gone.left, "nothing of it is shown: {gone:?}");
        gone = changes.next().await.unwrap().unwrap();
    }
    let shown = gone.ticket.unwrap();
    assert!(
        gone.left && gone.summary.is_empty() && shown.subject.is_empty(),
        "{shown:?}"
    );
    assert_eq!(shown.id, ticket.id.to_string());
    for (ticket, text) in [(ticket.id, "hidden"), (other, "seen")] {
        let note = AddNoteRequest {
            ticket_id: ticket.to_string(),
            text: text.to_owned(),
            ..AddNoteRequest::default()
        };
        api.tickets().add_note(api.agent(note)).await.unwrap();
    }
    let next = changes.next().await.unwrap().unwrap();
    assert_eq!(next.ticket.unwrap().id, other.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stays_among_the_named_over_merge_split_and_parts() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let kept = desk.opened("a@c.example").await;
    let joined = desk.opened("b@c.example").await;
    let late = mail("late@c.example", "aino@c.example");
    api.world.file(&signed(late.clone(), kept)).await;
    desk.restrict(joined).await.unwrap();
    // Restricted wins, whichever side it is on.
    let merge = |source: Uuid, target: Uuid| MergeTicketsRequest {
        source_ids: vec![source.to_string()],
        target_id: target.to_string(),
        ..MergeTicketsRequest::default()
    };
    let request = api.agent(merge(joined, kept));
    api.tickets().merge_tickets(request).await.unwrap();
    let merged = desk.get(kept).await;
    assert!(
        merged.restricted && merged.assignee_id == AGENT.to_string(),
        "{merged:?}"
    );
    let open = desk.opened("c@c.example").await;
    let request = api.agent(merge(open, kept));
    api.tickets().merge_tickets(request).await.unwrap();
    for ticket in [kept, joined, open] {
        assert!(!desk.sees(ticket).await);
    }
    // What comes out of it stays hidden, with an owner.
    let page = ListMessagesRequest {
        ticket_id: kept.to_string(),
        ..ListMessagesRequest::default()
    };
    let page = api.tickets().list_messages(api.agent(page)).await.unwrap();
    let messages = page.into_inner().messages;
    let request = SplitMessageRequest {
        message_id: messages.last().unwrap().id.clone(),
        ..SplitMessageRequest::default()
    };
    let split = api.tickets().split_message(api.agent(request)).await;
    let split = split.unwrap().into_inner();
    assert!(
        split.restricted && split.assignee_id == AGENT.to_string(),
        "{split:?}"
    );
    assert!(!desk.sees(split.id.parse().unwrap()).await);
    // A part of it, and a ticket that is restricted with its parts.
    let child = desk.opened("d@c.example").await;
    let part = |child: Uuid, parent: Uuid| UpdateTicketRequest {
        ticket: Some(Ticket {
            id: child.to_string(),
            parent_id: parent.to_string(),
            ..Ticket::default()
        }),
        ..UpdateTicketRequest::default()
    };
    let request = api.agent(part(child, kept));
    api.tickets().update_ticket(request).await.unwrap();
    assert!(!desk.sees(child).await);
    let (above, below) = (
        desk.opened("e@c.example").await,
        desk.opened("f@c.example").await,
    );
    let request = api.agent(part(below, above));
    api.tickets().update_ticket(request).await.unwrap();
    desk.restrict(above).await.unwrap();
    assert!(!desk.sees(below).await);
    // Others than these are not mixed with them.
    let apart = desk.opened("g@c.example").await;
    desk.restrict_to(apart, &[], &[SECURITY]).await.unwrap();
    let request = api.admin(merge(apart, kept));
    let refused = refusal(api.tickets().merge_tickets(request).await);
    assert_eq!(
        refused,
        (Code::FailedPrecondition, "RESTRICTED_APART".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_closed_one_is_restricted_too() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let ticket = desk.opened("a@c.example").await;
    desk.restrict(ticket).await.unwrap();
    api.world.set_status(ticket, "closed").await;
    let again = answer("b@c.example", "aino@c.example", &["a@c.example"]);
    let next = api.world.file(&again).await.unwrap();
    assert_ne!(next.id, ticket);
    assert!(!desk.sees(next.id).await);
    let next = desk.get(next.id).await;
    assert!(
        next.restricted && next.assignee_id == AGENT.to_string(),
        "{next:?}"
    );
    assert_eq!(next.restricted_agent_ids, [AGENT.to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_gets_it() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let ticket = desk.opened("a@c.example").await;
    let shown = desk.restrict_to(ticket, &[], &[SECURITY]).await.unwrap();
    assert_eq!(
        (shown.team_id, shown.assignee_id),
        (SECURITY.to_string(), String::new())
    );
    let assign = |agent: Uuid, team: Option<Uuid>| AssignTicketRequest {
        ticket_id: ticket.to_string(),
        agent_id: agent.to_string(),
        team_id: team.map(|it| it.to_string()).unwrap_or_default(),
        ..AssignTicketRequest::default()
    };
    let elsewhere = api.admin(assign(OUTSIDER, Some(Uuid::from_u128(901))));
    let refused = refusal(api.tickets().assign_ticket(elsewhere).await);
    assert_eq!(
        refused,
        (Code::FailedPrecondition, "RESTRICTED_OWNER".to_owned())
    );

    let version = sqlx::query_scalar("SELECT routing_version FROM tickets.ticket WHERE id = $1")
        .bind(ticket)
        .fetch_one(api.world.pool());
    let version: i64 = version.await.unwrap();
    let decided = |id: &str, team: Uuid| AssignmentDecided {
        decision_id: id.to_owned(),
        ticket_id: ticket.to_string(),
        routing_version: version,
        team_id: team.to_string(),
        agent_id: OUTSIDER.to_string(),
        reason: "least loaded".to_owned(),
        ..AssignmentDecided::default()
    };
    api.world.tell(&decided("d1", Uuid::from_u128(901))).await;
    let rejected = api.world.told::<AssignmentRejected>().await;
    assert_eq!(rejected[0].cause(), Cause::Restricted);
    assert_eq!(rejected[0].restricted_team_ids, [SECURITY.to_string()]);
    api.world.tell(&decided("d2", SECURITY)).await;
    let owned = api.world.ticket(ticket).await;
    assert_eq!(
        owned.assignee_id,
        Some(OUTSIDER),
        "the router knows who is in the team"
    );

    let nobody = desk.restrict_to(ticket, &[], &[]).await;
    assert_eq!(refusal(nobody).0, Code::InvalidArgument);
    let silent = RestrictTicketRequest {
        ticket_id: ticket.to_string(),
        agent_ids: vec![AGENT.to_string()],
        ..RestrictTicketRequest::default()
    };
    let silent = api.tickets().restrict_ticket(api.admin(silent)).await;
    assert_eq!(refusal(silent).0, Code::InvalidArgument, "without a reason");
    // Who hands it to others does not see it any more, and is told so.
    let other = desk.opened("b@c.example").await;
    let hand_over = RestrictTicketRequest {
        ticket_id: other.to_string(),
        agent_ids: vec![AGENT.to_string()],
        reason: "a threat".to_owned(),
        request_id: "once".to_owned(),
        ..RestrictTicketRequest::default()
    };
    let given = api
        .tickets()
        .restrict_ticket(desk.outside(hand_over.clone()))
        .await;
    let given = given.unwrap().into_inner();
    assert!(given.restricted && given.subject.is_empty() && given.id == other.to_string());
    let again = api.tickets().restrict_ticket(api.agent(hand_over)).await;
    let again = again.unwrap().into_inner();
    assert_eq!(
        again.version,
        desk.get(other).await.version,
        "the same request changes it once"
    );
}

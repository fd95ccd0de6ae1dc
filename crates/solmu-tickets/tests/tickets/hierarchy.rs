//! Sub-tickets, links by hand, and answers to all incidents of a problem.

use jiff::SignedDuration;
use solmu_proto::{
    ticket::v1::{
        BroadcastReplyRequest, BroadcastReplyResponse, GetTicketRequest, LinkKind,
        LinkTicketsRequest, Ticket, TicketChanged, UnlinkTicketsRequest, ticket_link::Kind,
    },
    types::v1::TicketStatus,
};
use solmu_testkit::wait_for;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    api_world::{Api, reason},
    merges::{merge, unmerge},
    support::{answer, mail},
    update::update,
};

/// So many tickets of as many people.
async fn tickets<const N: usize>(api: &Api) -> [Uuid; N] {
    let mut ids = [Uuid::nil(); N];
    for (n, id) in ids.iter_mut().enumerate() {
        let message = mail(&format!("{n}@c.example"), &format!("{n}@d{n}.example"));
        *id = api.world.file(&message).await.unwrap().id;
    }
    ids
}

async fn attach(api: &Api, child: Uuid, parent: Option<Uuid>) -> Result<Ticket, Status> {
    let ticket = Ticket {
        id: child.to_string(),
        parent_id: parent.map(|id| id.to_string()).unwrap_or_default(),
        ..Ticket::default()
    };
    update(api, ticket, &["parent_id"]).await
}

async fn status(api: &Api, ticket: Uuid, status: TicketStatus) -> Result<Ticket, Status> {
    let ticket = Ticket {
        id: ticket.to_string(),
        status: status.into(),
        ..Ticket::default()
    };
    update(api, ticket, &["status"]).await
}

async fn get(api: &Api, id: Uuid) -> Ticket {
    let request = api.agent(GetTicketRequest { id: id.to_string() });
    api.tickets()
        .get_ticket(request)
        .await
        .unwrap()
        .into_inner()
}

/// The reason of a refusal.
fn refused(result: Result<Ticket, Status>) -> String {
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    reason(&status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_waits_for_its_parts() {
    let mut api = Api::new().await;
    let [parent, child] = tickets(&api).await;
    let attached = attach(&api, child, Some(parent)).await.unwrap();
    assert_eq!(attached.parent_id, parent.to_string());
    let told = api.world.told::<TicketChanged>().await;
    assert_eq!(told.last().unwrap().changes[0].field, "parent_id");
    let shown = get(&api, parent).await.children;
    let shown: Vec<_> = shown
        .iter()
        .map(|it| (it.ticket_id.clone(), it.status()))
        .collect();
    assert_eq!(shown, [(child.to_string(), TicketStatus::New)]);
    for over in [TicketStatus::Resolved, TicketStatus::Closed] {
        let status = status(&api, parent, over).await.unwrap_err();
        assert_eq!(reason(&status), "SUBTICKETS_OPEN");
        // Not which: the caller may not see it.
        assert!(!status.message().contains('#'), "{}", status.message());
    }
    status(&api, child, TicketStatus::Resolved).await.unwrap();
    status(&api, parent, TicketStatus::Resolved).await.unwrap();

    // The customer answers on the part: the parent closes after that is over, too.
    let reply = answer("again@c.example", "1@d1.example", &["1@c.example"]);
    api.world.file(&reply).await.unwrap();
    assert_eq!(api.world.ticket(child).await.status, "customer_replied");
    let week = SignedDuration::from_hours(7 * 24);
    api.world.harness.clock.advance(week);
    drop(api.world.start("b").await);
    wait_for("the parent was looked at and waits", || async {
        let moved = "SELECT count(*) FROM tickets.ticket WHERE status = 'resolved' AND close_at > updated_at + interval '7 days'";
        api.world.count(moved).await == 1
    })
    .await;
    status(&api, child, TicketStatus::Closed).await.unwrap();
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_hours(2));
    drop(api.world.start("c").await);
    wait_for("the parent closes", || async {
        api.world.ticket(parent).await.status == "closed"
    })
    .await;
    // Nothing open comes below what is over.
    let [other] = [api
        .world
        .file(&mail("x@c.example", "x@d.example"))
        .await
        .unwrap()
        .id];
    assert_eq!(
        refused(attach(&api, other, Some(parent)).await),
        "PARENT_NOT_OPEN"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_no_rings_and_five_levels() {
    let api = Api::new().await;
    let [first, second, third, fourth, fifth, sixth] = tickets(&api).await;
    assert_eq!(
        refused(attach(&api, first, Some(first)).await),
        "PARENT_LOOP"
    );
    attach(&api, second, Some(first)).await.unwrap();
    attach(&api, third, Some(second)).await.unwrap();
    assert_eq!(
        refused(attach(&api, first, Some(third)).await),
        "PARENT_LOOP"
    );
    attach(&api, fifth, Some(fourth)).await.unwrap();
    // Each alone is legal; together they would be a ring.
    let (one, two) = tokio::join!(
        attach(&api, fourth, Some(third)),
        attach(&api, first, Some(fifth))
    );
    assert_ne!(one.is_ok(), two.is_ok());
    let (top, bottom) = if one.is_ok() {
        (first, fifth)
    } else {
        (fourth, third)
    };
    // The first five in one order or the other are five levels.
    assert_eq!(
        refused(attach(&api, sixth, Some(bottom)).await),
        "PARENT_TOO_DEEP"
    );
    assert_eq!(
        refused(attach(&api, top, Some(sixth)).await),
        "PARENT_TOO_DEEP"
    );
    // A part that goes makes room.
    attach(&api, bottom, None).await.unwrap();
    attach(&api, top, Some(sixth)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_follow_a_merge_and_come_back() {
    let api = Api::new().await;
    let [source, target, child, below] = tickets(&api).await;
    attach(&api, child, Some(source)).await.unwrap();
    merge(&api, &[source], target).await.unwrap();
    assert_eq!(
        get(&api, target).await.children[0].ticket_id,
        child.to_string()
    );
    assert_eq!(
        refused(status(&api, target, TicketStatus::Resolved).await),
        "SUBTICKETS_OPEN"
    );
    // The target is the parent now, for rings as well.
    assert_eq!(
        refused(attach(&api, target, Some(child)).await),
        "PARENT_LOOP"
    );
    unmerge(&api, source).await.unwrap();
    assert_eq!(get(&api, target).await.children, []);
    assert_eq!(
        refused(status(&api, source, TicketStatus::Resolved).await),
        "SUBTICKETS_OPEN"
    );

    // What is a part of a part cannot take in the whole; a part can, and stands for both then.
    attach(&api, below, Some(child)).await.unwrap();
    assert_eq!(refused(merge(&api, &[source], below).await), "PARENT_LOOP");
    merge(&api, &[source], child).await.unwrap();
    assert_eq!(get(&api, child).await.children.len(), 1);
    // The source as a part of what came below it meanwhile: that ends with the merge.
    unmerge(&api, source).await.unwrap();
    attach(&api, source, Some(target)).await.unwrap();
    let [other] = [api
        .world
        .file(&mail("x@c.example", "x@d.example"))
        .await
        .unwrap()
        .id];
    merge(&api, &[source], other).await.unwrap();
    attach(&api, target, Some(child)).await.unwrap();
    let back = unmerge(&api, source).await.unwrap();
    assert_eq!(back.parent_id, "");
    assert_eq!(get(&api, child).await.parent_id, source.to_string());
}

async fn link(api: &Api, one: Uuid, other: Uuid, kind: LinkKind) -> Result<Ticket, Status> {
    let request = LinkTicketsRequest {
        ticket_id: one.to_string(),
        other_ticket_id: other.to_string(),
        kind: kind.into(),
        ..LinkTicketsRequest::default()
    };
    let answer = api.work().link_tickets(api.agent(request)).await;
    answer.map(tonic::Response::into_inner)
}

fn links(ticket: &Ticket) -> Vec<(String, Kind)> {
    let links = ticket.links.iter();
    links.map(|it| (it.ticket_id.clone(), it.kind())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_link_tickets_and_unlink_them() {
    let api = Api::new().await;
    let [one, other] = tickets(&api).await;
    for (kind, seen, from_other) in [
        (LinkKind::Related, Kind::Related, Kind::Related),
        (LinkKind::Duplicate, Kind::DuplicateOf, Kind::DuplicatedBy),
        (LinkKind::ProblemOf, Kind::ProblemOf, Kind::IncidentOf),
    ] {
        let linked = link(&api, one, other, kind).await.unwrap();
        assert_eq!(links(&linked), [(other.to_string(), seen)]);
        // Again changes nothing.
        let again = link(&api, one, other, kind).await.unwrap();
        assert_eq!(again.version, linked.version);
        assert_eq!(
            links(&get(&api, other).await),
            [(one.to_string(), from_other)]
        );
        let back = link(&api, other, one, kind).await;
        if kind == LinkKind::Related {
            assert_eq!(back.unwrap().links.len(), 1);
        } else {
            assert_eq!(refused(back), "LINK_CONTRADICTS");
        }
        let request = UnlinkTicketsRequest {
            ticket_id: one.to_string(),
            other_ticket_id: other.to_string(),
            kind: kind.into(),
            ..UnlinkTicketsRequest::default()
        };
        let unlinked = api
            .work()
            .unlink_tickets(api.agent(request.clone()))
            .await
            .unwrap();
        assert_eq!(unlinked.into_inner().links, []);
        let gone = api
            .work()
            .unlink_tickets(api.agent(request))
            .await
            .unwrap_err();
        assert_eq!(gone.code(), Code::NotFound);
    }
    assert_eq!(
        refused(link(&api, one, one, LinkKind::Related).await),
        "LINK_WITH_ITSELF"
    );
    // Both sides were told of three links and their end.
    let told = api.world.told::<TicketChanged>().await;
    assert_eq!(
        told.iter()
            .filter(|it| it.changes[0].field == "links")
            .count(),
        12
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_incident_is_answered_once() {
    let api = Api::new().await;
    let [problem, first, second, closed, merged] = tickets(&api).await;
    for incident in [first, second, closed, merged] {
        link(&api, problem, incident, LinkKind::ProblemOf)
            .await
            .unwrap();
    }
    status(&api, closed, TicketStatus::Closed).await.unwrap();
    // An incident that became part of another one gets its answer there, once.
    merge(&api, &[merged], second).await.unwrap();
    let send = |request_id: &str| {
        let request = BroadcastReplyRequest {
            ticket_id: problem.to_string(),
            text: "It is repaired.".to_owned(),
            request_id: request_id.to_owned(),
            ..BroadcastReplyRequest::default()
        };
        let call = api.agent(request);
        let mut client = api.work();
        async move { client.broadcast_reply(call).await }
    };
    let without = send("").await.unwrap_err();
    assert_eq!(without.code(), Code::InvalidArgument);
    let (one, two) = tokio::join!(send("r1"), send("r1"));
    let one: BroadcastReplyResponse = one.unwrap().into_inner();
    assert_eq!(one, two.unwrap().into_inner());
    let outcome: Vec<_> = one
        .results
        .iter()
        .map(|it| (it.ticket_id.clone(), it.error_reason.as_str()))
        .collect();
    let expected = [
        (first.to_string(), ""),
        (second.to_string(), ""),
        (closed.to_string(), "ILLEGAL_STATUS_MOVE"),
    ];
    assert_eq!(outcome, expected);
    assert_eq!((one.sent, one.failed), (2, 1));
    let answers = "SELECT count(*) FROM tickets.message WHERE body_text = 'It is repaired.'";
    assert_eq!(api.world.count(answers).await, 2);
    assert_eq!(send("r1").await.unwrap().into_inner(), one);
    assert_eq!(send("r2").await.unwrap().into_inner().sent, 2);
    assert_eq!(api.world.count(answers).await, 4);
}

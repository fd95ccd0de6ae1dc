//! Tickets that become part of others, by a mail and by hand, and back.

use solmu_proto::{
    ticket::v1::{
        GetTicketRequest, ListTicketsRequest, MergeTicketsRequest, MessageSplit,
        SplitMessageRequest, Ticket, TicketChanged, TicketMerged, TicketUnmerged,
        UnmergeTicketRequest, ticket_link::Kind,
    },
    types::v1::TicketStatus,
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    api_world::{AGENT, Api, reason},
    support::{World, answer, mail, signed},
};

const AINO: &str = "aino@c.example";
const BOSS: &str = "boss@c.example";

pub(crate) async fn merge(api: &Api, sources: &[Uuid], target: Uuid) -> Result<Ticket, Status> {
    let request = MergeTicketsRequest {
        source_ids: sources.iter().map(Uuid::to_string).collect(),
        target_id: target.to_string(),
        reason: "one matter".to_owned(),
        etag: String::new(),
        ..MergeTicketsRequest::default()
    };
    let answer = api.tickets().merge_tickets(api.agent(request)).await;
    answer.map(tonic::Response::into_inner)
}

pub(crate) async fn unmerge(api: &Api, ticket: Uuid) -> Result<Ticket, Status> {
    let request = UnmergeTicketRequest {
        ticket_id: ticket.to_string(),
        reason: "two matters".to_owned(),
        etag: String::new(),
        ..UnmergeTicketRequest::default()
    };
    let answer = api.tickets().unmerge_ticket(api.agent(request)).await;
    answer.map(tonic::Response::into_inner)
}

pub(crate) async fn split(api: &Api, message: Uuid) -> Result<Ticket, Status> {
    let request = SplitMessageRequest {
        message_id: message.to_string(),
        reason: "another matter".to_owned(),
        etag: String::new(),
        ..SplitMessageRequest::default()
    };
    let answer = api.tickets().split_message(api.agent(request)).await;
    answer.map(tonic::Response::into_inner)
}

async fn get(api: &Api, id: &str) -> Ticket {
    let request = api.agent(GetTicketRequest { id: id.to_owned() });
    let ticket = api.tickets().get_ticket(request).await.unwrap();
    ticket.into_inner()
}

/// The ids of the mails on a ticket, in order, with their sequences.
async fn on(world: &World, ticket: Uuid) -> Vec<(String, i64)> {
    sqlx::query_as(
        "SELECT external_id, sequence FROM tickets.message WHERE ticket_id = $1 ORDER BY sequence",
    )
    .bind(ticket)
    .fetch_all(world.pool())
    .await
    .unwrap()
}

fn named(rows: &[(String, i64)]) -> Vec<&str> {
    rows.iter().map(|(id, _)| id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_merges_what_it_ties_together_and_says_so() {
    let world = World::new().await;
    let first = world.file(&mail("1@c.example", AINO)).await.unwrap();
    let third = world
        .file(&answer("3@c.example", BOSS, &["2@c.example"]))
        .await
        .unwrap();
    assert_ne!(first.id, third.id);
    let second = answer("2@c.example", AINO, &["1@c.example"]);
    let joined = world.file(&second).await.unwrap();
    assert_eq!(joined.id, first.id, "the older one goes on");
    assert_eq!(
        named(&on(&world, first.id).await),
        ["1@c.example", "3@c.example", "2@c.example"]
    );
    let merged = world.ticket(third.id).await;
    assert_eq!(merged.status, "closed");
    assert!(world.notices(&second).await[0].contains(&format!("#{}", third.number)));

    let told = world.told::<TicketMerged>().await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].source_ticket_id, third.id.to_string());
    assert_eq!(told[0].message_ids.len(), 1);
    assert_eq!(
        told[0].ticket.as_ref().unwrap().ticket_id,
        first.id.to_string()
    );
    let closed = world.told::<TicketChanged>().await;
    let closed = closed.last().unwrap().ticket.clone().unwrap();
    assert_eq!(
        (closed.ticket_id.as_str(), closed.status()),
        (third.id.to_string().as_str(), TicketStatus::Closed)
    );
    assert!(
        closed.routing_version > third.routing_version,
        "the router lets go of it"
    );

    // Whatever names the merged one leads to the other: an id, its number, its signature.
    let by_id = answer("4@c.example", BOSS, &["3@c.example"]);
    let mut by_number = mail("5@c.example", BOSS);
    by_number.threading.as_mut().unwrap().subject_ticket_numbers = vec![third.number];
    let by_signature = signed(mail("6@c.example", AINO), third.id);
    for message in [by_id, by_number, by_signature] {
        assert_eq!(world.file(&message).await.unwrap().id, first.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_work_on_is_not_moved_and_takes_in_what_they_do_not() {
    let world = World::new().await;
    let young = |n: usize| {
        answer(
            &format!("{n}-3@c.example"),
            AINO,
            &[&format!("{n}-2@c.example")],
        )
    };
    // The older one is new, somebody works on the younger one: it is the one that goes on.
    let older = world.file(&mail("a-1@c.example", AINO)).await.unwrap();
    let younger = world
        .file(&answer("a-3@c.example", AINO, &["a-2@c.example"]))
        .await
        .unwrap();
    world.set_status(younger.id, "waiting_on_customer").await;
    let joined = world
        .file(&answer("a-2@c.example", AINO, &["a-1@c.example"]))
        .await
        .unwrap();
    assert_eq!(
        (joined.id, joined.status.as_str()),
        (younger.id, "customer_replied")
    );
    assert_eq!(world.ticket(older.id).await.status, "closed");
    // What is closed stays as it is.
    let closed = world.file(&mail("9-1@c.example", AINO)).await.unwrap();
    world.set_status(closed.id, "closed").await;
    let open = world.file(&young(9)).await.unwrap();
    world
        .file(&answer("9-2@c.example", AINO, &["9-1@c.example"]))
        .await
        .unwrap();
    assert_ne!(world.ticket(open.id).await.status, "closed");
    assert_eq!(world.ticket(closed.id).await.message_count, 1);
    // Three at once: two that nobody knows go into the one that somebody does.
    let mut tickets = Vec::new();
    for id in ["x@c.example", "y@c.example", "z@c.example"] {
        tickets.push(world.file(&mail(id, AINO)).await.unwrap());
    }
    world.set_status(tickets[1].id, "open").await;
    let all = answer(
        "w@c.example",
        AINO,
        &["x@c.example", "y@c.example", "z@c.example"],
    );
    assert_eq!(world.file(&all).await.unwrap().id, tickets[1].id);
    assert_eq!(
        named(&on(&world, tickets[1].id).await),
        ["y@c.example", "x@c.example", "z@c.example", "w@c.example"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_by_hand_and_back() {
    let api = Api::new().await;
    let world = &api.world;
    let target = world.file(&mail("t1@c.example", AINO)).await.unwrap();
    let source = world
        .file(&mail("s1@d.example", "matti@d.example"))
        .await
        .unwrap();
    world
        .file(&answer(
            "s2@d.example",
            "matti@d.example",
            &["s1@d.example"],
        ))
        .await
        .unwrap();
    world.set_status(source.id, "waiting_on_customer").await;
    let before = on(world, source.id).await;

    let merged = merge(&api, &[source.id], target.id).await.unwrap();
    assert_eq!(
        (merged.id.as_str(), merged.message_count),
        (target.id.to_string().as_str(), 3)
    );
    assert_eq!(
        merge(&api, &[source.id], target.id).await.unwrap().version,
        merged.version,
        "again is nothing"
    );
    let seen = get(&api, &format!("#{}", source.number)).await;
    assert_eq!(
        (seen.merged_into, seen.message_count),
        (target.id.to_string(), 0)
    );
    let list = api.agent(ListTicketsRequest::default());
    let list = api.tickets().list_tickets(list).await.unwrap().into_inner();
    assert_eq!(list.tickets.len(), 1, "lists leave it out");
    let between = answer("s3@d.example", "matti@d.example", &["s2@d.example"]);
    assert_eq!(
        world.file(&between).await.unwrap().id,
        target.id,
        "later mail follows"
    );
    let note = solmu_proto::ticket::v1::AddNoteRequest {
        ticket_id: source.id.to_string(),
        text: "a note".to_owned(),
        request_id: String::new(),
        ..solmu_proto::ticket::v1::AddNoteRequest::default()
    };
    let refused = api.tickets().add_note(api.agent(note)).await.unwrap_err();
    assert_eq!(reason(&refused), "TICKET_MERGED");

    let back = unmerge(&api, source.id).await.unwrap();
    assert_eq!(
        (back.status(), back.message_count),
        (TicketStatus::WaitingOnCustomer, 2)
    );
    assert_eq!(on(world, source.id).await, before, "exactly as it was");
    assert_eq!(
        named(&on(world, target.id).await),
        ["t1@c.example", "s3@d.example"]
    );
    let later = answer("s4@d.example", "matti@d.example", &["s2@d.example"]);
    assert_eq!(world.file(&later).await.unwrap().id, source.id);
    assert_eq!(
        reason(&unmerge(&api, source.id).await.unwrap_err()),
        "NOT_MERGED"
    );
    let told = world.told::<TicketUnmerged>().await;
    assert_eq!(told[0].message_ids.len(), 2);
    assert_eq!(told[0].actor.as_ref().unwrap().id, AGENT.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_merged_is_refused_with_its_reason() {
    let api = Api::new().await;
    let world = &api.world;
    let mut tickets = Vec::new();
    for n in 0..4 {
        let from = format!("{n}@{n}.example");
        tickets.push(
            world
                .file(&mail(&format!("{n}@x.example"), &from))
                .await
                .unwrap()
                .id,
        );
    }
    let refused = |result: Result<Ticket, Status>| reason(&result.unwrap_err());
    assert_eq!(
        refused(merge(&api, &[tickets[0]], tickets[0]).await),
        "MERGE_WITH_ITSELF"
    );
    merge(&api, &[tickets[0]], tickets[1]).await.unwrap();
    assert_eq!(
        refused(merge(&api, &[tickets[1]], tickets[0]).await),
        "TICKET_MERGED",
        "a ring"
    );
    assert_eq!(
        refused(merge(&api, &[tickets[0]], tickets[2]).await),
        "TICKET_MERGED"
    );
    merge(&api, &[tickets[1]], tickets[2]).await.unwrap();
    assert_eq!(
        refused(unmerge(&api, tickets[0]).await),
        "TICKET_MERGED",
        "the last merge first"
    );
    world.set_status(tickets[3], "closed").await;
    assert_eq!(
        refused(merge(&api, &[tickets[2]], tickets[3]).await),
        "TICKET_CLOSED"
    );
    let unknown = merge(&api, &[Uuid::from_u128(1)], tickets[2])
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    let none = merge(&api, &[], tickets[2]).await.unwrap_err();
    assert_eq!(none.code(), tonic::Code::InvalidArgument);
    let stale = MergeTicketsRequest {
        source_ids: vec![tickets[3].to_string()],
        target_id: tickets[2].to_string(),
        reason: String::new(),
        etag: "\"1\"".to_owned(),
        ..MergeTicketsRequest::default()
    };
    let stale = api
        .tickets()
        .merge_tickets(api.agent(stale))
        .await
        .unwrap_err();
    assert_eq!(reason(&stale), "ETAG_MISMATCH");
    unmerge(&api, tickets[1]).await.unwrap();
    unmerge(&api, tickets[0]).await.unwrap();
    for ticket in &tickets {
        assert_eq!(on(world, *ticket).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_gets_a_ticket_of_its_own_and_answers_follow() {
    let api = Api::new().await;
    let world = &api.world;
    let old = world.file(&mail("1@c.example", AINO)).await.unwrap();
    let second = answer("2@c.example", AINO, &["1@c.example"]);
    world.file(&second).await.unwrap();
    let message = Uuid::parse_str(&second.message_id).unwrap();
    let new = split(&api, message).await.unwrap();
    assert_eq!((new.status(), new.message_count), (TicketStatus::New, 1));
    assert_eq!(get(&api, &old.id.to_string()).await.message_count, 1);
    let links = get(&api, &new.id).await.links;
    assert_eq!(
        (links[0].ticket_id.clone(), links[0].kind()),
        (old.id.to_string(), Kind::SplitFrom)
    );
    let links = get(&api, &old.id.to_string()).await.links;
    assert_eq!(
        (links[0].ticket_id.clone(), links[0].kind()),
        (new.id.clone(), Kind::SplitInto)
    );
    // An answer that names both goes with the newer one, and brings nothing together.
    let later = answer("3@c.example", AINO, &["1@c.example", "2@c.example"]);
    assert_eq!(world.file(&later).await.unwrap().id.to_string(), new.id);
    assert_eq!(
        world
            .count("SELECT count(*) FROM tickets.ticket_merge")
            .await,
        0
    );
    let bare = answer("4@c.example", AINO, &["1@c.example"]);
    assert_eq!(world.file(&bare).await.unwrap().id, old.id);
    assert_eq!(world.told::<MessageSplit>().await[0].new_ticket_id, new.id);

    let alone = world
        .file(&mail("5@d.example", "d@d.example"))
        .await
        .unwrap();
    let only: Uuid = sqlx::query_scalar("SELECT id FROM tickets.message WHERE ticket_id = $1")
        .bind(alone.id)
        .fetch_one(world.pool())
        .await
        .unwrap();
    assert_eq!(
        reason(&split(&api, only).await.unwrap_err()),
        "NOT_SPLITTABLE"
    );
    let unknown = split(&api, Uuid::from_u128(5)).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merges_in_a_ring_from_many_callers_end_in_no_ring() {
    const SIZE: usize = 6;
    let api = Api::new().await;
    let mut tickets = Vec::new();
    for n in 0..SIZE {
        let from = format!("{n}@{n}.example");
        let ticket = api
            .world
            .file(&mail(&format!("{n}@x.example"), &from))
            .await;
        tickets.push(ticket.unwrap().id);
    }
    let calls = (0..SIZE * 2).map(|n| {
        let step = 1 + n / SIZE;
        merge_one(&api, tickets[n % SIZE], tickets[(n + step) % SIZE])
    });
    for result in futures::future::join_all(calls).await {
        if let Err(status) = result {
            assert_eq!(reason(&status), "TICKET_MERGED", "{status:?}");
        }
    }
    let ends = "WITH RECURSIVE chain AS (
            SELECT id AS start, id, merged_into, 1 AS steps FROM tickets.ticket
            UNION ALL
            SELECT chain.start, next.id, next.merged_into, steps + 1 FROM chain
            JOIN tickets.ticket AS next ON next.id = chain.merged_into WHERE steps <= 10
         ) SELECT count(DISTINCT start) FROM chain WHERE merged_into IS NULL";
    assert_eq!(
        api.world.count(ends).await,
        i64::try_from(SIZE).unwrap(),
        "each chain ends"
    );
    let merged = api
        .world
        .count("SELECT count(*) FROM tickets.ticket WHERE merged_into IS NOT NULL")
        .await;
    assert!(merged >= 1);
    let lost = "SELECT count(*) FROM tickets.ticket WHERE message_count - moved_away <>
        (SELECT count(*) FROM tickets.message WHERE ticket_id = ticket.id)";
    assert_eq!(api.world.count(lost).await, 0);
}

async fn merge_one(api: &Api, source: Uuid, target: Uuid) -> Result<Ticket, Status> {
    merge(api, &[source], target).await
}

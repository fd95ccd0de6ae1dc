//! Which ticket a message belongs to, and what it does there.

use solmu_proto::{
    ticket::v1::TicketMessageAdded,
    types::v1::{AutomaticClass, TicketStatus},
};

use crate::support::{World, answer, automatic, chat, mail, signed};

const ROOT: &str = "root@c.example";
const AINO: &str = "aino@c.example";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_overtakes_its_original_meets_it() {
    let world = World::new().await;
    let reply = world
        .file(&answer("r@c.example", AINO, &[ROOT]))
        .await
        .unwrap();
    let original = world.file(&mail(ROOT, AINO)).await.unwrap();
    assert_eq!((original.id, original.message_count), (reply.id, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_a_message_that_nobody_has_meet() {
    let world = World::new().await;
    let first = world
        .file(&answer("r1@c.example", AINO, &["lost@x.example"]))
        .await
        .unwrap();
    let second = world
        .file(&answer("r2@c.example", AINO, &["lost@x.example"]))
        .await
        .unwrap();
    assert_eq!(first.id, second.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_takes_part_joins() {
    let world = World::new().await;
    let ticket = world.file(&mail(ROOT, AINO)).await.unwrap();
    let colleague = world
        .file(&answer("c@c.example", "boss@c.example", &[ROOT]))
        .await
        .unwrap();
    assert_eq!(colleague.id, ticket.id, "a colleague by mail domain");
    let stranger = world
        .file(&answer("s@evil.example", "s@evil.example", &[ROOT]))
        .await
        .unwrap();
    assert_ne!(stranger.id, ticket.id);
    assert_eq!(
        stranger.previous_ticket_id,
        Some(ticket.id),
        "linked for agents to see"
    );
    assert_eq!(world.ticket(ticket.id).await.next_ticket_id, None);
    // The stranger's own thread is theirs; the customer's stays the customer's.
    let again = answer(
        "s2@evil.example",
        "s@evil.example",
        &[ROOT, "s@evil.example"],
    );
    assert_eq!(world.file(&again).await.unwrap().id, stranger.id);
    let more = answer("m@c.example", AINO, &[ROOT, "c@c.example"]);
    assert_eq!(world.file(&more).await.unwrap().id, ticket.id);

    let home = world
        .file(&mail("h@gmail.com", "one@gmail.com"))
        .await
        .unwrap();
    let other = world
        .file(&answer("o@gmail.com", "two@gmail.com", &["h@gmail.com"]))
        .await
        .unwrap();
    assert_ne!(
        other.id, home.id,
        "a domain that many share makes no colleagues"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_joins_whoever_writes() {
    let world = World::new().await;
    let ticket = world.file(&mail(ROOT, AINO)).await.unwrap();
    let other = signed(
        mail("x@other.example", "forwarded@other.example"),
        ticket.id,
    );
    assert_eq!(world.file(&other).await.unwrap().id, ticket.id);
    let unknown = signed(
        mail("y@other.example", "z@other.example"),
        uuid::Uuid::nil(),
    );
    assert_ne!(world.file(&unknown).await.unwrap().id, ticket.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_ticket_is_followed_by_a_new_one() {
    let world = World::new().await;
    let closed = world.file(&mail(ROOT, AINO)).await.unwrap();
    world.set_status(closed.id, "closed").await;
    // A stranger who names it gets a ticket of their own and takes nothing over.
    let stranger = world
        .file(&answer("s@evil.example", "s@evil.example", &[ROOT]))
        .await
        .unwrap();
    assert_eq!(world.ticket(closed.id).await.next_ticket_id, None);

    let mut next = answer("n@c.example", AINO, &[ROOT]);
    next.delivered_to = vec!["support+t.x.y@solmu.example".to_owned()];
    let next = world.file(&next).await.unwrap();
    assert_eq!(next.recipient, "support@solmu.example");
    assert!(next.id != closed.id && next.id != stranger.id);
    assert_eq!(
        (next.previous_ticket_id, next.status.as_str()),
        (Some(closed.id), "new")
    );
    assert_eq!(world.ticket(closed.id).await.next_ticket_id, Some(next.id));
    let later = world
        .file(&answer("l@c.example", AINO, &[ROOT]))
        .await
        .unwrap();
    assert_eq!(later.id, next.id, "later answers go to the successor");
    let by_signature = signed(mail("q@c.example", AINO), closed.id);
    assert_eq!(world.file(&by_signature).await.unwrap().id, next.id);

    world.set_status(next.id, "closed").await;
    let third = world
        .file(&answer("t@c.example", AINO, &[ROOT]))
        .await
        .unwrap();
    assert_eq!(third.previous_ticket_id, Some(next.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_goes_on_in_a_new_ticket_after_closing() {
    let world = World::new().await;
    let first = world.file(&chat("c1", "s")).await.unwrap();
    world.set_status(first.id, "closed").await;
    let second = world.file(&chat("c2", "s")).await.unwrap();
    assert_eq!(second.previous_ticket_id, Some(first.id));
    assert_eq!(world.file(&chat("c3", "s")).await.unwrap().id, second.id);
    world.set_status(second.id, "closed").await;
    assert_eq!(
        world
            .file(&chat("c4", "s"))
            .await
            .unwrap()
            .previous_ticket_id,
        Some(second.id)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_reopens_what_was_resolved_and_a_responder_does_not() {
    let world = World::new().await;
    let ticket = world.file(&mail(ROOT, AINO)).await.unwrap();
    world.set_status(ticket.id, "resolved").await;
    for (id, class) in [
        ("auto@c.example", AutomaticClass::AutoReply),
        ("ooo@c.example", AutomaticClass::OutOfOffice),
        ("gen@c.example", AutomaticClass::AutoGenerated),
    ] {
        let joined = world
            .file(&automatic(answer(id, AINO, &[ROOT]), class))
            .await
            .unwrap();
        assert_eq!((joined.id, joined.status.as_str()), (ticket.id, "resolved"));
    }
    let before = world.ticket(ticket.id).await;
    let reopened = world
        .file(&answer("r@c.example", AINO, &[ROOT]))
        .await
        .unwrap();
    assert_eq!(
        (reopened.id, reopened.status.as_str()),
        (ticket.id, "customer_replied")
    );
    assert_eq!(reopened.routing_version, before.routing_version + 1);
    assert_eq!(
        world
            .count("SELECT count(*) FROM tickets.ticket WHERE close_at IS NOT NULL")
            .await,
        0
    );
    let told = world.told::<TicketMessageAdded>().await;
    let last = told.last().unwrap();
    assert_eq!(last.previous_status(), TicketStatus::Resolved);
    assert_eq!(
        last.ticket.as_ref().unwrap().status(),
        TicketStatus::CustomerReplied
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_responder_on_a_closed_ticket_stays_there() {
    let world = World::new().await;
    let ticket = world.file(&mail(ROOT, AINO)).await.unwrap();
    world.set_status(ticket.id, "closed").await;
    let auto = automatic(
        answer("a@c.example", AINO, &[ROOT]),
        AutomaticClass::OutOfOffice,
    );
    let joined = world.file(&auto).await.unwrap();
    assert_eq!((joined.id, joined.status.as_str()), (ticket.id, "closed"));
}

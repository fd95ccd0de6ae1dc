//! What is shown to nobody outside: restricted tickets, and those of people who are blocked or erased.

use solmu_proto::{
    contact::v1::{BlockContactRequest, EraseContactRequest, UnblockContactRequest},
    requester::v1::{CreateTicketRequest, OrderServiceRequest, ReplyRequest},
    ticket::v1::{BlockSenderRequest, RestrictTicketRequest, UnrestrictTicketRequest},
    types::v1::{Assurance, IdentityKind},
};
use solmu_testkit::wait_for;
use tonic::Code;
use uuid::Uuid;

use crate::world::{AINO, World, by_mail, identity, mail, message};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restricted_ticket_does_not_exist() {
    let world = World::new().await;
    let ticket = world.file(&mail("m1", AINO)).await;
    let other = world.file(&mail("m2", AINO)).await;
    let restrict = world.agent(RestrictTicketRequest {
        ticket_id: ticket.to_string(),
        agent_ids: vec![Uuid::from_u128(77).to_string()],
        reason: "a threat".to_owned(),
        ..RestrictTicketRequest::default()
    });
    world.tickets().restrict_ticket(restrict).await.unwrap();
    let aino = by_mail(AINO);
    assert_eq!(world.ids(&aino).await, [other]);
    assert_eq!(
        world.get(&aino, ticket).await.unwrap_err().code(),
        Code::NotFound
    );
    assert_eq!(
        world.messages(&aino, ticket).await.unwrap_err().code(),
        Code::NotFound
    );
    let reply = world.portal(ReplyRequest {
        requester: Some(aino.clone()),
        ticket_id: ticket.to_string(),
        text: "And?".to_owned(),
        request_id: "1".to_owned(),
    });
    let refused = world.requesters().reply(reply).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(
        world
            .count("SELECT count(*) FROM tickets.requester_request")
            .await,
        0
    );

    let lift = world.agent(UnrestrictTicketRequest {
        ticket_id: ticket.to_string(),
        reason: "it was none".to_owned(),
        ..UnrestrictTicketRequest::default()
    });
    world.tickets().unrestrict_ticket(lift).await.unwrap();
    assert_eq!(world.ids(&aino).await, [other, ticket]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_blocked_sees_nothing_and_what_they_write_waits() {
    let world = World::new().await;
    let ticket = world.file(&mail("m1", AINO)).await;
    let contact_id = world.contact_of(ticket).await.to_string();
    let block = world.agent(BlockContactRequest {
        contact_id: contact_id.clone(),
        ..BlockContactRequest::default()
    });
    world.contacts().block_contact(block).await.unwrap();
    let aino = by_mail(AINO);
    assert_eq!(world.ids(&aino).await, Vec::<Uuid>::new());
    assert_eq!(
        world.get(&aino, ticket).await.unwrap_err().code(),
        Code::NotFound
    );
    let order = world.portal(OrderServiceRequest {
        requester: Some(aino.clone()),
        service_id: Uuid::from_u128(5).to_string(),
        request_id: "o".to_owned(),
        ..OrderServiceRequest::default()
    });
    let refused = world.requesters().order_service(order).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);

    // As a mail of theirs: taken in, and seen by people who may let it out.
    let unblock = world.agent(UnblockContactRequest {
        contact_id,
        ..UnblockContactRequest::default()
    });
    world.contacts().unblock_contact(unblock).await.unwrap();
    assert_eq!(world.ids(&aino).await, [ticket]);
    let block = world.agent(BlockSenderRequest {
        pattern: "@c.example".to_owned(),
        ..BlockSenderRequest::default()
    });
    world.tickets().block_sender(block).await.unwrap();
    assert_eq!(world.ids(&aino).await, Vec::<Uuid>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_blocked_requester_writes_waits_in_the_quarantine() {
    let world = World::with(solmu_requester::Config {
        // It is never filed: nothing is gained by waiting.
        filing_wait_ms: 0,
        ..solmu_requester::Config::default()
    })
    .await;
    let ticket = world.file(&mail("m1", AINO)).await;
    let block = world.agent(BlockContactRequest {
        contact_id: world.contact_of(ticket).await.to_string(),
        ..BlockContactRequest::default()
    });
    world.contacts().block_contact(block).await.unwrap();
    let write = world.portal(CreateTicketRequest {
        requester: Some(by_mail(AINO)),
        subject: "Why".to_owned(),
        text: "Why do you not answer".to_owned(),
        request_id: "1".to_owned(),
    });
    let taken = world
        .requesters()
        .create_ticket(write)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(taken.ticket, None);
    wait_for("it waits", || async {
        let waits = "SELECT count(*) FROM tickets.quarantine WHERE cause_code = 'blocked_sender'";
        world.count(waits).await == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_erased_begins_anew() {
    let world = World::new().await;
    let named = identity(IdentityKind::Email, AINO, Assurance::Proven);
    let first = solmu_proto::types::v1::Channel::Form;
    let ticket = world
        .file(&message(first, "f1", "Aino Aalto", &[named]))
        .await;
    let aino = by_mail(AINO);
    assert_eq!(world.ids(&aino).await, [ticket]);
    let vouched = "SELECT count(*) FROM tickets.identity_attestation";
    assert_eq!(world.count(vouched).await, 1);
    let erase = world.admin(EraseContactRequest {
        contact_id: world.contact_of(ticket).await.to_string(),
        confirm_display_name: "Aino Aalto".to_owned(),
    });
    world.contacts().erase_contact(erase).await.unwrap();
    assert_eq!(world.ids(&aino).await, Vec::<Uuid>::new());
    assert_eq!(
        world.get(&aino, ticket).await.unwrap_err().code(),
        Code::NotFound
    );
    assert_eq!(world.count(vouched).await, 0, "it went with the identity");
    let anew = world.file(&mail("m2", AINO)).await;
    assert_eq!(world.ids(&aino).await, [anew]);
}

//! Who may call: a service with the scope, and nobody else.

use solmu_proto::{
    access::v1::Role,
    requester::v1::{ListTicketsRequest, ReplyRequest},
    ticket::v1::ListTicketsRequest as ListAll,
};
use tonic::Code;

use crate::world::{AINO, World, by_mail, mail, reason, with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_service_with_the_scope_speaks_for_requesters() {
    let world = World::new().await;
    let ticket = world.file(&mail("m1", AINO)).await;
    let list = || ListTicketsRequest {
        requester: Some(by_mail(AINO)),
        ..ListTicketsRequest::default()
    };
    for request in [world.agent(list()), world.admin(list())] {
        let refused = world.requesters().list_tickets(request).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::PermissionDenied, "ROLE_REQUIRED")
        );
    }
    let other = world
        .token(Role::Service, &["tickets.admin", "contacts.admin"])
        .await;
    let refused = world
        .requesters()
        .list_tickets(with(list(), &other))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "SCOPE_REQUIRED");

    let reader = world.token(Role::Service, &["requesters.read"]).await;
    world
        .requesters()
        .list_tickets(with(list(), &reader))
        .await
        .unwrap();
    let reply = ReplyRequest {
        requester: Some(by_mail(AINO)),
        ticket_id: ticket.to_string(),
        text: "Hello".to_owned(),
        request_id: "r1".to_owned(),
    };
    let refused = world
        .requesters()
        .reply(with(reply, &reader))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "SCOPE_REQUIRED");
    // And a portal sees nothing of what agents see.
    let request = world.portal(ListAll::default());
    let refused = world.tickets().list_tickets(request).await.unwrap_err();
    assert_eq!(reason(&refused), "SCOPE_REQUIRED");
}

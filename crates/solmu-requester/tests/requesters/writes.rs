//! What requesters write: once, the way of every message, and seen by agents with who vouched for it.

use futures::future::join_all;
use solmu_proto::{
    requester::v1::{
        CloseTicketRequest, CreateTicketRequest, CreateTicketResponse, ReplyRequest, Requester,
        Ticket, ticket::State,
    },
    ticket::v1::{
        GetTicketRequest, ListActivitiesRequest, ListMessagesRequest, SetStatusRequest,
        UpdateTicketRequest,
    },
    types::v1::{IdentityKind, TicketStatus, actor},
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::world::{AINO, BEN, World, by_mail, fields, mail, reason, signed_in};

impl World {
    pub(crate) async fn create(
        &self,
        who: &Requester,
        text: &str,
        request_id: &str,
    ) -> Result<CreateTicketResponse, Status> {
        let request = self.portal(CreateTicketRequest {
            requester: Some(who.clone()),
            subject: "A lamp is broken".to_owned(),
            text: text.to_owned(),
            request_id: request_id.to_owned(),
        });
        Ok(self.requesters().create_ticket(request).await?.into_inner())
    }

    /// Replies, and waits until that is filed; returns the ticket that it is on.
    async fn reply(
        &self,
        who: &Requester,
        ticket: Uuid,
        text: &str,
        id: &str,
    ) -> Result<Uuid, Status> {
        let request = self.portal(ReplyRequest {
            requester: Some(who.clone()),
            ticket_id: ticket.to_string(),
            text: text.to_owned(),
            request_id: id.to_owned(),
        });
        let written = self.requesters().reply(request).await?.into_inner();
        Ok(self.filed(&written.message_id).await)
    }

    async fn close(&self, who: &Requester, ticket: Uuid, id: &str) -> Result<Ticket, Status> {
        let request = self.portal(CloseTicketRequest {
            requester: Some(who.clone()),
            ticket_id: ticket.to_string(),
            request_id: id.to_owned(),
        });
        Ok(self.requesters().close_ticket(request).await?.into_inner())
    }

    async fn status(&self, ticket: Uuid) -> TicketStatus {
        let request = self.agent(GetTicketRequest {
            id: ticket.to_string(),
        });
        self.tickets()
            .get_ticket(request)
            .await
            .unwrap()
            .into_inner()
            .status()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_requester_writes_and_sees_it() {
    let world = World::new().await;
    let aino = Requester {
        display_name: "Aino Aalto".to_owned(),
        ..by_mail(AINO)
    };
    let made = world
        .create(&aino, "The lamp in the hall", "r1")
        .await
        .unwrap();
    let ticket = world.filed(&made.message_id).await;
    assert_eq!(world.ids(&aino).await, [ticket]);
    assert_eq!(world.texts(&aino, ticket).await, ["The lamp in the hall"]);
    let seen = world.get(&aino, ticket).await.unwrap();
    assert_eq!(
        (seen.subject.as_str(), seen.state()),
        ("A lamp is broken", State::Received)
    );
    if let Some(answered) = made.ticket {
        assert_eq!(answered, seen);
    }
    // Agents see who vouched for it; the identity keeps it.
    let request = world.agent(ListMessagesRequest {
        ticket_id: ticket.to_string(),
        ..ListMessagesRequest::default()
    });
    let messages = world
        .tickets()
        .list_messages(request)
        .await
        .unwrap()
        .into_inner()
        .messages;
    assert!(
        messages[0].notices[0].contains("oidc"),
        "{:?}",
        messages[0].notices
    );
    let kept: (i16, String) =
        sqlx::query_as("SELECT assurance, attested_by FROM tickets.identity WHERE value = $1")
            .bind(AINO)
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(kept.0, 3);
    assert!(
        kept.1.starts_with("portal:") && kept.1.ends_with(":oidc"),
        "{}",
        kept.1
    );
    let vouched: (String, bool) =
        sqlx::query_as("SELECT method, first_at = last_at FROM tickets.identity_attestation")
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(vouched, ("oidc".to_owned(), true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_a_hundred_times_at_once_is_one_message() {
    let world = World::new().await;
    let aino = by_mail(AINO);
    let all = join_all((0..100).map(|_| world.create(&aino, "Once", "r1"))).await;
    let ids: std::collections::BTreeSet<String> =
        all.into_iter().map(|it| it.unwrap().message_id).collect();
    assert_eq!(ids.len(), 1);
    world.filed(ids.first().unwrap()).await;
    assert_eq!(world.count("SELECT count(*) FROM tickets.message").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM tickets.ticket").await, 1);
    // Something else under the same id is refused; another requester has ids of their own.
    let other = world.create(&aino, "Twice", "r1").await.unwrap_err();
    assert_eq!(reason(&other), "REQUEST_ID_REUSED");
    let bens = world.create(&by_mail(BEN), "Once", "r1").await.unwrap();
    assert!(!ids.contains(&bens.message_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named() {
    let world = World::new().await;
    let request = world.portal(CreateTicketRequest {
        requester: Some(by_mail(AINO)),
        request_id: "r1".to_owned(),
        ..CreateTicketRequest::default()
    });
    let refused = world.requesters().create_ticket(request).await.unwrap_err();
    assert_eq!(fields(&refused), ["subject", "text"]);
    let unnamed = world.create(&by_mail(AINO), "Hello", "").await.unwrap_err();
    assert_eq!(fields(&unnamed), ["request_id"]);
    let shopper = signed_in(IdentityKind::External, "c-7");
    let nowhere = world.create(&shopper, "Hello", "r1").await.unwrap_err();
    assert_eq!(fields(&nowhere), ["requester.email"]);
    assert_eq!(
        world
            .count("SELECT count(*) FROM tickets.requester_request")
            .await,
        0
    );
    let shopper = Requester {
        email: AINO.to_owned(),
        ..shopper
    };
    let made = world.create(&shopper, "Hello", "r1").await.unwrap();
    let ticket = world.filed(&made.message_id).await;
    assert_eq!(world.ids(&shopper).await, [ticket]);
    assert!(
        world.ids(&by_mail(AINO)).await.is_empty(),
        "the address is a claim"
    );
    world.answer(ticket, "An answer", TicketStatus::Open).await;
    let sent: String =
        sqlx::query_scalar("SELECT address FROM tickets.message WHERE author_kind <> 1")
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(sent, AINO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_does_what_a_mail_would_do() {
    let world = World::new().await;
    let ticket = world.file(&mail("m1", AINO)).await;
    let aino = by_mail(AINO);
    // No guard against newer messages: customers do not collide.
    world
        .answer(ticket, "Did it help?", TicketStatus::Resolved)
        .await;
    let on = world
        .reply(&aino, ticket, "It did not", "r1")
        .await
        .unwrap();
    assert_eq!(on, ticket);
    assert_eq!(world.status(ticket).await, TicketStatus::CustomerReplied);
    // Again: the same message.
    world
        .reply(&aino, ticket, "It did not", "r1")
        .await
        .unwrap();
    let texts = ["words of m1", "Did it help?", "It did not"];
    assert_eq!(world.texts(&aino, ticket).await, texts);

    let close = world.agent(SetStatusRequest {
        ticket_id: ticket.to_string(),
        status: TicketStatus::Closed.into(),
        ..SetStatusRequest::default()
    });
    world.tickets().set_status(close).await.unwrap();
    let next = world.reply(&aino, ticket, "Still not", "r2").await.unwrap();
    assert_ne!(next, ticket);
    assert_eq!(world.texts(&aino, next).await, ["Still not"]);
    assert_eq!(world.get(&aino, next).await.unwrap().subject, "about m1");
    // The next one on the closed ticket follows.
    assert_eq!(
        world.reply(&aino, ticket, "Hello?", "r3").await.unwrap(),
        next
    );

    // Nobody writes on what is somebody else's.
    let refused = world
        .reply(&by_mail(BEN), ticket, "Me too", "r1")
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let log = world.agent(ListActivitiesRequest {
        ticket_id: ticket.to_string(),
        ..ListActivitiesRequest::default()
    });
    let log = world
        .activity()
        .list_activities(log)
        .await
        .unwrap()
        .into_inner()
        .activities;
    let contact = world.contact_of(ticket).await.to_string();
    let by_them = log.iter().filter_map(|it| it.actor.as_ref());
    let by_them = by_them.filter(|it| it.kind() == actor::Kind::Customer && it.id == contact);
    assert_eq!(by_them.count(), 2, "the mail and the reply");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requester_says_that_it_is_solved() {
    let world = World::new().await;
    let ticket = world.file(&mail("m1", AINO)).await;
    let part = world.file(&mail("m2", BEN)).await;
    let (aino, ben) = (by_mail(AINO), by_mail(BEN));
    let child = solmu_proto::ticket::v1::Ticket {
        id: part.to_string(),
        parent_id: ticket.to_string(),
        ..Default::default()
    };
    let request = world.agent(UpdateTicketRequest {
        ticket: Some(child),
        ..UpdateTicketRequest::default()
    });
    world.tickets().update_ticket(request).await.unwrap();
    let refused = world.close(&aino, ticket, "c1").await.unwrap_err();
    assert_eq!(reason(&refused), "STILL_IN_WORK");
    assert!(!refused.message().contains('#'), "{}", refused.message());
    assert_eq!(
        world.close(&ben, ticket, "c1").await.unwrap_err().code(),
        Code::NotFound
    );
    // A part that they wrote themselves is theirs; they close it, and so the whole can be closed.
    assert_eq!(
        world.close(&ben, part, "c1").await.unwrap().state(),
        State::Resolved
    );
    let closed = world.close(&aino, ticket, "c2").await.unwrap();
    assert_eq!(closed.state(), State::Resolved);

    let log = world.agent(ListActivitiesRequest {
        ticket_id: ticket.to_string(),
        ..ListActivitiesRequest::default()
    });
    let log = world
        .activity()
        .list_activities(log)
        .await
        .unwrap()
        .into_inner()
        .activities;
    let contact = world.contact_of(ticket).await.to_string();
    let told = log
        .iter()
        .find(|it| it.changes.iter().any(|it| it.to == "resolved"))
        .unwrap();
    let by = told.actor.as_ref().unwrap();
    assert_eq!(
        (by.kind(), by.id.as_str()),
        (actor::Kind::Customer, contact.as_str())
    );
    assert_eq!(told.reason, "the requester says that it is solved");

    // They write again; the old request, repeated, does not close it once more.
    world
        .reply(&aino, ticket, "It is back", "r1")
        .await
        .unwrap();
    assert_eq!(
        world.close(&aino, ticket, "c2").await.unwrap().state(),
        State::InProgress
    );
    assert_eq!(
        world.close(&aino, ticket, "c3").await.unwrap().state(),
        State::Resolved
    );
    assert_eq!(
        world.close(&aino, ticket, "c4").await.unwrap().state(),
        State::Resolved
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_requester_cannot_flood() {
    let world = World::with(solmu_requester::Config {
        writes_per_minute: 2,
        filing_wait_ms: 0,
        ..solmu_requester::Config::default()
    })
    .await;
    let aino = by_mail(AINO);
    world.create(&aino, "One", "r1").await.unwrap();
    world.create(&aino, "Two", "r2").await.unwrap();
    let refused = world.create(&aino, "Three", "r3").await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "TOO_MANY_WRITES")
    );
    world.create(&aino, "One", "r1").await.unwrap();
    world.create(&by_mail(BEN), "One", "r1").await.unwrap();
    world
        .harness
        .clock
        .advance(jiff::SignedDuration::from_mins(1));
    world.create(&aino, "Three", "r3").await.unwrap();
}

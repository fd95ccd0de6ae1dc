//! Addresses that take no mail.

use jiff::SignedDuration;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::{
    contact::v1::GetContactRequest,
    inbound::v1::DeliveryReported,
    outbound::v1::MessageQueued,
    ticket::v1::{AddNoteRequest, Message, ReplyToTicketRequest, TicketMessageAdded},
    types::v1::{Channel, DeliveryState, Identity},
};
use tonic::Status;

use crate::{
    api_world::{Api, opened, reason},
    support::{ACCOUNT, Ticket, answer, mail},
};

async fn reply(api: &Api, ticket: &Ticket) -> Result<Message, Status> {
    let request = ReplyToTicketRequest {
        ticket_id: ticket.id.to_string(),
        text: "Here you are".to_owned(),
        ..ReplyToTicketRequest::default()
    };
    let answer = api.tickets().reply_to_ticket(api.agent(request)).await?;
    Ok(answer.into_inner())
}

fn report(api: &Api, message: &Message, state: DeliveryState, code: &str) -> DeliveryReported {
    DeliveryReported {
        message_id: message.id.clone(),
        channel: Channel::Email.into(),
        account: ACCOUNT.to_owned(),
        external_id: format!("{}@solmu.example", message.id),
        state: state.into(),
        error_code: code.to_owned(),
        error_text: "refused".to_owned(),
        report_time: Some(to_proto_time(api.world.harness.clock.now())),
        ..DeliveryReported::default()
    }
}

fn invalid(report: DeliveryReported) -> DeliveryReported {
    DeliveryReported {
        address_invalid: true,
        ..report
    }
}

const MARKED: &str = "SELECT count(*) FROM tickets.identity WHERE undeliverable_at IS NOT NULL";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hard_bounce_is_told_on_the_ticket_and_stops_the_next_answer() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let message = reply(&api, &ticket).await.unwrap();
    api.world
        .tell(&invalid(report(
            &api,
            &message,
            DeliveryState::Failed,
            "5.1.1",
        )))
        .await;
    let notes: Vec<(bool, i16, String)> = sqlx::query_as(
        "SELECT public, author_kind, body_text FROM tickets.message WHERE ticket_id = $1 ORDER BY sequence OFFSET 2",
    )
    .bind(ticket.id)
    .fetch_all(api.world.pool())
    .await
    .unwrap();
    assert_eq!(notes.len(), 1);
    assert_eq!((notes[0].0, notes[0].1), (false, 3));
    assert!(
        notes[0]
            .2
            .contains("aino@c.example was not delivered: 5.1.1: refused"),
        "{notes:?}"
    );
    assert_eq!(api.world.ticket(ticket.id).await.message_count, 3);
    let told = api.world.told::<TicketMessageAdded>().await;
    assert!(!told.last().unwrap().message.as_ref().unwrap().public);

    let refused = reply(&api, &ticket).await.unwrap_err();
    assert_eq!(reason(&refused), "RECIPIENT_UNDELIVERABLE");
    assert!(
        refused.message().contains("5.1.1: refused"),
        "{}",
        refused.message()
    );
    // Nothing was written, and notes go on.
    assert_eq!(api.world.ticket(ticket.id).await.message_count, 3);
    let note = AddNoteRequest {
        ticket_id: ticket.id.to_string(),
        text: "We should call".to_owned(),
        ..AddNoteRequest::default()
    };
    api.tickets().add_note(api.agent(note)).await.unwrap();

    // Who wrote from there since is answered.
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_mins(1));
    api.world
        .file(&answer(
            "r@c.example",
            "aino@c.example",
            &["root@c.example"],
        ))
        .await
        .unwrap();
    let second = reply(&api, &ticket).await.unwrap();
    api.world
        .tell(&invalid(report(
            &api,
            &second,
            DeliveryState::Failed,
            "5.1.1",
        )))
        .await;
    assert_eq!(
        reason(&reply(&api, &ticket).await.unwrap_err()),
        "RECIPIENT_UNDELIVERABLE"
    );

    // It was delivered after all: the vendor has the last word.
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_mins(1));
    api.world
        .tell(&report(&api, &message, DeliveryState::Delivered, ""))
        .await;
    assert_eq!(api.world.count(MARKED).await, 0);
    reply(&api, &ticket).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_address_of_the_message_is_marked() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    api.world
        .file(&mail("v@c.example", "victim@c.example"))
        .await
        .unwrap();
    let message = reply(&api, &ticket).await.unwrap();
    let forged = DeliveryReported {
        address: "victim@c.example".to_owned(),
        ..invalid(report(&api, &message, DeliveryState::Failed, "5.1.1"))
    };
    api.world.tell(&forged).await;
    assert_eq!(api.world.count(MARKED).await, 0);
    let policy = reply(&api, &ticket).await.unwrap();
    api.world
        .tell(&report(&api, &policy, DeliveryState::Failed, "5.7.1"))
        .await;
    assert_eq!(api.world.count(MARKED).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_soft_bounces_in_a_week_count_as_a_hard_one() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let soft = async |code: &str| {
        let message = reply(&api, &ticket).await.unwrap();
        let failed = report(&api, &message, DeliveryState::Failed, code);
        api.world.tell(&failed).await;
        api.world.count(MARKED).await
    };
    assert_eq!(soft("4.4.1").await, 0);
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_hours(8 * 24));
    assert_eq!(soft("4.4.1").await, 0, "the first one is forgotten");
    let message = reply(&api, &ticket).await.unwrap();
    for code in ["552 5.2.2", "452 4.2.2", "4.4.7", "5.2.2"] {
        let failed = report(&api, &message, DeliveryState::Failed, code);
        api.world.tell(&failed).await;
        assert_eq!(
            api.world.count(MARKED).await,
            0,
            "however many servers speak of one message, it counts once"
        );
    }
    let before = api.world.harness.clock.now();
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_mins(1));
    assert_eq!(soft("421").await, 1);
    assert_eq!(
        reason(&reply(&api, &ticket).await.unwrap_err()),
        "RECIPIENT_UNDELIVERABLE"
    );
    // A late report on what was sent before says nothing about now.
    let first: uuid::Uuid = sqlx::query_scalar(
        "SELECT id FROM tickets.message WHERE author_kind = 2 ORDER BY sequence LIMIT 1",
    )
    .fetch_one(api.world.pool())
    .await
    .unwrap();
    let first = Message {
        id: first.to_string(),
        ..Message::default()
    };
    let late = DeliveryReported {
        report_time: Some(to_proto_time(before)),
        ..report(&api, &first, DeliveryState::Delivered, "")
    };
    api.world.tell(&late).await;
    assert_eq!(api.world.count(MARKED).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounce_that_comes_before_the_id_is_known_marks_the_address_then() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let message = reply(&api, &ticket).await.unwrap();
    let early = DeliveryReported {
        message_id: String::new(),
        ..invalid(report(&api, &message, DeliveryState::Failed, "5.1.1"))
    };
    api.world.tell(&early).await;
    assert_eq!(api.world.count(MARKED).await, 0);
    api.world
        .tell(&report(&api, &message, DeliveryState::Sent, ""))
        .await;
    assert_eq!(api.world.count(MARKED).await, 1);
}

/// The only identity of the ticket's contact, as the API shows it.
async fn identity(api: &Api, ticket: &Ticket) -> Identity {
    let request = GetContactRequest {
        id: ticket.contact_id.to_string(),
    };
    let contact = api.contacts().get_contact(api.agent(request)).await;
    let mut identities = contact.unwrap().into_inner().identities;
    assert_eq!(identities.len(), 1);
    identities.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mark_is_shown_and_an_answer_can_be_forced() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let clean = identity(&api, &ticket).await;
    assert_eq!(
        (clean.undeliverable_time, clean.undeliverable_cause),
        (None, String::new())
    );
    let message = reply(&api, &ticket).await.unwrap();
    let gone = invalid(report(&api, &message, DeliveryState::Failed, "5.1.1"));
    api.world.tell(&gone).await;
    let marked = identity(&api, &ticket).await;
    let now = to_proto_time(api.world.harness.clock.now());
    assert_eq!(marked.undeliverable_time, Some(now));
    assert!(
        marked.undeliverable_cause.contains("5.1.1: refused"),
        "{marked:?}"
    );

    let request = |force| ReplyToTicketRequest {
        ticket_id: ticket.id.to_string(),
        text: "Do you get this?".to_owned(),
        request_id: "once".to_owned(),
        force,
        ..ReplyToTicketRequest::default()
    };
    let refused = api
        .tickets()
        .reply_to_ticket(api.agent(request(false)))
        .await;
    assert_eq!(reason(&refused.unwrap_err()), "RECIPIENT_UNDELIVERABLE");
    // The refused call took nothing of its request id.
    let forced = api
        .tickets()
        .reply_to_ticket(api.agent(request(true)))
        .await;
    let forced = forced.unwrap().into_inner();
    assert_eq!(forced.delivery_state(), DeliveryState::Queued);
    let again = api
        .tickets()
        .reply_to_ticket(api.agent(request(true)))
        .await;
    assert_eq!(again.unwrap().into_inner().id, forced.id);
    let queued = api.world.told::<MessageQueued>().await;
    assert_eq!(queued.len(), 2);
    assert_eq!(
        queued[1].recipient.as_ref().unwrap().value,
        "aino@c.example"
    );
    // The mark stays until mail arrives.
    assert_eq!(identity(&api, &ticket).await.undeliverable_time, Some(now));
    let delivered = report(&api, &forced, DeliveryState::Delivered, "");
    api.world.tell(&delivered).await;
    assert_eq!(identity(&api, &ticket).await, clean_of(marked));
}

fn clean_of(identity: Identity) -> Identity {
    Identity {
        undeliverable_time: None,
        undeliverable_cause: String::new(),
        ..identity
    }
}

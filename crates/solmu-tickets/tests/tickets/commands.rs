//! What people do to tickets, over the wire.

use solmu_proto::{
    outbound::v1::MessageQueued,
    routing::v1::AssignmentDecided,
    ticket::v1::{
        AddNoteRequest, AssignTicketRequest, AssignmentRejected, GetTicketRequest,
        ListMessagesRequest, ReplyToTicketRequest, SetPriorityRequest, SetStatusRequest,
        TicketAssigned, TicketMessageAdded, assignment_rejected::Cause,
    },
    types::v1::{
        AutomaticClass, Channel, DeliveryState, IdentityKind, Priority, TicketStatus, actor::Kind,
    },
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    api_world::{AGENT, Api, opened, reason},
    support::{Ticket, answer, automatic, chat, form},
};

fn reply(ticket: &Ticket, text: &str, request_id: &str) -> ReplyToTicketRequest {
    ReplyToTicketRequest {
        ticket_id: ticket.id.to_string(),
        text: text.to_owned(),
        request_id: request_id.to_owned(),
        ..ReplyToTicketRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_goes_to_the_customer_once() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    api.world
        .file(&answer(
            "more@c.example",
            "aino@c.example",
            &["root@c.example"],
        ))
        .await
        .unwrap();
    // A colleague joins and an auto-reply comes last: the answer still goes to the requester's own words.
    api.world
        .file(&answer(
            "boss@c.example",
            "boss@c.example",
            &["root@c.example"],
        ))
        .await
        .unwrap();
    let auto = answer("auto@c.example", "aino@c.example", &["root@c.example"]);
    api.world
        .file(&automatic(auto, AutomaticClass::OutOfOffice))
        .await
        .unwrap();

    let request = reply(&ticket, "Here you\0 are", "req-1");
    let first = api
        .tickets()
        .reply_to_ticket(api.agent(request.clone()))
        .await
        .unwrap()
        .into_inner();
    let again = api
        .tickets()
        .reply_to_ticket(api.agent(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first, again);
    assert_eq!((first.sequence, first.text.as_str()), (5, "Here you are"));
    assert_eq!(first.delivery_state(), DeliveryState::Queued);
    let author = first.author.unwrap();
    assert_eq!((author.kind(), author.id), (Kind::Agent, AGENT.to_string()));

    let queued = api.world.told::<MessageQueued>().await;
    assert_eq!(queued.len(), 1);
    let queued = &queued[0];
    let recipient = queued.recipient.clone().unwrap();
    assert_eq!(
        (recipient.kind(), recipient.value.as_str()),
        (IdentityKind::Email, "aino@c.example")
    );
    assert_eq!(
        (queued.channel(), queued.account.as_str()),
        (Channel::Email, "main")
    );
    assert_eq!(queued.in_reply_to, "more@c.example");
    assert_eq!(
        queued.references,
        [
            "root@c.example",
            "more@c.example",
            "boss@c.example",
            "auto@c.example"
        ]
    );
    assert_eq!(
        (queued.from_address.as_str(), queued.subject.as_str()),
        ("support@solmu.example", "Invoice")
    );
    assert_eq!(
        (queued.message_id.clone(), queued.ticket_number),
        (first.id, ticket.number)
    );
    assert_eq!(
        api.world.ticket(ticket.id).await.status,
        "waiting_on_customer"
    );
    let added = api.world.told::<TicketMessageAdded>().await;
    let added = added.last().unwrap();
    assert!(added.message.as_ref().unwrap().public);
    assert_eq!(added.previous_status(), TicketStatus::New);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_answered_by_mail_and_a_chat_in_its_session() {
    let api = Api::new().await;
    let posted = api
        .world
        .file(&form("f1", "Aino Virtanen", "aino@c.example"))
        .await
        .unwrap();
    let message = api
        .tickets()
        .reply_to_ticket(api.agent(reply(&posted, "a", "")))
        .await
        .unwrap();
    assert_eq!(message.get_ref().channel(), Channel::Email);
    let get = GetTicketRequest {
        id: posted.id.to_string(),
    };
    let answered = api.tickets().get_ticket(api.agent(get)).await;
    let channels = answered.unwrap().into_inner().channels;
    assert_eq!(
        channels,
        [i32::from(Channel::Email), i32::from(Channel::Form)]
    );

    // The same visitor in two sessions: each answer stays in its own.
    let first = api.world.file(&chat("c1", "session-1")).await.unwrap();
    let second = api.world.file(&chat("c2", "session-2")).await.unwrap();
    assert_eq!(first.contact_id, second.contact_id);
    for ticket in [&first, &second] {
        api.tickets()
            .reply_to_ticket(api.agent(reply(ticket, "b", "")))
            .await
            .unwrap();
    }
    let queued = api.world.told::<MessageQueued>().await;
    let by_mail = &queued[0];
    assert_eq!(
        (by_mail.channel(), by_mail.account.as_str()),
        (Channel::Email, "")
    );
    assert_eq!(by_mail.recipient.as_ref().unwrap().value, "aino@c.example");
    assert_eq!(
        (by_mail.in_reply_to.as_str(), by_mail.references.len()),
        ("", 0)
    );
    assert_eq!(by_mail.recipient_name, "Aino Virtanen");
    let sessions: Vec<_> = queued[1..]
        .iter()
        .map(|it| it.recipient.as_ref().unwrap().value.as_str())
        .collect();
    assert_eq!(sessions, ["session-1", "session-2"]);
    assert_eq!(queued[1].conversation_key, "session-1");

    let nobody = api.world.file(&form("f2", "Nobody", "")).await.unwrap();
    let refused = api
        .tickets()
        .reply_to_ticket(api.agent(reply(&nobody, "c", "")))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "NO_RECIPIENT")
    );
    assert_eq!(
        api.world.ticket(nobody.id).await.status,
        "new",
        "nothing of it is kept"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_are_for_agents_only() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let note = AddNoteRequest {
        ticket_id: format!("#{}", ticket.number),
        text: "call them".to_owned(),
        request_id: "n1".to_owned(),
        ..AddNoteRequest::default()
    };
    let first = api
        .tickets()
        .add_note(api.agent(note.clone()))
        .await
        .unwrap()
        .into_inner();
    let again = api
        .tickets()
        .add_note(api.agent(note))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (first.id, first.public, first.sequence),
        (again.id, false, 2)
    );
    assert!(api.world.told::<MessageQueued>().await.is_empty());
    assert_eq!(api.world.ticket(ticket.id).await.status, "new");
    let page = |page_token: String| ListMessagesRequest {
        ticket_id: ticket.id.to_string(),
        page_size: 1,
        page_token,
    };
    let one = api
        .tickets()
        .list_messages(api.agent(page(String::new())))
        .await
        .unwrap()
        .into_inner();
    let two = api
        .tickets()
        .list_messages(api.agent(page(one.next_page_token)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((one.messages[0].sequence, two.messages[0].sequence), (1, 2));
    assert!(two.next_page_token.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_checked_against_state_and_etag() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let get = GetTicketRequest {
        id: format!("#{}", ticket.number),
    };
    let seen = api
        .tickets()
        .get_ticket(api.agent(get))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(seen.id, ticket.id.to_string());
    let set = |status: TicketStatus, etag: &str| SetStatusRequest {
        ticket_id: ticket.id.to_string(),
        status: status.into(),
        etag: etag.to_owned(),
        ..SetStatusRequest::default()
    };
    let resolve = set(TicketStatus::Resolved, &seen.etag);
    let done = api.tickets().set_status(api.agent(resolve)).await;
    let done = done.unwrap().into_inner();
    assert_eq!(done.status(), TicketStatus::Resolved);
    let stale = api
        .tickets()
        .set_status(api.agent(set(TicketStatus::Open, &seen.etag)))
        .await
        .unwrap_err();
    assert_eq!(
        (stale.code(), reason(&stale).as_str()),
        (Code::Aborted, "ETAG_MISMATCH")
    );
    let illegal = api
        .tickets()
        .set_status(api.agent(set(TicketStatus::New, &done.etag)))
        .await
        .unwrap_err();
    assert_eq!(
        (illegal.code(), reason(&illegal).as_str()),
        (Code::FailedPrecondition, "ILLEGAL_STATUS_MOVE")
    );
    let unset = api
        .tickets()
        .set_status(api.agent(set(TicketStatus::Unspecified, "")))
        .await
        .unwrap_err();
    assert_eq!(unset.code(), Code::InvalidArgument);
    api.tickets()
        .set_status(api.agent(set(TicketStatus::Closed, "")))
        .await
        .unwrap();
    let closed = api
        .tickets()
        .reply_to_ticket(api.agent(reply(&ticket, "late", "")))
        .await
        .unwrap_err();
    assert_eq!(reason(&closed), "ILLEGAL_STATUS_MOVE");
    let urgent = SetPriorityRequest {
        ticket_id: ticket.id.to_string(),
        priority: Priority::Urgent.into(),
        etag: String::new(),
        ..SetPriorityRequest::default()
    };
    let urgent = api
        .tickets()
        .set_priority(api.agent(urgent))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(urgent.priority(), Priority::Urgent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_cannot_be_right_are_refused() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    for (id, code) in [
        (Uuid::nil().to_string(), Code::NotFound),
        ("#1".to_owned(), Code::NotFound),
        ("x".to_owned(), Code::InvalidArgument),
    ] {
        let missing = api
            .tickets()
            .get_ticket(api.agent(GetTicketRequest { id }))
            .await
            .unwrap_err();
        assert_eq!(missing.code(), code);
    }
    for (text, request_id) in [
        ("", ""),
        (" \n", ""),
        ("\0", ""),
        ("a", "b\0"),
        ("a", &*"x".repeat(200)),
    ] {
        let bad = api
            .tickets()
            .reply_to_ticket(api.agent(reply(&ticket, text, request_id)))
            .await
            .unwrap_err();
        assert_eq!(bad.code(), Code::InvalidArgument, "{text:?} {request_id:?}");
    }
    let no_such_status = ReplyToTicketRequest {
        set_status: 99,
        ..reply(&ticket, "a", "")
    };
    let bad = api
        .tickets()
        .reply_to_ticket(api.agent(no_such_status))
        .await
        .unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manual_assignment_wins_over_a_decision_in_flight() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let by_hand = AssignTicketRequest {
        ticket_id: ticket.id.to_string(),
        agent_id: AGENT.to_string(),
        ..AssignTicketRequest::default()
    };
    api.tickets()
        .assign_ticket(api.agent(by_hand.clone()))
        .await
        .unwrap();
    let late = AssignmentDecided {
        ticket_id: ticket.id.to_string(),
        routing_version: ticket.routing_version,
        agent_id: Uuid::from_u128(5).to_string(),
        ..AssignmentDecided::default()
    };
    api.world.tell(&late).await;
    assert_eq!(api.world.ticket(ticket.id).await.assignee_id, Some(AGENT));
    // Back to the queue; what was decided before that is stale.
    let back = AssignTicketRequest {
        agent_id: String::new(),
        ..by_hand
    };
    api.tickets().assign_ticket(api.agent(back)).await.unwrap();
    api.world.tell(&late).await;
    assert_eq!(api.world.ticket(ticket.id).await.assignee_id, None);
    let causes: Vec<_> = api
        .world
        .told::<AssignmentRejected>()
        .await
        .iter()
        .map(AssignmentRejected::cause)
        .collect();
    assert_eq!(causes, [Cause::AlreadyAssigned, Cause::StaleTicket]);
    let told = api.world.told::<TicketAssigned>().await;
    assert_eq!(told[0].actor.as_ref().unwrap().kind(), Kind::Agent);
    assert_eq!(told[1].previous_assignee_id, AGENT.to_string());
}

//! Questions to people outside, and what they answer.

use solmu_proto::{
    inbound::v1::{DeliveryReported, MessageReceived, authenticity::Verdict},
    outbound::v1::{MessageQueued, Purpose},
    ticket::v1::{
        AddNoteRequest, ForwardToExpertRequest, ListMessagesRequest, SideConversation,
        TicketMessageAdded,
    },
    types::v1::{AutomaticClass, DeliveryState, Mailbox, TicketStatus, actor::Kind},
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    api_world::{Api, opened, reason},
    support::{ACCOUNT, Ticket, answer, automatic, judged, mail, signed},
};

const EXPERT: &str = "expert@lab.example";

fn question(ticket: &Ticket, to: &[&str]) -> ForwardToExpertRequest {
    let mailbox = |address: &&str| Mailbox {
        name: "Dr. E".to_owned(),
        address: (*address).to_owned(),
    };
    ForwardToExpertRequest {
        ticket_id: ticket.id.to_string(),
        to: to.iter().map(mailbox).collect(),
        text: "What is this?".to_owned(),
        request_id: "q1".to_owned(),
        ..ForwardToExpertRequest::default()
    }
}

async fn ask(api: &Api, request: ForwardToExpertRequest) -> Vec<SideConversation> {
    let answer = api.tickets().forward_to_expert(api.agent(request)).await;
    let begun = answer.unwrap().into_inner().side_conversations;
    api.world.settled().await;
    begun
}

/// What the expert sends to the reply address of a conversation.
fn reply(id: &str, from: &str, side: &SideConversation) -> MessageReceived {
    let mut message = signed(mail(id, from), Uuid::parse_str(&side.id).unwrap());
    if let Some(threading) = &mut message.threading {
        threading.addressed_ticket_ids = vec![side.id.clone()];
    }
    message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_expert_gets_a_mail_and_a_conversation() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let asked = question(&ticket, &["Expert@Lab.example", "other@lab.example"]);
    let begun = ask(&api, asked.clone()).await;
    assert_eq!(begun.len(), 2);
    assert_eq!(begun[0].expert.as_ref().unwrap().address, EXPERT);
    assert_ne!(begun[0].id, begun[1].id);
    let queued = api.world.told::<MessageQueued>().await;
    assert_eq!(queued.len(), 2);
    let one = &queued[0];
    assert_eq!((one.purpose(), one.automatic), (Purpose::Forward, false));
    assert_eq!(one.recipient.as_ref().unwrap().value, EXPERT);
    assert_eq!(one.side_conversation_id, begun[0].id);
    assert!(one.in_reply_to.is_empty() && one.references.is_empty() && one.quoted.is_none());
    assert!(
        one.text
            .starts_with("What is this?\n\n---------- Forwarded message"),
        "{}",
        one.text
    );
    assert!(one.text.contains("words of root@c.example"), "{}", one.text);
    assert_eq!(one.subject, "Fwd: Invoice");
    // The same call again changes nothing; another one under its id is refused.
    assert_eq!(ask(&api, asked.clone()).await, begun);
    assert_eq!(api.world.told::<MessageQueued>().await.len(), 2);
    let other = ForwardToExpertRequest {
        text: "Something else".to_owned(),
        ..asked
    };
    let refused = api
        .tickets()
        .forward_to_expert(api.agent(other))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    let after = api.world.ticket(ticket.id).await;
    assert_eq!((after.status.as_str(), after.message_count), ("new", 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_choice_the_requesters_own_newest_mail_goes_along() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    // Somebody who got the signed address from them.
    let stranger = signed(mail("s@evil.example", "eve@evil.example"), ticket.id);
    assert_eq!(api.world.file(&stranger).await.unwrap().id, ticket.id);
    ask(&api, question(&ticket, &[EXPERT])).await;
    let queued = api.world.told::<MessageQueued>().await;
    let text = &queued[0].text;
    assert!(text.contains("words of root@c.example"), "{text}");
    assert!(!text.contains("evil"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_experts_answer_is_a_note_and_nothing_else() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let asked = ForwardToExpertRequest {
        set_status: TicketStatus::WaitingOnThirdParty.into(),
        ..question(&ticket, &[EXPERT])
    };
    let begun = ask(&api, asked).await;
    let side = &begun[0];
    assert_eq!(
        api.world.ticket(ticket.id).await.status,
        "waiting_on_third_party"
    );
    let away = automatic(
        reply("e0@lab.example", EXPERT, side),
        AutomaticClass::OutOfOffice,
    );
    assert_eq!(api.world.file(&away).await.unwrap().id, ticket.id);
    assert_eq!(
        api.world.ticket(ticket.id).await.status,
        "waiting_on_third_party"
    );
    let answered = reply("e1@lab.example", EXPERT, side);
    assert_eq!(api.world.file(&answered).await.unwrap().id, ticket.id);
    assert_eq!(api.world.ticket(ticket.id).await.status, "open");
    let request = ListMessagesRequest {
        ticket_id: ticket.id.to_string(),
        ..ListMessagesRequest::default()
    };
    let listed = api
        .tickets()
        .list_messages(api.agent(request))
        .await
        .unwrap();
    let messages = listed.into_inner().messages;
    assert_eq!(messages.len(), 4);
    for note in &messages[1..] {
        assert!(!note.public && note.side_conversation_id == side.id);
    }
    let author = messages[3].author.clone().unwrap();
    assert_eq!((author.kind(), author.id), (Kind::Expert, side.id.clone()));
    assert!(!messages[3].sender_verified && messages[3].notices.is_empty());
    let told = api.world.told::<TicketMessageAdded>().await;
    assert!(told.iter().all(|it| !it.message.as_ref().unwrap().public));
    // The repeat has no effect; nobody is told anything; no contact was made.
    api.world.send(&[answered]).await;
    api.world.settled().await;
    assert_eq!(api.world.ticket(ticket.id).await.message_count, 4);
    assert_eq!(api.world.told::<MessageQueued>().await.len(), 1);
    assert_eq!(
        api.world
            .count("SELECT count(*) FROM tickets.contact")
            .await,
        1
    );
    // Resolved stays resolved; a forged one says so, and so does one of somebody else.
    api.world.set_status(ticket.id, "resolved").await;
    let forged = judged(reply("e2@evil.example", EXPERT, side), Verdict::Failed);
    let other = reply("e3@lab.example", "assistant@lab.example", side);
    for (sent, why) in [(forged, "may be forged"), (other, "somebody else")] {
        assert_eq!(api.world.file(&sent).await.unwrap().id, ticket.id);
        assert!(api.world.notices(&sent).await[0].contains(why));
    }
    assert_eq!(api.world.ticket(ticket.id).await.status, "resolved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_experts_other_mail_stays_out_of_the_ticket() {
    const OURS: &str = "m.1.2@solmu.example";
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let side = ask(&api, question(&ticket, &[EXPERT])).await.remove(0);
    let sent = DeliveryReported {
        message_id: side.message_id.clone(),
        channel: 1,
        account: ACCOUNT.to_owned(),
        external_id: OURS.to_owned(),
        state: DeliveryState::Sent.into(),
        ..DeliveryReported::default()
    };
    api.world.tell(&sent).await;
    api.world
        .file(&reply("e1@lab.example", EXPERT, &side))
        .await
        .unwrap();
    for other in [
        mail("o1@lab.example", EXPERT),
        answer("o2@lab.example", EXPERT, &[OURS]),
        answer("o3@lab.example", EXPERT, &["e1@lab.example"]),
        answer("o4@lab.example", EXPERT, &["root@c.example"]),
    ] {
        assert_ne!(
            api.world.file(&other).await.unwrap().id,
            ticket.id,
            "{}",
            other.external_id
        );
    }
    // A bounce of the question is a note, and so is what became of it.
    let bounce = automatic(
        reply("b@mx.example", "mailer-daemon@mx.example", &side),
        AutomaticClass::BounceHard,
    );
    assert_eq!(api.world.file(&bounce).await.unwrap().id, ticket.id);
    let public =
        "SELECT count(*) FROM tickets.message AS m JOIN tickets.ticket AS t ON t.id = m.ticket_id
        WHERE m.public AND t.number = 1000";
    assert_eq!(api.world.count(public).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_responder_of_an_expert_stops_at_the_cap_and_can_be_let_in() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let side = ask(&api, question(&ticket, &[EXPERT])).await.remove(0);
    let flood: Vec<_> = (0..40)
        .map(|n| {
            let from = format!("expert+{n}@lab.example");
            automatic(
                reply(&format!("a{n}@lab.example"), &from, &side),
                AutomaticClass::AutoReply,
            )
        })
        .collect();
    api.world.send(&flood).await;
    api.world.settled().await;
    assert_eq!(api.world.ticket(ticket.id).await.message_count, 22);
    let waiting: Uuid = sqlx::query_scalar(
        "SELECT message_id FROM tickets.quarantine WHERE cause_code = 'loop' LIMIT 1",
    )
    .fetch_one(api.world.pool())
    .await
    .unwrap();
    let release = solmu_proto::ticket::v1::ReleaseQuarantinedRequest {
        message_id: waiting.to_string(),
    };
    let released = api
        .tickets()
        .release_quarantined(api.agent(release))
        .await
        .unwrap();
    assert_eq!(released.into_inner().id, ticket.id.to_string());
    let public = "SELECT count(*) FROM tickets.message WHERE public";
    assert_eq!(api.world.count(public).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_never_leaves_the_house() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let note = AddNoteRequest {
        ticket_id: ticket.id.to_string(),
        text: "They are rude".to_owned(),
        ..AddNoteRequest::default()
    };
    let note = api
        .tickets()
        .add_note(api.agent(note))
        .await
        .unwrap()
        .into_inner();
    let with = |ids: Vec<String>, to: &[&str]| ForwardToExpertRequest {
        message_ids: ids,
        ..question(&ticket, to)
    };
    let refused = [
        with(vec![note.id], &[EXPERT]),
        with(vec![Uuid::nil().to_string()], &[EXPERT]),
        with(Vec::new(), &["nobody"]),
        with(Vec::new(), &[]),
        with(Vec::new(), &[EXPERT, "EXPERT@lab.example"]),
        ForwardToExpertRequest {
            text: " ".to_owned(),
            ..with(Vec::new(), &[EXPERT])
        },
    ];
    for request in refused {
        let status = api
            .tickets()
            .forward_to_expert(api.agent(request))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    let by_service = api.service(question(&ticket, &[EXPERT]));
    let status = api
        .tickets()
        .forward_to_expert(by_service)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(api.world.told::<MessageQueued>().await.is_empty());
}

//! Whose a ticket is, and what of it is shown.

use jiff::SignedDuration;
use solmu_proto::{
    inbound::v1::MessageReceived,
    requester::v1::{
        ListMessagesRequest, ListTicketsRequest, Requester, list_tickets_request::Which,
        message::Author, ticket::State,
    },
    ticket::v1::{AddNoteRequest, ForwardToExpertRequest},
    types::v1::{Assurance, AutomaticClass, Channel as On, IdentityKind, Mailbox, TicketStatus},
};
use tonic::Code;
use uuid::Uuid;

use crate::world::{
    AINO, BEN, World, answering, by_mail, fields, identity, mail, mail_by, message, signed_in,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_theirs_who_proved_that_they_wrote_it() {
    let world = World::new().await;
    let proven = world.file(&mail("m1", AINO)).await;
    // Somebody types the address: agents see it with the contact, its owner does not.
    let claimed = world.file(&mail_by("m2", AINO, Assurance::Claimed)).await;
    let typed = [
        identity(IdentityKind::External, "c-7", Assurance::Proven),
        identity(IdentityKind::Email, AINO, Assurance::Claimed),
    ];
    let chat = world.file(&message(On::Chat, "m3", "", &typed)).await;
    assert_eq!(
        world.contact_of(claimed).await,
        world.contact_of(proven).await
    );

    let (aino, ben) = (by_mail(" Aino@C.example"), by_mail(BEN));
    assert_eq!(world.ids(&aino).await, [proven]);
    let shopper = signed_in(IdentityKind::External, "c-7");
    assert_eq!(world.ids(&shopper).await, [chat]);
    // The typist's claim leads nowhere, and a portal's word for an address does not make the claim true afterwards.
    for (who, ticket) in [
        (&aino, claimed),
        (&aino, chat),
        (&shopper, proven),
        (&ben, proven),
    ] {
        let refused = world.get(who, ticket).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        let unread = world.messages(who, ticket).await.unwrap_err();
        assert_eq!(unread.code(), Code::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_learns_who_is_known() {
    let world = World::new().await;
    let ticket = world.file(&mail("m1", AINO)).await;
    let people = "SELECT count(*) FROM tickets.contact";
    let before = world.count(people).await;
    let stranger = by_mail("nobody@e.example");
    assert_eq!(world.ids(&stranger).await, Vec::<Uuid>::new());
    let hidden = world.get(&stranger, ticket).await.unwrap_err();
    let nowhere = world.get(&stranger, Uuid::from_u128(9)).await.unwrap_err();
    assert_eq!(hidden.code(), nowhere.code());
    let same = nowhere
        .message()
        .replace(&Uuid::from_u128(9).to_string(), &ticket.to_string());
    assert_eq!(hidden.message(), same);
    assert_eq!(world.count(people).await, before, "looking makes nobody");
    let nameless = world.get(&Requester::default(), ticket).await.unwrap_err();
    let wrong = ["requester.kind", "requester.method"];
    assert_eq!(
        (nameless.code(), fields(&nameless)),
        (Code::InvalidArgument, wrong.map(str::to_owned).to_vec())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_public_words_are_shown_and_no_addresses() {
    let world = World::new().await;
    let first = MessageReceived {
        text: "New words\n-- \nAino, 040 1112223\n> old words".to_owned(),
        signature_offset: Some(10),
        quote_offset: Some(30),
        ..mail("m1", AINO)
    };
    let ticket = world.file(&first).await;
    let note = world.agent(AddNoteRequest {
        ticket_id: ticket.to_string(),
        text: "an internal note".to_owned(),
        ..AddNoteRequest::default()
    });
    world.tickets().add_note(note).await.unwrap();
    let expert = world.agent(ForwardToExpertRequest {
        ticket_id: ticket.to_string(),
        to: vec![Mailbox {
            name: "Expert".to_owned(),
            address: "expert@f.example".to_owned(),
        }],
        text: "a side conversation".to_owned(),
        ..ForwardToExpertRequest::default()
    });
    world.tickets().forward_to_expert(expert).await.unwrap();
    world
        .answer(ticket, "An answer", TicketStatus::WaitingOnCustomer)
        .await;
    let automatic = MessageReceived {
        text: "I am away; ask boss@c.example".to_owned(),
        automatic_class: AutomaticClass::OutOfOffice.into(),
        ..answering(mail("m2", AINO), ticket)
    };
    world.file(&automatic).await;
    world
        .file(&answering(mail("m3", "colleague@c.example"), ticket))
        .await;

    let aino = by_mail(AINO);
    let shown = world.messages(&aino, ticket).await.unwrap();
    let shown: Vec<_> = shown
        .iter()
        .map(|it| (it.author(), it.author_name.as_str(), it.text.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            (Author::Requester, "", "New words"),
            (Author::Desk, "", "An answer"),
            (Author::Participant, "", "words of m3"),
        ]
    );
    let seen = world.get(&aino, ticket).await.unwrap();
    assert_eq!(seen.subject, "about m1");
    assert_eq!(seen.state(), State::InProgress);
    // A colleague who answered reads nothing: the ticket is not theirs.
    assert!(world.ids(&by_mail("colleague@c.example")).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_stable_while_tickets_come() {
    let world = World::new().await;
    let mut wanted = Vec::new();
    for number in 0..7 {
        wanted.insert(0, world.file(&mail(&format!("m{number}"), AINO)).await);
    }
    let aino = by_mail(AINO);
    let ask = |requester, page_token: &str| ListTicketsRequest {
        requester: Some(requester),
        which: Which::All.into(),
        page_size: 3,
        page_token: page_token.to_owned(),
    };
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let request = world.portal(ask(aino.clone(), &token));
        let page = world
            .requesters()
            .list_tickets(request)
            .await
            .unwrap()
            .into_inner();
        found.extend(
            page.tickets
                .iter()
                .map(|it| Uuid::parse_str(&it.id).unwrap()),
        );
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
        // What comes meanwhile, and what changes, moves nothing.
        let late = format!("late{}", found.len());
        world.file(&mail(&late, AINO)).await;
        world
            .file(&answering(mail(&format!("{late} again"), AINO), wanted[6]))
            .await;
    }
    assert_eq!(found, wanted);
    let stolen = world.portal(ask(by_mail(BEN), &token));
    let refused = world.requesters().list_tickets(stolen).await.unwrap_err();
    assert_eq!(fields(&refused), ["page_token"]);

    // Messages page alike.
    let oldest = wanted[6];
    let (mut texts, mut token) = (Vec::new(), String::new());
    loop {
        let request = world.portal(ListMessagesRequest {
            requester: Some(aino.clone()),
            ticket_id: oldest.to_string(),
            page_size: 1,
            page_token: token,
        });
        let page = world
            .requesters()
            .list_messages(request)
            .await
            .unwrap()
            .into_inner();
        texts.extend(page.messages.into_iter().map(|it| it.text));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(texts, world.texts(&aino, oldest).await);
    assert_eq!(texts.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_ones_are_what_a_list_shows_first() {
    let world = World::new().await;
    let solved = world.file(&mail("m1", AINO)).await;
    let open = world.file(&mail("m2", AINO)).await;
    world.answer(solved, "Done", TicketStatus::Resolved).await;
    let aino = by_mail(AINO);
    let request = world.portal(ListTicketsRequest {
        requester: Some(aino.clone()),
        ..ListTicketsRequest::default()
    });
    let page = world
        .requesters()
        .list_tickets(request)
        .await
        .unwrap()
        .into_inner();
    let ids: Vec<&str> = page.tickets.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, [open.to_string()]);
    assert_eq!(world.ids(&aino).await, [open, solved]);
    let seen = world.get(&aino, solved).await.unwrap();
    assert_eq!(seen.state(), State::Resolved);
    let seconds = |at: Option<prost_types::Timestamp>| at.map(|it| it.seconds);
    assert!(seconds(seen.last_message_time) > seconds(seen.create_time));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_was_silent_is_somebody_elses() {
    let world = World::new().await;
    let number = identity(IdentityKind::Phone, "+358401112223", Assurance::Proven);
    let called = |id: &str| message(On::Form, id, "Aino Aalto", std::slice::from_ref(&number));
    let ticket = world.file(&called("f1")).await;
    let who = signed_in(IdentityKind::Phone, "+358 40 111 2223");
    world
        .harness
        .clock
        .advance(SignedDuration::from_hours(24 * 80));
    // They wrote again meanwhile: the silence begins anew.
    let second = world.file(&called("f2")).await;
    world
        .harness
        .clock
        .advance(SignedDuration::from_hours(24 * 80));
    assert_eq!(world.ids(&who).await, [second, ticket]);
    world
        .harness
        .clock
        .advance(SignedDuration::from_hours(24 * 11));
    assert_eq!(world.ids(&who).await, Vec::<Uuid>::new());
}

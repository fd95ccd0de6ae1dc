//! Tickets that have to do with each other, as callers see them.

use solmu_proto::{
    inbound::v1::MessageReceived,
    ticket::v1::{GetTicketRequest, ListTicketsRequest, TicketLink, ticket_link::Kind},
};

use crate::{
    api_world::{Api, opened},
    support::{Ticket, answer, mail},
};

/// A mail of somebody who has no part in the ticket that its subject names.
fn naming(id: &str, from: &str, number: i64) -> MessageReceived {
    let mut message = mail(id, from);
    if let Some(threading) = &mut message.threading {
        threading.subject_ticket_numbers = vec![number];
    }
    message
}

fn link(other: &Ticket, kind: Kind) -> TicketLink {
    TicketLink {
        ticket_id: other.id.to_string(),
        ticket_number: other.number,
        kind: kind.into(),
        ..TicketLink::default()
    }
}

async fn links(api: &Api, id: String) -> Vec<TicketLink> {
    let request = api.agent(GetTicketRequest { id });
    let ticket = api.tickets().get_ticket(request).await.unwrap();
    ticket.into_inner().links
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_shows_its_links_from_both_sides() {
    let api = Api::new().await;
    let (world, clock) = (&api.world, &api.world.harness.clock);
    let first = opened(&api).await;
    assert!(links(&api, first.id.to_string()).await.is_empty());
    let stranger = naming("s@evil.example", "mallory@evil.example", first.number);
    let apart = world.file(&stranger).await.unwrap();
    assert_eq!(
        links(&api, apart.id.to_string()).await,
        [link(&first, Kind::Mentions)]
    );

    clock.advance(jiff::SignedDuration::from_mins(1));
    let second = world.file(&mail("two@c.example", "aino@c.example")).await;
    let second = second.unwrap();
    // Somebody works on both, so they are not merged.
    for ticket in [first.id, second.id] {
        world.set_status(ticket, "open").await;
    }
    let both = answer(
        "both@c.example",
        "aino@c.example",
        &["root@c.example", "two@c.example"],
    );
    assert_eq!(world.file(&both).await.unwrap().id, second.id);
    assert_eq!(
        links(&api, second.id.to_string()).await,
        [link(&first, Kind::SameThread)]
    );
    // By number as by id; the newest first.
    let wanted = [
        link(&second, Kind::SameThread),
        link(&apart, Kind::MentionedBy),
    ];
    assert_eq!(links(&api, format!("#{}", first.number)).await, wanted);

    let list = api.agent(ListTicketsRequest::default());
    let list = api.tickets().list_tickets(list).await.unwrap().into_inner();
    assert_eq!(list.tickets.len(), 3);
    assert!(list.tickets.iter().all(|it| it.links.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_mails_that_name_a_ticket_shows_the_newest_hundred() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let flood: Vec<_> = (0..101)
        .map(|n| {
            naming(
                &format!("{n}@f.example"),
                &format!("a@{n}.example"),
                ticket.number,
            )
        })
        .collect();
    api.world.send(&flood).await;
    api.world.settled().await;
    assert_eq!(
        api.world
            .count("SELECT count(*) FROM tickets.ticket_link")
            .await,
        101
    );
    let shown = links(&api, ticket.id.to_string()).await;
    assert_eq!(shown.len(), 100);
    assert!(shown.iter().all(|it| it.kind() == Kind::MentionedBy));
}

//! One matter, one ticket: in whatever order, over replicas, with closed conversations, and by other policies.

use jiff::SignedDuration;
use solmu_proto::{
    inbound::v1::Sender,
    ticket::v1::matter_proposal::State,
    types::v1::{Channel, IdentityKind},
};
use solmu_tickets::{Config, Matter, MatterPolicy};

use crate::{
    api_world::Api,
    matters::{
        accept, asking, chat_of_aino, from, late_order, proposals, proven_mail, saying,
        telegram_of_aino,
    },
    merges::merge,
    support::{World, message},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_comes_first_and_at_once_is_one_ticket() {
    let mut world = World::new().await;
    drop(world.start("b").await);
    let messages = |order: &str| {
        let text = format!("order {order} is late");
        [
            saying(
                proven_mail(&format!("{order}@c.example"), &[]),
                "Late",
                &text,
            ),
            saying(
                chat_of_aino(&format!("c-{order}"), &format!("s-{order}"), true),
                "",
                &text,
            ),
            saying(telegram_of_aino(&format!("t-{order}")), "", &text),
        ]
    };
    // One by one, each time another first; the telegram conversation goes on by itself once it has a ticket.
    for (order, turn) in [("20001", 0), ("20002", 1)] {
        let mut all = messages(order);
        all.rotate_left(turn);
        let mut tickets = Vec::new();
        for message in all.iter().filter(|it| it.channel() != Channel::Telegram) {
            tickets.push(world.file(message).await.unwrap().id);
        }
        tickets.dedup();
        assert_eq!(tickets.len(), 1, "{order}");
    }
    // All at once, over two replicas and in whatever batches they make of it.
    for order in 30_001..30_006 {
        let order = order.to_string();
        let all = messages(&order);
        world.send(&all[..2]).await;
        world.settled().await;
        let one = world.ticket_of(&all[0]).await.unwrap();
        let other = world.ticket_of(&all[1]).await.unwrap();
        assert_eq!(one.id, other.id, "{order}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_of_years_goes_on_with_the_open_matter() {
    let world = World::new().await;
    let old = saying(telegram_of_aino("t1"), "", "when are you open?");
    let old = world.file(&old).await.unwrap();
    world.set_status(old.id, "closed").await;
    let ticket = world
        .file(&late_order(proven_mail("1@c.example", &[])))
        .await
        .unwrap();
    let joined = world.file(&asking(telegram_of_aino("t2"))).await.unwrap();
    assert_eq!(joined.id, ticket.id);
    let next = saying(telegram_of_aino("t3"), "", "thanks");
    assert_eq!(world.file(&next).await.unwrap().id, ticket.id);
    // Nothing joins what is over, or what nobody has touched for long.
    world.set_status(ticket.id, "resolved").await;
    let late = world
        .file(&asking(chat_of_aino("c1", "s1", true)))
        .await
        .unwrap();
    assert_ne!(late.id, ticket.id);
    world
        .harness
        .clock
        .advance(SignedDuration::from_hours(15 * 24));
    let later = world
        .file(&asking(proven_mail("9@c.example", &[])))
        .await
        .unwrap();
    assert_ne!(later.id, late.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_that_an_agent_merged_are_one_requester_and_policies_are_kept() {
    let by_phone = |id: &str| {
        let line = message(
            Channel::Whatsapp,
            "whatsapp",
            id,
            "358401",
            Sender::default(),
        );
        let identities = [(IdentityKind::Phone, "+358401112223", true)];
        asking(from(line, "A. Virtanen", &identities))
    };
    let api = Api::new().await;
    let world = &api.world;
    let ticket = world
        .file(&late_order(proven_mail("1@c.example", &[])))
        .await
        .unwrap();
    let apart = world.file(&by_phone("w1")).await.unwrap();
    assert_ne!(apart.contact_id, ticket.contact_id);
    world.set_status(apart.id, "closed").await;
    let request = solmu_proto::contact::v1::MergeContactsRequest {
        contact_id: ticket.contact_id.to_string(),
        merged_contact_id: apart.contact_id.to_string(),
        ..solmu_proto::contact::v1::MergeContactsRequest::default()
    };
    api.contacts()
        .merge_contacts(api.agent(request))
        .await
        .unwrap();
    assert_eq!(world.file(&by_phone("w2")).await.unwrap().id, ticket.id);

    let careful = Config {
        matter: Matter {
            reference: MatterPolicy::Propose,
            words: MatterPolicy::Off,
            ..Matter::default()
        },
        ..Config::default()
    };
    let api = Api::configured(careful).await;
    let ticket = api
        .world
        .file(&late_order(proven_mail("1@c.example", &[])))
        .await
        .unwrap();
    let asked = api
        .world
        .file(&asking(chat_of_aino("c1", "s1", true)))
        .await
        .unwrap();
    assert_ne!(asked.id, ticket.id);
    let waiting = proposals(&api, None).await;
    assert_eq!(waiting.len(), 1);
    // Both became part of a third one meanwhile: to say yes is to say what is so.
    let third = api
        .world
        .file(&saying(proven_mail("7@c.example", &[]), "x", "y"))
        .await
        .unwrap();
    merge(&api, &[ticket.id, asked.id], third.id).await.unwrap();
    let accepted = accept(&api, &waiting[0].id, "").await.unwrap();
    assert_eq!(accepted.state(), State::Accepted);
}

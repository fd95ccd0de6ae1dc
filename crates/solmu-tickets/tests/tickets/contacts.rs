//! One person, one contact.

use solmu_proto::{
    inbound::v1::{MessageReceived, Sender},
    types::v1::{Assurance, Channel, IdentityKind},
};

use crate::support::{World, form, identity, mail, message};

fn whatsapp(id: &str, name: &str, number: &str) -> MessageReceived {
    let sender = Sender {
        display_name: name.to_owned(),
        identities: vec![
            identity(IdentityKind::Whatsapp, number, Assurance::Proven),
            identity(
                IdentityKind::Phone,
                &format!("+{number}"),
                Assurance::Proven,
            ),
        ],
    };
    message(Channel::Whatsapp, "whatsapp", id, number, sender)
}

fn form_with_phone(id: &str, name: &str, address: &str, phone: &str) -> MessageReceived {
    let mut posted = form(id, name, address);
    if let Some(sender) = &mut posted.sender {
        sender
            .identities
            .push(identity(IdentityKind::Phone, phone, Assurance::Claimed));
    }
    posted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_channels_lead_to_one_contact() {
    let world = World::new().await;
    let posted = form_with_phone("f1", "Aino Virtanen", "aino@c.example", "+358401");
    let by_form = world.file(&posted).await.unwrap();
    let by_mail = world
        .file(&mail("m@c.example", "aino@c.example"))
        .await
        .unwrap();
    let by_phone = world
        .file(&whatsapp("w1", "aino virtanen", "358401"))
        .await
        .unwrap();
    assert_eq!(by_mail.contact_id, by_form.contact_id);
    assert_eq!(by_phone.contact_id, by_form.contact_id);
    let kinds: Vec<(i16, i16)> =
        sqlx::query_as("SELECT kind, assurance FROM tickets.identity ORDER BY kind")
            .fetch_all(world.pool())
            .await
            .unwrap();
    assert_eq!(kinds, [(1, 2), (2, 3), (3, 3)], "the number is proven now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_was_only_typed_leads_to_no_stranger() {
    let world = World::new().await;
    let typed = form_with_phone("f1", "Matti Meikäläinen", "matti@d.example", "+358401");
    let typed = world.file(&typed).await.unwrap();
    let proven = world
        .file(&whatsapp("w1", "Aino Virtanen", "358401"))
        .await
        .unwrap();
    assert_ne!(typed.contact_id, proven.contact_id);
    let owner: uuid::Uuid =
        sqlx::query_scalar("SELECT contact_id FROM tickets.identity WHERE kind = 2")
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(owner, proven.contact_id, "the number goes to who proved it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_best_evidence_of_a_batch_holds() {
    let world = World::new().await;
    let with = |id: &str, assurance| {
        let mut sent = mail(id, "aino@c.example");
        let proof = identity(IdentityKind::Email, "aino@c.example", assurance);
        sent.sender = Some(Sender {
            display_name: "Aino".to_owned(),
            identities: vec![proof],
        });
        sent
    };
    world
        .send(&[
            with("1@c.example", Assurance::Weak),
            with("2@c.example", Assurance::Claimed),
            with("3@c.example", Assurance::Proven),
            with("4@c.example", Assurance::Claimed),
        ])
        .await;
    world.settled().await;
    assert_eq!(world.count("SELECT count(*) FROM tickets.contact").await, 1);
    let assurance = world
        .count("SELECT assurance::bigint FROM tickets.identity")
        .await;
    assert_eq!(assurance, 3);
}

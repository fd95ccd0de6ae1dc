//! What is done to contacts by hand, as filing sees it.

use solmu_proto::{
    contact::v1::{BlockContactRequest, UnblockContactRequest},
    inbound::v1::Sender,
    types::v1::{Assurance, Channel, IdentityKind},
};

use crate::{
    api_world::{Api, reason},
    support::{identity, mail, message},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_contact_waits_on_every_channel() {
    let api = Api::new().await;
    let session = |id: &str| {
        let from = vec![
            identity(IdentityKind::ChatSession, "s1", Assurance::Proven),
            identity(IdentityKind::Email, "aino@c.example", Assurance::Claimed),
        ];
        let sender = Sender {
            display_name: "Aino".to_owned(),
            identities: from,
        };
        message(Channel::Chat, "chat", id, id, sender)
    };
    let contact = api.world.file(&session("c1")).await.unwrap().contact_id;
    let request = BlockContactRequest {
        contact_id: contact.to_string(),
        reason: "threats".to_owned(),
        ..BlockContactRequest::default()
    };
    let refused = api
        .contacts()
        .block_contact(api.service(request.clone()))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "ROLE_REQUIRED");
    let blocked = api
        .contacts()
        .block_contact(api.agent(request))
        .await
        .unwrap()
        .into_inner();
    assert!(blocked.block_time.is_some() && blocked.block_reason == "threats");
    assert_eq!(api.world.file(&session("c2")).await, None);
    assert_eq!(
        api.world.file(&mail("m@c.example", "aino@c.example")).await,
        None
    );
    let request = UnblockContactRequest {
        contact_id: contact.to_string(),
        ..UnblockContactRequest::default()
    };
    let free = api
        .contacts()
        .unblock_contact(api.agent(request))
        .await
        .unwrap()
        .into_inner();
    assert!(free.block_time.is_none());
    assert!(api.world.file(&session("c3")).await.is_some());
}

//! Mailboxes that several people write from name nobody: they must not make one person of those people.

use solmu_proto::contact::v1::ContactMerged;

use crate::world::{World, claimed, proven, typed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colleagues_who_share_a_mailbox_stay_two_people() {
    let world = World::new().await;
    // By form: the shared address, each with a number of their own.
    let aino = [claimed("info@acme.example"), typed("+358401112223")];
    let matti = [claimed("info@acme.example"), typed("+358402223334")];
    let first = world.sender("Aino Virtanen", &aino).await;
    let second = world.sender("Matti Laine", &matti).await;
    assert_ne!(first, second);
    // By mail: the mailbox is proven, and says as little.
    let mailbox = proven("info@acme.example");
    let by_mail = world
        .sender("Aino Virtanen", std::slice::from_ref(&mailbox))
        .await;
    assert_eq!(by_mail, first, "mailbox and name together are somebody");
    let by_mail = world.sender("Matti Laine", &[mailbox]).await;
    assert_eq!(by_mail, second);
    world.looked_at().await;
    assert_eq!(world.told::<ContactMerged>().await, []);
    for (contact, number) in [(first, "+358401112223"), (second, "+358402223334")] {
        let known = world.get(contact).await.identities;
        let mut values: Vec<_> = known.iter().map(|it| it.value.as_str()).collect();
        values.sort_unstable();
        assert_eq!(values, [number, "info@acme.example"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_without_a_name_is_nobody_in_particular() {
    let world = World::new().await;
    let mailbox = proven("support@acme.example");
    let nameless = world.sender("", std::slice::from_ref(&mailbox)).await;
    let own = world
        .sender("Aino Virtanen", &[proven("aino@acme.example")])
        .await;
    let named = world
        .sender("Aino Virtanen", std::slice::from_ref(&mailbox))
        .await;
    assert_ne!(named, nameless);
    assert_eq!(world.sender("", &[mailbox]).await, nameless);
    world.looked_at().await;
    assert_eq!(world.get(nameless).await.id, nameless.to_string());
    assert_eq!(world.get(own).await.id, own.to_string());
}

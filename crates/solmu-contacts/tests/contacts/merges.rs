//! Contacts that are one person: by evidence and by hand, and taken back.

use solmu_proto::{
    contact::v1::{
        ContactMerged, ContactUnmerged, DismissMergeSuggestionRequest, ListMergeSuggestionsRequest,
        ListMergesRequest, MergeSuggestion, UnmergeContactRequest,
    },
    types::v1::{Assurance, IdentityKind},
};

use crate::world::{World, claimed, identity, proven, typed, whatsapp};

async fn suggestions(world: &World) -> Vec<MergeSuggestion> {
    let request = world.agent(ListMergeSuggestionsRequest::default());
    let found = world.contacts().list_merge_suggestions(request).await;
    found.unwrap().into_inner().suggestions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_merges_contacts_and_better_evidence_takes_it_back() {
    let world = World::new().await;
    let by_mail = world
        .sender("Aino Virtanen", &[proven("aino@c.example")])
        .await;
    let by_phone = world
        .sender("AINO VIRTANEN", &whatsapp("358401112223"))
        .await;
    assert_ne!(by_mail, by_phone, "nothing ties them yet");
    // What ties the two comes last.
    let form = [claimed("aino@c.example"), typed("+358401112223")];
    world.sender("Virtanen Aino", &form).await;
    world.looked_at().await;
    let aino = world.get(by_phone).await;
    assert_eq!(
        aino.id,
        by_mail.to_string(),
        "the older one stands for both"
    );
    assert_eq!(aino.merged_contact_ids, [by_phone.to_string()]);
    assert_eq!(aino.identities.len(), 3);
    let told = world.told::<ContactMerged>().await;
    assert_eq!((told.len(), told[0].rule.as_str()), (1, "claimed_number"));

    // Two accounts: two people after all, who happen to share a name and a telephone.
    let phone = identity(IdentityKind::Phone, "+358401112223", Assurance::Proven);
    for (account, tie) in [("u-1", proven("aino@c.example")), ("u-2", phone)] {
        let account = identity(IdentityKind::External, account, Assurance::Proven);
        world.sender("Aino Virtanen", &[tie, account]).await;
    }
    world.looked_at().await;
    assert_eq!(world.get(by_phone).await.id, by_phone.to_string());
    let told = world.told::<ContactUnmerged>().await;
    assert_eq!(told[0].unmerged_contact_id, by_phone.to_string());
    let open = suggestions(&world).await;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].reason, "accounts_differ");
    let mut pair = [
        open[0].first_contact_id.clone(),
        open[0].second_contact_id.clone(),
    ];
    pair.sort();
    let mut wanted = [by_mail.to_string(), by_phone.to_string()];
    wanted.sort();
    assert_eq!(pair, wanted);

    // Somebody says that it is so, and nobody is asked again.
    let request = DismissMergeSuggestionRequest {
        first_contact_id: wanted[0].clone(),
        second_contact_id: wanted[1].clone(),
        ..DismissMergeSuggestionRequest::default()
    };
    world
        .contacts()
        .dismiss_merge_suggestion(world.agent(request))
        .await
        .unwrap();
    assert_eq!(suggestions(&world).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_types_an_address_is_not_its_owner() {
    let world = World::new().await;
    let owner = world
        .sender("Aino Virtanen", &[proven("aino@c.example")])
        .await;
    let typist = world.sender("Matti Laine", &whatsapp("358402223334")).await;
    let form = [claimed("aino@c.example"), typed("+358402223334")];
    let filed = world.sender("Matti Laine", &form).await;
    world.looked_at().await;
    assert_eq!(world.get(typist).await.id, typist.to_string());
    assert_eq!(world.get(owner).await.id, owner.to_string());
    assert!([owner, typist].contains(&filed));
    assert_eq!(world.told::<ContactMerged>().await, []);
    assert_eq!(
        suggestions(&world).await.len(),
        1,
        "a person may say what it is"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_took_apart_stays_apart() {
    let world = World::new().await;
    let a = world
        .sender("Aino Virtanen", &[proven("aino@c.example")])
        .await;
    let b = world
        .sender("Aino Virtanen", &whatsapp("358401112223"))
        .await;
    let tie = [claimed("aino@c.example"), typed("+358401112223")];
    world.sender("Aino Virtanen", &tie).await;
    world.looked_at().await;
    assert_eq!(world.get(b).await.id, a.to_string());
    let request = world.agent(ListMergesRequest {
        contact_id: a.to_string(),
        ..ListMergesRequest::default()
    });
    let merges = world.contacts().list_merges(request).await;
    let request = world.agent(UnmergeContactRequest {
        merge_id: merges.unwrap().into_inner().merges[0].id.clone(),
        reason: "two people".to_owned(),
        ..UnmergeContactRequest::default()
    });
    world.contacts().unmerge_contact(request).await.unwrap();
    // The resolver looks again, now and with each new sender that says the same.
    world.looked_at().await;
    world.sender("Aino Maria Virtanen", &tie).await;
    world.looked_at().await;
    assert_eq!(world.get(b).await.id, b.to_string());
    // Until a person says otherwise.
    world.merge(a, b).await.unwrap();
    assert_eq!(world.get(b).await.id, a.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn merges_in_a_ring_end_in_one_contact() {
    let world = World::new().await;
    let mut contacts = Vec::new();
    for n in 0..6 {
        let address = format!("p{n}@r{n}.example");
        contacts.push(world.sender("", &[claimed(&address)]).await);
    }
    let ring = (0..contacts.len()).flat_map(|n| {
        let next = contacts[(n + 1) % contacts.len()];
        // Each pair from both ends, all at once.
        [
            world.merge(contacts[n], next),
            world.merge(next, contacts[n]),
        ]
    });
    for outcome in futures::future::join_all(ring).await {
        outcome.unwrap();
    }
    let standing = "SELECT count(*) FROM tickets.contact WHERE root_id IS NULL";
    assert_eq!(world.count(standing).await, 1);
    let merges = "SELECT count(*) FROM tickets.contact_merge";
    assert_eq!(world.count(merges).await, 5);
    assert_eq!(world.told::<ContactMerged>().await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stands_for_more_or_fewer_has_another_etag() {
    let world = World::new().await;
    let one = world.sender("Aino", &[proven("aino@a.example")]).await;
    let other = world.sender("Berta", &[proven("berta@b.example")]).await;
    world.looked_at().await;
    let (first, second) = (world.get(one).await, world.get(other).await);
    let both = world.merge(one, other).await.unwrap();
    assert_ne!(both.etag, first.etag, "it shows what the other is known by");
    let request = world.agent(ListMergesRequest {
        contact_id: one.to_string(),
        ..ListMergesRequest::default()
    });
    let merges = world.contacts().list_merges(request).await.unwrap();
    let request = world.agent(UnmergeContactRequest {
        merge_id: merges.into_inner().merges[0].id.clone(),
        ..UnmergeContactRequest::default()
    });
    let sides = world.contacts().unmerge_contact(request).await;
    let sides = sides.unwrap().into_inner();
    let (kept, apart) = (sides.contact.unwrap(), sides.unmerged_contact.unwrap());
    assert!(kept.etag != both.etag && apart.etag != second.etag);
    assert_eq!(
        (kept.identities, apart.identities),
        (first.identities, second.identities)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stands_for_whom_follows_the_order_of_merges_and_no_clock() {
    let world = World::new().await;
    let mut contacts = Vec::new();
    for n in 0..4 {
        let address = format!("p{n}@o{n}.example");
        contacts.push(world.sender("", &[claimed(&address)]).await);
    }
    let [one, two, three, four] = contacts[..] else {
        panic!("four senders are four contacts");
    };
    world.merge(one, two).await.unwrap();
    world.merge(three, two).await.unwrap();
    assert_eq!(
        world.get(two).await.id,
        three.to_string(),
        "the last one won"
    );
    // The first was made by a process whose clock was an hour ahead.
    sqlx::query(
        "UPDATE tickets.contact_merge SET created_at = created_at + interval '1 hour' WHERE winner_id = $1",
    )
    .bind(one)
    .execute(world.pool())
    .await
    .unwrap();
    // All of them are looked through again.
    world.merge(three, four).await.unwrap();
    for contact in [one, two, three, four] {
        assert_eq!(world.get(contact).await.id, three.to_string());
    }
}

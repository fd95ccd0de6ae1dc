//! Contacts that are one person: by evidence and by hand, and taken back.

use solmu_proto::{
    contact::v1::{
        Contact, ContactMerged, ContactUnmerged, DismissMergeSuggestionRequest, GetContactRequest,
        ListEncountersRequest, ListMergeSuggestionsRequest, ListMergesRequest, Merge,
        MergeContactsRequest, MergeSuggestion, UnmergeContactRequest,
    },
    inbound::v1::{MessageReceived, Sender},
    types::v1::{Assurance, Channel, Identity, IdentityKind},
};
use solmu_testkit::wait_for;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    api_world::{Api, reason},
    support::{World, identity, mail, message},
};

/// A message of a sender on a channel.
pub(crate) fn said(
    channel: Channel,
    id: &str,
    name: &str,
    identities: Vec<Identity>,
) -> MessageReceived {
    let sender = Sender {
        display_name: name.to_owned(),
        identities,
    };
    message(channel, channel.as_str_name(), id, id, sender)
}

fn proven_mail(id: &str, name: &str, address: &str) -> MessageReceived {
    let from = vec![identity(IdentityKind::Email, address, Assurance::Proven)];
    MessageReceived {
        sender: Some(Sender {
            display_name: name.to_owned(),
            identities: from,
        }),
        ..mail(id, address)
    }
}

fn whatsapp(id: &str, name: &str, number: &str) -> MessageReceived {
    let identities = vec![
        identity(IdentityKind::Whatsapp, number, Assurance::Proven),
        identity(
            IdentityKind::Phone,
            &format!("+{number}"),
            Assurance::Proven,
        ),
    ];
    said(Channel::Whatsapp, id, name, identities)
}

/// Everybody whom the resolver had to look at was looked at.
async fn looked_at(world: &World) {
    wait_for("the resolver has looked at every sender", || async {
        world
            .count("SELECT count(*) FROM tickets.sighting WHERE pending")
            .await
            == 0
    })
    .await;
    world.settled().await;
}

pub(crate) async fn get(api: &Api, id: impl ToString) -> Contact {
    let request = api.agent(GetContactRequest { id: id.to_string() });
    api.contacts()
        .get_contact(request)
        .await
        .unwrap()
        .into_inner()
}

pub(crate) async fn merge(api: &Api, winner: Uuid, loser: Uuid) -> Result<Contact, Status> {
    let request = MergeContactsRequest {
        contact_id: winner.to_string(),
        merged_contact_id: loser.to_string(),
        reason: "the same voice".to_owned(),
        ..MergeContactsRequest::default()
    };
    let merged = api.contacts().merge_contacts(api.agent(request)).await?;
    Ok(merged.into_inner())
}

pub(crate) async fn merges(api: &Api, contact: Uuid) -> Vec<Merge> {
    let request = ListMergesRequest {
        contact_id: contact.to_string(),
        ..ListMergesRequest::default()
    };
    let merges = api
        .contacts()
        .list_merges(api.agent(request))
        .await
        .unwrap();
    merges.into_inner().merges
}

pub(crate) async fn unmerge(api: &Api, merge: &str) -> Result<(Contact, Contact), Status> {
    let request = UnmergeContactRequest {
        merge_id: merge.to_owned(),
        reason: "two people".to_owned(),
    };
    let sides = api
        .contacts()
        .unmerge_contact(api.agent(request))
        .await?
        .into_inner();
    Ok((sides.contact.unwrap(), sides.unmerged_contact.unwrap()))
}

async fn suggestions(api: &Api) -> Vec<MergeSuggestion> {
    let request = api.agent(ListMergeSuggestionsRequest::default());
    let found = api
        .contacts()
        .list_merge_suggestions(request)
        .await
        .unwrap();
    found.into_inner().suggestions
}

/// Two people who sign in under accounts of their own, one known by mail, one by telephone.
async fn two_accounts(world: &World) {
    for (id, account, tie) in [
        (
            "c1",
            "u-1",
            identity(IdentityKind::Email, "aino@c.example", Assurance::Proven),
        ),
        (
            "c2",
            "u-2",
            identity(IdentityKind::Phone, "+358401112223", Assurance::Proven),
        ),
    ] {
        let account = identity(IdentityKind::External, account, Assurance::Proven);
        world
            .file(&said(
                Channel::Chat,
                id,
                "Aino Virtanen",
                vec![tie, account],
            ))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_merges_contacts_and_better_evidence_takes_it_back() {
    let api = Api::new().await;
    let world = &api.world;
    let by_mail = world
        .file(&proven_mail(
            "1@c.example",
            "Aino Virtanen",
            "aino@c.example",
        ))
        .await
        .unwrap()
        .contact_id;
    let by_phone = world
        .file(&whatsapp("w1", "AINO VIRTANEN", "358401112223"))
        .await
        .unwrap()
        .contact_id;
    assert_ne!(by_mail, by_phone, "nothing ties them yet");
    // What ties the two comes last.
    let form = said(
        Channel::Form,
        "f1",
        "Virtanen Aino",
        vec![
            identity(IdentityKind::Email, "aino@c.example", Assurance::Claimed),
            identity(IdentityKind::Phone, "+358401112223", Assurance::Claimed),
        ],
    );
    world.file(&form).await.unwrap();
    looked_at(world).await;
    let aino = get(&api, by_phone).await;
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
    two_accounts(world).await;
    looked_at(world).await;
    assert_eq!(get(&api, by_phone).await.id, by_phone.to_string());
    let told = world.told::<ContactUnmerged>().await;
    assert_eq!(told[0].unmerged_contact_id, by_phone.to_string());
    let open = suggestions(&api).await;
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
    };
    api.contacts()
        .dismiss_merge_suggestion(api.agent(request))
        .await
        .unwrap();
    assert_eq!(suggestions(&api).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_types_an_address_is_not_its_owner() {
    let api = Api::new().await;
    let world = &api.world;
    let owner = world
        .file(&proven_mail(
            "1@c.example",
            "Aino Virtanen",
            "aino@c.example",
        ))
        .await
        .unwrap()
        .contact_id;
    let typist = world
        .file(&whatsapp("w1", "Matti Laine", "358402223334"))
        .await
        .unwrap()
        .contact_id;
    let form = said(
        Channel::Form,
        "f1",
        "Matti Laine",
        vec![
            identity(IdentityKind::Email, "aino@c.example", Assurance::Claimed),
            identity(IdentityKind::Phone, "+358402223334", Assurance::Claimed),
        ],
    );
    let filed = world.file(&form).await.unwrap();
    looked_at(world).await;
    assert_eq!(get(&api, typist).await.id, typist.to_string());
    assert_eq!(get(&api, owner).await.id, owner.to_string());
    assert!([owner, typist].contains(&filed.contact_id));
    assert_eq!(world.told::<ContactMerged>().await, []);
    assert_eq!(
        suggestions(&api).await.len(),
        1,
        "a person may say what it is"
    );
}

/// What a merge must not touch, as text.
async fn snapshot(world: &World) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for statement in [
        "SELECT (to_jsonb(it) - 'version' - 'updated_at')::text FROM tickets.contact AS it ORDER BY id",
        "SELECT to_jsonb(it)::text FROM tickets.identity AS it ORDER BY kind, scope, value",
        "SELECT to_jsonb(it)::text FROM tickets.ticket AS it ORDER BY id",
        "SELECT to_jsonb(it)::text FROM tickets.message AS it ORDER BY id",
        "SELECT to_jsonb(it)::text FROM tickets.participant AS it ORDER BY ticket_id, address",
    ] {
        let found: Vec<String> = sqlx::query_scalar(statement)
            .fetch_all(world.pool())
            .await
            .unwrap();
        rows.extend(found);
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_by_hand_is_taken_back_exactly() {
    let api = Api::new().await;
    let world = &api.world;
    let a = world
        .file(&mail("a1@a.example", "aino@a.example"))
        .await
        .unwrap()
        .contact_id;
    let b = world
        .file(&mail("b1@b.example", "berta@b.example"))
        .await
        .unwrap()
        .contact_id;
    looked_at(world).await;
    let before = snapshot(world).await;
    let merged = merge(&api, a, b).await.unwrap();
    assert_eq!(
        (merged.id.as_str(), merged.ticket_count),
        (a.to_string().as_str(), 2)
    );
    assert_eq!(
        merge(&api, b, a).await.unwrap().id,
        a.to_string(),
        "they are one already"
    );
    assert_eq!(get(&api, b).await, get(&api, a).await);

    let other_matter = MessageReceived {
        subject: "Opening hours".to_owned(),
        text: "when do you close today?".to_owned(),
        ..mail("b2@b.example", "berta@b.example")
    };
    let between = world.file(&other_matter).await.unwrap();
    assert_eq!(between.contact_id, b, "it came to the one it was sent from");
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListEncountersRequest {
            contact_id: b.to_string(),
            page_size: 2,
            page_token,
        };
        let page = api
            .contacts()
            .list_encounters(api.agent(request))
            .await
            .unwrap()
            .into_inner();
        seen.extend(page.encounters.into_iter().map(|it| it.ticket_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 3, "what both wrote");
    assert!(seen.contains(&between.id.to_string()));

    let merge_id = merges(&api, a).await[0].id.clone();
    let (kept, back) = unmerge(&api, &merge_id).await.unwrap();
    assert_eq!((kept.id, back.id), (a.to_string(), b.to_string()));
    assert_eq!((kept.ticket_count, back.ticket_count), (1, 2));
    let after = snapshot(world).await;
    let lost: Vec<_> = before.iter().filter(|row| !after.contains(row)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let again = unmerge(&api, &merge_id).await.unwrap_err();
    assert_eq!(reason(&again), "MERGE_TAKEN_BACK");
    let history = merges(&api, b).await;
    assert_eq!(history.len(), 1);
    assert_eq!(
        (
            history[0].reason.as_str(),
            history[0].unmerge_reason.as_str()
        ),
        ("the same voice", "two people")
    );
    let unknown = merge(&api, a, Uuid::from_u128(5)).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let same = merge(&api, a, a).await.unwrap_err();
    assert_eq!(same.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_took_apart_stays_apart() {
    let api = Api::new().await;
    let world = &api.world;
    let a = world
        .file(&proven_mail(
            "1@c.example",
            "Aino Virtanen",
            "aino@c.example",
        ))
        .await
        .unwrap()
        .contact_id;
    let b = world
        .file(&whatsapp("w1", "Aino Virtanen", "358401112223"))
        .await
        .unwrap()
        .contact_id;
    let tie = |id: &str| {
        said(
            Channel::Form,
            id,
            "Aino Virtanen",
            vec![
                identity(IdentityKind::Email, "aino@c.example", Assurance::Claimed),
                identity(IdentityKind::Phone, "+358401112223", Assurance::Claimed),
            ],
        )
    };
    world.file(&tie("f1")).await.unwrap();
    looked_at(world).await;
    assert_eq!(get(&api, b).await.id, a.to_string());
    let merge_id = merges(&api, a).await[0].id.clone();
    unmerge(&api, &merge_id).await.unwrap();
    // The resolver looks again, now and with each new sender that says the same.
    looked_at(world).await;
    let mut more = tie("f2");
    if let Some(sender) = &mut more.sender {
        sender.display_name = "Aino Maria Virtanen".to_owned();
    }
    world.file(&more).await.unwrap();
    looked_at(world).await;
    assert_eq!(get(&api, b).await.id, b.to_string());
    // Until a person says otherwise.
    merge(&api, a, b).await.unwrap();
    assert_eq!(get(&api, b).await.id, a.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn merges_in_a_ring_end_in_one_contact() {
    let api = Api::new().await;
    let world = &api.world;
    let mut contacts = Vec::new();
    for n in 0..6 {
        let letter = mail(&format!("m{n}@r{n}.example"), &format!("p{n}@r{n}.example"));
        contacts.push(world.file(&letter).await.unwrap().contact_id);
    }
    let ring = (0..contacts.len()).flat_map(|n| {
        let next = contacts[(n + 1) % contacts.len()];
        // Each pair from both ends, all at once.
        [
            merge(&api, contacts[n], next),
            merge(&api, next, contacts[n]),
        ]
    });
    for outcome in futures_of(ring).await {
        outcome.unwrap();
    }
    assert_eq!(
        world
            .count("SELECT count(*) FROM tickets.contact WHERE root_id IS NULL")
            .await,
        1
    );
    assert_eq!(
        world
            .count("SELECT count(*) FROM tickets.contact_merge")
            .await,
        5
    );
    let told = world.told::<ContactMerged>().await;
    assert_eq!(told.len(), 5);
}

/// All of them at the same time.
async fn futures_of<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, slot) in waiting.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *slot = Some(output);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

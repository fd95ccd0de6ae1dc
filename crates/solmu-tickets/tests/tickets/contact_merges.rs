//! Merges by hand, with tickets and messages: taken back exactly.

use solmu_proto::{
    contact::v1::{
        Contact, GetContactRequest, ListEncountersRequest, ListMergesRequest, Merge,
        MergeContactsRequest, UnmergeContactRequest,
    },
    inbound::v1::MessageReceived,
};
use solmu_testkit::wait_for;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    api_world::{Api, reason},
    support::{World, mail},
};

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
        ..UnmergeContactRequest::default()
    };
    let sides = api
        .contacts()
        .unmerge_contact(api.agent(request))
        .await?
        .into_inner();
    Ok((sides.contact.unwrap(), sides.unmerged_contact.unwrap()))
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

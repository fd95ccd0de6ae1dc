//! Calls under a request id: made once, answered alike, and another call under the same id is refused.

use std::future::Future;

use solmu_proto::contact::v1::{
    BlockContactRequest, Contact, CreateContactRequest, CreateOrganizationRequest,
    DismissMergeSuggestionRequest, MergeContactsRequest, Organization, UnblockContactRequest,
    UnmergeContactRequest, UpdateContactRequest, UpdateOrganizationRequest,
};
use tonic::Status;
use uuid::Uuid;

use crate::world::{World, proven, reason};

/// Makes a call twice, a changed one under the same id, and the changed one under another: what each answers.
async fn thrice<Q, A, F>(same: Q, changed: Q, renamed: Q, call: impl Fn(Q) -> F) -> A
where
    Q: Clone,
    A: PartialEq + std::fmt::Debug,
    F: Future<Output = Result<A, Status>>,
{
    let first = call(same.clone()).await.unwrap();
    let again = call(same).await.unwrap();
    assert_eq!(first, again, "the same call is answered alike");
    let refused = call(changed).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED", "{refused:?}");
    // Under an id of its own it is a call like any other.
    if let Err(status) = call(renamed).await {
        assert_ne!(reason(&status), "REQUEST_ID_REUSED");
    }
    first
}

fn named(name: &str) -> Contact {
    Contact {
        display_name: name.to_owned(),
        ..Contact::default()
    }
}

fn firm(name: &str, notes: &str) -> Organization {
    Organization {
        display_name: name.to_owned(),
        notes: notes.to_owned(),
        ..Organization::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_under_an_id_is_made_once() {
    let world = &World::new().await;
    let create = |request: CreateContactRequest| async move {
        let answer = world.contacts().create_contact(world.agent(request)).await;
        answer.map(tonic::Response::into_inner)
    };
    let asked = |name: &str, id: &str| CreateContactRequest {
        contact: Some(named(name)),
        request_id: id.to_owned(),
    };
    let made = thrice(
        asked("Aino", "c-1"),
        asked("Berta", "c-1"),
        asked("Berta", "c-2"),
        create,
    )
    .await;
    assert_eq!(made.display_name, "Aino");
    assert_eq!(world.count("SELECT count(*) FROM tickets.contact").await, 2);
    // What somebody else calls so is theirs.
    let theirs = world
        .contacts()
        .create_contact(world.admin(asked("Carl", "c-1")))
        .await
        .unwrap();
    assert_ne!(theirs.into_inner().id, made.id);

    let create = |request: CreateOrganizationRequest| async move {
        let call = world.agent(request);
        let answer = world.contacts().create_organization(call).await;
        answer.map(tonic::Response::into_inner)
    };
    let asked = |notes: &str, id: &str| CreateOrganizationRequest {
        organization: Some(firm("Acme", notes)),
        request_id: id.to_owned(),
    };
    let made = thrice(
        asked("", "o-1"),
        asked("late payer", "o-1"),
        asked("late payer", "o-2"),
        create,
    )
    .await;
    let update = |request: UpdateOrganizationRequest| async move {
        let call = world.agent(request);
        let answer = world.contacts().update_organization(call).await;
        answer.map(tonic::Response::into_inner)
    };
    let asked = |notes: &str, id: &str| UpdateOrganizationRequest {
        organization: Some(Organization {
            id: made.id.clone(),
            etag: made.etag.clone(),
            ..firm("", notes)
        }),
        request_id: id.to_owned(),
        ..UpdateOrganizationRequest::default()
    };
    // With the etag of before: a repeat is answered, not called stale.
    let first = thrice(
        asked("a", "u-1"),
        asked("b", "u-1"),
        asked("b", "u-2"),
        update,
    )
    .await;
    assert_eq!(first.notes, "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_under_an_id_is_changed_once() {
    let world = &World::new().await;
    let one = world.sender("Aino", &[proven("aino@a.example")]).await;
    let update = |request: UpdateContactRequest| async move {
        let answer = world.contacts().update_contact(world.agent(request)).await;
        answer.map(tonic::Response::into_inner)
    };
    let asked = |name: &str, id: &str| UpdateContactRequest {
        contact: Some(Contact {
            id: one.to_string(),
            ..named(name)
        }),
        request_id: id.to_owned(),
        ..UpdateContactRequest::default()
    };
    thrice(
        asked("Aino V", "u-1"),
        asked("Aino W", "u-1"),
        asked("Aino W", "u-2"),
        update,
    )
    .await;
    // What somebody changed since is not set back by a repeat.
    let late = update(asked("Aino V", "u-1")).await.unwrap();
    assert_eq!(late.display_name, "Aino W");

    let block = |request: BlockContactRequest| async move {
        let answer = world.contacts().block_contact(world.agent(request)).await;
        answer.map(tonic::Response::into_inner)
    };
    let asked = |why: &str, id: &str| BlockContactRequest {
        contact_id: one.to_string(),
        reason: why.to_owned(),
        request_id: id.to_owned(),
    };
    thrice(
        asked("x", "b-1"),
        asked("y", "b-1"),
        asked("y", "b-2"),
        block,
    )
    .await;
    let unblock = |request: UnblockContactRequest| async move {
        let answer = world.contacts().unblock_contact(world.agent(request)).await;
        answer.map(tonic::Response::into_inner)
    };
    let asked = |id: &str| UnblockContactRequest {
        contact_id: one.to_string(),
        request_id: id.to_owned(),
    };
    // "b-1" was a block.
    let refused = unblock(asked("b-1")).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    let first = unblock(asked("b-3")).await.unwrap();
    assert_eq!(unblock(asked("b-3")).await.unwrap(), first);
    // Nothing is noted of what failed: the same call may be tried again.
    let nobody = UnblockContactRequest {
        contact_id: Uuid::from_u128(5).to_string(),
        request_id: "b-4".to_owned(),
    };
    unblock(nobody).await.unwrap_err();
    unblock(asked("b-4")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merges_under_an_id_are_made_and_taken_back_once() {
    let world = &World::new().await;
    let mut people = Vec::new();
    for name in ["aino", "berta", "carl"] {
        let address = format!("{name}@{name}.example");
        people.push(world.sender(name, &[proven(&address)]).await);
    }
    let merge = |request: MergeContactsRequest| async move {
        let answer = world.contacts().merge_contacts(world.agent(request)).await;
        answer.map(tonic::Response::into_inner)
    };
    let asked = |other: usize, id: &str| MergeContactsRequest {
        contact_id: people[0].to_string(),
        merged_contact_id: people[other].to_string(),
        request_id: id.to_owned(),
        ..MergeContactsRequest::default()
    };
    let merged = merge(asked(1, "m-1")).await.unwrap();
    assert_eq!(merge(asked(1, "m-1")).await.unwrap(), merged);
    let refused = merge(asked(2, "m-1")).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    let id: Uuid = sqlx::query_scalar("SELECT id FROM tickets.contact_merge")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let unmerge = |request: UnmergeContactRequest| async move {
        let answer = world.contacts().unmerge_contact(world.agent(request)).await;
        answer.map(tonic::Response::into_inner)
    };
    let asked = |why: &str, request: &str| UnmergeContactRequest {
        merge_id: id.to_string(),
        reason: why.to_owned(),
        request_id: request.to_owned(),
    };
    thrice(
        asked("x", "n-1"),
        asked("y", "n-1"),
        asked("y", "n-2"),
        unmerge,
    )
    .await;
    let dismiss = |request: DismissMergeSuggestionRequest| async move {
        let call = world.agent(request);
        let answer = world.contacts().dismiss_merge_suggestion(call).await;
        answer.map(tonic::Response::into_inner)
    };
    let asked = |other: usize, id: &str| DismissMergeSuggestionRequest {
        first_contact_id: people[0].to_string(),
        second_contact_id: people[other].to_string(),
        request_id: id.to_owned(),
    };
    thrice(asked(1, "d-1"), asked(2, "d-1"), asked(2, "d-2"), dismiss).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_at_once_make_one() {
    let world = &World::new().await;
    let calls = (0..100).map(|_| async move {
        let request = CreateContactRequest {
            contact: Some(named("Aino")),
            request_id: "once".to_owned(),
        };
        let made = world.contacts().create_contact(world.agent(request)).await;
        made.unwrap().into_inner().id
    });
    let mut ids = futures::future::join_all(calls).await;
    ids.dedup();
    assert_eq!(ids.len(), 1, "all are answered with the one that was made");
    assert_eq!(world.count("SELECT count(*) FROM tickets.contact").await, 1);
    let noted = "SELECT count(*) FROM tickets.contact_call";
    assert_eq!(world.count(noted).await, 1);
}

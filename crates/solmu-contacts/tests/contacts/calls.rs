//! Contacts by hand: made, changed, listed, blocked; fields of one's own.

use prost_types::FieldMask;
use solmu_proto::{
    contact::v1::{
        BlockContactRequest, Contact, ContactAttribute, CreateContactAttributeRequest,
        CreateContactRequest, DeleteContactAttributeRequest, ListContactAttributesRequest,
        ListContactsRequest, UpdateContactRequest, contact_attribute::Type,
    },
    types::v1::{Assurance, Identity, IdentityKind},
};
use tonic::{Code, Status};

use crate::world::{World, claimed, reason};

fn aino() -> Contact {
    let known = |kind: IdentityKind, raw: &str| Identity {
        kind: kind.into(),
        raw: raw.to_owned(),
        ..Identity::default()
    };
    Contact {
        display_name: " Aino Virtanen ".to_owned(),
        identities: vec![
            known(IdentityKind::Email, "Aino@C.example"),
            known(IdentityKind::Phone, "040 111 2223"),
            known(IdentityKind::CustomerNumber, "K-10 42"),
        ],
        language: "fi".to_owned(),
        time_zone: "Europe/Helsinki".to_owned(),
        ..Contact::default()
    }
}

async fn create(world: &World, contact: Contact, request_id: &str) -> Result<Contact, Status> {
    let request = CreateContactRequest {
        contact: Some(contact),
        request_id: request_id.to_owned(),
    };
    Ok(world
        .contacts()
        .create_contact(world.agent(request))
        .await?
        .into_inner())
}

pub(crate) async fn update(
    world: &World,
    contact: Contact,
    mask: &[&str],
) -> Result<Contact, Status> {
    let request = UpdateContactRequest {
        contact: Some(contact),
        update_mask: Some(FieldMask {
            paths: mask.iter().map(|&path| path.to_owned()).collect(),
        }),
        ..UpdateContactRequest::default()
    };
    Ok(world
        .contacts()
        .update_contact(world.agent(request))
        .await?
        .into_inner())
}

async fn define(world: &World, name: &str, of: Type, choices: &[&str]) -> Result<(), Status> {
    let attribute = ContactAttribute {
        name: name.to_owned(),
        r#type: of.into(),
        choices: choices.iter().map(|&it| it.to_owned()).collect(),
        ..ContactAttribute::default()
    };
    let request = CreateContactAttributeRequest {
        attribute: Some(attribute),
    };
    world
        .contacts()
        .create_contact_attribute(world.admin(request))
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_is_made_and_changed_by_hand() {
    let world = World::new().await;
    let made = create(&world, aino(), "r1").await.unwrap();
    assert_eq!(
        (made.display_name.as_str(), made.time_zone.as_str()),
        ("Aino Virtanen", "Europe/Helsinki")
    );
    let mut values: Vec<&str> = made.identities.iter().map(|it| it.value.as_str()).collect();
    values.sort_unstable();
    assert_eq!(values, ["+358401112223", "aino@c.example", "k1042"]);
    assert!(
        made.identities
            .iter()
            .all(|it| it.assurance() == Assurance::Claimed)
    );
    assert_eq!(
        create(&world, aino(), "r1").await.unwrap().id,
        made.id,
        "the same call"
    );
    assert_eq!(
        create(&world, aino(), "r2").await.unwrap_err().code(),
        Code::AlreadyExists
    );
    let anonymous = create(&world, Contact::default(), "").await.unwrap();
    assert!(
        anonymous.identities.is_empty(),
        "neither address nor number is legal"
    );

    // What they write leads to them.
    let sender = world.sender("", &[claimed("aino@c.example")]).await;
    assert_eq!(sender.to_string(), made.id);

    let mut changed = Contact {
        display_name: "Aino Laine".to_owned(),
        language: "sv".to_owned(),
        ..made.clone()
    };
    let after = update(&world, changed.clone(), &["display_name"])
        .await
        .unwrap();
    assert_eq!(
        (after.display_name.as_str(), after.language.as_str()),
        ("Aino Laine", "fi")
    );
    assert_ne!(after.etag, made.etag);
    let stale = update(&world, changed.clone(), &["language"])
        .await
        .unwrap_err();
    assert_eq!(
        (stale.code(), reason(&stale).as_str()),
        (Code::Aborted, "ETAG_MISMATCH")
    );
    changed.etag.clear();
    assert_eq!(
        update(&world, changed.clone(), &["language"])
            .await
            .unwrap()
            .language,
        "sv"
    );
    bad_changes_are_refused(&world, &changed).await;
}

async fn bad_changes_are_refused(world: &World, contact: &Contact) {
    for (field, bad) in [
        (
            "time_zone",
            Contact {
                time_zone: "Helsinki".to_owned(),
                ..contact.clone()
            },
        ),
        (
            "display_name",
            Contact {
                display_name: "a\u{7}".to_owned(),
                ..contact.clone()
            },
        ),
        ("identities", contact.clone()),
        (
            "organization_id",
            Contact {
                organization_id: "x".to_owned(),
                ..contact.clone()
            },
        ),
    ] {
        let refused = update(world, bad, &[field]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_are_found_by_what_they_are_known_by() {
    let world = World::new().await;
    create(&world, aino(), "").await.unwrap();
    create(&world, Contact::default(), "").await.unwrap();
    let list = |filter: &str| ListContactsRequest {
        filter: filter.to_owned(),
        ..ListContactsRequest::default()
    };
    for (filter, found) in [
        (r#"identity = "aino@c.example""#, 1),
        (r#"identity:"aino@c.example" AND language = "fi""#, 1),
        (r#"identity = "nobody@c.example""#, 0),
        (r#"time_zone = "Europe/Helsinki""#, 1),
        ("", 2),
    ] {
        let page = world
            .contacts()
            .list_contacts(world.service(list(filter)))
            .await
            .unwrap();
        assert_eq!(page.into_inner().contacts.len(), found, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_ones_own_are_typed() {
    let world = World::new().await;
    define(&world, "tier", Type::Choice, &["gold", "silver"])
        .await
        .unwrap();
    define(&world, "since", Type::Date, &[]).await.unwrap();
    let twice = define(&world, "since", Type::Date, &[]).await.unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists);
    let mut contact = create(&world, Contact::default(), "").await.unwrap();
    contact.etag.clear();
    let with = |name: &str, value: &str| Contact {
        attributes: [(name.to_owned(), value.to_owned())].into(),
        ..contact.clone()
    };
    update(&world, with("tier", "gold"), &["attributes.tier"])
        .await
        .unwrap();
    let both = update(&world, with("since", "2026-01-31"), &["attributes.since"])
        .await
        .unwrap();
    assert_eq!(both.attributes.len(), 2);
    for (name, bad) in [("tier", "bronze"), ("since", "soon"), ("height", "1")] {
        let refused = update(&world, with(name, bad), &["attributes"])
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name}");
    }
    let less = update(&world, with("tier", ""), &["attributes.tier"])
        .await
        .unwrap();
    assert_eq!(less.attributes.keys().collect::<Vec<_>>(), ["since"]);
    let request = DeleteContactAttributeRequest {
        name: "since".to_owned(),
        ..DeleteContactAttributeRequest::default()
    };
    world
        .contacts()
        .delete_contact_attribute(world.admin(request.clone()))
        .await
        .unwrap();
    let gone = world
        .contacts()
        .delete_contact_attribute(world.admin(request))
        .await
        .unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    assert!(world.get(&contact.id).await.attributes.is_empty());
    let left = world
        .contacts()
        .list_contact_attributes(world.agent(ListContactAttributesRequest::default()))
        .await;
    assert_eq!(left.unwrap().into_inner().attributes.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_staff_blocks() {
    let world = World::new().await;
    let made = create(&world, aino(), "").await.unwrap();
    let request = BlockContactRequest {
        contact_id: made.id.clone(),
        reason: "threats".to_owned(),
        ..BlockContactRequest::default()
    };
    let mut contacts = world.contacts();
    let refused = contacts.block_contact(world.service(request.clone())).await;
    assert_eq!(reason(&refused.unwrap_err()), "ROLE_REQUIRED");
    let blocked = contacts.block_contact(world.agent(request)).await;
    let blocked = blocked.unwrap().into_inner();
    assert!(blocked.block_time.is_some() && blocked.block_reason == "threats");
    assert_eq!(world.get(&made.id).await, blocked);
}

//! Contacts by hand: made, changed, listed, blocked; organisations and fields of one's own.

use prost_types::FieldMask;
use solmu_proto::{
    contact::v1::{
        BlockContactRequest, Contact, ContactAttribute, CreateContactAttributeRequest,
        CreateContactRequest, CreateOrganizationRequest, DeleteContactAttributeRequest,
        ListContactAttributesRequest, ListContactsRequest, ListOrganizationsRequest, Organization,
        UnblockContactRequest, UpdateContactRequest, UpdateOrganizationRequest,
        contact_attribute::Type,
    },
    types::v1::{Assurance, Channel, Identity, IdentityKind},
};
use tonic::{Code, Status};

use crate::{
    api_world::{Api, reason},
    contact_merges::{get, said},
    support::{identity, mail},
};

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

async fn create(api: &Api, contact: Contact, request_id: &str) -> Result<Contact, Status> {
    let request = CreateContactRequest {
        contact: Some(contact),
        request_id: request_id.to_owned(),
    };
    Ok(api
        .contacts()
        .create_contact(api.agent(request))
        .await?
        .into_inner())
}

async fn update(api: &Api, contact: Contact, mask: &[&str]) -> Result<Contact, Status> {
    let request = UpdateContactRequest {
        contact: Some(contact),
        update_mask: Some(FieldMask {
            paths: mask.iter().map(|&path| path.to_owned()).collect(),
        }),
    };
    Ok(api
        .contacts()
        .update_contact(api.agent(request))
        .await?
        .into_inner())
}

async fn define(api: &Api, name: &str, of: Type, choices: &[&str]) -> Result<(), Status> {
    let attribute = ContactAttribute {
        name: name.to_owned(),
        r#type: of.into(),
        choices: choices.iter().map(|&it| it.to_owned()).collect(),
        ..ContactAttribute::default()
    };
    let request = CreateContactAttributeRequest {
        attribute: Some(attribute),
    };
    api.contacts()
        .create_contact_attribute(api.admin(request))
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_is_made_and_changed_by_hand() {
    let api = Api::new().await;
    let made = create(&api, aino(), "r1").await.unwrap();
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
        create(&api, aino(), "r1").await.unwrap().id,
        made.id,
        "the same call"
    );
    assert_eq!(
        create(&api, aino(), "r2").await.unwrap_err().code(),
        Code::AlreadyExists
    );
    let anonymous = create(&api, Contact::default(), "").await.unwrap();
    assert!(
        anonymous.identities.is_empty(),
        "neither address nor number is legal"
    );

    // What they write leads to them.
    let ticket = api
        .world
        .file(&mail("1@c.example", "aino@c.example"))
        .await
        .unwrap();
    assert_eq!(ticket.contact_id.to_string(), made.id);

    let mut changed = Contact {
        display_name: "Aino Laine".to_owned(),
        language: "sv".to_owned(),
        ..made.clone()
    };
    let after = update(&api, changed.clone(), &["display_name"])
        .await
        .unwrap();
    assert_eq!(
        (after.display_name.as_str(), after.language.as_str()),
        ("Aino Laine", "fi")
    );
    assert_ne!(after.etag, made.etag);
    let stale = update(&api, changed.clone(), &["language"])
        .await
        .unwrap_err();
    assert_eq!(
        (stale.code(), reason(&stale).as_str()),
        (Code::Aborted, "ETAG_MISMATCH")
    );
    changed.etag.clear();
    assert_eq!(
        update(&api, changed.clone(), &["language"])
            .await
            .unwrap()
            .language,
        "sv"
    );
    bad_changes_are_refused(&api, &changed).await;
}

async fn bad_changes_are_refused(api: &Api, contact: &Contact) {
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
        let refused = update(api, bad, &[field]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_are_found_by_what_they_are_known_by() {
    let api = Api::new().await;
    create(&api, aino(), "").await.unwrap();
    create(&api, Contact::default(), "").await.unwrap();
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
        let page = api
            .contacts()
            .list_contacts(api.service(list(filter)))
            .await
            .unwrap();
        assert_eq!(page.into_inner().contacts.len(), found, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_ones_own_are_typed() {
    let api = Api::new().await;
    define(&api, "tier", Type::Choice, &["gold", "silver"])
        .await
        .unwrap();
    define(&api, "since", Type::Date, &[]).await.unwrap();
    let twice = define(&api, "since", Type::Date, &[]).await.unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists);
    let mut contact = create(&api, Contact::default(), "").await.unwrap();
    contact.etag.clear();
    let with = |name: &str, value: &str| Contact {
        attributes: [(name.to_owned(), value.to_owned())].into(),
        ..contact.clone()
    };
    update(&api, with("tier", "gold"), &["attributes.tier"])
        .await
        .unwrap();
    let both = update(&api, with("since", "2026-01-31"), &["attributes.since"])
        .await
        .unwrap();
    assert_eq!(both.attributes.len(), 2);
    for (name, bad) in [("tier", "bronze"), ("since", "soon"), ("height", "1")] {
        let refused = update(&api, with(name, bad), &["attributes"])
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name}");
    }
    let less = update(&api, with("tier", ""), &["attributes.tier"])
        .await
        .unwrap();
    assert_eq!(less.attributes.keys().collect::<Vec<_>>(), ["since"]);
    let request = DeleteContactAttributeRequest {
        name: "since".to_owned(),
    };
    api.contacts()
        .delete_contact_attribute(api.admin(request.clone()))
        .await
        .unwrap();
    let gone = api
        .contacts()
        .delete_contact_attribute(api.admin(request))
        .await
        .unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    assert!(get(&api, &contact.id).await.attributes.is_empty());
    let left = api
        .contacts()
        .list_contact_attributes(api.agent(ListContactAttributesRequest {}))
        .await;
    assert_eq!(left.unwrap().into_inner().attributes.len(), 1);
}

fn organization(name: &str, domains: &[&str]) -> Organization {
    Organization {
        display_name: name.to_owned(),
        domains: domains.iter().map(|&it| it.to_owned()).collect(),
        ..Organization::default()
    }
}

async fn found(
    api: &Api,
    organization: Organization,
    request_id: &str,
) -> Result<Organization, Status> {
    let request = CreateOrganizationRequest {
        organization: Some(organization),
        request_id: request_id.to_owned(),
    };
    let mut contacts = api.contacts();
    let made = contacts.create_organization(api.agent(request)).await?;
    Ok(made.into_inner())
}

async fn novatek(api: &Api) -> Organization {
    let novatek = organization("Novatek", &["@Novatek.example"]);
    found(api, novatek, "r").await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organisations_are_founded_once() {
    let api = Api::new().await;
    let novatek = novatek(&api).await;
    assert_eq!(novatek.domains, ["novatek.example"]);
    assert_eq!(
        found(&api, organization("Novatek", &[]), "r")
            .await
            .unwrap(),
        novatek
    );
    let taken = found(&api, organization("Other", &["novatek.example"]), "")
        .await
        .unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    for bad in [organization("", &[]), organization("X", &["nothing"])] {
        assert_eq!(
            found(&api, bad, "").await.unwrap_err().code(),
            Code::InvalidArgument
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organisations_have_members_by_domain_and_by_hand() {
    let api = Api::new().await;
    let novatek = novatek(&api).await;
    let member = said(
        Channel::Email,
        "1@novatek.example",
        "Aino",
        vec![identity(
            IdentityKind::Email,
            "aino@novatek.example",
            Assurance::Proven,
        )],
    );
    let member = api.world.file(&member).await.unwrap().contact_id;
    assert_eq!(
        get(&api, member).await.organization_id,
        novatek.id,
        "by the domain"
    );
    let claimed = api
        .world
        .file(&mail("2@x.example", "else@novatek.example"))
        .await
        .unwrap();
    assert_eq!(
        get(&api, claimed.contact_id).await.organization_id,
        "",
        "anybody can claim one"
    );
    let by_hand = Contact {
        id: claimed.contact_id.to_string(),
        organization_id: novatek.id.clone(),
        organization_manager: true,
        ..Contact::default()
    };
    let by_hand = update(&api, by_hand, &[]).await.unwrap();
    assert_eq!(
        (
            by_hand.organization_id.as_str(),
            by_hand.organization_manager
        ),
        (novatek.id.as_str(), true)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organisations_change_by_mask_and_etag() {
    let api = Api::new().await;
    let novatek = novatek(&api).await;
    let request = UpdateOrganizationRequest {
        organization: Some(Organization {
            notes: "invoices by mail".to_owned(),
            ..novatek.clone()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["notes".to_owned(), "domains".to_owned()],
        }),
    };
    let changed = api
        .contacts()
        .update_organization(api.agent(request.clone()))
        .await
        .unwrap();
    let changed = changed.into_inner();
    assert_eq!(
        (changed.notes.as_str(), &changed.domains),
        ("invoices by mail", &novatek.domains)
    );
    let stale = api
        .contacts()
        .update_organization(api.agent(request))
        .await
        .unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    let listed = api
        .contacts()
        .list_organizations(api.agent(ListOrganizationsRequest::default()))
        .await;
    assert_eq!(listed.unwrap().into_inner().organizations, [changed]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_contact_waits_on_every_channel() {
    let api = Api::new().await;
    let session = |id: &str| {
        let from = vec![
            identity(IdentityKind::ChatSession, "s1", Assurance::Proven),
            identity(IdentityKind::Email, "aino@c.example", Assurance::Claimed),
        ];
        said(Channel::Chat, id, "Aino", from)
    };
    let contact = api.world.file(&session("c1")).await.unwrap().contact_id;
    let request = BlockContactRequest {
        contact_id: contact.to_string(),
        reason: "threats".to_owned(),
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

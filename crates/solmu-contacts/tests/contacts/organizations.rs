//! Organisations: founded once, with members by domain and by hand.

use prost_types::FieldMask;
use solmu_proto::contact::v1::{
    Contact, CreateOrganizationRequest, ListOrganizationsRequest, Organization,
    UpdateOrganizationRequest,
};
use tonic::{Code, Status};

use crate::{
    calls::update,
    world::{World, claimed, proven, reason},
};

fn organization(name: &str, domains: &[&str]) -> Organization {
    Organization {
        display_name: name.to_owned(),
        domains: domains.iter().map(|&it| it.to_owned()).collect(),
        ..Organization::default()
    }
}

async fn found(
    world: &World,
    organization: Organization,
    request_id: &str,
) -> Result<Organization, Status> {
    let request = CreateOrganizationRequest {
        organization: Some(organization),
        request_id: request_id.to_owned(),
    };
    let mut contacts = world.contacts();
    let made = contacts.create_organization(world.agent(request)).await?;
    Ok(made.into_inner())
}

async fn novatek(world: &World) -> Organization {
    let novatek = organization("Novatek", &["@Novatek.example"]);
    found(world, novatek, "r").await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organisations_are_founded_once() {
    let world = World::new().await;
    let novatek = novatek(&world).await;
    assert_eq!(novatek.domains, ["novatek.example"]);
    let again = organization("Novatek", &["@Novatek.example"]);
    assert_eq!(found(&world, again, "r").await.unwrap(), novatek);
    let other = found(&world, organization("Novatek", &[]), "r").await;
    assert_eq!(reason(&other.unwrap_err()), "REQUEST_ID_REUSED");
    let taken = found(&world, organization("Other", &["novatek.example"]), "")
        .await
        .unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    for bad in [organization("", &[]), organization("X", &["nothing"])] {
        assert_eq!(
            found(&world, bad, "").await.unwrap_err().code(),
            Code::InvalidArgument
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organisations_have_members_by_domain_and_by_hand() {
    let world = World::new().await;
    let novatek = novatek(&world).await;
    let member = world
        .sender("Aino", &[proven("aino@novatek.example")])
        .await;
    assert_eq!(
        world.get(member).await.organization_id,
        novatek.id,
        "by the domain"
    );
    let claimed = world.sender("", &[claimed("else@novatek.example")]).await;
    assert_eq!(
        world.get(claimed).await.organization_id,
        "",
        "anybody can claim one"
    );
    let by_hand = Contact {
        id: claimed.to_string(),
        organization_id: novatek.id.clone(),
        organization_manager: true,
        ..Contact::default()
    };
    let by_hand = update(&world, by_hand, &[]).await.unwrap();
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
    let world = World::new().await;
    let novatek = novatek(&world).await;
    let request = UpdateOrganizationRequest {
        organization: Some(Organization {
            notes: "invoices by mail".to_owned(),
            ..novatek.clone()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["notes".to_owned(), "domains".to_owned()],
        }),
        ..UpdateOrganizationRequest::default()
    };
    let changed = world
        .contacts()
        .update_organization(world.agent(request.clone()))
        .await
        .unwrap();
    let changed = changed.into_inner();
    assert_eq!(
        (changed.notes.as_str(), &changed.domains),
        ("invoices by mail", &novatek.domains)
    );
    let stale = world
        .contacts()
        .update_organization(world.agent(request))
        .await
        .unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    let listed = world
        .contacts()
        .list_organizations(world.agent(ListOrganizationsRequest::default()))
        .await;
    assert_eq!(listed.unwrap().into_inner().organizations, [changed]);
}

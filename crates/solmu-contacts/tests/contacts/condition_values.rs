//! What conditions of rules and policies are told of contacts and organisations, and what is told when it changes.

use std::collections::BTreeMap;

use prost_types::FieldMask;
use solmu_proto::contact::v1::{
    BatchGetConditionValuesRequest, ConditionValues, Contact, ContactAttribute, ContactChanged,
    CreateContactAttributeRequest, CreateOrganizationRequest, DeleteContactAttributeRequest,
    ListContactAttributesRequest, Organization, OrganizationChanged, UpdateOrganizationRequest,
    contact_attribute::{Subject, Type},
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    calls::update,
    world::{World, proven},
};

async fn define(world: &World, name: &str, subject: Subject, of: Type) {
    let attribute = ContactAttribute {
        name: name.to_owned(),
        r#type: of.into(),
        subject: subject.into(),
        ..ContactAttribute::default()
    };
    let request = CreateContactAttributeRequest {
        attribute: Some(attribute),
    };
    let mut contacts = world.contacts();
    let made = contacts.create_contact_attribute(world.admin(request));
    made.await.unwrap();
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|it| (*it).to_owned()).collect()
}

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = pairs.iter();
    owned
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Field and values, in order.
fn told(values: &ConditionValues) -> Vec<(String, String)> {
    let values = values.values.iter();
    values
        .map(|it| (it.field.clone(), it.values.join("|")))
        .collect()
}

async fn ask(
    world: &World,
    contacts: &[Uuid],
    organizations: &[String],
    fields: &[&str],
) -> (Vec<ConditionValues>, Vec<ConditionValues>) {
    let request = BatchGetConditionValuesRequest {
        contact_ids: contacts.iter().map(Uuid::to_string).collect(),
        organization_ids: organizations.to_vec(),
        fields: texts(fields),
    };
    let mut client = world.contacts();
    let answer = client.batch_get_condition_values(world.service(request));
    let answer = answer.await.unwrap().into_inner();
    (answer.contacts, answer.organizations)
}

async fn change(
    world: &World,
    organization: Organization,
    mask: &[&str],
) -> Result<Organization, Status> {
    let request = UpdateOrganizationRequest {
        organization: Some(organization),
        update_mask: Some(FieldMask { paths: texts(mask) }),
        ..UpdateOrganizationRequest::default()
    };
    let mut contacts = world.contacts();
    let changed = contacts.update_organization(world.agent(request)).await?;
    Ok(changed.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_told_what_it_asks_for_and_no_more() {
    let world = World::new().await;
    define(&world, "tier", Subject::Contact, Type::Text).await;
    define(&world, "secret", Subject::Contact, Type::Text).await;
    let aino = world.sender("Aino", &[proven("aino@c.example")]).await;
    let other = world.sender("Aino V", &[proven("aino@work.example")]).await;
    let contact = |id: Uuid, pairs: &[(&str, &str)]| Contact {
        id: id.to_string(),
        language: "fi".to_owned(),
        attributes: values(pairs),
        ..Contact::default()
    };
    let mask = ["attributes", "language"];
    let own = contact(aino, &[("tier", "gold"), ("secret", "x")]);
    update(&world, own, &mask).await.unwrap();
    let events: Vec<ContactChanged> = world.told().await;
    let wanted = [
        "contact.fields.secret",
        "contact.fields.tier",
        "contact.language",
    ];
    assert_eq!(events[0].fields, wanted);
    assert_eq!(events[0].contact_ids, [aino.to_string()]);
    // The same again changes nothing.
    let own = contact(aino, &[("tier", "gold"), ("secret", "x")]);
    update(&world, own, &mask).await.unwrap();
    assert_eq!(world.told::<ContactChanged>().await.len(), 1);

    let asked = [
        "contact.fields.tier",
        "contact.language",
        "contact.manager",
        "contact.fields.none",
    ];
    let gone = Uuid::from_u128(7);
    let (told_of, none) = ask(&world, &[aino, gone], &[], &asked).await;
    assert!(none.is_empty() && told_of.len() == 1);
    let pair = |field: &str, value: &str| (field.to_owned(), value.to_owned());
    let wanted = [
        pair("contact.fields.tier", "gold"),
        pair("contact.language", "fi"),
        pair("contact.manager", "false"),
    ];
    assert_eq!(told(&told_of[0]), wanted);
    // Who stands for another answers for both, and is named by each.
    world.merge(aino, other).await.unwrap();
    let (told_of, _) = ask(&world, &[other], &[], &asked).await;
    assert_eq!(told(&told_of[0]), wanted);
    let own = contact(aino, &[("tier", "iron")]);
    update(&world, own, &["attributes.tier"]).await.unwrap();
    let events: Vec<ContactChanged> = world.told().await;
    let mut ids = events[1].contact_ids.clone();
    ids.sort();
    let mut both = vec![aino.to_string(), other.to_string()];
    both.sort();
    assert_eq!(ids, both);
    // Only for services and admins.
    let mut client = world.contacts();
    let request = BatchGetConditionValuesRequest::default();
    let refused = client
        .batch_get_condition_values(world.agent(request))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let many = BatchGetConditionValuesRequest {
        contact_ids: vec![aino.to_string(); 1_001],
        ..BatchGetConditionValuesRequest::default()
    };
    let refused = client.batch_get_condition_values(world.service(many)).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organisations_have_fields_of_their_own() {
    let world = World::new().await;
    define(&world, "seats", Subject::Organization, Type::Number).await;
    // The same name may be a field of contacts.
    define(&world, "seats", Subject::Unspecified, Type::Text).await;
    let request = CreateOrganizationRequest {
        organization: Some(Organization {
            display_name: "Acme".to_owned(),
            domains: texts(&["acme.example"]),
            attributes: values(&[("seats", "100.0")]),
            ..Organization::default()
        }),
        request_id: String::new(),
    };
    let mut contacts = world.contacts();
    let made = contacts.create_organization(world.agent(request));
    let acme = made.await.unwrap().into_inner();
    assert_eq!(acme.attributes, values(&[("seats", "100")]));
    let wanted = |pairs: &[(&str, &str)]| Organization {
        id: acme.id.clone(),
        attributes: values(pairs),
        ..Organization::default()
    };
    for wrong in [[("seats", "many")], [("plan", "gold")]] {
        let refused = change(&world, wanted(&wrong), &["attributes"]).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
    let more = change(&world, wanted(&[("seats", "250")]), &["attributes.seats"]).await;
    assert_eq!(more.unwrap().attributes, values(&[("seats", "250")]));
    let events: Vec<OrganizationChanged> = world.told().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].fields, ["organization.fields.seats"]);
    let asked = [
        "organization.fields.seats",
        "organization.name",
        "organization.domains",
    ];
    let (_, told_of) = ask(&world, &[], std::slice::from_ref(&acme.id), &asked).await;
    let pair = |field: &str, value: &str| (field.to_owned(), value.to_owned());
    let all = [
        pair("organization.domains", "acme.example"),
        pair("organization.fields.seats", "250"),
        pair("organization.name", "Acme"),
    ];
    assert_eq!(told(&told_of[0]), all);
    // Each has its own list of definitions.
    let list = async |subject: Subject| {
        let request = ListContactAttributesRequest {
            subject: subject.into(),
        };
        let mut contacts = world.contacts();
        let listed = contacts.list_contact_attributes(world.agent(request)).await;
        listed.unwrap().into_inner().attributes
    };
    assert_eq!(list(Subject::Organization).await[0].r#type(), Type::Number);
    assert_eq!(list(Subject::Unspecified).await[0].r#type(), Type::Text);
    let request = DeleteContactAttributeRequest {
        name: "seats".to_owned(),
        subject: Subject::Organization.into(),
    };
    let mut contacts = world.contacts();
    contacts
        .delete_contact_attribute(world.admin(request))
        .await
        .unwrap();
    assert!(list(Subject::Organization).await.is_empty());
    assert_eq!(list(Subject::Contact).await.len(), 1);
    let (_, told_of) = ask(&world, &[], std::slice::from_ref(&acme.id), &asked[..1]).await;
    assert!(told_of[0].values.is_empty());
}

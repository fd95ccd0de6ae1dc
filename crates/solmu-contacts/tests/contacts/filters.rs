//! Lists of contacts by name and by own fields.

use solmu_proto::contact::v1::{
    Contact, ContactAttribute, CreateContactAttributeRequest, CreateContactRequest,
    ListContactsRequest, MergeContactsRequest, contact_attribute::Type,
};
use tonic::Code;

use crate::world::World;

async fn define(world: &World, name: &str, of: Type) {
    let choices = match of {
        Type::Choice => vec!["gold".to_owned(), "iron".to_owned()],
        _ => Vec::new(),
    };
    let attribute = ContactAttribute {
        name: name.to_owned(),
        r#type: of.into(),
        choices,
        ..ContactAttribute::default()
    };
    let request = CreateContactAttributeRequest {
        attribute: Some(attribute),
    };
    let request = world.admin(request);
    let mut contacts = world.contacts();
    contacts.create_contact_attribute(request).await.unwrap();
}

async fn create(world: &World, name: &str, attributes: &[(&str, &str)]) -> Contact {
    let attributes = attributes.iter();
    let contact = Contact {
        display_name: name.to_owned(),
        attributes: attributes
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Contact::default()
    };
    let request = world.agent(CreateContactRequest {
        contact: Some(contact),
        ..CreateContactRequest::default()
    });
    let made = world.contacts().create_contact(request).await;
    made.unwrap().into_inner()
}

async fn listed(world: &World, filter: &str) -> Result<String, tonic::Status> {
    let request = ListContactsRequest {
        filter: filter.to_owned(),
        ..ListContactsRequest::default()
    };
    let page = world.contacts().list_contacts(world.agent(request)).await?;
    let contacts = page.into_inner().contacts.into_iter();
    let mut names: Vec<String> = contacts.map(|it| it.display_name).collect();
    names.sort();
    Ok(names.join(" "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_are_listed_by_their_own_fields() {
    let world = World::new().await;
    for (name, of) in [
        ("tier", Type::Choice),
        ("seats", Type::Number),
        ("since", Type::Date),
        ("partner", Type::Boolean),
    ] {
        define(&world, name, of).await;
    }
    create(&world, "Aino", &[("tier", "gold"), ("seats", "12.50")]).await;
    let bertil = [("tier", "iron"), ("seats", "100"), ("since", "2026-04-30")];
    create(&world, "Bertil", &bertil).await;
    let clara = create(&world, "Clara", &[]).await;
    let other = create(&world, "Other", &[("partner", "true")]).await;
    let merge = MergeContactsRequest {
        contact_id: clara.id,
        merged_contact_id: other.id,
        ..MergeContactsRequest::default()
    };
    world
        .contacts()
        .merge_contacts(world.agent(merge))
        .await
        .unwrap();
    for (filter, names) in [
        ("attributes.tier = gold", "Aino"),
        ("attributes.tier != gold", "Bertil"),
        ("NOT attributes.tier = gold", "Bertil Clara"),
        ("attributes.tier = (gold OR iron)", "Aino Bertil"),
        ("attributes.seats = 12.5", "Aino"),
        ("attributes.seats > 12.4 attributes.seats < 12.51", "Aino"),
        ("attributes.seats >= 12.5", "Aino Bertil"),
        ("attributes.since = 2026-04", "Bertil"),
        ("attributes.since:*", "Bertil"),
        // Of a person, what any of their contacts has.
        ("attributes.partner = true", "Clara"),
        ("name = AINO", "Aino"),
        ("name = \"b*\"", "Bertil"),
        ("name:lar OR attributes.tier = gold", "Aino Clara"),
        ("create_time < 9999-12-31 name:\"e\"", "Bertil"),
    ] {
        assert_eq!(listed(&world, filter).await.unwrap(), names, "{filter}");
    }
    let wild = vec!["name:\"a\""; 33].join(" OR ");
    for (wrong, said) in [
        ("attributes.teir = gold", "attributes.tier"),
        ("attributes.seats > many", "such as 99.5"),
        (wild.as_str(), "more than 32"),
    ] {
        let refused = listed(&world, wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{wrong}");
        assert!(
            format!("{refused:?}").contains(said),
            "{wrong}: {refused:?}"
        );
    }
}

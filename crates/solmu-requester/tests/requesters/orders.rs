//! The catalogue, as requesters order from it.

use std::collections::BTreeSet;

use futures::future::join_all;
use solmu_proto::{
    requester::v1::{
        ListServicesRequest, OrderServiceRequest, OrderServiceResponse, Requester, Service,
    },
    ticket::v1::{
        CatalogueItem, CatalogueVariable, CreateCatalogueItemRequest, ListActivitiesRequest,
        OrderCatalogueItemRequest, OrderValue, TaskTemplate, TicketTemplate,
    },
    types::v1::{TicketStatus, actor},
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::world::{AINO, BEN, World, by_mail, fields, mail, reason};

impl World {
    /// Adds a service with a part, a task and a question.
    async fn offer(&self, name: &str, open: bool) -> CatalogueItem {
        let item = CatalogueItem {
            name: name.to_owned(),
            description: format!("What is {name}"),
            variables: vec![CatalogueVariable {
                name: "who".to_owned(),
                label: "For whom".to_owned(),
                required: true,
                ..CatalogueVariable::default()
            }],
            ticket: Some(TicketTemplate {
                subject: "For {{ order.who }}".to_owned(),
                text: "internal words".to_owned(),
                tasks: vec![TaskTemplate {
                    title: "Buy it".to_owned(),
                    ..TaskTemplate::default()
                }],
                ..TicketTemplate::default()
            }),
            sub_tickets: vec![TicketTemplate {
                subject: "A part".to_owned(),
                text: "more internal words".to_owned(),
                ..TicketTemplate::default()
            }],
            open_to_requesters: open,
            ..CatalogueItem::default()
        };
        let request = self.admin(CreateCatalogueItemRequest {
            item: Some(item),
            ..CreateCatalogueItemRequest::default()
        });
        self.catalogue()
            .create_catalogue_item(request)
            .await
            .unwrap()
            .into_inner()
    }

    async fn order(
        &self,
        who: &Requester,
        service: &str,
        name: &str,
        request_id: &str,
    ) -> Result<OrderServiceResponse, Status> {
        let request = self.portal(OrderServiceRequest {
            requester: Some(who.clone()),
            service_id: service.to_owned(),
            values: vec![OrderValue {
                name: "who".to_owned(),
                value: name.to_owned(),
            }],
            request_id: request_id.to_owned(),
            ..OrderServiceRequest::default()
        });
        Ok(self.requesters().order_service(request).await?.into_inner())
    }

    async fn services(&self, page_size: i32) -> Vec<Service> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = self.portal(ListServicesRequest {
                requester: Some(by_mail(AINO)),
                page_size,
                page_token,
            });
            let page = self
                .requesters()
                .list_services(request)
                .await
                .unwrap()
                .into_inner();
            all.extend(page.services);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return all;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_to_them_is_listed() {
    let world = World::new().await;
    world.offer("Badge", false).await;
    for name in ["Laptop", "Access", "Phone"] {
        world.offer(name, true).await;
    }
    let all = world.services(2).await;
    let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["Access", "Laptop", "Phone"]);
    assert_eq!(world.services(0).await, all);
    assert_eq!(all[0].variables[0].label, "For whom");
    // One of an agent's own is nobody else's.
    let own = world.admin(CreateCatalogueItemRequest {
        item: Some(CatalogueItem {
            agent_id: Uuid::from_u128(77).to_string(),
            open_to_requesters: true,
            name: "Mine".to_owned(),
            ticket: Some(TicketTemplate {
                subject: "s".to_owned(),
                text: "t".to_owned(),
                ..TicketTemplate::default()
            }),
            ..CatalogueItem::default()
        }),
        ..CreateCatalogueItemRequest::default()
    });
    let refused = world
        .catalogue()
        .create_catalogue_item(own)
        .await
        .unwrap_err();
    assert_eq!(fields(&refused), ["item.open_to_requesters"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_shows_its_ticket_and_nothing_of_what_is_in_it() {
    let world = World::new().await;
    let (open, shut) = (
        world.offer("Laptop", true).await,
        world.offer("Badge", false).await,
    );
    let aino = Requester {
        display_name: "Aino Aalto".to_owned(),
        ..by_mail(AINO)
    };
    for wrong in [&shut.id, &Uuid::from_u128(5).to_string()] {
        let refused = world.order(&aino, wrong, "me", "o0").await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        // As for somebody who is shut out.
        let said = format!("service '{wrong}' does not exist");
        assert_eq!(refused.message(), said);
    }
    let refused = world.order(&aino, "laptop", "me", "o0").await.unwrap_err();
    assert_eq!(fields(&refused), ["service_id"]);
    let refused = world.order(&aino, &open.id, " ", "o0").await.unwrap_err();
    assert_eq!(fields(&refused), ["values.who"]);
    assert_eq!(
        world.count("SELECT count(*) FROM tickets.contact").await,
        0,
        "nothing is left"
    );

    let ordered = world
        .order(&aino, &open.id, "me", "o1")
        .await
        .unwrap()
        .ticket
        .unwrap();
    assert_eq!(ordered.subject, "For me");
    assert_eq!(world.count("SELECT count(*) FROM tickets.ticket").await, 2);
    assert_eq!(world.count("SELECT count(*) FROM tickets.task").await, 1);
    let ticket = Uuid::parse_str(&ordered.id).unwrap();
    assert_eq!(world.ids(&aino).await, [ticket], "not the part");
    assert_eq!(world.texts(&aino, ticket).await, Vec::<String>::new());
    let part: Uuid =
        sqlx::query_scalar("SELECT id FROM tickets.ticket WHERE parent_id IS NOT NULL")
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(
        world.get(&aino, part).await.unwrap_err().code(),
        Code::NotFound
    );
    assert!(world.ids(&by_mail(BEN)).await.is_empty());
    let log = world.agent(ListActivitiesRequest {
        ticket_id: ordered.id.clone(),
        ..ListActivitiesRequest::default()
    });
    let log = world
        .activity()
        .list_activities(log)
        .await
        .unwrap()
        .into_inner()
        .activities;
    let contact = world.contact_of(ticket).await.to_string();
    let by = log[0].actor.as_ref().unwrap();
    assert_eq!(
        (by.kind(), by.id.as_str()),
        (actor::Kind::Customer, contact.as_str())
    );
    // Agents answer to the address that the portal proved.
    world
        .answer(ticket, "On its way", TicketStatus::WaitingOnThirdParty)
        .await;
    assert_eq!(world.texts(&aino, ticket).await, ["On its way"]);
    // Even what agents write to them on a part is the desk's own matter.
    world
        .answer(part, "About the part", TicketStatus::Open)
        .await;
    assert_eq!(world.ids(&aino).await, [ticket]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_order_a_hundred_times_at_once_is_one() {
    let world = World::new().await;
    let open = world.offer("Laptop", true).await;
    let aino = by_mail(AINO);
    let all = join_all((0..100).map(|_| world.order(&aino, &open.id, "me", "o1"))).await;
    let ids: BTreeSet<String> = all
        .into_iter()
        .map(|it| it.unwrap().ticket.unwrap().id)
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM tickets.ticket").await, 2);
    assert_eq!(world.count("SELECT count(*) FROM tickets.contact").await, 1);
    let other = world.order(&aino, &open.id, "you", "o1").await.unwrap_err();
    assert_eq!(reason(&other), "REQUEST_ID_REUSED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_agents_order_about_somebody_is_shown_once_they_are_written_to() {
    let world = World::new().await;
    let mailed = world.file(&mail("m1", AINO)).await;
    let leaving = world.offer("Leaving", false).await;
    let request = world.agent(OrderCatalogueItemRequest {
        item_id: leaving.id,
        contact_id: world.contact_of(mailed).await.to_string(),
        values: vec![OrderValue {
            name: "who".to_owned(),
            value: "Aino".to_owned(),
        }],
        ..OrderCatalogueItemRequest::default()
    });
    let ordered = world
        .catalogue()
        .order_catalogue_item(request)
        .await
        .unwrap()
        .into_inner();
    let ticket = Uuid::parse_str(&ordered.ticket.unwrap().id).unwrap();
    let aino = by_mail(AINO);
    assert_eq!(world.ids(&aino).await, [mailed]);
    world
        .answer(
            ticket,
            "Please bring the badge",
            TicketStatus::WaitingOnCustomer,
        )
        .await;
    let ids: BTreeSet<Uuid> = world.ids(&aino).await.into_iter().collect();
    assert_eq!(ids, BTreeSet::from([mailed, ticket]));
    assert_eq!(world.texts(&aino, ticket).await, ["Please bring the badge"]);
}

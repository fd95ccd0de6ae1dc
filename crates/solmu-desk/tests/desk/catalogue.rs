//! The service catalogue, over the wire.

use jiff::SignedDuration;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::{
    outbound::v1::MessageQueued,
    ticket::v1::{
        CatalogueItem, CatalogueVariable, CreateCatalogueItemRequest, DeleteCatalogueItemRequest,
        FieldValue, GetTicketRequest, ListCatalogueItemsRequest, ListMessagesRequest,
        ListTasksRequest, OrderCatalogueItemRequest, OrderCatalogueItemResponse, OrderValue,
        ReplyToTicketRequest, SetStatusRequest, TaskTemplate, TicketOpened, TicketTemplate,
        catalogue_variable::Kind,
    },
    types::v1::{Priority, TicketStatus, actor},
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::support::{AGENT, Api, Ticket, fields, opened, reason};

const TEAM: Uuid = Uuid::from_u128(500);

fn variable(name: &str, kind: Kind, required: bool) -> CatalogueVariable {
    CatalogueVariable {
        name: name.to_owned(),
        label: name.to_owned(),
        kind: kind.into(),
        required,
        ..CatalogueVariable::default()
    }
}

fn task(title: &str, due_minutes: i64, remind_minutes_before: i64) -> TaskTemplate {
    TaskTemplate {
        title: title.to_owned(),
        due_minutes,
        remind_minutes_before,
        ..TaskTemplate::default()
    }
}

/// A new colleague: accounts, a laptop, and what IT has to do.
fn newcomer() -> CatalogueItem {
    let account = TicketTemplate {
        subject: "Accounts of {{ order.who }}".to_owned(),
        text:
            "{% if order.vpn %}With VPN.{% else %}Without VPN.{% endif %} See #{{ ticket.number }}."
                .to_owned(),
        team_id: TEAM.to_string(),
        tasks: vec![task("Mailbox for {{ order.who }}", 0, 0)],
        ..TicketTemplate::default()
    };
    let laptop = TicketTemplate {
        subject: "Laptop: {{ order.size }}".to_owned(),
        text: "By {{ order.start|default('soon', true) }}".to_owned(),
        ..TicketTemplate::default()
    };
    CatalogueItem {
        name: "New colleague".to_owned(),
        description: "Everything on the first day".to_owned(),
        variables: vec![
            variable("who", Kind::Text, true),
            variable("vpn", Kind::Boolean, false),
            variable("start", Kind::Date, false),
            CatalogueVariable {
                options: vec!["Small".to_owned(), "Large".to_owned()],
                default_value: "Small".to_owned(),
                ..variable("size", Kind::Choice, false)
            },
        ],
        ticket: Some(TicketTemplate {
            subject: "New colleague:\n{{ order.who }}".to_owned(),
            text: "{{ contact.first_name }} asks for {{ order.who }}".to_owned(),
            priority: Priority::High.into(),
            category: "HR/Onboarding".to_owned(),
            tags: vec!["onboarding".to_owned()],
            tasks: vec![task("Welcome", 60, 30), task("Badge", 2_880, 0)],
            ..TicketTemplate::default()
        }),
        sub_tickets: vec![account, laptop],
        ..CatalogueItem::default()
    }
}

async fn add(api: &Api, item: CatalogueItem) -> Result<CatalogueItem, Status> {
    let request = CreateCatalogueItemRequest {
        item: Some(item),
        request_id: String::new(),
    };
    let made = api
        .catalogue()
        .create_catalogue_item(api.admin(request))
        .await;
    made.map(tonic::Response::into_inner)
}

fn order(item: &CatalogueItem, contact: &Ticket, request_id: &str) -> OrderCatalogueItemRequest {
    let value = |name: &str, value: &str| OrderValue {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    OrderCatalogueItemRequest {
        item_id: item.id.clone(),
        contact_id: contact.contact_id.to_string(),
        values: vec![value("who", "Pekka {{ Puu }}"), value("vpn", "true")],
        request_id: request_id.to_owned(),
        ..OrderCatalogueItemRequest::default()
    }
}

async fn placed(
    api: &Api,
    order: OrderCatalogueItemRequest,
) -> Result<OrderCatalogueItemResponse, Status> {
    let placed = api.catalogue().order_catalogue_item(api.agent(order)).await;
    placed.map(tonic::Response::into_inner)
}

async fn first_text(api: &Api, ticket: &str) -> String {
    let request = ListMessagesRequest {
        ticket_id: ticket.to_owned(),
        ..ListMessagesRequest::default()
    };
    let page = api.tickets().list_messages(api.admin(request)).await;
    let first = page.unwrap().into_inner().messages.remove(0);
    assert!(!first.public, "nothing is sent by ordering");
    first.text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_opens_all_of_it_once() {
    let api = Api::new().await;
    let requester = opened(&api).await;
    let item = add(&api, newcomer()).await.unwrap();
    let done = placed(&api, order(&item, &requester, "once"))
        .await
        .unwrap();
    let again = placed(&api, order(&item, &requester, "once"))
        .await
        .unwrap();
    assert!(done == again, "the same id opened something else");
    let ticket = done.ticket.unwrap();
    assert_eq!(ticket.subject, "New colleague: Pekka {{ Puu }}");
    assert_eq!(
        (ticket.priority(), ticket.category.as_str()),
        (Priority::High, "hr/onboarding")
    );
    assert_eq!(
        (ticket.tags, ticket.status),
        (vec!["onboarding".to_owned()], TicketStatus::New.into())
    );
    assert_eq!(ticket.contact_id, requester.contact_id.to_string());
    let subjects: Vec<&str> = done
        .sub_tickets
        .iter()
        .map(|it| it.subject.as_str())
        .collect();
    assert_eq!(subjects, ["Accounts of Pekka {{ Puu }}", "Laptop: Small"]);
    assert!(done.sub_tickets.iter().all(|it| it.parent_id == ticket.id));
    assert_eq!(
        (done.sub_tickets[0].team_id.clone(), done.tasks),
        (TEAM.to_string(), 3)
    );
    let text = first_text(&api, &done.sub_tickets[0].id).await;
    assert_eq!(text, format!("With VPN. See #{}.", ticket.number));
    assert_eq!(first_text(&api, &done.sub_tickets[1].id).await, "By soon");

    let told = api.world.told::<TicketOpened>().await;
    assert_eq!(told.len(), 4, "the mail, the ticket and its two parts");
    let author = told[1].message.clone().unwrap().author.unwrap();
    assert_eq!(
        (author.kind(), author.id),
        (actor::Kind::Agent, AGENT.to_string())
    );
    assert_eq!(told[2].ticket.clone().unwrap().team_id, TEAM.to_string());
    assert!(api.world.told::<MessageQueued>().await.is_empty());

    due_times_are_after_the_order(&api, &ticket.id).await;
    parts_keep_it_open_and_answers_find_the_requester(&api, &ticket.id).await;
    let other = OrderCatalogueItemRequest {
        values: Vec::new(),
        ..order(&item, &requester, "once")
    };
    let reused = placed(&api, other).await.unwrap_err();
    assert_eq!(reason(&reused), "REQUEST_ID_REUSED");
}

async fn due_times_are_after_the_order(api: &Api, ticket: &str) {
    let request = ListTasksRequest {
        ticket_id: ticket.to_owned(),
        ..ListTasksRequest::default()
    };
    let tasks = api.work().list_tasks(api.agent(request)).await.unwrap();
    let tasks = tasks.into_inner().tasks;
    let now = api.world.harness.clock.now();
    let after = |minutes| Some(to_proto_time(now + SignedDuration::from_mins(minutes)));
    let times: Vec<_> = tasks
        .iter()
        .map(|it| (it.due_time, it.remind_time))
        .collect();
    assert_eq!(times, [(after(60), after(30)), (after(2_880), None)]);
}

async fn parts_keep_it_open_and_answers_find_the_requester(api: &Api, ticket: &str) {
    let resolve = SetStatusRequest {
        ticket_id: ticket.to_owned(),
        status: TicketStatus::Resolved.into(),
        ..SetStatusRequest::default()
    };
    let kept = api
        .tickets()
        .set_status(api.agent(resolve))
        .await
        .unwrap_err();
    assert_eq!(reason(&kept), "SUBTICKETS_OPEN");
    let reply = ReplyToTicketRequest {
        ticket_id: ticket.to_owned(),
        text: "We are on it".to_owned(),
        ..ReplyToTicketRequest::default()
    };
    api.tickets()
        .reply_to_ticket(api.agent(reply))
        .await
        .unwrap();
    let queued = api.world.told::<MessageQueued>().await;
    let recipient = queued[0].recipient.clone().unwrap();
    assert_eq!(
        (recipient.value.as_str(), queued.len()),
        ("aino@c.example", 1)
    );
    let shown = GetTicketRequest {
        id: ticket.to_owned(),
    };
    let shown = api
        .tickets()
        .get_ticket(api.agent(shown))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(shown.children.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_opened_leaves_nothing() {
    let api = Api::new().await;
    let requester = opened(&api).await;
    let mut item = newcomer();
    // Shows only when the last part is opened: there is no such field.
    item.sub_tickets[1].fields = vec![FieldValue {
        key: "serial".to_owned(),
        values: vec!["{{ order.who }}".to_owned()],
    }];
    let item = add(&api, item).await.unwrap();
    let failed = placed(&api, order(&item, &requester, "r"))
        .await
        .unwrap_err();
    assert_eq!(fields(&failed), ["ticket.fields.serial"]);
    assert_eq!(
        api.world.count("SELECT count(*) FROM tickets.ticket").await,
        1
    );
    assert_eq!(
        api.world
            .count("SELECT count(*) FROM tickets.catalogue_order")
            .await,
        0
    );
    assert_eq!(
        api.world.count("SELECT count(*) FROM tickets.task").await,
        0
    );

    let unsaid = OrderCatalogueItemRequest {
        values: Vec::new(),
        ..order(&item, &requester, "")
    };
    let unsaid = placed(&api, unsaid).await.unwrap_err();
    assert_eq!(fields(&unsaid), ["values.who"]);
    let nobody = OrderCatalogueItemRequest {
        contact_id: Uuid::from_u128(9).to_string(),
        ..order(&item, &requester, "")
    };
    assert_eq!(
        placed(&api, nobody).await.unwrap_err().code(),
        Code::NotFound
    );
    let stale = OrderCatalogueItemRequest {
        etag: "\"7\"".to_owned(),
        ..order(&item, &requester, "")
    };
    assert_eq!(
        reason(&placed(&api, stale).await.unwrap_err()),
        "ETAG_MISMATCH"
    );
    sqlx::query("UPDATE tickets.contact SET blocked_at = now()")
        .execute(api.world.pool())
        .await
        .unwrap();
    let closed = placed(&api, order(&item, &requester, ""))
        .await
        .unwrap_err();
    assert_eq!(reason(&closed), "CONTACT_CLOSED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_same_orders_one_is_placed() {
    let api = Api::new().await;
    let requester = opened(&api).await;
    let item = add(&api, newcomer()).await.unwrap();
    let calls = (0..8).map(|_| placed(&api, order(&item, &requester, "same")));
    let answers = futures::future::join_all(calls).await;
    let ids: std::collections::BTreeSet<String> = answers
        .into_iter()
        .map(|answer| answer.unwrap().ticket.unwrap().id)
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(
        api.world.count("SELECT count(*) FROM tickets.ticket").await,
        4
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_are_checked_when_saved() {
    let api = Api::new().await;
    let mut item = newcomer();
    item.variables[0].name = "Who".to_owned();
    let ticket = item.ticket.as_mut().unwrap();
    ticket.subject = "{{ order.nobody }}".to_owned();
    ticket.text = String::new();
    ticket.tasks[0].remind_minutes_before = 61;
    item.sub_tickets[0].text = "{% for a in order.who %}x{% endfor %}".to_owned();
    item.sub_tickets[1].assignee_id = "pekka".to_owned();
    let refused = add(&api, item).await.unwrap_err();
    assert_eq!(
        fields(&refused),
        [
            "item.variables[0].name",
            "item.ticket.subject",
            "item.ticket.text",
            "item.ticket.tasks[0].remind_minutes_before",
            // Its subject names order.who, which the variable no longer is.
            "item.sub_tickets[0].subject",
            "item.sub_tickets[0].text",
            "item.sub_tickets[0].tasks[0].title",
            "item.sub_tickets[1].assignee_id",
        ]
    );
    let without = CatalogueItem {
        ticket: None,
        sub_tickets: Vec::new(),
        ..newcomer()
    };
    assert_eq!(
        fields(&add(&api, without).await.unwrap_err()),
        ["item.ticket"]
    );

    let kept = add(&api, newcomer()).await.unwrap();
    let list = ListCatalogueItemsRequest::default();
    let page = api
        .catalogue()
        .list_catalogue_items(api.service(list))
        .await
        .unwrap();
    assert_eq!(page.into_inner().items, std::slice::from_ref(&kept));
    let delete = DeleteCatalogueItemRequest {
        id: kept.id,
        etag: kept.etag,
    };
    api.catalogue()
        .delete_catalogue_item(api.admin(delete.clone()))
        .await
        .unwrap();
    let gone = api
        .catalogue()
        .delete_catalogue_item(api.admin(delete))
        .await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
}

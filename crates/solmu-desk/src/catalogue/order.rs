//! Opens what was ordered: the ticket, its parts and their tasks, in one transaction.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use solmu_bus::envelope::to_proto_time;
use solmu_db::ToSqlx as _;
use solmu_proto::{
    ticket::v1::{
        CatalogueItem, FieldValue, OrderCatalogueItemRequest, Task, TaskTemplate, Ticket,
        TicketTemplate,
    },
    types::v1::Actor,
};
use solmu_runtime::{ApiError, access::Caller, request::uuid};
use solmu_tickets::{
    TicketError,
    desk::{Opening, Requester, checked_text},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{is_open, values};
use crate::{
    context::Context,
    items::{self, Item as _},
    texts,
    texts::template::{self, ContactValues, TicketValues, Values},
};

/// What somebody orders.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) request: OrderCatalogueItemRequest,
    pub(super) request_id: Option<String>,
    pub(super) caller: Caller,
    pub(super) by: Actor,
    /// The requester orders: only what is open to them, and for the very contact that they are. Agents order for whoever
    /// stands for the person, which may be put together by a guess.
    pub(super) by_requester: bool,
}

/// What was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ordered {
    pub(super) ticket: Uuid,
    pub(super) sub_tickets: Vec<Uuid>,
    pub(super) tasks: i32,
}

/// Opens all of it, or nothing; the same request id opens it once.
pub(super) async fn order(context: &Arc<Context>, order: Order) -> Result<Ordered, ApiError> {
    let order = Arc::new(order);
    context
        .db
        .tx("catalogue.order", |tx| {
            let (context, order) = (context.clone(), order.clone());
            Box::pin(async move { order_in(tx, &context, &order).await })
        })
        .await
}

/// As [`order`], in a transaction of the caller's.
pub(super) async fn order_in(
    tx: &mut PgConnection,
    context: &Context,
    order: &Order,
) -> Result<Ordered, ApiError> {
    let id = context.new_id();
    // First of all: who orders the same at the same time waits here and finds what was opened.
    if let Some(known) = claim(tx, context, order, id).await? {
        return Ok(known);
    }
    let request = &order.request;
    let item: CatalogueItem = items::get(&mut *tx, &order.caller, &request.item_id).await?;
    if order.by_requester && !is_open(&item) {
        return Err(ApiError::not_found(
            CatalogueItem::RESOURCE,
            &request.item_id,
        ));
    }
    if !request.etag.is_empty() && request.etag != item.etag {
        return Err(ApiError::Aborted {
            reason: "ETAG_MISMATCH",
            message: format!("the service has changed since: it is at {}", item.etag),
        });
    }
    let answers = values::read(&item.variables, &request.values)?;
    let contact = uuid("contact_id", &request.contact_id)?;
    let mut requester = context.hands.requester(tx, contact).await?;
    if order.by_requester {
        requester.contact = contact;
    }
    let number = context.hands.next_number(tx).await?;
    let filling = Filling {
        context,
        order,
        requester: &requester,
        values: Values {
            ticket: TicketValues {
                number,
                ..TicketValues::default()
            },
            contact: ContactValues::of(&requester.name, &requester.language),
            agent: texts::agent(tx, &order.by).await?,
            order: answers,
        },
        now: context.clock.now(),
    };
    let topmost = item.ticket.unwrap_or_default();
    let mut tasks = filling.open(tx, (id, number), &topmost, None).await?;
    let mut sub_tickets = Vec::with_capacity(item.sub_tickets.len());
    for part in &item.sub_tickets {
        let (part_id, number) = (context.new_id(), context.hands.next_number(tx).await?);
        tasks += filling.open(tx, (part_id, number), part, Some(id)).await?;
        sub_tickets.push(part_id);
    }
    sqlx::query(
        "UPDATE tickets.catalogue_order SET item_version = $2, contact_id = $3, sub_ticket_ids = $4, tasks = $5
         WHERE id = $1",
    )
    .bind(id)
    .bind(&item.etag)
    .bind(requester.contact)
    .bind(&sub_tickets)
    .bind(tasks)
    .execute(tx)
    .await
    .map_err(TicketError::from)?;
    Ok(Ordered {
        ticket: id,
        sub_tickets,
        tasks,
    })
}

/// Takes the request id for this order; what was ordered under it before, if it is taken.
async fn claim(
    tx: &mut PgConnection,
    context: &Context,
    order: &Order,
    id: Uuid,
) -> Result<Option<Ordered>, ApiError> {
    let request = &order.request;
    let asked = OrderCatalogueItemRequest {
        request_id: String::new(),
        ..request.clone()
    };
    let digest = Sha256::digest(asked.encode_to_vec()).to_vec();
    let taken = sqlx::query(
        "INSERT INTO tickets.catalogue_order (id, item_id, item_version, contact_id, created_by, created_at, request_id, digest)
         VALUES ($1, $2, '', $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(uuid("item_id", &request.item_id)?)
    .bind(uuid("contact_id", &request.contact_id)?)
    .bind(&order.by.id)
    .bind(context.clock.now().to_sqlx())
    .bind(&order.request_id)
    .bind(&digest)
    .execute(&mut *tx)
    .await
    .map_err(TicketError::from)?;
    if taken.rows_affected() > 0 {
        return Ok(None);
    }
    let (ticket, sub_tickets, tasks, same): (Uuid, Vec<Uuid>, i32, bool) = sqlx::query_as(
        "SELECT id, sub_ticket_ids, tasks, digest = $3 FROM tickets.catalogue_order
         WHERE created_by = $1 AND request_id = $2",
    )
    .bind(&order.by.id)
    .bind(&order.request_id)
    .bind(&digest)
    .fetch_one(tx)
    .await
    .map_err(TicketError::from)?;
    if !same {
        return Err(TicketError::RequestIdReused.into());
    }
    Ok(Some(Ordered {
        ticket,
        sub_tickets,
        tasks,
    }))
}

/// What all tickets of one order have in common.
struct Filling<'a> {
    context: &'a Context,
    order: &'a Order,
    requester: &'a Requester,
    values: Values,
    now: Timestamp,
}

impl Filling<'_> {
    /// Opens one ticket with its tasks; returns how many these are.
    async fn open(
        &self,
        tx: &mut PgConnection,
        (id, number): (Uuid, i64),
        template: &TicketTemplate,
        parent: Option<Uuid>,
    ) -> Result<i32, ApiError> {
        let (wanted, mask) = self.change(template)?;
        let opening = Opening {
            id,
            number,
            subject: &self.line(&template.subject)?,
            text: &checked_text(&self.text(&template.text)?)?,
            wanted: &wanted,
            mask: &mask,
            parent,
            by: &self.order.by,
        };
        let hands = &self.context.hands;
        hands.open(tx, self.requester, opening).await?;
        for task in &template.tasks {
            let task = self.task(task)?;
            hands.add_task(tx, id, &task, &self.order.by).await?;
        }
        Ok(i32::try_from(template.tasks.len()).unwrap_or(i32::MAX))
    }

    /// The values of the ticket, and the paths of what is set.
    fn change(&self, template: &TicketTemplate) -> Result<(Ticket, Vec<String>), ApiError> {
        let mut fields = Vec::new();
        for field in &template.fields {
            let mut values = Vec::new();
            for source in &field.values {
                let value = self.line(source)?;
                if !value.is_empty() {
                    values.push(value);
                }
            }
            if !values.is_empty() {
                let key = field.key.clone();
                fields.push(FieldValue { key, values });
            }
        }
        let set = [
            ("priority", template.priority != 0),
            ("category", !template.category.is_empty()),
            ("tags", !template.tags.is_empty()),
            ("team_id", !template.team_id.is_empty()),
            ("assignee_id", !template.assignee_id.is_empty()),
        ];
        let set = set.iter().filter(|(_, set)| *set);
        let mask = set.map(|(path, _)| (*path).to_owned());
        let mask = mask.chain(fields.iter().map(|it| format!("fields.{}", it.key)));
        let mask = mask.collect();
        let wanted = Ticket {
            priority: template.priority,
            category: template.category.clone(),
            tags: template.tags.clone(),
            team_id: template.team_id.clone(),
            assignee_id: template.assignee_id.clone(),
            fields,
            ..Ticket::default()
        };
        Ok((wanted, mask))
    }

    fn task(&self, template: &TaskTemplate) -> Result<Task, ApiError> {
        let due = self.after(template.due_minutes);
        let has_due = template.due_minutes > 0;
        let ahead = template.due_minutes - template.remind_minutes_before;
        let remind = (has_due && template.remind_minutes_before > 0).then(|| self.after(ahead));
        Ok(Task {
            title: self.line(&template.title)?,
            assignee_id: template.assignee_id.clone(),
            due_time: has_due.then(|| to_proto_time(due)),
            remind_time: remind.map(to_proto_time),
            ..Task::default()
        })
    }

    fn after(&self, minutes: i64) -> Timestamp {
        let later = SignedDuration::from_mins(minutes);
        self.now.saturating_add(later).unwrap_or(self.now)
    }

    fn text(&self, source: &str) -> Result<String, ApiError> {
        template::render(source, &self.values).map_err(|error| texts::failed(&error))
    }

    /// A text on one line.
    fn line(&self, source: &str) -> Result<String, ApiError> {
        let text = self.text(source)?;
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

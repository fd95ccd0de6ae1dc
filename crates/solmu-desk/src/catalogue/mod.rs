//! The service catalogue: what a service may be made of.
//!
//! A service is kept as canned answers and macros are, and seen by whom it is for. Its texts are their templates, with
//! what whoever orders was asked. So nothing in an order can grow, loop or reach out, whoever wrote the service and
//! whatever is answered.

mod open;
mod order;
pub(crate) mod service;
mod values;

pub use open::{Ordering, Services};

use solmu_proto::{
    ticket::v1::{CatalogueItem, TaskTemplate, TicketTemplate},
    types::v1::Priority,
};
use solmu_runtime::api_error::Violation;
use solmu_tickets::desk::Named;
use uuid::Uuid;

use crate::{
    items::{self, Item},
    texts::template::{self, Values},
};

/// Longest description, in bytes.
const MAX_DESCRIPTION: usize = 4_000;
/// Parts of one ticket.
const MAX_SUB_TICKETS: usize = 20;
/// Tasks of one ticket.
const MAX_TASKS: usize = 50;
/// Tags, and fields, of one ticket.
const MAX_WORDS: usize = 100;
/// Minutes in two years: the latest due time.
const MAX_DUE: i64 = 2 * 366 * 24 * 60;
/// What may be said beside what is asked.
const VARIABLES: [&str; 5] = [
    "ticket.number",
    "contact.name",
    "contact.first_name",
    "contact.language",
    "agent.name",
];

impl Item for CatalogueItem {
    const KIND: i16 = 3;
    const RESOURCE: &'static str = "catalogue item";
    const FIELD: &'static str = "item";
    items::head!();

    fn faults(&self) -> Vec<Violation> {
        let mut faults = Faults::of(self);
        let long = self.description.len() > MAX_DESCRIPTION || self.description.contains('\0');
        faults.refuse(long, "item.description", "longer than 4000 bytes");
        let own = self.open_to_requesters && !self.agent_id.is_empty();
        let field = "item.open_to_requesters";
        faults.refuse(own, field, "one of an agent's own is open to nobody else");
        faults.all.extend(values::faults(&self.variables));
        match &self.ticket {
            Some(ticket) => faults.ticket("item.ticket", ticket),
            None => faults.refuse(true, "item.ticket", "is missing"),
        }
        let many = self.sub_tickets.len() > MAX_SUB_TICKETS;
        faults.refuse(many, "item.sub_tickets", "more than 20");
        for (index, ticket) in self.sub_tickets.iter().enumerate() {
            faults.ticket(&format!("item.sub_tickets[{index}]"), ticket);
        }
        faults.all
    }

    fn named(&self) -> Vec<Named> {
        let first = self.ticket.iter().map(|it| ("item.ticket".to_owned(), it));
        let others = self.sub_tickets.iter().enumerate();
        let others = others.map(|(index, it)| (format!("item.sub_tickets[{index}]"), it));
        let named = first.chain(others).map(|(field, ticket)| {
            let assignee = ("assignee_id", ticket.assignee_id.as_str());
            let mut named = items::named(&field, assignee, &ticket.team_id);
            for (index, task) in ticket.tasks.iter().enumerate() {
                let assignee = ("assignee_id", task.assignee_id.as_str());
                let task = format!("{field}.tasks[{index}]");
                named.extend(items::named(&task, assignee, ""));
            }
            named
        });
        named.flatten().collect()
    }
}

/// Whether requesters may order it by themselves.
fn is_open(item: &CatalogueItem) -> bool {
    item.open_to_requesters && item.agent_id.is_empty()
}

/// What is wrong with a service.
struct Faults {
    all: Vec<Violation>,
    /// What its templates may say.
    variables: Vec<String>,
    empty: Values,
}

impl Faults {
    fn of(item: &CatalogueItem) -> Self {
        let asked = item.variables.iter().map(|it| format!("order.{}", it.name));
        let variables = VARIABLES.iter().map(|&it| it.to_owned()).chain(asked);
        Self {
            all: Vec::new(),
            variables: variables.collect(),
            empty: Values {
                order: values::blank(&item.variables),
                ..Values::default()
            },
        }
    }

    fn refuse(&mut self, bad: bool, field: &str, why: &str) {
        if bad {
            self.all.push(Violation::new(field, why));
        }
    }

    /// A template; one of nothing only if it `may_be_empty`.
    fn template(&mut self, field: &str, source: &str, may_be_empty: bool) {
        if source.trim().is_empty() {
            self.refuse(!may_be_empty, field, "is empty");
            return;
        }
        let variables: Vec<&str> = self.variables.iter().map(String::as_str).collect();
        if let Err(why) = template::check_with(source, &variables, &self.empty) {
            self.all.push(Violation::new(field, why.to_string()));
        }
    }

    fn id(&mut self, field: &str, id: &str) {
        let bad = !id.is_empty() && Uuid::parse_str(id).is_err();
        self.refuse(bad, field, "is not a UUID");
    }

    fn ticket(&mut self, field: &str, ticket: &TicketTemplate) {
        self.template(&format!("{field}.subject"), &ticket.subject, false);
        self.template(&format!("{field}.text"), &ticket.text, false);
        let known = Priority::try_from(ticket.priority).is_ok();
        self.refuse(
            !known,
            &format!("{field}.priority"),
            "there is no such priority",
        );
        self.id(&format!("{field}.team_id"), &ticket.team_id);
        self.id(&format!("{field}.assignee_id"), &ticket.assignee_id);
        let many = ticket.tags.len() > MAX_WORDS || ticket.fields.len() > MAX_WORDS;
        self.refuse(many, field, "more than 100 tags or fields");
        let untold = ticket.tags.iter().any(|tag| tag.trim().is_empty());
        self.refuse(untold, &format!("{field}.tags"), "names no tag");
        for value in &ticket.fields {
            let place = format!("{field}.fields.{}", value.key);
            self.refuse(value.key.is_empty(), &place, "names no field");
            let many = value.values.len() > MAX_WORDS;
            self.refuse(many, &place, "more than 100 values");
            for source in value.values.iter().take(MAX_WORDS) {
                self.template(&place, source, true);
            }
        }
        let many = ticket.tasks.len() > MAX_TASKS;
        self.refuse(many, &format!("{field}.tasks"), "more than 50");
        for (index, task) in ticket.tasks.iter().take(MAX_TASKS).enumerate() {
            self.task(&format!("{field}.tasks[{index}]"), task);
        }
    }

    fn task(&mut self, field: &str, task: &TaskTemplate) {
        self.template(&format!("{field}.title"), &task.title, false);
        self.id(&format!("{field}.assignee_id"), &task.assignee_id);
        let late = !(0..=MAX_DUE).contains(&task.due_minutes);
        self.refuse(late, &format!("{field}.due_minutes"), "0 to two years");
        let before = !(0..=task.due_minutes).contains(&task.remind_minutes_before);
        self.refuse(
            before,
            &format!("{field}.remind_minutes_before"),
            "0 to due_minutes",
        );
    }
}

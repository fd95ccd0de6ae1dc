//! `solmu field`, `solmu macro` and `solmu service`.

use anyhow::{anyhow, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use solmu_cli::parts::{Session, short, table};
use solmu_proto::ticket::v1::{
    ApplyMacroRequest, ListCatalogueItemsRequest, ListFieldsRequest, ListMacrosRequest,
    OrderCatalogueItemRequest, OrderValue,
};

use crate::{key, request_id};

/// Custom fields.
#[derive(Debug, Subcommand)]
pub enum FieldCommand {
    /// All of them
    List,
}

/// Macros.
#[derive(Debug, Subcommand)]
pub enum MacroCommand {
    /// Those that you may use, by name
    List,
    /// Take all steps of a macro on a ticket, or none
    Apply {
        /// Name or id of the macro
        name: String,
        /// Number (1001) or id
        ticket: String,
        /// Send its answer although mail to the customer's address came back
        #[arg(long)]
        force: bool,
    },
}

/// What can be ordered.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// What there is, with what is asked
    List,
    /// Open the ticket of a service with its sub-tickets and tasks
    Order {
        /// Name or id of the service
        name: String,
        /// For whom: id of a contact
        contact: String,
        /// What is asked: NAME=VALUE, once for each
        values: Vec<String>,
    },
}

pub(crate) async fn field(session: &Session, command: &FieldCommand) -> anyhow::Result<()> {
    let FieldCommand::List = command;
    let request = ListFieldsRequest::default();
    let page = session.client()?.fields().list_fields(request).await;
    let fields = page
        .map_err(|status| session.explain(status))?
        .into_inner()
        .fields;
    let mut rows = table(&["Key", "Kind", "Label", "Options"]);
    let mut views = Vec::new();
    for field in &fields {
        let kind = field.kind().as_str_name().trim_start_matches("KIND_");
        let kind = kind.trim_start_matches("FIELD_").to_lowercase();
        let options = field.options.join(", ");
        rows.add_row([
            field.key.clone(),
            kind.clone(),
            short(&field.label, 40),
            short(&options, 60),
        ]);
        views.push(
            json!({"key": field.key, "kind": kind, "label": field.label, "options": field.options}),
        );
    }
    session
        .out
        .rows(&views, &rows, "There are no custom fields.")
}

/// The one item of a name, or the item of an id.
fn named<'a, I>(
    items: &'a [I],
    of: impl Fn(&I) -> (&str, &str),
    meant: &str,
) -> anyhow::Result<&'a I> {
    let fitting: Vec<&I> = items
        .iter()
        .filter(|&it| {
            let (id, name) = of(it);
            id == meant || name.eq_ignore_ascii_case(meant)
        })
        .collect();
    match fitting.as_slice() {
        [one] => Ok(one),
        [] => Err(anyhow!("there is no '{meant}': see the list")),
        _ => Err(anyhow!("'{meant}' is more than one: name the id")),
    }
}

pub(crate) async fn r#macro(session: &Session, command: MacroCommand) -> anyhow::Result<()> {
    let client = session.client()?;
    let request = ListMacrosRequest {
        page_size: 500,
        ..ListMacrosRequest::default()
    };
    let page = client.desk().list_macros(request).await;
    let macros = page
        .map_err(|status| session.explain(status))?
        .into_inner()
        .macros;
    match command {
        MacroCommand::List => {
            let mut rows = table(&["Name", "Steps", "Macro"]);
            let mut views = Vec::new();
            for it in &macros {
                rows.add_row([
                    short(&it.name, 60),
                    it.steps.len().to_string(),
                    it.id.clone(),
                ]);
                views.push(json!({"id": it.id, "name": it.name, "steps": it.steps.len()}));
            }
            session
                .out
                .rows(&views, &rows, "There are no macros that you may use.")
        }
        MacroCommand::Apply {
            name,
            ticket,
            force,
        } => {
            let found = named(&macros, |it| (&it.id, &it.name), &name)?;
            let request = ApplyMacroRequest {
                macro_id: found.id.clone(),
                ticket_id: key(&ticket),
                request_id: request_id(),
                force,
                ..ApplyMacroRequest::default()
            };
            let done = client.desk().apply_macro(request).await;
            let done = done.map_err(|status| session.explain(status))?.into_inner();
            let number = done.ticket.map_or(0, |ticket| ticket.number);
            let messages = done.message_ids.len();
            let value = json!({"ticket_number": number, "message_ids": done.message_ids});
            let written = match messages {
                0 => "nothing",
                1 => "a message",
                _ => "messages",
            };
            let said = format!("#{number}: all steps taken, {written} written.");
            session.out.either(&value, said)
        }
    }
}

pub(crate) async fn service(session: &Session, command: ServiceCommand) -> anyhow::Result<()> {
    let client = session.client()?;
    let request = ListCatalogueItemsRequest {
        page_size: 500,
        ..ListCatalogueItemsRequest::default()
    };
    let page = client.catalogue().list_catalogue_items(request).await;
    let items = page
        .map_err(|status| session.explain(status))?
        .into_inner()
        .items;
    match command {
        ServiceCommand::List => {
            let mut rows = table(&["Name", "Asks for", "Sub-tickets", "Service"]);
            let mut views: Vec<Value> = Vec::new();
            for it in &items {
                let asked: Vec<&str> = it.variables.iter().map(|it| it.name.as_str()).collect();
                let parts = it.sub_tickets.len();
                rows.add_row([
                    short(&it.name, 60),
                    asked.join(", "),
                    parts.to_string(),
                    it.id.clone(),
                ]);
                views.push(
                    json!({"id": it.id, "name": it.name, "variables": asked, "sub_tickets": parts}),
                );
            }
            session.out.rows(&views, &rows, "The catalogue is empty.")
        }
        ServiceCommand::Order {
            name,
            contact,
            values,
        } => {
            let found = named(&items, |it| (&it.id, &it.name), &name)?;
            let mut answers = Vec::new();
            for pair in values {
                let Some((name, value)) = pair.split_once('=') else {
                    bail!("'{pair}' is not NAME=VALUE");
                };
                answers.push(OrderValue {
                    name: name.to_owned(),
                    value: value.to_owned(),
                });
            }
            let request = OrderCatalogueItemRequest {
                item_id: found.id.clone(),
                contact_id: contact,
                values: answers,
                request_id: request_id(),
                ..OrderCatalogueItemRequest::default()
            };
            let done = client.catalogue().order_catalogue_item(request).await;
            let done = done.map_err(|status| session.explain(status))?.into_inner();
            let number = done.ticket.map_or(0, |ticket| ticket.number);
            let parts: Vec<i64> = done.sub_tickets.iter().map(|it| it.number).collect();
            let value = json!({"ticket_number": number, "sub_tickets": parts, "tasks": done.tasks});
            let said = format!(
                "#{number} with {} sub-tickets and {} tasks.",
                parts.len(),
                done.tasks
            );
            session.out.either(&value, said)
        }
    }
}

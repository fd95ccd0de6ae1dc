//! `solmu service`: the catalogue.

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};
use solmu_cli::parts::{Session, short, table};
use solmu_proto::ticket::v1::{ListCatalogueItemsRequest, OrderCatalogueItemRequest, OrderValue};

use crate::{
    items::{self, Kind, PAGE, named},
    request_id,
};

/// What they are called.
const KIND: Kind = Kind {
    word: "service",
    list: "solmu service list",
};

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

pub(crate) async fn service(session: &Session, command: ServiceCommand) -> anyhow::Result<()> {
    let client = session.client()?;
    let items = items::all(session, |page_token| {
        let mut catalogue = client.catalogue();
        let request = ListCatalogueItemsRequest {
            page_size: PAGE,
            page_token,
            ..ListCatalogueItemsRequest::default()
        };
        async move {
            let page = catalogue.list_catalogue_items(request).await?.into_inner();
            Ok((page.items, page.next_page_token))
        }
    })
    .await?;
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
            let found = named(KIND, &items, |it| (&it.id, &it.name), &name)?;
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

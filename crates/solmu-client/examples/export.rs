//! Writes everything that is kept of contacts, one JSON object on a line: of those of a filter, or of all. It needs a token of
//! role admin: `SOLMU_TOKEN=solmu_... cargo run -p solmu-client --example export -- 'identity = "aino@customer.example"'`.

mod shared;

use std::io::Write as _;

use shared::Outcome;
use solmu_client::{
    Client,
    proto::contact::v1::{ExportContactRequest, ListContactsRequest},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let client = shared::client()?;
    let filter = std::env::args().nth(1).unwrap_or_default();
    let (mut page_token, mut contacts) = (String::new(), 0);
    loop {
        let request = ListContactsRequest {
            filter: filter.clone(),
            page_size: 100,
            page_token,
        };
        let page = client.contacts().list_contacts(request).await?.into_inner();
        for contact in page.contacts {
            export(&client, contact.id).await?;
            contacts += 1;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    eprintln!("{contacts} contacts");
    Ok(())
}

/// Line by line as it comes: however much there is of a person, little of it is in memory.
async fn export(client: &Client, contact_id: String) -> Outcome<()> {
    let request = ExportContactRequest { contact_id };
    let mut lines = client
        .contacts()
        .export_contact(request)
        .await?
        .into_inner();
    let mut out = std::io::stdout().lock();
    while let Some(part) = lines.message().await? {
        writeln!(out, "{}", part.line)?;
    }
    Ok(())
}

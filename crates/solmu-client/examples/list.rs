//! Lists all tickets of a filter, page by page:
//! `SOLMU_TOKEN=solmu_... cargo run -p solmu-client --example list -- 'status = new AND priority >= high'`.

mod shared;

use shared::Outcome;
use solmu_client::{ClientError, Code, proto::ticket::v1::ListTicketsRequest};

/// Small, so that two tickets are two pages; leave it out for 50.
const PAGE: i32 = 1;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let client = shared::client()?;
    let filter = std::env::args().nth(1);
    let filter = filter.unwrap_or_else(|| "NOT status = closed".to_owned());
    let (mut page_token, mut pages, mut tickets) = (String::new(), 0, 0);
    loop {
        let request = ListTicketsRequest {
            // A page token is good for the same filter alone.
            filter: filter.clone(),
            page_size: PAGE,
            page_token,
            ..ListTicketsRequest::default()
        };
        let page = client.tickets().list_tickets(request).await;
        let page = match page.map_err(ClientError::from) {
            Ok(page) => page.into_inner(),
            // What is wrong with a filter stands in the violations, with its place.
            Err(ClientError::Refused(why)) if why.code == Code::InvalidArgument => {
                for violation in &why.violations {
                    println!("{}: {}", violation.field, violation.description);
                }
                return Err(why.into());
            }
            Err(other) => return Err(other.into()),
        };
        pages += 1;
        for ticket in page.tickets {
            tickets += 1;
            println!(
                "#{} {:?} {}",
                ticket.number,
                ticket.status(),
                ticket.subject
            );
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    println!("{tickets} tickets on {pages} pages");
    Ok(())
}

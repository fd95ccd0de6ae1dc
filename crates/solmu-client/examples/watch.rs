//! Prints changes of tickets as they happen, and goes on where it was when the stream ends:
//! `SOLMU_TOKEN=solmu_... cargo run -p solmu-client --example watch`.
#![expect(
    clippy::disallowed_methods,
    reason = "an example has no configuration but its environment"
)]

use std::time::Duration;

use solmu_client::{Client, ClientError, proto::ticket::v1::WatchTicketsRequest};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ClientError> {
    let endpoint =
        std::env::var("SOLMU_ENDPOINT").unwrap_or_else(|_| "http://127.0.0.1:7310".to_owned());
    let client = Client::connect(&endpoint, &std::env::var("SOLMU_TOKEN").unwrap_or_default())?;
    let mut cursor = String::new();
    loop {
        let request = WatchTicketsRequest {
            cursor: cursor.clone(),
            ..WatchTicketsRequest::default()
        };
        let mut changes = client.tickets().watch_tickets(request).await?.into_inner();
        // A stream ends when its server goes: what was seen last is where the next one begins.
        while let Ok(Some(change)) = changes.message().await {
            println!("{} {}", change.event_type, change.summary);
            cursor = change.cursor;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

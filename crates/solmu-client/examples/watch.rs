//! Prints changes of tickets as they happen, and goes on where it was when the stream ends:
//! `SOLMU_TOKEN=solmu_... cargo run -p solmu-client --example watch`. With a number, it ends after so many.

mod shared;

use std::time::Duration;

use shared::Outcome;
use solmu_client::proto::ticket::v1::WatchTicketsRequest;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let client = shared::client()?;
    let wanted = std::env::args().nth(1).map(|it| it.parse::<u64>());
    let mut left = wanted.transpose()?.unwrap_or(u64::MAX);
    let mut cursor = String::new();
    loop {
        let request = WatchTicketsRequest {
            cursor: cursor.clone(),
            ..WatchTicketsRequest::default()
        };
        let mut changes = client.tickets().watch_tickets(request).await?.into_inner();
        if cursor.is_empty() {
            println!("watching");
        }
        // A stream ends when its server goes: what was seen last is where the next one begins.
        while let Ok(Some(change)) = changes.message().await {
            println!("{} {}", change.event_type, change.summary);
            cursor = change.cursor;
            left = left.saturating_sub(1);
            if left == 0 {
                return Ok(());
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

//! `solmu ticket watch`: changes as they happen. A lost connection is taken up again after the last change seen, so
//! that nothing is missed and nothing is shown twice.

use std::time::Duration;

use solmu_client::{Client, ClientError};
use solmu_proto::ticket::v1::{WatchTicketsRequest, WatchTicketsResponse};

use crate::{connect::Session, views::ChangeView, words};

/// Between two tries of a server that went away.
const RETRY: Duration = Duration::from_secs(1);

pub(super) async fn run(
    session: &Session,
    cursor: String,
    ticket: Option<&str>,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let ticket_id = match ticket {
        Some(meant) => super::fetch(session, &client, meant).await?.id,
        None => String::new(),
    };
    let mut request = WatchTicketsRequest {
        cursor,
        ticket_id,
        ..WatchTicketsRequest::default()
    };
    let mut was_connected = false;
    loop {
        match follow(session, &client, &mut request, &mut was_connected).await? {
            // The server drains, or went away: it comes back.
            None => session.out.progress("The stream ended; resuming."),
            Some(status) => {
                let error = ClientError::from(status.clone());
                if !was_connected || !error.is_transient() {
                    return Err(session.explain(status));
                }
                session.out.progress(format!("{error}; resuming."));
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Shows changes until the stream ends, and says why it did.
async fn follow(
    session: &Session,
    client: &Client,
    request: &mut WatchTicketsRequest,
    was_connected: &mut bool,
) -> anyhow::Result<Option<tonic::Status>> {
    let mut stream = match client.tickets().watch_tickets(request.clone()).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return Ok(Some(status)),
    };
    *was_connected = true;
    loop {
        match stream.message().await {
            Ok(Some(change)) => {
                session
                    .out
                    .either(&ChangeView::from(&change), line(&change))?;
                request.cursor = change.cursor;
            }
            Ok(None) => return Ok(None),
            Err(status) => return Ok(Some(status)),
        }
    }
}

fn line(change: &WatchTicketsResponse) -> String {
    let when = words::time(change.event_time.as_ref())
        .map(words::moment)
        .unwrap_or_default();
    let number = change
        .ticket
        .as_ref()
        .map(|ticket| format!("#{}", ticket.number))
        .unwrap_or_default();
    let kind = change
        .event_type
        .trim_start_matches("solmu.ticket.")
        .trim_end_matches(".v1");
    format!(
        "{when}  {number:<8} {:<20} {}",
        words::spoken(kind),
        words::short(&change.summary, 120)
    )
}

#[cfg(test)]
mod tests {
    use solmu_proto::ticket::v1::Ticket;

    use super::*;

    #[test]
    fn a_change_is_one_line() {
        let change = WatchTicketsResponse {
            event_type: "solmu.ticket.message_added.v1".to_owned(),
            ticket: Some(Ticket {
                number: 12,
                ..Ticket::default()
            }),
            summary: "Aino wrote\nagain".to_owned(),
            ..WatchTicketsResponse::default()
        };
        assert_eq!(
            line(&change),
            "  #12      message added        Aino wrote again"
        );
    }
}

//! Opens a ticket for a customer, answers it, and changes it, each so that it can be repeated and nothing is overwritten or
//! overlooked. The token is one of a service:
//! `solmu token create platform --role service --scope requesters.write --scope tickets.write`, then
//! `SOLMU_TOKEN=solmu_... cargo run -p solmu-client --example answer`.

mod shared;

use std::time::Duration;

use shared::Outcome;
use solmu_client::{
    Client, ClientError,
    proto::{
        requester::v1::{CreateTicketRequest, ReplyRequest, Requester},
        ticket::v1::{
            GetTicketRequest, ListMessagesRequest, ReplyToTicketRequest, Ticket,
            UpdateTicketRequest,
        },
        types::v1::IdentityKind,
    },
};
use uuid::Uuid;

/// How often a change is tried that others come before.
const TRIES: usize = 20;
/// How long filing may take, in tenths of a second.
const PATIENCE: usize = 600;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let client = shared::client()?;
    let aino = Requester {
        kind: IdentityKind::Email.into(),
        value: "aino@customer.example".to_owned(),
        method: "oidc".to_owned(),
        display_name: "Aino".to_owned(),
        ..Requester::default()
    };
    let ticket = open(&client, &aino).await?;
    println!("opened #{} once", number(&client, &ticket).await?);
    answer(&client, &aino, &ticket).await?;
    let tagged = add_tag(&client, &ticket, "answered-by-example").await?;
    println!("tagged: {}", tagged.tags.join(", "));
    Ok(())
}

/// Opens a ticket. One request id for one wish: whoever repeats the call after a time-out opens no second ticket.
async fn open(client: &Client, requester: &Requester) -> Outcome<String> {
    let request = CreateTicketRequest {
        requester: Some(requester.clone()),
        subject: "The scanner scans nothing".to_owned(),
        text: "It only blinks.".to_owned(),
        request_id: Uuid::new_v4().to_string(),
    };
    let mut requesters = client.requesters();
    let first = requesters.create_ticket(request.clone()).await?;
    let first = first.into_inner();
    for _ in 0..PATIENCE {
        let again = requesters.create_ticket(request.clone()).await?;
        let again = again.into_inner();
        assert_eq!(first.message_id, again.message_id, "it is the same message");
        // The message is on disk when the call returns; its ticket is there once it is filed.
        if let Some(ticket) = again.ticket {
            return Ok(ticket.id);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("the message is not filed".into())
}

/// Answers what was read, and nothing else: if the customer writes meanwhile, the answer is not sent.
async fn answer(client: &Client, requester: &Requester, ticket: &str) -> Outcome<()> {
    let seen = last_sequence(client, ticket).await?;
    let more = ReplyRequest {
        requester: Some(requester.clone()),
        ticket_id: ticket.to_owned(),
        text: "Now it does not even blink.".to_owned(),
        request_id: Uuid::new_v4().to_string(),
    };
    client.requesters().reply(more).await?;
    for _ in 0..PATIENCE {
        if last_sequence(client, ticket).await? > seen {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut request = ReplyToTicketRequest {
        ticket_id: ticket.to_owned(),
        text: "Please turn it off and on again.".to_owned(),
        request_id: Uuid::new_v4().to_string(),
        last_seen_sequence: seen,
        ..ReplyToTicketRequest::default()
    };
    let sent = client.tickets().reply_to_ticket(request.clone()).await;
    match sent.map_err(ClientError::from) {
        Err(ClientError::Refused(why)) if why.reason.as_deref() == Some("NEWER_MESSAGES") => {
            let missed = why.missed.unwrap_or_default();
            println!("not sent: {} newer message", missed.total);
            // Here somebody reads it. Then it is answered, too.
            request.last_seen_sequence = missed.last_sequence;
        }
        Err(other) => return Err(other.into()),
        Ok(_) => return Err("the newer message was overlooked".into()),
    }
    let first = client.tickets().reply_to_ticket(request.clone()).await?;
    let again = client.tickets().reply_to_ticket(request).await?;
    assert_eq!(first.get_ref().id, again.get_ref().id, "sent once");
    println!("answered once");
    Ok(())
}

/// Adds a tag to those that a ticket has. Router, SLA and colleagues change tickets as well: whoever is late reads again.
async fn add_tag(client: &Client, ticket: &str, tag: &str) -> Outcome<Ticket> {
    for _ in 0..TRIES {
        let read = get(client, ticket).await?;
        let mut tags = read.tags;
        tags.push(tag.to_owned());
        let request = UpdateTicketRequest {
            ticket: Some(Ticket {
                id: read.id,
                tags,
                etag: read.etag,
                ..Ticket::default()
            }),
            // Without a mask: the fields that are set. Nothing else is touched.
            update_mask: None,
            request_id: Uuid::new_v4().to_string(),
        };
        match client.tickets().update_ticket(request).await {
            Ok(changed) => return Ok(changed.into_inner()),
            Err(status) => match ClientError::from(status) {
                error if error.reason() == Some("ETAG_MISMATCH") => {}
                other => return Err(other.into()),
            },
        }
    }
    Err("somebody else was always faster".into())
}

async fn get(client: &Client, ticket: &str) -> Outcome<Ticket> {
    let id = ticket.to_owned();
    let read = client.tickets().get_ticket(GetTicketRequest { id }).await?;
    Ok(read.into_inner())
}

async fn number(client: &Client, ticket: &str) -> Outcome<i64> {
    Ok(get(client, ticket).await?.number)
}

/// The newest message of a ticket that has few.
async fn last_sequence(client: &Client, ticket: &str) -> Outcome<i64> {
    let request = ListMessagesRequest {
        ticket_id: ticket.to_owned(),
        ..ListMessagesRequest::default()
    };
    let page = client.tickets().list_messages(request).await?.into_inner();
    Ok(page.messages.last().map_or(0, |message| message.sequence))
}

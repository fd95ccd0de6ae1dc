//! The second half of the demo: an agent answers, and the answer arrives where the customer is.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::Serialize;
use solmu_client::Client;
use solmu_proto::{
    ticket::v1::{Message, ReplyToTicketRequest, Ticket},
    types::v1::{AutomaticClass, Channel, DeliveryState},
};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{sink::Arrived, vendors::Call};
use crate::{
    connect::Session,
    ticket::{messages_of, request_id},
    words,
};

/// Between two looks at a delivery state.
const LOOK: Duration = Duration::from_millis(100);
/// Headers of the answer that tell whether it threads in the customer's mail program, and where an answer to it goes.
const HEADERS: [&str; 7] = [
    "From",
    "To",
    "Reply-To",
    "Subject",
    "In-Reply-To",
    "References",
    "Message-ID",
];

/// An answer and its way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Answer {
    pub(crate) ticket_number: i64,
    pub(crate) channel: String,
    pub(crate) text: String,
    /// Whether it came to the stand-in of the relay or the vendor.
    pub(crate) arrived: bool,
    /// Address, number or chat that it came for.
    pub(crate) to: String,
    /// Headers of a mail, or the vendor's id.
    pub(crate) headers: Vec<(String, String)>,
    /// What the server says of its delivery.
    pub(crate) delivery_state: String,
    pub(crate) delivery_error: String,
    /// From the call to the arrival.
    pub(crate) milliseconds: u64,
}

/// Where the stand-ins put what they get.
#[derive(Debug)]
pub(crate) struct Arrivals {
    pub(crate) mails: UnboundedReceiver<Arrived>,
    pub(crate) calls: UnboundedReceiver<Call>,
}

/// The first ticket of the channel that a person wrote.
pub(crate) fn answerable<'a>(
    tickets: impl Iterator<Item = &'a Ticket>,
    messages: &BTreeMap<String, Vec<Message>>,
    channel: Channel,
) -> Option<&'a Ticket> {
    let first = |ticket: &Ticket| {
        messages
            .get(&ticket.id)
            .and_then(|messages| messages.first())
    };
    let mut of_channel = tickets.filter(|ticket| ticket.channels.contains(&channel.into()));
    of_channel.find(|ticket| {
        first(ticket).is_some_and(|message| message.automatic_class() == AutomaticClass::Human)
    })
}

/// Answers by e-mail and waits for the mail.
pub(crate) async fn by_email(
    session: &Session,
    client: &Client,
    ticket: &Ticket,
    earlier: &[Message],
    arrivals: &mut Arrivals,
    limit: Duration,
) -> anyhow::Result<Answer> {
    let begun = Instant::now();
    let (mut answer, message) = reply(session, client, ticket, Channel::Email).await?;
    let wanted = |mail: &Arrived| {
        let answered = mail.header("In-Reply-To").unwrap_or_default();
        let answered = answered.trim_matches(['<', '>']);
        earlier.iter().any(|message| {
            !answered.is_empty() && message.external_id.trim_matches(['<', '>']) == answered
        })
    };
    if let Some(mail) = receive(&mut arrivals.mails, limit, wanted).await {
        answer.arrived = true;
        answer.milliseconds = millis(begun);
        let headers = HEADERS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), mail.header(name)?)));
        answer.headers = headers.collect();
        answer.to = mail.to.join(", ");
    }
    follow(
        session,
        client,
        ticket,
        &message,
        DeliveryState::Sent,
        limit,
        &mut answer,
    )
    .await?;
    Ok(answer)
}

/// Answers by WhatsApp and waits for the call and for the status that says delivered.
pub(crate) async fn by_whatsapp(
    session: &Session,
    client: &Client,
    ticket: &Ticket,
    phone: &str,
    arrivals: &mut Arrivals,
    limit: Duration,
) -> anyhow::Result<Answer> {
    let begun = Instant::now();
    let (mut answer, message) = reply(session, client, ticket, Channel::Whatsapp).await?;
    let wanted = |call: &Call| call.vendor == "whatsapp" && call.to == phone;
    if let Some(call) = receive(&mut arrivals.calls, limit, wanted).await {
        answer.arrived = true;
        answer.milliseconds = millis(begun);
        answer.headers = vec![("id".to_owned(), call.id), ("text".to_owned(), call.text)];
        answer.to = call.to;
    }
    follow(
        session,
        client,
        ticket,
        &message,
        DeliveryState::Delivered,
        limit,
        &mut answer,
    )
    .await?;
    Ok(answer)
}

async fn reply(
    session: &Session,
    client: &Client,
    ticket: &Ticket,
    channel: Channel,
) -> anyhow::Result<(Answer, Message)> {
    let text = match ticket.language.as_str() {
        "fi" => {
            "Hei,\n\nkiitos viestistäsi. Selvitämme asiaa ja palaamme siihen vielä tänään.\n\nYstävällisin terveisin\nTuki"
        }
        _ => {
            "Hello,\n\nthank you for your message. We are looking into it and will come back to you today.\n\nKind regards\nSupport"
        }
    };
    let request = ReplyToTicketRequest {
        ticket_id: ticket.id.clone(),
        text: text.to_owned(),
        request_id: request_id(),
        ..ReplyToTicketRequest::default()
    };
    let message = client
        .tickets()
        .reply_to_ticket(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    let answer = Answer {
        ticket_number: ticket.number,
        channel: words::channel(channel.into()),
        text: text.to_owned(),
        ..Answer::default()
    };
    Ok((answer, message))
}

/// The first thing that is wanted, if it comes in time; others are dropped.
async fn receive<T>(
    from: &mut UnboundedReceiver<T>,
    limit: Duration,
    wanted: impl Fn(&T) -> bool,
) -> Option<T> {
    let waiting = async {
        while let Some(one) = from.recv().await {
            if wanted(&one) {
                return Some(one);
            }
        }
        None
    };
    tokio::time::timeout(limit, waiting).await.ok().flatten()
}

/// Waits until the server says that the message got as far as `wanted`, or that it failed.
async fn follow(
    session: &Session,
    client: &Client,
    ticket: &Ticket,
    message: &Message,
    wanted: DeliveryState,
    limit: Duration,
    answer: &mut Answer,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let messages = messages_of(session, client, &ticket.id).await?;
        if let Some(now) = messages.iter().find(|other| other.id == message.id) {
            answer.delivery_state = words::delivery(now.delivery_state);
            answer.delivery_error.clone_from(&now.delivery_error);
            // The states stand in their order, FAILED last.
            if now.delivery_state >= wanted.into() {
                return Ok(());
            }
        }
        if Instant::now() > deadline {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_answered_and_a_machine_is_not() {
        let ticket = |id: &str, channel: Channel| Ticket {
            id: id.to_owned(),
            channels: vec![channel.into()],
            ..Ticket::default()
        };
        let tickets = [
            ticket("shop", Channel::Email),
            ticket("chat", Channel::Chat),
            ticket("aino", Channel::Email),
        ];
        let message = |class: AutomaticClass| {
            vec![Message {
                automatic_class: class.into(),
                ..Message::default()
            }]
        };
        let messages = BTreeMap::from([
            ("shop".to_owned(), message(AutomaticClass::AutoGenerated)),
            ("chat".to_owned(), message(AutomaticClass::Human)),
            ("aino".to_owned(), message(AutomaticClass::Human)),
        ]);
        assert_eq!(
            answerable(tickets.iter(), &messages, Channel::Email)
                .unwrap()
                .id,
            "aino"
        );
        assert!(answerable(tickets.iter(), &messages, Channel::Telegram).is_none());
    }

    #[tokio::test]
    async fn only_what_is_wanted_is_received() {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        for number in 1..=3 {
            sender.send(number).unwrap();
        }
        let limit = Duration::from_millis(50);
        assert_eq!(
            receive(&mut receiver, limit, |number| *number == 2).await,
            Some(2)
        );
        assert_eq!(
            receive(&mut receiver, limit, |number| *number == 9).await,
            None
        );
    }
}

//! What agents do and see, over gRPC.

use solmu_client::Client;
use solmu_proto::{
    ticket::v1::{
        ListMessagesRequest, ListTicketsRequest, Message, ReplyToTicketRequest, SetStatusRequest,
        Ticket,
    },
    types::v1::{DeliveryState, TicketStatus},
};

use super::{Home, Solmu, wait};

/// An agent's or an admin's connection.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) client: Client,
}

impl Api {
    /// With the first admin's token.
    pub(crate) fn admin(home: &Home, process: &Solmu) -> Self {
        Self::with_token(process, &home.read("token"))
    }

    /// With the first agent's token.
    pub(crate) fn agent(home: &Home, process: &Solmu) -> Self {
        Self::with_token(process, &home.read("agent-token"))
    }

    pub(crate) fn with_token(process: &Solmu, token: &str) -> Self {
        Self {
            client: Client::connect(&process.ports.grpc_url(), token).unwrap(),
        }
    }

    /// Up to 500 tickets.
    pub(crate) async fn tickets(&self) -> Vec<Ticket> {
        let request = ListTicketsRequest {
            page_size: 500,
            ..ListTicketsRequest::default()
        };
        self.client
            .tickets()
            .list_tickets(request)
            .await
            .unwrap()
            .into_inner()
            .tickets
    }

    /// Waits for the ticket that `which` picks.
    pub(crate) async fn ticket(&self, what: &str, which: impl Fn(&Ticket) -> bool) -> Ticket {
        wait(what, async || self.tickets().await.into_iter().find(&which)).await
    }

    /// Waits for the ticket with that subject to have an owner and a due time.
    pub(crate) async fn routed(&self, subject: &str) -> Ticket {
        let done = |ticket: &Ticket| {
            ticket.subject == subject
                && !ticket.assignee_id.is_empty()
                && ticket.next_due_time.is_some()
        };
        self.ticket(&format!("'{subject}' has an owner and a due time"), done)
            .await
    }

    /// Waits for the ticket to have so many messages.
    pub(crate) async fn with_messages(&self, ticket: &str, count: usize) -> Vec<Message> {
        wait(&format!("the ticket has {count} messages"), async || {
            let messages = self.messages(ticket).await;
            (messages.len() >= count).then_some(messages)
        })
        .await
    }

    pub(crate) async fn messages(&self, ticket: &str) -> Vec<Message> {
        let request = ListMessagesRequest {
            ticket_id: ticket.to_owned(),
            page_size: 500,
            ..ListMessagesRequest::default()
        };
        self.client
            .tickets()
            .list_messages(request)
            .await
            .unwrap()
            .into_inner()
            .messages
    }

    pub(crate) async fn reply(&self, ticket: &str, text: &str) -> Message {
        let request = ReplyToTicketRequest {
            ticket_id: ticket.to_owned(),
            text: text.to_owned(),
            request_id: text.to_owned(),
            ..ReplyToTicketRequest::default()
        };
        self.client
            .tickets()
            .reply_to_ticket(request)
            .await
            .unwrap()
            .into_inner()
    }

    pub(crate) async fn set_status(&self, ticket: &str, status: TicketStatus) -> Ticket {
        let request = SetStatusRequest {
            ticket_id: ticket.to_owned(),
            status: status.into(),
            ..SetStatusRequest::default()
        };
        self.client
            .tickets()
            .set_status(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// Waits for an answer of ours to stand where it should.
    pub(crate) async fn delivered(&self, answer: &Message, state: DeliveryState) {
        wait(
            &format!("the answer on {:?} is {state:?}", answer.channel()),
            async || {
                let messages = self.messages(&answer.ticket_id).await;
                let found = messages.iter().find(|message| message.id == answer.id)?;
                (found.delivery_state() == state).then_some(())
            },
        )
        .await;
    }
}

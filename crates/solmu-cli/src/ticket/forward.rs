//! `solmu ticket forward`: questions to experts outside.

use serde::Serialize;
use solmu_proto::{
    ticket::v1::{ForwardToExpertRequest, SideConversation},
    types::v1::{Mailbox, TicketStatus},
};

use super::{StatusArg, request_id};
use crate::{connect::Session, words};

/// What is asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) text: String,
    pub(super) to: Vec<String>,
    pub(super) messages: Vec<String>,
    pub(super) status: Option<StatusArg>,
}

/// A conversation as JSON shows it.
#[derive(Debug, Serialize)]
struct View<'a> {
    id: &'a str,
    ticket_id: &'a str,
    message_id: &'a str,
    name: &'a str,
    address: &'a str,
}

impl<'a> From<&'a SideConversation> for View<'a> {
    fn from(side: &'a SideConversation) -> Self {
        let expert = side.expert.as_ref();
        Self {
            id: &side.id,
            ticket_id: &side.ticket_id,
            message_id: &side.message_id,
            name: expert.map_or("", |expert| expert.name.as_str()),
            address: expert.map_or("", |expert| expert.address.as_str()),
        }
    }
}

pub(super) async fn run(session: &Session, meant: &str, question: Question) -> anyhow::Result<()> {
    let client = session.client()?;
    let ticket = super::fetch(session, &client, meant).await?;
    let status = question
        .status
        .map_or(TicketStatus::Unspecified, TicketStatus::from);
    let request = ForwardToExpertRequest {
        ticket_id: ticket.id,
        to: question.to.iter().map(|text| mailbox(text)).collect(),
        text: question.text,
        message_ids: question.messages,
        request_id: request_id(),
        set_status: status.into(),
    };
    let begun = client
        .tickets()
        .forward_to_expert(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner()
        .side_conversations;
    let views: Vec<View<'_>> = begun.iter().map(View::from).collect();
    let asked: Vec<String> = views
        .iter()
        .map(|view| words::short(view.address, 80))
        .collect();
    session.out.either(
        &views,
        format!("Asked about #{}: {}.", ticket.number, asked.join(", ")),
    )
}

/// "Name <address>", or the address alone. The service says what is wrong with it.
fn mailbox(text: &str) -> Mailbox {
    let parts = text
        .trim()
        .strip_suffix('>')
        .and_then(|text| text.rsplit_once('<'));
    let (name, address) = parts.unwrap_or(("", text));
    Mailbox {
        name: name.trim().trim_matches('"').to_owned(),
        address: address.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expert_has_a_name_or_not() {
        let parts = |text| {
            let mailbox = mailbox(text);
            (mailbox.name, mailbox.address)
        };
        assert_eq!(
            parts("a@x.example"),
            (String::new(), "a@x.example".to_owned())
        );
        assert_eq!(
            parts("\"A B\" <a@x.example>"),
            ("A B".to_owned(), "a@x.example".to_owned())
        );
        assert_eq!(parts("x>"), (String::new(), "x>".to_owned()));
    }
}

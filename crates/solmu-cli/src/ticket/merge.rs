//! Tickets made part of others, and back; messages that get a ticket of their own.

use solmu_proto::ticket::v1::{
    MergeTicketsRequest, SplitMessageRequest, Ticket, UnmergeTicketRequest,
};

use super::request_id;
use crate::{connect::Session, views::TicketView};

pub(super) async fn merge(
    session: &Session,
    sources: &[String],
    into: &str,
    reason: String,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let request = MergeTicketsRequest {
        source_ids: sources.iter().map(|meant| super::key(meant)).collect(),
        target_id: super::key(into),
        reason,
        etag: String::new(),
        request_id: request_id(),
    };
    let ticket = client
        .tickets()
        .merge_tickets(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    let text = format!(
        "Merged into #{}: {} messages.",
        ticket.number, ticket.message_count
    );
    said(session, &ticket, text)
}

pub(super) async fn unmerge(session: &Session, meant: &str, reason: String) -> anyhow::Result<()> {
    let client = session.client()?;
    let request = UnmergeTicketRequest {
        ticket_id: super::key(meant),
        reason,
        etag: String::new(),
        request_id: request_id(),
    };
    let ticket = client
        .tickets()
        .unmerge_ticket(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    let text = format!("#{} stands for itself again.", ticket.number);
    said(session, &ticket, text)
}

pub(super) async fn split(
    session: &Session,
    message_id: String,
    reason: String,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let request = SplitMessageRequest {
        message_id,
        reason,
        etag: String::new(),
        request_id: request_id(),
    };
    let ticket = client
        .tickets()
        .split_message(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    let text = format!("The message is on #{} now.", ticket.number);
    said(session, &ticket, text)
}

fn said(session: &Session, ticket: &Ticket, text: String) -> anyhow::Result<()> {
    session.out.either(&TicketView::from(ticket), text)
}

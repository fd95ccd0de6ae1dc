//! Answers, notes and changes of a ticket.

use anyhow::bail;
use solmu_domain::{clock::SystemClock, ids::new_uuid, rng::SystemRng};
use solmu_proto::{
    ticket::v1::{
        AddNoteRequest, AssignTicketRequest, Message, ReplyToTicketRequest, SetPriorityRequest,
        SetStatusRequest, Ticket,
    },
    types::v1::{Priority, TicketStatus},
};

use super::{PriorityArg, StatusArg, list::owner};
use crate::{
    connect::Session,
    roster::Roster,
    views::{MessageView, TicketView},
    words,
};

/// One id per command, so that a call that is made again by a lower layer has one effect.
pub(crate) fn request_id() -> String {
    new_uuid(&SystemClock, &SystemRng).to_string()
}

pub(super) async fn reply(
    session: &Session,
    meant: &str,
    text: &str,
    status: Option<StatusArg>,
    force: bool,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let ticket = super::fetch(session, &client, meant).await?;
    let request = ReplyToTicketRequest {
        ticket_id: ticket.id,
        text: text.to_owned(),
        request_id: request_id(),
        set_status: status
            .map_or(TicketStatus::Unspecified, TicketStatus::from)
            .into(),
        force,
        ..ReplyToTicketRequest::default()
    };
    let message = client
        .tickets()
        .reply_to_ticket(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    said(
        session,
        &message,
        &format!(
            "Answered #{} by {}",
            ticket.number,
            words::channel(message.channel)
        ),
    )
}

pub(super) async fn note(session: &Session, meant: &str, text: &str) -> anyhow::Result<()> {
    let client = session.client()?;
    let ticket = super::fetch(session, &client, meant).await?;
    let request = AddNoteRequest {
        ticket_id: ticket.id,
        text: text.to_owned(),
        request_id: request_id(),
        ..AddNoteRequest::default()
    };
    let message = client
        .tickets()
        .add_note(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    session.out.either(
        &MessageView::from(&message),
        format!("Noted on #{}.", ticket.number),
    )
}

pub(super) async fn assign(
    session: &Session,
    meant: &str,
    agent: Option<String>,
    team: Option<String>,
) -> anyhow::Result<()> {
    if agent.is_none() && team.is_none() {
        bail!("say whom it goes to: --agent NAME, --team NAME, or both");
    }
    let client = session.client()?;
    let ticket = super::fetch(session, &client, meant).await?;
    let roster = Roster::fetch(session, &client).await?;
    let agent_id = agent
        .map(|agent| roster.agent(&agent).map(|agent| agent.id.clone()))
        .transpose()?;
    let team_id = team
        .map(|team| roster.team(&team).map(|team| team.id.clone()))
        .transpose()?;
    let request = AssignTicketRequest {
        ticket_id: ticket.id,
        agent_id: agent_id.unwrap_or_default(),
        team_id: team_id.unwrap_or_default(),
        // A decision of a person wins over whatever the router did meanwhile.
        etag: String::new(),
        request_id: request_id(),
    };
    let ticket = client
        .tickets()
        .assign_ticket(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    let text = format!(
        "#{} belongs to {} now.",
        ticket.number,
        owner(&ticket, &roster)
    );
    session.out.either(&TicketView::from(&ticket), text)
}

pub(super) async fn status(
    session: &Session,
    meant: &str,
    status: StatusArg,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let Ticket { id, etag, .. } = super::fetch(session, &client, meant).await?;
    let request = SetStatusRequest {
        ticket_id: id,
        status: TicketStatus::from(status).into(),
        etag,
        request_id: request_id(),
    };
    let ticket = client
        .tickets()
        .set_status(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    let text = format!(
        "#{} is {} now.",
        ticket.number,
        words::spoken(&words::status(ticket.status))
    );
    session.out.either(&TicketView::from(&ticket), text)
}

pub(super) async fn priority(
    session: &Session,
    meant: &str,
    priority: PriorityArg,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let Ticket { id, etag, .. } = super::fetch(session, &client, meant).await?;
    let request = SetPriorityRequest {
        ticket_id: id,
        priority: Priority::from(priority).into(),
        etag,
        request_id: request_id(),
    };
    let ticket = client
        .tickets()
        .set_priority(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    let text = format!(
        "#{} has priority {} now.",
        ticket.number,
        words::priority(ticket.priority)
    );
    session.out.either(&TicketView::from(&ticket), text)
}

fn said(session: &Session, message: &Message, text: &str) -> anyhow::Result<()> {
    let state = words::delivery(message.delivery_state);
    session
        .out
        .either(&MessageView::from(message), format!("{text}: {state}."))
}

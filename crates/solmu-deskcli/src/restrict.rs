//! `solmu restrict` and `solmu unrestrict`: who alone sees a ticket.

use serde_json::json;
use solmu_cli::parts::{Roster, Session};
use solmu_proto::ticket::v1::{RestrictTicketRequest, Ticket, UnrestrictTicketRequest};

use crate::request_id;

/// Lets only `agents` and `teams`, by name or id, see a ticket.
pub(crate) async fn restrict(
    session: &Session,
    ticket_id: String,
    (agents, teams): (&[String], &[String]),
    reason: String,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let roster = Roster::fetch(session, &client).await?;
    let mut request = RestrictTicketRequest {
        ticket_id,
        reason,
        request_id: request_id(),
        ..RestrictTicketRequest::default()
    };
    for agent in agents {
        request.agent_ids.push(roster.agent(agent)?.id.clone());
    }
    for team in teams {
        request.team_ids.push(roster.team(team)?.id.clone());
    }
    let named = request.agent_ids.len() + request.team_ids.len();
    let done = client.tickets().restrict_ticket(request).await;
    let ticket = done.map_err(|status| session.explain(status))?.into_inner();
    said(session, &ticket, named)
}

/// Lets everybody see it again who sees others like it.
pub(crate) async fn unrestrict(
    session: &Session,
    ticket_id: String,
    reason: String,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let request = UnrestrictTicketRequest {
        ticket_id,
        reason,
        request_id: request_id(),
        ..UnrestrictTicketRequest::default()
    };
    let done = client.tickets().unrestrict_ticket(request).await;
    let ticket = done.map_err(|status| session.explain(status))?.into_inner();
    said(session, &ticket, 0)
}

fn said(session: &Session, ticket: &Ticket, named: usize) -> anyhow::Result<()> {
    // Who is not named is told the id alone.
    let name = match ticket.number {
        0 => ticket.id.clone(),
        number => format!("#{number}"),
    };
    let value = json!({
        "ticket_id": ticket.id, "ticket_number": ticket.number, "restricted": ticket.restricted,
        "agent_ids": ticket.restricted_agent_ids, "team_ids": ticket.restricted_team_ids,
    });
    let said = match (ticket.restricted, named) {
        (false, _) => format!("{name} is restricted no more."),
        (true, 1) => format!("{name} is restricted to the one who is named."),
        (true, _) => format!("{name} is restricted to the {named} who are named."),
    };
    session.out.either(&value, said)
}

//! `solmu ticket list`.

use comfy_table::Table;
use jiff::Timestamp;
use solmu_client::Client;
use solmu_domain::clock::Clock;
use solmu_proto::ticket::v1::{ListTicketsRequest, Ticket};

use crate::{connect::Session, output::table, roster::Roster, views::TicketView, words};

/// Which tickets.
#[derive(Debug, Clone, clap::Args)]
pub struct Wanted {
    /// Only those for which this holds, e.g. 'open = true AND created = 2026-04 AND category = complaint'
    #[arg(long, default_value = "")]
    pub(super) filter: String,
    /// Time zone of days and months in the filter, e.g. Europe/Helsinki [default: UTC]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) zone: String,
    /// create_time or "create_time desc" [default: by urgency]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) order: String,
    /// Id of a saved view, instead of the filter
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) view: String,
}

pub(super) async fn run(
    session: &Session,
    wanted: &Wanted,
    limit: usize,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let tickets = fetch(session, &client, wanted, limit).await?;
    let views: Vec<TicketView> = tickets.iter().map(TicketView::from).collect();
    // JSON has the ids; only people need the names.
    let roster = if session.out.is_json() {
        Roster::default()
    } else {
        Roster::fetch_or_empty(session, &client).await
    };
    session.out.rows(
        &views,
        &render(&tickets, &roster, clock.now()),
        "There is no such ticket.",
    )
}

async fn fetch(
    session: &Session,
    client: &Client,
    wanted: &Wanted,
    limit: usize,
) -> anyhow::Result<Vec<Ticket>> {
    let mut tickets = Vec::new();
    let mut page_token = String::new();
    while tickets.len() < limit {
        let page_size = i32::try_from((limit - tickets.len()).min(500)).unwrap_or(500);
        let request = ListTicketsRequest {
            page_size,
            page_token,
            filter: wanted.filter.clone(),
            time_zone: wanted.zone.clone(),
            order_by: wanted.order.clone(),
            view_id: wanted.view.clone(),
        };
        let page = client
            .tickets()
            .list_tickets(request)
            .await
            .map_err(|status| session.explain(status))?
            .into_inner();
        tickets.extend(page.tickets);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    tickets.truncate(limit);
    Ok(tickets)
}

pub(super) fn render(tickets: &[Ticket], roster: &Roster, now: Timestamp) -> Table {
    let mut rows = table(&[
        "Number", "Subject", "Contact", "Channels", "Status", "Priority", "Owner", "Due",
    ]);
    for ticket in tickets {
        rows.add_row([
            format!("#{}", ticket.number),
            words::short(&ticket.subject, 44),
            words::short(&ticket.contact_name, 24),
            channels(ticket),
            words::spoken(&words::status(ticket.status)),
            words::priority(ticket.priority),
            owner(ticket, roster),
            words::due(
                now,
                words::time(ticket.next_due_time.as_ref()),
                ticket.breached,
            ),
        ]);
    }
    rows
}

/// "email, chat".
pub(super) fn channels(ticket: &Ticket) -> String {
    let names: Vec<String> = ticket
        .channels
        .iter()
        .map(|channel| words::channel(*channel))
        .collect();
    names.join(", ")
}

/// The agent, else the team whose queue it waits in.
pub(super) fn owner(ticket: &Ticket, roster: &Roster) -> String {
    if !ticket.assignee_id.is_empty() {
        words::short(roster.agent_name(&ticket.assignee_id), 24)
    } else if ticket.team_id.is_empty() {
        "-".to_owned()
    } else {
        format!(
            "(queue of {})",
            words::short(roster.team_name(&ticket.team_id), 18)
        )
    }
}

#[cfg(test)]
mod tests {
    use solmu_proto::routing::v1::{Agent, Team};

    use super::*;
    use crate::output::flat;

    #[test]
    fn the_table_marks_what_is_late() {
        let agent = Agent {
            id: "a".to_owned(),
            display_name: "Liisa".to_owned(),
            ..Agent::default()
        };
        let team = Team {
            id: "t".to_owned(),
            display_name: "Support".to_owned(),
            default: true,
            ..Team::default()
        };
        let roster = Roster {
            agents: vec![agent],
            teams: vec![team],
        };
        let late = Ticket {
            number: 1001,
            subject: "Tilaus \u{1b}[31mei ole saapunut".to_owned(),
            contact_name: "Aino Mäkelä".to_owned(),
            channels: vec![1, 2],
            status: 2,
            priority: 3,
            assignee_id: "a".to_owned(),
            next_due_time: Some(prost_types::Timestamp {
                seconds: 280,
                nanos: 0,
            }),
            breached: true,
            ..Ticket::default()
        };
        let queued = Ticket {
            number: 1002,
            team_id: "t".to_owned(),
            status: 1,
            priority: 2,
            ..Ticket::default()
        };
        let text = flat(
            &render(
                &[late, queued],
                &roster,
                Timestamp::from_second(1_000).unwrap(),
            )
            .trim_fmt(),
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[2],
            "#1001 Tilaus [31mei ole saapunut Aino Mäkelä email, chat open high Liisa ! 12 min late"
        );
        assert!(lines[3].contains("(queue of Support) -"), "{text}");
    }
}

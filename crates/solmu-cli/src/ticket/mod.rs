//! `solmu ticket`.

mod change;
mod forward;
mod list;
mod merge;
mod search;
mod set;
mod show;
mod watch;

use clap::{Subcommand, ValueEnum};
use solmu_client::Client;
use solmu_domain::{clock::Clock, ids::TicketId};
use solmu_proto::{
    ticket::v1::{GetTicketRequest, Ticket},
    types::v1::{Priority, TicketStatus},
};

use crate::{connect::Session, words};

pub(crate) use change::request_id;
pub(crate) use show::messages_of;

/// Tickets.
#[derive(Debug, Subcommand)]
pub enum TicketCommand {
    /// Tickets by urgency: breached first, then by due time
    List {
        /// Which ones
        #[command(flatten)]
        wanted: list::Wanted,
        /// Show at most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Tickets by what was written, newest first: words in any form, word*, "a phrase", -not
    Search {
        /// What to search for
        #[arg(required = true, num_args = 1.., allow_hyphen_values = true)]
        words: Vec<String>,
        /// Only those for which this holds, as for list
        #[arg(long, default_value = "")]
        filter: String,
        /// Time zone of days and months in the filter [default: UTC]
        #[arg(long, default_value = "", hide_default_value = true)]
        zone: String,
        /// Show at most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// A ticket with its messages, clocks and the reasons of its routing
    Show {
        /// Number (#1001) or id
        ticket: String,
    },
    /// Changes as they happen
    Watch {
        /// Begin after this change; only new ones if not given
        #[arg(long, default_value = "")]
        cursor: String,
        /// Only this ticket, by number or id
        #[arg(long)]
        ticket: Option<String>,
    },
    /// Answer the customer on the channel that they wrote on
    Reply {
        /// Number (#1001) or id
        ticket: String,
        /// The answer
        #[arg(required = true, num_args = 1..)]
        text: Vec<String>,
        /// Status afterwards [default: waiting-on-customer]
        #[arg(long)]
        status: Option<StatusArg>,
        /// Send it although mail to the customer's address came back
        #[arg(long)]
        force: bool,
    },
    /// Add a note that the customer does not see
    Note {
        /// Number (#1001) or id
        ticket: String,
        /// The note
        #[arg(required = true, num_args = 1..)]
        text: Vec<String>,
    },
    /// Ask experts outside by mail; what they answer comes back as notes that the customer does not see
    Forward {
        /// Number (#1001) or id
        ticket: String,
        /// What they are asked
        #[arg(required = true, num_args = 1..)]
        text: Vec<String>,
        /// Whom to ask: an address, or "Name <address>"; once for each
        #[arg(long, required = true)]
        to: Vec<String>,
        /// Id of a message that goes along, once for each [default: the customer's last one]
        #[arg(long)]
        message: Vec<String>,
        /// Status afterwards [default: unchanged]
        #[arg(long)]
        status: Option<StatusArg>,
    },
    /// Give a ticket to an agent or a team
    Assign {
        /// Number (#1001) or id
        ticket: String,
        /// The new owner, by name or id; without it the ticket goes back to the team's queue
        #[arg(long)]
        agent: Option<String>,
        /// The new team, by name or id
        #[arg(long)]
        team: Option<String>,
    },
    /// Make tickets part of another one: their messages move there, and later mail follows
    Merge {
        /// Numbers (#1001) or ids of the tickets that move
        #[arg(required = true, num_args = 1..)]
        tickets: Vec<String>,
        /// The ticket that goes on, by number or id
        #[arg(long)]
        into: String,
        /// Why, for colleagues
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Take the merge of a ticket back
    Unmerge {
        /// Number (#1001) or id of the ticket that moved
        ticket: String,
        /// Why, for colleagues
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Give a customer's message a ticket of its own
    Split {
        /// Id of the message
        message: String,
        /// Why, for colleagues
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Set several fields at once: subject, category, tags, parent, or a custom field by its key
    Set {
        /// Number (#1001) or id
        ticket: String,
        /// KEY=VALUE, as category=billing/refund; without a value it is emptied; several values: once for each
        #[arg(required = true, num_args = 1..)]
        changes: Vec<String>,
    },
    /// Move a ticket to another status
    Status {
        /// Number (#1001) or id
        ticket: String,
        /// The new status
        status: StatusArg,
    },
    /// Set the priority of a ticket
    Priority {
        /// Number (#1001) or id
        ticket: String,
        /// The new priority
        priority: PriorityArg,
    },
}

/// A status that a person can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusArg {
    /// Being worked on
    Open,
    /// The customer has to answer
    WaitingOnCustomer,
    /// Somebody else has to do something
    WaitingOnThirdParty,
    /// Done, unless the customer says otherwise
    Resolved,
    /// Done for good
    Closed,
}

impl From<StatusArg> for TicketStatus {
    fn from(status: StatusArg) -> Self {
        match status {
            StatusArg::Open => Self::Open,
            StatusArg::WaitingOnCustomer => Self::WaitingOnCustomer,
            StatusArg::WaitingOnThirdParty => Self::WaitingOnThirdParty,
            StatusArg::Resolved => Self::Resolved,
            StatusArg::Closed => Self::Closed,
        }
    }
}

/// How urgent a ticket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PriorityArg {
    /// Can wait
    Low,
    /// As usual
    Normal,
    /// Soon
    High,
    /// Now
    Urgent,
}

impl PriorityArg {
    /// The word of the API's rules.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }
}

impl From<PriorityArg> for Priority {
    fn from(priority: PriorityArg) -> Self {
        match priority {
            PriorityArg::Low => Self::Low,
            PriorityArg::Normal => Self::Normal,
            PriorityArg::High => Self::High,
            PriorityArg::Urgent => Self::Urgent,
        }
    }
}

pub(crate) async fn run(
    session: &Session,
    command: TicketCommand,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    match command {
        TicketCommand::List { wanted, limit } => list::run(session, &wanted, limit, clock).await,
        TicketCommand::Search {
            words,
            filter,
            zone,
            limit,
        } => {
            let asked = search::Asked {
                query: words.join(" "),
                filter,
                zone,
            };
            search::run(session, asked, limit).await
        }
        TicketCommand::Show { ticket } => show::run(session, &ticket, clock).await,
        TicketCommand::Watch { cursor, ticket } => {
            watch::run(session, cursor, ticket.as_deref()).await
        }
        TicketCommand::Reply {
            ticket,
            text,
            status,
            force,
        } => change::reply(session, &ticket, &text.join(" "), status, force).await,
        TicketCommand::Note { ticket, text } => {
            change::note(session, &ticket, &text.join(" ")).await
        }
        TicketCommand::Forward {
            ticket,
            text,
            to,
            message,
            status,
        } => {
            let question = forward::Question {
                text: text.join(" "),
                to,
                messages: message,
                status,
            };
            forward::run(session, &ticket, question).await
        }
        TicketCommand::Assign {
            ticket,
            agent,
            team,
        } => change::assign(session, &ticket, agent, team).await,
        TicketCommand::Merge {
            tickets,
            into,
            reason,
        } => merge::merge(session, &tickets, &into, reason).await,
        TicketCommand::Unmerge { ticket, reason } => merge::unmerge(session, &ticket, reason).await,
        TicketCommand::Split { message, reason } => merge::split(session, message, reason).await,
        TicketCommand::Set { ticket, changes } => set::run(session, &ticket, &changes).await,
        TicketCommand::Status { ticket, status } => change::status(session, &ticket, status).await,
        TicketCommand::Priority { ticket, priority } => {
            change::priority(session, &ticket, priority).await
        }
    }
}

/// The ticket that somebody means by "1001", "#1001" or an id.
pub(crate) async fn fetch(
    session: &Session,
    client: &Client,
    meant: &str,
) -> anyhow::Result<Ticket> {
    let request = GetTicketRequest { id: key(meant) };
    let answer = client
        .tickets()
        .get_ticket(request)
        .await
        .map_err(|status| session.explain(status))?;
    Ok(answer.into_inner())
}

/// As [`fetch`], for services that may run apart from the ticket service: who gives an id gets on without it, and without
/// number and subject.
pub(crate) async fn fetch_or_id(
    session: &Session,
    client: &Client,
    meant: &str,
) -> anyhow::Result<Ticket> {
    let id = meant.trim();
    match fetch(session, client, meant).await {
        Err(_) if id.parse::<TicketId>().is_ok() => Ok(Ticket {
            id: id.to_owned(),
            ..Ticket::default()
        }),
        answer => answer,
    }
}

/// How a page about a ticket begins: number and subject, or the id where they are not known.
pub(crate) fn title(ticket: &Ticket) -> String {
    if ticket.number == 0 {
        return ticket.id.clone();
    }
    format!("#{} {}", ticket.number, words::short(&ticket.subject, 60))
}

/// A bare number is what a person types where the shell takes `#` for a comment.
fn key(meant: &str) -> String {
    let meant = meant.trim();
    let is_number = !meant.is_empty() && meant.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        format!("#{meant}")
    } else {
        meant.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_with_what_is_known() {
        let mut ticket = Ticket {
            id: "0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e5f".to_owned(),
            ..Ticket::default()
        };
        assert_eq!(title(&ticket), ticket.id);
        (ticket.number, ticket.subject) = (7, "Lasku".to_owned());
        assert_eq!(title(&ticket), "#7 Lasku");
    }

    #[test]
    fn a_number_is_a_number_with_and_without_its_mark() {
        assert_eq!(key("1001"), "#1001");
        assert_eq!(key(" #1001 "), "#1001");
        assert_eq!(
            key("0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e5f"),
            "0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e5f"
        );
    }
}

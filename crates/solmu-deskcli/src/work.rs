//! `solmu task`, `solmu link` and `solmu snooze`.

use clap::{Subcommand, ValueEnum};
use jiff::SignedDuration;
use prost_types::FieldMask;
use serde_json::{Value, json};
use solmu_cli::parts::{Roster, Session, short, table};
use solmu_domain::clock::{Clock as _, SystemClock};
use solmu_proto::ticket::v1::{
    CreateTaskRequest, LinkKind, LinkTicketsRequest, ListTasksRequest, SnoozeTicketRequest, Task,
    UnlinkTicketsRequest, UpdateTaskRequest, WakeTicketRequest,
};

use crate::{agent_id, instant, key, request_id, to_proto, when};

/// Tasks.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Tasks of a ticket, by due time
    List {
        /// Number (1001) or id
        ticket: String,
        /// Done ones, too
        #[arg(long)]
        all: bool,
    },
    /// Add a task
    Add {
        /// Number (1001) or id
        ticket: String,
        /// What is to be done
        #[arg(required = true, num_args = 1..)]
        title: Vec<String>,
        /// When it is due: a length as 3h or 2d, a day, or RFC 3339
        #[arg(long)]
        due: Option<String>,
        /// Agent who does it, by name or id
        #[arg(long, default_value = "")]
        agent: String,
    },
    /// Mark a task as done
    Done {
        /// Id of the task
        task: String,
    },
}

/// What a ticket is to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// Both have to do with each other
    Related,
    /// It is a duplicate of the other one
    Duplicate,
    /// It is the problem behind the other one
    ProblemOf,
}

impl From<KindArg> for LinkKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Related => Self::Related,
            KindArg::Duplicate => Self::Duplicate,
            KindArg::ProblemOf => Self::ProblemOf,
        }
    }
}

pub(crate) async fn task(session: &Session, command: TaskCommand) -> anyhow::Result<()> {
    let client = session.client()?;
    match command {
        TaskCommand::List { ticket, all } => list(session, &key(&ticket), all).await,
        TaskCommand::Add {
            ticket,
            title,
            due,
            agent,
        } => {
            let task = Task {
                ticket_id: key(&ticket),
                title: title.join(" "),
                assignee_id: agent_id(session, &agent).await?,
                due_time: due.as_deref().map(later).transpose()?,
                ..Task::default()
            };
            let request = CreateTaskRequest {
                task: Some(task),
                request_id: request_id(),
            };
            let made = client.work().create_task(request).await;
            let made = made.map_err(|status| session.explain(status))?.into_inner();
            let said = format!("Task {} on #{}.", made.id, made.ticket_number);
            session.out.either(&view(&made), said)
        }
        TaskCommand::Done { task } => {
            let request = UpdateTaskRequest {
                task: Some(Task {
                    id: task,
                    done: true,
                    ..Task::default()
                }),
                update_mask: Some(FieldMask {
                    paths: vec!["done".to_owned()],
                }),
                request_id: request_id(),
            };
            let done = client.work().update_task(request).await;
            let done = done.map_err(|status| session.explain(status))?.into_inner();
            let said = format!("Done: {}.", short(&done.title, 80));
            session.out.either(&view(&done), said)
        }
    }
}

/// A length from now, a day or an instant.
fn later(text: &str) -> anyhow::Result<prost_types::Timestamp> {
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    let length = days
        .map(|days: i64| SignedDuration::from_hours(days.saturating_mul(24)))
        .or_else(|| text.parse::<SignedDuration>().ok());
    match length {
        Some(length) => Ok(to_proto(SystemClock.now().saturating_add(length)?)),
        None => instant(text).map(to_proto),
    }
}

fn view(task: &Task) -> Value {
    json!({
        "id": task.id, "ticket_number": task.ticket_number, "title": task.title, "assignee_id": task.assignee_id,
        "due_time": task.due_time.as_ref().map(ToString::to_string), "done": task.done,
    })
}

async fn list(session: &Session, ticket: &str, all: bool) -> anyhow::Result<()> {
    let client = session.client()?;
    let request = ListTasksRequest {
        ticket_id: ticket.to_owned(),
        show_done: all,
        page_size: 500,
        ..ListTasksRequest::default()
    };
    let page = client.work().list_tasks(request).await;
    let page = page.map_err(|status| session.explain(status))?.into_inner();
    let roster = Roster::fetch_or_empty(session, &client).await;
    let mut rows = table(&["Due", "Done", "Title", "Agent", "Task"]);
    for task in &page.tasks {
        rows.add_row([
            when(task.due_time.as_ref()),
            if task.done { "yes" } else { "no" }.to_owned(),
            short(&task.title, 80),
            short(roster.agent_name(&task.assignee_id), 30),
            task.id.clone(),
        ]);
    }
    let views: Vec<Value> = page.tasks.iter().map(view).collect();
    session
        .out
        .rows(&views, &rows, "Nothing is to be done for it.")
}

pub(crate) async fn link(
    session: &Session,
    (ticket_id, other_ticket_id): (String, String),
    kind: KindArg,
    remove: bool,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let kind = LinkKind::from(kind).into();
    let done = if remove {
        let request = UnlinkTicketsRequest {
            ticket_id,
            other_ticket_id,
            kind,
            request_id: request_id(),
        };
        client.work().unlink_tickets(request).await
    } else {
        let request = LinkTicketsRequest {
            ticket_id,
            other_ticket_id,
            kind,
            request_id: request_id(),
        };
        client.work().link_tickets(request).await
    };
    let ticket = done.map_err(|status| session.explain(status))?.into_inner();
    let links = ticket.links.len();
    let value = json!({"ticket_number": ticket.number, "links": links});
    let said = match links {
        0 => format!("#{} has no links.", ticket.number),
        1 => format!("#{} has 1 link.", ticket.number),
        _ => format!("#{} has {links} links.", ticket.number),
    };
    session.out.either(&value, said)
}

pub(crate) async fn snooze(
    session: &Session,
    ticket_id: String,
    until: Option<String>,
    wake: bool,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let done = if wake {
        client
            .work()
            .wake_ticket(WakeTicketRequest {
                ticket_id,
                request_id: request_id(),
            })
            .await
    } else {
        let request = SnoozeTicketRequest {
            ticket_id,
            until_time: until.as_deref().map(later).transpose()?,
            request_id: request_id(),
            ..SnoozeTicketRequest::default()
        };
        client.work().snooze_ticket(request).await
    };
    let ticket = done.map_err(|status| session.explain(status))?.into_inner();
    let until = ticket.wake_time.as_ref().map(ToString::to_string);
    let said = match (ticket.snoozed, &until) {
        (false, _) => format!("#{} is awake.", ticket.number),
        (true, Some(_)) => format!(
            "#{} sleeps until {}, or until the customer writes.",
            ticket.number,
            when(ticket.wake_time.as_ref())
        ),
        (true, None) => format!("#{} sleeps until the customer writes.", ticket.number),
    };
    let value =
        json!({"ticket_number": ticket.number, "snoozed": ticket.snoozed, "wake_time": until});
    session.out.either(&value, said)
}

//! `solmu time`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use solmu_cli::parts::{Session, short, table};
use solmu_proto::ticket::v1::{
    CreateTimeEntryRequest, DiscardTimerRequest, ExportTimeRequest, GetTimeTotalsRequest,
    ListTimeEntriesRequest, StartTimerRequest, StopTimerRequest, TimeEntry, TimeFormat,
};

use crate::{instant, key, request_id, seconds, to_proto};

/// Time spent on tickets.
#[derive(Debug, Subcommand)]
pub enum TimeCommand {
    /// Start your timer
    Start {
        /// Number (1001) or id
        ticket: String,
        /// What is said of the work
        #[command(flatten)]
        terms: Terms,
        /// Stop the timer that runs on another ticket
        #[arg(long)]
        switch: bool,
    },
    /// Stop your timer
    Stop {
        /// How long it was, as 45m [default: as long as it ran]
        #[arg(long)]
        length: Option<String>,
        /// What was done
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Throw your timer away
    Discard,
    /// Add time that ended now
    Add {
        /// Number (1001) or id
        ticket: String,
        /// How long, as 45m, 1h30m or seconds
        length: String,
        /// What is said of the work
        #[command(flatten)]
        terms: Terms,
    },
    /// What a ticket took
    List {
        /// Number (1001) or id
        ticket: String,
    },
    /// The bill of a period as CSV, or as lines of JSON with --json (role admin)
    Export {
        /// First day, or an instant
        #[arg(long)]
        from: String,
        /// The day after the last one, or an instant
        #[arg(long)]
        until: String,
        /// Of tickets of this organization, by id
        #[arg(long, default_value = "")]
        organization: String,
        /// Of tickets of this contact, by id
        #[arg(long, default_value = "")]
        contact: String,
        /// Of this agent, by id
        #[arg(long, default_value = "")]
        agent: String,
        /// Of this category and those below it
        #[arg(long, default_value = "")]
        category: String,
        /// Only what is billable
        #[arg(long)]
        billable: bool,
    },
}

/// What is said of the work.
#[derive(Debug, Args)]
pub struct Terms {
    /// It is billed
    #[arg(long)]
    billable: bool,
    /// What kind of work
    #[arg(long, default_value = "")]
    activity: String,
    /// Price of an hour, as 85.50
    #[arg(long, default_value = "", requires = "currency")]
    rate: String,
    /// Of the rate, as EUR
    #[arg(long, default_value = "")]
    currency: String,
    /// What was done
    #[arg(long, default_value = "")]
    note: String,
}

pub(crate) async fn run(session: &Session, command: TimeCommand) -> anyhow::Result<()> {
    let client = session.client()?;
    match command {
        TimeCommand::Start {
            ticket,
            terms,
            switch,
        } => {
            let request = StartTimerRequest {
                ticket_id: key(&ticket),
                billable: terms.billable,
                activity: terms.activity,
                hourly_rate: terms.rate,
                currency: terms.currency,
                note: terms.note,
                stop_running: switch,
                request_id: request_id(),
            };
            let begun = client.time().start_timer(request).await;
            let begun = begun
                .map_err(|status| session.explain(status))?
                .into_inner();
            let said = format!("The timer runs on #{}.", begun.ticket_number);
            session.out.either(&view(&begun), said)
        }
        TimeCommand::Stop { length, note } => {
            let request = StopTimerRequest {
                seconds: length.as_deref().map(seconds).transpose()?.unwrap_or(0),
                note,
                request_id: request_id(),
            };
            let stopped = client.time().stop_timer(request).await;
            let stopped = stopped.map_err(|status| session.explain(status))?;
            counted(session, &stopped.into_inner())
        }
        TimeCommand::Discard => {
            let done = client.time().discard_timer(DiscardTimerRequest {}).await;
            done.map_err(|status| session.explain(status))?;
            session
                .out
                .either(&json!({"discarded": true}), "No timer of yours runs.")
        }
        TimeCommand::Add {
            ticket,
            length,
            terms,
        } => add(session, &ticket, &length, terms).await,
        TimeCommand::List { ticket } => list(session, &key(&ticket)).await,
        TimeCommand::Export {
            from,
            until,
            organization,
            contact,
            agent,
            category,
            billable,
        } => {
            let request = ExportTimeRequest {
                from_time: Some(to_proto(instant(&from)?)),
                until_time: Some(to_proto(instant(&until)?)),
                organization_id: organization,
                contact_id: contact,
                agent_id: agent,
                category,
                only_billable: billable,
                ..ExportTimeRequest::default()
            };
            export(session, request).await
        }
    }
}

async fn add(session: &Session, ticket: &str, length: &str, terms: Terms) -> anyhow::Result<()> {
    let entry = TimeEntry {
        ticket_id: key(ticket),
        seconds: seconds(length)?,
        billable: terms.billable,
        activity: terms.activity,
        hourly_rate: terms.rate,
        currency: terms.currency,
        note: terms.note,
        ..TimeEntry::default()
    };
    let request = CreateTimeEntryRequest {
        entry: Some(entry),
        request_id: request_id(),
    };
    let client = session.client()?;
    let made = client.time().create_time_entry(request).await;
    let made = made.map_err(|status| session.explain(status))?;
    counted(session, &made.into_inner())
}

fn counted(session: &Session, entry: &TimeEntry) -> anyhow::Result<()> {
    let said = format!("{} on #{}.", length(entry.seconds), entry.ticket_number);
    session.out.either(&view(entry), said)
}

fn view(entry: &TimeEntry) -> Value {
    json!({
        "id": entry.id, "ticket_number": entry.ticket_number, "agent_id": entry.agent_id,
        "start_time": entry.start_time.as_ref().map(ToString::to_string), "seconds": entry.seconds,
        "billable": entry.billable, "activity": entry.activity, "hourly_rate": entry.hourly_rate,
        "currency": entry.currency, "note": entry.note,
    })
}

/// "1 h 30 min".
fn length(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

async fn list(session: &Session, ticket: &str) -> anyhow::Result<()> {
    let client = session.client()?;
    let request = ListTimeEntriesRequest {
        ticket_id: ticket.to_owned(),
        page_size: 500,
        ..ListTimeEntriesRequest::default()
    };
    let page = client.time().list_time_entries(request).await;
    let page = page.map_err(|status| session.explain(status))?.into_inner();
    let mut rows = table(&["Began", "Length", "Billable", "Agent", "Activity", "Note"]);
    for entry in &page.entries {
        let running = entry.seconds == 0;
        let billable = if entry.billable { "yes" } else { "no" };
        rows.add_row([
            entry
                .start_time
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            if running {
                "runs".to_owned()
            } else {
                length(entry.seconds)
            },
            billable.to_owned(),
            entry.agent_id.clone(),
            short(&entry.activity, 30),
            short(&entry.note, 60),
        ]);
    }
    let views: Vec<Value> = page.entries.iter().map(view).collect();
    session
        .out
        .rows(&views, &rows, "No time was spent on it.")?;
    if !page.next_page_token.is_empty() {
        session.out.progress("There is more than these 500.");
    }
    let request = GetTimeTotalsRequest {
        ticket_id: ticket.to_owned(),
        with_sub_tickets: true,
    };
    let totals = client.time().get_time_totals(request).await;
    let totals = totals
        .map_err(|status| session.explain(status))?
        .into_inner();
    session.out.progress(format!(
        "All of it, sub-tickets included: {}, of which {} billable.",
        length(totals.seconds),
        length(totals.billable_seconds)
    ));
    Ok(())
}

async fn export(session: &Session, request: ExportTimeRequest) -> anyhow::Result<()> {
    let json = session.out.is_json();
    let format = if json {
        TimeFormat::JsonLines
    } else {
        TimeFormat::Csv
    };
    let request = ExportTimeRequest {
        format: format.into(),
        ..request
    };
    let client = session.client()?;
    let parts = client.time().export_time(request).await;
    let mut parts = parts
        .map_err(|status| session.explain(status))?
        .into_inner();
    let mut entries = 0;
    loop {
        let part = parts.message().await;
        let Some(part) = part.map_err(|status| session.explain(status))? else {
            break;
        };
        entries += part.entries;
        if json {
            for line in part.text.lines() {
                session.out.object(&serde_json::from_str::<Value>(line)?)?;
            }
        } else if let Some(text) = part.text.strip_suffix('\n') {
            session.out.line(text)?;
        }
    }
    session.out.progress(format!("{entries} entries."));
    Ok(())
}

//! `solmu time`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use solmu_cli::parts::{Roster, Session, short, table};
use solmu_proto::ticket::v1::{
    CreateTimeEntryRequest, DiscardTimerRequest, ExportTimeRequest, GetTimeTotalsRequest,
    ListTimeEntriesRequest, StartTimerRequest, StopTimerRequest, TimeEntry, TimeFormat,
};

use crate::{agent_id, instant, key, request_id, seconds, to_proto, when};

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
    /// The bill as CSV, or as lines of JSON with --json: of a period, or of all that was booked since the last bill (role
    /// admin)
    Export {
        /// Only what began then or later: a day, or an instant
        #[arg(long, required_unless_present = "since_file")]
        from: Option<String>,
        /// Only what began before: the day after the last one, or an instant
        #[arg(
            long,
            required_unless_present = "since_file",
            conflicts_with = "since_file"
        )]
        until: Option<String>,
        /// Everything that was booked since the last export with this file, which keeps where it ended; the first time it is
        /// made. Other options must be the same each time
        #[arg(long, value_name = "FILE")]
        since_file: Option<PathBuf>,
        /// Of tickets of this organization, by id
        #[arg(long, default_value = "")]
        organization: String,
        /// Of tickets of this contact, by id
        #[arg(long, default_value = "")]
        contact: String,
        /// Of this agent, by name or id
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
            since_file,
            organization,
            contact,
            agent,
            category,
            billable,
        } => {
            let time = |text: Option<String>| text.as_deref().map(instant).transpose();
            let since_token = since_file.as_deref().map(place).transpose()?;
            let request = ExportTimeRequest {
                from_time: time(from)?.map(to_proto),
                until_time: time(until)?.map(to_proto),
                since_token: since_token.unwrap_or_default(),
                organization_id: organization,
                contact_id: contact,
                agent_id: export_agent(session, agent).await?,
                category,
                only_billable: billable,
                ..ExportTimeRequest::default()
            };
            let next = export(session, request).await?;
            match since_file {
                Some(file) => keep(&file, &next),
                None => Ok(()),
            }
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
    let roster = Roster::fetch_or_empty(session, &client).await;
    let mut rows = table(&["Began", "Length", "Billable", "Agent", "Activity", "Note"]);
    for entry in &page.entries {
        let running = entry.seconds == 0;
        let billable = if entry.billable { "yes" } else { "no" };
        rows.add_row([
            when(entry.start_time.as_ref()),
            if running {
                "runs".to_owned()
            } else {
                length(entry.seconds)
            },
            billable.to_owned(),
            short(roster.agent_name(&entry.agent_id), 30),
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

/// Time may be of somebody who is no agent (any more): the token of an admin. Their id stands in the bill.
async fn export_agent(session: &Session, meant: String) -> anyhow::Result<String> {
    Ok(agent_id(session, &meant).await.unwrap_or(meant))
}

/// Where the last export with this file ended; empty before the first one.
fn place(file: &Path) -> anyhow::Result<String> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
}

/// Keeps where an export ended, all of it or nothing: half a place would be none.
fn keep(file: &Path, next: &str) -> anyhow::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let write = || {
        std::fs::write(&beside, format!("{next}\n"))?;
        std::fs::File::open(&beside)?.sync_all()?;
        std::fs::rename(&beside, file)
    };
    let failed = || {
        format!(
            "{} cannot be written: the next export will have these entries once more",
            file.display()
        )
    };
    write().with_context(failed)
}

/// Prints the bill; returns where the next one begins.
async fn export(session: &Session, request: ExportTimeRequest) -> anyhow::Result<String> {
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
    let (mut entries, mut next) = (0, String::new());
    loop {
        let part = parts.message().await;
        let Some(part) = part.map_err(|status| session.explain(status))? else {
            break;
        };
        entries += part.entries;
        next = part.next_token;
        if json {
            for line in part.text.lines() {
                session.out.object(&serde_json::from_str::<Value>(line)?)?;
            }
        } else if let Some(text) = part.text.strip_suffix('\n') {
            session.out.line(text)?;
        }
    }
    session.out.progress(format!("{entries} entries."));
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_kept_between_exports() {
        let folder = std::env::temp_dir().join(format!("solmu-place-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("bill");
        assert_eq!(place(&file).unwrap(), "");
        for next in ["first", "second"] {
            keep(&file, next).unwrap();
            assert_eq!(place(&file).unwrap(), next);
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert!(place(&folder).is_err(), "a folder");
        assert!(keep(&folder.join("none/bill"), "x").is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

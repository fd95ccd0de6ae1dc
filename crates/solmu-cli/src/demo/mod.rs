//! `solmu demo`: sends real messages through the real protocols into the running system, waits until they are owned
//! tickets with due times, answers two of them, and shows all of it. It ends with an error when something did not come
//! out as it should, so it is also the shortest end-to-end test there is.
//!
//! The demo stands in for the world on loopback: customers (SMTP, webhooks, WebSocket, form) and what our answers go
//! to (a mail relay, the vendors' APIs). The system itself is not touched but through its own doors.

pub(crate) mod agents;
mod answer;
mod board;
mod cast;
mod chat;
mod form;
pub(crate) mod mails;
mod report;
mod send;
mod settings;
mod sink;
mod vendors;
mod webhooks;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::bail;
use solmu_client::Client;
use solmu_domain::{clock::Clock, rng::SystemRng};
use solmu_proto::{
    ticket::v1::{Message, QuarantinedMessage, Ticket},
    types::v1::{Channel, actor::Kind},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connect::Session,
    http, quarantine,
    roster::Roster,
    views::{QuarantinedView, TicketView},
    words,
};
use answer::{Answer, Arrivals, answerable};
use board::{Board, Progress};
use cast::Cast;
use report::{Check, Report};
use send::Sent;
use settings::DemoSettings;

/// How long a folder's mails may show no change before they count as done.
const SETTLED: Duration = Duration::from_secs(2);

/// What the demo sends, and where to.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DemoArgs {
    /// Send the .eml files of this folder in place of the built-in mails
    #[arg(long, value_name = "DIR")]
    mails: Option<PathBuf>,
    /// SMTP server [default: of the configuration, else 127.0.0.1:2525]
    #[arg(long, value_name = "HOST:PORT")]
    smtp: Option<String>,
    /// HTTP server [default: http://127.0.0.1:7311]
    #[arg(long, value_name = "URL")]
    http: Option<String>,
    /// Address of ours that customers write to [default: the first one of the configuration]
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Configuration with the secrets of the demo's accounts [default: solmu.toml of the data directory]
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// How long each step may take, in seconds
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    wait: u64,
}

/// What should become of the messages; `None` where a folder decides it.
#[derive(Debug, Clone, Copy)]
struct Expected {
    tickets: usize,
    filed: usize,
    quarantined: usize,
}

pub(crate) async fn run(
    session: &Session,
    arguments: DemoArgs,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let outcome = play(session, &arguments, clock, &tasks, &stop).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    let failed = outcome?;
    if failed.is_empty() {
        return Ok(());
    }
    bail!("the demo did not end as it should: {}", failed.join("; "))
}

async fn play(
    session: &Session,
    arguments: &DemoArgs,
    clock: &dyn Clock,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<String>> {
    let out = session.out;
    let settings = DemoSettings::load(arguments, &session.options.data)?;
    let cast = Cast::new(&SystemRng);
    let mails = match &arguments.mails {
        Some(folder) => mails::of_folder(folder)?,
        None => mails::built_in(&cast.run, &settings.recipient),
    };
    let client = session.client()?;
    let http = http::client()?;
    let limit = Duration::from_secs(arguments.wait);
    let setup = vendors::Setup {
        run: cast.run.clone(),
        webhooks: settings.http.clone(),
        whatsapp: settings.whatsapp.clone(),
        http: http.clone(),
    };
    let mut arrivals = Arrivals {
        mails: sink::start(settings.relay, tasks, stop.clone()).await?,
        calls: vendors::start(settings.vendors, setup, tasks, stop.clone()).await?,
    };
    let room = i32::try_from(mails.len() + 4).unwrap_or(i32::MAX);
    if let Some(done) = agents::ensure_room(session, &client, room).await? {
        out.progress(format!("{done}."));
    }

    let since = clock.now();
    let begun = Instant::now();
    let mut board = Board::open(session, &client, since).await?;
    out.progress(format!(
        "Sending to {} and {}:",
        settings.smtp, settings.http
    ));
    let sent = send::send(out, &http, &settings, &cast, &mails, clock).await?;
    let expected = arguments.mails.is_none().then(|| expected(&sent));
    await_tickets(session, &client, &mut board, expected, limit).await?;
    let seconds = begun.elapsed().as_secs_f64();

    let messages = board.messages(session, &client).await?;
    let quarantined = quarantined(session, &client, &cast, expected.is_some(), since).await?;
    let tickets: Vec<Ticket> = board.opened().cloned().collect();
    let filed = customer_messages(&messages);
    let mut checks = Vec::new();
    check_intake(
        &mut checks,
        expected,
        board.progress(),
        filed,
        &sent,
        &quarantined,
    );
    if expected.is_some() {
        checks.push(check_one_contact(&tickets, &messages));
    }
    out.progress("Answering:");
    let answers = answer_some(
        session,
        &client,
        &tickets,
        &messages,
        &cast,
        &mut arrivals,
        limit,
    )
    .await?;
    checks.extend(answers.iter().map(check_answer));

    let report = Report {
        run: cast.run,
        filed,
        duplicates_dropped: sent.messages().saturating_sub(filed + quarantined.len()),
        sent,
        seconds,
        tickets: tickets.iter().map(TicketView::from).collect(),
        quarantined: quarantined.iter().map(QuarantinedView::from).collect(),
        answers,
        checks,
    };
    out.object(&report)?;
    if !out.is_json() {
        let roster = Roster::fetch(session, &client).await?;
        out.line(report.render(&tickets, &roster, clock.now()))?;
    }
    Ok(report.failed().into_iter().map(str::to_owned).collect())
}

fn expected(sent: &Sent) -> Expected {
    Expected {
        tickets: mails::BUILT_IN_TICKETS + sent.others(),
        filed: mails::BUILT_IN_FILED + sent.others(),
        quarantined: mails::BUILT_IN_QUARANTINED,
    }
}

/// Waits until everything is owned and due. What is missing when the time is over, the checks tell.
async fn await_tickets(
    session: &Session,
    client: &Client,
    board: &mut Board,
    expected: Option<Expected>,
    limit: Duration,
) -> anyhow::Result<()> {
    if let Some(expected) = expected {
        let enough = |now: Progress| {
            now.opened >= expected.tickets
                && now.ready >= now.opened
                && now.messages >= expected.filed
        };
        board.wait(session, client, limit, enough).await?;
        return Ok(());
    }
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        let before = board.progress();
        let changed = board
            .wait(session, client, SETTLED, |now| now != before)
            .await?;
        if !changed && before.ready == before.opened {
            break;
        }
    }
    Ok(())
}

fn customer_messages(messages: &BTreeMap<String, Vec<Message>>) -> usize {
    let of_customers = |message: &&Message| {
        message
            .author
            .as_ref()
            .is_some_and(|author| author.kind() == Kind::Customer)
    };
    messages.values().flatten().filter(of_customers).count()
}

/// What this run brought into the quarantine.
async fn quarantined(
    session: &Session,
    client: &Client,
    cast: &Cast,
    built_in: bool,
    since: jiff::Timestamp,
) -> anyhow::Result<Vec<QuarantinedMessage>> {
    let mut waiting = quarantine::fetch(session, client, 5_000).await?;
    waiting.retain(|message| {
        let came = words::time(message.quarantine_time.as_ref());
        if built_in {
            cast.owns(&message.sender)
        } else {
            came.is_some_and(|at| at.as_second() >= since.as_second() - 2)
        }
    });
    Ok(waiting)
}

fn check_intake(
    checks: &mut Vec<Check>,
    expected: Option<Expected>,
    progress: Progress,
    filed: usize,
    sent: &Sent,
    quarantined: &[QuarantinedMessage],
) {
    if let Some(expected) = expected {
        checks.push(Check::count(
            format!("{} tickets were opened", expected.tickets),
            expected.tickets,
            progress.opened,
        ));
        checks.push(Check::count(
            format!("{} messages were filed, each once", expected.filed),
            expected.filed,
            filed,
        ));
        let name = "the automatic reply opened no ticket and waits in the quarantine";
        checks.push(Check::count(name, expected.quarantined, quarantined.len()));
        let dropped = sent.messages().saturating_sub(filed + quarantined.len());
        checks.push(Check::count(
            "the mail that came twice had one effect",
            sent.repeated,
            dropped,
        ));
    } else {
        checks.push(Check::new(
            "tickets were opened",
            progress.opened > 0,
            format!("{}", progress.opened),
        ));
    }
    let name = "every ticket has an owner, with a reason, and due times";
    checks.push(Check::count(name, progress.opened, progress.ready));
}

/// Aino wrote by e-mail, in the chat and by the form, always with one address: that is one contact.
fn check_one_contact(tickets: &[Ticket], messages: &BTreeMap<String, Vec<Message>>) -> Check {
    let by_aino = |ticket: &&Ticket| {
        let first = messages
            .get(&ticket.id)
            .and_then(|messages| messages.first());
        ticket.contact_name == cast::AINO
            || first.is_some_and(|message| message.author_name == cast::AINO)
    };
    let tickets: Vec<&Ticket> = tickets.iter().filter(by_aino).collect();
    let mut contacts: Vec<&str> = tickets
        .iter()
        .map(|ticket| ticket.contact_id.as_str())
        .collect();
    contacts.sort_unstable();
    contacts.dedup();
    let ok = tickets.len() == 3 && contacts.len() == 1;
    let found = if ok {
        String::new()
    } else {
        format!("{} tickets of {} contacts", tickets.len(), contacts.len())
    };
    Check::new(
        format!("{} is one contact on three channels", cast::AINO),
        ok,
        found,
    )
}

async fn answer_some(
    session: &Session,
    client: &Client,
    tickets: &[Ticket],
    messages: &BTreeMap<String, Vec<Message>>,
    cast: &Cast,
    arrivals: &mut Arrivals,
    limit: Duration,
) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::new();
    if let Some(ticket) = answerable(tickets.iter(), messages, Channel::Email) {
        let earlier = messages
            .get(&ticket.id)
            .map(Vec::as_slice)
            .unwrap_or_default();
        answers.push(answer::by_email(session, client, ticket, earlier, arrivals, limit).await?);
    }
    if let Some(ticket) = answerable(tickets.iter(), messages, Channel::Whatsapp) {
        answers.push(
            answer::by_whatsapp(session, client, ticket, &cast.pekka_phone, arrivals, limit)
                .await?,
        );
    }
    Ok(answers)
}

fn check_answer(answer: &Answer) -> Check {
    let wanted = if answer.channel == "whatsapp" {
        "delivered"
    } else {
        "sent"
    };
    let ok = answer.arrived && (answer.delivery_state == wanted || answer.delivery_state == "read");
    let found = if ok {
        String::new()
    } else {
        let arrived = if answer.arrived {
            "it arrived"
        } else {
            "it did not arrive"
        };
        format!(
            "{arrived}, its state is '{}' {}",
            answer.delivery_state,
            words::short(&answer.delivery_error, 80)
        )
    };
    Check::new(
        format!("the answer by {} arrived, and we know it", answer.channel),
        ok,
        found,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_mails_come_out_as_expected() {
        let sent = Sent {
            email: 8,
            whatsapp: 1,
            telegram: 1,
            chat: 1,
            form: 1,
            repeated: 1,
            left_out: Vec::new(),
        };
        let expected = expected(&sent);
        assert_eq!(
            expected.filed + expected.quarantined + sent.repeated,
            sent.messages()
        );
        let mut checks = Vec::new();
        let progress = Progress {
            opened: expected.tickets,
            ready: expected.tickets,
            messages: expected.filed,
        };
        check_intake(
            &mut checks,
            Some(expected),
            progress,
            expected.filed,
            &sent,
            &[QuarantinedMessage::default()],
        );
        assert!(checks.iter().all(|check| check.ok), "{checks:?}");
        let mut checks = Vec::new();
        let late = Progress {
            ready: 3,
            ..progress
        };
        check_intake(
            &mut checks,
            Some(expected),
            late,
            expected.filed + 1,
            &sent,
            &[],
        );
        let failed: Vec<bool> = checks.iter().map(|check| !check.ok).collect();
        // With one filed too many and none in the quarantine, the sum still says one duplicate.
        assert_eq!(failed, [false, true, true, false, true]);
    }

    #[test]
    fn one_person_on_three_channels() {
        let ticket = |id: &str, contact: &str| Ticket {
            id: id.to_owned(),
            contact_id: contact.to_owned(),
            contact_name: cast::AINO.to_owned(),
            ..Ticket::default()
        };
        let none = BTreeMap::new();
        assert!(
            check_one_contact(
                &[ticket("1", "c"), ticket("2", "c"), ticket("3", "c")],
                &none
            )
            .ok
        );
        let check = check_one_contact(
            &[ticket("1", "c"), ticket("2", "d"), ticket("3", "c")],
            &none,
        );
        assert_eq!(
            (check.ok, check.found.as_str()),
            (false, "3 tickets of 2 contacts")
        );
    }

    #[test]
    fn an_answer_must_arrive_and_be_known_to() {
        let mut answer = Answer {
            channel: "whatsapp".to_owned(),
            arrived: true,
            delivery_state: "sent".to_owned(),
            ..Answer::default()
        };
        assert!(!check_answer(&answer).ok);
        answer.delivery_state = "delivered".to_owned();
        assert!(check_answer(&answer).ok);
        answer.arrived = false;
        assert!(check_answer(&answer).found.starts_with("it did not arrive"));
    }
}

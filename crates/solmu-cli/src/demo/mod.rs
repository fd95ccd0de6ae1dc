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
mod checks;
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
use jiff::Timestamp;
use solmu_client::Client;
use solmu_domain::{clock::Clock, rng::SystemRng};
use solmu_proto::{
    ticket::v1::{Message, QuarantinedMessage, Ticket},
    types::v1::Channel,
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
use checks::{
    Expected, check_answer, check_intake, check_one_contact, customer_messages, expected,
};
use mails::DemoMail;
use report::Report;
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

/// What a run works with.
struct Stage<'a> {
    session: &'a Session,
    client: Client,
    http: reqwest::Client,
    settings: DemoSettings,
    cast: Cast,
    mails: Vec<DemoMail>,
    /// The outcome is known: the mails are the built-in ones.
    built_in: bool,
    limit: Duration,
    clock: &'a dyn Clock,
}

pub(crate) async fn run(
    session: &Session,
    arguments: DemoArgs,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let played = async {
        Stage::new(session, &arguments, clock)?
            .play(&tasks, &stop)
            .await
    };
    let outcome = played.await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    let failed = outcome?;
    if failed.is_empty() {
        return Ok(());
    }
    bail!("the demo did not end as it should: {}", failed.join("; "))
}

impl<'a> Stage<'a> {
    fn new(
        session: &'a Session,
        arguments: &DemoArgs,
        clock: &'a dyn Clock,
    ) -> anyhow::Result<Self> {
        let settings = DemoSettings::load(arguments, &session.options.data)?;
        let cast = Cast::new(&SystemRng);
        let mails = match &arguments.mails {
            Some(folder) => mails::of_folder(folder)?,
            None => mails::built_in(&cast.run, &settings.recipient),
        };
        Ok(Self {
            session,
            client: session.client()?,
            http: http::client()?,
            settings,
            cast,
            mails,
            built_in: arguments.mails.is_none(),
            limit: Duration::from_secs(arguments.wait),
            clock,
        })
    }

    /// The whole run; gives the names of the checks that failed.
    async fn play(
        &self,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<Vec<String>> {
        let (session, out) = (self.session, self.session.out);
        let mut arrivals = self.stand_ins(tasks, stop).await?;
        let room = i32::try_from(self.mails.len() + 4).unwrap_or(i32::MAX);
        if let Some(done) = agents::ensure_room(session, &self.client, room).await? {
            out.progress(format!("{done}."));
        }

        let (since, begun) = (self.clock.now(), Instant::now());
        let mut board = Board::open(session, &self.client, since).await?;
        out.progress(format!(
            "Sending to {} and {}:",
            self.settings.smtp, self.settings.http
        ));
        let sent = send::send(
            out,
            &self.http,
            &self.settings,
            &self.cast,
            &self.mails,
            self.clock,
        )
        .await?;
        let expected = self.built_in.then(|| expected(&sent));
        self.await_tickets(&mut board, expected).await?;
        let seconds = begun.elapsed().as_secs_f64();

        let messages = board.messages(session, &self.client).await?;
        let quarantined = self.quarantined(since).await?;
        let tickets: Vec<Ticket> = board.opened().cloned().collect();
        let mut report = self.report(sent, &tickets, &messages, &quarantined, seconds);
        report.checks = check_intake(
            expected,
            board.progress(),
            report.filed,
            &report.sent,
            &quarantined,
        );
        if self.built_in {
            report.checks.push(check_one_contact(&tickets, &messages));
        }
        if !out.is_json() {
            let roster = Roster::fetch(session, &self.client).await?;
            out.line(report.render_intake(&tickets, &roster, self.clock.now()))?;
        }
        report.answers = self.answer_some(&tickets, &messages, &mut arrivals).await?;
        report
            .checks
            .extend(report.answers.iter().map(check_answer));
        out.either(&report, report.render_answers())?;
        Ok(report.failed().into_iter().map(str::to_owned).collect())
    }

    /// The relay and the vendors that our answers go to.
    async fn stand_ins(
        &self,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<Arrivals> {
        let setup = vendors::Setup {
            run: self.cast.run.clone(),
            webhooks: self.settings.http.clone(),
            whatsapp: self.settings.whatsapp.clone(),
            http: self.http.clone(),
        };
        Ok(Arrivals {
            mails: sink::start(self.settings.relay, tasks, stop.clone()).await?,
            calls: vendors::start(self.settings.vendors, setup, tasks, stop.clone()).await?,
        })
    }

    /// Waits until everything is owned and due. What is missing when the time is over, the checks tell.
    async fn await_tickets(
        &self,
        board: &mut Board,
        expected: Option<Expected>,
    ) -> anyhow::Result<()> {
        let (session, client) = (self.session, &self.client);
        if let Some(expected) = expected {
            let enough = |now: Progress| {
                now.opened >= expected.tickets
                    && now.ready >= now.opened
                    && now.messages >= expected.filed
            };
            board.wait(session, client, self.limit, enough).await?;
            return Ok(());
        }
        let deadline = Instant::now() + self.limit;
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

    /// What this run brought into the quarantine.
    async fn quarantined(&self, since: Timestamp) -> anyhow::Result<Vec<QuarantinedMessage>> {
        let mut waiting = quarantine::fetch(self.session, &self.client, 5_000, false).await?;
        waiting.retain(|message| {
            let came = words::time(message.quarantine_time.as_ref());
            let is_new = came.is_some_and(|at| at.as_second() >= since.as_second() - 2);
            if self.built_in {
                self.cast.owns(&message.sender)
            } else {
                is_new
            }
        });
        Ok(waiting)
    }

    fn report(
        &self,
        sent: Sent,
        tickets: &[Ticket],
        messages: &BTreeMap<String, Vec<Message>>,
        quarantined: &[QuarantinedMessage],
        seconds: f64,
    ) -> Report {
        let filed = customer_messages(messages);
        Report {
            run: self.cast.run.clone(),
            filed,
            duplicates_dropped: sent.messages().saturating_sub(filed + quarantined.len()),
            sent,
            seconds,
            tickets: tickets.iter().map(TicketView::from).collect(),
            quarantined: quarantined.iter().map(QuarantinedView::from).collect(),
            answers: Vec::new(),
            checks: Vec::new(),
        }
    }

    async fn answer_some(
        &self,
        tickets: &[Ticket],
        messages: &BTreeMap<String, Vec<Message>>,
        arrivals: &mut Arrivals,
    ) -> anyhow::Result<Vec<Answer>> {
        let (session, client) = (self.session, &self.client);
        let mut answers = Vec::new();
        if let Some(ticket) = answerable(tickets.iter(), messages, Channel::Email) {
            let earlier = messages
                .get(&ticket.id)
                .map(Vec::as_slice)
                .unwrap_or_default();
            answers.push(
                answer::by_email(session, client, ticket, earlier, arrivals, self.limit).await?,
            );
        }
        if let Some(ticket) = answerable(tickets.iter(), messages, Channel::Whatsapp) {
            let phone = &self.cast.pekka_phone;
            answers.push(
                answer::by_whatsapp(session, client, ticket, phone, arrivals, self.limit).await?,
            );
        }
        Ok(answers)
    }
}

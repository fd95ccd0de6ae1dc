//! A rolling restart under load: while one of two processes drains, callers of every kind go on through a balancer that looks at
//! readiness, as a cluster's does. No call may fail, nothing may be delivered twice on the bus, and everything is filed once.
//!
//! What a mail server is told in a drain is in `drain.rs`: it has a word for "come again", which the callers here have not.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use solmu_client::Client;
use solmu_proto::ticket::v1::{AddNoteRequest, ListTicketsRequest};
use sqlx::postgres::PgPoolOptions;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};
use tonic::Status;

use crate::support::{
    Api, Home, Ports, Settings, Solmu, TELEGRAM_SECRET, telegram_update, until, wait,
};

/// Between SIGTERM and the end of intake; what the chart sets as `shutdown.delaySeconds`. A balancer learns in that time.
const DRAIN_DELAY_MS: u32 = 15_000;
/// Calls of each caller before the stop, and again after it.
const CALLS: usize = 20;
/// Between two calls of a caller.
const PACE: Duration = Duration::from_millis(50);
/// Visitors of the chat are slower: what they may write in a minute is limited.
const CHAT_PACE: Duration = Duration::from_millis(400);
/// What the built-in form demands between serving its page and taking its post.
const TIME_TRAP: Duration = Duration::from_millis(3_200);
const PATIENCE: Duration = Duration::from_mins(2);
const LIMIT: Duration = Duration::from_mins(4);

/// Forwards each new connection to the first process that says it is ready. Ends when it is dropped.
struct Balancer {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Balancer {
    /// `to` are pairs of where calls go and where readiness is asked.
    async fn start(to: Vec<(SocketAddr, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            let http = reqwest::Client::builder().build().unwrap();
            while let Ok((mut caller, _)) = listener.accept().await {
                let (http, to) = (http.clone(), to.clone());
                connections.spawn(async move {
                    let mut server = ready_one(&http, &to).await;
                    // The end of either side is the end of both.
                    drop(tokio::io::copy_bidirectional(&mut caller, &mut server).await);
                });
            }
        });
        Self {
            address,
            _tasks: tasks,
        }
    }
}

/// A connection to the first that is ready. On a busy machine both may be too slow to say so for a moment: callers wait, as in
/// a listener's queue.
async fn ready_one(http: &reqwest::Client, to: &[(SocketAddr, String)]) -> TcpStream {
    loop {
        for (address, ready) in to {
            let answer = http.get(ready).send().await;
            if !answer.is_ok_and(|answer| answer.status().is_success()) {
                continue;
            }
            if let Ok(server) = TcpStream::connect(*address).await {
                return server;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the callers have done.
#[derive(Default)]
struct Tally {
    names: Mutex<Vec<(&'static str, Arc<AtomicUsize>)>>,
    failed: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Tally {
    fn caller(&self, name: &'static str) -> Arc<AtomicUsize> {
        let count = Arc::new(AtomicUsize::new(0));
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.push((name, Arc::clone(&count)));
        count
    }

    fn failed(&self, what: String) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.push(what);
    }

    fn counts(&self) -> Vec<(&'static str, usize)> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names
            .iter()
            .map(|(name, count)| (*name, count.load(Ordering::SeqCst)))
            .collect()
    }

    /// Waits until every caller has been answered so often again.
    async fn advance(&self, what: &str) {
        let before = self.counts();
        until(what, LIMIT, async || {
            let now = self.counts();
            let all = now
                .iter()
                .zip(&before)
                .all(|((_, now), (_, before))| *now >= before + CALLS);
            (all || !self.failures().is_empty()).then_some(())
        })
        .await;
    }

    fn failures(&self) -> Vec<String> {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn of(&self, name: &str) -> usize {
        let counts = self.counts();
        counts.iter().filter(|it| it.0 == name).map(|it| it.1).sum()
    }
}

/// Agents who read, and who write notes. They never try again: what crosses the server's GOAWAY is the client library's to
/// send anew.
async fn agent(tally: Arc<Tally>, client: Client, ticket: Option<String>) {
    let done = tally.caller(if ticket.is_some() { "notes" } else { "lists" });
    for number in 0.. {
        if tally.stop.load(Ordering::SeqCst) {
            return;
        }
        match call(&client, ticket.as_deref(), number).await {
            Ok(()) => drop(done.fetch_add(1, Ordering::SeqCst)),
            Err(status) => tally.failed(format!("gRPC call {number}: {status}")),
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn call(client: &Client, ticket: Option<&str>, number: usize) -> Result<(), Status> {
    let Some(ticket) = ticket else {
        let request = ListTicketsRequest {
            page_size: 5,
            ..ListTicketsRequest::default()
        };
        return client.tickets().list_tickets(request).await.map(drop);
    };
    let request = AddNoteRequest {
        ticket_id: ticket.to_owned(),
        text: format!("note {number}"),
        request_id: format!("note {number}"),
        ..AddNoteRequest::default()
    };
    client.tickets().add_note(request).await.map(drop)
}

/// A vendor's webhooks: a connection each, and no second try.
async fn vendor(tally: Arc<Tally>, http: SocketAddr, user: i64) {
    let done = tally.caller("webhooks");
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    for number in 1.. {
        if tally.stop.load(Ordering::SeqCst) {
            return;
        }
        let update = telegram_update(user * 100_000 + number, user, &format!("message {number}"));
        let answer = client
            .post(format!("http://{http}/webhooks/telegram/bot"))
            .header("X-Telegram-Bot-Api-Secret-Token", TELEGRAM_SECRET)
            .json(&update)
            .send()
            .await;
        match answer {
            Ok(answer) if answer.status().is_success() => {
                done.fetch_add(1, Ordering::SeqCst);
            }
            other => tally.failed(format!("webhook {number}: {other:?}")),
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Readers of the form's page.
async fn reader(tally: Arc<Tally>, http: SocketAddr) {
    let done = tally.caller("pages");
    while !tally.stop.load(Ordering::SeqCst) {
        match page(http).await {
            Ok(_) => drop(done.fetch_add(1, Ordering::SeqCst)),
            Err(error) => tally.failed(format!("form: {error}")),
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn page(http: SocketAddr) -> Result<Value, reqwest::Error> {
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .build()?;
    let request = client
        .get(format!("http://{http}/forms/contact"))
        .header("Accept", "application/json");
    request.send().await?.error_for_status()?.json().await
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A visitor who writes on, and comes back where told to.
async fn visitor(tally: Arc<Tally>, http: SocketAddr) {
    let done = tally.caller("chat");
    let (mut socket, mut session) = match enter(http, None).await {
        Ok(entered) => entered,
        Err(error) => return tally.failed(format!("chat: {error}")),
    };
    for number in 0.. {
        if tally.stop.load(Ordering::SeqCst) {
            return;
        }
        let id = format!("m{number}");
        // A line that broke says nothing of the message: it is said again under its id.
        while !said(&mut socket, &id).await {
            match enter(http, Some(&session)).await {
                Ok(entered) => (socket, session) = entered,
                Err(error) => return tally.failed(format!("chat, coming back: {error}")),
            }
        }
        done.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(CHAT_PACE).await;
    }
}

/// A connection with its session.
async fn enter(http: SocketAddr, session: Option<&str>) -> Result<(Socket, String), String> {
    let url = format!("ws://{http}/chat/v1/ws?inbox=main");
    let (mut socket, _) = connect_async(url)
        .await
        .map_err(|error| error.to_string())?;
    let who = json!({ "name": "Ville", "email": "" });
    let hello = json!({ "session": session, "last_seq": 0, "language": "en", "visitor": who });
    write(&mut socket, "hello", &hello).await?;
    let welcome = next(&mut socket, "welcome").await?;
    let session = welcome["body"]["session"].as_str().unwrap_or_default();
    Ok((socket, session.to_owned()))
}

async fn said(socket: &mut Socket, id: &str) -> bool {
    let message = json!({ "client_msg_id": id, "text": id });
    if write(socket, "message", &message).await.is_err() {
        return false;
    }
    loop {
        match next(socket, "ack").await {
            Ok(ack) if ack["body"]["client_msg_id"] == id => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

async fn write(socket: &mut Socket, kind: &str, body: &Value) -> Result<(), String> {
    let frame = json!({ "type": kind, "id": "1", "body": body }).to_string();
    let sent = socket.send(Message::text(frame)).await;
    sent.map_err(|error| error.to_string())
}

/// The next frame of that type; the end of the connection and refusals are errors.
async fn next(socket: &mut Socket, kind: &str) -> Result<Value, String> {
    let reading = async {
        loop {
            let Some(frame) = socket.next().await else {
                return Err("the connection ended".to_owned());
            };
            let Message::Text(text) = frame.map_err(|error| error.to_string())? else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            if frame["type"] == "closed" || frame["type"] == "error" {
                return Err(frame.to_string());
            }
            if frame["type"] == kind {
                return Ok(frame);
            }
        }
    };
    let read = timeout(PATIENCE, reading).await;
    read.unwrap_or_else(|_| Err(format!("no '{kind}' came")))
}

/// Two processes with every role, on engines of a third.
struct Pair {
    first: Solmu,
    second: Solmu,
    engines: Solmu,
    home: Home,
}

impl Pair {
    async fn start() -> Self {
        let home = Home::new();
        Settings {
            connections: Some(15),
            // Nobody sends in this test; the account is what webhooks come in by.
            vendors: Some(SocketAddr::from(([127, 0, 0, 1], 9))),
            ..Settings::default()
        }
        .write(&home);
        let service = ["--service".to_owned(), "email".to_owned()];
        let (engines, _) = Solmu::start(&home, "engines", Ports::free(), &service).await;
        let (postgres, nats) = home.engine_urls();
        let delay = format!("lifecycle.drain_delay_ms={DRAIN_DELAY_MS}");
        let flags = ["--postgres", &postgres, "--nats", &nats, "--set", &delay].map(str::to_owned);
        let (first, _) = Solmu::start(&home, "first", Ports::free(), &flags).await;
        let (second, _) = Solmu::start(&home, "second", Ports::free(), &flags).await;
        Self {
            first,
            second,
            engines,
            home,
        }
    }

    /// Where the same port of both processes is reached.
    async fn balancer(&self, port: impl Fn(&Ports) -> SocketAddr) -> Balancer {
        let to = [&self.first, &self.second]
            .map(|it| (port(&it.ports), it.ports.admin_url("/readyz")))
            .to_vec();
        Balancer::start(to).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_drains_behind_another_costs_no_call() {
    let pair = Pair::start().await;
    let http = pair.balancer(|ports| ports.http).await;
    let grpc = pair.balancer(|ports| ports.grpc).await;
    let tally = Arc::new(Tally::default());
    let mut callers = JoinSet::new();
    for user in 1..=2 {
        callers.spawn(vendor(Arc::clone(&tally), http.address, user));
    }
    callers.spawn(reader(Arc::clone(&tally), http.address));
    callers.spawn(visitor(Arc::clone(&tally), http.address));
    let ticket = Api::agent(&pair.home, &pair.second)
        .ticket("a first message is filed", |_| true)
        .await;
    let token = pair.home.read("agent-token");
    let client = || Client::connect(&format!("http://{}", grpc.address), &token).unwrap();
    callers.spawn(agent(Arc::clone(&tally), client(), Some(ticket.id)));
    callers.spawn(agent(Arc::clone(&tally), client(), None));
    let (form, served) = (page(http.address).await.unwrap(), Instant::now());
    tally.advance("callers are answered by both").await;
    tokio::time::sleep_until((served + TIME_TRAP).into()).await;

    pair.first.terminate();
    // A page of the one that goes is answered by the one that stays.
    let fields = json!({
        "_token": form["_token"], "name": "Liisa", "email": "liisa@form.example",
        "subject": "Opening hours", "message": "When do you open?",
    });
    let post = reqwest::Client::builder()
        .build()
        .unwrap()
        .post(format!("http://{}/forms/contact", http.address));
    assert_eq!(post.json(&fields).send().await.unwrap().status(), 201);
    let mut first = pair.first;
    let status = first.ended().await;
    assert!(status.success(), "{status}: {}", first.output());
    tally
        .advance("callers are answered by the one that stays")
        .await;
    tally.stop.store(true, Ordering::SeqCst);
    callers.join_all().await;

    eprintln!("answered: {:?}", tally.counts());
    let failures = tally.failures();
    assert!(
        failures.is_empty(),
        "{} failed: {:?}",
        failures.len(),
        failures.first()
    );
    assert_filed_once(&pair.home, &tally).await;
    // None on an idle machine: the one that went gives everything back or does it. On a busy one an acknowledgement may come
    // later than its wait, which is no fault; what counts is that nothing was filed twice.
    let redelivered = redelivered(&pair.second).await;
    eprintln!("redelivered to the one that stays: {redelivered:?}");
    pair.second.stop().await;
    pair.engines.stop().await;
}

async fn assert_filed_once(home: &Home, tally: &Tally) {
    let (postgres, _) = home.engine_urls();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&postgres)
        .await
        .unwrap();
    let said = tally.of("webhooks") + tally.of("chat") + 1;
    let filed = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM tickets.message WHERE author_kind = 1")
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    wait("everything that was said is filed", async || {
        (filed().await >= i64::try_from(said).unwrap()).then_some(())
    })
    .await;
    assert_eq!(
        filed().await,
        i64::try_from(said).unwrap(),
        "nothing is filed twice"
    );
    let notes: i64 =
        sqlx::query_scalar("SELECT count(*) FROM tickets.message WHERE body_text LIKE 'note %'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(
        notes,
        i64::try_from(tally.of("notes")).unwrap(),
        "each note stands once"
    );
    pool.close().await;
}

/// The figures of bus messages that the process was given for a second time, those that are not 0.
async fn redelivered(process: &Solmu) -> Vec<String> {
    let answer = reqwest::get(process.ports.admin_url("/metrics")).await;
    let text = answer.unwrap().text().await.unwrap();
    text.lines()
        .filter(|line| line.starts_with("solmu_consumer_redelivered_total"))
        .filter(|line| !line.ends_with(" 0"))
        .map(str::to_owned)
        .collect()
}

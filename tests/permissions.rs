//! Who may call what, on a whole system: the program's own table against what its services do, and the same API as JSON.

use serde_json::{Value, json};
use solmu_client::ClientError;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::support::{Home, Letter, Ports, Settings, Smtp, Solmu, wait};

/// A row of `solmu api permissions`.
struct Row {
    path: String,
    roles: Vec<String>,
    scope: String,
}

/// A token, and what it should be good for.
struct Caller {
    name: String,
    role: &'static str,
    /// Empty: all that the role may.
    scopes: Vec<&'static str>,
    secret: String,
}

impl Caller {
    fn may(&self, row: &Row) -> bool {
        let covered = |scope: &&str| covers(scope, &row.scope);
        row.roles.iter().any(|role| role == self.role)
            && (self.scopes.is_empty() || self.scopes.iter().any(covered))
    }
}

/// Written down once more: `write` covers `read` of the same area, `admin` covers both.
fn covers(scope: &str, needed: &str) -> bool {
    let levels = ["read", "write", "admin"];
    let parts = |text: &str| {
        let (area, level) = text.split_once('.').unwrap();
        let level = levels.iter().position(|it| *it == level).unwrap();
        (area.to_owned(), level)
    };
    let ((area, level), (of, least)) = (parts(scope), parts(needed));
    area == of && level >= least
}

fn table(home: &Home) -> Vec<Row> {
    let text = home.run(&["api", "permissions"]);
    let (mut rows, mut service) = (Vec::new(), "");
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            service = name;
        } else if let Some(line) = line.strip_prefix("| `") {
            let (method, rest) = line.split_once("` | ").unwrap();
            let (roles, rest) = rest.split_once(" | ").unwrap();
            let (scope, _) = rest.split_once(" |").unwrap();
            rows.push(Row {
                path: format!("/{service}/{method}"),
                roles: roles.split(", ").map(str::to_owned).collect(),
                scope: scope.trim_matches('`').to_owned(),
            });
        }
    }
    assert!(rows.len() > 80, "{text}");
    rows
}

/// Calls a method with an empty message.
async fn call(channel: &Channel, path: &str, token: &str) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::once(()));
    let value: MetadataValue<Ascii> = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    let path = PathAndQuery::try_from(path).unwrap();
    // What the answer is does not matter, only whether there is one.
    let codec = ProstCodec::<(), ()>::default();
    grpc.streaming(request, path, codec).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_agrees_with_the_table() {
    let (home, ports) = (Home::new(), Ports::free());
    Settings::default().write(&home);
    let (solmu, _) = Solmu::start(&home, "solmu", ports, &[]).await;
    let endpoint = Endpoint::from_shared(ports.grpc_url()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let agent = first_agent(&home, ports);
    let with = |role: &'static str, scopes: &[&'static str]| {
        let endpoint = ports.grpc_url();
        let mut words = vec!["--json", "--endpoint", &endpoint, "token", "create", "test"];
        words.extend(["--role", role]);
        if role == "agent" {
            words.extend(["--agent", &agent]);
        }
        words.extend(scopes.iter().flat_map(|scope| ["--scope", *scope]));
        let made = home.run(&words);
        let made: Value = serde_json::from_str(made.lines().next().unwrap()).unwrap();
        Caller {
            name: format!("{role} with {scopes:?}"),
            role,
            scopes: scopes.to_vec(),
            secret: made["secret"].as_str().unwrap().to_owned(),
        }
    };
    let admin = Caller {
        name: "admin".to_owned(),
        role: "admin",
        scopes: Vec::new(),
        secret: home.read("token"),
    };
    let callers = [
        admin,
        with("agent", &[]),
        with("service", &[]),
        // A handful of what platforms have, each with what it does not cover.
        with("service", &["requesters.write"]),
        with("service", &["tickets.read", "contacts.write"]),
        with("service", &["routing.admin"]),
        with("service", &["restricted.admin"]),
        with("agent", &["tickets.write"]),
        with("agent", &["sla.read", "contacts.admin"]),
    ];
    let mut wrong = Vec::new();
    for row in table(&home) {
        for caller in &callers {
            let allowed = caller.may(&row);
            let said = call(&channel, &row.path, &caller.secret).await;
            let fine = match &said {
                Ok(()) => allowed,
                // Of the handler, which names other roles than the table, or a fault of another kind.
                Err(status) if status.code() == Code::Internal => false,
                Err(status) if status.code() == Code::Unauthenticated => false,
                Err(status) => allowed != refused_by_the_gate(status),
            };
            if !fine {
                let name = &caller.name;
                wrong.push(format!(
                    "{} by {name} (allowed: {allowed}): {said:?}",
                    row.path
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", solmu.output());
    solmu.stop().await;
}

/// The agent whom a first start makes.
fn first_agent(home: &Home, ports: Ports) -> String {
    let listed = home.run(&["--json", "--endpoint", &ports.grpc_url(), "agent", "list"]);
    let first: Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    first["id"].as_str().unwrap().to_owned()
}

/// Whether a role or a scope is what is missing.
fn refused_by_the_gate(status: &Status) -> bool {
    let error = ClientError::from(status.clone());
    matches!(error.reason(), Some("ROLE_REQUIRED" | "SCOPE_REQUIRED"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_json_api_serves_what_the_grpc_api_serves() {
    let (home, ports) = (Home::new(), Ports::free());
    Settings::default().write(&home);
    let (solmu, _) = Solmu::start(&home, "solmu", ports, &[]).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = home.read("agent-token");
    let post = |method: &str, body: Value| {
        let url = ports.api_url(&format!("/v1/solmu.ticket.v1.TicketService/{method}"));
        http.post(url).bearer_auth(&token).json(&body)
    };
    let mut watch = post("WatchTickets", json!({})).send().await.unwrap();
    assert_eq!(watch.headers()["content-type"], "application/x-ndjson");

    let mut smtp = Smtp::open(ports.smtp).await.unwrap();
    let letter = Letter::new("aino@customer.example", "the json api", "Hello.");
    assert_eq!(smtp.send(&letter).await.unwrap().code, 250);
    let ticket = wait("the ticket is listed", async || {
        let body = json!({"filter": "subject:\"the json api\"", "pageSize": 5});
        let page: Value = post("ListTickets", body)
            .send()
            .await
            .ok()?
            .json()
            .await
            .ok()?;
        page["tickets"].get(0).cloned()
    })
    .await;
    assert!(
        ticket["status"]
            .as_str()
            .unwrap()
            .starts_with("TICKET_STATUS_")
    );

    let mut lines = String::new();
    while !lines.contains("the json api") {
        let chunk = watch.chunk().await.unwrap().expect("the stream goes on");
        lines.push_str(&String::from_utf8_lossy(&chunk));
    }
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!(first["result"]["cursor"].is_string(), "{first}");
    drop(watch);

    let note = json!({"ticketId": ticket["id"], "text": "seen"});
    let note = post("AddNote", note).send().await.unwrap();
    assert_eq!(note.status(), 200, "{}", note.text().await.unwrap());
    let gone = post("GetTicket", json!({"id": "#999999"}))
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), 404);
    let body: Value = gone.json().await.unwrap();
    assert_eq!(body["details"][0]["reason"], "NOT_FOUND");
    solmu.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_see_the_tickets_of_their_teams() {
    let (home, ports) = (Home::new(), Ports::free());
    Settings::default().write(&home);
    let flags = [
        "--set",
        "access.team_scoped=true",
        "--set",
        "access.roster_seconds=1",
    ];
    let (solmu, _) = Solmu::start(&home, "solmu", ports, &flags.map(str::to_owned)).await;
    let endpoint = ports.grpc_url();
    let cli = |words: &[&str]| home.run(&[&["--json", "--endpoint", &endpoint], words].concat());
    let secret = |words: &[&str]| {
        let made: Value = serde_json::from_str(cli(words).lines().next().unwrap()).unwrap();
        made["secret"].as_str().unwrap().to_owned()
    };
    cli(&["team", "create", "Elsewhere"]);
    cli(&["agent", "create", "Outsider", "--team", "Elsewhere"]);
    let outsider = [
        "token", "create", "o", "--role", "agent", "--agent", "Outsider",
    ];
    let (insider, outsider, manager) = (
        home.read("agent-token"),
        secret(&outsider),
        secret(&[&outsider[..], &["--all-teams"]].concat()),
    );
    let mut smtp = Smtp::open(ports.smtp).await.unwrap();
    let letter = Letter::new("aino@customer.example", "For one team", "Hello.");
    assert_eq!(smtp.send(&letter).await.unwrap().code, 250);

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = async |method: &str, body: &Value, token: &str| {
        let url = ports.api_url(&format!("/v1/solmu.ticket.v1.TicketService/{method}"));
        let answer = http
            .post(url)
            .bearer_auth(token)
            .json(body)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap())
    };
    let list = json!({"filter": "subject:\"one team\""});
    let ticket = wait("the agents of the team see it", async || {
        let (_, page) = call("ListTickets", &list, &insider).await;
        page["tickets"].get(0).cloned()
    })
    .await;
    let id = json!({"id": ticket["id"]});
    for (token, status) in [(&insider, 200), (&manager, 200), (&outsider, 404)] {
        assert_eq!(call("GetTicket", &id, token).await.0, status);
    }
    for (method, body) in [
        ("ListMessages", json!({"ticketId": ticket["id"]})),
        ("AddNote", json!({"ticketId": ticket["id"], "text": "x"})),
        (
            "SetPriority",
            json!({"ticketId": ticket["id"], "priority": "PRIORITY_LOW"}),
        ),
        (
            "UpdateTicket",
            json!({"ticket": {"id": ticket["id"], "subject": "x"}}),
        ),
        (
            "ListMessages",
            json!({"ticketId": format!("#{}", ticket["number"].as_str().unwrap())}),
        ),
    ] {
        let (status, said) = call(method, &body, &outsider).await;
        assert_eq!(status, 404, "{method}: {said}");
    }
    let (_, none) = call("ListTickets", &list, &outsider).await;
    assert!(none["tickets"].is_null(), "{none}");
    solmu.stop().await;
}

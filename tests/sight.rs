//! What callers do not see, asked of every method of every service.
//!
//! The requests are made from the descriptors: whatever names a ticket, a message or a task of one is filled with one that
//! the caller must not see. So a new method is asked, too, and has to answer as for what does not exist.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use serde_json::{Map, Value, json};

use crate::support::{Home, Letter, Ports, Settings, Smtp, Solmu, wait};

/// Methods that name a ticket and are not asked here, each with the reason.
const APART: [(&str, &str); 2] = [
    (
        "solmu.ticket.v1.TicketService/WatchTickets",
        "a stream that stays silent",
    ),
    (
        "solmu.ticket.v1.DeskService/BulkUpdate",
        "answers for each ticket; asked below",
    ),
];

/// What a caller must not see.
struct Hidden {
    ticket: String,
    message: String,
    task: String,
    /// Time that was spent on the ticket.
    entry: String,
    /// That another ticket is perhaps about the same.
    pair: String,
    subject: &'static str,
}

impl Hidden {
    /// What a field of a message has to name.
    fn named(&self, message: &str, field: &str) -> Option<&str> {
        match (message, field) {
            ("Ticket" | "GetTicketRequest", "id")
            | (_, "source_ids" | "target_id" | "ticket_ids") => Some(&self.ticket),
            ("Task" | "DeleteTaskRequest", "id") => Some(&self.task),
            ("TimeEntry" | "DeleteTimeEntryRequest", "id") => Some(&self.entry),
            ("AcceptMatterRequest" | "DismissMatterRequest", "id") => Some(&self.pair),
            (_, "message_id" | "message_ids") => Some(&self.message),
            (_, name) if name.ends_with("ticket_id") => Some(&self.ticket),
            _ => None,
        }
    }
}

struct Api {
    messages: HashMap<String, DescriptorProto>,
    /// Path, request type, and whether the request is a stream.
    methods: Vec<(String, String, bool)>,
}

impl Api {
    fn new() -> Self {
        let set = FileDescriptorSet::decode(solmu_proto::DESCRIPTOR_SET).unwrap();
        let (mut messages, mut methods) = (HashMap::new(), Vec::new());
        for file in set.file {
            let package = file.package().to_owned();
            for message in &file.message_type {
                messages.insert(format!(".{package}.{}", message.name()), message.clone());
            }
            for service in &file.service {
                for method in &service.method {
                    methods.push((
                        format!("{package}.{}/{}", service.name(), method.name()),
                        method.input_type().to_owned(),
                        method.client_streaming(),
                    ));
                }
            }
        }
        Self { messages, methods }
    }

    /// A request of a type, and whether it names what is hidden.
    fn request(&self, name: &str, hidden: &Hidden, depth: u32) -> (Value, bool) {
        let mut body = Map::new();
        let mut names = false;
        let Some(message) = self.messages.get(name) else {
            return (Value::Object(body), false);
        };
        for field in &message.field {
            let value = match hidden.named(message.name(), field.name()) {
                Some(id) if field.r#type() == Type::String => {
                    names = true;
                    Some(json!(id))
                }
                _ => self.filler(field, hidden, depth, &mut names),
            };
            if let Some(value) = value {
                let many = field.label() == Label::Repeated;
                let value = if many { json!([value]) } else { value };
                body.insert(field.name().to_owned(), value);
            }
        }
        (Value::Object(body), names)
    }

    /// What other fields need for a request that is otherwise right.
    fn filler(
        &self,
        field: &FieldDescriptorProto,
        hidden: &Hidden,
        depth: u32,
        is_named: &mut bool,
    ) -> Option<Value> {
        match (field.r#type(), field.name()) {
            (Type::Message, _) if depth < 2 && field.label() != Label::Repeated => {
                let (inner, named) = self.request(field.type_name(), hidden, depth + 1);
                *is_named |= named;
                named.then_some(inner)
            }
            (Type::String, "text" | "reason" | "title" | "session" | "note") => Some(json!("x")),
            (Type::String, "request_id") if depth == 0 => Some(json!("walk")),
            (Type::Enum, _) if depth == 0 && field.label() != Label::Repeated => Some(json!(1)),
            _ => None,
        }
    }
}

struct System {
    home: Home,
    ports: Ports,
    solmu: Solmu,
    http: reqwest::Client,
}

impl System {
    async fn start() -> Self {
        let (home, ports) = (Home::new(), Ports::free());
        Settings::default().write(&home);
        let flags = [
            "--set",
            "access.team_scoped=true",
            "--set",
            "access.roster_seconds=1",
            "--set",
            "public_links.base_url=https://help.example.com",
        ];
        let (solmu, _) = Solmu::start(&home, "solmu", ports, &flags.map(str::to_owned)).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            home,
            ports,
            solmu,
            http,
        }
    }

    fn cli(&self, words: &[&str]) -> String {
        let endpoint = self.ports.grpc_url();
        let base = ["--json", "--endpoint", &endpoint];
        self.home.run(&[&base, words].concat())
    }

    fn token(&self, words: &[&str]) -> String {
        let made = self.cli(&[&["token", "create", "t"], words].concat());
        let made: Value = serde_json::from_str(made.lines().next().unwrap()).unwrap();
        made["secret"].as_str().unwrap().to_owned()
    }

    async fn call(&self, path: &str, body: &Value, token: &str) -> (u16, String) {
        let url = self.ports.api_url(&format!("/v1/{path}"));
        let request = self.http.post(url).bearer_auth(token).json(body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap())
    }

    async fn json(&self, path: &str, body: &Value, token: &str) -> Value {
        let (status, text) = self.call(path, body, token).await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The ticket of a letter, once an agent sees it, with a task on it; a second one is perhaps about the same.
    async fn opened(&self, from: &str, subject: &'static str, agent: &str) -> (Value, Hidden) {
        let mut smtp = Smtp::open(self.ports.smtp).await.unwrap();
        let order = format!("Salasana, order {}5001", subject.len());
        let letter = Letter::new(from, subject, &order);
        assert_eq!(smtp.send(&letter).await.unwrap().code, 250);
        let list = json!({"filter": format!("subject:\"{subject}\"")});
        let ticket = wait("an agent of the team sees the ticket", async || {
            let (_, page) = self
                .call("solmu.ticket.v1.TicketService/ListTickets", &list, agent)
                .await;
            let page: Value = serde_json::from_str(&page).ok()?;
            page["tickets"].get(0).cloned()
        })
        .await;
        let of = json!({"ticketId": ticket["id"]});
        let messages = self
            .json("solmu.ticket.v1.TicketService/ListMessages", &of, agent)
            .await;
        let task = json!({"task": {"ticketId": ticket["id"], "title": "look"}});
        let task = self
            .json("solmu.ticket.v1.WorkService/CreateTask", &task, agent)
            .await;
        let entry = json!({"entry": {"ticketId": ticket["id"], "seconds": "60"}});
        let path = "solmu.ticket.v1.TimeService/CreateTimeEntry";
        let entry = self.json(path, &entry, agent).await;
        let letter = Letter::new(from, &format!("more of {order}"), &order);
        assert_eq!(smtp.send(&letter).await.unwrap().code, 250);
        let path = "solmu.ticket.v1.MatterService/ListMatterProposals";
        let pair = wait("somebody is asked whether both are one", async || {
            let (_, page) = self.call(path, &of, agent).await;
            let page: Value = serde_json::from_str(&page).ok()?;
            page["proposals"][0]["id"].as_str().map(str::to_owned)
        })
        .await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let hidden = Hidden {
            ticket: text(&ticket["id"]),
            message: text(&messages["messages"][0]["id"]),
            task: text(&task["id"]),
            entry: text(&entry["id"]),
            pair,
            subject,
        };
        (ticket, hidden)
    }

    /// Asks every method about what `token` must not see; returns those that say anything, and how many were asked.
    async fn walk(&self, api: &Api, hidden: &Hidden, token: &str) -> (Vec<String>, usize) {
        let (mut wrong, mut asked) = (Vec::new(), 0);
        for (path, input, streams_in) in &api.methods {
            let (body, names) = api.request(input, hidden, 0);
            if !names || *streams_in || APART.iter().any(|(apart, _)| apart == path) {
                continue;
            }
            asked += 1;
            let (status, said) = self.call(path, &body, token).await;
            let method = path.rsplit('/').next().unwrap();
            let reads = ["Get", "List", "BatchGet", "Export"]
                .iter()
                .any(|it| method.starts_with(it));
            let silent = !said.contains(&hidden.ticket) && !said.contains(hidden.subject);
            let fine = match status {
                403 | 404 => true,
                200 => reads && silent,
                _ => false,
            };
            if !fine {
                wrong.push(format!("{path} {body}: {status} {said}"));
            }
        }
        let bulk = json!({"ticketIds": [hidden.ticket], "ticket": {"subject": "x"}});
        let (_, said) = self
            .call("solmu.ticket.v1.DeskService/BulkUpdate", &bulk, token)
            .await;
        if !said.contains("NOT_FOUND") {
            wrong.push(format!("BulkUpdate: {said}"));
        }
        (wrong, asked)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_method_tells_of_a_ticket_that_the_caller_does_not_see() {
    let system = System::start().await;
    let api = Api::new();
    system.cli(&["team", "create", "Elsewhere"]);
    system.cli(&["agent", "create", "Outsider", "--team", "Elsewhere"]);
    let agent = ["--role", "agent", "--agent", "Outsider"];
    let (insider, outsider) = (system.home.read("agent-token"), system.token(&agent));
    let manager = system.token(&[&agent[..], &["--all-teams"]].concat());
    let scopes = [
        "tickets.write",
        "contacts.write",
        "routing.admin",
        "sla.read",
    ];
    let scopes: Vec<&str> = scopes.iter().flat_map(|scope| ["--scope", scope]).collect();
    let service = system.token(&[&["--role", "service"], &scopes[..]].concat());

    let (_, other_teams) = system
        .opened("aino@customer.example", "For one team", &insider)
        .await;
    let (wrong, asked) = system.walk(&api, &other_teams, &outsider).await;
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", system.solmu.output());
    assert!(asked > 35, "only {asked} methods name a ticket");

    let (ticket, restricted) = system
        .opened("ben@customer.example", "A threat", &insider)
        .await;
    let get = "solmu.ticket.v1.TicketService/GetTicket";
    let id = json!({"id": restricted.ticket});
    for token in [&insider, &manager, &service] {
        assert_eq!(system.call(get, &id, token).await.0, 200);
    }
    let restrict =
        json!({"ticketId": restricted.ticket, "teamIds": [ticket["teamId"]], "reason": "a threat"});
    let path = "solmu.ticket.v1.TicketService/RestrictTicket";
    system.json(path, &restrict, &insider).await;
    assert_eq!(system.call(get, &id, &insider).await.0, 200);
    for token in [&manager, &service, &outsider] {
        let (wrong, _) = system.walk(&api, &restricted, token).await;
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
    let words = json!({"query": "threat"});
    let search = "solmu.ticket.v1.SearchService/SearchTickets";
    wait("those who are named find it", async || {
        let (_, found) = system.call(search, &words, &insider).await;
        found.contains(&restricted.ticket).then_some(())
    })
    .await;
    for token in [&manager, &service, &outsider] {
        let (_, found) = system.call(search, &words, token).await;
        assert!(!found.contains(&restricted.ticket), "{found}");
    }
    let link = json!({"ticketId": restricted.ticket});
    let path = "solmu.ticket.v1.LinkService/CreateTicketLink";
    let (status, said) = system.call(path, &link, &insider).await;
    assert!(
        status == 400 && said.contains("TICKET_RESTRICTED"),
        "{said}"
    );
    system.solmu.stop().await;
}

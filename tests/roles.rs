//! A cluster in small: engines that somebody else runs, the operator's commands on them, and roles in two processes.

use solmu_client::proto::{
    routing::v1::{Agent, CreateAgentRequest, ListAgentsRequest, Presence, SetPresenceRequest},
    sla::v1::{Calendar, CreateCalendarRequest, CreatePolicyRequest, Policy, Target},
    ticket::v1::Ticket,
};
use solmu_engines::{Durability, EngineConfig, Engines};

use crate::support::{Api, Home, Letter, Ports, Settings, Smtp, Solmu, binary, wait};

/// Seconds to the first response that the test's own policy promises.
const PROMISED: i32 = 1_234;

/// Engines of a data directory, as a platform team would run them.
async fn engines(home: &Home) -> Engines {
    let config = EngineConfig {
        launcher: Some(binary()),
        durability: Durability::Volatile,
        ..EngineConfig::new(home.data())
    };
    let starting =
        tokio::task::spawn_blocking(move || Engines::start(&config, &|line| eprintln!("{line}")));
    starting.await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_in_two_processes_do_the_job_together() {
    let home = Home::new();
    Settings {
        // Two of them read.
        connections: Some(10),
        ..Settings::default()
    }
    .write(&home);
    let engines = engines(&home).await;
    let (postgres, nats) = (engines.postgres_url(), engines.nats_url());
    let target = ["--postgres", &postgres, "--nats", &nats];
    let flags = |roles: &[&str]| -> Vec<String> {
        let services = roles.iter().flat_map(|role| ["--service", *role]);
        target
            .iter()
            .copied()
            .chain(services)
            .map(str::to_owned)
            .collect()
    };
    // They may start before anybody has prepared the engines, and say so.
    let mut front = Solmu::spawn(&home, "front", Ports::free(), &flags(&["email", "tickets"]));
    let mut back = Solmu::spawn(
        &home,
        "back",
        Ports::free(),
        &flags(&["tickets", "router", "sla"]),
    );
    for process in [&front, &back] {
        wait("it waits for schema and streams", async || {
            process
                .output()
                .contains("waiting for the schema")
                .then_some(())
        })
        .await;
        let ready = reqwest::get(process.ports.admin_url("/readyz"))
            .await
            .unwrap();
        assert_eq!(ready.status(), 503, "not ready before the schema is there");
    }
    prepare(&home, &target);
    front.ready().await;
    back.ready().await;
    for process in [&front, &back] {
        wait("it is ready", async || {
            let ready = reqwest::get(process.ports.admin_url("/readyz"))
                .await
                .unwrap();
            ready.status().is_success().then_some(())
        })
        .await;
    }
    let token = first_token(&home, &target);
    work(
        &Api::with_token(&front, &token),
        &Api::with_token(&back, &token),
        &front,
    )
    .await;
    front.stop().await;
    back.stop().await;
    tokio::task::spawn_blocking(|| engines.stop())
        .await
        .unwrap()
        .unwrap();
}

/// A pod of a connector that is moved while PostgreSQL is away takes what comes, like one that ran before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_starts_without_postgres_and_a_role_with_the_api_says_why_it_waits() {
    let home = Home::new();
    Settings::default().write(&home);
    let engines = engines(&home).await;
    let nats = engines.nats_url();
    let target = [
        "--postgres",
        "postgres://solmu@127.0.0.1:1/solmu",
        "--nats",
        &nats,
    ];
    home.run(&command(&["streams", "apply"], &target));
    let flags = |role: &str| -> Vec<String> {
        let all = target.iter().copied().chain(["--service", role]);
        all.map(str::to_owned).collect()
    };
    let mut forms = Solmu::spawn(&home, "forms", Ports::free(), &flags("forms"));
    let tickets = Solmu::spawn(&home, "tickets", Ports::free(), &flags("tickets"));
    forms.ready().await;
    let form = reqwest::get(forms.ports.http_url("/forms/contact"))
        .await
        .unwrap();
    assert!(form.status().is_success(), "{form:?}");
    let start = wait("it says what it waits for", async || {
        let ready = reqwest::get(tickets.ports.admin_url("/readyz"))
            .await
            .ok()?;
        assert_eq!(ready.status(), 503);
        let report: serde_json::Value = ready.json().await.ok()?;
        let checks = report["checks"].as_array()?;
        let start = checks.iter().find(|it| it["name"] == "start")?;
        let reason = start["reason"].as_str()?.to_owned();
        reason.contains("waiting for postgres").then_some(reason)
    })
    .await;
    assert!(start.contains("does not answer"), "{start}");
    wait("its log says what to do", async || {
        tickets
            .output()
            .contains("nothing listens there")
            .then_some(())
    })
    .await;
    forms.stop().await;
    tickets.stop().await;
    let migrated = home.try_run(&command(&["migrate"], &target));
    let said = String::from_utf8_lossy(&migrated.stderr).into_owned();
    assert!(
        !migrated.status.success() && said.contains("nothing listens there"),
        "{said}"
    );
    tokio::task::spawn_blocking(|| engines.stop())
        .await
        .unwrap()
        .unwrap();
}

fn command<'a>(words: &[&'a str], target: &[&'a str]) -> Vec<&'a str> {
    words.iter().chain(target).copied().collect()
}

/// What an operator does before the first release, and again with each.
fn prepare(home: &Home, target: &[&str]) {
    let migrated = home.run(&command(&["migrate"], target));
    assert!(migrated.starts_with("schema: version 0 -> "), "{migrated}");
    let applied = home.run(&command(&["streams", "apply"], target));
    assert!(
        applied.lines().count() == 5 && applied.lines().all(|line| line.ends_with(": created")),
        "{applied}"
    );
    let again = home.run(&command(&["migrate"], target));
    let versions: Vec<&str> = again
        .trim()
        .trim_start_matches("schema: version ")
        .split(" -> ")
        .collect();
    assert_eq!(versions[0], versions[1], "{again}");
    let again = home.run(&command(&["streams", "apply"], target));
    assert!(
        again.lines().all(|line| line.ends_with(": unchanged")),
        "{again}"
    );
}

fn first_token(home: &Home, target: &[&str]) -> String {
    let token = home.run(&command(&["first-token"], target));
    let second = home.try_run(&command(&["first-token"], target));
    assert!(!second.status.success(), "there is one first token");
    token.trim().to_owned()
}

async fn work(tickets: &Api, back: &Api, front: &Solmu) {
    let routing = back.client.routing();
    // The first agent, who came with the first token, goes home.
    let first = routing
        .clone()
        .list_agents(ListAgentsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .agents
        .remove(0);
    let offline = SetPresenceRequest {
        agent_id: first.id,
        presence: Presence::Offline.into(),
    };
    routing.clone().set_presence(offline).await.unwrap();
    promise(back).await;

    let mut smtp = Smtp::open(front.ports.smtp).await.unwrap();
    let letter = Letter::new("aino@customer.example", "Nobody is here yet", "Hello?");
    assert_eq!(smtp.send(&letter).await.unwrap().code, 250);
    let queued = |ticket: &Ticket| {
        ticket.first_response_due_time.is_some() && ticket.team_id == first.team_ids[0]
    };
    let waiting = tickets
        .ticket("it waits in the team's queue, with a due time", queued)
        .await;
    assert_eq!(waiting.assignee_id, "");
    let (created, due) = (
        waiting.create_time.unwrap(),
        waiting.first_response_due_time.unwrap(),
    );
    assert_eq!(
        due.seconds - created.seconds,
        i64::from(PROMISED),
        "as the new policy says"
    );

    // The queue drains when somebody comes.
    let agent = Agent {
        display_name: "Kaisa".to_owned(),
        team_ids: first.team_ids,
        capacity: 5,
        ..Agent::default()
    };
    let agent = routing
        .clone()
        .create_agent(CreateAgentRequest {
            agent: Some(agent),
            ..CreateAgentRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    let online = SetPresenceRequest {
        agent_id: agent.id.clone(),
        presence: Presence::Online.into(),
    };
    routing.clone().set_presence(online).await.unwrap();
    let owned = tickets.routed("Nobody is here yet").await;
    assert_eq!(owned.assignee_id, agent.id);
    assert!(!owned.assign_reason.is_empty());
}

/// A policy that stands before the default one.
async fn promise(api: &Api) {
    let sla = api.client.sla();
    let calendar = Calendar {
        display_name: "Always".to_owned(),
        definition_json: r#"{"tz": "Europe/Helsinki", "always_open": true}"#.to_owned(),
        ..Calendar::default()
    };
    let calendar = CreateCalendarRequest {
        calendar: Some(calendar),
        validate_only: false,
    };
    let calendar = sla
        .clone()
        .create_calendar(calendar)
        .await
        .unwrap()
        .into_inner();
    let target = Target {
        priority: "normal".to_owned(),
        first_response_seconds: PROMISED,
        resolution_seconds: 86_400,
        ..Target::default()
    };
    let policy = Policy {
        display_name: "Mail".to_owned(),
        position: 1,
        condition: "channel = email".to_owned(),
        calendar_id: calendar.id,
        targets: vec![target],
        ..Policy::default()
    };
    sla.clone()
        .create_policy(CreatePolicyRequest {
            policy: Some(policy),
            validate_only: false,
        })
        .await
        .unwrap();
}

//! The first minutes with Solmu: `solmu serve` in an empty folder, a mail, a stop, the next start, a crash.

use std::{fs, os::unix::fs::PermissionsExt as _};

use solmu_client::proto::routing::v1::ListAgentsRequest;

use crate::support::{Api, Engine, Home, Letter, Ports, Smtp, Solmu, wait};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_directory_becomes_a_helpdesk_that_keeps_its_data() {
    let (home, ports) = (Home::new(), Ports::free());
    let (solmu, took) = Solmu::start(&home, "solmu", ports, &[]).await;
    eprintln!("first start: {} ms", took.as_millis());
    banner_says_what_a_person_needs(&home, &solmu);

    let mut smtp = Smtp::open(ports.smtp).await.unwrap();
    let letter = Letter::new(
        "aino@customer.example",
        "Where is my order",
        "It should have come on Monday.",
    );
    assert_eq!(smtp.send(&letter).await.unwrap().code, 250);
    let admin = Api::admin(&home, &solmu);
    let ticket = admin.routed("Where is my order").await;
    assert_eq!(ticket.contact_name, "Aino Virtanen");
    assert!(
        !ticket.contact_id.is_empty() && !ticket.assign_reason.is_empty(),
        "{ticket:?}"
    );
    assert!(
        ticket.first_response_due_time.is_some() && ticket.resolution_due_time.is_some(),
        "{ticket:?}"
    );
    let agents = admin
        .client
        .routing()
        .list_agents(ListAgentsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .agents;
    assert_eq!(
        (agents.len(), &agents[0].id),
        (1, &ticket.assignee_id),
        "the first agent has it"
    );
    let tokens = [home.read("token"), home.read("agent-token")];
    let pids = [Engine::Postgres, Engine::Nats].map(|engine| home.engine_pid(engine));
    assert!(pids.iter().all(Option::is_some));

    eprintln!("stop: {} ms", solmu.stop().await.as_millis());
    for engine in [Engine::Postgres, Engine::Nats] {
        assert_eq!(
            home.engine_pid(engine),
            None,
            "{engine:?} has ended with its supervisor"
        );
    }

    let (mut solmu, took) = Solmu::start(&home, "solmu", ports, &[]).await;
    eprintln!("second start: {} ms", took.as_millis());
    let again = Api::admin(&home, &solmu)
        .ticket("the ticket is still there", |it| it.id == ticket.id)
        .await;
    assert_eq!(again, ticket);
    assert_eq!([home.read("token"), home.read("agent-token")], tokens);
    let output = solmu.output();
    assert!(
        tokens.iter().all(|token| !output.contains(token)),
        "tokens are shown once"
    );

    solmu.kill();
    let (solmu, took) = Solmu::start(&home, "solmu", ports, &[]).await;
    eprintln!("start after kill -9: {} ms", took.as_millis());
    let again = Api::admin(&home, &solmu)
        .ticket("the ticket is still there", |it| it.id == ticket.id)
        .await;
    assert_eq!(again, ticket);
    let mut smtp = Smtp::open(ports.smtp).await.unwrap();
    let letter = Letter::new("aino@customer.example", "Another order", "This one too.");
    assert_eq!(smtp.send(&letter).await.unwrap().code, 250);
    let second = Api::agent(&home, &solmu).routed("Another order").await;
    assert_eq!(
        second.contact_id, ticket.contact_id,
        "one customer is one contact"
    );
    solmu.stop().await;
}

fn banner_says_what_a_person_needs(home: &Home, solmu: &Solmu) {
    let output = solmu.output();
    let Ports {
        smtp,
        http,
        grpc,
        admin,
        ..
    } = solmu.ports;
    for address in [smtp, http, grpc, admin] {
        assert!(
            output.contains(&address.to_string()),
            "{address} is not in the banner:\n{output}"
        );
    }
    for name in ["token", "agent-token"] {
        let token = home.read(name);
        assert!(
            token.starts_with("solmu_") && output.contains(&token),
            "{name} is not in the banner:\n{output}"
        );
        let mode = fs::metadata(home.data().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // Nobody else lists the folder, and nobody else reads what customers sent.
    for (folder, most) in [("", 0o711), ("objects", 0o700)] {
        let mode = fs::metadata(home.data().join(folder))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(
            mode & 0o777 & !most,
            0,
            "'{folder}' is open to others: {mode:o}"
        );
    }
    for secret in [
        "engines.json",
        "signing-keys",
        "service-token",
        "solmu.toml",
    ] {
        let mode = fs::metadata(home.data().join(secret))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_never_share_a_data_directory() {
    let (home, ports) = (Home::new(), Ports::free());
    let (solmu, _) = Solmu::start(&home, "solmu", ports, &[]).await;
    let flags = Ports::free().flags();
    let mut arguments = vec!["serve"];
    arguments.extend(flags.iter().map(String::as_str));
    let second = home.try_run(&arguments);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && said.contains("error:"),
        "{said}"
    );
    // The first one goes on as before.
    wait("the first process is ready", async || {
        let answer = reqwest::get(solmu.ports.admin_url("/readyz")).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    solmu.stop().await;
}

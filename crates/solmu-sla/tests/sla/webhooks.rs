//! Steps that call webhooks: each once, signed, tried again, and never into a network of ours unless that is wanted.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use solmu_proto::sla::v1::{ActionKind, Policy, Step, step::At};
use solmu_secret::{
    Secret,
    signature::{StandardHeaders, WebhookSecrets, standard_webhooks},
};
use solmu_sla::{Config, Webhook};
use solmu_testkit::{Harness, wait_for};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::path};

use crate::{
    moves::{ALWAYS, calendar, create, target},
    support::{Node, Ticket, Told, decided_after, escalations, minutes, publish, told},
};

const OLD: &str = "whsec_b2xkLXNlY3JldA==";
const NEW: &str = "whsec_bmV3LXNlY3JldA==";

fn config(url: String, private: bool, timeout_ms: u64) -> Config {
    let webhook = Webhook {
        url,
        secrets: vec![Secret::new(NEW), Secret::new(OLD)],
        private,
    };
    Config {
        webhooks: [("pager".to_owned(), webhook)].into(),
        webhook_timeout_ms: timeout_ms,
        ..Config::default()
    }
}

async fn node(harness: &Harness, name: &str, settings: &Config) -> Node {
    let clock = Arc::new(harness.clock.clone());
    Node::configured(harness, name, clock, settings.clone()).await
}

/// One hour to the first response; the webhook is called with the breach, and another one that nobody configured.
async fn chain(node: &Node) {
    let calendar_id = calendar(node, ALWAYS).await.id;
    let step = |name: &str| Step {
        at: Some(At::AfterSeconds(0)),
        action: ActionKind::Webhook.into(),
        target: name.to_owned(),
        ..Step::default()
    };
    let policy = Policy {
        targets: target(3_600, 0),
        steps: vec![step("pager"), step("nobody")],
        calendar_id,
        ..Policy::default()
    };
    create(node, policy).await;
}

async fn received(server: &MockServer, count: usize) -> Vec<Request> {
    wait_for(&format!("{count} calls"), || async {
        let requests = server.received_requests().await.unwrap_or_default();
        requests.len() >= count
    })
    .await;
    server.received_requests().await.unwrap_or_default()
}

/// Waits until what became of the calls is noted like that.
async fn noted(harness: &Harness, outcome: &str, finished: bool, count: i64) {
    wait_for(&format!("{count} calls are noted as {outcome}"), || async {
        let found: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM sla.webhook_call WHERE outcome = $1 AND (next_at IS NULL) = $2",
        )
        .bind(outcome)
        .bind(finished)
        .fetch_one(harness.db.pool())
        .await
        .expect("a good query");
        found == count
    })
    .await;
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a [u8]> {
    Some(request.headers.get(name)?.as_bytes())
}

#[tokio::test]
async fn each_step_calls_once_with_two_replicas_and_is_signed() {
    const COUNT: usize = 30;
    let server = MockServer::start().await;
    Mock::given(path("/hook"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let harness = Harness::new().await;
    let settings = config(format!("{}/hook", server.uri()), true, 60_000);
    let first = node(&harness, "a", &settings).await;
    let second = node(&harness, "b", &settings).await;
    chain(&first).await;
    let events: Vec<_> = (0..COUNT).map(|_| Ticket::new(&harness).opened()).collect();
    publish(&harness, &events).await;
    harness.clock.set(minutes(&harness, 61));
    let rows = i64::try_from(COUNT).expect("a count");
    noted(&harness, "ok", true, rows).await;
    let requests = received(&server, COUNT).await;
    assert_eq!(requests.len(), COUNT, "one call for each");
    let secrets = WebhookSecrets::standard([OLD]).expect("a good secret");
    let now = minutes(&harness, 0);
    let mut ids = std::collections::BTreeSet::new();
    for request in &requests {
        let headers = StandardHeaders {
            id: header(request, "webhook-id"),
            timestamp: header(request, "webhook-timestamp"),
            signature: header(request, "webhook-signature"),
        };
        let checked = standard_webhooks(&secrets, headers, &request.body, now);
        checked.expect("a receiver with the older secret knows it, too");
        ids.insert(header(request, "webhook-id").map(<[u8]>::to_vec));
        let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        assert_eq!(body["type"], "sla.escalated");
        assert_eq!(body["data"]["step"], "after 0 webhook pager");
        assert_eq!(body["data"]["metric"], "first_response");
    }
    assert_eq!(ids.len(), COUNT);
    assert_eq!(
        escalations(&harness).await.len(),
        2 * COUNT,
        "the name that is not configured is an event only"
    );
    // The clock jumps back and forth: nobody is called again.
    harness.clock.set(minutes(&harness, -61));
    harness.clock.set(minutes(&harness, 90));
    let mut other = Ticket::new(&harness);
    decided_after(&harness, &[other.opened()]).await;
    assert_eq!(received(&server, COUNT).await.len(), COUNT);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn what_fails_is_tried_again_after_a_kill_and_no_redirect_is_followed() {
    let server = MockServer::start().await;
    let elsewhere = ResponseTemplate::new(302)
        .insert_header("location", format!("{}/elsewhere", server.uri()).as_str());
    let answers = [ResponseTemplate::new(500), elsewhere];
    for answer in answers {
        Mock::given(path("/hook"))
            .respond_with(answer)
            .up_to_n_times(1)
            .mount(&server)
            .await;
    }
    Mock::given(path("/hook"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let harness = Harness::new().await;
    let settings = config(format!("{}/hook", server.uri()), true, 60_000);
    let first = node(&harness, "a", &settings).await;
    chain(&first).await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    harness.clock.set(minutes(&harness, 61));
    noted(&harness, "500", false, 1).await;
    first.crash();
    let second = node(&harness, "b", &settings).await;
    harness.clock.set(minutes(&harness, 1));
    noted(&harness, "302", false, 1).await;
    harness.clock.set(minutes(&harness, 1));
    noted(&harness, "ok", true, 1).await;
    let requests = received(&server, 3).await;
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|it| it.url.path() == "/hook"));
    let ids: std::collections::BTreeSet<_> = requests
        .iter()
        .map(|it| header(it, "webhook-id").map(<[u8]>::to_vec))
        .collect();
    assert_eq!(ids.len(), 1, "a repeat is known by its id");
    second.stop().await;
}

#[tokio::test]
async fn a_receiver_that_wants_fewer_calls_is_left_alone_for_as_long_as_it_says() {
    let server = MockServer::start().await;
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "600");
    Mock::given(path("/hook"))
        .respond_with(busy)
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(path("/hook"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let harness = Harness::new().await;
    let settings = config(format!("{}/hook", server.uri()), true, 60_000);
    let node = node(&harness, "a", &settings).await;
    chain(&node).await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    harness.clock.set(minutes(&harness, 61));
    noted(&harness, "429", false, 1).await;
    let next: i64 = sqlx::query_scalar(
        "SELECT extract(epoch FROM next_at)::bigint FROM sla.webhook_call WHERE name = 'pager'",
    )
    .fetch_one(harness.db.pool())
    .await
    .expect("a good query");
    // The usual second try comes after five seconds.
    assert_eq!(next - minutes(&harness, 0).as_second(), 600);
    assert_eq!(node.throttled(), 1);
    harness.clock.set(minutes(&harness, 10));
    noted(&harness, "ok", true, 1).await;
    node.stop().await;
}

/// Until when the one call is claimed, in microseconds of the database; None between calls.
async fn claimed_until(harness: &Harness) -> Option<i64> {
    let until: Option<Option<i64>> = sqlx::query_scalar(
        "SELECT (extract(epoch FROM claimed_until) * 1000000)::bigint FROM sla.webhook_call WHERE name = 'pager'",
    )
    .fetch_optional(harness.db.pool())
    .await
    .expect("a good query");
    until.flatten()
}

/// No clock moves here: a claim ends by the clock of the database.
#[tokio::test]
async fn a_call_of_a_process_that_died_is_free_after_seconds() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_mins(10));
    Mock::given(path("/hook"))
        .respond_with(slow)
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(path("/hook"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let harness = Harness::new().await;
    let settings = Config {
        webhook_lease_ms: 1_000,
        ..config(format!("{}/hook", server.uri()), true, 60_000)
    };
    let first = node(&harness, "a", &settings).await;
    chain(&first).await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    harness.clock.set(minutes(&harness, 61));
    received(&server, 1).await;
    first.crash();
    let second = node(&harness, "b", &settings).await;
    noted(&harness, "ok", true, 1).await;
    let requests = received(&server, 2).await;
    assert_eq!(requests.len(), 2);
    assert_eq!(
        header(&requests[0], "webhook-id"),
        header(&requests[1], "webhook-id"),
        "the receiver knows it"
    );
    assert_eq!(claimed_until(&harness).await, None);
    second.stop().await;
}

#[tokio::test]
async fn a_call_that_runs_is_nobody_elses_however_the_clocks_jump() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_mins(10));
    Mock::given(path("/hook"))
        .respond_with(slow)
        .mount(&server)
        .await;
    let harness = Harness::new().await;
    let settings = config(format!("{}/hook", server.uri()), true, 60_000);
    let first = node(&harness, "a", &settings).await;
    let second = node(&harness, "b", &settings).await;
    chain(&first).await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    harness.clock.set(minutes(&harness, 61));
    received(&server, 1).await;
    let claimed = claimed_until(&harness).await;
    // All that the release before went by is over.
    harness.clock.set(minutes(&harness, 30));
    wait_for("the claim is renewed", || async {
        let now = claimed_until(&harness).await;
        now > claimed
    })
    .await;
    assert_eq!(received(&server, 1).await.len(), 1);
    assert_eq!(attempts(&harness).await, 1);
    first.crash();
    second.crash();
}

#[tokio::test]
async fn a_call_that_takes_too_long_and_one_that_is_gone() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_mins(10));
    Mock::given(path("/slow"))
        .respond_with(slow)
        .mount(&server)
        .await;
    Mock::given(path("/gone"))
        .respond_with(ResponseTemplate::new(410))
        .mount(&server)
        .await;
    let harness = Harness::new().await;
    let at = |path: &str| format!("{}/{path}", server.uri());
    let impatient = node(&harness, "a", &config(at("slow"), true, 100)).await;
    chain(&impatient).await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    harness.clock.set(minutes(&harness, 61));
    noted(&harness, "timeout", false, 1).await;
    impatient.stop().await;
    let patient = node(&harness, "b", &config(at("gone"), true, 60_000)).await;
    harness.clock.set(minutes(&harness, 1));
    noted(&harness, "410", true, 1).await;
    patient.stop().await;
}

#[tokio::test]
async fn an_address_of_our_own_network_is_not_called_unless_that_is_wanted() {
    let server = MockServer::start().await;
    let harness = Harness::new().await;
    let url = server.uri().replace("127.0.0.1", "localhost");
    let settings = config(format!("{url}/hook"), false, 60_000);
    let node = node(&harness, "a", &settings).await;
    chain(&node).await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    harness.clock.set(minutes(&harness, 61));
    noted(&harness, "not_public", false, 1).await;
    // It is given up after the last try.
    wait_for("the last try", || async {
        let later = minutes(&harness, 0) + SignedDuration::from_hours(25);
        harness.clock.set(later);
        attempts(&harness).await == 8
    })
    .await;
    noted(&harness, "not_public", true, 1).await;
    let requests = server.received_requests().await.unwrap_or_default();
    assert!(requests.is_empty());
    let breached = told(&harness).await.into_iter();
    let breached = breached.filter(|it| matches!(it, Told::Breached(_)));
    assert_eq!(breached.count(), 1);
    node.stop().await;
}

async fn attempts(harness: &Harness) -> i32 {
    sqlx::query_scalar("SELECT attempts FROM sla.webhook_call WHERE name = 'pager'")
        .fetch_one(harness.db.pool())
        .await
        .expect("one call")
}

//! The webhooks as a provider sees them: over HTTP, in front of a receiver whose events are looked at. What needs no
//! receiver is tested where the webhooks are.

mod engine;
mod mailgun;
mod postmark;
mod samples;
mod sendgrid;

use axum::{body::Body, http::Request};
use solmu_connector::IntakeError;
use solmu_mailhooks::testing::{MULTIPART, Remembered, TOKEN, basic_header, hooks, multipart, raw};
use solmu_proto::inbound::v1::{DeliveryReported, MessageReceived};
use solmu_telemetry::Metrics;
use tower::ServiceExt as _;

use super::*;
use crate::{
    config::{AccountConfig, Config},
    testing::{Bench, bench, signer},
};

/// Amazon when it cannot be reached.
struct Away;

impl Get for Away {
    async fn get(&self, _: &str, _: usize) -> Result<Bytes, GetError> {
        Err("away".into())
    }

    async fn object_size(&self, _: &str, _: &str) -> Result<u64, GetError> {
        Err("away".into())
    }

    async fn object(&self, _: &str, _: &str, _: usize) -> Result<Bytes, GetError> {
        Err("away".into())
    }
}

struct World {
    bench: Bench,
    routes: Router,
    metrics: Metrics,
    memory: Remembered,
}

fn config(webhooks: WebhooksConfig) -> Config {
    let other = AccountConfig {
        name: "other".to_owned(),
        addresses: vec!["test@inbound.example.com".to_owned()],
        ..AccountConfig::default()
    };
    let mut config = Config {
        webhooks,
        ..Config::default()
    };
    config.accounts.push(other);
    config
}

fn world_with(webhooks: WebhooksConfig) -> World {
    world_of(&config(webhooks))
}

fn world_of(config: &Config) -> World {
    world_that_remembers(config, &Remembered::default())
}

/// As another process that shares `memory` with others.
fn world_that_remembers(config: &Config, memory: &Remembered) -> World {
    let (bench, metrics) = (bench(config), Metrics::new());
    let parts = HookParts {
        desk: bench.receiver.clone(),
        amazon: Away,
        memory: memory.clone(),
        signer: signer(),
        clock: Arc::clone(bench.receiver.clock()),
        metrics: metrics.clone(),
    };
    let routes = routes(&config.webhooks, parts).unwrap();
    World {
        bench,
        routes,
        metrics,
        memory: memory.clone(),
    }
}

fn world() -> World {
    world_with(hooks())
}

impl World {
    async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> u16 {
        let mut request = Request::post(format!("/webhooks/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        answer.status().as_u16()
    }

    fn messages(&self) -> Vec<MessageReceived> {
        self.bench.desk.messages()
    }

    fn reports(&self) -> Vec<DeliveryReported> {
        let events = self.bench.desk.events().into_iter();
        let reports = events.filter_map(|event| match event {
            InboundEvent::Delivery(report) => Some(*report),
            InboundEvent::Message(_) => None,
        });
        reports.collect()
    }

    fn counted(&self, line: &str) -> bool {
        let metrics = self.metrics.encode();
        metrics.lines().any(|it| it == line)
    }
}

/// A Message-ID of ours.
fn own_id() -> String {
    solmu_mailhooks::testing::own_id(&signer())
}

#[test]
fn accounts_and_reports_fit_together() {
    let wrong = |account: &str| {
        let mut hooks = hooks();
        account.clone_into(&mut hooks.mailgun[0].account);
        check(&hooks, world().bench.receiver.accounts())
    };
    assert_eq!(wrong("other"), Ok(()));
    assert!(matches!(wrong("gone"), Err(HookError::Hook { .. })));
    let receiver = world().bench.receiver;
    for (configured, account) in [("other", "other"), ("", "main")] {
        assert_eq!(receiver.reporting_account(configured), account);
    }
}

#[tokio::test]
async fn a_bus_that_is_away_makes_every_provider_come_again() {
    let world = world();
    world.bench.desk.refuse_with(Some(IntakeError::Unavailable));
    let auth = basic_header("post:secret");
    let raw = raw(1);
    let sendgrid = multipart(&[("email", None, raw.as_bytes())]);
    let postmark =
        serde_json::json!({"RawEmail": raw, "OriginalRecipient": "support@desk.example"})
            .to_string();
    let mailgun = mailgun::signed(
        &[("recipient", "support@desk.example"), ("body-mime", &raw)],
        "t1",
    );
    let post = async || {
        [
            world
                .post(
                    &format!("sendgrid/parse/{TOKEN}"),
                    &[MULTIPART],
                    sendgrid.clone(),
                )
                .await,
            world
                .post("postmark/pm", &[("authorization", &auth)], postmark.clone())
                .await,
            world
                .post("mailgun/eu/mime", &[mailgun::FORM], mailgun.clone())
                .await,
        ]
    };
    assert_eq!(post().await, [503; 3]);
    assert!(
        world
            .counted("solmu_email_webhook_refused_total{vendor=\"mailgun\",why=\"unavailable\"} 1")
    );
    world.bench.desk.refuse_with(None);
    // The repeat of the same request, same token included, is taken.
    assert_eq!(post().await, [200; 3]);
    assert_eq!(world.messages().len(), 3);
    for message in world.messages() {
        assert_eq!(
            (message.external_id.as_str(), message.account.as_str()),
            ("1@c.example", "main")
        );
        assert_eq!(message.text.trim_end(), "hyvää päivää");
        assert!(message.raw.is_some());
    }
}

#[tokio::test]
async fn a_header_in_the_name_of_our_exchanger_is_the_senders() {
    use solmu_proto::inbound::v1::authenticity::Verdict;

    let post = async |provider: &str, named: &str| {
        let mut webhooks = hooks();
        webhooks.sendgrid[0].authserv_id = provider.to_owned();
        let world = world_of(&Config {
            authserv_id: Some("mx.desk.example".to_owned()),
            trusted_hops: 3,
            ..config(webhooks)
        });
        let results =
            format!("Authentication-Results: {named}; dmarc=pass header.from=c.example\r\n");
        let raw = format!(
            "Received: from c.example by provider.example\r\n{results}{}",
            raw(1)
        );
        let body = multipart(&[("email", None, raw.as_bytes())]);
        assert_eq!(
            world
                .post(&format!("sendgrid/parse/{TOKEN}"), &[MULTIPART], body)
                .await,
            200
        );
        world.messages()[0].authenticity.clone().unwrap().verdict()
    };
    assert_eq!(post("", "mx.desk.example").await, Verdict::Unverified);
    assert_eq!(
        post("provider.example", "mx.desk.example").await,
        Verdict::Unverified
    );
    assert_eq!(
        post("provider.example", "provider.example").await,
        Verdict::Verified
    );
}

//! Mails as they go out, and relays that answer in every way.

mod crash;
mod login;
mod looks;
mod mails;
mod peer;
mod postfix;
mod relays;
mod signed;
mod told;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use solmu_proto::types::v1::{Channel, Identity, IdentityKind};

use super::*;
use crate::{
    config::{AccountConfig, Config, Tls},
    testing::{Bench, bench, signer},
};
use solmu_mime::{
    mail::ParsedMail,
    parse::{ParseLimits, parse},
};

const TICKET: &str = "0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e5f";
const MESSAGE: &str = "0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e60";
fn queued() -> MessageQueued {
    MessageQueued {
        message_id: MESSAGE.to_owned(),
        ticket_id: TICKET.to_owned(),
        ticket_number: 5,
        channel: Channel::Email.into(),
        account: "main".to_owned(),
        conversation_key: "root@c.example".to_owned(),
        recipient: Some(Identity {
            kind: IdentityKind::Email.into(),
            value: "paivi@c.example".to_owned(),
            raw: "Paivi@c.example".to_owned(),
            ..Identity::default()
        }),
        recipient_name: "Päivi Mäkinen".to_owned(),
        subject: "Tilaus ei ole saapunut – ääkköset".to_owned(),
        text: "Hei,\n\nTarkistamme asian.\n.\n".to_owned(),
        in_reply_to: "2@c.example".to_owned(),
        references: vec!["root@c.example".to_owned(), "2@c.example".to_owned()],
        from_address: "support@desk.example".to_owned(),
        ..MessageQueued::default()
    }
}

fn config(relay: Option<SocketAddr>) -> Config {
    let relay = relay.map(|address| RelayConfig {
        host: address.ip().to_string(),
        port: address.port(),
        tls: Tls::None,
        timeout_ms: 500,
        data_timeout_ms: 300,
        connections: 1,
        ..RelayConfig::default()
    });
    let second = AccountConfig {
        name: "none".to_owned(),
        addresses: vec!["none@desk.example".to_owned()],
        ..AccountConfig::default()
    };
    let mut config = Config::default();
    config.accounts[0]
        .addresses
        .push("help@desk.example".to_owned());
    config.accounts[0].relay = relay;
    config.accounts.push(second);
    config
}

fn built(message: &MessageQueued, files: Vec<(Attachment, Bytes)>) -> (Built, ParsedMail) {
    built_with(&config(None), message, files)
}

fn built_with(
    config: &Config,
    message: &MessageQueued,
    files: Vec<(Attachment, Bytes)>,
) -> (Built, ParsedMail) {
    let signer = signer();
    let accounts = Accounts::new(config, &signer).unwrap();
    let now: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
    let built = build(
        message,
        accounts.named("main").unwrap(),
        &accounts,
        &signer,
        now,
        files,
    )
    .unwrap();
    let mail = parse(&built.bytes, &ParseLimits::default());
    (built, mail)
}

fn sender(relay: Option<SocketAddr>) -> (Bench, MailSender) {
    sender_with(&config(relay))
}

fn sender_with(config: &Config) -> (Bench, MailSender) {
    sender_with_tokens(config, &|_| panic!("no tokens are configured"))
}

fn sender_with_tokens(
    config: &Config,
    tokens: &dyn Fn(&OauthConfig) -> Arc<dyn AccessTokens>,
) -> (Bench, MailSender) {
    let bench = bench(config);
    let sender = MailSender::new(SenderParts {
        accounts: Arc::clone(bench.receiver.accounts()),
        signer: signer(),
        store: bench.store.clone(),
        clock: Arc::clone(&bench.clock) as _,
        max_bytes: config.max_outgoing_bytes,
        tokens,
    });
    (bench, sender)
}

fn summary(outcome: &SendOutcome) -> String {
    match outcome {
        SendOutcome::Sent { .. } => "sent".to_owned(),
        SendOutcome::Retry { code, .. } => format!("retry {code}"),
        SendOutcome::Throttled { code, .. } => format!("throttled {code}"),
        SendOutcome::Failed { code, .. } => format!("failed {code}"),
        SendOutcome::Unknown { code, .. } => format!("unknown {code}"),
    }
}

//! Social connectors: WhatsApp Cloud API and Telegram bots.
//!
//! Each is a webhook that takes messages in and a sender that takes answers out. Requests are verified over their raw
//! bytes and answered once the bus has what was in them; what is not understood is kept and counted, never dropped.
//!
//! Files stay with the vendor: fetching before the answer would hold up the webhook. A message is published at once,
//! its attachment names the vendor's file id in `content_id` and has no object key yet, and a notice tells the agent.

mod batch;
mod config;
mod json;
mod parts;
mod telegram;
mod webhook;
mod whatsapp;

use std::sync::Arc;

use solmu_connector::{
    Intake, ObjectStore,
    http::{self, HttpLimits},
    outbound,
};
use solmu_proto::types::v1::Channel;
use solmu_runtime::{Parts, Runtime};

pub use config::{Config, Error, TelegramAccount, TelegramConfig, WhatsappAccount, WhatsappConfig};

use telegram::TelegramSender;
use webhook::{WebhookMetrics, Webhooks};
use whatsapp::WhatsappSender;

/// Says what cannot work in the configuration, before anything is started.
pub fn check(config: &Config) -> Result<(), Error> {
    if !config.whatsapp.checked()?.is_empty() {
        client("whatsapp", &config.whatsapp.base_url)?;
    }
    if !config.telegram.checked()?.is_empty() {
        client("telegram", &config.telegram.base_url)?;
    }
    Ok(())
}

/// Starts the connectors that have accounts, and returns their webhooks.
///
/// Fails, before anything runs, when an account could not verify its webhooks.
pub fn start(
    runtime: &Runtime,
    intake: &Intake,
    store: &ObjectStore,
    config: &Config,
) -> Result<Parts, Error> {
    let (whatsapp, telegram) = (config.whatsapp.checked()?, config.telegram.checked()?);
    let webhooks = Webhooks {
        intake: intake.clone(),
        store: store.clone(),
        max_body_bytes: config.max_body_bytes,
        metrics: Arc::new(WebhookMetrics::new(&runtime.metrics)),
    };
    if !whatsapp.is_empty() {
        let client = client("whatsapp", &config.whatsapp.base_url)?;
        let sender = WhatsappSender::new(
            client,
            &config.whatsapp.base_url,
            &config.whatsapp.api_version,
            &whatsapp,
        );
        outbound::start(
            runtime,
            intake,
            Channel::Whatsapp,
            config.outbound.clone(),
            sender,
        );
    }
    if !telegram.is_empty() {
        let client = client("telegram", &config.telegram.base_url)?;
        let sender = TelegramSender::new(client, &config.telegram.base_url, &telegram);
        outbound::start(
            runtime,
            intake,
            Channel::Telegram,
            config.outbound.clone(),
            sender,
        );
    }
    let routes = whatsapp::webhook::routes(webhooks.clone(), whatsapp)
        .merge(telegram::webhook::routes(webhooks, telegram));
    Ok(Parts {
        http: Some(routes),
        ..Parts::default()
    })
}

fn client(channel: &'static str, base_url: &str) -> Result<reqwest::Client, Error> {
    http::check_base_url(base_url)
        .and_then(|()| http::client(HttpLimits::default()))
        .map_err(|source| Error::Http { channel, source })
}

#[cfg(test)]
mod tests;

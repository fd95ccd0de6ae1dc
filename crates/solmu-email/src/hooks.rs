//! The desk behind the webhooks of mail providers: what they post goes the way of every other mail, through the
//! [`Receiver`].

mod bucket;
mod tokens;

use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use solmu_connector::{
    InboundEvent,
    http::{Fetcher, HttpError, HttpLimits},
};
use solmu_mailhooks::{Desk, Get, GetError, HookParts, ProviderMail, routes};
use solmu_proto::inbound::v1::DeliveryReported;
use solmu_runtime::Runtime;
use solmu_telemetry::vendor::{Call, VendorMetrics};

pub use solmu_mailhooks::{HookError, WebhooksConfig};

use bucket::Buckets;
use tokens::UsedTokens;

use crate::{
    accounts::Accounts,
    receive::{Accept, Incoming, Receiver, Refusal},
};

#[cfg(test)]
mod tests;

/// Amazon as [`Fetcher`] reaches it, which never goes into our own network; and buckets, which only the configuration
/// names.
#[derive(Debug)]
struct Amazon {
    fetcher: Fetcher,
    buckets: Buckets,
    vendors: VendorMetrics,
}

impl Get for Amazon {
    async fn get(&self, url: &str, max_bytes: usize) -> Result<Bytes, GetError> {
        let got = self.fetcher.get(url, None, max_bytes).await;
        if let Err(HttpError::Throttled { after, .. }) = &got {
            self.vendors.throttled("email", Call::Fetch, *after);
        }
        Ok(got?)
    }

    async fn object_size(&self, hook: &str, key: &str) -> Result<u64, GetError> {
        Ok(self.buckets.size(hook, key).await?)
    }

    async fn object(&self, hook: &str, key: &str, max_bytes: usize) -> Result<Bytes, GetError> {
        Ok(self.buckets.get(hook, key, max_bytes).await?)
    }
}

impl<A: Accept> Desk for Receiver<A> {
    async fn take(&self, mail: ProviderMail) -> Result<(), solmu_mailhooks::Refusal> {
        let accounts = self.accounts();
        let mut recipients = mail.recipients;
        recipients.retain(|address| accounts.is_own(address));
        let incoming = Incoming {
            raw: mail.raw,
            mail_from: mail.mail_from,
            recipients,
            fallback: accounts.named(&mail.fallback).cloned(),
            own_hops: 0,
            connection: None,
        };
        let receiver = self
            .for_provider(&mail.authserv_id)
            .with_verdicts(mail.verdicts);
        Ok(receiver.receive(incoming).await?)
    }

    async fn report(&self, reports: Vec<DeliveryReported>) -> Result<(), solmu_mailhooks::Refusal> {
        let events = reports.into_iter().map(InboundEvent::from).collect();
        Ok(self.hand_in(events).await?)
    }

    fn has_account(&self, name: &str) -> bool {
        self.accounts().named(name).is_some()
    }

    fn reporting_account(&self, configured: &str) -> String {
        let accounts = self.accounts();
        let known = accounts.named(configured);
        let account = known
            .or_else(|| accounts.default_account())
            .or_else(|| accounts.all().first());
        account
            .map(|account| account.name.clone())
            .unwrap_or_default()
    }
}

impl From<Refusal> for solmu_mailhooks::Refusal {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoAccount => Self::NoAccount,
            Refusal::Loop { .. } => Self::Loop,
            Refusal::TooLarge => Self::TooLarge,
            Refusal::Unavailable(_) | Refusal::Store(_) | Refusal::Interrupted => {
                Self::Unavailable(Box::new(refusal))
            }
        }
    }
}

/// Whether all webhooks could start with these accounts.
pub fn check(config: &WebhooksConfig, accounts: &Accounts) -> Result<(), HookError> {
    solmu_mailhooks::check(config, |name| accounts.named(name).is_some())
}

/// The routes of all configured webhooks; `None` if there are none.
pub(crate) fn start<A: Accept>(
    runtime: &Runtime,
    config: &WebhooksConfig,
    receiver: &Receiver<A>,
) -> Result<Option<Router>, HookError> {
    if config.is_empty() {
        return check(config, receiver.accounts()).map(|()| None);
    }
    let fetcher = Fetcher::new(HttpLimits::default(), &[]).map_err(|_| HookError::Client)?;
    let parts = HookParts {
        desk: receiver.clone(),
        amazon: Amazon {
            fetcher,
            buckets: Buckets::new(&config.ses)?,
            vendors: VendorMetrics::new(&runtime.metrics),
        },
        memory: UsedTokens::new(runtime.db.clone(), Arc::clone(&runtime.clock)),
        signer: runtime.secrets.signer().clone(),
        clock: Arc::clone(&runtime.clock),
        metrics: runtime.metrics.clone(),
    };
    routes(config, parts).map(Some)
}

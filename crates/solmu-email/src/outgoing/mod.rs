//! Answers, by SMTP to a configured relay.
//!
//! A mail is never sent twice on a guess: only what certainly was not taken is tried again. What is certain is decided
//! by where in the dialogue it broke, which is why the dialogue is led here and not by lettre's own transport.

mod auth;
mod body;
mod build;
mod dialogue;
pub mod dsn;
mod headers;
mod limits;
pub mod marker;
mod quote;
mod relay;
pub(crate) mod reports;
mod settings;
mod template;
#[cfg(test)]
mod tests;
pub mod verp;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use solmu_connector::{
    OauthConfig, ObjectStore,
    outbound::{LaneLimits, SendOutcome, Sender},
};
use solmu_domain::{clock::SharedClock, signed::Signer};
use solmu_proto::{
    outbound::v1::MessageQueued,
    types::v1::{Attachment, Mailbox},
};

use crate::{
    accounts::{Account, Accounts},
    config::RelayConfig,
    dkim,
};
use solmu_mime::address::Address;

pub use auth::{AccessTokens, TokenError, TokenFuture};
pub use build::{BuildError, Built, build};
use dialogue::NO_SMTPUTF8;
pub use dialogue::{Cause, Failure};
pub use dsn::Notify;
pub use limits::DomainLimits;
pub use relay::Relay;
pub use settings::{Outgoing, OutgoingConfig, OutgoingConfigError};
pub use template::TemplateError;

/// How long a mail waits whose account has no relay: until somebody has configured one.
const NO_RELAY_WAIT: Duration = Duration::from_mins(15);
/// Between an account with a relay of its own and the domain, in the name of a lane. No domain has it.
const LANE_SEPARATOR: char = '/';

/// What a [`MailSender`] is made of.
pub struct SenderParts<'a> {
    /// Our mailboxes.
    pub accounts: Arc<Accounts>,
    /// Makes our signatures.
    pub signer: Signer,
    /// Where files are.
    pub store: ObjectStore,
    /// The time.
    pub clock: SharedClock,
    /// Largest mail in bytes, as it goes over the line.
    pub max_bytes: usize,
    /// Makes the source of access tokens of a relay.
    pub tokens: &'a dyn Fn(&OauthConfig) -> Arc<dyn AccessTokens>,
}

impl fmt::Debug for SenderParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SenderParts").finish_non_exhaustive()
    }
}

/// Sends the mail of all accounts.
#[derive(Debug)]
pub struct MailSender {
    accounts: Arc<Accounts>,
    relays: HashMap<String, Arc<Relay>>,
    signer: Signer,
    store: ObjectStore,
    clock: SharedClock,
    max_bytes: usize,
    dkim: Arc<solmu_mailauth::Signer>,
}

impl MailSender {
    /// A sender with a pool of connections for each relay: accounts that log in to the same one share it.
    #[must_use]
    pub fn new(parts: SenderParts<'_>) -> Self {
        let mut pools: HashMap<(String, u16, String), Arc<Relay>> = HashMap::new();
        let hostname = parts.accounts.hostname();
        let mut pool = |config: &RelayConfig| {
            let key = (config.host.clone(), config.port, config.username.clone());
            let made = pools.entry(key).or_insert_with(|| {
                let tokens = config.oauth.as_ref().map(parts.tokens);
                Arc::new(Relay::new(config.clone(), hostname, tokens))
            });
            Arc::clone(made)
        };
        let relays = parts
            .accounts
            .all()
            .iter()
            .filter_map(|account| Some((account.name.clone(), pool(account.relay.as_ref()?))))
            .collect();
        Self {
            relays,
            accounts: parts.accounts,
            signer: parts.signer,
            store: parts.store,
            clock: parts.clock,
            max_bytes: parts.max_bytes,
            dkim: Arc::default(),
        }
    }

    /// Signs what it sends with these keys.
    #[must_use]
    pub fn with_dkim(mut self, keys: solmu_mailauth::Signer) -> Self {
        self.dkim = Arc::new(keys);
        self
    }

    async fn try_send(&self, message: &MessageQueued) -> Result<String, SendOutcome> {
        let Some(account) = self.accounts.named(&message.account) else {
            return Err(SendOutcome::failed(
                "unknown_account",
                "the account is not configured any more",
            ));
        };
        let Some(relay) = self.relays.get(&account.name) else {
            let (code, text) = (
                "no_relay".to_owned(),
                "no relay is configured for the account".to_owned(),
            );
            return Err(SendOutcome::Retry {
                after: Some(NO_RELAY_WAIT),
                code,
                text,
            });
        };
        self.fits(least_size(message))?;
        let files = self.files(&message.attachments).await?;
        let built = self.built(message, account, files.clone()).await?;
        let built = match Box::pin(relay.deliver(&built)).await {
            Ok(()) => return Ok(built.message_id),
            // The relay takes ASCII only, and a copy is not worth the customer's answer.
            Err(Failure::Failed(cause))
                if cause.code == NO_SMTPUTF8 && built.only_copies_need_utf8() =>
            {
                let without = MessageQueued {
                    cc: ascii_only(&message.cc),
                    ..message.clone()
                };
                self.built(&without, account, files).await?
            }
            Err(failure) => return Err(failure.into_outcome()),
        };
        match Box::pin(relay.deliver(&built)).await {
            Ok(()) => Ok(built.message_id),
            Err(failure) => Err(failure.into_outcome()),
        }
    }

    /// The mail as it goes out.
    async fn built(
        &self,
        message: &MessageQueued,
        account: &Account,
        files: Vec<(Attachment, Bytes)>,
    ) -> Result<Built, SendOutcome> {
        let now = self.clock.now();
        let built = build(message, account, &self.accounts, &self.signer, now, files)
            .map_err(|error| SendOutcome::failed(error.code(), error.to_string()))?;
        self.sealed(built).await
    }

    /// The last change to a mail: after this its bytes are final. What signs the whole mail (DKIM) belongs here.
    async fn sealed(&self, mut built: Built) -> Result<Built, SendOutcome> {
        built.bytes = dkim::sign(&self.dkim, built.bytes, self.clock.now()).await?;
        self.fits(built.bytes.len())?;
        Ok(built)
    }

    /// Says no before anything is connected: a relay would only say so after it had read all of it.
    fn fits(&self, size: usize) -> Result<(), SendOutcome> {
        if size <= self.max_bytes {
            return Ok(());
        }
        let limit = self.max_bytes;
        Err(SendOutcome::failed(
            "too_large",
            format!("the mail has {size} bytes with its files, and the limit is {limit}"),
        ))
    }

    async fn files(
        &self,
        attachments: &[Attachment],
    ) -> Result<Vec<(Attachment, Bytes)>, SendOutcome> {
        let mut files = Vec::with_capacity(attachments.len());
        for attachment in attachments {
            let bytes = self
                .store
                .get(&attachment.object_key)
                .await
                .map_err(|error| {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "an attachment could not be read"
                    );
                    SendOutcome::retry(
                        "attachment_unavailable",
                        "an attachment could not be read from the store",
                    )
                })?;
            files.push((attachment.clone(), bytes));
        }
        Ok(files)
    }
}

impl Sender for MailSender {
    async fn send(&self, message: &MessageQueued) -> SendOutcome {
        match self.try_send(message).await {
            Ok(external_id) => SendOutcome::Sent { external_id },
            Err(outcome) => outcome,
        }
    }

    /// The domain of the recipient; mail of an account with a relay of its own has lanes of its own.
    fn lane(&self, message: &MessageQueued) -> String {
        let domain = message
            .recipient
            .as_ref()
            .and_then(|identity| Address::parse(&identity.value).ok())
            .map(|address| address.domain().to_owned())
            .unwrap_or_default();
        match self.accounts.named(&message.account) {
            Some(account) if account.own_relay => {
                format!("{}{LANE_SEPARATOR}{domain}", account.name)
            }
            _ => domain,
        }
    }

    fn lane_limits(&self, lane: &str) -> LaneLimits {
        let relay = match lane.split_once(LANE_SEPARATOR) {
            Some((account, _)) => self
                .accounts
                .named(account)
                .and_then(|account| account.relay.as_ref()),
            None => self
                .accounts
                .all()
                .iter()
                .find(|account| !account.own_relay)
                .and_then(|account| account.relay.as_ref()),
        };
        relay.map_or_else(LaneLimits::default, |relay| {
            relay.limits.lane(relay.connections)
        })
    }

    /// Answers to forms name no account.
    fn default_account(&self) -> String {
        self.accounts
            .default_account()
            .map(|account| account.name.clone())
            .unwrap_or_default()
    }
}

fn ascii_only(copies: &[Mailbox]) -> Vec<Mailbox> {
    let is_ascii = |copy: &&Mailbox| {
        Address::parse(&copy.address).is_ok_and(|address| address.local().is_ascii())
    };
    copies.iter().filter(is_ascii).cloned().collect()
}

/// Bytes that the mail will have at least: files grow by a third (base64, RFC 2045 section 6.8).
fn least_size(message: &MessageQueued) -> usize {
    let files: u64 = message
        .attachments
        .iter()
        .map(|file| u64::try_from(file.size_bytes).unwrap_or(0))
        .fold(0, u64::saturating_add);
    usize::try_from(files.saturating_mul(4) / 3)
        .unwrap_or(usize::MAX)
        .saturating_add(message.text.len())
        .saturating_add(message.html.len())
}

//! Answers, by SMTP to a configured relay.
//!
//! A mail is never sent twice on a guess: only what certainly was not taken is tried again. What is certain is decided
//! by where in the dialogue it broke, which is why the dialogue is led here and not by lettre's own transport.

mod build;
mod relay;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use solmu_connector::{
    ObjectStore,
    outbound::{SendOutcome, Sender},
};
use solmu_domain::{clock::SharedClock, signed::Signer};
use solmu_proto::{outbound::v1::MessageQueued, types::v1::Attachment};

use crate::accounts::{Account, Accounts};

pub use build::{BuildError, Built, build};
pub use relay::{Failure, Relay};

/// How long a mail waits whose account has no relay: until somebody has configured one.
const NO_RELAY_WAIT: Duration = Duration::from_mins(15);

/// Sends the mail of all accounts.
#[derive(Debug)]
pub struct MailSender {
    accounts: Arc<Accounts>,
    relays: HashMap<String, Relay>,
    signer: Signer,
    store: ObjectStore,
    clock: SharedClock,
}

impl MailSender {
    /// A sender with a pool of connections for each account that has a relay.
    #[must_use]
    pub fn new(
        accounts: Arc<Accounts>,
        signer: Signer,
        store: ObjectStore,
        clock: SharedClock,
    ) -> Self {
        let pool = |account: &Arc<Account>| {
            let relay = Relay::new(account.relay.clone()?, accounts.hostname());
            Some((account.name.clone(), relay))
        };
        let relays = accounts.all().iter().filter_map(pool).collect();
        Self {
            accounts,
            relays,
            signer,
            store,
            clock,
        }
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
        let files = self.files(&message.attachments).await?;
        let built = build(
            message,
            account,
            &self.accounts,
            &self.signer,
            self.clock.now(),
            files,
        )
        .map_err(|error| SendOutcome::failed(error.code(), error.to_string()))?;
        match Box::pin(relay.deliver(&built)).await {
            Ok(()) => Ok(built.message_id),
            Err(failure) => Err(failure.into_outcome()),
        }
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

    /// Answers to forms name no account.
    fn default_account(&self) -> String {
        self.accounts
            .default_account()
            .map(|account| account.name.clone())
            .unwrap_or_default()
    }
}

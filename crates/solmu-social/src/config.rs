//! Configuration of the social connectors.
//!
//! What is configured is checked once, here: an account without a secret would accept what anybody sends, so it is an
//! error at start and not a warning.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_connector::{
    http::HttpError,
    outbound::OutboundConfig,
    signature::{SecretError, WebhookSecrets},
};
use solmu_runtime::config::Secret;

/// The social connectors: WhatsApp Cloud API and Telegram bots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// WhatsApp numbers.
    pub whatsapp: WhatsappConfig,
    /// Telegram bots.
    pub telegram: TelegramConfig,
    /// Largest webhook request, in bytes. Meta sends up to a thousand events in one.
    pub max_body_bytes: usize,
    /// How answers are sent.
    pub outbound: OutboundConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            whatsapp: WhatsappConfig::default(),
            telegram: TelegramConfig::default(),
            max_body_bytes: 3 * 1024 * 1024,
            outbound: OutboundConfig::default(),
        }
    }
}

/// WhatsApp Cloud API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WhatsappConfig {
    /// Where the Graph API is.
    pub base_url: String,
    /// Version of the Graph API.
    pub api_version: String,
    /// Our numbers.
    pub accounts: Vec<WhatsappAccount>,
}

impl Default for WhatsappConfig {
    fn default() -> Self {
        Self {
            base_url: "https://graph.facebook.com".to_owned(),
            api_version: "v26.0".to_owned(),
            accounts: Vec::new(),
        }
    }
}

/// One WhatsApp number of ours. Its webhook is `/webhooks/whatsapp/<name>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WhatsappAccount {
    /// Stable name, part of every message's unique key: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Meta's id of the number.
    pub phone_number_id: String,
    /// Secret of the Meta app, which signs webhooks.
    pub app_secret: Secret,
    /// The secret before, while it is being changed.
    pub previous_app_secret: Secret,
    /// Token that Meta shows when the webhook is set up.
    pub verify_token: Secret,
    /// Access token for sending. Without it the number only receives.
    pub access_token: Secret,
}

/// Telegram Bot API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelegramConfig {
    /// Where the Bot API is.
    pub base_url: String,
    /// Our bots.
    pub accounts: Vec<TelegramAccount>,
}

impl Default for TelegramConfig {
    fn default() -> Self {
        Self {
            base_url: "https://api.telegram.org".to_owned(),
            accounts: Vec::new(),
        }
    }
}

/// One Telegram bot of ours. Its webhook is `/webhooks/telegram/<name>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelegramAccount {
    /// Stable name, part of every message's unique key: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Token that was given to `setWebhook` as `secret_token`: 1 to 256 of `A-Z a-z 0-9 _ -`.
    pub secret_token: Secret,
    /// The token before, while it is being changed.
    pub previous_secret_token: Secret,
    /// Token of the bot, for sending. Without it the bot only receives.
    pub bot_token: Secret,
}

/// A configuration that would not be safe or would not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A webhook without a secret would accept everything.
    #[error("account '{account}' of {channel} cannot verify its webhooks")]
    Secret {
        /// Which vendor.
        channel: &'static str,
        /// Which account.
        account: String,
        /// What is wrong with the secret.
        #[source]
        source: SecretError,
    },
    /// A field that must be set is not, or cannot be used.
    #[error("account '{account}' of {channel}: {what}")]
    Account {
        /// Which vendor.
        channel: &'static str,
        /// Which account.
        account: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A base URL is no URL, or no client can be made.
    #[error("the base URL of {channel} cannot be used")]
    Http {
        /// Which vendor.
        channel: &'static str,
        /// What is wrong.
        #[source]
        source: HttpError,
    },
}

/// A checked WhatsApp account.
#[derive(Debug, Clone)]
pub(crate) struct Whatsapp {
    pub(crate) name: String,
    pub(crate) phone_number_id: String,
    pub(crate) secrets: WebhookSecrets,
    pub(crate) verify_token: Secret,
    pub(crate) access_token: Secret,
}

/// A checked Telegram account.
#[derive(Debug, Clone)]
pub(crate) struct Telegram {
    pub(crate) name: String,
    pub(crate) secrets: WebhookSecrets,
    pub(crate) bot_token: Secret,
}

impl WhatsappConfig {
    pub(crate) fn checked(&self) -> Result<Vec<Whatsapp>, Error> {
        const CHANNEL: &str = "whatsapp";
        check_names(
            CHANNEL,
            self.accounts.iter().map(|account| account.name.as_str()),
        )?;
        let mut numbers = HashSet::new();
        self.accounts
            .iter()
            .map(|account| {
                let problem = |what| Error::Account {
                    channel: CHANNEL,
                    account: account.name.clone(),
                    what,
                };
                if account.phone_number_id.is_empty() {
                    return Err(problem("phone_number_id is not set"));
                }
                if !numbers.insert(account.phone_number_id.as_str()) {
                    return Err(problem("phone_number_id is used by another account"));
                }
                if account.verify_token.is_empty() {
                    return Err(problem("verify_token is not set"));
                }
                Ok(Whatsapp {
                    name: account.name.clone(),
                    phone_number_id: account.phone_number_id.clone(),
                    secrets: secrets(
                        CHANNEL,
                        &account.name,
                        &account.app_secret,
                        &account.previous_app_secret,
                    )?,
                    verify_token: account.verify_token.clone(),
                    access_token: account.access_token.clone(),
                })
            })
            .collect()
    }
}

impl TelegramConfig {
    pub(crate) fn checked(&self) -> Result<Vec<Telegram>, Error> {
        const CHANNEL: &str = "telegram";
        check_names(
            CHANNEL,
            self.accounts.iter().map(|account| account.name.as_str()),
        )?;
        self.accounts
            .iter()
            .map(|account| {
                Ok(Telegram {
                    name: account.name.clone(),
                    secrets: secrets(
                        CHANNEL,
                        &account.name,
                        &account.secret_token,
                        &account.previous_secret_token,
                    )?,
                    bot_token: account.bot_token.clone(),
                })
            })
            .collect()
    }
}

/// The secrets of an account: the present one must be set.
fn secrets(
    channel: &'static str,
    account: &str,
    present: &Secret,
    previous: &Secret,
) -> Result<WebhookSecrets, Error> {
    let failed = |source| Error::Secret {
        channel,
        account: account.to_owned(),
        source,
    };
    if present.is_empty() {
        return Err(failed(SecretError::None));
    }
    let all = [present, previous]
        .into_iter()
        .filter(|secret| !secret.is_empty())
        .map(Secret::expose);
    WebhookSecrets::new(all).map_err(failed)
}

fn check_names<'a>(
    channel: &'static str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for name in names {
        let problem = |what| Error::Account {
            channel,
            account: name.to_owned(),
            what,
        };
        let legal = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        };
        if name.is_empty() || name.len() > 64 || !name.bytes().all(legal) {
            return Err(problem("the name must be 1 to 64 of a-z, 0-9, '-' and '_'"));
        }
        if !seen.insert(name) {
            return Err(problem("the name is used twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whatsapp(change: impl FnOnce(&mut WhatsappAccount)) -> Result<Vec<Whatsapp>, Error> {
        let mut account = WhatsappAccount {
            name: "main".to_owned(),
            phone_number_id: "1".to_owned(),
            app_secret: "s".into(),
            verify_token: "v".into(),
            ..WhatsappAccount::default()
        };
        change(&mut account);
        WhatsappConfig {
            accounts: vec![account],
            ..WhatsappConfig::default()
        }
        .checked()
    }

    #[test]
    fn accounts_that_can_verify_are_taken() {
        assert_eq!(whatsapp(|_| {}).unwrap().len(), 1);
    }

    #[test]
    fn an_account_without_a_secret_refuses_to_start() {
        let without = |account: &mut WhatsappAccount| {
            account.app_secret = Secret::default();
            account.previous_app_secret = "old".into();
        };
        assert!(matches!(
            whatsapp(without),
            Err(Error::Secret {
                source: SecretError::None,
                ..
            })
        ));
        let bot = TelegramAccount {
            name: "bot".to_owned(),
            bot_token: "t".into(),
            ..TelegramAccount::default()
        };
        let config = TelegramConfig {
            accounts: vec![bot],
            ..TelegramConfig::default()
        };
        let error = config.checked().unwrap_err();
        assert_eq!(
            error.to_string(),
            "account 'bot' of telegram cannot verify its webhooks"
        );
    }

    #[test]
    fn half_configured_accounts_say_what_is_missing() {
        assert!(whatsapp(|account| account.phone_number_id.clear()).is_err());
        assert!(whatsapp(|account| account.verify_token = Secret::default()).is_err());
        for name in ["", "Main", "a/b", "ä"] {
            assert!(
                whatsapp(|account| account.name = name.to_owned()).is_err(),
                "{name}"
            );
        }
        let bot = || TelegramAccount {
            name: "b".to_owned(),
            secret_token: "s".into(),
            ..TelegramAccount::default()
        };
        let twice = TelegramConfig {
            accounts: vec![bot(), bot()],
            ..TelegramConfig::default()
        };
        assert!(
            twice
                .checked()
                .unwrap_err()
                .to_string()
                .contains("used twice")
        );
    }
}

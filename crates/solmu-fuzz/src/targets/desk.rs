//! A helpdesk for readers that need one: keys, accounts, limits.

use std::sync::Arc;

use jiff::Timestamp;
use solmu_domain::signed::Signer;
use solmu_email::{
    Accounts, Config, accounts::Account, config::AccountConfig, outgoing::OutgoingConfig,
};
use solmu_mime::parse::ParseLimits;

/// What readers share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) signer: Signer,
    pub(super) accounts: Arc<Accounts>,
    pub(super) account: Arc<Account>,
    pub(super) limits: ParseLimits,
    pub(super) small: ParseLimits,
}

impl Default for Desk {
    fn default() -> Self {
        let signer = signer();
        let accounts = Arc::new(
            Accounts::new(&config(), &signer).expect("the configuration was written for this"),
        );
        let account = Arc::clone(accounts.named("main").expect("it is configured"));
        Self {
            signer,
            accounts,
            account,
            limits: ParseLimits::default(),
            small: ParseLimits {
                parts: 6,
                depth: 3,
                header_bytes: 300,
                references: 2,
                mailboxes: 2,
                text_bytes: 120,
                html_bytes: 120,
                attachments: 2,
                attached_text_bytes: 40,
            },
        }
    }
}

/// Always the same: an input must be read the same way again.
pub(super) fn signer() -> Signer {
    Signer::new([("a".to_owned(), vec![1; 32])]).expect("id and length are right")
}

pub(super) fn config() -> Config {
    let account = |name: &str| AccountConfig {
        name: name.to_owned(),
        addresses: vec![format!("{name}@desk.example")],
        display_name: "Support, \"the\" desk".to_owned(),
        default: name == "main",
        outgoing: OutgoingConfig {
            bounce_domain: "bounces.example".to_owned(),
            body_marker: true,
            unsubscribe_url: "https://desk.example/stop?m={message}".to_owned(),
            ..OutgoingConfig::default()
        },
        ..AccountConfig::default()
    };
    Config {
        accounts: vec![account("main"), account("sales")],
        ..Config::default()
    }
}

/// When everything happens.
pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_793_606_400).expect("a time in 2026")
}

//! Settings of the ticket service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The ticket service: files messages, keeps contacts and tickets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Days after which a resolved ticket closes itself. A reply before that reopens it.
    pub close_after_days: u32,
    /// Events filed in one transaction at most.
    pub batch_events: usize,
    /// How long the filer gathers after the first event, in milliseconds.
    pub linger_ms: u64,
    /// Failed attempts after which an event is dead-lettered.
    pub max_attempts: u32,
    /// Mail domains that many people share: a common domain makes nobody a colleague of a participant.
    pub public_mail_domains: Vec<String>,
    /// Tickets in a page of a list at most.
    pub max_page_size: u32,
    /// Open watch streams at most.
    pub max_watchers: usize,
}

impl Default for Config {
    fn default() -> Self {
        let public = [
            "gmail.com",
            "googlemail.com",
            "outlook.com",
            "hotmail.com",
            "live.com",
            "msn.com",
            "yahoo.com",
            "icloud.com",
            "me.com",
            "proton.me",
            "protonmail.com",
            "gmx.com",
            "gmx.de",
            "web.de",
            "mail.ru",
            "yandex.ru",
            "aol.com",
            "qq.com",
            "163.com",
            "elisanet.fi",
            "kolumbus.fi",
            "luukku.com",
            "suomi24.fi",
        ];
        Self {
            close_after_days: 7,
            batch_events: 200,
            linger_ms: 10,
            max_attempts: 6,
            public_mail_domains: public.map(str::to_owned).to_vec(),
            max_page_size: 500,
            max_watchers: 200,
        }
    }
}

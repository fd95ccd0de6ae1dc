//! What the demo must know of the system that it writes to: addresses, and the secrets of the demo accounts, read from
//! the configuration that the first `solmu serve` wrote into its data directory.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::DemoArgs;
use crate::local::{LocalConfig, Relay, VendorAccount};

const SMTP: &str = "127.0.0.1:2525";
const HTTP: &str = "http://127.0.0.1:7311";
/// Where the demo's configuration sends our mail, and the calls of WhatsApp's and Telegram's APIs.
const RELAY: &str = "127.0.0.1:2526";
const VENDORS: &str = "127.0.0.1:7391";
const RECIPIENT: &str = "support@desk.example";

/// Where to write to, as whom, and where the answers come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DemoSettings {
    /// `host:port` of the SMTP server.
    pub(crate) smtp: String,
    /// Base URL of the HTTP server, without a slash at its end.
    pub(crate) http: String,
    /// The address of ours that customers write to.
    pub(crate) recipient: String,
    /// Where the demo takes our outgoing mail.
    pub(crate) relay: SocketAddr,
    /// Where the demo stands in for the vendors' APIs.
    pub(crate) vendors: SocketAddr,
    pub(crate) whatsapp: Option<WhatsappSettings>,
    pub(crate) telegram: Option<TelegramSettings>,
    pub(crate) inbox: String,
    pub(crate) form: String,
}

/// A WhatsApp account of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WhatsappSettings {
    pub(crate) account: String,
    pub(crate) phone_number_id: String,
    pub(crate) app_secret: String,
}

/// A Telegram bot of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TelegramSettings {
    pub(crate) account: String,
    pub(crate) secret_token: String,
}

impl DemoSettings {
    /// Flags win over the configuration file, which wins over the defaults. Without a file, only what needs no secret
    /// can be shown.
    pub(crate) fn load(arguments: &DemoArgs, data: &Path) -> anyhow::Result<Self> {
        let config = match &arguments.settings {
            Some(path) => LocalConfig::of_file(path)?,
            None => LocalConfig::of_data(data)?,
        };
        Self::of(config, arguments)
    }

    fn of(config: LocalConfig, arguments: &DemoArgs) -> anyhow::Result<Self> {
        let or = |flag: &Option<String>, configured: Option<String>, default: &str| {
            flag.clone()
                .or(configured)
                .unwrap_or_else(|| default.to_owned())
        };
        let http = or(&arguments.http, config.http(), HTTP);
        let (smtp, recipient) = (config.smtp(), config.recipient());
        let LocalConfig {
            email,
            social,
            chat,
            ..
        } = config;
        let vendors = [&social.whatsapp.base_url, &social.telegram.base_url]
            .into_iter()
            .find_map(|url| loopback(url));
        Ok(Self {
            smtp: or(&arguments.smtp, smtp, SMTP),
            http: http.trim_end_matches('/').to_owned(),
            recipient: or(&arguments.to, recipient, RECIPIENT),
            relay: address(email.relay.as_ref().and_then(Relay::loopback), RELAY)?,
            vendors: address(vendors, VENDORS)?,
            whatsapp: social
                .whatsapp
                .accounts
                .into_iter()
                .next()
                .map(VendorAccount::whatsapp)
                .transpose()?,
            telegram: social
                .telegram
                .accounts
                .into_iter()
                .next()
                .map(VendorAccount::telegram)
                .transpose()?,
            inbox: chat
                .inboxes
                .into_iter()
                .next()
                .map_or_else(|| "main".to_owned(), |inbox| inbox.name),
            form: "contact".to_owned(),
        })
    }
}

impl Relay {
    /// The relay, if it is on this machine: the demo never listens where others can write to.
    fn loopback(&self) -> Option<SocketAddr> {
        let host = if self.host == "localhost" {
            "127.0.0.1"
        } else {
            &self.host
        };
        let address = SocketAddr::new(host.parse().ok()?, self.port);
        address.ip().is_loopback().then_some(address)
    }
}

impl VendorAccount {
    fn whatsapp(self) -> anyhow::Result<WhatsappSettings> {
        let app_secret = secret("app_secret", self.app_secret, self.app_secret_file)?;
        Ok(WhatsappSettings {
            account: self.name,
            phone_number_id: self.phone_number_id,
            app_secret,
        })
    }

    fn telegram(self) -> anyhow::Result<TelegramSettings> {
        let secret_token = secret("secret_token", self.secret_token, self.secret_token_file)?;
        Ok(TelegramSettings {
            account: self.name,
            secret_token,
        })
    }
}

fn secret(name: &str, value: String, file: Option<PathBuf>) -> anyhow::Result<String> {
    match file {
        Some(path) => {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {name}_file '{}'", path.display()))?;
            Ok(text.trim().to_owned())
        }
        None => Ok(value),
    }
}

/// The address of an `http://` base URL on this machine.
fn loopback(url: &str) -> Option<SocketAddr> {
    let host = url.strip_prefix("http://")?.split('/').next()?;
    let address: SocketAddr = host.replace("localhost", "127.0.0.1").parse().ok()?;
    address.ip().is_loopback().then_some(address)
}

fn address(configured: Option<SocketAddr>, default: &str) -> anyhow::Result<SocketAddr> {
    configured.map_or_else(|| Ok(default.parse()?), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, arguments: &DemoArgs) -> anyhow::Result<DemoSettings> {
        DemoSettings::of(LocalConfig::parse(text)?, arguments)
    }

    #[test]
    fn without_a_file_the_defaults_hold() {
        let settings = of("", &DemoArgs::default()).unwrap();
        assert_eq!(
            (settings.smtp.as_str(), settings.http.as_str()),
            (SMTP, HTTP)
        );
        assert_eq!(settings.relay.to_string(), RELAY);
        assert_eq!(settings.vendors.to_string(), VENDORS);
        assert_eq!((settings.whatsapp, settings.inbox.as_str()), (None, "main"));
    }

    #[test]
    fn the_file_names_accounts_and_ports() {
        let text = r#"
            [email]
            listen = "127.0.0.1:4525"
            [[email.accounts]]
            name = "main"
            addresses = ["help@desk.example", "support@desk.example"]
            [email.relay]
            host = "localhost"
            port = 4526
            tls = "none"
            [social.whatsapp]
            base_url = "http://localhost:4391/"
            [[social.whatsapp.accounts]]
            name = "main"
            phone_number_id = "1065"
            app_secret = "s3"
            verify_token = "v"
            [[social.telegram.accounts]]
            name = "bot"
            secret_token = "t"
            [chat]
            inboxes = [{ name = "web" }]
            [surely_unknown]
            a = 1
        "#;
        let settings = of(text, &DemoArgs::default()).unwrap();
        assert_eq!(
            (settings.smtp.as_str(), settings.recipient.as_str()),
            ("127.0.0.1:4525", "help@desk.example")
        );
        assert_eq!(
            (settings.relay.port(), settings.vendors.port()),
            (4526, 4391)
        );
        assert_eq!(settings.whatsapp.unwrap().phone_number_id, "1065");
        assert_eq!(settings.telegram.unwrap().secret_token, "t");
        assert_eq!(settings.inbox, "web");
        let flags = DemoArgs {
            smtp: Some("h:1".to_owned()),
            http: Some("http://h/".to_owned()),
            ..DemoArgs::default()
        };
        let settings = of(text, &flags).unwrap();
        assert_eq!(
            (settings.smtp.as_str(), settings.http.as_str()),
            ("h:1", "http://h")
        );
    }

    #[test]
    fn the_demo_listens_on_loopback_only() {
        let text = "[email.relay]\nhost = \"mail.example\"\nport = 25\n[social.whatsapp]\nbase_url = \"https://graph.facebook.com\"";
        let settings = of(text, &DemoArgs::default()).unwrap();
        assert_eq!(
            (settings.relay.to_string(), settings.vendors.to_string()),
            (RELAY.to_owned(), VENDORS.to_owned())
        );
    }
}

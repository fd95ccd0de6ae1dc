//! What the demo must know of the system that it writes to: addresses, and the secrets of the demo accounts, read from
//! the configuration that the first `solmu serve` wrote into its data directory.
//!
//! Only the few keys that are needed are read, and unknown ones are no error: the server checks its configuration
//! itself, and this file may be of a newer one.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use serde::Deserialize;

use super::DemoArgs;

const CONFIG_FILE: &str = "solmu.toml";
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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    email: Email,
    social: Social,
    chat: Chat,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Email {
    listen: Option<SocketAddr>,
    accounts: Vec<EmailAccount>,
    relay: Option<Relay>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EmailAccount {
    addresses: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Relay {
    host: String,
    port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Social {
    whatsapp: Vendor,
    telegram: Vendor,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Vendor {
    base_url: String,
    accounts: Vec<VendorAccount>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VendorAccount {
    name: String,
    phone_number_id: String,
    app_secret: String,
    app_secret_file: Option<PathBuf>,
    secret_token: String,
    secret_token_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chat {
    inboxes: Vec<Inbox>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Inbox {
    name: String,
}

impl DemoSettings {
    /// Flags win over the configuration file, which wins over the defaults. Without a file, only what needs no secret
    /// can be shown.
    pub(crate) fn load(arguments: &DemoArgs, data: &Path) -> anyhow::Result<Self> {
        let path = arguments
            .settings
            .clone()
            .unwrap_or_else(|| data.join(CONFIG_FILE));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound && arguments.settings.is_none() =>
            {
                String::new()
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read '{}'", path.display()));
            }
        };
        Self::of(&text, arguments).with_context(|| format!("cannot use '{}'", path.display()))
    }

    fn of(text: &str, arguments: &DemoArgs) -> anyhow::Result<Self> {
        // Not the whole error, which quotes the line: it may hold a secret.
        let file: File = toml::from_str(text).map_err(|error| anyhow!("{}", error.message()))?;
        let File {
            email,
            social,
            chat,
        } = file;
        let first = |email: &Email| {
            email
                .accounts
                .first()
                .and_then(|account| account.addresses.first())
                .cloned()
        };
        let smtp = arguments
            .smtp
            .clone()
            .or_else(|| email.listen.map(|address| address.to_string()));
        let http = arguments.http.clone().unwrap_or_else(|| HTTP.to_owned());
        let vendors = [&social.whatsapp.base_url, &social.telegram.base_url]
            .into_iter()
            .find_map(|url| loopback(url));
        Ok(Self {
            smtp: smtp.unwrap_or_else(|| SMTP.to_owned()),
            http: http.trim_end_matches('/').to_owned(),
            recipient: arguments
                .to
                .clone()
                .or_else(|| first(&email))
                .unwrap_or_else(|| RECIPIENT.to_owned()),
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

    #[test]
    fn without_a_file_the_defaults_hold() {
        let settings = DemoSettings::of("", &DemoArgs::default()).unwrap();
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
        let settings = DemoSettings::of(text, &DemoArgs::default()).unwrap();
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
        let settings = DemoSettings::of(text, &flags).unwrap();
        assert_eq!(
            (settings.smtp.as_str(), settings.http.as_str()),
            ("h:1", "http://h")
        );
    }

    #[test]
    fn the_demo_listens_on_loopback_only_and_shows_no_secret() {
        let text = "[email.relay]\nhost = \"mail.example\"\nport = 25\n[social.whatsapp]\nbase_url = \"https://graph.facebook.com\"";
        let settings = DemoSettings::of(text, &DemoArgs::default()).unwrap();
        assert_eq!(
            (settings.relay.to_string(), settings.vendors.to_string()),
            (RELAY.to_owned(), VENDORS.to_owned())
        );
        let error = DemoSettings::of("[social\napp_secret = \"hunter2\"", &DemoArgs::default())
            .unwrap_err();
        assert!(!format!("{error:#}").contains("hunter2"));
    }
}

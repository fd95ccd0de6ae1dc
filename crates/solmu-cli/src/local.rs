//! What the configuration of a `solmu serve` on this machine says: addresses to talk to, and the demo's accounts.
//!
//! Only the few keys that are needed are read, and unknown ones are no error: the server checks its configuration
//! itself, and this file may be of a newer one. What it was told by flags or by the environment stands elsewhere; then
//! the same has to be told here.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use serde::Deserialize;

/// The file in the data directory.
const FILE: &str = "solmu.toml";

/// The keys that are looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LocalConfig {
    pub(crate) server: Server,
    pub(crate) email: Email,
    pub(crate) social: Social,
    pub(crate) chat: Chat,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Server {
    grpc_address: Option<SocketAddr>,
    http_address: Option<SocketAddr>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Email {
    listen: Option<SocketAddr>,
    accounts: Vec<EmailAccount>,
    pub(crate) relay: Option<Relay>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EmailAccount {
    name: String,
    addresses: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Relay {
    pub(crate) host: String,
    pub(crate) port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Social {
    pub(crate) whatsapp: Vendor,
    pub(crate) telegram: Vendor,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Vendor {
    pub(crate) base_url: String,
    pub(crate) accounts: Vec<VendorAccount>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct VendorAccount {
    pub(crate) name: String,
    pub(crate) phone_number_id: String,
    pub(crate) app_secret: String,
    pub(crate) app_secret_file: Option<PathBuf>,
    pub(crate) secret_token: String,
    pub(crate) secret_token_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Chat {
    pub(crate) inboxes: Vec<Inbox>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Inbox {
    pub(crate) name: String,
}

impl LocalConfig {
    /// The configuration of a data directory; empty if there is none.
    pub fn of_data(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                Self::parse(&text).with_context(|| format!("cannot use '{}'", path.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read '{}'", path.display())),
        }
    }

    /// A configuration file that somebody named.
    pub(crate) fn of_file(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read '{}'", path.display()))?;
        Self::parse(&text).with_context(|| format!("cannot use '{}'", path.display()))
    }

    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        // Not the whole error, which quotes the line: it may hold a secret.
        toml::from_str(text).map_err(|error| anyhow!("{}", error.message()))
    }

    /// Base URL of the gRPC API.
    pub(crate) fn grpc(&self) -> Option<String> {
        self.server
            .grpc_address
            .map(|address| format!("http://{}", reachable(address)))
    }

    /// Base URL of webhooks, chat and forms.
    pub(crate) fn http(&self) -> Option<String> {
        self.server
            .http_address
            .map(|address| format!("http://{}", reachable(address)))
    }

    /// `host:port` of the SMTP server.
    #[must_use]
    pub fn smtp(&self) -> Option<String> {
        self.email
            .listen
            .map(|address| reachable(address).to_string())
    }

    /// The first address of the first e-mail account.
    #[must_use]
    pub fn recipient(&self) -> Option<String> {
        self.email.accounts.first()?.addresses.first().cloned()
    }

    /// The name of the first e-mail account.
    #[must_use]
    pub fn account(&self) -> Option<String> {
        self.email
            .accounts
            .first()
            .map(|account| account.name.clone())
    }
}

/// Where a listener on all addresses can be reached from here.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let any = listens.ip().is_unspecified();
    if any {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listens.port())
    } else {
        listens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_can_be_reached_from_here() {
        let text = r#"
            [server]
            grpc_address = "0.0.0.0:1"
            http_address = "127.0.0.1:2"
            surely_unknown = true
            [email]
            listen = "[::]:25"
            accounts = [{ name = "main", addresses = ["help@desk.example"] }]
        "#;
        let config = LocalConfig::parse(text).unwrap();
        assert_eq!(config.grpc().unwrap(), "http://127.0.0.1:1");
        assert_eq!(config.http().unwrap(), "http://127.0.0.1:2");
        assert_eq!(config.smtp().unwrap(), "127.0.0.1:25");
        assert_eq!(
            (config.account().unwrap(), config.recipient().unwrap()),
            ("main".to_owned(), "help@desk.example".to_owned())
        );
        assert_eq!(LocalConfig::parse("").unwrap().grpc(), None);
        assert!(
            LocalConfig::of_data(Path::new("/nowhere"))
                .unwrap()
                .smtp()
                .is_none()
        );
    }

    #[test]
    fn no_secret_is_quoted() {
        let error = LocalConfig::parse("[social\napp_secret = \"hunter2\"").unwrap_err();
        assert!(!format!("{error:#}").contains("hunter2"));
    }
}

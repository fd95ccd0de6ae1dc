//! A configuration whose secrets the test knows.

use std::{fmt::Write as _, fs, net::SocketAddr};

use super::Home;

pub(crate) const WHATSAPP_NUMBER: &str = "100000000000042";
pub(crate) const WHATSAPP_SECRET: &str = "whatsapp-app-secret-of-the-test";
pub(crate) const TELEGRAM_SECRET: &str = "telegram-secret-token-of-the-test";

/// What the outside world is reached at.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) relay: Option<SocketAddr>,
    pub(crate) vendors: Option<SocketAddr>,
    pub(crate) otlp: Option<SocketAddr>,
    /// Connections to PostgreSQL of each process, where several share it.
    pub(crate) connections: Option<u32>,
}

impl Settings {
    /// Writes `solmu.toml` before the first start.
    pub(crate) fn write(&self, home: &Home) {
        let mut text = "[nats]\npartitions = 4\n\n[[email.accounts]]\nname = \"main\"\n\
             addresses = [\"support@desk.example\"]\ndisplay_name = \"Support\"\ndefault = true\n"
            .to_owned();
        if let Some(relay) = self.relay {
            write!(
                text,
                "\n[email.relay]\nhost = \"{}\"\nport = {}\ntls = \"none\"\n",
                relay.ip(),
                relay.port()
            )
            .unwrap();
        }
        if let Some(vendors) = self.vendors {
            write!(
                text,
                "\n[social.whatsapp]\nbase_url = \"http://{vendors}\"\n\n[[social.whatsapp.accounts]]\nname = \"main\"\n\
                 phone_number_id = \"{WHATSAPP_NUMBER}\"\napp_secret = \"{WHATSAPP_SECRET}\"\nverify_token = \"v\"\n\
                 access_token = \"a\"\n\n[social.telegram]\nbase_url = \"http://{vendors}\"\n\n\
                 [[social.telegram.accounts]]\nname = \"bot\"\nsecret_token = \"{TELEGRAM_SECRET}\"\n\
                 bot_token = \"1:bot\"\n"
            )
            .unwrap();
        }
        if let Some(otlp) = self.otlp {
            write!(text, "\n[telemetry]\notlp_endpoint = \"http://{otlp}\"\n").unwrap();
        }
        if let Some(connections) = self.connections {
            write!(text, "\n[postgres]\nmax_connections = {connections}\n").unwrap();
        }
        fs::create_dir_all(home.data()).unwrap();
        fs::write(home.data().join("solmu.toml"), text).unwrap();
    }
}

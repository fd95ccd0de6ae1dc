//! Our mailboxes: checked once at start, looked up for every recipient.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use solmu_domain::signed::Signer;
use solmu_proto::types::v1::AutomaticClass;

use crate::{
    config::{AccountConfig, Config, Hold, RelayConfig, Tls},
    mailbox::{self, MailboxProblem},
    outgoing::{Outgoing, OutgoingConfig},
};
use solmu_mime::{
    address::{Address, AddressError},
    reply_address::{ReplyAddress, ReplyAddressError},
};

/// The local part that every domain has to take mail for (RFC 5321 section 4.5.1), in any case.
pub(crate) const POSTMASTER: &str = "postmaster";
/// Characters of an account name.
const NAME_MAX: usize = 64;

/// Something wrong in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No accounts at all.
    #[error("'accounts' is empty: there is nobody to take mail for")]
    NoAccounts,
    /// A name that cannot be part of a key.
    #[error("account name '{0}' must be 1 to {NAME_MAX} characters of a-z, 0-9, '-' and '_'")]
    BadName(String),
    /// Two accounts with one name.
    #[error("there are two accounts named '{0}'")]
    DuplicateName(String),
    /// An account without addresses.
    #[error("account '{0}' has no addresses")]
    NoAddresses(String),
    /// An address that is none.
    #[error("account '{account}': '{address}' is no address")]
    BadAddress {
        /// The account.
        account: String,
        /// What was given.
        address: String,
        /// Why not.
        #[source]
        source: AddressError,
    },
    /// One address in two accounts.
    #[error("'{0}' belongs to two accounts")]
    DuplicateAddress(String),
    /// No signed reply address can be made.
    #[error("account '{account}': replies cannot be signed")]
    ReplyAddress {
        /// The account.
        account: String,
        /// Why not.
        #[source]
        source: ReplyAddressError,
    },
    /// Two defaults.
    #[error("there are two default accounts, '{0}' and '{1}'")]
    TwoDefaults(String, String),
    /// A relay without a host.
    #[error("{0}: the relay has no host")]
    RelayWithoutHost(String),
    /// A user without a password or the other way round.
    #[error("{0}: the relay's user and password belong together")]
    HalfCredentials(String),
    /// A password that would go over the network in the clear.
    #[error("{0}: a password needs 'tls' unless the relay is on this machine")]
    PasswordInTheClear(String),
    /// Settings of a relay's login that cannot be so.
    #[error("{place}: {problem}")]
    Login {
        /// Whose relay.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// What an account says about its outgoing mail cannot be so.
    #[error("account '{account}': {problem}")]
    Outgoing {
        /// The account.
        account: String,
        /// What is wrong.
        problem: String,
    },
    /// Command lines that must be taken would be refused.
    #[error("'smtp.max_command_bytes' must be at least 512")]
    ShortCommands,
    /// Senders cannot be verified as configured.
    #[error("{0}")]
    Authenticity(String),
    /// Settings of the SMTP server that cannot be so.
    #[error("'{0}': {1}")]
    Smtp(&'static str, &'static str),
    /// A mailbox that cannot be read as configured.
    #[error(transparent)]
    Mailbox(#[from] MailboxProblem),
    /// A limit of zero.
    #[error("'{0}' must be more than zero")]
    Zero(&'static str),
}

/// Everything wrong in the configuration, at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                write!(f, ": {cause}")?;
                source = cause.source();
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A mailbox of ours.
#[derive(Debug)]
pub struct Account {
    /// Stable name.
    pub name: String,
    /// At least one.
    pub addresses: Vec<Address>,
    /// What customers see.
    pub display_name: String,
    /// What signed reply addresses are made from.
    pub reply: ReplyAddress,
    /// Where its answers go out.
    pub relay: Option<RelayConfig>,
    /// The relay is its own and not the one of all.
    pub own_relay: bool,
    /// How its mail looks.
    pub outgoing: Outgoing,
    /// Automatic mail that opens no ticket.
    pub hold: Vec<Hold>,
}

impl Account {
    /// Whether mail of `class` opens no ticket by the rule of this account.
    #[must_use]
    pub fn holds(&self, class: AutomaticClass) -> bool {
        self.hold.iter().any(|hold| hold.class() == class)
    }
}

/// All mailboxes.
#[derive(Debug)]
pub struct Accounts {
    list: Vec<Arc<Account>>,
    by_address: HashMap<String, Arc<Account>>,
    default: Option<Arc<Account>>,
    hostname: String,
}

impl Accounts {
    /// Checks the configuration. All errors are reported at once.
    pub fn new(config: &Config, signer: &Signer) -> Result<Self, ConfigErrors> {
        let mut builder = Builder::default();
        builder.limits(config);
        if config.accounts.is_empty() {
            builder.errors.push(ConfigError::NoAccounts);
        }
        if let Some(relay) = &config.relay {
            builder.relay("'relay'", relay);
        }
        for account in &config.accounts {
            builder.account(account, config.relay.as_ref(), signer);
        }
        builder.mailboxes(config);
        builder.finish(&config.hostname)
    }

    /// The account that takes mail for `recipient`: an address of ours, with any plus tag.
    #[must_use]
    pub fn resolve(&self, recipient: &Address) -> Option<&Arc<Account>> {
        self.by_address
            .get(&recipient.normalised())
            .or_else(|| self.by_address.get(&recipient.without_tag()))
    }

    /// The account that takes mail whose envelope names `recipient`: also the postmaster of a domain of ours, who has to
    /// be there whether he is configured or not. His address is not one of ours otherwise: bounces of our own exchanger
    /// come from it.
    #[must_use]
    pub fn for_recipient(&self, recipient: &Address) -> Option<&Arc<Account>> {
        self.resolve(recipient).or_else(|| {
            let is_postmaster = recipient.local().eq_ignore_ascii_case(POSTMASTER);
            let is_of = |account: &&Arc<Account>| {
                let mut domains = account.addresses.iter().map(Address::domain);
                domains.any(|domain| domain.eq_ignore_ascii_case(recipient.domain()))
            };
            let all = self.default.iter().chain(&self.list);
            all.filter(|_| is_postmaster).find(is_of)
        })
    }

    /// The postmaster of this server, for a recipient without a domain.
    #[must_use]
    pub fn postmaster(&self) -> Option<Address> {
        let account = self.default.as_ref().or_else(|| self.list.first())?;
        let domain = account.addresses.first()?.domain();
        Address::parse(&format!("{POSTMASTER}@{domain}")).ok()
    }

    /// Whether an address is one of ours.
    #[must_use]
    pub fn is_own(&self, address: &Address) -> bool {
        self.resolve(address).is_some()
    }

    /// The account of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Account>> {
        self.list.iter().find(|account| account.name == name)
    }

    /// The account for mail whose recipient is not known: the default one, or the only one.
    #[must_use]
    pub fn default_account(&self) -> Option<&Arc<Account>> {
        match (&self.default, self.list.as_slice()) {
            (Some(account), _) | (None, [account]) => Some(account),
            _ => None,
        }
    }

    /// All accounts.
    #[must_use]
    pub fn all(&self) -> &[Arc<Account>] {
        &self.list
    }

    /// Our name for greetings and trace headers.
    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.hostname
    }
}

#[derive(Default)]
struct Builder {
    list: Vec<Arc<Account>>,
    by_address: HashMap<String, Arc<Account>>,
    names: HashSet<String>,
    default: Option<Arc<Account>>,
    errors: Vec<ConfigError>,
}

impl Builder {
    fn limits(&mut self, config: &Config) {
        let smtp = &config.smtp;
        for (name, value) in [
            ("smtp.max_message_bytes", smtp.max_message_bytes),
            ("smtp.max_recipients", smtp.max_recipients),
            ("smtp.max_connections", smtp.max_connections),
            (
                "smtp.max_connections_per_address",
                smtp.max_connections_per_address,
            ),
            ("smtp.max_hops", smtp.max_hops),
            ("parse.parts", config.parse.parts),
            ("parse.header_bytes", config.parse.header_bytes),
            ("parse.text_bytes", config.parse.text_bytes),
        ] {
            if value == 0 {
                self.errors.push(ConfigError::Zero(name));
            }
        }
        let problems = config.authenticity.problems().into_iter();
        self.errors.extend(problems.map(ConfigError::Authenticity));
        let problems = smtp.problems().into_iter();
        self.errors
            .extend(problems.map(|(key, why)| ConfigError::Smtp(key, why)));
        // RFC 5321 section 4.5.3.1.4.
        if smtp.max_command_bytes < 512 {
            self.errors.push(ConfigError::ShortCommands);
        }
    }

    fn account(&mut self, config: &AccountConfig, shared: Option<&RelayConfig>, signer: &Signer) {
        let name = &config.name;
        let legal =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(legal) {
            self.errors.push(ConfigError::BadName(name.clone()));
        }
        if !self.names.insert(name.clone()) {
            self.errors.push(ConfigError::DuplicateName(name.clone()));
        }
        if let Some(relay) = &config.relay {
            self.relay(&format!("account '{name}'"), relay);
        }
        let addresses: Vec<Address> = config
            .addresses
            .iter()
            .filter_map(|address| self.address(name, address))
            .collect();
        let base = match &config.reply_address {
            Some(text) => self.address(name, text),
            None => addresses.first().cloned(),
        };
        if config.addresses.is_empty() {
            self.errors.push(ConfigError::NoAddresses(name.clone()));
        }
        let Some(base) = base else { return };
        let reply = match ReplyAddress::new(base.clone(), signer) {
            Ok(reply) => reply,
            Err(source) => {
                return self.errors.push(ConfigError::ReplyAddress {
                    account: name.clone(),
                    source,
                });
            }
        };
        let relay = config.relay.clone().or_else(|| shared.cloned());
        let display_name = config.display_name.clone();
        let outgoing = self.outgoing(name, &config.outgoing);
        let account = Arc::new(Account {
            name: name.clone(),
            addresses,
            display_name,
            reply,
            relay,
            own_relay: config.relay.is_some(),
            outgoing,
            hold: config.hold.clone(),
        });
        self.add(account, &base, config.default);
    }

    fn add(&mut self, account: Arc<Account>, reply_base: &Address, default: bool) {
        let own: HashSet<String> = account
            .addresses
            .iter()
            .chain(std::iter::once(reply_base))
            .map(Address::normalised)
            .collect();
        for address in own {
            if self
                .by_address
                .insert(address.clone(), Arc::clone(&account))
                .is_some()
            {
                self.errors.push(ConfigError::DuplicateAddress(address));
            }
        }
        // Accounts may share a bounce domain: whose mail it was is in the return path.
        if let Some(bounce) = account.outgoing.bounce_address() {
            let own = Arc::clone(&account);
            self.by_address.entry(bounce.normalised()).or_insert(own);
        }
        if default {
            if let Some(other) = &self.default {
                self.errors.push(ConfigError::TwoDefaults(
                    other.name.clone(),
                    account.name.clone(),
                ));
            }
            self.default = Some(Arc::clone(&account));
        }
        self.list.push(account);
    }

    fn outgoing(&mut self, account: &str, config: &OutgoingConfig) -> Outgoing {
        Outgoing::new(config).unwrap_or_else(|errors| {
            self.errors
                .extend(errors.into_iter().map(|error| ConfigError::Outgoing {
                    account: account.to_owned(),
                    problem: with_causes(&error),
                }));
            Outgoing::default()
        })
    }

    fn mailboxes(&mut self, config: &Config) {
        let has_default =
            config.accounts.len() == 1 || config.accounts.iter().any(|account| account.default);
        let is_account = |name: &str| {
            let named = config.accounts.iter().any(|account| account.name == name);
            if name.is_empty() { has_default } else { named }
        };
        let problems = mailbox::problems(&config.mailboxes, is_account).into_iter();
        self.errors.extend(problems.map(ConfigError::Mailbox));
    }

    fn address(&mut self, account: &str, text: &str) -> Option<Address> {
        match Address::parse(text) {
            Ok(address) => Some(address),
            Err(source) => {
                let (account, address) = (account.to_owned(), text.to_owned());
                self.errors.push(ConfigError::BadAddress {
                    account,
                    address,
                    source,
                });
                None
            }
        }
    }

    fn relay(&mut self, place: &str, relay: &RelayConfig) {
        if relay.host.is_empty() {
            self.errors
                .push(ConfigError::RelayWithoutHost(place.to_owned()));
        }
        let has_password = !relay.password.expose().is_empty();
        let half = relay.username.is_empty() == has_password && relay.oauth.is_none();
        if half {
            self.errors
                .push(ConfigError::HalfCredentials(place.to_owned()));
        }
        let problems = oauth_problems(relay).into_iter();
        self.errors
            .extend(problems.map(|problem| ConfigError::Login {
                place: place.to_owned(),
                problem,
            }));
        let local = relay.host == "localhost"
            || relay
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        if (has_password || relay.oauth.is_some()) && relay.tls == Tls::None && !local {
            self.errors
                .push(ConfigError::PasswordInTheClear(place.to_owned()));
        }
        if relay.connections == 0 {
            self.errors.push(ConfigError::Zero("relay.connections"));
        }
    }

    fn finish(self, hostname: &str) -> Result<Accounts, ConfigErrors> {
        if !self.errors.is_empty() {
            return Err(ConfigErrors(self.errors));
        }
        let first = self
            .list
            .first()
            .and_then(|account| account.addresses.first());
        let hostname = match (hostname.is_empty(), first) {
            (true, Some(address)) => address.domain().to_owned(),
            _ => hostname.to_owned(),
        };
        Ok(Accounts {
            list: self.list,
            by_address: self.by_address,
            default: self.default,
            hostname,
        })
    }
}

/// What is wrong with a login by access token.
fn oauth_problems(relay: &RelayConfig) -> Vec<String> {
    let Some(oauth) = &relay.oauth else {
        return Vec::new();
    };
    let mut problems: Vec<String> = oauth
        .errors()
        .iter()
        .map(|error| format!("oauth: {error}"))
        .collect();
    if relay.username.is_empty() {
        problems.push("'oauth' needs 'username': the address of the mailbox".to_owned());
    }
    if !relay.password.is_empty() {
        problems.push("'oauth' and 'password' exclude each other".to_owned());
    }
    problems
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;

//! Settings of the ticket service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_domain::contact::EmailAddress;
use solmu_matter::PatternError;
use solmu_runtime::config::Secret;

mod acknowledgement;
mod desk;
mod matter;

pub use acknowledgement::{Acknowledgement, TemplateError, Values};
pub use desk::Desk;
pub use matter::{Matter, MatterPolicy};

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
    /// Mail domains of your own agents: a mail from there whose sender is verified (DMARC) may answer on any ticket.
    pub agent_mail_domains: Vec<String>,
    /// Caps on automatic mail, so that two responders cannot talk to each other for ever.
    pub loops: Loops,
    /// The automatic "we have got your message" on new tickets.
    pub acknowledgement: Acknowledgement,
    /// When an address counts as one that takes no mail.
    pub bounces: Bounces,
    /// What agents do by mail.
    pub agent_mail: AgentMail,
    /// What answers by mail quote.
    pub quoting: Quoting,
    /// Files of answers.
    pub answers: Answers,
    /// Messages that wait for somebody to decide.
    pub quarantine: Quarantine,
    /// Minutes that the files of an erased contact stay: a message with the same file may be on its way, or among the
    /// dead letters, which can be replayed for 30 days.
    pub erased_files_minutes: u32,
    /// Tickets in a page of a list at most.
    pub max_page_size: u32,
    /// Open watch streams at most.
    pub max_watchers: usize,
    /// What agents share.
    pub desk: Desk,
    /// Messages on another channel about the same matter.
    pub matter: Matter,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A template of the acknowledgement.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Everybody with a mailbox there would be an agent.
    #[error("'{0}' is one of public_mail_domains: it cannot be one of agent_mail_domains")]
    PublicAgentDomain(String),
    /// An agent's mail to it would open no ticket.
    #[error("'{0}' in agent_mail.start_addresses is no e-mail address")]
    StartAddress(String),
    /// Nobody could be told who owns what waits.
    #[error("quarantine.team_id '{0}' is no team id")]
    Team(String),
    /// It would take what waits away before anybody can look at it.
    #[error("quarantine.keep_days must be at least 1")]
    KeepDays,
    /// Nobody would be seen, or somebody for too long.
    #[error("desk.viewer_ttl_seconds must be 3 to 30, and desk.viewer_poll_ms at least 1")]
    Viewers,
    /// Nobody could be asked who the agents are.
    #[error("agent_mail.roster_endpoint '{0}' is not a URL such as http://127.0.0.1:7310")]
    RosterEndpoint(String),
    /// Nothing could be found by it.
    #[error("matter.reference_patterns: {0}")]
    Pattern(#[from] PatternError),
    /// Everything or nothing would be alike.
    #[error("matter.min_similarity must be 1 to 100, window_days and max_tickets at least 1")]
    Matter,
    /// No header can carry it.
    #[error("agent_mail.roster_token holds characters that a header cannot carry")]
    RosterToken,
}

impl Config {
    /// What cannot work, so that it is said at start and not when a customer writes.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.acknowledgement.check()?;
        self.agent_mail.check()?;
        self.quarantine.check()?;
        self.desk.check()?;
        self.matter.check()?;
        let mut agents = self.agent_mail_domains.iter();
        match agents.find(|domain| self.public_mail_domains.contains(domain)) {
            Some(domain) => Err(ConfigError::PublicAgentDomain(domain.clone())),
            None => Ok(()),
        }
    }
}

/// So many messages in so many seconds: a bucket of tokens that refills evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// Messages at once at most. 0 stops them all.
    pub messages: u32,
    /// Seconds in which an empty bucket is full again.
    pub seconds: u32,
}

/// Caps on automatic mail. What comes in over a cap waits in the quarantine with the cause `loop`; what would go out
/// over one is not sent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Loops {
    /// Acknowledgements on one ticket to one address.
    pub acknowledgements_per_ticket: Cap,
    /// Automatic messages of ours to one address, over all tickets.
    pub automatic_to_address: Cap,
    /// Automatic messages of one address that join one ticket.
    pub automatic_from_address: Cap,
    /// Automatic messages that join one ticket, from whatever address.
    pub automatic_on_ticket: Cap,
    /// Acknowledgements to anybody on any ticket. Replicas that decide at the same moment may go over it by a few.
    pub acknowledgements_total: Cap,
    /// Answers that one agent gives by mail on one ticket.
    pub agent_answers_per_ticket: Cap,
    /// Notifications of one agent about one ticket.
    pub notifications_per_ticket: Cap,
}

impl Default for Loops {
    fn default() -> Self {
        let cap = |messages, seconds| Cap { messages, seconds };
        Self {
            acknowledgements_per_ticket: cap(1, 24 * 3_600),
            automatic_to_address: cap(10, 3 * 3_600),
            automatic_from_address: cap(20, 600),
            automatic_on_ticket: cap(60, 3_600),
            acknowledgements_total: cap(10_000, 3_600),
            agent_answers_per_ticket: cap(30, 3_600),
            notifications_per_ticket: cap(30, 3_600),
        }
    }
}

/// When an address counts as one that takes no mail. A refusal for good always does; a delivery ends it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bounces {
    /// Failures for the time being (4.x.x, mailbox full) of different messages after which an address counts so.
    pub soft_failures: u32,
    /// Days within which they count.
    pub soft_days: u32,
}

impl Default for Bounces {
    fn default() -> Self {
        Self {
            soft_failures: 3,
            soft_days: 7,
        }
    }
}

/// What agents do by mail. An agent is who has an agent's account with that address; a mail counts as theirs only if it
/// is proven to be (DMARC passed for the domain of a single sender). Every other mail from there is anybody's.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AgentMail {
    /// Whether a mail of an agent to the reply address of a ticket goes to the customer as an answer, without what it
    /// quotes and without its signature. Otherwise it is filed as anybody's mail.
    pub answers: bool,
    /// Addresses of ours where a mail of an agent opens a ticket for a customer: for the one in To or Cc, else for the
    /// sender of the mail that it forwards. Empty: nowhere.
    pub start_addresses: Vec<String>,
    /// Whether the owner of a ticket gets a mail when the customer writes; an answer to it goes to the customer.
    pub notify_assignee: bool,
    /// Whether a step of an SLA policy that notifies somebody (`notify=team_lead` and the like) sends them a mail. A
    /// single step goes without one if it says so (`notify_event=team_lead`).
    pub notify_escalations: bool,
    /// Where the router's gRPC API is, e.g. `http://router:7310`: who the agents are is asked there. Empty: in one
    /// process with the router it is found by itself, else there are no agents by mail.
    pub roster_endpoint: String,
    /// Bearer token of role service for that API.
    pub roster_token: Secret,
    /// Seconds between two questions.
    #[schemars(range(min = 1))]
    pub roster_seconds: u64,
    /// Milliseconds that a call which names an agent or a team waits for the router to say whether there is one. What it
    /// does not say in that time is believed.
    #[schemars(range(min = 1))]
    pub roster_patience_ms: u64,
}

impl Default for AgentMail {
    fn default() -> Self {
        Self {
            answers: true,
            start_addresses: Vec::new(),
            notify_assignee: false,
            notify_escalations: true,
            roster_endpoint: String::new(),
            roster_token: Secret::default(),
            roster_seconds: 30,
            roster_patience_ms: 2_000,
        }
    }
}

impl AgentMail {
    fn check(&self) -> Result<(), ConfigError> {
        let mut addresses = self.start_addresses.iter();
        if let Some(bad) = addresses.find(|it| EmailAddress::parse(it).is_err()) {
            return Err(ConfigError::StartAddress(bad.clone()));
        }
        if self
            .roster_endpoint
            .parse::<tonic::transport::Endpoint>()
            .is_err()
            && !self.roster_endpoint.is_empty()
        {
            return Err(ConfigError::RosterEndpoint(self.roster_endpoint.clone()));
        }
        let token = self.roster_token.expose();
        if token.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(())
        } else {
            Err(ConfigError::RosterToken)
        }
    }
}

/// Files that agents send with their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Answers {
    /// Files of one answer at most. 0: none may have any.
    pub max_files: usize,
    /// Bytes of the files of one answer at most, together. Over the line they are a third larger, and
    /// `email.max_outgoing_bytes` counts that.
    pub max_file_bytes: usize,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            max_files: 20,
            max_file_bytes: 10 * 1024 * 1024,
        }
    }
}

/// What an answer by mail carries along of the message that it answers. Whether it is shown is a setting of each mail
/// account.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quoting {
    /// Characters of the customer's last mail that are quoted at most. 0 quotes nothing.
    pub max_characters: u32,
}

impl Default for Quoting {
    fn default() -> Self {
        Self {
            max_characters: 4_000,
        }
    }
}

/// Messages that wait for somebody to decide.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quarantine {
    /// Id of the team that looks after them; it is told in events and in the API. Empty: none.
    pub team_id: String,
    /// Days after which a message is removed with its original, whether somebody decided on it or not.
    #[schemars(range(min = 1))]
    pub keep_days: u32,
}

impl Default for Quarantine {
    fn default() -> Self {
        Self {
            team_id: String::new(),
            keep_days: 90,
        }
    }
}

impl Quarantine {
    fn check(&self) -> Result<(), ConfigError> {
        if self.keep_days == 0 {
            return Err(ConfigError::KeepDays);
        }
        let known = self.team_id.is_empty() || uuid::Uuid::parse_str(&self.team_id).is_ok();
        if known {
            Ok(())
        } else {
            Err(ConfigError::Team(self.team_id.clone()))
        }
    }
}

/// Domains of providers whose users have nothing in common.
const PUBLIC_MAIL_DOMAINS: &[&str] = &[
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
    "t-online.de",
    "freenet.de",
    "arcor.de",
    "gmx.net",
    "gmx.at",
    "gmx.ch",
    "bluewin.ch",
    "orange.fr",
    "wanadoo.fr",
    "free.fr",
    "laposte.net",
    "sfr.fr",
    "libero.it",
    "tiscali.it",
    "virgilio.it",
    "hotmail.fi",
    "hotmail.co.uk",
    "hotmail.de",
    "hotmail.fr",
    "hotmail.se",
    "live.fi",
    "live.se",
    "live.co.uk",
    "outlook.de",
    "outlook.fr",
    "yahoo.co.uk",
    "yahoo.de",
    "yahoo.fr",
    "yahoo.it",
    "yahoo.es",
    "ymail.com",
    "btinternet.com",
    "sky.com",
    "virginmedia.com",
    "comcast.net",
    "verizon.net",
    "att.net",
    "saunalahti.fi",
    "pp.inet.fi",
    "telia.com",
    "bredband.net",
    "online.no",
    "mac.com",
    "pm.me",
    "fastmail.com",
    "zoho.com",
    "mail.com",
    "seznam.cz",
    "wp.pl",
    "o2.pl",
    "onet.pl",
    "interia.pl",
    "ukr.net",
    "bk.ru",
    "list.ru",
    "inbox.ru",
    "126.com",
    "sina.com",
    "naver.com",
    "hanmail.net",
    "uol.com.br",
    "terra.com.br",
    "rediffmail.com",
];

impl Default for Config {
    fn default() -> Self {
        Self {
            close_after_days: 7,
            batch_events: 200,
            linger_ms: 10,
            max_attempts: 6,
            public_mail_domains: PUBLIC_MAIL_DOMAINS
                .iter()
                .map(|domain| (*domain).to_owned())
                .collect(),
            agent_mail_domains: Vec::new(),
            loops: Loops::default(),
            acknowledgement: Acknowledgement::default(),
            bounces: Bounces::default(),
            agent_mail: AgentMail::default(),
            quoting: Quoting::default(),
            answers: Answers::default(),
            quarantine: Quarantine::default(),
            erased_files_minutes: 30 * 24 * 60,
            max_page_size: 500,
            max_watchers: 200,
            desk: Desk::default(),
            matter: Matter::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_said() {
        Config::default().check().unwrap();
        let public_agents = Config {
            agent_mail_domains: vec!["gmail.com".to_owned()],
            ..Config::default()
        };
        assert!(
            public_agents
                .check()
                .unwrap_err()
                .to_string()
                .contains("gmail.com")
        );
        let mistyped = Config {
            acknowledgement: Acknowledgement {
                subject: "{{ unknown }}".to_owned(),
                ..Acknowledgement::default()
            },
            ..Config::default()
        };
        assert!(mistyped.check().is_err());
        let agent_mail = |agent_mail| Config {
            agent_mail,
            ..Config::default()
        };
        for bad in [
            agent_mail(AgentMail {
                start_addresses: vec!["nobody".to_owned()],
                ..AgentMail::default()
            }),
            agent_mail(AgentMail {
                roster_endpoint: "not a url".to_owned(),
                ..AgentMail::default()
            }),
            Config {
                quarantine: Quarantine {
                    keep_days: 0,
                    ..Quarantine::default()
                },
                ..Config::default()
            },
            Config {
                quarantine: Quarantine {
                    team_id: "support".to_owned(),
                    ..Quarantine::default()
                },
                ..Config::default()
            },
        ] {
            assert!(bad.check().is_err());
        }
    }
}

//! What a role gets, and what it gives back.

use std::{fmt, future::Future, panic::AssertUnwindSafe, str::FromStr};

use futures::FutureExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_bus::Bus;
use solmu_db::Db;
use solmu_domain::{clock::SharedClock, rng::SharedRng};
use solmu_telemetry::Metrics;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::{health::Readiness, keyring::Keyring, lifecycle::Shutdown};

/// The roles that a process can take.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// Mail in and out.
    Email,
    /// The chat widget and its sessions.
    Chat,
    /// WhatsApp, Telegram and other messengers.
    Social,
    /// Web forms.
    Forms,
    /// Contacts, tickets and messages.
    Tickets,
    /// Who answers.
    Router,
    /// By when.
    Sla,
}

impl RoleName {
    /// Every role.
    pub const ALL: [Self; 7] = [
        Self::Email,
        Self::Chat,
        Self::Social,
        Self::Forms,
        Self::Tickets,
        Self::Router,
        Self::Sla,
    ];

    /// The name on the command line, in configuration and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Chat => "chat",
            Self::Social => "social",
            Self::Forms => "forms",
            Self::Tickets => "tickets",
            Self::Router => "router",
            Self::Sla => "sla",
        }
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no role '{0}': expected email, chat, social, forms, tickets, router or sla")]
pub struct UnknownRole(String);

impl FromStr for RoleName {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// What every role is started with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Where the time comes from.
    pub clock: SharedClock,
    /// Where randomness comes from.
    pub rng: SharedRng,
    /// PostgreSQL.
    pub db: Db,
    /// The message bus.
    pub bus: Bus,
    /// Tasks that take work in or do it: each must end when [`Shutdown::drain`] fires and its work in hand is done.
    pub tasks: TaskTracker,
    /// Tasks that others lean on while they finish (relays, lease keepers): each must end when [`Shutdown::stop`] fires.
    pub background: TaskTracker,
    /// When to stop.
    pub shutdown: Shutdown,
    /// The registry of metrics.
    pub metrics: Metrics,
    /// Whether this process can serve, by named checks.
    pub readiness: Readiness,
    /// The name of this process among its replicas: holder of leases.
    pub instance: String,
    /// Keys that sign ids which come back to us from outside.
    pub secrets: Keyring,
}

/// What only the binary (or a test) can decide; the rest of a [`Runtime`] follows.
#[derive(Debug)]
pub struct RuntimeParts {
    /// Where the time comes from.
    pub clock: SharedClock,
    /// Where randomness comes from.
    pub rng: SharedRng,
    /// PostgreSQL.
    pub db: Db,
    /// The message bus.
    pub bus: Bus,
    /// The registry of metrics.
    pub metrics: Metrics,
    /// The name of this process among its replicas.
    pub instance: String,
    /// Keys that sign ids.
    pub secrets: Keyring,
}

impl Runtime {
    /// A runtime in which nothing runs yet.
    #[must_use]
    pub fn new(parts: RuntimeParts) -> Self {
        Self {
            clock: parts.clock,
            rng: parts.rng,
            db: parts.db,
            bus: parts.bus,
            tasks: TaskTracker::new(),
            background: TaskTracker::new(),
            shutdown: Shutdown::new(),
            metrics: parts.metrics,
            readiness: Readiness::new(),
            instance: parts.instance,
            secrets: parts.secrets,
        }
    }

    /// Runs `work` until it ends, which it must do soon after [`Shutdown::drain`] fires.
    ///
    /// A panic in it is logged and drains the process: a role that lost a loop must not look healthy.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(guarded(name, self.shutdown.clone(), work));
    }

    /// As [`Runtime::spawn`], for work that ends when [`Shutdown::stop`] fires.
    pub fn spawn_background(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.background
            .spawn(guarded(name, self.shutdown.clone(), work));
    }
}

async fn guarded(name: &'static str, shutdown: Shutdown, work: impl Future<Output = ()> + Send) {
    let outcome = AssertUnwindSafe(work.in_current_span())
        .catch_unwind()
        .await;
    if outcome.is_err() {
        tracing::error!(task = name, "a task panicked; the process drains");
        shutdown.request(format!("task '{name}' panicked"));
    }
}

/// What a role exposes. The binary merges the parts of all roles and serves them.
#[derive(Debug, Default)]
pub struct Parts {
    /// gRPC services. Calls need a bearer token; the services check the role of the caller.
    pub grpc: Option<tonic::service::Routes>,
    /// HTTP routes for the outside: webhooks, widgets, forms. They check their callers themselves.
    pub http: Option<axum::Router>,
}

impl Parts {
    /// Puts the routes of `other` beside ours.
    ///
    /// # Panics
    /// When both have the same path: a mistake of the code that calls.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let grpc = match (self.grpc, other.grpc) {
            (Some(ours), Some(theirs)) => Some(tonic::service::Routes::from(
                // Both answer unknown methods themselves, and a router has one such answer only.
                ours.into_axum_router()
                    .merge(theirs.into_axum_router().reset_fallback()),
            )),
            (ours, theirs) => ours.or(theirs),
        };
        let http = match (self.http, other.http) {
            (Some(ours), Some(theirs)) => Some(ours.merge(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        Self { grpc, http }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_one_name() {
        for role in RoleName::ALL {
            assert_eq!(role.to_string().parse::<RoleName>(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert!(
            "mail"
                .parse::<RoleName>()
                .unwrap_err()
                .to_string()
                .contains("'mail'")
        );
    }
}

//! Who calls: bearer tokens, and what their roles may do.
//!
//! A token is `solmu_<id>_<secret>`: the id is public and names it in logs, the secret is 256 random bits. Because it
//! is random, its plain SHA-256 is stored: there is nothing to guess, and a slow hash (as passwords need) would only
//! cost every call. A call costs no query as long as the token is cached. A revocation is notified by PostgreSQL and
//! takes effect at once; where a notification gets lost with its connection, the cache forgets within 30 seconds.

mod cache;
mod config;
mod expiry;
mod jwks;
mod oidc;
#[cfg(test)]
mod oidc_tests;
pub mod permissions;
#[cfg(test)]
mod request_ids;
mod restriction;
mod roster;
mod scopes;
mod service;
mod store;
#[cfg(test)]
mod tests;
mod token;
mod visibility;

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use solmu_domain::ids::AgentId;
use solmu_proto::access::v1 as proto;
use tonic::{Request, Status};

use crate::api_error::ApiError;
use permissions::Row;

pub use cache::Access;
pub use config::AccessConfig;
pub use oidc::{OidcConfig, OidcError, SigningAlgorithm};
pub use restriction::Restriction;
pub use scopes::{Scope, Scopes, UnknownScope};
pub use store::{bootstrap, issue};
pub use token::NewToken;
pub use visibility::{SightBinds, Visibility};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sets up everything, tokens included.
    Admin,
    /// Works on tickets, as one agent.
    Agent,
    /// Another service.
    Service,
}

impl Role {
    /// The name in the database and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Agent => "agent",
            Self::Service => "service",
        }
    }

    fn to_proto(self) -> proto::Role {
        match self {
            Self::Admin => proto::Role::Admin,
            Self::Agent => proto::Role::Agent,
            Self::Service => proto::Role::Service,
        }
    }

    fn from_proto(role: i32) -> Option<Self> {
        match proto::Role::try_from(role) {
            Ok(proto::Role::Admin) => Some(Self::Admin),
            Ok(proto::Role::Agent) => Some(Self::Agent),
            Ok(proto::Role::Service) => Some(Self::Service),
            Ok(proto::Role::Unspecified) | Err(_) => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no role '{0}': expected admin, agent or service")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Admin, Self::Agent, Self::Service]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// Whose token came with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The public id of the token.
    pub token_id: String,
    /// What it is for.
    pub role: Role,
    /// Whose it is; for role agent and only then.
    pub agent_id: Option<AgentId>,
    scopes: Scopes,
    all_teams: bool,
    visibility: Visibility,
    /// When the token ends; none: never.
    expire_time: Option<Timestamp>,
    /// The row of the permission table that let the call in; none for a service that is called past the server.
    row: Option<&'static Row>,
}

impl Caller {
    /// A caller who may do all that the role may and sees every ticket.
    #[must_use]
    pub fn new(token_id: impl Into<String>, role: Role, agent_id: Option<AgentId>) -> Self {
        Self {
            token_id: token_id.into(),
            role,
            agent_id,
            scopes: Scopes::Unrestricted,
            all_teams: false,
            visibility: Visibility::Everything,
            expire_time: None,
            row: None,
        }
    }

    /// What the caller may do of what the role may.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// Which tickets the caller sees.
    #[must_use]
    pub fn visibility(&self) -> &Visibility {
        &self.visibility
    }

    /// The same caller with another sight, for tests of what callers see.
    #[must_use]
    pub fn seeing(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }

    /// Whether an agent is for every team, as who manages several is.
    #[must_use]
    pub const fn is_manager(&self) -> bool {
        self.all_teams
    }

    /// The same caller as one who is for every team, for tests of what managers may do.
    #[must_use]
    pub const fn managing(mut self) -> Self {
        self.all_teams = true;
        self
    }

    /// The caller of a method with this row; PERMISSION_DENIED if it is not for them.
    pub(crate) fn allowed_by(mut self, row: &'static Row) -> Result<Self, ApiError> {
        row.check(&self)?;
        self.row = Some(row);
        Ok(self)
    }

    /// Restates for which roles a handler is written. The permission table has decided before; where the two differ, the
    /// call fails as a fault of ours. A service that is called past the server (in its own tests) has only this.
    pub fn require(&self, roles: &[Role]) -> Result<(), ApiError> {
        match self.row {
            Some(row) if !same_roles(row.roles, roles) => Err(ApiError::internal(format!(
                "the handler of {} names other roles than its row in access/permissions.rs",
                row.method
            ))),
            None if !roles.contains(&self.role) => Err(permissions::wrong_role(roles)),
            _ => Ok(()),
        }
    }

    /// The agent who calls; PERMISSION_DENIED for a token that is no agent's.
    pub fn require_agent(&self) -> Result<AgentId, ApiError> {
        if self.role != Role::Agent {
            return Err(permissions::wrong_role(&[Role::Agent]));
        }
        self.agent_id
            .ok_or_else(|| ApiError::internal("a token of role agent has no agent"))
    }
}

fn same_roles(some: &[Role], others: &[Role]) -> bool {
    some.iter().all(|role| others.contains(role)) && others.iter().all(|role| some.contains(role))
}

/// The caller of a gRPC request, put there by the server. UNAUTHENTICATED when there is none, which only happens to a
/// service that is called past the server.
pub fn caller<T>(request: &Request<T>) -> Result<&Caller, Status> {
    request
        .extensions()
        .get::<Caller>()
        .ok_or_else(|| unauthenticated("TOKEN_MISSING").into())
}

/// The answer to a caller who is not known. Which of id and secret was wrong is not said.
pub(crate) fn unauthenticated(reason: &'static str) -> ApiError {
    let message = match reason {
        "TOKEN_MISSING" => "this call needs an authorization header with a bearer token",
        "TOKEN_EXPIRED" => {
            "the bearer token has expired: ask an admin for another one, or sign in again"
        }
        _ => "the bearer token is not valid",
    };
    ApiError::Unauthenticated { reason, message }
}

//! The `access` section of the configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::oidc::{OidcConfig, OidcError};
use crate::config::Secret;

/// Who may see and do what, and how people sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// Agents see and change only tickets of their teams and those that are assigned to them. Admins, services and
    /// tokens with `all_teams` see every ticket.
    pub team_scoped: bool,
    /// Where the router's API is asked for agents and their teams, e.g. `http://solmu-router:7310`. Empty: beside us, if
    /// this process runs the router. Needed for `team_scoped`, for tickets that are restricted to teams, and to find the
    /// agents of people who sign in.
    pub roster_endpoint: String,
    /// A token of role service with scope `routing.read` for it.
    pub roster_token: Secret,
    /// How old the list of agents may be, in seconds: so late does a change of teams take effect.
    #[schemars(range(min = 1))]
    pub roster_seconds: u64,
    /// People and services that bring a token of your identity provider.
    pub oidc: OidcConfig,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            team_scoped: false,
            roster_endpoint: String::new(),
            roster_token: Secret::default(),
            roster_seconds: 15,
            oidc: OidcConfig::default(),
        }
    }
}

impl AccessConfig {
    /// Whether callers cannot be judged without the router's list of agents.
    #[must_use]
    pub fn needs_roster(&self) -> bool {
        self.team_scoped || !self.oidc.issuer.is_empty()
    }

    /// Says what cannot work.
    pub fn check(&self) -> Result<(), OidcError> {
        self.oidc.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_section_takes_unknown_keys() {
        assert!(crate::config::open_objects::<AccessConfig>().is_empty());
        AccessConfig::default().check().unwrap();
    }
}

//! Sign-in with an identity provider: bearer tokens that are JWTs of one issuer (OpenID Connect, RFC 9068).
//!
//! We are a resource server: the browser or the service signs in with the provider and brings us its token. Signatures
//! are checked with the provider's public keys only. The algorithms are asymmetric ones by type, so that neither `none`
//! nor an HMAC over a public key can be spelt; each key is used with its own family alone. Times are checked against
//! our clock. A key that we do not know makes us read the keys again, at most once in a while, so that made-up key ids
//! cannot make us hammer the provider.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use solmu_domain::{clock::SharedClock, ids::AgentId};
use solmu_telemetry::Metrics;

use super::{Caller, Role, jwks::Keys, roster::Roster};
use crate::api_error::ApiError;

/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// Bytes of the hash that names a person in logs.
const NAME_BYTES: usize = 10;

/// A signature algorithm of the provider. Only those with public keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SigningAlgorithm {
    /// RSA PKCS#1 with SHA-256.
    RS256,
    /// RSA PKCS#1 with SHA-384.
    RS384,
    /// RSA PKCS#1 with SHA-512.
    RS512,
    /// RSA-PSS with SHA-256.
    PS256,
    /// RSA-PSS with SHA-384.
    PS384,
    /// RSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256.
    ES256,
    /// ECDSA on P-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl SigningAlgorithm {
    const fn of(self) -> Algorithm {
        match self {
            Self::RS256 => Algorithm::RS256,
            Self::RS384 => Algorithm::RS384,
            Self::RS512 => Algorithm::RS512,
            Self::PS256 => Algorithm::PS256,
            Self::PS384 => Algorithm::PS384,
            Self::PS512 => Algorithm::PS512,
            Self::ES256 => Algorithm::ES256,
            Self::ES384 => Algorithm::ES384,
            Self::EdDSA => Algorithm::EdDSA,
        }
    }
}

/// An identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OidcConfig {
    /// The provider's issuer, exactly as its tokens name it, e.g. `https://login.example.com/realms/support`. Empty: nobody
    /// signs in that way.
    pub issuer: String,
    /// What tokens for us name in `aud`.
    pub audience: String,
    /// Where the provider's keys are. Empty: where `<issuer>/.well-known/openid-configuration` says.
    pub jwks_url: String,
    /// Algorithms that are taken.
    pub algorithms: Vec<SigningAlgorithm>,
    /// The claim with the person's roles or groups, a text or a list; a dot goes deeper: `realm_access.roles`.
    pub role_claim: String,
    /// Values of it that make an admin.
    pub admin_values: Vec<String>,
    /// Values of it that make an agent who sees the tickets of every team.
    pub manager_values: Vec<String>,
    /// Values of it that make an agent.
    pub agent_values: Vec<String>,
    /// Values of it that make a service.
    pub service_values: Vec<String>,
    /// The claim that says which agent a person is: the agent's id, or the address that the roster has for the agent.
    /// `email` counts only with `email_verified`.
    pub agent_claim: String,
    /// How far the clocks may differ, in seconds.
    #[schemars(range(max = 300))]
    pub leeway_seconds: u32,
    /// How old the keys may be before they are read again, in seconds.
    #[schemars(range(min = 60))]
    pub keys_seconds: u64,
    /// How long to wait, in seconds, before an unknown key makes us read the keys another time.
    #[schemars(range(min = 1))]
    pub refetch_seconds: u64,
}

impl Default for OidcConfig {
    fn default() -> Self {
        let one = |value: &str| vec![value.to_owned()];
        Self {
            issuer: String::new(),
            audience: "solmu".to_owned(),
            jwks_url: String::new(),
            algorithms: vec![
                SigningAlgorithm::RS256,
                SigningAlgorithm::PS256,
                SigningAlgorithm::ES256,
                SigningAlgorithm::EdDSA,
            ],
            role_claim: "roles".to_owned(),
            admin_values: one("solmu-admin"),
            manager_values: one("solmu-manager"),
            agent_values: one("solmu-agent"),
            service_values: one("solmu-service"),
            agent_claim: "email".to_owned(),
            leeway_seconds: 30,
            keys_seconds: 3600,
            refetch_seconds: 30,
        }
    }
}

/// Why an identity provider cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// Not a URL that tokens can be trusted from.
    #[error("{key} must be an https URL (http only on this machine)")]
    Url {
        /// The key of the configuration.
        key: &'static str,
    },
    /// A setting without which no token is taken.
    #[error("{key} must not be empty")]
    Empty {
        /// The key of the configuration.
        key: &'static str,
    },
}

impl OidcConfig {
    /// Says what cannot work.
    pub fn check(&self) -> Result<(), OidcError> {
        if self.issuer.is_empty() {
            return Ok(());
        }
        for (key, url) in [
            ("oidc.issuer", &self.issuer),
            ("oidc.jwks_url", &self.jwks_url),
        ] {
            if !(url.is_empty() || is_safe(url)) {
                return Err(OidcError::Url { key });
            }
        }
        for (key, empty) in [
            ("oidc.audience", self.audience.is_empty()),
            ("oidc.algorithms", self.algorithms.is_empty()),
            ("oidc.role_claim", self.role_claim.is_empty()),
        ] {
            if empty {
                return Err(OidcError::Empty { key });
            }
        }
        Ok(())
    }
}

pub(super) fn is_safe(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let here = matches!(
        url.host_str(),
        Some("localhost" | "127.0.0.1" | "[::1]" | "::1")
    );
    url.scheme() == "https" || (url.scheme() == "http" && here)
}

/// Why a token is not taken. For the log; the caller hears only that it is not valid, or that it has expired.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the token is too long or no JWT of a kind that we take")]
    Form,
    #[error("its algorithm is not taken")]
    Algorithm,
    #[error("no key of the provider fits")]
    Key,
    #[error("its signature or form is wrong")]
    Signature(#[source] jsonwebtoken::errors::Error),
    #[error("it is of another issuer")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("it says no time until which it is good")]
    NoExpiry,
    #[error("it has expired")]
    Expired,
    #[error("it is not good yet")]
    NotYet,
    #[error("it says not whose it is")]
    Subject,
}

/// Checks tokens of one provider.
#[derive(Debug)]
pub(super) struct Oidc {
    config: OidcConfig,
    keys: Keys,
    clock: SharedClock,
}

impl Oidc {
    /// `None` when no provider is configured.
    pub(super) fn new(config: &OidcConfig, clock: SharedClock, metrics: &Metrics) -> Option<Self> {
        (!config.issuer.is_empty()).then(|| Self {
            config: config.clone(),
            keys: Keys::new(config, metrics),
            clock,
        })
    }

    /// Whose token this is.
    pub(super) async fn authenticate(
        &self,
        token: &str,
        roster: &Roster,
    ) -> Result<Caller, ApiError> {
        let claims = match self.claims(token).await? {
            Ok(claims) => claims,
            Err(refused) => {
                tracing::info!(
                    error = &refused as &dyn std::error::Error,
                    "a token of the identity provider was refused"
                );
                let reason = match refused {
                    Refused::Expired => "TOKEN_EXPIRED",
                    _ => "TOKEN_INVALID",
                };
                return Err(super::unauthenticated(reason));
            }
        };
        let mut caller = self.caller(&claims, roster).await?;
        caller.expire_time = expiry(&claims);
        Ok(caller)
    }

    /// The claims of a token, checked. The outer error is ours (the provider is away).
    async fn claims(&self, token: &str) -> Result<Result<Map<String, Value>, Refused>, ApiError> {
        if token.len() > MAX_TOKEN {
            return Ok(Err(Refused::Form));
        }
        let Ok(header) = decode_header(token) else {
            return Ok(Err(Refused::Form));
        };
        let typ = header.typ.as_deref().map(str::to_ascii_lowercase);
        let known = matches!(
            typ.as_deref(),
            None | Some("jwt" | "at+jwt" | "application/at+jwt")
        );
        // An extension that must be understood (RFC 7515, 4.1.11) is one that we do not.
        if !known || header.crit.is_some() {
            return Ok(Err(Refused::Form));
        }
        let accepted = self.config.algorithms.iter();
        if !accepted
            .map(|algorithm| algorithm.of())
            .any(|algorithm| algorithm == header.alg)
        {
            return Ok(Err(Refused::Algorithm));
        }
        let Some(key) = self.keys.find(header.kid.as_deref(), header.alg).await? else {
            return Ok(Err(Refused::Key));
        };
        let mut validation = Validation::new(header.alg);
        // Issuer, audience and times are checked below: strictly, and against our clock.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Ok(decode::<Map<String, Value>>(token, &key, &validation)
            .map_err(Refused::Signature)
            .and_then(|token| {
                self.check_claims(&token.claims)?;
                Ok(token.claims)
            }))
    }

    fn check_claims(&self, claims: &Map<String, Value>) -> Result<(), Refused> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(&self.config.issuer) {
            return Err(Refused::Issuer);
        }
        if !texts(claims.get("aud")).any(|aud| aud == self.config.audience) {
            return Err(Refused::Audience);
        }
        if text("sub").is_none_or(str::is_empty) {
            return Err(Refused::Subject);
        }
        // NumericDate may have a fraction (RFC 7519); an f64 is exact far beyond any date.
        let time = |name: &str| claims.get(name).and_then(Value::as_f64);
        let now = seconds(self.clock.now());
        let leeway = f64::from(self.config.leeway_seconds);
        let until = time("exp").ok_or(Refused::NoExpiry)?;
        if now >= until + leeway {
            return Err(Refused::Expired);
        }
        if claims.contains_key("nbf") && time("nbf").is_none_or(|from| now < from - leeway) {
            return Err(Refused::NotYet);
        }
        Ok(())
    }

    async fn caller(
        &self,
        claims: &Map<String, Value>,
        roster: &Roster,
    ) -> Result<Caller, ApiError> {
        let values: Vec<&str> = texts(claim(claims, &self.config.role_claim)).collect();
        let has = |wanted: &[String]| wanted.iter().any(|value| values.contains(&value.as_str()));
        let name = name_of(claims, &self.config.issuer);
        if has(&self.config.admin_values) {
            return Ok(Caller::new(name, Role::Admin, None));
        }
        let manager = has(&self.config.manager_values);
        if manager || has(&self.config.agent_values) {
            let agent = self.agent(claims, roster).await?;
            let agent = agent.ok_or_else(|| denied("NO_AGENT", "no agent has this sign-in"))?;
            let mut caller = Caller::new(name, Role::Agent, Some(agent));
            caller.all_teams = manager;
            return Ok(caller);
        }
        if has(&self.config.service_values) {
            return Ok(Caller::new(name, Role::Service, None));
        }
        Err(denied("NO_ROLE", "this sign-in has no role here"))
    }

    async fn agent(
        &self,
        claims: &Map<String, Value>,
        roster: &Roster,
    ) -> Result<Option<AgentId>, ApiError> {
        let Some(value) = claim(claims, &self.config.agent_claim).and_then(Value::as_str) else {
            return Ok(None);
        };
        if let Ok(id) = value.parse::<AgentId>() {
            return Ok(roster.exists(id).await?.then_some(id));
        }
        let verified = claims.get("email_verified") == Some(&Value::Bool(true));
        if self.config.agent_claim == "email" && !verified {
            return Ok(None);
        }
        roster.by_email(value).await
    }
}

fn denied(reason: &'static str, message: &str) -> ApiError {
    ApiError::PermissionDenied {
        reason,
        message: message.to_owned(),
    }
}

/// A claim by name, or by the way to it.
fn claim<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    // Providers use URLs as names of claims, so the name as it is comes first.
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    rest.split('.')
        .try_fold(claims.get(first)?, |value, part| value.get(part))
}

/// The texts of a claim that is one or a list of them.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let (one, many) = match value {
        Some(Value::String(one)) => (Some(one.as_str()), &[][..]),
        Some(Value::Array(many)) => (None, many.as_slice()),
        _ => (None, &[][..]),
    };
    one.into_iter().chain(many.iter().filter_map(Value::as_str))
}

/// Names a person the same way each time, without saying who it is: subjects may be addresses.
fn name_of(claims: &Map<String, Value>, issuer: &str) -> String {
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let hash = Sha256::digest(format!("{issuer}\0{subject}").as_bytes());
    format!("oidc-{}", URL_SAFE_NO_PAD.encode(&hash[..NAME_BYTES]))
}

/// When the token ends, to the second before. Years that no clock shows are as never.
fn expiry(claims: &Map<String, Value>) -> Option<Timestamp> {
    let at = claims.get("exp")?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast saturates, and what it gives then is no time of ours"
    )]
    let second = at.as_i64().or_else(|| at.as_f64().map(|at| at as i64))?;
    Timestamp::from_second(second).ok()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds of any date that the clock knows are exact in an f64"
)]
fn seconds(at: Timestamp) -> f64 {
    at.as_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_must_be_reached_safely() {
        let with = |issuer: &str| OidcConfig {
            issuer: issuer.to_owned(),
            ..OidcConfig::default()
        };
        for good in [
            "",
            "https://login.example.com",
            "http://127.0.0.1:1",
            "http://localhost:8080/x",
        ] {
            with(good).check().unwrap();
        }
        for bad in [
            "http://login.example.com",
            "ftp://x",
            "login",
            "http://127.0.0.1.evil.com",
        ] {
            assert_eq!(
                with(bad).check(),
                Err(OidcError::Url { key: "oidc.issuer" }),
                "{bad}"
            );
        }
        let mut without = with("https://login.example.com");
        without.audience.clear();
        assert!(without.check().is_err());
    }

    #[test]
    fn claims_are_found_by_name_and_by_way() {
        let claims = serde_json::json!({
            "roles": "one", "realm_access": {"roles": ["a", 7, "b"]}, "https://x.fi/roles": ["c"],
        });
        let claims = claims.as_object().unwrap();
        let found = |path: &str| texts(claim(claims, path)).collect::<Vec<_>>();
        assert_eq!(found("roles"), ["one"]);
        assert_eq!(found("realm_access.roles"), ["a", "b"]);
        assert_eq!(found("https://x.fi/roles"), ["c"]);
        assert!(found("realm_access.groups").is_empty() && found("none").is_empty());
    }
}

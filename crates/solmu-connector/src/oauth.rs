//! OAuth2 access tokens for mailboxes and relays that take no password (RFC 6749 sections 4.4 and 6).
//!
//! Microsoft 365 and Gmail refuse passwords over IMAP and SMTP. A [`TokenSource`] turns what the operator was given once
//! (a refresh token, or an application's secret) into access tokens that live about an hour. It asks once however many
//! connections wait, and it does not ask again at once after a failure: identity providers lock clients that insist.
//! Errors say who has to act: [`OauthError::NeedsPerson`] will fail the same way tomorrow, [`OauthError::TryAgain`] may
//! not.

use std::{
    fmt::{self, Write as _},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use solmu_domain::clock::SharedClock;
use solmu_runtime::config::Secret;
use solmu_telemetry::{
    Metrics,
    vendor::{Call, VendorMetrics},
};
use tokio::sync::Mutex;

use crate::http::retry_after;

/// A token is renewed this long before it expires, so that a login that begins now still ends in time.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_mins(5);
/// Life of a token whose answer does not say how long it lives.
const LIFE_WHEN_UNSAID: SignedDuration = SignedDuration::from_mins(10);
/// After a failure that needs a person, nobody asks again for this long.
const REST_AFTER_REFUSAL: SignedDuration = SignedDuration::from_mins(5);
/// After a failure that may pass, nobody asks again for this long.
const REST_AFTER_FAILURE: SignedDuration = SignedDuration::from_secs(5);
/// Bytes of the largest answer that is read; tokens of Microsoft have about 2 KiB.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// Characters of an error code that are told.
const CODE_MAX_CHARS: usize = 64;

/// Where access tokens come from.
///
/// With a `refresh_token` a person's mailbox is used (RFC 6749 section 6). Without one the application itself logs in
/// by its secret (section 4.4), which has no token that ends after months; prefer it where the provider has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OauthConfig {
    /// Token endpoint. Microsoft: `https://login.microsoftonline.com/<tenant>/oauth2/v2.0/token`; Google:
    /// `https://oauth2.googleapis.com/token`.
    pub token_url: String,
    /// Client (application) id.
    pub client_id: String,
    /// Secret of the client. May be empty only with a refresh token of a public client.
    pub client_secret: Secret,
    /// Refresh token of the mailbox's user. Empty: the client logs in by its own secret. A newer one that the
    /// provider sends is used until the process ends; it is not stored.
    pub refresh_token: Secret,
    /// Scopes, separated by spaces. May be empty with a refresh token: then it has those that were granted.
    pub scope: String,
}

/// Something wrong in an [`OauthConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OauthConfigError {
    /// Not an address, or one over which secrets would go in the clear.
    #[error("'token_url' must be an https address (http only on this machine)")]
    TokenUrl,
    /// No client.
    #[error("'client_id' is empty")]
    ClientId,
    /// Nothing to log in with.
    #[error("'client_secret' and 'refresh_token' are both empty")]
    NoSecret,
    /// A client's own login needs to say what for.
    #[error("'scope' is empty; without a refresh token it must be given")]
    NoScope,
}

impl OauthConfig {
    /// Everything that is wrong.
    #[must_use]
    pub fn errors(&self) -> Vec<OauthConfigError> {
        let mut errors = Vec::new();
        if self.url().is_none() {
            errors.push(OauthConfigError::TokenUrl);
        }
        if self.client_id.is_empty() {
            errors.push(OauthConfigError::ClientId);
        }
        if self.client_secret.is_empty() && self.refresh_token.is_empty() {
            errors.push(OauthConfigError::NoSecret);
        }
        if self.refresh_token.is_empty() && self.scope.trim().is_empty() {
            errors.push(OauthConfigError::NoScope);
        }
        errors
    }

    fn url(&self) -> Option<Url> {
        let url = Url::parse(&self.token_url).ok()?;
        let host = url.host_str()?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        (url.scheme() == "https" || (url.scheme() == "http" && local)).then_some(url)
    }
}

/// Why there is no token. The text never has a token, a secret or an address.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OauthError {
    /// It will not work until somebody changes something: the consent was taken back, the secret has ended.
    #[error("the identity provider refuses: {code}")]
    NeedsPerson {
        /// The provider's error code (RFC 6749 section 5.2), with Microsoft's numbers where there are any.
        code: String,
    },
    /// The provider is away or busy.
    #[error("the identity provider gives no token now: {code}")]
    TryAgain {
        /// What went wrong.
        code: String,
        /// How long it told us to wait, if it did.
        after: Option<Duration>,
        /// The failed request, where there was no answer.
        #[source]
        source: Option<Arc<reqwest::Error>>,
    },
}

impl OauthError {
    /// Whether only a person can mend it.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        matches!(self, Self::NeedsPerson { .. })
    }
}

/// Gives access tokens. Share it in an [`Arc`]: each copy of the configuration should have one source.
pub struct TokenSource {
    config: OauthConfig,
    http: Client,
    clock: SharedClock,
    state: Mutex<State>,
    /// Where it is counted that the provider wants fewer requests, and for which channel.
    vendors: Option<(VendorMetrics, &'static str)>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    failed: Option<(OauthError, Timestamp)>,
    /// A newer refresh token than the configured one.
    refresh: Option<Secret>,
}

struct Token {
    secret: Secret,
    renew_at: Timestamp,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl TokenSource {
    /// A source. `http` comes from [`crate::http::client`], which sets time limits and follows no redirects.
    #[must_use]
    pub fn new(config: OauthConfig, http: Client, clock: SharedClock) -> Self {
        Self {
            config,
            http,
            clock,
            state: Mutex::default(),
            vendors: None,
        }
    }

    /// Counts what the provider asks of us, as of `channel`.
    #[must_use]
    pub fn counted(mut self, metrics: &Metrics, channel: &'static str) -> Self {
        self.vendors = Some((VendorMetrics::new(metrics), channel));
        self
    }

    /// A token that is good for some minutes at least. Callers that come while one asks wait for that answer.
    pub async fn access_token(&self) -> Result<Secret, OauthError> {
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        if let Some(token) = &state.token
            && now < token.renew_at
        {
            return Ok(token.secret.clone());
        }
        if let Some((error, until)) = &state.failed
            && now < *until
        {
            return Err(error.clone());
        }
        match self.ask(&mut state).await {
            Ok(secret) => {
                state.failed = None;
                Ok(secret)
            }
            Err(error) => {
                let rest = match &error {
                    OauthError::NeedsPerson { .. } => REST_AFTER_REFUSAL,
                    OauthError::TryAgain { after, .. } => after
                        .and_then(|after| SignedDuration::try_from(after).ok())
                        .map_or(REST_AFTER_FAILURE, |after| after.max(REST_AFTER_FAILURE)),
                };
                let until = now.saturating_add(rest).unwrap_or(now);
                state.failed = Some((error.clone(), until));
                Err(error)
            }
        }
    }

    /// Forgets `refused`, because the server did not take it: the next call asks for a new one. A token that somebody
    /// else has renewed in the meantime stays.
    pub async fn forget(&self, refused: &Secret) {
        let mut state = self.state.lock().await;
        state.token.take_if(|token| token.secret == *refused);
    }

    async fn ask(&self, state: &mut State) -> Result<Secret, OauthError> {
        let url = self.config.url().ok_or_else(|| OauthError::NeedsPerson {
            code: OauthConfigError::TokenUrl.to_string(),
        })?;
        let refresh = state.refresh.clone();
        let refresh = refresh.as_ref().unwrap_or(&self.config.refresh_token);
        let mut form = vec![("client_id", self.config.client_id.as_str())];
        if refresh.is_empty() {
            form.push(("grant_type", "client_credentials"));
        } else {
            form.push(("grant_type", "refresh_token"));
            form.push(("refresh_token", refresh.expose()));
        }
        if !self.config.client_secret.is_empty() {
            form.push(("client_secret", self.config.client_secret.expose()));
        }
        if !self.config.scope.is_empty() {
            form.push(("scope", self.config.scope.as_str()));
        }
        let asked = self.clock.now();
        let response = self.http.post(url).form(&form).send().await;
        let mut response = response.map_err(no_answer)?;
        let (status, wait) = (response.status(), retry_after(response.headers()));
        let body = read(&mut response).await?;
        if !status.is_success() {
            let (error, throttled) = refusal(status.as_u16(), wait, &body);
            if throttled && let Some((vendors, channel)) = &self.vendors {
                vendors.throttled(channel, Call::Token, wait);
            }
            return Err(error);
        }
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| unusable("the answer has no token"))?;
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(unusable("the token is no bearer token"));
        }
        if let Some(newer) = answer.refresh_token.filter(|token| !token.is_empty()) {
            state.refresh = Some(newer);
        }
        let life = answer
            .expires_in
            .map_or(LIFE_WHEN_UNSAID, Seconds::duration);
        state.token = Some(Token {
            secret: answer.access_token.clone(),
            renew_at: renew_at(asked, life),
        });
        Ok(answer.access_token)
    }
}

/// Five minutes before the end, but a token with a short life is used for half of it.
fn renew_at(asked: Timestamp, life: SignedDuration) -> Timestamp {
    let used = (life - RENEW_BEFORE).max(life / 2);
    asked.saturating_add(used).unwrap_or(asked)
}

async fn read(response: &mut reqwest::Response) -> Result<Vec<u8>, OauthError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err(unusable("the answer is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn no_answer(error: reqwest::Error) -> OauthError {
    OauthError::TryAgain {
        code: "no answer".to_owned(),
        after: None,
        source: Some(Arc::new(error.without_url())),
    }
}

fn unusable(why: &str) -> OauthError {
    OauthError::TryAgain {
        code: why.to_owned(),
        after: None,
        source: None,
    }
}

/// An answer of RFC 6749 section 5.1.
#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    token_type: String,
    expires_in: Option<Seconds>,
    refresh_token: Option<Secret>,
}

/// Version 1 endpoints of Microsoft write the number as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
    Other(IgnoredAny),
}

impl Seconds {
    fn duration(self) -> SignedDuration {
        let seconds = match self {
            Self::Number(seconds) => Some(seconds),
            Self::Text(text) => text.parse().ok(),
            Self::Other(IgnoredAny) => None,
        };
        seconds
            .filter(|seconds| *seconds > 0.0)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|life| SignedDuration::try_from(life).ok())
            .unwrap_or(LIFE_WHEN_UNSAID)
    }
}

/// An answer of RFC 6749 section 5.2. The description is left out: Microsoft writes the user's address into it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: String,
    /// Microsoft's numbers, e.g. 7000222 for a client secret that has ended.
    error_codes: Vec<u64>,
}

/// The error, and whether the provider wants fewer requests.
fn refusal(status: u16, after: Option<Duration>, body: &[u8]) -> (OauthError, bool) {
    let refused: Refused = serde_json::from_slice(body).unwrap_or_default();
    let mut code: String = refused
        .error
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        .take(CODE_MAX_CHARS)
        .collect();
    for number in refused.error_codes.iter().take(3) {
        let _ = write!(code, " AADSTS{number}");
    }
    let code = if code.is_empty() {
        format!("status {status}")
    } else {
        code
    };
    let throttled = status == 429 || refused.error == "slow_down";
    let passing = matches!(
        refused.error.as_str(),
        "temporarily_unavailable" | "server_error"
    );
    let error = if throttled || passing || status >= 500 || status == 408 {
        OauthError::TryAgain {
            code,
            after,
            source: None,
        }
    } else {
        OauthError::NeedsPerson { code }
    };
    (error, throttled)
}

#[cfg(test)]
#[path = "oauth_tests.rs"]
mod tests;

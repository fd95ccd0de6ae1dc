//! The public keys of an identity provider: fetched, kept, and read again when they change.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{Jwk, PublicKeyUse},
};
use serde_json::Value;
use solmu_telemetry::{
    Metrics,
    metrics::{Counter, Unit},
    vendor::{Call, VendorMetrics},
};
use tokio::time::Instant;

use super::oidc::{OidcConfig, is_safe};
use crate::api_error::ApiError;

/// How long the provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 120 } else { 5 });
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 512 * 1024;
/// How long old keys hold while the provider is away.
const STALE: Duration = Duration::from_hours(24);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error("the identity provider does not answer")]
    Away(#[source] reqwest::Error),
    #[error("the identity provider's answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
    #[error("the identity provider's answer is not what it should be")]
    Form(#[source] serde_json::Error),
    #[error(
        "the identity provider says of itself that it is another one, or not where its keys are"
    )]
    Discovery,
    #[error("the keys could not be read a moment ago")]
    Waiting,
}

impl KeysError {
    /// Whether the provider asks for fewer requests.
    fn is_throttling(&self) -> bool {
        let Self::Away(error) = self else {
            return false;
        };
        error.status() == Some(reqwest::StatusCode::TOO_MANY_REQUESTS)
    }
}

struct OneKey {
    id: Option<String>,
    /// The algorithm that the provider wants it for.
    only_for: Option<Algorithm>,
    key: DecodingKey,
}

#[derive(Default)]
struct Known {
    keys: Vec<OneKey>,
    /// When they came.
    read: Option<Instant>,
    /// When they were asked for last, with or without success.
    asked: Option<Instant>,
}

/// The keys of one provider.
pub(super) struct Keys {
    issuer: String,
    url: String,
    fresh: Duration,
    pause: Duration,
    known: Mutex<Arc<Known>>,
    asking: tokio::sync::Mutex<()>,
    fetches: Counter<1>,
    vendors: VendorMetrics,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(config: &OidcConfig, metrics: &Metrics) -> Self {
        let fetches = metrics.counter(
            "solmu_access_key_fetches_total",
            "how often the keys of the identity provider were asked for, by what came of it",
            Unit::Count,
            ["outcome"],
        );
        Self {
            fetches,
            vendors: VendorMetrics::new(metrics),
            issuer: config.issuer.clone(),
            url: config.jwks_url.clone(),
            fresh: Duration::from_secs(config.keys_seconds),
            pause: Duration::from_secs(config.refetch_seconds),
            known: Mutex::default(),
            asking: tokio::sync::Mutex::new(()),
        }
    }

    /// The key with this id that fits the algorithm. UNAVAILABLE when no keys can be had at all.
    pub(super) async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<DecodingKey>, ApiError> {
        let known = self.known();
        let fresh = known.read.is_some_and(|read| read.elapsed() < self.fresh);
        if fresh && let Some(key) = known.find(id, algorithm) {
            return Ok(Some(key));
        }
        let refreshed = self.refresh(&known).await;
        let now = self.known();
        if let Err(error) = refreshed {
            let usable = now.read.is_some_and(|read| read.elapsed() < STALE);
            if !matches!(error, KeysError::Waiting) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot read the keys of the identity provider"
                );
            }
            if !usable {
                return Err(ApiError::unavailable(error));
            }
        }
        Ok(now.find(id, algorithm))
    }

    /// Reads the keys, unless somebody else did since `seen` or it is too early.
    async fn refresh(&self, seen: &Arc<Known>) -> Result<(), KeysError> {
        let _one = self.asking.lock().await;
        let known = self.known();
        if !Arc::ptr_eq(&known, seen) && known.asked == known.read {
            return Ok(());
        }
        if known
            .asked
            .is_some_and(|asked| asked.elapsed() < self.pause)
        {
            return Err(KeysError::Waiting);
        }
        let asked = Instant::now();
        match self.fetch().await {
            Ok(keys) => {
                self.fetches.inc(["ok"]);
                tracing::info!(keys = keys.len(), "keys of the identity provider read");
                self.put(Known {
                    keys,
                    read: Some(asked),
                    asked: Some(asked),
                });
                Ok(())
            }
            Err(error) => {
                self.fetches.inc(["failed"]);
                if error.is_throttling() {
                    self.vendors.throttled("access", Call::Fetch, None);
                }
                self.put(Known {
                    keys: known.keys.iter().map(OneKey::copy).collect(),
                    read: known.read,
                    asked: Some(asked),
                });
                Err(error)
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<OneKey>, KeysError> {
        let mut http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none());
        if self.issuer.starts_with("http://") {
            // On this machine: no proxy is on the way.
            http = http.no_proxy();
        }
        let http = http.build().map_err(KeysError::Away)?;
        let url = if self.url.is_empty() {
            let issuer = self.issuer.trim_end_matches('/');
            let page = get(&http, &format!("{issuer}/.well-known/openid-configuration")).await?;
            let same = page["issuer"].as_str() == Some(&self.issuer);
            let url = page["jwks_uri"].as_str().filter(|url| same && is_safe(url));
            url.ok_or(KeysError::Discovery)?.to_owned()
        } else {
            self.url.clone()
        };
        let mut page = get(&http, &url).await?;
        let Value::Array(keys) = page["keys"].take() else {
            return Err(KeysError::Discovery);
        };
        // A key of a kind that we do not know is no reason to refuse the others.
        Ok(keys
            .into_iter()
            .filter_map(|key| OneKey::of(serde_json::from_value(key).ok()?))
            .collect())
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, known: Known) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }
}

impl OneKey {
    /// `None` for what signs no tokens or is no public key.
    fn of(jwk: Jwk) -> Option<Self> {
        let signs = matches!(
            jwk.common.public_key_use,
            None | Some(PublicKeyUse::Signature)
        );
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let public = key.family() != jsonwebtoken::AlgorithmFamily::Hmac;
        let only_for = match jwk.common.key_algorithm {
            None => None,
            Some(algorithm) => Some(algorithm.to_string().parse().ok()?),
        };
        (signs && public).then_some(Self {
            id: jwk.common.key_id,
            only_for,
            key,
        })
    }

    fn copy(&self) -> Self {
        Self {
            id: self.id.clone(),
            only_for: self.only_for,
            key: self.key.clone(),
        }
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.key.family() == algorithm.family()
            && self.only_for.is_none_or(|only| only == algorithm)
    }
}

impl Known {
    /// By id; without one only if a single key fits.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match id {
            Some(id) => fitting
                .find(|key| key.id.as_deref() == Some(id))
                .map(|key| key.key.clone()),
            None => match (fitting.next(), fitting.next()) {
                (Some(key), None) => Some(key.key.clone()),
                _ => None,
            },
        }
    }
}

async fn get(http: &reqwest::Client, url: &str) -> Result<Value, KeysError> {
    let mut answer = http
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(KeysError::Away)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(KeysError::Away)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(KeysError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(KeysError::Form)
}

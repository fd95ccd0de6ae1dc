//! Checks tokens, from memory where it can.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use solmu_db::Db;
use solmu_domain::{clock::SharedClock, rng::SharedRng};
use sqlx::postgres::PgListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    AccessConfig, Caller, Role, Scope, Visibility, expiry,
    oidc::Oidc,
    roster::Roster,
    store::{self, Known},
    token::{self, Presented},
    unauthenticated,
};
use crate::{api_error::ApiError, runtime::Runtime};

/// How long a token is believed without asking, should its revocation not be notified.
const TTL: Duration = Duration::from_secs(30);
/// How long to wait before listening again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Cache {
    tokens: HashMap<String, (Instant, Known)>,
    /// Grows with each change that was notified: what was read before a change must not be kept after it.
    generation: u64,
}

/// Checks bearer tokens. Cheap to clone; all clones share one cache.
#[derive(Clone)]
pub struct Access {
    pub(super) db: Db,
    pub(super) clock: SharedClock,
    pub(super) rng: SharedRng,
    team_scoped: bool,
    roster: Arc<Roster>,
    oidc: Option<Arc<Oidc>>,
    cache: Arc<Mutex<Cache>>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cache = self.lock();
        f.debug_struct("Access")
            .field("cached", &cache.tokens.len())
            .field("generation", &cache.generation)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Starts to check tokens and to listen for revocations, with the defaults: no identity provider, every team seen by all.
    #[must_use]
    pub fn start(runtime: &Runtime) -> Self {
        Self::start_with(runtime, &AccessConfig::default())
    }

    /// Starts to check tokens and to listen for revocations.
    #[must_use]
    pub fn start_with(runtime: &Runtime, config: &AccessConfig) -> Self {
        let access = Self {
            db: runtime.db.clone(),
            clock: Arc::clone(&runtime.clock),
            rng: Arc::clone(&runtime.rng),
            team_scoped: config.team_scoped,
            roster: Arc::new(Roster::new(config)),
            oidc: Oidc::new(&config.oidc, Arc::clone(&runtime.clock), &runtime.metrics)
                .map(Arc::new),
            cache: Arc::default(),
        };
        expiry::watch(runtime);
        let listening = access.clone().listen(runtime.shutdown.stop.clone());
        runtime.spawn_background("access.listen", listening);
        access
    }

    /// Whose token this is. UNAUTHENTICATED for what is no token, UNAVAILABLE when it cannot be checked now.
    pub async fn authenticate(&self, token: &str) -> Result<Caller, ApiError> {
        let caller = match &self.oidc {
            Some(oidc) if !token.starts_with(token::PREFIX) => {
                oidc.authenticate(token, &self.roster).await?
            }
            _ => self.known(token).await?,
        };
        self.with_sight(caller).await
    }

    /// Says which tickets the caller sees.
    async fn with_sight(&self, mut caller: Caller) -> Result<Caller, ApiError> {
        caller.visibility = match (caller.role, caller.agent_id) {
            (Role::Agent, Some(agent)) if self.team_scoped && !caller.all_teams => {
                let teams = self.roster.teams(agent).await?;
                Visibility::Teams { agent, teams }
            }
            (Role::Agent, Some(agent)) => Visibility::AllTeams {
                agent: Some(agent),
                teams: self.roster.known_teams(agent).await,
            },
            (Role::Admin | Role::Service, _) if caller.scopes.allow(Scope::RestrictedAdmin) => {
                Visibility::Everything
            }
            _ => Visibility::AllTeams {
                agent: None,
                teams: [].into(),
            },
        };
        Ok(caller)
    }

    /// The caller of one of our own tokens.
    async fn known(&self, token: &str) -> Result<Caller, ApiError> {
        let presented = Presented::parse(token).ok_or_else(|| unauthenticated("TOKEN_INVALID"))?;
        let known = match self.cached(presented.id) {
            Some(known) => known,
            None => self
                .fetch(presented.id)
                .await?
                .ok_or_else(|| unauthenticated("TOKEN_INVALID"))?,
        };
        if !presented.matches(&known.hash) {
            return Err(unauthenticated("TOKEN_INVALID"));
        }
        // Said only to who has the secret.
        if known.expire_time.is_some_and(|end| self.clock.now() >= end) {
            return Err(unauthenticated("TOKEN_EXPIRED"));
        }
        Ok(known.caller)
    }

    fn cached(&self, id: &str) -> Option<Known> {
        let cache = self.lock();
        let (read, known) = cache.tokens.get(id)?;
        (read.elapsed() < TTL).then(|| known.clone())
    }

    async fn fetch(&self, id: &str) -> Result<Option<Known>, ApiError> {
        let generation = self.lock().generation;
        let found = store::token_fetch(self.db.pool(), id).await?;
        let mut cache = self.lock();
        if cache.generation == generation {
            // Only tokens that exist are kept, so made-up ids cannot fill the memory.
            match &found {
                Some(known) => drop(
                    cache
                        .tokens
                        .insert(id.to_owned(), (Instant::now(), known.clone())),
                ),
                None => drop(cache.tokens.remove(id)),
            }
        }
        Ok(found)
    }

    /// Asks the database again when this token comes next; every token when there is no id.
    pub(super) fn forget(&self, id: Option<&str>) {
        let mut cache = self.lock();
        cache.generation += 1;
        match id {
            Some(id) => drop(cache.tokens.remove(id)),
            None => cache.tokens.clear(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.listen_once() => {
                    let Err(error) = outcome;
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot listen for revoked tokens");
                }
            }
            // What is known stays until it is too old: a database that restarts must not lock everybody out.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    async fn listen_once(&self) -> Result<std::convert::Infallible, sqlx::Error> {
        let mut listener = PgListener::connect_with(self.db.pool()).await?;
        listener.listen(store::CHANNEL).await?;
        // What was notified before is not known.
        self.forget(None);
        loop {
            match listener.try_recv().await? {
                Some(notification) => self.forget(Some(notification.payload())),
                // The connection was lost and is made anew: what was notified in between is not known.
                None => self.forget(None),
            }
        }
    }
}

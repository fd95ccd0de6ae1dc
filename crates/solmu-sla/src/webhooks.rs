//! Calls the webhooks that steps of policies name.
//!
//! A call is a row that commits with its step, so a crash loses none and adds none. Any replica makes it: who claims a
//! row has it for some seconds, posts without a transaction open while the claim is renewed, and notes what came of it. A
//! sender that dies in between leaves the row to be claimed again as soon as its claim has run out; the receiver knows a
//! repeat by `webhook-id`, which is the id of the step's event.
//! What is posted is signed by Standard Webhooks 1.0, goes only to public addresses unless the operator says otherwise,
//! and follows no redirect.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use solmu_connector::http::{Fetcher, HttpError, HttpLimits, check_base_url};
use solmu_db::DbError;
use solmu_domain::ids::TicketId;
use solmu_secret::{Secret, signature::WebhookSecrets};
use solmu_telemetry::vendor::Call;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Config, Error,
    store::webhooks::{self as store, ClaimedRow},
    tracked::Notice,
    worker::Worker,
};

/// Calls that are made at the same time.
const BATCH: usize = 20;
/// For how long a claimed call is left alone by replicas of the release before, which know no claims that are renewed:
/// longer than any call takes.
const CLAIM: SignedDuration = SignedDuration::from_mins(2);
/// How many times a claim is renewed while it lives.
const RENEWALS: u32 = 4;
/// How often the table is asked, for what is to be tried again and for what others wrote.
const POLL: Duration = Duration::from_secs(1);
/// Waits before the second call and further ones; then it is given up.
const RETRIES: [SignedDuration; 7] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_secs(30),
    SignedDuration::from_mins(2),
    SignedDuration::from_mins(10),
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(6),
    SignedDuration::from_hours(24),
];
/// How long calls that are over are kept.
const KEEP: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How often they are removed.
const PURGE: Duration = Duration::from_hours(1);
/// The status by which a receiver says that it wants no more.
const GONE: u16 = 410;

/// Where webhooks go, by name.
#[derive(Debug, Clone)]
pub(crate) struct Targets {
    by_name: BTreeMap<String, Target>,
    fetcher: Fetcher,
}

#[derive(Debug, Clone)]
struct Target {
    url: String,
    secrets: WebhookSecrets,
}

impl Targets {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let mut by_name = BTreeMap::new();
        let mut trusted = Vec::new();
        for (name, webhook) in &config.webhooks {
            let refuse = |field: &str, problem: String| Error::Webhook {
                name: name.clone(),
                problem: format!("{field}: {problem}"),
            };
            check_base_url(&webhook.url).map_err(|error| refuse("url", error.to_string()))?;
            let secrets = WebhookSecrets::standard(webhook.secrets.iter().map(Secret::expose));
            let secrets = secrets.map_err(|error| refuse("secrets", error.to_string()))?;
            if webhook.private {
                trusted.push(webhook.url.as_str());
            }
            let url = webhook.url.clone();
            by_name.insert(name.clone(), Target { url, secrets });
        }
        let limits = HttpLimits {
            total: config.webhook_timeout(),
            ..HttpLimits::default()
        };
        let fetcher = Fetcher::new(limits, &trusted)?;
        Ok(Self { by_name, fetcher })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// What is posted: what was told, without anything of the ticket but its id.
pub(crate) fn body_of(ticket: TicketId, notice: &Notice) -> String {
    json!({
        "type": "sla.escalated",
        "timestamp": notice.fired_at,
        "data": {
            "ticket_id": ticket.to_string(),
            "metric": notice.metric.as_str(),
            "cycle": notice.cycle,
            "priority": notice.priority,
            "due_time": notice.due,
            "scheduled_time": notice.scheduled_at,
            "late": notice.is_late(),
            "step": notice.step,
            "webhook": notice.target,
        }
    })
    .to_string()
}

/// Makes the calls.
pub(crate) struct Caller {
    worker: Worker,
    targets: Targets,
    /// How long a claim lives without being renewed.
    lease: Duration,
    stop: CancellationToken,
}

impl Caller {
    pub(crate) const fn new(
        worker: Worker,
        targets: Targets,
        lease: Duration,
        stop: CancellationToken,
    ) -> Self {
        Self {
            worker,
            targets,
            lease,
            stop,
        }
    }

    /// Runs until the process drains; what is under way then is finished.
    pub(crate) async fn run(self) {
        let mut purged = Instant::now();
        while !self.stop.is_cancelled() {
            match self.round().await {
                Ok(BATCH) => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for webhooks to call; trying again"
                ),
            }
            if purged.elapsed() > PURGE {
                purged = Instant::now();
                self.purge().await;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.worker.called.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Makes a batch of calls; says how many.
    async fn round(&self) -> Result<usize, DbError> {
        // Before the question, so that the claim ends later than we think.
        let asked = Instant::now();
        let now = self.worker.maker.clock.now();
        let until = now.saturating_add(CLAIM).unwrap_or(now);
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let lease_ms = self.lease_ms();
        let tx = self.worker.db.tx("sla.claim_webhooks", |tx| {
            Box::pin(async move { store::call_claim(tx, now, until, lease_ms, limit).await })
        });
        let claimed = tx.await?;
        let made = claimed.len();
        let calls = join_all(claimed.iter().map(|call| self.call(call, asked)));
        let noted = tokio::select! {
            noted = calls => noted,
            never = self.keep(&claimed) => match never {},
        };
        for noted in noted {
            noted?;
        }
        Ok(made)
    }

    fn lease_ms(&self) -> i64 {
        i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX)
    }

    /// Renews claims for as long as it is asked to.
    async fn keep(&self, claimed: &[ClaimedRow]) -> Infallible {
        let calls: Vec<(Uuid, i32)> = claimed.iter().map(|it| (it.id, it.attempts)).collect();
        let lease_ms = self.lease_ms();
        loop {
            tokio::time::sleep(self.lease / RENEWALS).await;
            let tx = self.worker.db.tx("sla.renew_webhooks", |tx| {
                let calls = calls.clone();
                Box::pin(async move { store::call_renew(tx, &calls, lease_ms).await })
            });
            if let Err(error) = tx.await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot renew the claims of webhook calls; trying again"
                );
            }
        }
    }

    /// `asked`: when it was claimed at the earliest.
    async fn call(&self, call: &ClaimedRow, asked: Instant) -> Result<(), DbError> {
        if asked.elapsed() >= self.lease {
            // This process stood still for so long that somebody else has it now.
            return Ok(());
        }
        let answer = self.post(call).await;
        let (outcome, again) = match &answer {
            Ok(()) => ("ok".to_owned(), None),
            Err(failure) => (failure.code(), self.again_at(call, failure)),
        };
        if let Err(Failure::Http(HttpError::Throttled { after, .. })) = &answer {
            let vendors = &self.worker.metrics.vendors;
            vendors.throttled("sla", Call::Webhook, *after);
        }
        let succeeded = answer.is_ok();
        let label = match (&answer, again) {
            (Ok(()), _) => "succeeded",
            (Err(_), Some(_)) => "failed",
            (Err(failure), None) => {
                tracing::error!(webhook = call.name, call.id = %call.id, call.attempts, error = failure as &dyn std::error::Error, "gave a webhook up");
                "given_up"
            }
        };
        let key = (call.id, call.attempts);
        let tx = self.worker.db.tx("sla.note_webhook", |tx| {
            let outcome = outcome.clone();
            Box::pin(async move { store::call_note(tx, key, &outcome, again, succeeded).await })
        });
        tx.await?;
        self.worker.metrics.webhook_calls.inc([label]);
        Ok(())
    }

    async fn post(&self, call: &ClaimedRow) -> Result<(), Failure> {
        let Some(target) = self.targets.by_name.get(&call.name) else {
            return Err(Failure::NotConfigured);
        };
        let (id, now) = (call.id.to_string(), self.worker.maker.clock.now());
        let signature = target.secrets.sign_standard(&id, now, call.body.as_bytes());
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", now.as_second().to_string()),
            ("webhook-signature", signature),
        ];
        let fetcher = &self.targets.fetcher;
        let posted = fetcher.post_json(&target.url, &headers, call.body.clone());
        Ok(posted.await?)
    }

    /// When a call that failed is made again; None when it is given up.
    fn again_at(&self, call: &ClaimedRow, failure: &Failure) -> Option<Timestamp> {
        if matches!(failure, Failure::Http(HttpError::Status(GONE))) {
            return None;
        }
        let tried = usize::try_from(call.attempts).ok()?;
        let mut wait = *RETRIES.get(tried.checked_sub(1)?)?;
        if let Failure::Http(HttpError::Throttled { after, .. }) = failure {
            let told = after.and_then(|after| SignedDuration::try_from(after).ok());
            wait = wait.max(told.unwrap_or_default());
        }
        self.worker.maker.clock.now().saturating_add(wait).ok()
    }

    async fn purge(&self) {
        let Ok(before) = self.worker.maker.clock.now().saturating_sub(KEEP) else {
            return;
        };
        let purged = self.worker.db.tx("sla.purge_webhooks", |tx| {
            Box::pin(async move { store::call_purge(tx, before).await })
        });
        if let Err(error) = purged.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot remove old calls of webhooks; trying again later"
            );
        }
    }
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It was taken out of the configuration.
    #[error("the webhook is not configured any more")]
    NotConfigured,
    #[error("the call failed")]
    Http(#[from] HttpError),
}

impl Failure {
    /// As it stands in the table.
    fn code(&self) -> String {
        match self {
            Self::NotConfigured => "not_configured".to_owned(),
            Self::Http(HttpError::Status(status) | HttpError::Throttled { status, .. }) => {
                status.to_string()
            }
            Self::Http(HttpError::NotPublic) => "not_public".to_owned(),
            Self::Http(HttpError::Request(error)) if error.is_timeout() => "timeout".to_owned(),
            Self::Http(_) => "no_connection".to_owned(),
        }
    }
}

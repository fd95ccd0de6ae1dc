//! `POST /webhooks/telegram/{account}`.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use solmu_connector::signature::{self, TELEGRAM_HEADER};

use super::update;
use crate::{
    config::Telegram,
    json,
    webhook::{Webhooks, header, refused},
};

const CHANNEL: &str = "telegram";

#[derive(Debug, Clone)]
struct Shared {
    webhooks: Webhooks,
    accounts: Arc<HashMap<String, Telegram>>,
}

/// The routes of all bots.
pub(crate) fn routes(webhooks: Webhooks, accounts: Vec<Telegram>) -> Router {
    let accounts = accounts
        .into_iter()
        .map(|account| (account.name.clone(), account))
        .collect();
    let shared = Shared {
        webhooks,
        accounts: Arc::new(accounts),
    };
    Router::new()
        .route("/webhooks/telegram/{account}", post(receive))
        .with_state(shared)
}

#[tracing::instrument(name = "webhook.telegram", skip_all, fields(account = name, otel.kind = "server"))]
async fn receive(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    let status = shared.take(&name, &headers, body).await;
    shared.webhooks.metrics.answered(CHANNEL, status)
}

impl Shared {
    async fn take(&self, name: &str, headers: &HeaderMap, body: Body) -> StatusCode {
        let Some(account) = self.accounts.get(name) else {
            return StatusCode::NOT_FOUND;
        };
        // The token is no function of the body, so it is checked before a byte of it is read.
        if let Err(error) = signature::telegram(&account.secrets, header(headers, TELEGRAM_HEADER))
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a webhook request was refused"
            );
            return refused(error);
        }
        let body = match self.webhooks.body(body).await {
            Ok(body) => body,
            Err(status) => return status,
        };
        let Some(value) = json::read(&body) else {
            let kept = self.webhooks.keep(CHANNEL, &["no_json"], &body).await;
            return if kept {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
        };
        let batch = update::read(&account.name, &value);
        self.webhooks.take(CHANNEL, batch, &body).await
    }
}

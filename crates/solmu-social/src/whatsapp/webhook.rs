//! `GET` and `POST /webhooks/whatsapp/{account}`.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use serde::Deserialize;
use solmu_connector::signature::{self, META_HEADER, tokens_equal};

use super::envelope::{self, Route};
use crate::{
    config::Whatsapp,
    json,
    webhook::{Webhooks, header, refused},
};

const CHANNEL: &str = "whatsapp";

/// Longest challenge that is echoed.
const MAX_CHALLENGE: usize = 256;

#[derive(Debug, Clone)]
struct Shared {
    webhooks: Webhooks,
    accounts: Arc<HashMap<String, Whatsapp>>,
}

/// The routes of all accounts.
pub(crate) fn routes(webhooks: Webhooks, accounts: Vec<Whatsapp>) -> Router {
    let accounts = accounts
        .into_iter()
        .map(|account| (account.name.clone(), account))
        .collect();
    let shared = Shared {
        webhooks,
        accounts: Arc::new(accounts),
    };
    Router::new()
        .route("/webhooks/whatsapp/{account}", get(handshake).post(receive))
        .with_state(shared)
}

/// What Meta asks when the webhook is set up.
#[derive(Debug, Deserialize)]
struct Handshake {
    #[serde(rename = "hub.mode", default)]
    mode: String,
    #[serde(rename = "hub.verify_token", default)]
    verify_token: String,
    #[serde(rename = "hub.challenge", default)]
    challenge: String,
}

async fn handshake(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<Handshake>,
) -> Response {
    let Some(account) = shared.accounts.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let echoable = query.challenge.len() <= MAX_CHALLENGE
        && query.challenge.bytes().all(|byte| byte.is_ascii_graphic());
    if query.mode == "subscribe"
        && echoable
        && tokens_equal(&query.verify_token, account.verify_token.expose())
    {
        query.challenge.into_response()
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

#[tracing::instrument(name = "webhook.whatsapp", skip_all, fields(account = name, otel.kind = "server"))]
async fn receive(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    let status = match shared.webhooks.body(body).await {
        Ok(body) => shared.take(&name, &headers, &body).await,
        Err(status) => status,
    };
    shared.webhooks.metrics.answered(CHANNEL, status)
}

impl Shared {
    async fn take(&self, name: &str, headers: &HeaderMap, body: &Bytes) -> StatusCode {
        let Some(account) = self.accounts.get(name) else {
            return StatusCode::NOT_FOUND;
        };
        let signature = header(headers, META_HEADER);
        if let Err(error) = signature::meta(&account.secrets, signature, body) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a webhook request was refused"
            );
            return refused(error);
        }
        let Some(value) = json::read(body) else {
            let kept = self.webhooks.keep(CHANNEL, &["no_json"], body).await;
            return if kept {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
        };
        let batch = envelope::read(&value, |number| {
            self.route(account, number, signature, body)
        });
        self.webhooks.take(CHANNEL, batch, body).await
    }

    /// The account of a number. One app may serve several of our numbers at one address; a number of another app,
    /// with another secret, is not believed: then it would be enough to know one secret to write for all.
    fn route(
        &self,
        addressed: &Whatsapp,
        number: &str,
        signature: Option<&[u8]>,
        body: &Bytes,
    ) -> Route {
        let owner = self
            .accounts
            .values()
            .find(|account| account.phone_number_id == number)
            .filter(|owner| {
                owner.name == addressed.name
                    || signature::meta(&owner.secrets, signature, body).is_ok()
            });
        Route {
            account: owner.unwrap_or(addressed).name.clone(),
            known: owner.is_some(),
        }
    }
}

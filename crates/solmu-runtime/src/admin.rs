//! The admin server: probes and metrics on an address of their own, which is not exposed to the outside.
//!
//! `/livez` says that the event loop turns and nothing else. `/startupz` and `/readyz` follow [`crate::health`]. It
//! ends with the background tasks, after the work in hand, so that a drain can be watched.

use std::net::SocketAddr;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use solmu_telemetry::Metrics;

use crate::{health::Readiness, runtime::Runtime, server::ServeError};

/// The media type of OpenMetrics text.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Admin {
    readiness: Readiness,
    metrics: Metrics,
}

/// The routes of the admin server.
pub fn routes(readiness: Readiness, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/startupz", get(startup))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Admin { readiness, metrics })
}

/// Binds `address` and serves until the process stops. Returns the address that was bound (port 0 takes a free one).
pub async fn serve(runtime: &Runtime, address: SocketAddr) -> Result<SocketAddr, ServeError> {
    let listener = crate::server::bind("admin", address).await?;
    let bound = listener
        .local_addr()
        .map_err(|source| ServeError::bind("admin", address, source))?;
    let routes = routes(runtime.readiness.clone(), runtime.metrics.clone());
    let stop = runtime.shutdown.stop.clone();
    runtime.spawn_background("server.admin", async move {
        let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the admin server ended"
            );
        }
    });
    Ok(bound)
}

async fn startup(State(admin): State<Admin>) -> impl IntoResponse {
    let report = admin.readiness.report();
    (status(report.started), Json(report))
}

async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    let report = admin.readiness.report();
    (status(report.ready), Json(report))
}

async fn scrape(State(admin): State<Admin>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, OPENMETRICS)],
        admin.metrics.encode(),
    )
}

fn status(good: bool) -> StatusCode {
    if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    use super::*;

    async fn get(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn probes_follow_the_checks() {
        let readiness = Readiness::new();
        let router = routes(readiness.clone(), Metrics::for_process());
        let check = readiness.require("postgres");
        readiness.complete();
        assert_eq!(
            get(&router, "/livez").await,
            (StatusCode::OK, "ok".to_owned())
        );
        assert_eq!(
            get(&router, "/startupz").await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        let (status, body) = get(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("\"reason\":\"starting\""), "{body}");

        check.ready();
        assert_eq!(get(&router, "/startupz").await.0, StatusCode::OK);
        assert_eq!(get(&router, "/readyz").await.0, StatusCode::OK);

        readiness.drain();
        assert_eq!(
            get(&router, "/readyz").await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(get(&router, "/startupz").await.0, StatusCode::OK);
        assert_eq!(
            get(&router, "/livez").await.0,
            StatusCode::OK,
            "a drain is no reason to be killed"
        );
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_text() {
        let router = routes(Readiness::new(), Metrics::for_process());
        let (status, body) = get(&router, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            body.contains("solmu_build_info{version=") && body.ends_with("# EOF\n"),
            "{body}"
        );
    }
}

//! The HTTP server for webhooks, widgets and forms.
//!
//! Callers here are strangers: the trace that they claim to continue is linked and not joined, because its sampling
//! decision is not theirs to take. Each role checks its callers itself (signatures, sessions).

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use solmu_telemetry::{
    TraceContext,
    metrics::{CALL_SECONDS, Histogram, Unit, intern},
    trace_context,
};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{
    Limits, ServeError, bind,
    patience::{Patience, Peer},
    too_many_calls,
};
use crate::{api_error::ApiError, runtime::Runtime, settings::ServerConfig};

/// The status that is counted for a caller who hung up (nginx's).
const HUNG_UP: &str = "499";

#[derive(Clone)]
struct Gate {
    limits: Limits,
    duration: Histogram<3>,
}

pub(super) async fn serve(
    runtime: &Runtime,
    config: &ServerConfig,
    (server, address): (&'static str, SocketAddr),
    router: Router,
) -> Result<SocketAddr, ServeError> {
    let listener = bind(server, address).await?;
    let bound = listener
        .local_addr()
        .map_err(|source| ServeError::bind(server, address, source))?;
    let gate = Gate {
        limits: Limits::of(config),
        duration: runtime.metrics.histogram(
            "http_server_request_duration_seconds",
            "How long HTTP requests took until their answer began",
            Unit::Seconds,
            [
                "http_request_method",
                "http_route",
                "http_response_status_code",
            ],
            CALL_SECONDS,
        ),
    };
    let gated = router.layer(axum::middleware::from_fn_with_state(gate, pass));
    let service = gated.into_make_service_with_connect_info::<Peer>();
    let listener = Patience {
        listener,
        limit: Duration::from_secs(config.stalled_reader_seconds),
    };
    let (drain, shutdown) = (runtime.shutdown.drain.clone(), runtime.shutdown.clone());
    runtime.spawn("server.http", async move {
        let serving =
            axum::serve(listener, service).with_graceful_shutdown(drain.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the HTTP server ended"
            );
            shutdown.request("the HTTP server ended");
        }
    });
    Ok(bound)
}

/// Notes a request when it is over, also when the caller hangs up.
struct Measure {
    method: &'static str,
    route: &'static str,
    status: &'static str,
    started: Instant,
    duration: Histogram<3>,
    span: tracing::Span,
}

impl Drop for Measure {
    fn drop(&mut self) {
        self.span.record("http.response.status_code", self.status);
        let took = self.started.elapsed().as_secs_f64();
        // Inside of the span: a slow bucket names its trace.
        let values = [self.method, self.route, self.status];
        self.span.in_scope(|| self.duration.observe(values, took));
    }
}

async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions_mut().remove::<ConnectInfo<Peer>>();
    if let Some(ConnectInfo(Peer(peer))) = peer {
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    // The route, never the path: paths hold ids.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("other", |path| intern(path.as_str()));
    let method = method_name(request.method());
    let span = tracing::info_span!(
        "http.server",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
    );
    let headers = request.headers();
    let claimed =
        TraceContext::from_headers(|key| headers.get(key).and_then(|value| value.to_str().ok()));
    trace_context::add_link(&span, &claimed);
    let mut measure = Measure {
        method,
        route,
        status: HUNG_UP,
        started: Instant::now(),
        duration: gate.duration.clone(),
        span: span.clone(),
    };
    let response = match limited(&gate, request, next).instrument(span.clone()).await {
        Ok(response) => response,
        Err(error) => span.in_scope(|| error.into_response()),
    };
    measure.status = intern(response.status().as_str());
    response
}

async fn limited(gate: &Gate, request: Request, next: Next) -> Result<Response, ApiError> {
    let Ok(_permit) = gate.limits.calls.try_acquire() else {
        return Err(too_many_calls());
    };
    let limit: Duration = gate.limits.timeout;
    tokio::time::timeout(limit, next.run(request))
        .await
        .map_err(|_| ApiError::DeadlineExceeded)
}

/// Known methods; any other text is not ours to count.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

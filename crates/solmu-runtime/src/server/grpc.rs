//! The gRPC server: health, reflection, and a gate before every other service.
//!
//! The gate continues the caller's trace, counts the call, limits it and checks its token. Health and reflection are
//! open: probes and tools have no token, and both say nothing that the public proto files do not.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header::AUTHORIZATION},
    middleware::Next,
    response::Response,
};
use solmu_telemetry::{
    TraceContext,
    metrics::{CALL_SECONDS, Histogram, Unit},
    trace_context,
};
use tokio::time::Instant;
use tonic::{
    Code, Status,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tracing::Instrument as _;

use super::{
    Limits, ServeError, bind, methods::Methods, shares::Shares, standing::Standing, too_many_calls,
};
use crate::{
    access::{
        Access,
        permissions::{self, Row},
        unauthenticated,
    },
    api_error::ApiError,
    runtime::Runtime,
    settings::ServerConfig,
};

/// Services that need no token.
const OPEN: [&str; 2] = ["/grpc.health.v1.Health/", "/grpc.reflection."];
/// How often an idle connection is pinged, and how long the answer may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

#[derive(Clone)]
struct Gate {
    access: Access,
    limits: Limits,
    shares: Shares,
    methods: Arc<Methods>,
    duration: Histogram<2>,
}

pub(super) async fn serve(
    runtime: &Runtime,
    config: &ServerConfig,
    access: Access,
    routes: Routes,
) -> Result<SocketAddr, ServeError> {
    let address = config.grpc_address;
    let listener = bind("gRPC", address).await?;
    let bound = listener
        .local_addr()
        .map_err(|source| ServeError::bind("gRPC", address, source))?;

    let methods = Arc::new(Methods::of(solmu_proto::DESCRIPTOR_SET));
    let gate = Gate {
        access,
        limits: Limits::of(config),
        shares: Shares::new(config.streams_per_caller),
        methods: Arc::clone(&methods),
        duration: runtime.metrics.histogram(
            "rpc_server_call_duration_seconds",
            "How long gRPC calls took until their answer began",
            Unit::Seconds,
            ["rpc_method", "rpc_status_code"],
            CALL_SECONDS,
        ),
    };
    let routes = with_reflection(routes)?.add_service(health(runtime, &methods));
    let gated = routes
        .into_axum_router()
        .layer(axum::middleware::from_fn_with_state(gate, pass));

    let mut builder = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1));
    if let Some(seconds) = config.connection_age_seconds {
        builder = builder.max_connection_age(Duration::from_secs(seconds));
    }
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let drain = runtime.shutdown.drain.clone();
    let served = builder
        .add_routes(Routes::from(gated).prepare())
        .serve_with_incoming_shutdown(incoming, drain.cancelled_owned());
    let shutdown = runtime.shutdown.clone();
    runtime.spawn("server.grpc", async move {
        if let Err(error) = served.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the gRPC server ended"
            );
            shutdown.request("the gRPC server ended");
        }
    });
    Ok(bound)
}

fn with_reflection(routes: Routes) -> Result<Routes, ServeError> {
    let descriptors = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(solmu_proto::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = descriptors().build_v1().map_err(ServeError::Descriptors)?;
    let v1alpha = descriptors()
        .build_v1alpha()
        .map_err(ServeError::Descriptors)?;
    Ok(routes.add_service(v1).add_service(v1alpha))
}

/// The health service; its answers follow the readiness of the process.
fn health(
    runtime: &Runtime,
    methods: &Methods,
) -> tonic_health::pb::health_server::HealthServer<impl tonic_health::pb::health_server::Health> {
    let reporter = HealthReporter::new();
    let service = tonic_health::server::HealthService::from_health_reporter(reporter.clone());
    let mut ready = runtime.readiness.subscribe();
    let names: Vec<String> = methods
        .services()
        .iter()
        .cloned()
        .chain(std::iter::once(String::new()))
        .collect();
    let stop = runtime.shutdown.stop.clone();
    runtime.spawn_background("server.grpc.health", async move {
        loop {
            let status = if *ready.borrow_and_update() {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            for name in &names {
                reporter.set_service_status(name, status).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = ready.changed() => if changed.is_err() { return },
            }
        }
    });
    tonic_health::pb::health_server::HealthServer::new(service)
}

/// Notes a call when it is over, also when the caller hangs up.
struct Measure {
    method: &'static str,
    code: Code,
    started: Instant,
    duration: Histogram<2>,
    span: tracing::Span,
}

impl Drop for Measure {
    fn drop(&mut self) {
        let code = code_name(self.code);
        self.span.record("rpc.status_code", code);
        let took = self.started.elapsed().as_secs_f64();
        // Inside of the span: a slow bucket names its trace.
        self.span
            .in_scope(|| self.duration.observe([self.method, code], took));
    }
}

async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let method = gate.methods.name(request.uri().path());
    if OPEN
        .iter()
        .any(|open| request.uri().path().starts_with(open))
    {
        return next.run(request).await;
    }
    let row = permissions::of_path(request.uri().path());
    let span = tracing::info_span!(
        "rpc.server",
        otel.name = method,
        otel.kind = "server",
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.status_code = tracing::field::Empty,
        caller.token_id = tracing::field::Empty,
    );
    let headers = request.headers();
    let parent =
        TraceContext::from_headers(|key| headers.get(key).and_then(|value| value.to_str().ok()));
    trace_context::set_parent(&span, &parent);
    let mut measure = Measure {
        method,
        code: Code::Cancelled,
        started: Instant::now(),
        duration: gate.duration.clone(),
        span: span.clone(),
    };
    let response = match checked(&gate, row, request, next, &span)
        .instrument(span.clone())
        .await
    {
        Ok(response) => response,
        Err(status) => status.into_http(),
    };
    measure.code =
        Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    response
}

async fn checked(
    gate: &Gate,
    row: Option<&'static Row>,
    mut request: Request,
    next: Next,
    span: &tracing::Span,
) -> Result<Response, Status> {
    let Ok(_permit) = gate.limits.calls.try_acquire() else {
        return Err(too_many_calls().into());
    };
    let token = bearer(request.headers()).ok_or_else(|| unauthenticated("TOKEN_MISSING"))?;
    let caller = gate.access.authenticate(token).await?;
    let standing = gate
        .methods
        .is_stream(request.uri().path())
        .then(|| Standing {
            access: gate.access.clone(),
            token: token.to_owned(),
            caller: caller.clone(),
        });
    span.record("caller.token_id", caller.token_id.as_str());
    let caller = match row {
        Some(row) => caller.allowed_by(row)?,
        None if gate.methods.name(request.uri().path()) == Methods::OTHER => {
            return Err(Status::unimplemented("there is no such method"));
        }
        None => return Err(no_rule().into()),
    };
    let stream = match standing {
        Some(standing) => Some((standing, gate.shares.take(&caller)?)),
        None => None,
    };
    request.extensions_mut().insert(caller);
    let limit = wanted_timeout(request.headers()).map_or(gate.limits.timeout, |wanted| {
        wanted.min(gate.limits.timeout)
    });
    let response = tokio::time::timeout(limit, next.run(request))
        .await
        .map_err(|_| ApiError::DeadlineExceeded)?;
    Ok(match stream {
        Some((standing, share)) => standing.bound(response, share),
        None => response,
    })
}

/// A method of ours that the permission table forgot is for nobody.
fn no_rule() -> ApiError {
    ApiError::PermissionDenied {
        reason: "NO_RULE",
        message: "no rule says who may call this method".to_owned(),
    }
}

/// The token of `authorization: Bearer <token>` (RFC 6750; the scheme in any case).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The caller's `grpc-timeout`: up to 8 digits and a unit.
fn wanted_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// The name of a code as the semantic conventions write it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        [(
            axum::http::HeaderName::from_static(name),
            value.parse().unwrap(),
        )]
        .into_iter()
        .collect()
    }

    #[test]
    fn bearer_tokens_are_found() {
        assert_eq!(bearer(&headers("authorization", "Bearer abc")), Some("abc"));
        assert_eq!(bearer(&headers("authorization", "bearer abc")), Some("abc"));
        assert_eq!(bearer(&headers("authorization", "Basic abc")), None);
        assert_eq!(bearer(&headers("authorization", "abc")), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn timeouts_are_read_as_the_protocol_says() {
        assert_eq!(
            wanted_timeout(&headers("grpc-timeout", "1500m")),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(
            wanted_timeout(&headers("grpc-timeout", "2H")),
            Some(Duration::from_hours(2))
        );
        for bad in ["", "m", "1", "1x", "123456789S", "-1S"] {
            assert_eq!(wanted_timeout(&headers("grpc-timeout", bad)), None, "{bad}");
        }
    }
}

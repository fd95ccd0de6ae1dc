//! One call: JSON in, gRPC on, JSON out.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest as _, Request, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::{
    DynamicMessage, MessageDescriptor, ReflectMessage as _, SerializeOptions, Value,
};
use solmu_runtime::ApiError;
use tonic::{
    Code, Status,
    client::Grpc,
    metadata::{AsciiMetadataKey, AsciiMetadataValue},
    transport::Channel,
};

use crate::{Gateway, codec::Raw, error::Failure, read::read, stream};

/// Headers of the caller that go on: who they are, and which trace the call belongs to. With the bytes of each at most;
/// a longer trace is left out, as its standard has it (W3C Trace Context, 3.3.1.5).
const PASSED_ON: [(&str, usize); 3] = [
    ("authorization", MAX_HEADER),
    ("traceparent", 128),
    ("tracestate", 512),
];
/// Bytes of one header at most: tokens of identity providers are long. The service takes 16 KiB in all.
const MAX_HEADER: usize = 8 * 1024;
/// Bytes of all headers at most, cookies and whatever else a proxy adds included.
const MAX_HEADERS: usize = 32 * 1024;
/// How long the caller wants to wait at most, in milliseconds.
const TIMEOUT: &str = "x-timeout-ms";
/// The last event that a reconnecting event source has seen.
const LAST_EVENT: &str = "last-event-id";
/// The largest answer, in bytes. The server beside us is trusted; the limit is against its bugs.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Serves every method.
pub(crate) async fn call(State(gateway): State<Gateway>, request: Request) -> Response {
    let done = run(&gateway, request).await;
    done.unwrap_or_else(|failure| failure.into_response(gateway.methods.status.as_ref()))
}

async fn run(gateway: &Gateway, request: Request) -> Result<Response, Failure> {
    let Some(method) = gateway.methods.at(request.uri().path()) else {
        return Err(crate::error::no_such_method());
    };
    let headers = request.headers().clone();
    short(&headers)?;
    only_json(&headers)?;
    let body = Bytes::from_request(request, &())
        .await
        .map_err(|refusal| unread(&refusal))?;
    let mut message = read(&method.input, &body).map_err(Status::from)?;
    resume(&mut message, &headers);
    let outgoing = outgoing(Bytes::from(message.encode_to_vec()), &headers)?;
    let path = PathAndQuery::try_from(method.grpc_path.as_str())
        .map_err(|_| Status::internal("the path of a method is no path"))?;

    // The connection of a stream lasts as long as the stream.
    let mut grpc = client(if method.gives_stream {
        gateway.endpoint.connect_lazy()
    } else {
        gateway.channel.clone()
    });
    grpc.ready()
        .await
        .map_err(|error| Status::from_error(error.into()))?;
    if method.gives_stream {
        let answers = grpc.server_streaming(outgoing, path, Raw).await?;
        let status = gateway.methods.status.clone();
        return Ok(stream::respond(
            answers.into_inner(),
            method.output.clone(),
            status,
            stream::Form::wanted(&headers),
        ));
    }
    let answer = grpc.unary(outgoing, path, Raw).await?;
    let text = write(&method.output, &answer.into_inner())?;
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn client(connection: Channel) -> Grpc<Channel> {
    Grpc::new(connection)
        .max_decoding_message_size(MAX_ANSWER)
        .max_encoding_message_size(usize::MAX)
}

/// Refuses headers that the connection to the service could not carry. It is shared: what ends it ends the calls of
/// others, and who sends such headers has shown no token yet.
fn short(headers: &HeaderMap) -> Result<(), Failure> {
    let long = headers.values().any(|value| value.len() > MAX_HEADER);
    let lengths = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    if long || lengths.sum::<usize>() > MAX_HEADERS {
        return Err(crate::error::headers_too_long());
    }
    Ok(())
}

fn only_json(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidArgument,
        "NOT_JSON",
        "the body has to be application/json",
    ))
}

/// Why the body could not be read: too long, or the caller hung up.
fn unread(refusal: &BytesRejection) -> Failure {
    let (code, reason) = match refusal.status() {
        StatusCode::PAYLOAD_TOO_LARGE => (Code::ResourceExhausted, "BODY_TOO_LONG"),
        _ => (Code::InvalidArgument, "BODY_INCOMPLETE"),
    };
    Failure::new(
        refusal.status(),
        code,
        reason,
        "the body is too long or incomplete",
    )
}

/// An answer in the JSON form of protobuf.
pub(crate) fn write(descriptor: &MessageDescriptor, bytes: &[u8]) -> Result<Vec<u8>, Status> {
    let damaged = || Status::internal("an answer cannot be written as JSON");
    let message = DynamicMessage::decode(descriptor.clone(), bytes).map_err(|_| damaged())?;
    let mut json = serde_json::Serializer::new(Vec::new());
    message
        .serialize_with_options(&mut json, &SerializeOptions::new())
        .map_err(|_| damaged())?;
    Ok(json.into_inner())
}

/// Lets a reconnecting event source go on where it was: its last event id is a cursor of ours.
fn resume(message: &mut DynamicMessage, headers: &HeaderMap) {
    let last = headers.get(LAST_EVENT).and_then(|last| last.to_str().ok());
    let (Some(last), Some(cursor)) = (last, message.descriptor().get_field_by_name("cursor"))
    else {
        return;
    };
    if !message.has_field(&cursor) {
        // Ignored where the cursor is no text: such a method has no resumable events.
        let _ = message.try_set_field(&cursor, Value::String(last.to_owned()));
    }
}

fn outgoing(message: Bytes, headers: &HeaderMap) -> Result<tonic::Request<Bytes>, Failure> {
    let mut request = tonic::Request::new(message);
    for (name, most) in PASSED_ON {
        let value = headers.get(name).filter(|value| value.len() <= most);
        let Some(value) = value else {
            continue;
        };
        let value = AsciiMetadataValue::try_from(value.as_bytes())
            .map_err(|_| Status::from(ApiError::invalid(name, "this header is no text")))?;
        let key = AsciiMetadataKey::from_static(name);
        request.metadata_mut().insert(key, value);
    }
    if let Some(wanted) = headers.get(TIMEOUT) {
        let millis = wanted.to_str().ok().and_then(|text| text.parse().ok());
        let millis = millis.filter(|millis| *millis > 0).ok_or_else(|| {
            Status::from(ApiError::invalid(
                TIMEOUT,
                "this header is no number of milliseconds",
            ))
        })?;
        request.set_timeout(Duration::from_millis(millis));
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::{Method, Methods};

    fn method(path: &str) -> Method {
        Methods::of_api().unwrap().at(path).unwrap().clone()
    }

    #[test]
    fn a_stream_goes_on_after_the_last_event() {
        let method = method("/v1/solmu.ticket.v1.TicketService/WatchTickets");
        let headers: HeaderMap = [(
            http::HeaderName::from_static(LAST_EVENT),
            HeaderValue::from_static("c7"),
        )]
        .into_iter()
        .collect();
        let cursor = |body: &str| {
            let mut message = read(&method.input, body.as_bytes()).unwrap();
            resume(&mut message, &headers);
            let cursor = message.get_field_by_name("cursor").unwrap();
            cursor.as_str().unwrap().to_owned()
        };
        assert_eq!(cursor("{}"), "c7");
        assert_eq!(cursor(r#"{"cursor": "c9"}"#), "c9");
    }
}

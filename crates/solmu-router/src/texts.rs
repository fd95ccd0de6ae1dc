//! Where the router gets the words of tickets from. Events carry none, so that erasure is possible; rules that look at
//! words make the router ask, once per batch.

use std::{future::Future, pin::Pin, time::Duration};

use solmu_domain::ids::TicketId;
use solmu_proto::ticket::v1::{
    BatchGetRoutingTextsRequest, FieldDefinition, ListFieldsRequest, RoutingText,
    field_service_client::FieldServiceClient, ticket_service_client::TicketServiceClient,
};
use solmu_telemetry::TraceContext;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use crate::{config::Config, error::Error};

/// How long the ticket service may take for the texts of one batch.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// Texts of one batch; a text is cut by the ticket service, but a message may be long.
const MAX_ANSWER: usize = 64 << 20;

/// Why there are no texts.
#[derive(Debug, thiserror::Error)]
pub enum TextsError {
    /// Nobody said where the ticket service is.
    #[error("router.tickets_endpoint is not configured")]
    NotConfigured,
    /// It did not answer, or refused.
    #[error("the ticket service does not give texts")]
    Refused(#[source] Box<Status>),
}

/// What [`RoutingTexts::fetch`] returns.
pub type FetchTexts<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<RoutingText>, TextsError>> + Send + 'a>>;

/// What [`RoutingTexts::fields`] returns.
pub type FetchFields<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<FieldDefinition>, TextsError>> + Send + 'a>>;

/// A source of the words of tickets.
pub trait RoutingTexts: Send + Sync + 'static {
    /// The texts of tickets, in any order; those that are gone are left out.
    fn fetch<'a>(&'a self, tickets: &'a [TicketId]) -> FetchTexts<'a>;

    /// The custom fields that are in use, for checking rules that look at them.
    fn fields(&self) -> FetchFields<'_> {
        Box::pin(std::future::ready(Err(TextsError::NotConfigured)))
    }

    /// Whether it can ever answer: rules that need it are refused otherwise.
    fn is_configured(&self) -> bool;
}

/// The ticket service, over gRPC.
pub(crate) struct TicketServiceTexts {
    client: TicketServiceClient<Channel>,
    definitions: FieldServiceClient<Channel>,
    authorization: Option<MetadataValue<Ascii>>,
}

impl TicketServiceTexts {
    /// Does not connect yet: services start in any order.
    fn new(config: &Config) -> Result<Self, Error> {
        let endpoint =
            Endpoint::from_shared(config.tickets_endpoint.clone()).map_err(|source| {
                Error::BadEndpoint {
                    endpoint: config.tickets_endpoint.clone(),
                    source,
                }
            })?;
        let channel = endpoint
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .connect_lazy();
        let authorization = match config.tickets_token.expose() {
            "" => None,
            token => {
                let mut value = MetadataValue::try_from(format!("Bearer {token}"))
                    .map_err(|_| Error::BadToken)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self {
            definitions: FieldServiceClient::new(channel.clone()),
            client: TicketServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER),
            authorization,
        })
    }

    /// As us, and as a part of the present trace.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        if let Some(value) = &self.authorization {
            metadata.insert("authorization", value.clone());
        }
        for (key, value) in TraceContext::current().headers() {
            if let Ok(value) = value.parse::<MetadataValue<Ascii>>() {
                metadata.insert(key, value);
            }
        }
        request
    }
}

impl RoutingTexts for TicketServiceTexts {
    fn fetch<'a>(&'a self, tickets: &'a [TicketId]) -> FetchTexts<'a> {
        Box::pin(async move {
            let request = self.request(BatchGetRoutingTextsRequest {
                ticket_ids: tickets.iter().map(ToString::to_string).collect(),
            });
            let answer = self.client.clone().batch_get_routing_texts(request).await;
            let answer = answer.map_err(|status| TextsError::Refused(Box::new(status)))?;
            Ok(answer.into_inner().texts)
        })
    }

    fn fields(&self) -> FetchFields<'_> {
        Box::pin(async move {
            let request = self.request(ListFieldsRequest::default());
            let answer = self.definitions.clone().list_fields(request).await;
            let answer = answer.map_err(|status| TextsError::Refused(Box::new(status)))?;
            Ok(answer.into_inner().fields)
        })
    }

    fn is_configured(&self) -> bool {
        true
    }
}

/// No source.
struct NoTexts;

impl RoutingTexts for NoTexts {
    fn fetch<'a>(&'a self, _: &'a [TicketId]) -> FetchTexts<'a> {
        Box::pin(std::future::ready(Err(TextsError::NotConfigured)))
    }

    fn is_configured(&self) -> bool {
        false
    }
}

/// The source that the configuration names.
pub(crate) fn of_config(config: &Config) -> Result<Box<dyn RoutingTexts>, Error> {
    Ok(if config.tickets_endpoint.is_empty() {
        Box::new(NoTexts)
    } else {
        Box::new(TicketServiceTexts::new(config)?)
    })
}

//! The ticket service over gRPC.

use std::time::Duration;

use solmu_proto::{
    contact::v1::{
        BatchGetConditionValuesRequest, ConditionValues, ContactAttribute,
        ListContactAttributesRequest, contact_attribute::Subject,
        contact_service_client::ContactServiceClient,
    },
    routing::v1::{ListAgentsRequest, routing_service_client::RoutingServiceClient},
    ticket::v1::{FieldDefinition, ListFieldsRequest, field_service_client::FieldServiceClient},
};
use solmu_telemetry::TraceContext;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use crate::{Answer, Asked, Inquiry, InquiryError, Owns};

/// How long the ticket service may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// A thousand contacts with hundreds of fields.
const MAX_ANSWER: usize = 64 << 20;

/// The ticket service cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum BadAddress {
    /// The address cannot be used.
    #[error("'{endpoint}' is not a URL such as http://127.0.0.1:7070")]
    Endpoint {
        /// As configured.
        endpoint: String,
        /// What is wrong with it.
        #[source]
        source: tonic::transport::Error,
    },
    /// The token cannot be sent.
    #[error("the token holds characters that a header cannot carry")]
    Token,
}

/// The ticket service. It connects when it is asked first: services start in any order.
#[derive(Debug, Clone)]
pub struct TicketService {
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
}

impl TicketService {
    /// At `endpoint`, with a bearer token of role service; none for the empty one.
    ///
    /// # Errors
    /// [`BadAddress`] when it can never be reached so.
    pub fn new(endpoint: &str, token: &str) -> Result<Self, BadAddress> {
        let bad = |source| BadAddress::Endpoint {
            endpoint: endpoint.to_owned(),
            source,
        };
        let channel = Endpoint::from_shared(endpoint.to_owned())
            .map_err(bad)?
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .connect_lazy();
        let authorization = if token.is_empty() {
            None
        } else {
            let value = MetadataValue::try_from(format!("Bearer {token}"));
            let mut value = value.map_err(|_| BadAddress::Token)?;
            value.set_sensitive(true);
            Some(value)
        };
        Ok(Self {
            channel,
            authorization,
        })
    }

    /// The connection, for other questions to the same service.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// As us, and as a part of the present trace.
    pub fn request<T>(&self, message: T) -> Request<T> {
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

fn refused(status: Status) -> InquiryError {
    InquiryError::Refused(Box::new(status))
}

impl Inquiry for TicketService {
    fn is_configured(&self) -> bool {
        true
    }

    fn values<'a>(&'a self, asked: &'a Asked) -> Answer<'a, Owns> {
        Box::pin(async move {
            let request = self.request(BatchGetConditionValuesRequest {
                contact_ids: asked.contacts.iter().map(Uuid::to_string).collect(),
                organization_ids: asked.organizations.iter().map(Uuid::to_string).collect(),
                fields: asked.fields.names().map(str::to_owned).collect(),
            });
            let client = ContactServiceClient::new(self.channel());
            let mut client = client.max_decoding_message_size(MAX_ANSWER);
            let answer = client.batch_get_condition_values(request).await;
            let answer = answer.map_err(refused)?.into_inner();
            let known = |all: Vec<ConditionValues>| {
                let known = all.into_iter().filter_map(|it| {
                    let values = it.values.into_iter();
                    let values = values.map(|value| (value.field, value.values)).collect();
                    Some((Uuid::parse_str(&it.id).ok()?, values))
                });
                known.collect()
            };
            Ok(Owns {
                contacts: known(answer.contacts),
                organizations: known(answer.organizations),
            })
        })
    }

    fn fields(&self) -> Answer<'_, Vec<FieldDefinition>> {
        Box::pin(async move {
            let request = self.request(ListFieldsRequest::default());
            let mut client = FieldServiceClient::new(self.channel());
            let answer = client.list_fields(request).await.map_err(refused)?;
            Ok(answer.into_inner().fields)
        })
    }

    fn attributes(&self, of: Subject) -> Answer<'_, Vec<ContactAttribute>> {
        Box::pin(async move {
            let request = self.request(ListContactAttributesRequest { subject: of.into() });
            let mut client = ContactServiceClient::new(self.channel());
            let answer = client.list_contact_attributes(request).await;
            Ok(answer.map_err(refused)?.into_inner().attributes)
        })
    }

    fn agents(&self) -> Answer<'_, Vec<Uuid>> {
        Box::pin(async move {
            let request = self.request(ListAgentsRequest::default());
            let client = RoutingServiceClient::new(self.channel());
            let mut client = client.max_decoding_message_size(MAX_ANSWER);
            let answer = client.list_agents(request).await.map_err(refused)?;
            let agents = answer.into_inner().agents.into_iter();
            Ok(agents.filter_map(|it| it.id.parse().ok()).collect())
        })
    }
}

//! Where the router gets the words of tickets from. Events carry none, so that erasure is possible; rules that look at
//! words make the router ask, once per batch.

use std::{future::Future, pin::Pin};

use solmu_domain::ids::TicketId;
use solmu_inquiry::{Answer, Asked, BadAddress, Inquiry, Nobody, Owns, TicketService};
use solmu_proto::{
    contact::v1::{ContactAttribute, contact_attribute::Subject},
    ticket::v1::{
        BatchGetRoutingTextsRequest, FieldDefinition, RoutingText,
        ticket_service_client::TicketServiceClient,
    },
};
use tonic::Status;

use crate::{config::Config, error::Error};

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

/// A source of the words of tickets, and of what else rules look at that events do not say.
pub trait RoutingTexts: Inquiry {
    /// The texts of tickets, in any order; those that are gone are left out.
    fn fetch<'a>(&'a self, tickets: &'a [TicketId]) -> FetchTexts<'a>;
}

/// The ticket service, over gRPC.
struct TicketServiceTexts(TicketService);

impl Inquiry for TicketServiceTexts {
    fn is_configured(&self) -> bool {
        self.0.is_configured()
    }

    fn values<'a>(&'a self, asked: &'a Asked) -> Answer<'a, Owns> {
        self.0.values(asked)
    }

    fn fields(&self) -> Answer<'_, Vec<FieldDefinition>> {
        self.0.fields()
    }

    fn attributes(&self, of: Subject) -> Answer<'_, Vec<ContactAttribute>> {
        self.0.attributes(of)
    }
}

impl RoutingTexts for TicketServiceTexts {
    fn fetch<'a>(&'a self, tickets: &'a [TicketId]) -> FetchTexts<'a> {
        Box::pin(async move {
            let request = self.0.request(BatchGetRoutingTextsRequest {
                ticket_ids: tickets.iter().map(ToString::to_string).collect(),
            });
            let client = TicketServiceClient::new(self.0.channel());
            let mut client = client.max_decoding_message_size(MAX_ANSWER);
            let answer = client.batch_get_routing_texts(request).await;
            let answer = answer.map_err(|status| TextsError::Refused(Box::new(status)))?;
            Ok(answer.into_inner().texts)
        })
    }
}

impl RoutingTexts for Nobody {
    fn fetch<'a>(&'a self, _: &'a [TicketId]) -> FetchTexts<'a> {
        Box::pin(std::future::ready(Err(TextsError::NotConfigured)))
    }
}

/// The source that the configuration names.
pub(crate) fn of_config(config: &Config) -> Result<Box<dyn RoutingTexts>, Error> {
    if config.tickets_endpoint.is_empty() {
        return Ok(Box::new(Nobody));
    }
    let service = TicketService::new(&config.tickets_endpoint, config.tickets_token.expose());
    match service {
        Ok(service) => Ok(Box::new(TicketServiceTexts(service))),
        Err(BadAddress::Endpoint { endpoint, source }) => {
            Err(Error::BadEndpoint { endpoint, source })
        }
        Err(BadAddress::Token) => Err(Error::BadToken),
    }
}

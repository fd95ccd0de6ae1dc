//! Typed client of Solmu's gRPC API.
//!
//! It is the one library that other services build on, so it says little: the services are the generated ones
//! ([`solmu_proto`], re-exported as [`proto`]), reached through one channel that connects when first used, stays alive
//! while idle, and sends the bearer token with each call. What it adds is [`ClientError`]: the google.rpc details of a
//! refusal (reason, field violations, retry delay) decoded, and "the server cannot be reached" kept apart from "the
//! server said no". And calls that fail because a server is being replaced are made again where that is safe ([`Retry`]):
//! always if the server has not seen them, else if they only read or carry a `request_id`. So give each call that changes
//! something a `request_id` of its own.
//!
//! ```no_run
//! use solmu_client::{Client, ClientError, proto::ticket::v1::ListTicketsRequest};
//!
//! # async fn example() -> Result<(), ClientError> {
//! let client = Client::connect("http://127.0.0.1:7310", "solmu_...")?;
//! let request = ListTicketsRequest { filter: "status = open".to_owned(), ..Default::default() };
//! let page = client.tickets().list_tickets(request).await?.into_inner();
//! for ticket in page.tickets {
//!     println!("#{} {}", ticket.number, ticket.subject);
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod methods;
mod retry;

use std::time::Duration;

use solmu_proto::{
    access::v1::access_service_client::AccessServiceClient,
    contact::v1::contact_service_client::ContactServiceClient,
    requester::v1::requester_service_client::RequesterServiceClient,
    routing::v1::routing_service_client::RoutingServiceClient,
    sla::v1::sla_service_client::SlaServiceClient,
    ticket::v1::{
        activity_service_client::ActivityServiceClient,
        catalogue_service_client::CatalogueServiceClient, desk_service_client::DeskServiceClient,
        field_service_client::FieldServiceClient, link_service_client::LinkServiceClient,
        matter_service_client::MatterServiceClient, search_service_client::SearchServiceClient,
        substatus_service_client::SubstatusServiceClient,
        ticket_service_client::TicketServiceClient, time_service_client::TimeServiceClient,
        work_service_client::WorkServiceClient,
    },
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, ClientTlsConfig, Endpoint},
};

pub use error::{ClientError, Refusal, Violation};
pub use retry::{ATTEMPTS, Retry};
pub use solmu_proto as proto;
pub use tonic::Code;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long the head of an answer may take. Streams (`WatchTickets`) answer at once and then run without limit.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Silence after which the connection is tried, also while no call runs.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// How long the answer to that may take.
const KEEPALIVE_LIMIT: Duration = Duration::from_secs(10);

/// What the generated clients call through: a shared channel that adds the token, and repeats what may be repeated.
pub type Service = InterceptedService<Retry, Bearer>;

/// Adds the bearer token to each call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer([redacted])")
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A handle to one Solmu. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Client {
    service: Service,
}

impl Client {
    /// A client of `endpoint` (`http://host:port`) with a bearer token. It connects with the first call, and again
    /// whenever the connection is lost. Must be called within a tokio runtime.
    pub fn connect(endpoint: &str, token: &str) -> Result<Self, ClientError> {
        Self::build(endpoint, token, None)
    }

    /// As [`Client::connect`], for `https://host:port` whose certificate is signed by an authority of `ca_pem` (PEM).
    /// The system's authorities are not taken: a cluster has its own.
    pub fn connect_tls(endpoint: &str, token: &str, ca_pem: &[u8]) -> Result<Self, ClientError> {
        Self::build(endpoint, token, Some(ca_pem))
    }

    fn build(endpoint: &str, token: &str, ca_pem: Option<&[u8]>) -> Result<Self, ClientError> {
        let bad = |source| ClientError::Endpoint {
            endpoint: endpoint.to_owned(),
            source,
        };
        let mut builder = Endpoint::from_shared(endpoint.to_owned())
            .map_err(bad)?
            .connect_timeout(CONNECT_LIMIT)
            .timeout(CALL_LIMIT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_LIMIT)
            .keep_alive_while_idle(true);
        if !matches!(builder.uri().scheme_str(), Some("http" | "https")) {
            return Err(ClientError::Scheme {
                endpoint: endpoint.to_owned(),
            });
        }
        if let Some(pem) = ca_pem {
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            builder = builder.tls_config(tls).map_err(bad)?;
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim())
            .parse()
            .map_err(|_| ClientError::Token)?;
        value.set_sensitive(true);
        Ok(Self {
            service: InterceptedService::new(Retry::new(builder.connect_lazy()), Bearer(value)),
        })
    }

    /// Tickets and their messages.
    #[must_use]
    pub fn tickets(&self) -> TicketServiceClient<Service> {
        TicketServiceClient::new(self.service.clone())
    }

    /// Search, and saved views.
    #[must_use]
    pub fn search(&self) -> SearchServiceClient<Service> {
        SearchServiceClient::new(self.service.clone())
    }

    /// What happened to tickets, as a chain that shows changes.
    #[must_use]
    pub fn activities(&self) -> ActivityServiceClient<Service> {
        ActivityServiceClient::new(self.service.clone())
    }

    /// Who looks at a ticket, texts and macros, many tickets at once.
    #[must_use]
    pub fn desk(&self) -> DeskServiceClient<Service> {
        DeskServiceClient::new(self.service.clone())
    }

    /// Time spent on tickets, and what is billed of it.
    #[must_use]
    pub fn time(&self) -> TimeServiceClient<Service> {
        TimeServiceClient::new(self.service.clone())
    }

    /// What can be ordered, as tickets with their parts and tasks.
    #[must_use]
    pub fn catalogue(&self) -> CatalogueServiceClient<Service> {
        CatalogueServiceClient::new(self.service.clone())
    }

    /// Fields of one's own on tickets.
    #[must_use]
    pub fn fields(&self) -> FieldServiceClient<Service> {
        FieldServiceClient::new(self.service.clone())
    }

    /// Tasks, followers, snoozing and links of tickets.
    #[must_use]
    pub fn work(&self) -> WorkServiceClient<Service> {
        WorkServiceClient::new(self.service.clone())
    }

    /// Sub-statuses: finer words for where a ticket stands.
    #[must_use]
    pub fn substatuses(&self) -> SubstatusServiceClient<Service> {
        SubstatusServiceClient::new(self.service.clone())
    }

    /// What may be one matter over several channels.
    #[must_use]
    pub fn matters(&self) -> MatterServiceClient<Service> {
        MatterServiceClient::new(self.service.clone())
    }

    /// Links by which requesters read their tickets.
    #[must_use]
    pub fn links(&self) -> LinkServiceClient<Service> {
        LinkServiceClient::new(self.service.clone())
    }

    /// What requesters see and do, for the backend of a portal that has signed them in.
    #[must_use]
    pub fn requesters(&self) -> RequesterServiceClient<Service> {
        RequesterServiceClient::new(self.service.clone())
    }

    /// Contacts.
    #[must_use]
    pub fn contacts(&self) -> ContactServiceClient<Service> {
        ContactServiceClient::new(self.service.clone())
    }

    /// Teams, agents, presence and rules.
    #[must_use]
    pub fn routing(&self) -> RoutingServiceClient<Service> {
        RoutingServiceClient::new(self.service.clone())
    }

    /// Calendars, policies and clocks.
    #[must_use]
    pub fn sla(&self) -> SlaServiceClient<Service> {
        SlaServiceClient::new(self.service.clone())
    }

    /// Bearer tokens.
    #[must_use]
    pub fn access(&self) -> AccessServiceClient<Service> {
        AccessServiceClient::new(self.service.clone())
    }
}

#[cfg(test)]
mod tests {
    use solmu_proto::ticket::v1::GetTicketRequest;

    use super::*;

    #[tokio::test]
    async fn what_cannot_work_is_said_at_once() {
        assert!(matches!(
            Client::connect("not a url", "t"),
            Err(ClientError::Endpoint { .. })
        ));
        assert!(Client::connect("127.0.0.1:7310", "t").is_err());
        assert!(matches!(
            Client::connect("ftp://127.0.0.1:1", "t"),
            Err(ClientError::Scheme { .. })
        ));
        assert!(matches!(
            Client::connect("http://127.0.0.1:1", "a\nb"),
            Err(ClientError::Token)
        ));
    }

    #[test]
    fn every_service_can_be_reached() {
        use prost::Message as _;

        let set = prost_types::FileDescriptorSet::decode(proto::DESCRIPTOR_SET).unwrap();
        let services = set.file.iter().flat_map(|file| &file.service);
        let ours = include_str!("lib.rs");
        let missing: Vec<&str> = services
            .map(prost_types::ServiceDescriptorProto::name)
            .filter(|name| !ours.contains(&format!("-> {name}Client<Service>")))
            .collect();
        assert!(missing.is_empty(), "no method gives {missing:?}");
    }

    #[tokio::test]
    async fn the_token_goes_with_each_call_and_into_no_log() {
        let client = Client::connect("http://127.0.0.1:1", " secret\n").unwrap();
        assert!(!format!("{client:?}").contains("secret"));
        let mut value: MetadataValue<Ascii> = "Bearer secret".parse().unwrap();
        value.set_sensitive(true);
        let request = Bearer(value).call(Request::new(())).unwrap();
        assert_eq!(
            request.metadata().get("authorization").unwrap(),
            "Bearer secret"
        );
        assert!(!format!("{request:?}").contains("Bearer secret"));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unreachable() {
        // Port 1 (tcpmux) is closed on any machine that runs tests.
        let client = Client::connect("http://127.0.0.1:1", "t").unwrap();
        let status = client
            .tickets()
            .get_ticket(GetTicketRequest::default())
            .await
            .unwrap_err();
        assert!(matches!(
            ClientError::from(status),
            ClientError::Unreachable { .. }
        ));
    }
}

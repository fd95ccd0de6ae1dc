//! The services over the wire, with a token of each role.

use solmu_proto::{
    access::v1::{CreateTokenRequest, Role, Token, access_service_client::AccessServiceClient},
    contact::v1::contact_service_client::ContactServiceClient,
    ticket::v1::{
        activity_service_client::ActivityServiceClient, field_service_client::FieldServiceClient,
        matter_service_client::MatterServiceClient, search_service_client::SearchServiceClient,
        substatus_service_client::SubstatusServiceClient,
        ticket_service_client::TicketServiceClient, work_service_client::WorkServiceClient,
    },
};
use solmu_runtime::{Parts, Runtime, access::Access, server, settings::ServerConfig};
use solmu_tickets::Config;
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::support::{Ticket, World, mail};

pub(crate) const AGENT: Uuid = Uuid::from_u128(77);

/// A world whose first replica serves its API.
pub(crate) struct Api {
    pub(crate) world: World,
    channel: Channel,
    admin: String,
    agent: String,
    service: String,
}

impl Api {
    pub(crate) async fn new() -> Self {
        Self::configured(Config::default()).await
    }

    /// Of another configuration.
    pub(crate) async fn configured(config: Config) -> Self {
        let mut world = World::with(config).await;
        let parts = world.start("a").await;
        let runtime = world.replicas[0].clone();
        let admin = solmu_runtime::access::bootstrap(
            &runtime.db,
            runtime.clock.as_ref(),
            runtime.rng.as_ref(),
        );
        let admin = admin.await.unwrap().unwrap().token.expose().to_owned();
        let channel = serve(&runtime, parts).await;
        let mut api = Self {
            world,
            channel,
            admin,
            agent: String::new(),
            service: String::new(),
        };
        api.agent = api.token(Role::Agent, &AGENT.to_string()).await;
        api.service = api.token(Role::Service, "").await;
        api
    }

    pub(crate) async fn token(&self, role: Role, agent_id: &str) -> String {
        let token = Token {
            display_name: "test".to_owned(),
            role: role.into(),
            agent_id: agent_id.to_owned(),
            ..Token::default()
        };
        let request = with(
            CreateTokenRequest {
                token: Some(token),
                ..CreateTokenRequest::default()
            },
            &self.admin,
        );
        let mut client = AccessServiceClient::new(self.channel.clone());
        client
            .create_token(request)
            .await
            .unwrap()
            .into_inner()
            .secret
    }

    pub(crate) fn tickets(&self) -> TicketServiceClient<Channel> {
        TicketServiceClient::new(self.channel.clone())
    }

    pub(crate) fn activity(&self) -> ActivityServiceClient<Channel> {
        ActivityServiceClient::new(self.channel.clone())
    }

    pub(crate) fn search(&self) -> SearchServiceClient<Channel> {
        SearchServiceClient::new(self.channel.clone())
    }

    pub(crate) fn contacts(&self) -> ContactServiceClient<Channel> {
        ContactServiceClient::new(self.channel.clone())
    }

    pub(crate) fn matters(&self) -> MatterServiceClient<Channel> {
        MatterServiceClient::new(self.channel.clone())
    }

    pub(crate) fn substatuses(&self) -> SubstatusServiceClient<Channel> {
        SubstatusServiceClient::new(self.channel.clone())
    }

    pub(crate) fn fields(&self) -> FieldServiceClient<Channel> {
        FieldServiceClient::new(self.channel.clone())
    }

    pub(crate) fn work(&self) -> WorkServiceClient<Channel> {
        WorkServiceClient::new(self.channel.clone())
    }

    /// A call of the agent.
    pub(crate) fn agent<T>(&self, message: T) -> Request<T> {
        with(message, &self.agent)
    }

    /// A call of an administrator.
    pub(crate) fn admin<T>(&self, message: T) -> Request<T> {
        with(message, &self.admin)
    }

    /// A call of a service.
    pub(crate) fn service<T>(&self, message: T) -> Request<T> {
        with(message, &self.service)
    }
}

/// Serves the API of a replica, and connects to it.
async fn serve(runtime: &Runtime, parts: Parts) -> Channel {
    let access = Access::start(runtime);
    let parts = parts.merge(Parts {
        grpc: Some(access.routes()),
        http: None,
    });
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let config = ServerConfig {
        http_address: any,
        grpc_address: any,
        admin_address: any,
        ..ServerConfig::default()
    };
    let bound = server::serve(runtime, &config, &access, parts).await;
    let address = format!("http://{}", bound.unwrap().grpc.unwrap());
    let endpoint = Endpoint::from_shared(address).unwrap();
    endpoint.connect().await.unwrap()
}

/// A call with a token.
pub(crate) fn with<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let header = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", header);
    request
}

/// The stable reason of a failure.
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

/// The ticket of a first mail.
pub(crate) async fn opened(api: &Api) -> Ticket {
    api.world
        .file(&mail("root@c.example", "aino@c.example"))
        .await
        .unwrap()
}

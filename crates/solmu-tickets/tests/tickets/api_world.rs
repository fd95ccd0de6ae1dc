//! The services over the wire, with a token of each role.

use solmu_proto::{
    access::v1::{CreateTokenRequest, Role, Token, access_service_client::AccessServiceClient},
    contact::v1::contact_service_client::ContactServiceClient,
    ticket::v1::ticket_service_client::TicketServiceClient,
};
use solmu_runtime::{access::Access, server, settings::ServerConfig};
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
        let access = Access::start(&runtime);
        let admin = solmu_runtime::access::bootstrap(
            &runtime.db,
            runtime.clock.as_ref(),
            runtime.rng.as_ref(),
        );
        let admin = admin.await.unwrap().unwrap().token.expose().to_owned();
        let parts = parts.merge(solmu_runtime::Parts {
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
        let bound = server::serve(&runtime, &config, &access, parts)
            .await
            .unwrap();
        let address = format!("http://{}", bound.grpc.unwrap());
        let channel = Endpoint::from_shared(address)
            .unwrap()
            .connect()
            .await
            .unwrap();
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

    async fn token(&self, role: Role, agent_id: &str) -> String {
        let token = Token {
            display_name: "test".to_owned(),
            role: role.into(),
            agent_id: agent_id.to_owned(),
            ..Token::default()
        };
        let request = with(CreateTokenRequest { token: Some(token) }, &self.admin);
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

    pub(crate) fn contacts(&self) -> ContactServiceClient<Channel> {
        ContactServiceClient::new(self.channel.clone())
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

fn with<T>(message: T, token: &str) -> Request<T> {
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

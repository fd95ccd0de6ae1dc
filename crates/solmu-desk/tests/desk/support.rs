//! A ticket service with its desk, over the wire, with a token of each role.

use std::sync::atomic::{AtomicI64, Ordering};

use prost::Message as _;
use solmu_bus::{Event, EventBody, ReceivedEvent, envelope::to_proto_time};
use solmu_domain::{
    clock::Clock as _,
    ids::{EventId, MessageId},
};
use solmu_proto::{
    access::v1::{CreateTokenRequest, Role, Token, access_service_client::AccessServiceClient},
    inbound::v1::{MessageReceived, Sender, Threading},
    ticket::v1::{
        ActivityChange, ListActivitiesRequest, activity_service_client::ActivityServiceClient,
        catalogue_service_client::CatalogueServiceClient, desk_service_client::DeskServiceClient,
        ticket_service_client::TicketServiceClient, time_service_client::TimeServiceClient,
        work_service_client::WorkServiceClient,
    },
    types::v1::{Assurance, AutomaticClass, Channel as Kind, Identity, IdentityKind},
};
use solmu_runtime::{Parts, Runtime, access::Access, server, settings::ServerConfig};
use solmu_testkit::{Harness, wait_for};
use solmu_tickets::Config;
use sqlx::PgPool;
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

const ACCOUNT: &str = "main";
pub(crate) const AGENT: Uuid = Uuid::from_u128(77);

/// One database and bus with any number of replicas.
pub(crate) struct World {
    pub(crate) harness: Harness,
    replicas: Vec<Runtime>,
    config: Config,
    published: AtomicI64,
}

impl World {
    async fn start(&mut self, name: &str) -> (Runtime, Parts) {
        let runtime = Runtime {
            bus: self.harness.second_bus().await,
            ..self.harness.runtime(name)
        };
        let (parts, hands) = solmu_tickets::start_with_hands(&runtime, self.config.clone());
        let parts = parts.merge(solmu_desk::start(&runtime, hands));
        self.replicas.push(runtime.clone());
        (runtime, parts)
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.harness.db.pool()
    }

    /// Publishes a message and waits until it is filed, so that order is certain; returns its ticket if it has one.
    pub(crate) async fn file(&self, message: &MessageReceived) -> Option<Ticket> {
        let id = EventId::generate(&self.harness.clock, self.harness.rng.as_ref());
        let event = Event::new(id, self.harness.clock.now(), message);
        self.harness.bus.publish(&[event]).await.unwrap();
        let wanted = self.published.fetch_add(1, Ordering::Relaxed) + 1;
        wait_for("what was published is done", || async {
            let done = "SELECT count(*) FROM tickets.inbox";
            self.count(done).await >= wanted
        })
        .await;
        sqlx::query_as(
            "SELECT ticket.* FROM tickets.ticket JOIN tickets.message ON ticket.id = message.ticket_id
             WHERE message.id = $1",
        )
        .bind(Uuid::parse_str(&message.message_id).unwrap())
        .fetch_optional(self.pool())
        .await
        .unwrap()
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    pub(crate) async fn ticket(&self, id: Uuid) -> Ticket {
        sqlx::query_as("SELECT * FROM tickets.ticket WHERE id = $1")
            .bind(id)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Puts a ticket into a status, as if by a command.
    pub(crate) async fn set_status(&self, ticket: Uuid, status: &str) {
        sqlx::query("UPDATE tickets.ticket SET status = $2, version = version + 1 WHERE id = $1")
            .bind(ticket)
            .bind(status)
            .execute(self.pool())
            .await
            .unwrap();
    }

    /// The bodies of the events of one type, in order.
    pub(crate) async fn told<B: EventBody + Default>(&self) -> Vec<B> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT event FROM tickets.outbox ORDER BY id")
            .fetch_all(self.pool())
            .await
            .unwrap();
        let events = rows.iter().map(|bytes| {
            let event = solmu_proto::bus::v1::Event::decode(bytes.as_slice()).unwrap();
            ReceivedEvent::from_proto(event).unwrap()
        });
        let of_type = events.filter(|event| event.event_type == B::TYPE);
        of_type.map(|event| event.decode().unwrap()).collect()
    }

    /// Adds an agent to the roster, as the router would say it.
    pub(crate) async fn hire(&self, id: Uuid, name: &str, address: &str) {
        sqlx::query("INSERT INTO tickets.agent (id, display_name, address) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(name)
            .bind(address)
            .execute(self.pool())
            .await
            .unwrap();
    }
}

/// What tests look at of a ticket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ticket {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    pub(crate) status: String,
    pub(crate) priority: String,
    pub(crate) contact_id: Uuid,
    pub(crate) version: i64,
    pub(crate) message_count: i64,
}
solmu_db::from_row!(Ticket {
    id,
    number,
    status,
    priority,
    contact_id,
    version,
    message_count
});

/// A world whose first replica serves its API.
pub(crate) struct Api {
    pub(crate) world: World,
    channel: Channel,
    admin: String,
    agent: String,
    service: String,
}

macro_rules! clients {
    ($($name:ident: $client:ident)*) => {
        $(pub(crate) fn $name(&self) -> $client<Channel> {
            $client::new(self.channel.clone())
        })*
    };
}

impl Api {
    pub(crate) async fn new() -> Self {
        Self::configured(Config::default()).await
    }

    /// Of another configuration.
    pub(crate) async fn configured(config: Config) -> Self {
        let mut world = World {
            harness: Harness::new().await,
            replicas: Vec::new(),
            config,
            published: AtomicI64::new(0),
        };
        let (runtime, parts) = world.start("a").await;
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

    clients! {
        tickets: TicketServiceClient
        work: WorkServiceClient
        activity: ActivityServiceClient
        desk: DeskServiceClient
        time: TimeServiceClient
        catalogue: CatalogueServiceClient
    }

    /// The desk of another replica.
    pub(crate) async fn desk_of_another(&mut self) -> DeskServiceClient<Channel> {
        let (runtime, parts) = self.world.start("b").await;
        DeskServiceClient::new(serve(&runtime, parts).await)
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

    /// What the log of a ticket says of one field, with the reasons.
    pub(crate) async fn logged(&self, ticket: Uuid, field: &str) -> Vec<(ActivityChange, String)> {
        let request = ListActivitiesRequest {
            ticket_id: ticket.to_string(),
            page_size: 500,
            ..ListActivitiesRequest::default()
        };
        let page = self.activity().list_activities(self.admin(request)).await;
        let mut all = page.unwrap().into_inner().activities;
        all.sort_by_key(|it| it.sequence);
        let changes = all.into_iter().flat_map(|it| {
            let reason = it.reason;
            it.changes.into_iter().map(move |it| (it, reason.clone()))
        });
        changes.filter(|(it, _)| it.field == field).collect()
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

/// The fields that a failure names, in order.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|it| it.field_violations.clone());
    let fields = violations.unwrap_or_default().into_iter();
    fields.map(|it| it.field).collect()
}

/// The ticket of a first mail.
pub(crate) async fn opened(api: &Api) -> Ticket {
    let mail = mail("root@c.example", "aino@c.example");
    api.world.file(&mail).await.unwrap()
}

/// A mail that answers nothing.
pub(crate) fn mail(id: &str, from: &str) -> MessageReceived {
    MessageReceived {
        message_id: MessageId::of_inbound("email", ACCOUNT, id).to_string(),
        channel: Kind::Email.into(),
        account: ACCOUNT.to_owned(),
        external_id: id.to_owned(),
        conversation_key: id.to_owned(),
        sender: Some(Sender {
            display_name: String::new(),
            identities: vec![Identity {
                kind: IdentityKind::Email.into(),
                value: from.to_owned(),
                raw: from.to_owned(),
                assurance: Assurance::Claimed.into(),
                ..Identity::default()
            }],
        }),
        subject: "Invoice".to_owned(),
        text: format!("words of {id}"),
        delivered_to: vec!["support@solmu.example".to_owned()],
        received_time: Some(to_proto_time("2026-11-02T07:59:00Z".parse().unwrap())),
        automatic_class: AutomaticClass::Human.into(),
        threading: Some(Threading {
            message_id_header: id.to_owned(),
            ..Threading::default()
        }),
        ..MessageReceived::default()
    }
}

//! A ticket service with its desk and a portal, and tokens for all who call.

use jiff::SignedDuration;
use solmu_bus::{Event, envelope::to_proto_time};
use solmu_connector::{Intake, IntakeConfig};
use solmu_domain::{
    clock::Clock as _,
    ids::{EventId, MessageId},
};
use solmu_proto::{
    access::v1::{CreateTokenRequest, Role, Token, access_service_client::AccessServiceClient},
    contact::v1::contact_service_client::ContactServiceClient,
    inbound::v1::{MessageReceived, Sender, Threading},
    requester::v1::{
        GetTicketRequest, ListMessagesRequest, ListTicketsRequest, Message, Requester, Ticket,
        list_tickets_request::Which, requester_service_client::RequesterServiceClient,
    },
    ticket::v1::{
        ReplyToTicketRequest, activity_service_client::ActivityServiceClient,
        catalogue_service_client::CatalogueServiceClient,
        ticket_service_client::TicketServiceClient,
    },
    types::v1::{Assurance, AutomaticClass, Channel as On, Identity, IdentityKind, TicketStatus},
};
use solmu_requester::Config;
use solmu_runtime::{Parts, Runtime, access::Access, server, settings::ServerConfig};
use solmu_testkit::{Harness, wait_for};
use sqlx::PgPool;
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

const ACCOUNT: &str = "main";
const AGENT: Uuid = Uuid::from_u128(77);
pub(crate) const AINO: &str = "aino@c.example";
pub(crate) const BEN: &str = "ben@d.example";

pub(crate) struct World {
    pub(crate) harness: Harness,
    _runtime: Runtime,
    channel: Channel,
    admin: String,
    agent: String,
    portal: String,
}

macro_rules! clients {
    ($($name:ident: $client:ident)*) => {
        $(pub(crate) fn $name(&self) -> $client<Channel> {
            $client::new(self.channel.clone())
        })*
    };
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Config {
            // Enough on a busy machine; no test counts on it.
            filing_wait_ms: 10_000,
            ..Config::default()
        })
        .await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let harness = Harness::new().await;
        let runtime = Runtime {
            bus: harness.second_bus().await,
            ..harness.runtime("a")
        };
        let (tickets, hands) =
            solmu_tickets::start_with_hands(&runtime, solmu_tickets::Config::default());
        let intake = Intake::start(&runtime, IntakeConfig::default());
        let parts = tickets
            .merge(solmu_desk::start(&runtime, hands.clone()))
            .merge(solmu_requester::start(&runtime, &config, hands, intake));
        let (clock, rng) = (runtime.clock.as_ref(), runtime.rng.as_ref());
        let admin = solmu_runtime::access::bootstrap(&runtime.db, clock, rng).await;
        let admin = admin.unwrap().unwrap().token.expose().to_owned();
        let channel = serve(&runtime, parts).await;
        let mut world = Self {
            harness,
            _runtime: runtime,
            channel,
            admin,
            agent: String::new(),
            portal: String::new(),
        };
        world.agent = world.token(Role::Agent, &[]).await;
        world.portal = world.token(Role::Service, &["requesters.write"]).await;
        world
    }

    pub(crate) async fn token(&self, role: Role, scopes: &[&str]) -> String {
        let agent = Some(AGENT.to_string()).filter(|_| role == Role::Agent);
        let token = Token {
            display_name: "test".to_owned(),
            role: role.into(),
            agent_id: agent.unwrap_or_default(),
            scopes: scopes.iter().map(|&it| it.to_owned()).collect(),
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
        let made = client.create_token(request).await;
        made.unwrap().into_inner().secret
    }

    clients! {
        requesters: RequesterServiceClient
        tickets: TicketServiceClient
        contacts: ContactServiceClient
        catalogue: CatalogueServiceClient
        activity: ActivityServiceClient
    }

    /// A call of the portal.
    pub(crate) fn portal<T>(&self, message: T) -> Request<T> {
        with(message, &self.portal)
    }

    /// A call of the agent.
    pub(crate) fn agent<T>(&self, message: T) -> Request<T> {
        with(message, &self.agent)
    }

    /// A call of an administrator.
    pub(crate) fn admin<T>(&self, message: T) -> Request<T> {
        with(message, &self.admin)
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.harness.db.pool()
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Runs a statement about one row.
    pub(crate) async fn run(&self, sql: &'static str, id: Uuid) {
        sqlx::query(sql)
            .bind(id)
            .execute(self.pool())
            .await
            .unwrap();
    }

    /// Files a message a second after the last one; returns its ticket.
    pub(crate) async fn file(&self, message: &MessageReceived) -> Uuid {
        self.harness.clock.advance(SignedDuration::from_secs(1));
        let id = EventId::generate(&self.harness.clock, self.harness.rng.as_ref());
        let event = Event::new(id, self.harness.clock.now(), message);
        self.harness.bus.publish(&[event]).await.unwrap();
        self.filed(&message.message_id).await
    }

    /// The ticket of a message, once it is filed.
    pub(crate) async fn filed(&self, message: &str) -> Uuid {
        let id = Uuid::parse_str(message).unwrap();
        let find = || async {
            sqlx::query_scalar("SELECT ticket_id FROM tickets.message WHERE id = $1")
                .bind(id)
                .fetch_optional(self.pool())
                .await
                .unwrap()
        };
        wait_for("the message is filed", || async {
            let found: Option<Uuid> = find().await;
            found.is_some()
        })
        .await;
        find().await.unwrap()
    }

    pub(crate) async fn contact_of(&self, ticket: Uuid) -> Uuid {
        sqlx::query_scalar("SELECT contact_id FROM tickets.ticket WHERE id = $1")
            .bind(ticket)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// All that a requester is listed, newest first.
    pub(crate) async fn list(&self, who: &Requester) -> Vec<Ticket> {
        let request = self.portal(ListTicketsRequest {
            requester: Some(who.clone()),
            which: Which::All.into(),
            ..ListTicketsRequest::default()
        });
        let page = self.requesters().list_tickets(request).await;
        page.unwrap().into_inner().tickets
    }

    /// The ids of all that a requester is listed, newest first.
    pub(crate) async fn ids(&self, who: &Requester) -> Vec<Uuid> {
        let tickets = self.list(who).await;
        let ids = tickets.iter().map(|it| Uuid::parse_str(&it.id).unwrap());
        ids.collect()
    }

    pub(crate) async fn get(&self, who: &Requester, ticket: Uuid) -> Result<Ticket, Status> {
        let request = self.portal(GetTicketRequest {
            requester: Some(who.clone()),
            ticket_id: ticket.to_string(),
        });
        Ok(self.requesters().get_ticket(request).await?.into_inner())
    }

    pub(crate) async fn messages(
        &self,
        who: &Requester,
        ticket: Uuid,
    ) -> Result<Vec<Message>, Status> {
        let request = self.portal(ListMessagesRequest {
            requester: Some(who.clone()),
            ticket_id: ticket.to_string(),
            ..ListMessagesRequest::default()
        });
        let page = self.requesters().list_messages(request).await?;
        Ok(page.into_inner().messages)
    }

    /// What a requester reads on a ticket.
    pub(crate) async fn texts(&self, who: &Requester, ticket: Uuid) -> Vec<String> {
        let messages = self.messages(who, ticket).await.unwrap();
        messages.into_iter().map(|it| it.text).collect()
    }

    /// An answer of the agent.
    pub(crate) async fn answer(&self, ticket: Uuid, text: &str, then: TicketStatus) {
        self.harness.clock.advance(SignedDuration::from_secs(1));
        let request = self.agent(ReplyToTicketRequest {
            ticket_id: ticket.to_string(),
            text: text.to_owned(),
            set_status: then.into(),
            ..ReplyToTicketRequest::default()
        });
        self.tickets().reply_to_ticket(request).await.unwrap();
    }
}

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
    let info = details.error_info().map(|info| info.reason.clone());
    info.unwrap_or_default()
}

/// The fields that a failure names, in order.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|it| it.field_violations.clone());
    let fields = violations.unwrap_or_default().into_iter();
    fields.map(|it| it.field).collect()
}

/// Somebody whom the portal has signed in.
pub(crate) fn signed_in(kind: IdentityKind, value: &str) -> Requester {
    Requester {
        kind: kind.into(),
        value: value.to_owned(),
        method: "oidc".to_owned(),
        ..Requester::default()
    }
}

/// Somebody who proved their address to the portal.
pub(crate) fn by_mail(address: &str) -> Requester {
    signed_in(IdentityKind::Email, address)
}

pub(crate) fn identity(kind: IdentityKind, value: &str, assurance: Assurance) -> Identity {
    Identity {
        kind: kind.into(),
        value: value.to_owned(),
        raw: value.to_owned(),
        assurance: assurance.into(),
        ..Identity::default()
    }
}

/// A message on a channel.
pub(crate) fn message(on: On, id: &str, name: &str, identities: &[Identity]) -> MessageReceived {
    let channel = solmu_connector::channel_name(on);
    MessageReceived {
        message_id: MessageId::of_inbound(channel, ACCOUNT, id).to_string(),
        channel: on.into(),
        account: ACCOUNT.to_owned(),
        external_id: id.to_owned(),
        conversation_key: id.to_owned(),
        sender: Some(Sender {
            display_name: name.to_owned(),
            identities: identities.to_vec(),
        }),
        subject: format!("about {id}"),
        text: format!("words of {id}"),
        received_time: Some(to_proto_time("2026-11-02T07:59:00Z".parse().unwrap())),
        automatic_class: AutomaticClass::Human.into(),
        ..MessageReceived::default()
    }
}

/// A mail that proves its sender, and answers nothing.
pub(crate) fn mail(id: &str, from: &str) -> MessageReceived {
    mail_by(id, from, Assurance::Proven)
}

/// A mail that answers nothing.
pub(crate) fn mail_by(id: &str, from: &str, assurance: Assurance) -> MessageReceived {
    let sender = identity(IdentityKind::Email, from, assurance);
    MessageReceived {
        delivered_to: vec!["support@solmu.example".to_owned()],
        threading: Some(Threading {
            message_id_header: id.to_owned(),
            ..Threading::default()
        }),
        ..message(On::Email, id, "", &[sender])
    }
}

/// The same, as an answer to a signed address of `ticket`.
pub(crate) fn answering(message: MessageReceived, ticket: Uuid) -> MessageReceived {
    let threading = message.threading.unwrap_or_default();
    MessageReceived {
        threading: Some(Threading {
            signed_ticket_ids: vec![ticket.to_string()],
            ..threading
        }),
        ..message
    }
}

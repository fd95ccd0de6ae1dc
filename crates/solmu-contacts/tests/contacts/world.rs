//! A `ContactService` of a test's own with a token of each role, and senders as filing hands them over.

use prost::Message as _;
use solmu_bus::{EventBody, ReceivedEvent};
use solmu_contacts::{
    Limits,
    filing::{self, NewContact},
};
use solmu_db::DbError;
use solmu_domain::{clock::Clock as _, ids::new_uuid};
use solmu_proto::{
    access::v1::{CreateTokenRequest, Role, Token, access_service_client::AccessServiceClient},
    contact::v1::{
        Contact, GetContactRequest, MergeContactsRequest,
        contact_service_client::ContactServiceClient,
    },
    inbound::v1::Sender,
    types::v1::{Assurance, Identity, IdentityKind},
};
use solmu_runtime::{Parts, access, access::Access, server, settings::ServerConfig};
use solmu_testkit::{Harness, wait_for};
use sqlx::PgPool;
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// One database and one replica.
pub(crate) struct World {
    pub(crate) harness: Harness,
    channel: Channel,
    admin: String,
    agent: String,
    service: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        let harness = Harness::new().await;
        let runtime = harness.runtime("a");
        let access = Access::start(&runtime);
        let first = access::bootstrap(&runtime.db, runtime.clock.as_ref(), runtime.rng.as_ref());
        let admin = first.await.unwrap().unwrap().token.expose().to_owned();
        let tokens = Parts {
            grpc: Some(access.routes()),
            http: None,
        };
        let parts = solmu_contacts::start(
            &runtime,
            Limits {
                max_page_size: 500,
                erased_files: jiff::SignedDuration::ZERO,
            },
        )
        .merge(tokens);
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
        let endpoint = Endpoint::from_shared(address).unwrap();
        let mut world = Self {
            harness,
            channel: endpoint.connect().await.unwrap(),
            admin,
            agent: String::new(),
            service: String::new(),
        };
        world.agent = world.token(Role::Agent, &Uuid::from_u128(77)).await;
        world.service = world.token(Role::Service, &"").await;
        world
    }

    async fn token(&self, role: Role, agent_id: &impl ToString) -> String {
        let token = Token {
            display_name: "test".to_owned(),
            role: role.into(),
            agent_id: agent_id.to_string(),
            ..Token::default()
        };
        let request = self.admin(CreateTokenRequest {
            token: Some(token),
            ..CreateTokenRequest::default()
        });
        let mut client = AccessServiceClient::new(self.channel.clone());
        let made = client.create_token(request).await;
        made.unwrap().into_inner().secret
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

    pub(crate) fn pool(&self) -> &PgPool {
        self.harness.db.pool()
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Files a sender as the message that they write would; returns their contact.
    pub(crate) async fn sender(&self, name: &str, identities: &[Identity]) -> Uuid {
        let sender = Sender {
            display_name: name.to_owned(),
            identities: identities.to_vec(),
        };
        // Who comes first is the older contact.
        self.harness
            .clock
            .advance(jiff::SignedDuration::from_secs(1));
        let now = self.harness.clock.now();
        let fresh = new_uuid(&self.harness.clock, self.harness.rng.as_ref());
        let filed: Result<Uuid, DbError> = self
            .harness
            .db
            .tx("test.file_sender", |tx| {
                let sender = sender.clone();
                Box::pin(async move {
                    let mut known = filing::load(tx, filing::keys_of(&sender)).await?;
                    let resolved = known.resolve(&sender, fresh);
                    let new = resolved.is_new.then(|| NewContact {
                        id: fresh,
                        name: sender.display_name.clone(),
                        language: String::new(),
                    });
                    filing::write(tx, new.as_slice(), &resolved.writes, &known, now).await?;
                    Ok(resolved.contact_id)
                })
            })
            .await;
        filed.unwrap()
    }

    /// Waits until everybody whom the resolver has to look at was looked at.
    pub(crate) async fn looked_at(&self) {
        wait_for("the resolver has looked at every sender", || async {
            self.count("SELECT count(*) FROM tickets.sighting WHERE pending")
                .await
                == 0
        })
        .await;
    }

    pub(crate) async fn get(&self, id: impl ToString) -> Contact {
        let request = self.agent(GetContactRequest { id: id.to_string() });
        let got = self.contacts().get_contact(request).await;
        got.unwrap().into_inner()
    }

    /// Merges by hand.
    pub(crate) async fn merge(&self, winner: Uuid, loser: Uuid) -> Result<Contact, Status> {
        let request = self.agent(MergeContactsRequest {
            contact_id: winner.to_string(),
            merged_contact_id: loser.to_string(),
            ..MergeContactsRequest::default()
        });
        Ok(self.contacts().merge_contacts(request).await?.into_inner())
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

pub(crate) fn identity(kind: IdentityKind, value: &str, assurance: Assurance) -> Identity {
    Identity {
        kind: kind.into(),
        value: value.to_owned(),
        raw: value.to_owned(),
        assurance: assurance.into(),
        ..Identity::default()
    }
}

/// An address that was proven.
pub(crate) fn proven(address: &str) -> Identity {
    identity(IdentityKind::Email, address, Assurance::Proven)
}

/// An address that somebody typed.
pub(crate) fn claimed(address: &str) -> Identity {
    identity(IdentityKind::Email, address, Assurance::Claimed)
}

/// Who writes by WhatsApp.
pub(crate) fn whatsapp(number: &str) -> [Identity; 2] {
    let phone = format!("+{number}");
    [
        identity(IdentityKind::Whatsapp, number, Assurance::Proven),
        identity(IdentityKind::Phone, &phone, Assurance::Proven),
    ]
}

/// A number that somebody typed.
pub(crate) fn typed(number: &str) -> Identity {
    identity(IdentityKind::Phone, number, Assurance::Claimed)
}

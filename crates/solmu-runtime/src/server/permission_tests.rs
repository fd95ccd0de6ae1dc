//! Every method of the descriptors, called by every kind of caller through the real server, gives what the permission
//! table says. Behind the gate stands a service that answers every method, so that only the gate decides.

use axum::{Router, response::IntoResponse as _};
use jiff::SignedDuration;
use solmu_domain::clock::Clock as _;
use solmu_proto::access::v1::{
    CreateTokenRequest, RevokeTokenRequest, Role as ProtoRole, Token,
    access_service_client::AccessServiceClient,
};
use solmu_testkit::Harness;
use tonic::{
    Code, Request, Status,
    codegen::http::uri::PathAndQuery,
    service::Routes,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use super::*;
use crate::{
    access::{Role, Scope, permissions},
    testing::runtime,
};

const AGENT: &str = "0190b5a0-0000-7000-8000-000000000001";

/// What came of a call: OK or the reason of its refusal.
type Outcome = Result<(), String>;

async fn call(channel: &Channel, path: &str, token: Option<&str>) -> Outcome {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::empty::<()>());
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    let path: PathAndQuery = path.parse().unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    grpc.streaming(request, path, codec)
        .await
        .map(drop)
        .map_err(|status| reason(&status))
}

fn reason(status: &Status) -> String {
    match status.get_error_details().error_info() {
        Some(info) => info.reason.clone(),
        None => format!("{:?}: {}", status.code(), status.message()),
    }
}

struct World {
    harness: Harness,
    channel: Channel,
    /// Of the server with the real token service.
    tokens: AccessServiceClient<Channel>,
    admin: String,
}

impl World {
    async fn new() -> Self {
        let harness = Harness::new().await;
        let runtime = runtime(&harness, "one");
        let access = Access::start(&runtime);
        let admin =
            crate::access::bootstrap(&runtime.db, runtime.clock.as_ref(), runtime.rng.as_ref());
        let admin = admin.await.unwrap().expect("the database is fresh");
        let answers_all = Router::new().fallback(|| async {
            let headers = [("content-type", "application/grpc"), ("grpc-status", "0")];
            headers.into_response()
        });
        let channel = Self::serve(&runtime, &access, Routes::from(answers_all)).await;
        let tokens = Self::serve(&runtime, &access, access.routes()).await;
        Self {
            harness,
            channel,
            tokens: AccessServiceClient::new(tokens),
            admin: admin.token.expose().to_owned(),
        }
    }

    async fn serve(runtime: &Runtime, access: &Access, routes: Routes) -> Channel {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = ServerConfig {
            grpc_address: any,
            ..ServerConfig::default()
        };
        let parts = Parts {
            grpc: Some(routes),
            http: None,
        };
        let bound = serve(runtime, &config, access, parts).await.unwrap();
        let address = format!("http://{}", bound.grpc.unwrap());
        Endpoint::from_shared(address)
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    fn as_admin<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value = format!("Bearer {}", self.admin).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        request
    }

    async fn make(&self, token: Token) -> (String, String) {
        let token = Token {
            display_name: "test".to_owned(),
            ..token
        };
        let request = self.as_admin(CreateTokenRequest {
            token: Some(token),
            ..CreateTokenRequest::default()
        });
        let made = self.tokens.clone().create_token(request).await;
        let made = made.unwrap().into_inner();
        (made.token.unwrap().id, made.secret)
    }

    async fn role(&self, role: ProtoRole) -> (String, String) {
        let agent_id = match role {
            ProtoRole::Agent => AGENT,
            _ => "",
        };
        self.make(Token {
            role: role.into(),
            agent_id: agent_id.to_owned(),
            ..Token::default()
        })
        .await
    }
}

fn every_row() -> impl Iterator<Item = (String, &'static permissions::Row)> {
    permissions::TABLE.iter().flat_map(|service| {
        service
            .rows
            .iter()
            .map(|row| (format!("/{}/{}", service.service, row.method), row))
    })
}

#[tokio::test]
async fn every_method_is_for_whom_the_table_says() {
    let world = World::new().await;
    let (_, agent) = world.role(ProtoRole::Agent).await;
    let (_, service) = world.role(ProtoRole::Service).await;
    let (id, revoked) = world.role(ProtoRole::Admin).await;
    let request = world.as_admin(RevokeTokenRequest { id });
    world.tokens.clone().revoke_token(request).await.unwrap();
    let soon = world.harness.clock.now() + SignedDuration::from_secs(60);
    let (_, expired) = world
        .make(Token {
            role: ProtoRole::Admin.into(),
            expire_time: Some(prost_types::Timestamp {
                seconds: soon.as_second(),
                nanos: 0,
            }),
            ..Token::default()
        })
        .await;
    assert_eq!(
        call(
            &world.channel,
            "/solmu.ticket.v1.TicketService/GetTicket",
            Some(&expired)
        )
        .await,
        Ok(())
    );
    world.harness.clock.advance(SignedDuration::from_secs(60));

    let callers = [
        ("nobody", None, None),
        ("admin", Some(world.admin.as_str()), Some(Role::Admin)),
        ("agent", Some(&agent), Some(Role::Agent)),
        ("service", Some(&service), Some(Role::Service)),
        ("expired", Some(&expired), None),
        ("revoked", Some(&revoked), None),
    ];
    let mut wrong = Vec::new();
    for (path, row) in every_row() {
        for (name, token, role) in &callers {
            let wanted: Outcome = match (*name, role) {
                ("nobody", _) => Err("TOKEN_MISSING".to_owned()),
                ("expired", _) => Err("TOKEN_EXPIRED".to_owned()),
                (_, None) => Err("TOKEN_INVALID".to_owned()),
                (_, Some(role)) if row.roles.contains(role) => Ok(()),
                _ => Err("ROLE_REQUIRED".to_owned()),
            };
            let got = call(&world.channel, &path, *token).await;
            if got != wanted {
                wrong.push(format!("{path} by {name}: {got:?} instead of {wanted:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_token_does_what_its_scope_covers_and_nothing_else() {
    let world = World::new().await;
    let mut wrong = Vec::new();
    for scope in Scope::ALL {
        let (_, token) = world
            .make(Token {
                role: ProtoRole::Service.into(),
                scopes: vec![scope.to_string()],
                ..Token::default()
            })
            .await;
        for (path, row) in every_row() {
            let wanted = match (row.roles.contains(&Role::Service), scope.covers(row.scope)) {
                (false, _) => Err("ROLE_REQUIRED".to_owned()),
                (true, false) => Err("SCOPE_REQUIRED".to_owned()),
                (true, true) => Ok(()),
            };
            let got = call(&world.channel, &path, Some(&token)).await;
            if got != wanted {
                wrong.push(format!(
                    "{path} with {scope}: {got:?} instead of {wanted:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Tokens of agents, who may call other methods, and of several scopes: each scope adds what it covers and takes nothing
/// away.
#[tokio::test]
async fn scopes_of_a_token_add_up_within_its_role() {
    let world = World::new().await;
    let mut wrong = Vec::new();
    for scopes in [
        [Scope::TicketsRead, Scope::ContactsAdmin],
        [Scope::TicketsAdmin, Scope::AccessAdmin],
        [Scope::RoutingWrite, Scope::SlaAdmin],
        [Scope::RequestersWrite, Scope::RestrictedAdmin],
    ] {
        for (role, name) in [
            (ProtoRole::Agent, Role::Agent),
            (ProtoRole::Service, Role::Service),
        ] {
            let agent_id = match role {
                ProtoRole::Agent => AGENT.to_owned(),
                _ => String::new(),
            };
            let (_, token) = world
                .make(Token {
                    role: role.into(),
                    agent_id,
                    scopes: scopes.iter().map(ToString::to_string).collect(),
                    ..Token::default()
                })
                .await;
            for (path, row) in every_row() {
                let covered = scopes.iter().any(|scope| scope.covers(row.scope));
                let wanted = match (row.roles.contains(&name), covered) {
                    (false, _) => Err("ROLE_REQUIRED".to_owned()),
                    (true, false) => Err("SCOPE_REQUIRED".to_owned()),
                    (true, true) => Ok(()),
                };
                let got = call(&world.channel, &path, Some(&token)).await;
                if got != wanted {
                    wrong.push(format!(
                        "{path} by {name:?} with {scopes:?}: {got:?} instead of {wanted:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn what_is_in_no_row_reaches_nobody() {
    let world = World::new().await;
    for path in [
        "/solmu.ticket.v1.TicketService/Made",
        "/made.up.Service/Method",
        "/x/y",
    ] {
        let got = call(&world.channel, path, Some(&world.admin)).await;
        let said = got.unwrap_err();
        assert!(
            said.starts_with(&format!("{:?}", Code::Unimplemented)),
            "{path}: {said}"
        );
        let got = call(&world.channel, path, None).await;
        assert_eq!(got, Err("TOKEN_MISSING".to_owned()), "{path}");
    }
}

//! No call works without a token, and no token does more than its role; what probes and scrapers need is open.

use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use serde_json::Value;
use solmu_client::proto::{
    access::v1::{CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, Role, Token},
    contact::v1::ListContactsRequest,
    routing::v1::{CreateTeamRequest, SetPresenceRequest},
    sla::v1::CreateCalendarRequest,
    ticket::v1::{
        BatchGetRoutingTextsRequest, BlockSenderRequest, ListBlockedSendersRequest,
        ListTicketsRequest, ReleaseQuarantinedRequest, UnblockSenderRequest,
    },
};
use tonic::{
    Code, Request,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::{Api, Home, Letter, Ports, Settings, Smtp, Solmu, wait};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_open_what_their_role_may_do_and_nothing_else() {
    let (home, ports) = (Home::new(), Ports::free());
    Settings::default().write(&home);
    let (solmu, _) = Solmu::start(&home, "solmu", ports, &[]).await;
    let endpoint = Endpoint::from_shared(ports.grpc_url()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    no_method_works_without_a_token(&channel).await;
    roles_are_kept_apart(&home, &solmu).await;
    revoked_tokens_stop_at_once(&home, &solmu).await;
    health_and_reflection_are_open(&channel).await;
    probes_and_metrics_are_open(&home, &solmu).await;
    solmu.stop().await;
}

/// Every method of every service, as the descriptors name them: a new one cannot be forgotten.
fn methods() -> Vec<String> {
    let files = FileDescriptorSet::decode(solmu_proto::DESCRIPTOR_SET)
        .unwrap()
        .file;
    let mut methods = Vec::new();
    for file in &files {
        for service in &file.service {
            let names = service.method.iter().map(MethodDescriptorProto::name);
            methods
                .extend(names.map(|name| format!("/{}.{}/{name}", file.package(), service.name())));
        }
    }
    methods
}

async fn no_method_works_without_a_token(channel: &Channel) {
    let methods = methods();
    assert!(methods.len() > 30, "{methods:?}");
    for method in methods {
        for authorization in [
            None,
            Some("Bearer "),
            Some("Bearer solmu_aaaaaaaa_guessed"),
            Some("Basic YTpi"),
        ] {
            let mut request = Request::new(());
            if let Some(value) = authorization {
                let value: MetadataValue<Ascii> = value.parse().unwrap();
                request.metadata_mut().insert("authorization", value);
            }
            let mut grpc = Grpc::new(channel.clone());
            grpc.ready().await.unwrap();
            let path = PathAndQuery::try_from(method.as_str()).unwrap();
            let answer = grpc
                .unary(request, path, ProstCodec::<(), ()>::default())
                .await;
            let code = answer.map_or_else(|status| status.code(), |_| Code::Ok);
            assert_eq!(
                code,
                Code::Unauthenticated,
                "{method} with {authorization:?}"
            );
        }
    }
}

async fn roles_are_kept_apart(home: &Home, solmu: &Solmu) {
    let admin = Api::admin(home, solmu).client;
    let agent = Api::agent(home, solmu).client;
    let service = Api::with_token(solmu, &home.read("service-token")).client;
    let code = |answer: Result<(), tonic::Status>| {
        answer.map_or_else(|status| status.code(), |()| Code::Ok)
    };
    macro_rules! denied {
        ($client:ident . $service:ident () . $method:ident ($request:expr)) => {
            let answer = $client.$service().$method($request).await.map(drop);
            assert_eq!(code(answer), Code::PermissionDenied, stringify!($client $service $method));
        };
    }
    denied!(agent.access().list_tokens(ListTokensRequest {}));
    denied!(service.access().list_tokens(ListTokensRequest {}));
    denied!(agent.access().create_token(CreateTokenRequest::default()));
    denied!(agent.access().revoke_token(RevokeTokenRequest::default()));
    denied!(agent.routing().create_team(CreateTeamRequest::default()));
    denied!(
        agent
            .sla()
            .create_calendar(CreateCalendarRequest::default())
    );
    denied!(
        service
            .sla()
            .create_calendar(CreateCalendarRequest::default())
    );
    denied!(
        agent
            .tickets()
            .batch_get_routing_texts(BatchGetRoutingTextsRequest::default())
    );
    denied!(
        service
            .tickets()
            .release_quarantined(ReleaseQuarantinedRequest::default())
    );
    denied!(
        service
            .tickets()
            .block_sender(BlockSenderRequest::default())
    );
    denied!(
        service
            .tickets()
            .unblock_sender(UnblockSenderRequest::default())
    );
    // Another agent's presence is not theirs to set.
    let other = SetPresenceRequest {
        agent_id: "0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e5f".to_owned(),
        presence: 1,
    };
    denied!(agent.routing().set_presence(other));
    every_role_reads([&admin, &agent, &service]).await;
    assert!(
        !admin
            .access()
            .list_tokens(ListTokensRequest {})
            .await
            .unwrap()
            .into_inner()
            .tokens
            .is_empty()
    );
}

async fn every_role_reads(clients: [&solmu_client::Client; 3]) {
    for client in clients {
        client
            .tickets()
            .list_tickets(ListTicketsRequest::default())
            .await
            .unwrap();
        client
            .tickets()
            .list_blocked_senders(ListBlockedSendersRequest::default())
            .await
            .unwrap();
        client
            .contacts()
            .list_contacts(ListContactsRequest::default())
            .await
            .unwrap();
    }
}

async fn revoked_tokens_stop_at_once(home: &Home, solmu: &Solmu) {
    let admin = Api::admin(home, solmu).client;
    let wanted = Token {
        display_name: "short-lived".to_owned(),
        role: Role::Service.into(),
        ..Token::default()
    };
    let made = admin
        .access()
        .create_token(CreateTokenRequest {
            token: Some(wanted),
            ..CreateTokenRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    let client = Api::with_token(solmu, &made.secret).client;
    client
        .tickets()
        .list_tickets(ListTicketsRequest::default())
        .await
        .unwrap();
    admin
        .access()
        .revoke_token(RevokeTokenRequest {
            id: made.token.unwrap().id,
        })
        .await
        .unwrap();
    let refused = client
        .tickets()
        .list_tickets(ListTicketsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

async fn health_and_reflection_are_open(channel: &Channel) {
    for service in [
        "",
        "solmu.ticket.v1.TicketService",
        "solmu.routing.v1.RoutingService",
    ] {
        wait(&format!("'{service}' serves"), async || {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            let answer = HealthClient::new(channel.clone())
                .check(request)
                .await
                .unwrap()
                .into_inner();
            (answer.status() == ServingStatus::Serving).then_some(())
        })
        .await;
    }
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel.clone());
    let asked = futures::stream::iter([request]);
    let mut answers = client
        .server_reflection_info(asked)
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let MessageResponse::ListServicesResponse(services) = answer else {
        panic!("no list of services: {answer:?}")
    };
    let names: Vec<&str> = services
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for service in [
        "access.v1.Access",
        "contact.v1.Contact",
        "routing.v1.Routing",
        "sla.v1.Sla",
        "ticket.v1.Ticket",
    ] {
        let name = format!("solmu.{service}Service");
        assert!(names.contains(&name.as_str()), "{name} is not in {names:?}");
    }
}

async fn probes_and_metrics_are_open(home: &Home, solmu: &Solmu) {
    let ports = solmu.ports;
    let mut smtp = Smtp::open(ports.smtp).await.unwrap();
    let letter = Letter::new("aino@customer.example", "For the metrics", "Count me.");
    assert_eq!(smtp.send(&letter).await.unwrap().code, 250);
    Api::agent(home, solmu).routed("For the metrics").await;
    for probe in ["/livez", "/startupz", "/readyz"] {
        wait(probe, async || {
            let answer = reqwest::get(ports.admin_url(probe)).await.unwrap();
            answer.status().is_success().then_some(())
        })
        .await;
    }
    let ready = reqwest::get(ports.admin_url("/readyz")).await.unwrap();
    let ready: Value = ready.json().await.unwrap();
    assert_eq!(ready["ready"], true, "{ready}");
    let metrics = reqwest::get(ports.admin_url("/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let told = [
        "solmu_build_info{",
        "solmu_inbound_messages_total{channel=\"email\",outcome=\"accepted\"} 1",
        "solmu_email_smtp_mails_total",
        "solmu_messages_filed_total",
        "solmu_ingest_latency_seconds_bucket",
        "solmu_assignments_total",
        "solmu_assignment_wait_seconds_bucket",
        "solmu_unassigned_tickets",
        "solmu_consumer_pending_messages",
        "solmu_consumer_oldest_unprocessed_age_seconds",
        "solmu_decisions_applied_total",
        "solmu_outbox_pending",
        "solmu_outbox_oldest_age_seconds",
        "rpc_server_call_duration_seconds_bucket",
        "process_",
    ];
    let missing: Vec<&str> = told
        .into_iter()
        .filter(|name| !metrics.contains(name))
        .collect();
    let families: Vec<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    assert!(missing.is_empty(), "{missing:?} are not in {families:#?}");
    for private in ["aino", "customer.example", "For the metrics"] {
        assert!(!metrics.contains(private), "a metric says '{private}'");
    }
    let closed = reqwest::get(ports.http_url("/metrics")).await.unwrap();
    assert_eq!(closed.status(), 404, "metrics are not for the outside");
}

//! Links from their making to the page, on a real database.

mod calls;
mod pages;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request as HttpRequest, StatusCode},
};
use jiff::SignedDuration;
use solmu_domain::{
    clock::Clock as _,
    ids::{AgentId, TeamId},
};
use solmu_proto::ticket::v1::{
    CreateTicketLinkRequest, ListTicketLinksRequest, RevokeTicketLinkRequest,
    link_service_server::LinkService as _,
};
use solmu_runtime::access::{Caller, Role, Visibility};
use solmu_testkit::Harness;
use tonic::{Code, Request, Status};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{Config, service::Links, start};

const AINO: Uuid = Uuid::from_u128(1);
const BEN: Uuid = Uuid::from_u128(2);
const TICKET: Uuid = Uuid::from_u128(100);
const OTHER: Uuid = Uuid::from_u128(200);
const TEAM: Uuid = Uuid::from_u128(500);

struct World {
    harness: Harness,
    links: Links,
    pages: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl World {
    async fn new() -> Self {
        Self::with(Config {
            base_url: "https://help.example.com/".to_owned(),
            requests_per_minute: 1_000,
            ..Config::default()
        })
        .await
    }

    async fn with(config: Config) -> Self {
        let harness = Harness::new().await;
        let runtime = harness.runtime("a");
        let links = Links {
            db: runtime.db.clone(),
            bus: runtime.bus.clone(),
            clock: Arc::clone(&runtime.clock),
            rng: Arc::clone(&runtime.rng),
            signer: runtime.secrets.signer().clone(),
            config: config.clone(),
        };
        let pages = start(&runtime, &config).http.unwrap();
        let world = Self {
            harness,
            links,
            pages,
        };
        for (id, name) in [(AINO, "Aino"), (BEN, "Ben")] {
            world
                .run("INSERT INTO tickets.contact (id, display_name, created_at) VALUES ($1, $2, now())", id, name)
                .await;
        }
        world.ticket(TICKET, AINO, "Lasku <b>puuttuu</b>").await;
        world.ticket(OTHER, BEN, "Something else").await;
        world
    }

    async fn run(&self, sql: &'static str, id: Uuid, text: &str) {
        sqlx::query(sql)
            .bind(id)
            .bind(text)
            .execute(self.harness.db.pool())
            .await
            .unwrap();
    }

    async fn ticket(&self, id: Uuid, contact: Uuid, subject: &str) {
        sqlx::query(
            "INSERT INTO tickets.ticket (id, number, subject, status, priority, contact_id, channel, account, recipient,
                conversation_key, team_id, created_at, updated_at)
             VALUES ($1, nextval('tickets.ticket_number'), $2, 'waiting_on_customer', 'normal', $3, 1, '', '', '', $4,
                now(), now())",
        )
        .bind(id)
        .bind(subject)
        .bind(contact)
        .bind(TEAM)
        .execute(self.harness.db.pool())
        .await
        .unwrap();
    }

    /// A message of author kind 1 (customer) or 2 (agent).
    async fn message(
        &self,
        ticket: Uuid,
        sequence: i64,
        author: (i16, Uuid, &str),
        public: bool,
        text: &str,
    ) -> Uuid {
        let id = Uuid::from_u128(ticket.as_u128() * 1000 + u128::try_from(sequence).unwrap());
        sqlx::query(
            "INSERT INTO tickets.message (id, ticket_id, sequence, channel, account, author_kind, author_id, author_name,
                address, public, body_text, automatic_class, created_at)
             VALUES ($1, $2, $3, 1, '', $4, $5, $6, 'secret@address.example', $7, $8, 1, now())",
        )
        .bind(id)
        .bind(ticket)
        .bind(sequence)
        .bind(author.0)
        .bind(author.1.to_string())
        .bind(author.2)
        .bind(public)
        .bind(text)
        .execute(self.harness.db.pool())
        .await
        .unwrap();
        id
    }

    async fn link(&self, ticket: Uuid) -> Result<(String, String), Status> {
        let request = CreateTicketLinkRequest {
            ticket_id: ticket.to_string(),
            ..CreateTicketLinkRequest::default()
        };
        let made = self
            .links
            .create_ticket_link(by(Visibility::Everything, request))
            .await?;
        let made = made.into_inner();
        let url = made.url.strip_prefix("https://help.example.com").unwrap();
        Ok((made.link.unwrap().id, url.to_owned()))
    }

    async fn get(&self, path: &str, language: &str) -> Answer {
        let request = HttpRequest::get(path).header("accept-language", language);
        let request = request.body(Body::empty()).unwrap();
        let response = self.pages.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

fn by<T>(visibility: Visibility, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let caller = Caller::new("aaaaaaaa", Role::Service, None).seeing(visibility);
    request.extensions_mut().insert(caller);
    request
}

//! Sign-in over HTTP with keys that were made here, and with everything that can be wrong.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use axum::{Json, Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use prost::Message as _;
use serde_json::{Value, json};
use solmu_domain::clock::Clock as _;
use solmu_proto::routing::v1::{Agent, ListAgentsResponse};
use solmu_testkit::Harness;
use tokio_util::task::TaskTracker;
use tonic_types::StatusExt as _;

use super::*;
use crate::testing::runtime;

const AGENT: &str = "0190b5a0-0000-7000-8000-000000000001";
const TEAM: &str = "0190b5a0-0000-7000-8000-000000000002";

struct Key {
    secret: EncodingKey,
    algorithm: Algorithm,
    id: &'static str,
    /// The public part of one that the library does not export.
    x: Option<String>,
}

impl Key {
    fn ec(id: &'static str) -> Self {
        let pair =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .unwrap();
        Self {
            secret: EncodingKey::from_ec_der(pair.as_ref()),
            algorithm: Algorithm::ES256,
            id,
            x: None,
        }
    }

    fn ed(id: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let public = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
        Self {
            secret: EncodingKey::from_ed_der(pair.as_ref()),
            algorithm: Algorithm::EdDSA,
            id,
            x: Some(URL_SAFE_NO_PAD.encode(public.public_key())),
        }
    }

    fn public(&self) -> Value {
        if let Some(x) = &self.x {
            return json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.id, "use": "sig"});
        }
        let mut jwk = Jwk::from_encoding_key(&self.secret, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    fn header(&self) -> Header {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        header
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&self.header(), claims, &self.secret).unwrap()
    }
}

/// An identity provider, and a router that has one agent.
struct Provider {
    issuer: String,
    keys: Arc<Mutex<Vec<Value>>>,
    fetched: Arc<AtomicUsize>,
    harness: Harness,
}

impl Provider {
    async fn start(keys: Vec<Value>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let (keys, fetched) = (Arc::new(Mutex::new(keys)), Arc::new(AtomicUsize::new(0)));
        let (shown, count) = (Arc::clone(&keys), Arc::clone(&fetched));
        let page = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
        let app = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(move || async move { Json(page) }),
            )
            .route(
                "/keys",
                get(move || async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    Json(json!({"keys": *shown.lock().unwrap()}))
                }),
            )
            .fallback(|| async { roster() });
        TaskTracker::new().spawn(async move { axum::serve(listener, app).await });
        Self {
            issuer,
            keys,
            fetched,
            harness: Harness::new().await,
        }
    }

    fn access(&self, change: impl FnOnce(&mut AccessConfig)) -> Access {
        let mut config = AccessConfig {
            roster_endpoint: self.issuer.clone(),
            ..AccessConfig::default()
        };
        config.oidc.issuer.clone_from(&self.issuer);
        change(&mut config);
        config.check().unwrap();
        Access::start_with(&runtime(&self.harness, "one"), &config)
    }

    /// Good claims of somebody with these roles, with some changed (null: left out).
    fn claims(&self, roles: &Value, change: Value) -> Value {
        let now = self.harness.clock.now().as_second();
        let mut claims = json!({
            "iss": self.issuer, "aud": ["other", "solmu"], "sub": "aino", "exp": now + 300, "nbf": now,
            "roles": roles, "email": "Aino@x.fi", "email_verified": true,
        });
        let change: BTreeMap<String, Value> = serde_json::from_value(change).unwrap();
        for (name, value) in change {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(&name)),
                value => claims[name] = value,
            }
        }
        claims
    }

    /// A token of an administrator with some claims changed.
    fn admin_token(&self, key: &Key, change: Value) -> String {
        key.sign(&self.claims(&json!("solmu-admin"), change))
    }
}

/// One unary answer as a gRPC server gives it, for any method.
fn roster() -> impl axum::response::IntoResponse {
    let answer = ListAgentsResponse {
        agents: vec![Agent {
            id: AGENT.to_owned(),
            email: "aino@x.fi".to_owned(),
            team_ids: vec![TEAM.to_owned()],
            ..Agent::default()
        }],
    };
    let message = answer.encode_to_vec();
    let mut body = vec![0];
    body.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&message);
    (
        [("content-type", "application/grpc"), ("grpc-status", "0")],
        body,
    )
}

async fn refused(access: &Access, token: &str) -> String {
    match access.authenticate(token).await {
        Ok(caller) => format!("taken as {}", caller.role),
        Err(error) => {
            let details = tonic::Status::from(error).get_error_details();
            details.error_info().unwrap().reason.clone()
        }
    }
}

#[tokio::test]
async fn people_sign_in_as_what_their_claim_says() {
    let (ec, ed) = (Key::ec("one"), Key::ed("two"));
    let provider = Provider::start(vec![ec.public(), ed.public()]).await;
    let access = provider.access(|config| config.team_scoped = true);
    let sign = |key: &Key, roles: Value| key.sign(&provider.claims(&roles, json!({})));
    let agent_id: AgentId = AGENT.parse().unwrap();

    let admin = access
        .authenticate(&sign(&ec, json!("solmu-admin")))
        .await
        .unwrap();
    assert_eq!((admin.role, admin.agent_id), (Role::Admin, None));
    assert!(
        admin.token_id.starts_with("oidc-") && !admin.token_id.contains("aino"),
        "{}",
        admin.token_id
    );
    let agent = access
        .authenticate(&sign(&ed, json!(["x", "solmu-agent"])))
        .await
        .unwrap();
    assert_eq!((agent.role, agent.agent_id), (Role::Agent, Some(agent_id)));
    let team = TEAM.parse().unwrap();
    assert!(agent.visibility().sees(Some(team), None, None));
    assert!(!agent.visibility().sees(None, None, None));
    let manager = access
        .authenticate(&sign(&ec, json!(["solmu-manager"])))
        .await
        .unwrap();
    assert_eq!(manager.agent_id, Some(agent_id));
    assert!(matches!(
        manager.visibility(),
        Visibility::AllTeams { agent: Some(_), teams } if teams.contains(&team)
    ));
    let service = access
        .authenticate(&sign(&ec, json!("solmu-service")))
        .await;
    assert_eq!(service.unwrap().role, Role::Service);

    assert_eq!(
        refused(&access, &sign(&ec, json!("janitor"))).await,
        "NO_ROLE"
    );
    for change in [
        json!({"email": "nobody@x.fi"}),
        json!({"email": null}),
        json!({"email_verified": false}),
        json!({"email_verified": "true"}),
        json!({"email_verified": null}),
    ] {
        let token = ec.sign(&provider.claims(&json!("solmu-agent"), change.clone()));
        assert_eq!(refused(&access, &token).await, "NO_AGENT", "{change}");
    }
    assert_eq!(provider.fetched.load(Ordering::SeqCst), 1, "keys are kept");
}

#[tokio::test]
async fn wrong_claims_are_refused() {
    let good = Key::ec("one");
    let provider = Provider::start(vec![good.public()]).await;
    let access = provider.access(|_| {});
    let now = provider.harness.clock.now().as_second();
    let with = |change: Value| provider.admin_token(&good, change);
    assert_eq!(refused(&access, &with(json!({}))).await, "taken as admin");

    for (change, reason) in [
        (json!({"iss": "https://evil.example"}), "TOKEN_INVALID"),
        (
            json!({"iss": format!("{}/", provider.issuer)}),
            "TOKEN_INVALID",
        ),
        (json!({"iss": null}), "TOKEN_INVALID"),
        (json!({"aud": "other"}), "TOKEN_INVALID"),
        (json!({"aud": null}), "TOKEN_INVALID"),
        (json!({"exp": null}), "TOKEN_INVALID"),
        (json!({"exp": "soon"}), "TOKEN_INVALID"),
        (json!({"exp": now - 31}), "TOKEN_EXPIRED"),
        (json!({"nbf": now + 31}), "TOKEN_INVALID"),
        (json!({"nbf": "soon"}), "TOKEN_INVALID"),
        (json!({"sub": null}), "TOKEN_INVALID"),
        (json!({"sub": ""}), "TOKEN_INVALID"),
    ] {
        assert_eq!(
            refused(&access, &with(change.clone())).await,
            reason,
            "{change}"
        );
    }
    for change in [
        json!({"exp": now - 29}),
        json!({"nbf": now + 29}),
        json!({"aud": "solmu"}),
    ] {
        assert_eq!(refused(&access, &with(change)).await, "taken as admin");
    }
}

#[tokio::test]
async fn forged_and_damaged_tokens_are_refused() {
    let (good, stranger) = (Key::ec("one"), Key::ec("one"));
    let provider = Provider::start(vec![good.public()]).await;
    let access = provider.access(|_| {});
    let now = provider.harness.clock.now().as_second();
    let claims = provider.claims(&json!("solmu-admin"), json!({}));
    let signed = provider.admin_token(&good, json!({}));
    assert_eq!(refused(&access, &signed).await, "taken as admin");

    let (_, rest) = signed.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let b64 = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = |value: Value| format!("{}.{payload}.{signature}", b64(&value));
    let public = good.public().to_string();
    let mut hmac = Header::new(Algorithm::HS256);
    hmac.kid = Some("one".to_owned());
    let mut critical = good.header();
    critical.crit = Some(vec!["b64".to_owned()]);
    let mut logout = good.header();
    logout.typ = Some("logout+jwt".to_owned());
    let other = json!({"iss": provider.issuer, "aud": "solmu", "sub": "x", "exp": now + 300, "roles": "solmu-admin"});
    for (name, token) in [
        (
            "another key with the same id",
            provider.admin_token(&stranger, json!({})),
        ),
        ("no algorithm", head(json!({"alg": "none", "kid": "one"}))),
        (
            "no algorithm and no signature",
            format!("{}.{payload}.", b64(&json!({"alg": "none"}))),
        ),
        (
            "a MAC with the public key",
            encode(&hmac, &claims, &EncodingKey::from_secret(public.as_bytes())).unwrap(),
        ),
        (
            "another algorithm",
            head(json!({"alg": "RS256", "kid": "one"})),
        ),
        (
            "an extension that must be understood",
            encode(&critical, &claims, &good.secret).unwrap(),
        ),
        (
            "a token of another kind",
            encode(&logout, &claims, &good.secret).unwrap(),
        ),
        (
            "other claims under the signature",
            signed.replace(payload, &b64(&other)),
        ),
        (
            "no signature",
            format!("{}.", signed.rsplit_once('.').unwrap().0),
        ),
        ("too long", format!("{signed}{}", "a".repeat(20_000))),
        ("too short", "a.b".to_owned()),
        ("nothing", String::new()),
    ] {
        assert_eq!(refused(&access, &token).await, "TOKEN_INVALID", "{name}");
    }
}

#[tokio::test]
async fn keys_are_rotated_and_made_up_ones_do_not_hammer_the_provider() {
    let (old, new) = (Key::ec("old"), Key::ec("new"));
    let provider = Provider::start(vec![old.public()]).await;
    let claims = provider.claims(&json!("solmu-admin"), json!({}));

    let access = provider.access(|config| config.oidc.refetch_seconds = 0);
    assert_eq!(refused(&access, &old.sign(&claims)).await, "taken as admin");
    assert_eq!(refused(&access, &new.sign(&claims)).await, "TOKEN_INVALID");
    *provider.keys.lock().unwrap() = vec![
        new.public(),
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "mac", "alg": "HS256"}),
        json!({"kty": "future", "kid": "x"}),
    ];
    assert_eq!(refused(&access, &new.sign(&claims)).await, "taken as admin");
    assert_eq!(refused(&access, &old.sign(&claims)).await, "TOKEN_INVALID");

    let before = provider.fetched.load(Ordering::SeqCst);
    let patient = provider.access(|config| config.oidc.refetch_seconds = 3600);
    for _ in 0..20 {
        assert_eq!(refused(&patient, &old.sign(&claims)).await, "TOKEN_INVALID");
    }
    assert_eq!(provider.fetched.load(Ordering::SeqCst), before + 1);

    let away =
        provider.access(|config| config.oidc.jwks_url = "http://127.0.0.1:1/keys".to_owned());
    assert_eq!(
        refused(&away, &new.sign(&claims)).await,
        "UNAVAILABLE",
        "not checked is something else than not valid"
    );
    let lies = provider.access(|config| config.oidc.issuer = format!("{}/", provider.issuer));
    assert_eq!(refused(&lies, &new.sign(&claims)).await, "UNAVAILABLE");
}

#[tokio::test]
async fn our_own_tokens_work_beside_and_are_bound_to_teams() {
    let provider = Provider::start(Vec::new()).await;
    let access = provider.access(|config| config.team_scoped = true);
    let agent_id: AgentId = AGENT.parse().unwrap();
    let (db, clock) = (&provider.harness.db, &provider.harness.clock);
    let own = issue(
        db,
        clock,
        provider.harness.rng.as_ref(),
        Role::Agent,
        Some(agent_id),
        "agent",
    );
    let own = own.await.unwrap();
    let caller = access.authenticate(own.token.expose()).await.unwrap();
    let team = TEAM.parse().unwrap();
    assert!(caller.visibility().sees(Some(team), None, None));
    assert_ne!(caller.visibility(), &Visibility::Everything);

    let alone = provider.access(|config| {
        config.team_scoped = true;
        config.roster_endpoint.clear();
    });
    assert_eq!(
        refused(&alone, own.token.expose()).await,
        "UNAVAILABLE",
        "who cannot be bound sees nothing"
    );
}

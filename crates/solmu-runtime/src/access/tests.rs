//! Tokens on the real database.

use jiff::SignedDuration;
use solmu_domain::clock::Clock as _;
use solmu_testkit::{Harness, wait_for};
use tonic::Code;

use super::*;
use crate::testing::runtime;

async fn make(access: &Access, role: Role, agent_id: Option<AgentId>) -> NewToken {
    let new = NewToken::generate(role, agent_id, access.rng.as_ref());
    let now = access.clock.now();
    let mut connection = access.db.pool().acquire().await.unwrap();
    store::token_insert(
        &mut connection,
        &new,
        ("test", &store::MadeBy::default()),
        now,
    )
    .await
    .unwrap();
    new
}

async fn revoke(access: &Access, id: &str) -> Result<(), ApiError> {
    let (id, now) = (id.to_owned(), access.clock.now());
    access
        .db
        .tx("test.revoke", |tx| {
            let id = id.clone();
            Box::pin(async move { store::token_revoke(tx, &id, now).await })
        })
        .await
}

fn code(error: ApiError) -> Code {
    Status::from(error).code()
}

#[tokio::test]
async fn the_first_admin_is_made_once() {
    let harness = Harness::new().await;
    let runtime = runtime(&harness, "one");
    let bootstrap = || bootstrap(&runtime.db, runtime.clock.as_ref(), runtime.rng.as_ref());
    let (first, second) = tokio::join!(bootstrap(), bootstrap());
    let made: Vec<_> = [first.unwrap(), second.unwrap()]
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(made.len(), 1);
    assert!(bootstrap().await.unwrap().is_none());

    let access = Access::start(&runtime);
    let caller = access.authenticate(made[0].token.expose()).await.unwrap();
    assert_eq!((caller.role, caller.agent_id), (Role::Admin, None));
    assert!(caller.require(&[Role::Agent, Role::Admin]).is_ok());
    assert_eq!(
        code(caller.require(&[Role::Service]).unwrap_err()),
        Code::PermissionDenied
    );
    assert_eq!(
        code(caller.require_agent().unwrap_err()),
        Code::PermissionDenied
    );
}

#[tokio::test]
async fn a_token_needs_the_right_secret() {
    let harness = Harness::new().await;
    let access = Access::start(&runtime(&harness, "one"));
    let agent_id = AgentId::generate(access.clock.as_ref(), access.rng.as_ref());
    let new = make(&access, Role::Agent, Some(agent_id)).await;
    let caller = access.authenticate(new.token.expose()).await.unwrap();
    assert_eq!(caller.require_agent().unwrap(), agent_id);

    let other = NewToken::generate(Role::Admin, None, access.rng.as_ref());
    let mixed = format!(
        "{}{}",
        &new.token.expose()[..14],
        &other.token.expose()[14..]
    );
    for bad in ["", "solmu", other.token.expose(), &mixed] {
        let error = access.authenticate(bad).await.unwrap_err();
        assert_eq!(code(error), Code::Unauthenticated, "{bad}");
    }
}

#[tokio::test]
async fn a_known_token_costs_no_query() {
    let harness = Harness::new().await;
    let access = Access::start(&runtime(&harness, "one"));
    let new = make(&access, Role::Service, None).await;
    // The listener clears the cache once when it is connected: what is cached before that does not stay.
    wait_for(
        "the listener has connected and the token is cached",
        || async {
            access.authenticate(new.token.expose()).await.unwrap();
            let state = format!("{access:?}");
            state.contains("cached: 1") && !state.contains("generation: 0")
        },
    )
    .await;
    harness.db.close().await;
    access.authenticate(new.token.expose()).await.unwrap();
    let unknown = NewToken::generate(Role::Admin, None, access.rng.as_ref());
    let error = access
        .authenticate(unknown.token.expose())
        .await
        .unwrap_err();
    assert_eq!(
        code(error),
        Code::Unavailable,
        "not known is something else than not checked"
    );
}

#[tokio::test]
async fn a_revocation_reaches_other_processes_at_once() {
    let harness = Harness::new().await;
    let (one, other) = (
        Access::start(&runtime(&harness, "one")),
        Access::start(&runtime(&harness, "two")),
    );
    let new = make(&one, Role::Service, None).await;
    let started = tokio::time::Instant::now();
    other.authenticate(new.token.expose()).await.unwrap();
    revoke(&one, &new.caller.token_id).await.unwrap();
    revoke(&one, &new.caller.token_id)
        .await
        .expect("a second time changes nothing");
    wait_for("the other process refuses the token", || async {
        other.authenticate(new.token.expose()).await.is_err()
    })
    .await;
    assert!(
        started.elapsed().as_secs() < 25,
        "it must not take as long as the cache lives"
    );
}

#[tokio::test]
async fn the_last_admin_token_stays() {
    let harness = Harness::new().await;
    let access = Access::start(&runtime(&harness, "one"));
    let first = make(&access, Role::Admin, None).await;
    let error = revoke(&access, &first.caller.token_id).await.unwrap_err();
    assert_eq!(code(error), Code::FailedPrecondition);
    make(&access, Role::Admin, None).await;
    revoke(&access, &first.caller.token_id).await.unwrap();
    assert_eq!(
        code(revoke(&access, "aaaaaaaa").await.unwrap_err()),
        Code::NotFound
    );
}

#[tokio::test]
async fn an_expired_token_says_so_to_its_owner_only() {
    let harness = Harness::new().await;
    let runtime = runtime(&harness, "one");
    let now = harness.clock.now();
    let new = NewToken::generate(Role::Service, None, runtime.rng.as_ref()).with_terms(
        Some(now + SignedDuration::from_hours(24)),
        Scopes::Only(vec![Scope::TicketsRead]),
        false,
    );
    let mut connection = runtime.db.pool().acquire().await.unwrap();
    store::token_insert(
        &mut connection,
        &new,
        ("test", &store::MadeBy::default()),
        now,
    )
    .await
    .unwrap();
    drop(connection);
    let access = Access::start(&runtime);
    let caller = access.authenticate(new.token.expose()).await.unwrap();
    assert!(caller.scopes().allow(Scope::TicketsRead));
    assert!(!caller.scopes().allow(Scope::TicketsWrite));
    wait_for("the metric counts it", || async {
        let text = runtime.metrics.encode();
        let mut lines = text.lines();
        lines.any(|line| line.starts_with("solmu_access_tokens_expiring") && line.contains(" 1"))
    })
    .await;

    harness.clock.advance(SignedDuration::from_hours(24));
    let error = access.authenticate(new.token.expose()).await.unwrap_err();
    assert!(error.to_string().contains("has expired"), "{error}");
    let mut wrong = new.token.expose().to_owned();
    let last = if wrong.ends_with('A') { 'E' } else { 'A' };
    wrong.pop();
    wrong.push(last);
    let error = access.authenticate(&wrong).await.unwrap_err();
    assert!(!error.to_string().contains("expired"), "{error}");
}

#[tokio::test]
async fn an_admin_token_that_expires_is_no_last_one() {
    let harness = Harness::new().await;
    let access = Access::start(&runtime(&harness, "one"));
    let first = make(&access, Role::Admin, None).await;
    let now = harness.clock.now();
    let short = NewToken::generate(Role::Admin, None, access.rng.as_ref()).with_terms(
        Some(now + SignedDuration::from_hours(1)),
        Scopes::Unrestricted,
        false,
    );
    let mut connection = access.db.pool().acquire().await.unwrap();
    store::token_insert(
        &mut connection,
        &short,
        ("short", &store::MadeBy::default()),
        now,
    )
    .await
    .unwrap();
    drop(connection);
    let error = revoke(&access, &first.caller.token_id).await.unwrap_err();
    assert_eq!(code(error), Code::FailedPrecondition);
    revoke(&access, &short.caller.token_id).await.unwrap();
}

#[tokio::test]
async fn a_token_is_made_once_under_a_request_id_and_told_once() {
    let harness = Harness::new().await;
    let access = Access::start(&runtime(&harness, "one"));
    let maker = make(&access, Role::Admin, None).await;
    let maker = access.authenticate(maker.token.expose()).await.unwrap();
    let other = make(&access, Role::Admin, None).await;
    let other = access.authenticate(other.token.expose()).await.unwrap();
    let create = |maker: &Caller, request_id: &str| {
        let mut request = Request::new(proto::CreateTokenRequest {
            token: Some(proto::Token {
                display_name: "portal".to_owned(),
                role: proto::Role::Service.into(),
                ..proto::Token::default()
            }),
            request_id: request_id.to_owned(),
        });
        request.extensions_mut().insert(maker.clone());
        let access = access.clone();
        async move {
            let made = proto::access_service_server::AccessService::create_token(&access, request);
            made.await.map(tonic::Response::into_inner)
        }
    };
    let made = create(&maker, "t-1").await.unwrap();
    assert!(!made.secret.is_empty());
    let id = made.token.unwrap().id;
    let again = create(&maker, "t-1").await.unwrap_err();
    assert_eq!(again.code(), tonic::Code::AlreadyExists);
    assert!(
        again.message().contains(&id) && again.message().contains("revoke it"),
        "{again:?}"
    );
    assert!(!again.message().contains(&made.secret));
    // Another one's ids, other ids and none make others.
    for (by, id) in [(&other, "t-1"), (&maker, "t-2"), (&maker, ""), (&maker, "")] {
        create(by, id).await.unwrap();
    }
    let portals = "SELECT count(*) FROM access.token WHERE display_name = 'portal'";
    let portals: i64 = sqlx::query_scalar(portals)
        .fetch_one(harness.db.pool())
        .await
        .unwrap();
    assert_eq!(portals, 5);
}

#[tokio::test]
async fn a_token_does_not_outlive_its_maker() {
    let harness = Harness::new().await;
    let runtime = runtime(&harness, "one");
    let access = Access::start(&runtime);
    let end = access.clock.now() + SignedDuration::from_hours(1);
    let short = NewToken::generate(Role::Admin, None, access.rng.as_ref()).with_terms(
        Some(end),
        Scopes::Unrestricted,
        false,
    );
    let mut connection = access.db.pool().acquire().await.unwrap();
    store::token_insert(
        &mut connection,
        &short,
        ("short", &store::MadeBy::default()),
        access.clock.now(),
    )
    .await
    .unwrap();
    let maker = access.authenticate(short.token.expose()).await.unwrap();
    let lasting = make(&access, Role::Admin, None).await;
    let lasting = access.authenticate(lasting.token.expose()).await.unwrap();

    let create = |maker: &Caller, expire_time: Option<jiff::Timestamp>| {
        let token = proto::Token {
            display_name: "made".to_owned(),
            role: proto::Role::Admin.into(),
            expire_time: expire_time.map(|at| prost_types::Timestamp {
                seconds: at.as_second(),
                nanos: at.subsec_nanosecond(),
            }),
            ..proto::Token::default()
        };
        let mut request = Request::new(proto::CreateTokenRequest {
            token: Some(token),
            ..proto::CreateTokenRequest::default()
        });
        request.extensions_mut().insert(maker.clone());
        let access = access.clone();
        async move {
            let made = proto::access_service_server::AccessService::create_token(&access, request);
            let token = made.await?.into_inner().token.unwrap_or_default();
            Ok::<_, Status>(token.expire_time.map(|at| at.seconds))
        }
    };
    assert_eq!(create(&lasting, None).await.unwrap(), None);
    let ends = Some(end.as_second());
    assert_eq!(create(&maker, None).await.unwrap(), ends);
    let earlier = end - SignedDuration::from_mins(1);
    let made = create(&maker, Some(earlier)).await.unwrap();
    assert_eq!(made, Some(earlier.as_second()));
    let later = end + SignedDuration::from_mins(1);
    let refused = create(&maker, Some(later)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

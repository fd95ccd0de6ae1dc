use solmu_domain::clock::FakeClock;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_string, body_string_contains, method},
};

use super::*;
use crate::http::{HttpLimits, client};

struct Bench {
    server: MockServer,
    clock: Arc<FakeClock>,
    source: TokenSource,
}

async fn bench(change: impl FnOnce(&mut OauthConfig)) -> Bench {
    let server = MockServer::start().await;
    let clock = Arc::new(FakeClock::new("2026-11-02T08:00:00Z".parse().unwrap()));
    let mut config = OauthConfig {
        token_url: server.uri(),
        client_id: "app".to_owned(),
        client_secret: Secret::new("s3cret"),
        refresh_token: Secret::new("refresh-1"),
        scope: "imap send".to_owned(),
    };
    change(&mut config);
    let http = client(HttpLimits::default()).unwrap();
    let source = TokenSource::new(config, http, Arc::clone(&clock) as _);
    Bench {
        server,
        clock,
        source,
    }
}

fn token(text: &str, seconds: impl Into<serde_json::Value>) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(serde_json::json!({
        "token_type": "Bearer", "access_token": text, "expires_in": seconds.into(), "ext_expires_in": 3599,
    }))
}

async fn answers(server: &MockServer, template: ResponseTemplate, times: u64) {
    Mock::given(method("POST"))
        .respond_with(template)
        .up_to_n_times(times)
        .expect(times)
        .mount(server)
        .await;
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_renewed_before_it_ends() {
    let bench = bench(|_| ()).await;
    answers(&bench.server, token("one", 3600), 1).await;
    let (a, b) = tokio::join!(bench.source.access_token(), bench.source.access_token());
    assert_eq!((a.unwrap().expose(), b.unwrap().expose()), ("one", "one"));
    bench.clock.advance(SignedDuration::from_mins(54));
    assert_eq!(bench.source.access_token().await.unwrap().expose(), "one");

    answers(&bench.server, token("two", "60"), 1).await;
    bench.clock.advance(SignedDuration::from_mins(2));
    assert_eq!(bench.source.access_token().await.unwrap().expose(), "two");
    bench.clock.advance(SignedDuration::from_secs(29));
    assert_eq!(bench.source.access_token().await.unwrap().expose(), "two");
    answers(&bench.server, token("three", 3600), 1).await;
    bench.clock.advance(SignedDuration::from_secs(2));
    assert_eq!(bench.source.access_token().await.unwrap().expose(), "three");
}

#[tokio::test]
async fn both_grants_send_what_the_rfc_wants() {
    let refresh = bench(|_| ()).await;
    let form = "client_id=app&grant_type=refresh_token&refresh_token=refresh-1&client_secret=s3cret&scope=imap+send";
    Mock::given(body_string(form))
        .respond_with(token("t", 60))
        .mount(&refresh.server)
        .await;
    refresh.source.access_token().await.unwrap();

    let own = bench(|config| config.refresh_token = Secret::default()).await;
    let form = "client_id=app&grant_type=client_credentials&client_secret=s3cret&scope=imap+send";
    Mock::given(body_string(form))
        .respond_with(token("t", 60))
        .mount(&own.server)
        .await;
    own.source.access_token().await.unwrap();
}

#[tokio::test]
async fn a_newer_refresh_token_is_used() {
    let bench = bench(|_| ()).await;
    let body = serde_json::json!({
        "token_type": "bearer", "access_token": "one", "refresh_token": "refresh-2",
    });
    Mock::given(body_string_contains("refresh-1"))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .expect(1)
        .mount(&bench.server)
        .await;
    Mock::given(body_string_contains("refresh-2"))
        .respond_with(token("two", 3600))
        .expect(1)
        .mount(&bench.server)
        .await;
    assert_eq!(bench.source.access_token().await.unwrap().expose(), "one");
    bench.clock.advance(SignedDuration::from_mins(6));
    assert_eq!(bench.source.access_token().await.unwrap().expose(), "two");
}

#[tokio::test]
async fn a_refused_token_is_forgotten_but_not_its_successor() {
    let bench = bench(|_| ()).await;
    answers(&bench.server, token("one", 3600), 1).await;
    let one = bench.source.access_token().await.unwrap();
    bench.source.forget(&one).await;
    answers(&bench.server, token("two", 3600), 1).await;
    bench.source.access_token().await.unwrap();
    bench.source.forget(&one).await;
    assert_eq!(bench.source.access_token().await.unwrap().expose(), "two");
}

#[tokio::test]
async fn a_provider_that_wants_fewer_requests_gets_fewer() {
    let bench = bench(|_| ()).await;
    let metrics = Metrics::new();
    let source = bench.source.counted(&metrics, "email");
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "120");
    answers(&bench.server, busy, 1).await;
    let refused = source.access_token().await.unwrap_err();
    assert!(!refused.needs_person(), "{refused}");
    // Five seconds are the usual rest; it wants two minutes.
    bench.clock.advance(SignedDuration::from_secs(119));
    assert!(source.access_token().await.is_err());
    bench.clock.advance(SignedDuration::from_secs(1));
    let slow = serde_json::json!({ "error": "slow_down" });
    let slow = ResponseTemplate::new(400).set_body_json(slow);
    answers(&bench.server, slow, 1).await;
    assert!(!source.access_token().await.unwrap_err().needs_person());
    bench.clock.advance(SignedDuration::from_secs(5));
    answers(&bench.server, token("one", 3600), 1).await;
    assert_eq!(source.access_token().await.unwrap().expose(), "one");
    let vendors = VendorMetrics::new(&metrics);
    assert_eq!(vendors.count("email", Call::Token), 2);
}

#[tokio::test]
async fn errors_say_who_has_to_act_and_never_what_is_secret() {
    let bench = bench(|_| ()).await;
    let body = serde_json::json!({
        "error": "invalid_client", "error_codes": [7_000_222],
        "error_description": "AADSTS7000222: keys of 'anna@desk.example' are expired.",
    });
    answers(
        &bench.server,
        ResponseTemplate::new(401).set_body_json(body),
        1,
    )
    .await;
    let error = bench.source.access_token().await.unwrap_err();
    assert!(error.needs_person());
    assert_eq!(
        error.to_string(),
        "the identity provider refuses: invalid_client AADSTS7000222"
    );
    assert!(!format!("{error:?} {:?}", bench.source).contains("anna"));
    assert!(!format!("{:?}", bench.source).contains("s3cret"));
    // Not asked again at once: the mock takes one request only.
    bench.clock.advance(SignedDuration::from_mins(4));
    assert!(bench.source.access_token().await.is_err());
    answers(&bench.server, token("one", 3600), 1).await;
    bench.clock.advance(SignedDuration::from_mins(2));
    assert!(bench.source.access_token().await.is_ok());
}

#[tokio::test]
async fn what_may_pass_is_told_as_such() {
    for (status, body) in [
        (503, "busy"),
        (429, "{}"),
        (400, r#"{"error":"temporarily_unavailable"}"#),
        (200, "no json"),
        (200, r#"{"access_token":"x","token_type":"mac"}"#),
    ] {
        let bench = bench(|_| ()).await;
        answers(
            &bench.server,
            ResponseTemplate::new(status).set_body_string(body),
            1,
        )
        .await;
        assert!(
            !bench
                .source
                .access_token()
                .await
                .unwrap_err()
                .needs_person(),
            "{status} {body}"
        );
    }
    for status in [302, 400, 404] {
        let bench = bench(|_| ()).await;
        answers(&bench.server, ResponseTemplate::new(status), 1).await;
        let error = bench.source.access_token().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the identity provider refuses: status {status}")
        );
    }
    let gone = bench(|config| config.token_url = "http://127.0.0.1:9/".to_owned()).await;
    assert!(!gone.source.access_token().await.unwrap_err().needs_person());
}

#[test]
fn configuration_errors_are_all_told() {
    let empty = OauthConfig::default();
    assert_eq!(
        empty.errors(),
        [
            OauthConfigError::TokenUrl,
            OauthConfigError::ClientId,
            OauthConfigError::NoSecret,
            OauthConfigError::NoScope
        ]
    );
    let mut config = OauthConfig {
        token_url: "http://login.example/token".to_owned(),
        client_id: "app".to_owned(),
        refresh_token: Secret::new("r"),
        ..OauthConfig::default()
    };
    assert_eq!(config.errors(), [OauthConfigError::TokenUrl]);
    for fine in ["https://login.example/token", "http://[::1]:8080/token"] {
        config.token_url = fine.to_owned();
        assert_eq!(config.errors(), [], "{fine}");
    }
}

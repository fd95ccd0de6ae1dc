//! Logins: passwords, and access tokens that are refused, renewed or not to be had.

use std::sync::Mutex;

use solmu_connector::{TokenSource, http::HttpLimits};
use solmu_domain::clock::FakeClock;
use solmu_runtime::config::Secret;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{peer::Peer, *};

/// Hands out tokens in turn; the last one again and again.
#[derive(Debug, Default)]
struct Purse {
    tokens: Mutex<Vec<&'static str>>,
    refused: Mutex<Vec<String>>,
}

impl AccessTokens for Purse {
    fn access_token(&self) -> TokenFuture<'_> {
        let token = self.tokens.lock().unwrap().first().copied();
        Box::pin(async move { token.map(Secret::new).ok_or_else(|| "no consent".into()) })
    }

    fn refused<'a>(
        &'a self,
        token: &'a Secret,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.refused.lock().unwrap().push(token.expose().to_owned());
        let mut tokens = self.tokens.lock().unwrap();
        if tokens.len() > 1 {
            tokens.remove(0);
        }
        Box::pin(std::future::ready(()))
    }
}

/// `user=bot@desk.example^Aauth=Bearer good^A^A` and the same with `old`, in base64.
const GOOD: &str = "AUTH XOAUTH2 dXNlcj1ib3RAZGVzay5leGFtcGxlAWF1dGg9QmVhcmVyIGdvb2QBAQ==";
const GREETING: &str = "250-relay\r\n250 AUTH LOGIN XOAUTH2";

fn oauth_config(peer: &Peer) -> Config {
    let mut config = config(Some(peer.address));
    let relay = config.accounts[0].relay.as_mut().unwrap();
    relay.username = "bot@desk.example".to_owned();
    relay.oauth = Some(OauthConfig {
        token_url: "https://login.example/token".to_owned(),
        client_id: "solmu".to_owned(),
        refresh_token: Secret::new("r"),
        ..OauthConfig::default()
    });
    config
}

async fn send_with(peer: &Peer, tokens: &[&'static str]) -> (String, Arc<Purse>) {
    let purse = Arc::new(Purse {
        tokens: Mutex::new(tokens.to_vec()),
        ..Purse::default()
    });
    let shared = Arc::clone(&purse);
    let (_bench, sender) =
        sender_with_tokens(&oauth_config(peer), &move |_| Arc::clone(&shared) as _);
    let message = queued();
    let first = summary(&sender.send(&message).await);
    assert_eq!(summary(&sender.send(&message).await), first);
    (first, purse)
}

#[tokio::test]
async fn a_token_opens_the_relay_once_for_all_mails() {
    let peer = Peer::scripted(vec![("EHLO", Some(GREETING))]).await;
    let (outcome, purse) = send_with(&peer, &["good"]).await;
    assert_eq!(outcome, "sent");
    let lines = peer.seen().lines;
    assert_eq!(lines.iter().filter(|line| *line == GOOD).count(), 1);
    assert!(purse.refused.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_withdrawn_token_is_replaced_on_the_same_connection() {
    // What Gmail and Microsoft do: a challenge with the cause, and the refusal after an empty line.
    let peer = Peer::start(Arc::new(|line: &str| {
        let text = match line {
            GOOD => "235 2.7.0 accepted",
            line if line.starts_with("EHLO") => GREETING,
            line if line.starts_with("AUTH XOAUTH2") => "334 eyJzdGF0dXMiOiI0MDAifQ==",
            "" => "535 5.7.3 authentication unsuccessful",
            _ => return None,
        };
        Some(peer::Reply::Say(text.to_owned()))
    }))
    .await;
    let (outcome, purse) = send_with(&peer, &["old", "good"]).await;
    assert_eq!(outcome, "sent");
    assert_eq!(*purse.refused.lock().unwrap(), ["old"]);
    assert_eq!(peer.seen().connections, 1);

    let peer = Peer::scripted(vec![
        ("EHLO", Some(GREETING)),
        ("AUTH", Some("535 5.7.3 no")),
    ])
    .await;
    let (outcome, purse) = send_with(&peer, &["old"]).await;
    assert_eq!(outcome, "retry relay_auth");
    assert_eq!(purse.refused.lock().unwrap().len(), 2, "once for each mail");
    assert!(peer.seen().mails.is_empty());
}

#[tokio::test]
async fn without_a_token_mail_waits() {
    let peer = Peer::scripted(vec![("EHLO", Some(GREETING))]).await;
    let (outcome, _purse) = send_with(&peer, &[]).await;
    assert_eq!(outcome, "retry relay_token");
}

#[tokio::test]
async fn a_wrong_password_is_not_the_mails_fault() {
    let peer = Peer::scripted(vec![
        ("EHLO", Some("250-relay\r\n250 AUTH PLAIN")),
        ("AUTH", Some("535 5.7.8 wrong")),
    ])
    .await;
    let mut config = config(Some(peer.address));
    let relay = config.accounts[0].relay.as_mut().unwrap();
    relay.username = "u".to_owned();
    relay.password = Secret::new("p");
    let (_bench, sender) = sender_with(&config);
    assert_eq!(summary(&sender.send(&queued()).await), "retry relay_auth");
}

#[test]
fn half_a_login_is_found_at_start() {
    let problems = |change: &dyn Fn(&mut RelayConfig)| {
        let mut config = config(Some("127.0.0.1:1".parse().unwrap()));
        let relay = config.accounts[0].relay.as_mut().unwrap();
        relay.username = "bot@desk.example".to_owned();
        relay.oauth = Some(OauthConfig {
            token_url: "https://login.example/token".to_owned(),
            client_id: "solmu".to_owned(),
            refresh_token: Secret::new("r"),
            ..OauthConfig::default()
        });
        change(relay);
        Accounts::new(&config, &signer())
            .map_or_else(|errors| errors.to_string(), |_| String::new())
    };
    assert_eq!(problems(&|_| {}), "");
    for (change, part) in [
        (
            &(|relay: &mut RelayConfig| relay.username.clear()) as &dyn Fn(&mut RelayConfig),
            "'oauth' needs 'username'",
        ),
        (
            &|relay| relay.password = Secret::new("p"),
            "'oauth' and 'password' exclude each other",
        ),
        (
            &|relay| relay.host = "relay.example".to_owned(),
            "needs 'tls'",
        ),
        (
            &|relay| relay.oauth = Some(OauthConfig::default()),
            "oauth: 'client_id' is empty",
        ),
    ] {
        let text = problems(change);
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// A token endpoint that gives out `good` once and refuses after that.
async fn token_endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        let answers = [
            (
                "200 OK",
                r#"{"access_token":"good","token_type":"Bearer","expires_in":3600}"#,
            ),
            ("400 Bad Request", r#"{"error":"invalid_grant"}"#),
        ];
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 8 * 1024];
            // The form follows the head at once or in a second piece.
            let mut length = stream.read(&mut request).await.unwrap();
            while !request[..length]
                .windows(9)
                .any(|part| part == b"client_id")
            {
                length += stream.read(&mut request[length..]).await.unwrap();
            }
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(body.as_bytes()).await.unwrap();
        }
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "a test peer that lives as long as the test"
    )]
    tokio::spawn(serve);
    address
}

#[tokio::test]
async fn tokens_come_from_the_identity_provider() {
    let provider = token_endpoint().await;
    let strict = Arc::new(|line: &str| {
        let text = match line {
            GOOD => "235 2.7.0 accepted",
            line if line.starts_with("EHLO") => GREETING,
            line if line.starts_with("AUTH") => "535 5.7.3 no",
            _ => return None,
        };
        Some(peer::Reply::Say(text.to_owned()))
    });
    let peer = Peer::start(strict).await;
    let mut config = oauth_config(&peer);
    let relay = config.accounts[0].relay.as_mut().unwrap();
    relay.timeout_ms = 10_000;
    relay.oauth.as_mut().unwrap().token_url = format!("http://{provider}/token");
    let http = solmu_connector::http::client(HttpLimits::default()).unwrap();
    let clock: SharedClock = Arc::new(FakeClock::new(Timestamp::UNIX_EPOCH));
    let (_bench, sender) = sender_with_tokens(&config, &|oauth| {
        let source = TokenSource::new(oauth.clone(), http.clone(), Arc::clone(&clock));
        Arc::new(source)
    });
    for _ in 0..3 {
        assert_eq!(summary(&sender.send(&queued()).await), "sent");
    }
    let seen = peer.seen();
    assert_eq!((seen.mails.len(), seen.connections), (3, 1));
}

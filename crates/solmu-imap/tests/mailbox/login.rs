use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use secrecy::{ExposeSecret as _, SecretString};
use solmu_imap::{Event, Login, Tls, TokenError, Tokens};

use solmu_imap::testing::Model;

use crate::bench::Bench;

/// Tokens that are given one after the other.
#[derive(Debug)]
struct Bunch {
    tokens: Mutex<Vec<Result<&'static str, TokenError>>>,
    refused: Mutex<Vec<String>>,
}

impl Bunch {
    fn new(tokens: Vec<Result<&'static str, TokenError>>) -> Arc<Self> {
        Arc::new(Self {
            tokens: Mutex::new(tokens),
            refused: Mutex::default(),
        })
    }
}

impl Tokens for Bunch {
    fn token(&self) -> BoxFuture<'_, Result<SecretString, TokenError>> {
        let mut tokens = self.tokens.lock().unwrap();
        let next = if tokens.len() > 1 {
            tokens.remove(0)
        } else {
            tokens[0].clone()
        };
        async move { next.map(SecretString::from) }.boxed()
    }

    fn refused<'a>(&'a self, token: &'a SecretString) -> BoxFuture<'a, ()> {
        let token = token.expose_secret().to_owned();
        self.refused.lock().unwrap().push(token);
        async {}.boxed()
    }
}

async fn logs_in(mut bench: Bench) {
    bench.start();
    bench
        .until("it is in", |bench| bench.desk.count(Event::Up) > 0)
        .await;
    bench.stop().await;
    assert_eq!(bench.server.model().connections, 1);
}

#[tokio::test]
async fn passwords_go_in_whatever_way_there_is() {
    logs_in(Bench::new(|_| ()).await).await;
    let without_ir = |model: &mut Model| model.capabilities = "IMAP4rev1 AUTH=PLAIN".to_owned();
    logs_in(Bench::new(without_ir).await).await;
    let only_login = |login: &'static str| {
        move |model: &mut Model| {
            model.capabilities = "IMAP4rev1".to_owned();
            model.logins = vec![login.to_owned()];
        }
    };
    logs_in(Bench::new(only_login(r#"LOGIN "anna" "secret""#)).await).await;
    let mut quoted = Bench::new(only_login(r#"LOGIN "anna" "s\"e\\c""#)).await;
    quoted.settings.login = Login::Password(r#"s"e\c"#.into());
    logs_in(quoted).await;
    let mut literal = Bench::new(only_login("LOGIN {5}\u{e4}nna {5}s\u{e9}ct")).await;
    literal.settings.username = "\u{e4}nna".to_owned();
    literal.settings.login = Login::Password("s\u{e9}ct".into());
    logs_in(literal).await;
}

#[tokio::test]
async fn a_wrong_password_is_tried_again_slowly() {
    let mut bench = Bench::new(|_| ()).await;
    bench.settings.login = Login::Password("wrong".into());
    bench.settings.times.retry_login = Duration::from_hours(1);
    bench.start();
    bench
        .until("it is told", |bench| {
            bench.desk.count(Event::Down("login")) > 0
        })
        .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(bench.server.model().connections, 1);
    bench.stop().await;

    let mut bench = Bench::new(|model| {
        model.login_refusal = "NO [UNAVAILABLE] try later".to_owned();
    })
    .await;
    bench.settings.login = Login::Password("right, but later".into());
    bench.start();
    bench
        .until("it tries again soon", |bench| {
            bench.desk.count(Event::Down("refused")) > 3
        })
        .await;
    assert_eq!(
        bench.desk.count(Event::Throttled),
        0,
        "it is only away for now"
    );
    bench.stop().await;

    let mut bench = Bench::new(|model| {
        model.login_refusal = "NO [LIMIT] too many connections".to_owned();
    })
    .await;
    bench.settings.login = Login::Password("right, but too often".into());
    bench.start();
    bench
        .until("it is told that the server wants fewer", |bench| {
            bench.desk.count(Event::Throttled) > 0
        })
        .await;
    bench.stop().await;
}

const BEARER: &str = "user=anna\x01auth=Bearer good\x01\x01";

#[tokio::test]
async fn tokens_go_in_and_a_refused_one_is_replaced_once() {
    for capabilities in ["IMAP4rev1 AUTH=XOAUTH2 SASL-IR", "IMAP4rev1 AUTH=XOAUTH2"] {
        let scripted = |model: &mut Model| {
            model.capabilities = capabilities.to_owned();
            model.logins = vec![BEARER.to_owned()];
        };
        let mut bench = Bench::new(scripted).await;
        let tokens = Bunch::new(vec![Ok("old"), Ok("good")]);
        bench.settings.login = Login::Token(tokens.clone());
        logs_in(bench).await;
        assert_eq!(*tokens.refused.lock().unwrap(), ["old"]);

        let mut bench = Bench::new(scripted).await;
        bench.settings.login = Login::Token(Bunch::new(vec![Ok("bad"), Ok("worse")]));
        bench.settings.times.retry_login = Duration::from_hours(1);
        bench.start();
        bench
            .until("it is told", |bench| {
                bench.desk.count(Event::Down("login")) > 0
            })
            .await;
        bench.stop().await;
        assert_eq!(bench.server.asked("AUTHENTICATE XOAUTH2"), 2);
    }
}

#[tokio::test]
async fn without_a_token_it_waits_as_long_as_the_cause_deserves() {
    for needs_person in [true, false] {
        let mut bench = Bench::new(|_| ()).await;
        let error = TokenError {
            needs_person,
            why: "invalid_grant".to_owned(),
        };
        bench.settings.login = Login::Token(Bunch::new(vec![Err(error)]));
        bench.settings.times.retry_login = Duration::from_hours(1);
        bench.start();
        let wanted = if needs_person { 1 } else { 4 };
        bench
            .until("it is told", |bench| {
                bench.desk.count(Event::Down("token")) >= wanted
            })
            .await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!needs_person || bench.server.model().connections == 1);
        bench.stop().await;
    }
}

#[tokio::test]
async fn no_secret_leaves_without_protection() {
    for (greeting, answer) in [
        ("* OK ready", "BAD what"),
        ("* PREAUTH come in", "OK begin"),
        (
            "* OK ready",
            "OK begin\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN",
        ),
    ] {
        let mut bench = Bench::new(|model| {
            model.greeting = greeting.to_owned();
            model.capabilities = "IMAP4rev1 STARTTLS AUTH=PLAIN".to_owned();
            model
                .answers
                .insert("STARTTLS".to_owned(), answer.to_owned());
        })
        .await;
        bench.settings.tls = Tls::StartTls;
        bench.settings.times.retry_login = Duration::from_millis(5);
        bench.start();
        bench
            .until("it is told", |bench| {
                bench.desk.count(Event::Down("tls")) > 1
            })
            .await;
        bench.stop().await;
        assert_eq!(bench.server.asked("AUTHENTICATE"), 0);
        assert_eq!(bench.server.asked("LOGIN"), 0);
    }
    let mut bench =
        Bench::new(|model| model.capabilities = "IMAP4rev1 AUTH=PLAIN".to_owned()).await;
    bench.settings.tls = Tls::StartTls;
    bench.start();
    bench
        .until("it is told", |bench| {
            bench.desk.count(Event::Down("tls")) > 0
        })
        .await;
    bench.stop().await;
}

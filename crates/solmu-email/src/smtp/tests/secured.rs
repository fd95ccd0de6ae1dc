//! STARTTLS (RFC 3207) and TLS from the first byte, with a client of the same library.

use std::path::{Path as FilePath, PathBuf};

use jiff::SignedDuration;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;

const SUPPORT: &[&str] = &["support@desk.example"];

fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/smtp/tests/tls")
        .join(name)
}

pub(super) fn with_tls(required: TlsUse) -> Config {
    let mut config = config();
    config.smtp.tls = SmtpTlsConfig {
        certificate: Some(sample("one.cert.pem")),
        key: Some(sample("one.key.pem")),
        required,
        listen: Some("127.0.0.1:0".parse().unwrap()),
    };
    config
}

async fn handshake(stream: TcpStream, trusted: &FilePath) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(&std::fs::read(trusted).unwrap()).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("desk.example").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// Sends `lines` in the clear and reads until the reply to the last one, without reading anything behind it.
async fn in_the_clear(running: &Running, lines: &[&str]) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let mut reply = read_reply(&mut stream).await;
    for line in lines {
        stream.write_all(line.as_bytes()).await.unwrap();
        reply = read_reply(&mut stream).await;
    }
    (stream, reply)
}

async fn read_reply(stream: &mut TcpStream) -> String {
    let mut reply = String::new();
    loop {
        let mut line = String::new();
        while !line.ends_with('\n') {
            match timeout(PATIENCE, stream.read_u8()).await.unwrap() {
                Ok(byte) => line.push(char::from(byte)),
                Err(_) => return reply,
            }
        }
        reply.push_str(&line);
        if line.as_bytes()[3] == b' ' {
            return reply;
        }
    }
}

const EHLO: &str = "EHLO c.example\r\n";
const STARTTLS: &str = "STARTTLS\r\n";

#[tokio::test]
async fn a_mail_over_tls_says_so() {
    let running = run(with_tls(TlsUse::Required)).await;
    let (stream, reply) = in_the_clear(&running, &[EHLO]).await;
    assert!(reply.contains("\r\n250-STARTTLS\r\n"), "{reply}");
    drop(stream);
    // Required means that the mail, not the greeting, waits for it.
    let (stream, reply) = in_the_clear(&running, &[EHLO, "MAIL FROM:<>\r\n", STARTTLS]).await;
    assert!(reply.starts_with("220 2.0.0 "), "{reply}");
    let stream = handshake(stream, &sample("one.cert.pem")).await.unwrap();
    let mut client = Client::over(stream);
    // Everything before is forgotten.
    assert_eq!(client.code("MAIL FROM:<a@c.example>").await, "503 5.5.1");
    let greeting = client.say("EHLO c.example").await;
    assert!(!greeting.contains("STARTTLS"), "{greeting}");
    assert_eq!(client.code("STARTTLS").await, "503 5.5.1");
    assert_eq!(client.mail(SUPPORT, MAIL).await, "250 2.0.0 taken");
    let raw = original(&running, 0);
    assert!(raw.contains("(Solmu) with ESMTPS id "), "{raw}");
    assert!(
        raw.contains("\r\n\tfor <support@desk.example>\r\n\ttls TLS_AES_"),
        "{raw}"
    );
    assert_eq!(client.code("QUIT").await, "221 2.0.0");
    assert_eq!(client.reply().await, "");
    assert_eq!(running.bench.metrics.handshakes.get(["ok"]), 1);
    assert_eq!(running.bench.metrics.refused.get(["tls_required"]), 1);
}

#[tokio::test]
async fn tls_from_the_first_byte() {
    let running = run(with_tls(TlsUse::Offered)).await;
    let stream = TcpStream::connect(running.smtps.unwrap()).await.unwrap();
    let mut client = Client::over(handshake(stream, &sample("one.cert.pem")).await.unwrap());
    assert_eq!(client.reply().await, "220 desk.example ESMTP Solmu");
    client.say("EHLO c.example").await;
    assert_eq!(client.mail(SUPPORT, MAIL).await, "250 2.0.0 taken");
    assert!(original(&running, 0).contains(" with ESMTPS id "));
    // Who speaks in the clear there is hung up on.
    let stream = TcpStream::connect(running.smtps.unwrap()).await.unwrap();
    let mut client = Client::over(stream);
    client.send(b"EHLO c.example\r\nEHLO c.example\r\n").await;
    let mut answer = Vec::new();
    drop(client.reader.read_to_end(&mut answer).await);
    assert!(!answer.starts_with(b"220"));
    assert_eq!(running.bench.metrics.handshakes.get(["failed"]), 1);
}

#[tokio::test]
async fn nothing_is_obeyed_that_came_behind_starttls() {
    let running = run(with_tls(TlsUse::Offered)).await;
    for behind in ["RSET\r\n", "MAIL FROM:<x@c.example>\r\n", "X", "\n"] {
        let line = format!("{STARTTLS}{behind}");
        let (mut stream, reply) = in_the_clear(&running, &[EHLO, &line]).await;
        assert!(reply.starts_with("554 5.5.1 "), "{behind:?}: {reply}");
        assert_eq!(read_reply(&mut stream).await, "", "{behind:?}");
    }
    assert_eq!(running.bench.metrics.refused.get(["injection"]), 4);
    // Out of order, and where there is no certificate.
    let (_stream, reply) = in_the_clear(&running, &[STARTTLS]).await;
    assert!(reply.starts_with("503 5.5.1 "), "{reply}");
    let (_stream, reply) = in_the_clear(&running, &[EHLO, "MAIL FROM:<>\r\n", STARTTLS]).await;
    assert!(reply.starts_with("503 5.5.1 "), "{reply}");
    let running = run(config()).await;
    let (_stream, reply) = in_the_clear(&running, &[EHLO, STARTTLS]).await;
    assert!(reply.starts_with("502 5.5.1 "), "{reply}");
    let mut never = with_tls(TlsUse::Never);
    never.smtp.tls.listen = None;
    let running = run(never).await;
    let (_stream, reply) = in_the_clear(&running, &[EHLO]).await;
    assert!(!reply.contains("STARTTLS"), "{reply}");
}

#[tokio::test]
async fn who_speaks_no_tls_is_hung_up_on() {
    let running = run(with_tls(TlsUse::Offered)).await;
    let (mut stream, _) = in_the_clear(&running, &[EHLO, STARTTLS]).await;
    stream.write_all(b"MAIL FROM:<>\r\n").await.unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    assert!(!answer.starts_with(b"250"), "{answer:?}");
    assert_eq!(running.bench.metrics.handshakes.get(["failed"]), 1);
}

#[tokio::test]
async fn a_new_certificate_is_seen_within_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    // The files' times are set: the clock of the file system is too coarse for a test that does not wait.
    let install = |name: &str, with_key: bool, version: u64| {
        std::fs::copy(sample(&format!("{name}.cert.pem")), &certificate).unwrap();
        if with_key {
            std::fs::copy(sample(&format!("{name}.key.pem")), &key).unwrap();
        }
        let changed = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(version);
        let file = std::fs::File::options().write(true).open(&certificate);
        let times = std::fs::FileTimes::new().set_modified(changed);
        file.unwrap().set_times(times).unwrap();
    };
    install("one", true, 1);
    let mut config = with_tls(TlsUse::Offered);
    config.smtp.tls.certificate = Some(certificate.clone());
    config.smtp.tls.key = Some(key.clone());
    let running = run(config).await;
    let trusts = async |name: &str| {
        let (stream, _) = in_the_clear(&running, &[EHLO, STARTTLS]).await;
        handshake(stream, &sample(&format!("{name}.cert.pem")))
            .await
            .is_ok()
    };
    assert!(trusts("one").await);
    let minute = SignedDuration::from_secs(60);
    // Half of it: the old one stays.
    install("two", false, 2);
    assert!(trusts("one").await, "it is too early to look");
    running.bench.clock.advance(minute);
    assert!(trusts("one").await);
    assert_eq!(running.bench.metrics.certificate_reloads.get(["failed"]), 1);
    install("two", true, 3);
    assert!(trusts("one").await, "it was just looked at");
    running.bench.clock.advance(minute);
    assert!(trusts("two").await);
    assert!(!trusts("one").await);
    assert_eq!(running.bench.metrics.certificate_reloads.get(["ok"]), 1);
}

#[test]
fn what_cannot_be_used_is_said_at_start() {
    let bench = bench(&config());
    let load = |certificate: &str, key: &str| {
        let config = SmtpTlsConfig {
            certificate: Some(sample(certificate)),
            key: Some(sample(key)),
            ..SmtpTlsConfig::default()
        };
        let clock = Arc::clone(&bench.clock) as _;
        let loaded = Certificates::load(&config, clock, bench.metrics.clone());
        assert_eq!(Certificates::check(&config).is_ok(), loaded.is_ok());
        loaded
    };
    assert!(matches!(load("one.cert.pem", "one.key.pem"), Ok(Some(_))));
    assert!(matches!(
        load("none.pem", "one.key.pem"),
        Err(TlsError::Read { .. })
    ));
    for (certificate, key) in [
        ("one.key.pem", "one.key.pem"),
        ("one.cert.pem", "one.cert.pem"),
    ] {
        assert!(matches!(load(certificate, key), Err(TlsError::Pem { .. })));
    }
    assert!(matches!(
        load("one.cert.pem", "two.key.pem"),
        Err(TlsError::Unusable { .. })
    ));
}

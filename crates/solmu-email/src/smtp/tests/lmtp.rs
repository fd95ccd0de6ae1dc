//! LMTP (RFC 2033): an answer for each recipient.

use tokio::net::UnixStream;

use super::*;

async fn local() -> (Running, Client) {
    let mut config = config();
    config.smtp.lmtp.listen = Some("127.0.0.1:0".parse().unwrap());
    let running = run(config).await;
    let address = running.lmtp.unwrap();
    let mut client = Client::over(TcpStream::connect(address).await.unwrap());
    assert_eq!(client.reply().await, "220 desk.example LMTP Solmu");
    (running, client)
}

async fn replies(client: &mut Client, count: usize) -> Vec<String> {
    let mut replies = Vec::new();
    for _ in 0..count {
        replies.push(status(&client.reply().await));
    }
    replies
}

const TO: [&str; 3] = [
    "support@desk.example",
    "sales@desk.example",
    "SUPPORT@desk.example",
];

#[tokio::test]
async fn each_recipient_gets_an_answer_of_its_own() {
    let (running, mut client) = local().await;
    let greeting = client.say("LHLO mx.example").await;
    assert!(greeting.contains("250-PIPELINING") && !greeting.contains("STARTTLS"));
    for chunked in [false, true] {
        client.envelope(&TO).await;
        if chunked {
            client.send(b"BDAT 14 LAST\r\nSubject: s\r\n\r\n").await;
        } else {
            client.say("DATA").await;
            client.send(b"Subject: s\r\n\r\n\r\n.\r\n").await;
        }
        assert_eq!(replies(&mut client, 3).await, ["250 2.0.0"; 3]);
    }
    let accounts: Vec<String> = running
        .bench
        .desk
        .messages()
        .into_iter()
        .map(|message| message.account)
        .collect();
    assert_eq!(accounts, ["main", "sales", "main", "sales"]);
    let raw = original(&running, 0);
    assert!(raw.contains("(Solmu) with LMTP id "), "{raw}");
    assert_eq!(client.code("QUIT").await, "221 2.0.0");
}

#[tokio::test]
async fn the_failure_of_one_account_is_its_own() {
    let (running, mut client) = local().await;
    client.say("LHLO mx.example").await;
    let desk = &running.bench.desk;
    desk.refuse_account("sales", IntakeError::Unavailable);
    client.envelope(&TO).await;
    client.say("DATA").await;
    client.send(b"Subject: s\r\n\r\n\r\n.\r\n").await;
    assert_eq!(
        replies(&mut client, 3).await,
        ["250 2.0.0", "451 4.3.0", "250 2.0.0"]
    );
    assert_eq!(desk.messages().len(), 1);
    desk.refuse_account("main", IntakeError::TooLarge);
    client.envelope(&TO).await;
    client.say("DATA").await;
    client.send(b"Subject: s\r\n\r\n\r\n.\r\n").await;
    assert_eq!(
        replies(&mut client, 3).await,
        ["552 5.3.4", "250 2.0.0", "552 5.3.4"]
    );
    // What is wrong with the mail itself is said to each.
    client.envelope(&TO).await;
    client.say("DATA").await;
    client.send(b"Subject: s\n\r\n.\r\n").await;
    assert_eq!(replies(&mut client, 3).await, ["550 5.6.11"; 3]);
}

#[tokio::test]
async fn it_is_not_taken_for_smtp() {
    let (running, mut client) = local().await;
    for (line, wanted) in [
        ("EHLO mx.example", "500 5.5.1"),
        ("HELO mx.example", "500 5.5.1"),
        ("MAIL FROM:<>", "503 5.5.1"),
        ("LHLO mx.example", "250-desk."),
        ("STARTTLS", "502 5.5.1"),
        ("MAIL FROM:<>", "250 2.1.0"),
        ("RCPT TO:<no@desk.example>", "550 5.1.1"),
        ("DATA", "503 5.5.1"),
        ("RCPT TO:<sales@desk.example>", "250 2.1.5"),
        ("DATA", "354 end w"),
    ] {
        assert_eq!(client.code(line).await, wanted, "{line}");
    }
    client.send(b"Subject: s\r\n\r\n\r\n.\r\n").await;
    // One answer, for the one that was accepted.
    assert_eq!(replies(&mut client, 1).await, ["250 2.0.0"]);
    assert_eq!(client.code("NOOP").await, "250 2.0.0");
    assert_eq!(running.bench.desk.messages().len(), 1);
}

#[tokio::test]
async fn over_a_unix_socket() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lmtp.sock");
    // A process that was killed left one behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut config = config();
    config.smtp.lmtp.socket = Some(path.clone());
    config.smtp.lmtp.socket_mode = "0600".to_owned();
    let second = config.smtp.clone();
    let running = run(config).await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // One that lives keeps its own.
    let taken = Listeners::bind("127.0.0.1:0".parse().unwrap(), &second).await;
    assert!(matches!(taken, Err(StartError::Socket { .. })));

    let mut client = Client::over(UnixStream::connect(&path).await.unwrap());
    client.reply().await;
    client.say("LHLO mx.example").await;
    client.envelope(&TO[..1]).await;
    client.say("DATA").await;
    client.send(b"Subject: s\r\n\r\n\r\n.\r\n").await;
    assert_eq!(replies(&mut client, 1).await, ["250 2.0.0"]);
    drop(client);
    running.drain.cancel();
    running.tasks.close();
    running.tasks.wait().await;
    assert!(!path.exists());
}

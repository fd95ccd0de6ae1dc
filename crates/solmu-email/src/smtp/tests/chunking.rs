//! BDAT (RFC 3030).

use super::*;

const SUPPORT: &[&str] = &["support@desk.example"];

async fn chunk(client: &mut Client, bytes: &str, last: bool) -> String {
    let end = if last { " LAST" } else { "" };
    let command = format!("BDAT {}{end}\r\n{bytes}", bytes.len());
    client.send(command.as_bytes()).await;
    status(&client.reply().await)
}

#[tokio::test]
async fn a_mail_in_chunks_is_taken_as_it_is() {
    let running = run(config()).await;
    let mut client = Client::hello(&running).await;
    client.envelope(SUPPORT).await;
    let pieces = [
        "Subject: s\r\nMessage-ID: <1@c.example>\r",
        "\n\r\n..two dots\r\n.\r\n",
        "",
    ];
    for piece in pieces {
        assert_eq!(chunk(&mut client, piece, false).await, "250 2.0.0");
    }
    assert!(running.bench.desk.events().is_empty());
    assert_eq!(
        chunk(&mut client, "after the dot\r\n", true).await,
        "250 2.0.0"
    );
    let raw = original(&running, 0);
    assert!(
        raw.ends_with("\r\nSubject: s\r\nMessage-ID: <1@c.example>\r\n\r\n..two dots\r\n.\r\nafter the dot\r\n"),
        "{raw}"
    );
    // The session is ready for the next mail, which may come in another way; an empty last chunk ends one too.
    assert_eq!(client.mail(SUPPORT, MAIL).await, "250 2.0.0 taken");
    client.envelope(SUPPORT).await;
    assert_eq!(
        chunk(&mut client, "Subject: 3\r\n\r\n", false).await,
        "250 2.0.0"
    );
    assert_eq!(chunk(&mut client, "", true).await, "250 2.0.0");
    assert_eq!(running.bench.desk.messages().len(), 3);
}

#[tokio::test]
async fn chunks_keep_their_place_in_the_dialogue() {
    let running = run(config()).await;
    let mut client = Client::hello(&running).await;
    // What was announced is read, whatever is said of it: commands in it are not obeyed.
    let quit = "QUIT\r\n";
    assert_eq!(chunk(&mut client, quit, true).await, "503 5.5.1");
    client.code("MAIL FROM:<a@c.example>").await;
    assert_eq!(chunk(&mut client, quit, true).await, "554 5.5.1");
    client.code("RCPT TO:<support@desk.example>").await;
    assert_eq!(
        chunk(&mut client, "Subject: s\r\n", false).await,
        "250 2.0.0"
    );
    for command in [
        "DATA",
        "MAIL FROM:<a@c.example>",
        "RCPT TO:<sales@desk.example>",
    ] {
        assert_eq!(client.code(command).await, "503 5.5.1", "{command}");
    }
    assert_eq!(client.code("NOOP").await, "250 2.0.0");
    assert_eq!(client.code("RSET").await, "250 2.0.0");
    assert_eq!(chunk(&mut client, "\r\nrest", true).await, "503 5.5.1");
    // A chunk after the last one.
    client.envelope(SUPPORT).await;
    assert_eq!(
        chunk(&mut client, "Subject: s\r\n", true).await,
        "250 2.0.0"
    );
    assert_eq!(chunk(&mut client, quit, true).await, "503 5.5.1");
    assert_eq!(running.bench.desk.messages().len(), 1);
    // Without a length there is no way to go on.
    client.send(b"BDAT many LAST\r\nMAIL FROM:<>\r\n").await;
    assert_eq!(client.rest().await, ["501 5.5.4"]);
}

#[tokio::test]
async fn a_whole_dialogue_in_one_packet() {
    let running = run(config()).await;
    let mut client = Client::connect(&running).await;
    client
        .send(
            b"EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<support@desk.example>\r\n\
              BDAT 14\r\nSubject: s\r\n\r\nBDAT 8 LAST\r\nQUIT\r\n\r\nMAIL FROM:<> BODY=BINARYMIME\r\nQUIT\r\n",
        )
        .await;
    let replies = client.rest().await;
    assert_eq!(
        replies[2..],
        [
            "250 2.1.0",
            "250 2.1.5",
            "250 2.0.0",
            "250 2.0.0",
            "555 5.5.4",
            "221 2.0.0"
        ]
    );
    assert!(original(&running, 0).ends_with("Subject: s\r\n\r\nQUIT\r\n\r\n"));
}

#[tokio::test]
async fn chunks_are_limited_together() {
    let mut config = config();
    config.smtp.max_message_bytes = 1_000;
    let running = run(config).await;
    let mut client = Client::hello(&running).await;
    client.envelope(SUPPORT).await;
    let half = "x".repeat(600);
    assert_eq!(chunk(&mut client, &half, false).await, "250 2.0.0");
    assert_eq!(chunk(&mut client, &half, false).await, "552 5.3.4");
    assert_eq!(chunk(&mut client, &half, true).await, "503 5.5.1");
    client.envelope(SUPPORT).await;
    assert_eq!(
        chunk(&mut client, &"x".repeat(5_000), true).await,
        "552 5.3.4"
    );
    assert!(running.bench.desk.events().is_empty());
    assert_eq!(client.mail(SUPPORT, MAIL).await, "250 2.0.0 taken");
}

#[tokio::test]
async fn bare_line_feeds_in_chunks_become_line_ends() {
    let running = run(config()).await;
    let mut client = Client::hello(&running).await;
    client.envelope(SUPPORT).await;
    let pieces = ["Subject: exchange\n", "\r\none\r", "\ntwo\n.\nthree"];
    for piece in pieces {
        assert_eq!(chunk(&mut client, piece, false).await, "250 2.0.0");
    }
    assert_eq!(chunk(&mut client, "\n", true).await, "250 2.0.0");
    let raw = original(&running, 0);
    assert!(
        raw.ends_with("Subject: exchange\r\n\r\none\r\ntwo\r\n.\r\nthree\r\n"),
        "{raw}"
    );
    // By DATA they are refused as before.
    let reply = client.mail(SUPPORT, "Subject: a\n\nx").await;
    assert!(reply.starts_with("550 5.6.11"), "{reply}");
}

#[tokio::test]
async fn half_a_mail_is_no_mail() {
    let running = run(config()).await;
    for bytes in [&b"BDAT 4\r\na: b"[..], b"BDAT 5 LAST\r\na: b"] {
        let mut client = Client::hello(&running).await;
        client.envelope(SUPPORT).await;
        client.send(bytes).await;
        client.writer.shutdown().await.unwrap();
        client.rest().await;
    }
    assert!(running.bench.desk.events().is_empty());
}

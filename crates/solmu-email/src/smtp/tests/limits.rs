//! What the server refuses, and how it ends.

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn sizes_and_numbers_are_limited() {
    let mut config = config();
    config.smtp.max_message_bytes = 1_000;
    config.smtp.max_recipients = 1;
    config.smtp.max_connections = 1;
    config.smtp.max_errors = 4;
    let running = run(config).await;
    let mut client = Client::hello(&running).await;
    let mut second = Client::connect(&running).await;
    assert!(second.reply().await.starts_with("421 4.3.2"));
    assert_eq!(second.reply().await, "");

    assert_eq!(
        client.code("MAIL FROM:<a@c.example> SIZE=1001").await,
        "552 5.3.4"
    );
    assert!(
        client
            .mail(&["support@desk.example"], &"x".repeat(2_000))
            .await
            .starts_with("552 5.3.4")
    );
    assert_eq!(
        client.code("MAIL FROM:<a@c.example> SIZE=1000").await,
        "250 2.1.0"
    );
    assert_eq!(
        client.code("RCPT TO:<support@desk.example>").await,
        "250 2.1.5"
    );
    assert_eq!(
        client.code("RCPT TO:<sales@desk.example>").await,
        "452 4.5.3"
    );
    assert_eq!(client.code("RSET").await, "250 2.0.0");
    assert_eq!(client.code("X").await, "500 5.5.2");
    assert_eq!(client.code("X").await, "500 5.5.2");
    assert_eq!(client.code("X").await, "421 4.7.0");
    assert_eq!(client.reply().await, "");
    assert!(running.bench.desk.events().is_empty());
}

#[tokio::test]
async fn mails_that_are_taken_forgive_errors() {
    let mut config = config();
    config.smtp.max_errors = 4;
    let running = run(config).await;
    let mut client = Client::hello(&running).await;
    for _ in 0..5 {
        for _ in 0..2 {
            assert_eq!(client.code("RCPT TO:<a@desk.example>").await, "503 5.5.1");
        }
        assert_eq!(
            client.mail(&["support@desk.example"], MAIL).await,
            "250 2.0.0 taken"
        );
    }
    // Refused mails forgive nothing.
    let mut client = Client::hello(&running).await;
    for _ in 0..3 {
        client.code("MAIL FROM:<a@c.example>").await;
        assert_eq!(
            client.code("RCPT TO:<nobody@desk.example>").await,
            "550 5.1.1"
        );
        client.code("RSET").await;
    }
    client.code("MAIL FROM:<a@c.example>").await;
    assert_eq!(
        client.code("RCPT TO:<nobody@desk.example>").await,
        "421 4.7.0"
    );
}

#[tokio::test]
async fn the_postmaster_is_always_there() {
    let running = run(config()).await;
    let mut client = Client::hello(&running).await;
    for recipient in [
        "postmaster",
        "PostMaster",
        "postmaster@desk.example",
        "POSTMASTER@Desk.Example",
    ] {
        assert_eq!(client.mail(&[recipient], MAIL).await, "250 2.0.0 taken");
    }
    client.code("MAIL FROM:<a@c.example>").await;
    for recipient in ["postmaster@elsewhere.example", "hostmaster@desk.example"] {
        let command = format!("RCPT TO:<{recipient}>");
        assert_eq!(client.code(&command).await, "550 5.1.1");
    }
    let messages = running.bench.desk.messages();
    assert_eq!(messages.len(), 4);
    for message in messages {
        assert_eq!(message.account, "main");
        assert_eq!(message.delivered_to, ["postmaster@desk.example"]);
    }
}

#[tokio::test]
async fn mail_that_goes_round_in_circles_ends_here() {
    let running = run(config()).await;
    let mut client = Client::hello(&running).await;
    let hops = "Received: by x; Mon, 2 Nov 2026 10:00:00 +0200\r\n";
    let data = format!("{}Subject: s\r\n\r\nx", hops.repeat(50));
    assert!(
        client
            .mail(&["support@desk.example"], &data)
            .await
            .starts_with("554 5.4.6")
    );
    let data = format!("{}Subject: s\r\n\r\nx", hops.repeat(49));
    assert_eq!(
        client.mail(&["support@desk.example"], &data).await,
        "250 2.0.0 taken"
    );
}

#[tokio::test]
async fn slow_clients_are_parted_with() {
    // Who says nothing at all.
    let mut silent = config();
    silent.smtp.command_timeout_ms = 50;
    let running = run(silent).await;
    let mut client = Client::connect(&running).await;
    assert!(client.reply().await.starts_with("220 "));
    assert!(client.reply().await.starts_with("421 4.3.2"));
    // Who stops within a mail. It may be parted with before it has said anything of it.
    let mut config = config();
    config.smtp.data_timeout_ms = 50;
    let running = run(config).await;
    let mut client = Client::hello(&running).await;
    client.envelope(&["support@desk.example"]).await;
    assert!(client.say("DATA").await.starts_with("354 "));
    drop(client.writer.write_all(b"Subject: never ends\r\n").await);
    assert!(client.reply().await.starts_with("421 4.3.2"));
    assert!(running.bench.desk.events().is_empty());
}

/// Sends a byte now and then, for ever, and gives the next line that the server says.
async fn drip(client: Client) -> String {
    let Client { reader, mut writer } = client;
    let dripping = async move {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            if writer.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut lines = reader.lines();
    let line = timeout(PATIENCE, async {
        tokio::select! {
            line = lines.next_line() => line,
            () = dripping => unreachable!("it never ends"),
        }
    });
    line.await.unwrap().unwrap().unwrap_or_default()
}

#[tokio::test]
async fn a_byte_now_and_then_is_not_enough() {
    // Within a mail.
    let mut slow = config();
    slow.smtp.min_bytes_per_second = 10_000_000;
    slow.smtp.slow_start_ms = 100;
    let running = run(slow).await;
    let mut client = Client::hello(&running).await;
    client.envelope(&["support@desk.example"]).await;
    assert!(client.say("DATA").await.starts_with("354 "));
    let line = drip(client).await;
    assert!(line.starts_with("421 4.4.2"), "{line}");
    assert_eq!(running.bench.metrics.refused.get(["slow"]), 1);
    assert!(running.bench.desk.events().is_empty());
    // Within a command.
    let mut config = config();
    config.smtp.command_timeout_ms = 200;
    let running = run(config).await;
    let mut client = Client::connect(&running).await;
    assert!(client.reply().await.starts_with("220 "));
    let line = drip(client).await;
    assert!(line.starts_with("421 4.3.2"), "{line}");
}

#[tokio::test]
async fn who_never_stops_is_stopped() {
    let mut in_a_mail = config();
    in_a_mail.smtp.max_message_bytes = 10_000;
    in_a_mail.smtp.data_total_ms = 300;
    in_a_mail.smtp.max_idle_commands = u32::MAX;
    let mut between = in_a_mail.clone();
    between.smtp.connection_total_ms = 1_000;
    for (config, opening, flood) in [
        (&in_a_mail, Some("DATA\r\n"), "x\r\n"),
        (&in_a_mail, Some(""), "BDAT 0\r\n"),
        // Time runs from the beginning, so nothing is said that has to be answered in time.
        (&between, None, "NOOP\r\n"),
    ] {
        let running = run(config.clone()).await;
        let mut client = Client::connect(&running).await;
        if let Some(opening) = opening {
            client.reply().await;
            client.say("EHLO c.example").await;
            client.envelope(&["support@desk.example"]).await;
            client.send(opening.as_bytes()).await;
        }
        let Client {
            mut reader,
            mut writer,
        } = client;
        let flood = flood.repeat(1_000);
        let flooding = async move {
            while writer.write_all(flood.as_bytes()).await.is_ok() {}
            std::future::pending::<()>().await;
        };
        let reading = timeout(PATIENCE, async {
            let mut last = String::new();
            loop {
                let mut line = Vec::new();
                match reader.read_until(b'\n', &mut line).await {
                    Ok(_) if line.ends_with(b"\n") => {
                        last = String::from_utf8(line).unwrap();
                    }
                    Ok(0) => return Some(last),
                    // Who does not read what we say may get a part of it, or nothing.
                    Ok(_) | Err(_) => return None,
                }
            }
        });
        let last = tokio::select! {
            last = reading => last.expect("the connection ends"),
            () = flooding => unreachable!("it never ends"),
        };
        // A server that waits for us to read its many answers when its time is over has no place left to say why.
        if let Some(last) = last {
            let is_answer = opening.is_none() && last.starts_with("250 ");
            assert!(
                is_answer || last.starts_with("421 4.3.2 "),
                "{opening:?}: {last}"
            );
        }
        assert!(running.bench.desk.events().is_empty());
    }
}

#[tokio::test]
async fn one_address_has_only_so_many_connections() {
    let mut config = config();
    config.smtp.max_connections_per_address = 2;
    config.smtp.exempt_addresses = Vec::new();
    config.smtp.lmtp.listen = Some("127.0.0.1:0".parse().unwrap());
    let running = run(config).await;
    let first = Client::hello(&running).await;
    let _second = Client::hello(&running).await;
    let mut third = Client::connect(&running).await;
    assert!(third.reply().await.starts_with("421 4.7.0 "));
    assert_eq!(third.reply().await, "");
    // Our own server has places of its own.
    let mut local = Client::over(TcpStream::connect(running.lmtp.unwrap()).await.unwrap());
    assert!(local.reply().await.starts_with("220 "));
    drop(first);
    solmu_testkit::wait_for("a place", async || {
        let mut client = Client::connect(&running).await;
        client.reply().await.starts_with("220 ")
    })
    .await;
    assert!(running.bench.metrics.refused.get(["address_connections"]) >= 1);
}

#[tokio::test]
async fn mails_under_way_share_their_memory() {
    let mut config = config();
    config.smtp.max_message_bytes = 160_000;
    config.smtp.max_buffered_bytes = 320_000;
    let running = run(config).await;
    let big = format!("Subject: s\r\n\r\n{}", "x".repeat(150_000));
    let mut first = Client::hello(&running).await;
    first.envelope(&["support@desk.example"]).await;
    first
        .send(format!("BDAT {}\r\n{big}", big.len()).as_bytes())
        .await;
    assert_eq!(status(&first.reply().await), "250 2.0.0");
    let mut second = Client::hello(&running).await;
    assert!(
        second
            .mail(&["support@desk.example"], &big)
            .await
            .starts_with("452 4.3.1 ")
    );
    assert_eq!(first.code("BDAT 0 LAST").await, "250 2.0.0");
    assert_eq!(
        second.mail(&["support@desk.example"], &big).await,
        "250 2.0.0 taken"
    );
}

#[tokio::test]
async fn commands_without_a_mail_come_to_an_end() {
    let mut config = config();
    config.smtp.max_idle_commands = 3;
    let running = run(config).await;
    let mut client = Client::hello(&running).await;
    assert_eq!(client.code("NOOP").await, "250 2.0.0");
    assert_eq!(client.code("RSET").await, "250 2.0.0");
    assert_eq!(
        client.mail(&["support@desk.example"], MAIL).await,
        "250 2.0.0 taken"
    );
    for command in ["NOOP", "RSET", "VRFY x"] {
        assert!(client.code(command).await.starts_with("25"));
    }
    assert_eq!(client.code("NOOP").await, "421 4.7.0");
    assert_eq!(client.reply().await, "");
}

#[tokio::test]
async fn a_drain_finishes_the_mail_in_hand() {
    let running = run(config()).await;
    let mut idle = Client::hello(&running).await;
    let mut busy = Client::hello(&running).await;
    busy.envelope(&["support@desk.example"]).await;
    busy.say("DATA").await;
    busy.send(b"Subject: s\r\n\r\nhalf").await;
    running.drain.cancel();
    running.tasks.close();
    assert!(idle.reply().await.starts_with("421 4.3.2"));
    assert_eq!(busy.say("\r\n.").await, "250 2.0.0 taken");
    assert!(busy.reply().await.starts_with("421 4.3.2"));
    timeout(PATIENCE, running.tasks.wait()).await.unwrap();
    assert_eq!(running.bench.desk.messages().len(), 1);
}

#[tokio::test]
async fn the_null_sender_is_a_machine() {
    let running = run(config()).await;
    let mut client = Client::hello(&running).await;
    assert_eq!(client.code("MAIL FROM:<>").await, "250 2.1.0");
    assert_eq!(
        client.code("RCPT TO:<support@desk.example>").await,
        "250 2.1.5"
    );
    client.say("DATA").await;
    client.send(b"From: a@c.example\r\n\r\nx").await;
    assert_eq!(client.say("\r\n.").await, "250 2.0.0 taken");
    let class = running.bench.desk.messages()[0].automatic_class();
    assert_eq!(class, solmu_proto::types::v1::AutomaticClass::AutoGenerated);
}

#[tokio::test]
async fn random_bytes_never_stop_the_server() {
    let running = run(config()).await;
    for seed in 0..20_u64 {
        let mut client = Client::connect(&running).await;
        let mut noise = vec![0; 3_000];
        solmu_domain::rng::Rng::fill(&SeededRng::new(seed), &mut noise);
        client
            .send(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<support@desk.example>\r\nDATA\r\n")
            .await;
        // The server may have hung up already.
        drop(client.writer.write_all(&noise).await);
        drop(client.writer.shutdown().await);
        let mut rest = Vec::new();
        drop(
            timeout(PATIENCE, client.reader.read_to_end(&mut rest))
                .await
                .unwrap(),
        );
    }
    let mut client = Client::hello(&running).await;
    assert_eq!(client.code("NOOP").await, "250 2.0.0");
}

proptest! {
    /// Whatever the order of commands, data is only asked for with a recipient, and no line panics.
    #[test]
    fn sessions_keep_their_order(lines in proptest::collection::vec(line(), 0..40)) {
        let config = config();
        let bench = bench(&config);
        let settings = Arc::new(settings(&config, &bench));
        let mut session = Session::new(settings, Role::Smtp, [127, 0, 0, 1].into(), false);
        let mut chunked = false;
        for line in lines {
            chunked &= session.in_chunks();
            match session.line(&line) {
                Step::Data(reply) => {
                    prop_assert_eq!(reply.code(), 354);
                    let transaction = session.take_transaction().unwrap();
                    prop_assert!(!transaction.recipients.is_empty());
                    prop_assert!(session.take_transaction().is_none());
                }
                Step::Close(reply) => {
                    prop_assert!(matches!(reply.code(), 221 | 421 | 501));
                    break;
                }
                Step::Chunk { last, envelope, .. } => {
                    prop_assert_eq!(envelope.is_some(), !chunked);
                    prop_assert!(envelope.is_none_or(|mail| !mail.recipients.is_empty()));
                    chunked = !last;
                    if last {
                        session.end_chunks();
                    }
                }
                Step::StartTls(_) => prop_assert!(false, "there is no certificate"),
                Step::Reply(_) | Step::Discard { .. } => {}
            }
        }
    }
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"EHLO c.example".to_vec()),
        Just(b"HELO c.example".to_vec()),
        Just(b"MAIL FROM:<a@c.example> SIZE=10".to_vec()),
        Just(b"RCPT TO:<support@desk.example>".to_vec()),
        Just(b"RCPT TO:<x@desk.example>".to_vec()),
        Just(b"DATA".to_vec()),
        Just(b"BDAT 3".to_vec()),
        Just(b"BDAT 3 LAST".to_vec()),
        Just(b"BDAT".to_vec()),
        Just(b"STARTTLS".to_vec()),
        Just(b"RSET".to_vec()),
        Just(b"QUIT".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..30),
    ]
}

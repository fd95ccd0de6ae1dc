//! Mails as they go out, and relays that answer in every way.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use solmu_proto::types::v1::{Channel, Identity, IdentityKind, Mailbox as ProtoMailbox};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    sync::mpsc,
};

use super::*;
use crate::{
    config::{AccountConfig, Config, RelayConfig, Tls},
    testing::{Bench, bench, signer},
};
use solmu_mime::{
    mail::ParsedMail,
    parse::{ParseLimits, parse},
    reply_address::{own_message, ticket_of_address},
};

const TICKET: &str = "0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e5f";
const MESSAGE: &str = "0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e60";
fn queued() -> MessageQueued {
    MessageQueued {
        message_id: MESSAGE.to_owned(),
        ticket_id: TICKET.to_owned(),
        ticket_number: 5,
        channel: Channel::Email.into(),
        account: "main".to_owned(),
        conversation_key: "root@c.example".to_owned(),
        recipient: Some(Identity {
            kind: IdentityKind::Email.into(),
            value: "paivi@c.example".to_owned(),
            raw: "Paivi@c.example".to_owned(),
            ..Identity::default()
        }),
        recipient_name: "Päivi Mäkinen".to_owned(),
        subject: "Tilaus ei ole saapunut – ääkköset".to_owned(),
        text: "Hei,\n\nTarkistamme asian.\n.\n".to_owned(),
        in_reply_to: "2@c.example".to_owned(),
        references: vec!["root@c.example".to_owned(), "2@c.example".to_owned()],
        from_address: "support@desk.example".to_owned(),
        ..MessageQueued::default()
    }
}

fn config(relay: Option<SocketAddr>) -> Config {
    let relay = relay.map(|address| RelayConfig {
        host: address.ip().to_string(),
        port: address.port(),
        tls: Tls::None,
        timeout_ms: 500,
        data_timeout_ms: 300,
        connections: 1,
        ..RelayConfig::default()
    });
    let second = AccountConfig {
        name: "none".to_owned(),
        addresses: vec!["none@desk.example".to_owned()],
        ..AccountConfig::default()
    };
    let mut config = Config::default();
    config.accounts[0]
        .addresses
        .push("help@desk.example".to_owned());
    config.accounts[0].relay = relay;
    config.accounts.push(second);
    config
}

fn built(message: &MessageQueued, files: Vec<(Attachment, Bytes)>) -> (Built, ParsedMail) {
    let signer = signer();
    let accounts = Accounts::new(&config(None), &signer).unwrap();
    let now: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
    let built = build(
        message,
        accounts.named("main").unwrap(),
        &accounts,
        &signer,
        now,
        files,
    )
    .unwrap();
    let mail = parse(&built.bytes, &ParseLimits::default());
    (built, mail)
}

#[test]
fn a_reply_threads_everywhere() {
    let (built, mail) = built(&queued(), Vec::new());
    let own = own_message(&built.message_id, &signer()).unwrap();
    assert_eq!(
        (
            own.message.to_string().as_str(),
            own.ticket.to_string().as_str()
        ),
        (MESSAGE, TICKET)
    );
    assert_eq!(mail.message_id.as_ref(), Some(&built.message_id));
    assert_eq!(mail.in_reply_to, ["2@c.example"]);
    assert_eq!(mail.references, ["root@c.example", "2@c.example"]);
    assert_eq!(mail.subject, "Re: Tilaus ei ole saapunut – ääkköset");
    assert_eq!(
        (mail.from[0].name.as_str(), mail.from[0].address.as_str()),
        ("Support", "support@desk.example")
    );
    assert_eq!(
        (mail.to[0].name.as_str(), mail.to[0].address.as_str()),
        ("Päivi Mäkinen", "Paivi@c.example")
    );
    let reply_to = solmu_mime::address::Address::parse(&mail.reply_to[0].address).unwrap();
    assert_eq!(
        ticket_of_address(&reply_to, &signer()).unwrap().to_string(),
        TICKET
    );
    assert_eq!(mail.date.unwrap().to_string(), "2026-11-02T08:00:00Z");
    assert_eq!(mail.text, "Hei,\n\nTarkistamme asian.\n.");
    for header in ["auto-submitted", "precedence", "x-auto-response-suppress"] {
        assert!(!mail.fields.has(header), "{header}");
    }
    assert_eq!(built.mail_from.unwrap().to_string(), "support@desk.example");
}

#[test]
fn the_same_message_makes_the_same_bytes() {
    let mut message = queued();
    message.html = "<p>Hei</p>".to_owned();
    let file = (
        Attachment {
            filename: "a.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            ..Attachment::default()
        },
        Bytes::from_static(b"PDF"),
    );
    let first = built(&message, vec![file.clone()]).0.bytes;
    assert_eq!(first, built(&message, vec![file]).0.bytes);
    assert!(first.is_ascii());
    let lines = first.split(|byte| *byte == b'\n');
    assert!(
        lines.into_iter().all(|line| line.len() <= 998),
        "RFC 5322 section 2.1.1"
    );
}

#[test]
fn automatic_mail_says_so_and_takes_no_bounces() {
    let (built, mail) = built(
        &MessageQueued {
            automatic: true,
            ..queued()
        },
        Vec::new(),
    );
    assert_eq!(mail.fields.first("auto-submitted"), Some("auto-replied"));
    assert_eq!(mail.fields.first("x-auto-response-suppress"), Some("All"));
    assert_eq!(mail.fields.first("precedence"), Some("bulk"));
    assert!(built.mail_from.is_none());
}

#[test]
fn subjects_get_one_re() {
    for (subject, answered, wanted) in [
        ("Order", true, "Re: Order"),
        ("RE: Order", true, "RE: Order"),
        ("VS: Tilaus", true, "VS: Tilaus"),
        ("Order", false, "Order"),
        ("a\r\nBcc: x@y.example", true, "Re: a  Bcc: x@y.example"),
    ] {
        let mut message = MessageQueued {
            subject: subject.to_owned(),
            ..queued()
        };
        if !answered {
            message.in_reply_to.clear();
            message.references.clear();
        }
        let mail = built(&message, Vec::new()).1;
        assert_eq!(mail.subject, wanted);
        assert!(!mail.fields.has("bcc"));
    }
}

#[test]
fn no_line_is_longer_than_mail_allows() {
    let mut message = queued();
    message.subject = "w".repeat(5_000);
    message.recipient_name.clone_from(&message.subject);
    let bytes = built(&message, Vec::new()).0.bytes;
    assert!(
        bytes
            .split(|byte| *byte == b'\n')
            .all(|line| line.len() < 998)
    );
}

#[test]
fn references_are_short_and_cannot_inject() {
    let mut message = queued();
    message.references = (0..50)
        .map(|number| format!("{number}@c.example"))
        .collect();
    message
        .references
        .push("evil> \r\nBcc: <x@y.example".to_owned());
    message.references.push("y".repeat(950));
    let mail = built(&message, Vec::new()).1;
    assert_eq!(mail.references.len(), 21);
    assert_eq!(
        (mail.references[0].as_str(), mail.references[1].as_str()),
        ("0@c.example", "31@c.example")
    );
    assert_eq!(mail.references[20], "2@c.example");
    assert!(!mail.fields.has("bcc"));
}

#[test]
fn answers_come_from_the_address_that_was_written_to() {
    for (from, wanted) in [
        ("help@desk.example", "help@desk.example"),
        ("Help+t.abc@desk.example", "help@desk.example"),
        ("none@desk.example", "support@desk.example"),
        ("stranger@x.example", "support@desk.example"),
        ("", "support@desk.example"),
    ] {
        let message = MessageQueued {
            from_address: from.to_owned(),
            ..queued()
        };
        assert_eq!(
            built(&message, Vec::new()).1.from[0].address,
            wanted,
            "{from}"
        );
    }
}

#[test]
fn html_files_and_inline_images_have_their_places() {
    let image = Attachment {
        filename: "a.png".to_owned(),
        content_type: "image/png".to_owned(),
        content_id: "1@desk".to_owned(),
        inline: true,
        ..Attachment::default()
    };
    let file = Attachment {
        filename: "lähete.pdf".to_owned(),
        content_type: "nonsense".to_owned(),
        ..Attachment::default()
    };
    let message = MessageQueued {
        html: "<p>Hei <img src=\"cid:1@desk\"></p>".to_owned(),
        ..queued()
    };
    let mail = built(
        &message,
        vec![
            (image, Bytes::from_static(b"PNG")),
            (file, Bytes::from_static(b"PDF")),
        ],
    )
    .1;
    assert_eq!(mail.text, "Hei,\n\nTarkistamme asian.\n.");
    assert!(mail.html.contains("cid:1@desk"), "{}", mail.html);
    let names: Vec<(&str, bool)> = mail
        .attachments
        .iter()
        .map(|file| (file.filename.as_str(), file.inline))
        .collect();
    assert_eq!(names, [("a.png", true), ("lähete.pdf", false)]);
    assert_eq!(mail.attachments[1].bytes, b"PDF");
}

#[test]
fn what_cannot_be_sent_says_why() {
    let signer = signer();
    let accounts = Accounts::new(&config(None), &signer).unwrap();
    let account = accounts.named("main").unwrap();
    let code = |message: MessageQueued| {
        build(
            &message,
            account,
            &accounts,
            &signer,
            Timestamp::UNIX_EPOCH,
            Vec::new(),
        )
        .unwrap_err()
        .code()
    };
    assert_eq!(
        code(MessageQueued {
            ticket_id: "x".to_owned(),
            ..queued()
        }),
        "bad_id"
    );
    assert_eq!(
        code(MessageQueued {
            recipient: None,
            ..queued()
        }),
        "bad_recipient"
    );
}

/// A relay that answers by script: the reply to a line that begins with the key, else 250. `None` says nothing.
async fn relay(
    script: Vec<(&'static str, Option<&'static str>)>,
) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, log) = mpsc::unbounded_channel();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test peer that lives as long as the test"
    )]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = seen.send("connected".to_owned());
            let (reader, mut writer) = stream.into_split();
            let mut lines = BufReader::new(reader).lines();
            let answer = |line: &str| {
                script
                    .iter()
                    .find(|(key, _)| line.starts_with(key))
                    .map_or(Some("250 2.0.0 ok"), |(_, reply)| *reply)
            };
            let _ = writer.write_all(b"220 relay\r\n").await;
            let mut in_data = false;
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = seen.send(line.clone());
                let reply = match (in_data, line.as_str()) {
                    (true, ".") => {
                        in_data = false;
                        answer(".")
                    }
                    (true, _) => continue,
                    (false, "DATA") => {
                        let reply = answer("DATA").map(|reply| {
                            if reply.starts_with("250") {
                                "354 go"
                            } else {
                                reply
                            }
                        });
                        in_data = reply == Some("354 go");
                        reply
                    }
                    (false, line) => answer(line),
                };
                let Some(reply) = reply else { continue };
                if reply == "close" {
                    break;
                }
                let _ = writer.write_all(format!("{reply}\r\n").as_bytes()).await;
            }
        }
    });
    (address, log)
}

fn sender(relay: Option<SocketAddr>) -> (Bench, MailSender) {
    let bench = bench(&config(relay));
    let clock = Arc::clone(&bench.clock) as _;
    let sender = MailSender::new(
        Arc::clone(bench.receiver.accounts()),
        signer(),
        bench.store.clone(),
        clock,
    );
    (bench, sender)
}

fn summary(outcome: &SendOutcome) -> String {
    match outcome {
        SendOutcome::Sent { .. } => "sent".to_owned(),
        SendOutcome::Retry { code, .. } => format!("retry {code}"),
        SendOutcome::Failed { code, .. } => format!("failed {code}"),
        SendOutcome::Unknown { code, .. } => format!("unknown {code}"),
    }
}

#[tokio::test]
async fn where_it_breaks_decides_what_it_means() {
    for (script, wanted) in [
        (vec![], "sent"),
        (
            vec![("EHLO", Some("421 4.3.2 no"))],
            "retry relay_unreachable",
        ),
        (vec![("MAIL", Some("451 4.3.0 later"))], "retry 451 4.3.0"),
        (vec![("MAIL", Some("550 5.7.1 no"))], "failed 550 5.7.1"),
        (
            vec![("RCPT", Some("550 5.1.1 a@b.example unknown"))],
            "failed 550 5.1.1",
        ),
        (vec![("RCPT", Some("450 greylisted"))], "retry 450"),
        (vec![("RCPT", None)], "retry relay_timeout"),
        (vec![("RCPT", Some("close"))], "retry relay_broken"),
        (vec![("DATA", Some("451 4.3.0 later"))], "retry 451 4.3.0"),
        (vec![(".", Some("554 5.7.1 spam"))], "failed 554 5.7.1"),
        (vec![(".", Some("451 4.3.0 later"))], "retry 451 4.3.0"),
        (vec![(".", None)], "unknown relay_timeout"),
        (vec![(".", Some("close"))], "unknown relay_broken"),
    ] {
        let (address, _log) = relay(script.clone()).await;
        let (_bench, sender) = sender(Some(address));
        let outcome = sender.send(&queued()).await;
        assert_eq!(summary(&outcome), wanted, "{script:?}");
        if let SendOutcome::Sent { external_id } = outcome {
            assert_eq!(
                own_message(&external_id, &signer())
                    .unwrap()
                    .message
                    .to_string(),
                MESSAGE
            );
        }
    }
}

#[tokio::test]
async fn connections_are_kept_and_dead_ones_replaced() {
    let (address, mut log) = relay(vec![]).await;
    let (_bench, sender) = sender(Some(address));
    for _ in 0..3 {
        assert_eq!(summary(&sender.send(&queued()).await), "sent");
    }
    let mut seen = Vec::new();
    while let Ok(line) = log.try_recv() {
        seen.push(line);
    }
    assert_eq!(seen.iter().filter(|line| *line == "connected").count(), 1);
    assert!(
        seen.iter().any(|line| line == ".."),
        "a lone dot is protected: {seen:?}"
    );
    assert!(seen.iter().any(|line| line == "RCPT TO:<Paivi@c.example>"));
    let (address, _log) = relay(vec![("NOOP", Some("close"))]).await;
    let (_bench, sender) = self::sender(Some(address));
    for _ in 0..2 {
        assert_eq!(summary(&sender.send(&queued()).await), "sent");
    }
}

#[tokio::test]
async fn a_copy_that_is_refused_does_not_hold_up_the_answer() {
    let (address, _log) = relay(vec![("RCPT TO:<copy", Some("550 5.1.1 no"))]).await;
    let (_bench, sender) = sender(Some(address));
    let copy = ProtoMailbox {
        name: String::new(),
        address: "copy@c.example".to_owned(),
    };
    let message = MessageQueued {
        cc: vec![copy],
        ..queued()
    };
    assert_eq!(summary(&sender.send(&message).await), "sent");
}

#[tokio::test]
async fn without_relay_or_account_nothing_is_sent() {
    let (bench, sender) = sender(None);
    assert_eq!(sender.default_account(), "main", "of answers to forms");
    let outcome = sender.send(&queued()).await;
    assert!(
        matches!(&outcome, SendOutcome::Retry { after: Some(after), code, .. } if code == "no_relay" && *after > Duration::ZERO)
    );
    let gone = MessageQueued {
        account: "gone".to_owned(),
        ..queued()
    };
    assert_eq!(summary(&sender.send(&gone).await), "failed unknown_account");
    drop(bench);
    let dead = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let (_bench, sender) = self::sender(Some(dead));
    assert_eq!(
        summary(&sender.send(&queued()).await),
        "retry relay_unreachable"
    );
    let missing = Attachment {
        object_key: "ab/cd/x".to_owned(),
        ..Attachment::default()
    };
    let with_file = MessageQueued {
        attachments: vec![missing],
        ..queued()
    };
    assert_eq!(
        summary(&sender.send(&with_file).await),
        "retry attachment_unavailable"
    );
}

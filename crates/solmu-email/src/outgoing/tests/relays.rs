//! Relays that answer in every way.

use solmu_proto::types::v1::Mailbox as ProtoMailbox;
use tokio::net::TcpListener;

use super::{peer::Peer, *};
use solmu_mime::reply_address::own_message;

pub(super) fn copy(address: &str) -> ProtoMailbox {
    ProtoMailbox {
        name: String::new(),
        address: address.to_owned(),
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
        (vec![("MAIL", Some("530 5.7.0 log in"))], "retry 530 5.7.0"),
        (vec![("MAIL", Some("550 5.7.1 no"))], "failed 550 5.7.1"),
        (
            vec![("RCPT", Some("550 5.1.1 a@b.example unknown"))],
            "failed 550 5.1.1",
        ),
        // One mailbox: other mail for its domain goes on.
        (vec![("RCPT", Some("450 greylisted"))], "retry 450"),
        (
            vec![("RCPT", Some("450 4.2.0 greylisted"))],
            "retry 450 4.2.0",
        ),
        (vec![("RCPT", Some("452 4.2.2 full"))], "retry 452 4.2.2"),
        (vec![(".", Some("452 4.2.2 full"))], "retry 452 4.2.2"),
        // The server or the domain.
        (
            vec![("RCPT", Some("451 4.3.0 later"))],
            "throttled 451 4.3.0",
        ),
        (
            vec![("RCPT", Some("450 4.4.1 no route"))],
            "throttled 450 4.4.1",
        ),
        (
            vec![("RCPT", Some("421 4.7.28 too many"))],
            "throttled 421 4.7.28",
        ),
        (vec![("RCPT", Some("454 4.7.0 no"))], "throttled 454 4.7.0"),
        (vec![("RCPT", None)], "retry relay_timeout"),
        (vec![("RCPT", Some("close"))], "retry relay_broken"),
        (
            vec![("DATA", Some("452 4.3.1 full"))],
            "throttled 452 4.3.1",
        ),
        (vec![(".", Some("554 5.7.1 spam"))], "failed 554 5.7.1"),
        (vec![(".", Some("451 4.3.0 later"))], "throttled 451 4.3.0"),
        (vec![(".", None)], "unknown relay_timeout"),
        (vec![(".", Some("close"))], "unknown relay_broken"),
    ] {
        let peer = Peer::scripted(script.clone()).await;
        let (_bench, sender) = sender(Some(peer.address));
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
    let peer = Peer::scripted(vec![]).await;
    let (_bench, sender) = sender(Some(peer.address));
    for _ in 0..3 {
        assert_eq!(summary(&sender.send(&queued()).await), "sent");
    }
    let seen = peer.seen();
    assert_eq!(seen.connections, 1);
    assert!(
        seen.lines.iter().any(|line| line == ".."),
        "a lone dot is protected"
    );
    assert!(
        seen.lines
            .iter()
            .any(|line| line == "RCPT TO:<Paivi@c.example>")
    );
    let peer = Peer::scripted(vec![("NOOP", Some("close"))]).await;
    let (_bench, sender) = self::sender(Some(peer.address));
    for _ in 0..2 {
        assert_eq!(summary(&sender.send(&queued()).await), "sent");
    }
    assert_eq!(peer.seen().connections, 2);
}

#[tokio::test]
async fn a_hundred_mails_need_as_many_connections_as_are_allowed() {
    let peer = Peer::scripted(vec![]).await;
    let mut config = config(Some(peer.address));
    let relay = config.accounts[0].relay.as_mut().unwrap();
    (
        relay.connections,
        relay.mails_per_connection,
        relay.timeout_ms,
    ) = (3, 0, 20_000);
    let (_bench, sender) = sender_with(&config);
    let message = queued();
    let sending = (0..100).map(|_| sender.send(&message));
    let outcomes = futures::future::join_all(sending).await;
    assert!(outcomes.iter().all(|outcome| summary(outcome) == "sent"));
    let seen = peer.seen();
    assert_eq!((seen.mails.len(), seen.connections), (100, 3));

    let peer = Peer::scripted(vec![]).await;
    let mut config = self::config(Some(peer.address));
    config.accounts[0]
        .relay
        .as_mut()
        .unwrap()
        .mails_per_connection = 30;
    let (_bench, sender) = sender_with(&config);
    for _ in 0..100 {
        assert_eq!(summary(&sender.send(&message).await), "sent");
    }
    assert_eq!(peer.seen().connections, 4, "a new one after thirty mails");
}

#[tokio::test]
async fn accounts_that_log_in_to_one_relay_share_its_connections() {
    let peer = Peer::scripted(vec![]).await;
    let mut config = config(Some(peer.address));
    config.accounts[1].relay = config.accounts[0].relay.clone();
    let (_bench, sender) = sender_with(&config);
    let other = MessageQueued {
        account: "none".to_owned(),
        ..queued()
    };
    for message in [queued(), other] {
        assert_eq!(summary(&sender.send(&message).await), "sent");
    }
    assert_eq!(peer.seen().connections, 1);
}

#[tokio::test]
async fn after_a_refusal_the_connection_goes_on() {
    for (reply, connections) in [
        ("550 5.1.1 unknown", 1),
        ("450 4.2.0 later", 1),
        ("421 4.7.0 bye", 2),
    ] {
        let peer = Peer::scripted(vec![("RCPT", Some(reply))]).await;
        let (_bench, sender) = sender(Some(peer.address));
        for _ in 0..2 {
            assert_ne!(summary(&sender.send(&queued()).await), "sent");
        }
        assert_eq!(peer.seen().connections, connections, "{reply}");
    }
}

#[tokio::test]
async fn a_mail_that_was_cut_off_before_its_final_dot_is_tried_again() {
    let peer = Peer::scripted(vec![("CUT", Some("close"))]).await;
    let (_bench, sender) = sender(Some(peer.address));
    let message = MessageQueued {
        text: format!(
            "CUT\n{}",
            "much more than the buffers of the line can hold at a time\n".repeat(150_000)
        ),
        ..queued()
    };
    assert_eq!(
        summary(&sender.send(&message).await),
        "retry relay_broken",
        "the dot was never written"
    );
    assert!(peer.seen().mails.is_empty());
}

#[tokio::test]
async fn a_mail_that_waits_too_long_for_a_connection_was_not_sent() {
    let peer = Peer::scripted(vec![(".", None)]).await;
    let mut config = config(Some(peer.address));
    let relay = config.accounts[0].relay.as_mut().unwrap();
    (relay.timeout_ms, relay.data_timeout_ms) = (200, 2_000);
    let (_bench, sender) = sender_with(&config);
    let message = queued();
    let (first, second) = tokio::join!(sender.send(&message), sender.send(&message));
    assert_eq!(summary(&first), "unknown relay_timeout");
    assert_eq!(summary(&second), "retry relay_busy");
}

#[tokio::test]
async fn a_copy_that_is_refused_does_not_hold_up_the_answer() {
    let peer = Peer::scripted(vec![("RCPT TO:<copy", Some("550 5.1.1 no"))]).await;
    let (_bench, sender) = sender(Some(peer.address));
    let message = MessageQueued {
        cc: vec![copy("copy@c.example")],
        ..queued()
    };
    assert_eq!(summary(&sender.send(&message).await), "sent");
}

#[tokio::test]
async fn what_is_too_large_fails_before_anything_is_connected() {
    let peer = Peer::scripted(vec![]).await;
    let mut config = config(Some(peer.address));
    config.max_outgoing_bytes = 10_000;
    let (_bench, sender) = sender_with(&config);
    // The store is not asked for a file that is too large by its size alone.
    let file = Attachment {
        object_key: "ab/cd/not-there".to_owned(),
        size_bytes: 8_000,
        ..Attachment::default()
    };
    let with_file = MessageQueued {
        attachments: vec![file],
        ..queued()
    };
    let long = MessageQueued {
        text: "ä".repeat(4_000),
        ..queued()
    };
    for message in [with_file, long] {
        let outcome = sender.send(&message).await;
        let SendOutcome::Failed { code, text } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(code, "too_large");
        assert!(text.contains("10000"), "{text}");
    }
    assert_eq!(peer.seen().connections, 0);

    let peer = Peer::scripted(vec![("EHLO", Some("250-relay\r\n250 SIZE 500"))]).await;
    let (_bench, sender) = self::sender(Some(peer.address));
    assert_eq!(summary(&sender.send(&queued()).await), "failed too_large");
    assert!(peer.seen().mails.is_empty());
}

#[tokio::test]
async fn addresses_outside_ascii_need_a_relay_that_takes_them() {
    let written = MessageQueued {
        recipient: Some(Identity {
            value: "päivi@mäkinen.example".to_owned(),
            ..Identity::default()
        }),
        ..queued()
    };
    let peer = Peer::scripted(vec![("EHLO", Some("250-relay\r\n250 SMTPUTF8"))]).await;
    let (_bench, sender) = sender(Some(peer.address));
    assert_eq!(summary(&sender.send(&written).await), "sent");
    let lines = peer.seen().lines;
    assert!(lines.contains(&"RCPT TO:<päivi@xn--mkinen-bua.example>".to_owned()));
    assert!(lines.iter().any(|line| line.ends_with(" SMTPUTF8")));
    let peer = Peer::scripted(vec![]).await;
    let (_bench, sender) = self::sender(Some(peer.address));
    assert_eq!(summary(&sender.send(&written).await), "failed smtputf8");
    let only_domain = MessageQueued {
        recipient: Some(Identity {
            value: "paivi@mäkinen.example".to_owned(),
            ..Identity::default()
        }),
        ..queued()
    };
    assert_eq!(summary(&sender.send(&only_domain).await), "sent");
    let with_copies = MessageQueued {
        cc: vec![copy("äiti@c.example"), copy("isa@c.example")],
        ..only_domain
    };
    assert_eq!(summary(&sender.send(&with_copies).await), "sent");
    let seen = peer.seen();
    let main = "paivi@xn--mkinen-bua.example";
    assert_eq!(seen.mails[0].recipients, [main]);
    assert_eq!(seen.mails[1].recipients, [main, "isa@c.example"]);
    assert!(seen.lines.iter().all(|line| line.is_ascii()));
    assert_eq!(seen.connections, 1, "nothing was broken");
}

#[test]
fn each_domain_is_a_lane_and_one_connection_is_left_for_others() {
    let mut config = config(None);
    config.relay = Some(RelayConfig {
        host: "relay.example".to_owned(),
        connections: 4,
        ..RelayConfig::default()
    });
    config.accounts[1].relay = Some(RelayConfig {
        host: "other.example".to_owned(),
        limits: DomainLimits {
            per_domain_concurrency: 0,
            per_domain_per_minute: 7,
        },
        ..RelayConfig::default()
    });
    let (_bench, sender) = sender_with(&config);
    let own = MessageQueued {
        account: "none".to_owned(),
        ..queued()
    };
    let lanes = [sender.lane(&queued()), sender.lane(&own)];
    assert_eq!(lanes, ["c.example", "none/c.example"]);
    let limits = |lane: &str| {
        let limits = sender.lane_limits(lane);
        (limits.concurrency, limits.per_minute)
    };
    assert_eq!((limits(&lanes[0]), limits(&lanes[1])), ((3, 120), (5, 7)));
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

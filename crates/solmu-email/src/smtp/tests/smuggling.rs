//! Mails within mails: what only looks like the end of one is not obeyed, however the network cuts it.

use super::*;

const SUPPORT: &[&str] = &["support@desk.example"];
const FORGED: &str = "MAIL FROM:<admin@desk.example>\r\nRCPT TO:<support@desk.example>\r\nDATA\r\nSubject: forged\r\n\r\nx\r\n.\r\n";

#[tokio::test]
async fn smuggled_mails_are_refused_and_the_connection_ends() {
    let ends = [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r\n.\r",
        "\r.\r\n",
        "\r.\n",
        "\n.\r",
        "\r\n.\r\r\n",
    ];
    for policy in [BareLf::Reject, BareLf::Normalise] {
        let mut config = config();
        config.smtp.bare_lf = policy;
        let running = run(config).await;
        for end in ends {
            let data = format!("Subject: a\r\n\r\nx{end}{FORGED}");
            // In one go, and cut where it hurts most.
            let at = data.find(end).unwrap();
            for cut in [data.len(), at + 1, at + 2, at + end.len()] {
                let mut client = Client::hello(&running).await;
                client.envelope(SUPPORT).await;
                client.say("DATA").await;
                let (first, second) = data.as_bytes().split_at(cut);
                client.send(first).await;
                client.send(second).await;
                assert_eq!(client.rest().await, ["550 5.6.11"], "{end:?} at {cut}");
            }
        }
        assert!(running.bench.desk.events().is_empty());
        let refused = running.bench.metrics.refused.get(["line_ends"]);
        assert_eq!(refused, ends.len() as u64 * 4);
    }
}

#[tokio::test]
async fn bare_line_feeds_are_refused_or_made_whole() {
    let data = "Subject: a\nMessage-ID: <1@c.example>\n\nline\rone\n..two\r\n";
    let running = run(config()).await;
    let mut client = Client::hello(&running).await;
    let reply = client.mail(SUPPORT, data).await;
    assert_eq!(reply, "550 5.6.11 a line feed without a carriage return");
    // Nobody was deceived: the dialogue goes on.
    assert_eq!(client.mail(SUPPORT, MAIL).await, "250 2.0.0 taken");

    let mut config = config();
    config.smtp.bare_lf = BareLf::Normalise;
    let running = run(config).await;
    let mut client = Client::hello(&running).await;
    assert_eq!(client.mail(SUPPORT, data).await, "250 2.0.0 taken");
    let raw = original(&running, 0);
    assert!(
        raw.ends_with(
            "\r\nSubject: a\r\nMessage-ID: <1@c.example>\r\n\r\nline\rone\r\n.two\r\n\r\n"
        ),
        "{raw:?}"
    );
}

#[tokio::test]
async fn a_nul_stays_in_the_original_and_out_of_the_text() {
    let running = run(config()).await;
    let mut client = Client::hello(&running).await;
    let data = "Subject: a\0b\r\n\r\nc\0d\r\n\0.\r\n.\0";
    assert_eq!(client.mail(SUPPORT, data).await, "250 2.0.0 taken");
    let messages = running.bench.desk.messages();
    assert!(!messages[0].subject.contains('\0') && !messages[0].text.contains('\0'));
    assert!(original(&running, 0).ends_with("c\0d\r\n\0.\r\n\0\r\n"));
}

#[tokio::test]
async fn what_follows_the_true_end_is_a_command() {
    let running = run(config()).await;
    let mut client = Client::hello(&running).await;
    client.envelope(SUPPORT).await;
    client.say("DATA").await;
    let all = format!("Subject: first\r\n\r\nx\r\n.\r\n{FORGED}NOOP\r\nQUIT\r\n");
    for byte in all.as_bytes() {
        client.send(&[*byte]).await;
    }
    assert_eq!(
        client.rest().await,
        [
            "250 2.0.0",
            "250 2.1.0",
            "250 2.1.5",
            "354 end w",
            "250 2.0.0",
            "250 2.0.0",
            "221 2.0.0"
        ]
    );
    // Both have an envelope of their own, which is what makes the second one a mail and no forgery.
    let senders = [0, 1].map(|index| original(&running, index).lines().next().unwrap().to_owned());
    assert_eq!(
        senders,
        [
            "Return-Path: <a@c.example>",
            "Return-Path: <admin@desk.example>"
        ]
    );
}

//! Reports: asked for on the way out, understood when they come back.

use solmu_bus::Event;
use solmu_connector::{InboundEvent, Intake, IntakeConfig, outbound};
use solmu_domain::ids::EventId;
use solmu_proto::{
    inbound::v1::DeliveryReported,
    types::v1::{
        AutomaticClass,
        DeliveryState::{self, Delivered, Failed, Unspecified},
    },
};
use solmu_testkit::{Harness, wait_for};

use super::{
    peer::{Peer, Taken},
    relays::copy,
    *,
};
use crate::{
    outgoing::{Notify, OutgoingConfig},
    receive::Incoming,
};

const OFFERS: &str = "250-relay\r\n250-SIZE 100000\r\n250 DSN";

pub(super) fn incoming(raw: &str, from: &str, to: &str) -> Incoming {
    Incoming {
        raw: Bytes::copy_from_slice(raw.as_bytes()),
        mail_from: Some(from.to_owned()),
        recipients: vec![Address::parse(to).unwrap()],
        fallback: None,
        own_hops: 0,
        connection: None,
    }
}

async fn sent_through(
    peer: &Peer,
    change: impl FnOnce(&mut Config),
    message: &MessageQueued,
) -> Taken {
    let mut config = config(Some(peer.address));
    change(&mut config);
    let (_bench, sender) = sender_with(&config);
    assert_eq!(summary(&sender.send(message).await), "sent");
    peer.seen().mails.remove(0)
}

#[tokio::test]
async fn reports_are_asked_for_where_they_are_offered() {
    let message = MessageQueued {
        cc: vec![copy("a+b@c.example")],
        ..queued()
    };
    let only = |kinds: Vec<Notify>| {
        move |config: &mut Config| config.accounts[0].relay.as_mut().unwrap().notify = kinds
    };
    let peer = Peer::scripted(vec![("EHLO", Some(OFFERS))]).await;
    let mail = sent_through(&peer, only(Notify::all()), &message).await;
    let id = mail.header("Message-ID").unwrap().trim_matches(['<', '>']);
    let envelope_id = id.split('@').next().unwrap();
    let lines = peer.seen().lines;
    let has = |wanted: &str| lines.iter().any(|line| line == wanted);
    let sender = lines.iter().find(|line| line.starts_with("MAIL")).unwrap();
    assert!(sender.contains(" SIZE="), "{sender}");
    assert!(
        sender.ends_with(&format!(" RET=HDRS ENVID={envelope_id}")),
        "{sender}"
    );
    assert!(has(
        "RCPT TO:<Paivi@c.example> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;Paivi@c.example"
    ));
    assert!(has(
        "RCPT TO:<a+b@c.example> NOTIFY=FAILURE ORCPT=rfc822;a+2Bb@c.example"
    ));

    let automatic = MessageQueued {
        automatic: true,
        ..queued()
    };
    for (message, kinds, wanted) in [
        (&automatic, Notify::all(), "RCPT TO:<Paivi@c.example>"),
        (&message, Vec::new(), "RCPT TO:<Paivi@c.example>"),
        (
            &message,
            vec![Notify::Failure],
            "RCPT TO:<Paivi@c.example> NOTIFY=FAILURE ORCPT=rfc822;Paivi@c.example",
        ),
    ] {
        let peer = Peer::scripted(vec![("EHLO", Some(OFFERS))]).await;
        sent_through(&peer, only(kinds), message).await;
        assert!(
            peer.seen().lines.iter().any(|line| line == wanted),
            "{wanted}"
        );
    }
    let peer = Peer::scripted(vec![]).await;
    sent_through(&peer, |_| {}, &message).await;
    assert!(
        peer.seen()
            .lines
            .contains(&"RCPT TO:<Paivi@c.example>".to_owned()),
        "not offered"
    );
}

/// A report of a mail server on the mail that `built` made.
fn report(recipients: &str, envelope: &str, returned: &str) -> String {
    let returned = if returned.is_empty() {
        String::new()
    } else {
        format!("--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{returned}\r\n")
    };
    format!(
        "From: MAILER-DAEMON@mx.example\r\nTo: support@desk.example\r\nSubject: report\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nThis is a report.\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n{envelope}\r\n\
         {recipients}\r\n{returned}--b--\r\n"
    )
}

async fn told(config: &Config, raw: &str, to: &str) -> Option<DeliveryReported> {
    let bench = bench(config);
    bench.receiver.receive(incoming(raw, "", to)).await.unwrap();
    bench
        .desk
        .events()
        .into_iter()
        .find_map(|event| match event {
            InboundEvent::Delivery(report) => Some(*report),
            InboundEvent::Message(_) => None,
        })
}

#[tokio::test]
async fn what_a_report_says_becomes_the_state_of_the_message() {
    let message = MessageQueued {
        cc: vec![copy("boss@c.example")],
        ..queued()
    };
    let id = built(&message, Vec::new()).0.message_id;
    let header =
        format!("Message-ID: <{id}>\r\nTo: Paivi <Paivi@c.example>\r\nCc: boss@c.example\r\n");
    let envelope = format!(
        "Original-Envelope-Id: {}\r\n",
        id.split('@').next().unwrap()
    );
    let forged = header.replace("m.", "m.a");
    let (main, boss) = ("paivi@c.example", "boss@c.example");
    let (id, none) = (envelope.as_str(), "");
    let header = header.as_str();
    for (who, action, status, id, returned, wanted) in [
        (
            main,
            "delivered",
            "2.0.0",
            none,
            header,
            Some((Delivered, false)),
        ),
        (
            main,
            "delivered",
            "2.0.0",
            id,
            none,
            Some((Delivered, false)),
        ),
        (main, "failed", "5.1.1", id, header, Some((Failed, true))),
        (main, "failed", "5.1.10", none, header, Some((Failed, true))),
        (main, "failed", "5.2.2", none, header, Some((Failed, false))),
        (main, "relayed", "2.0.0", none, header, None),
        (main, "delayed", "4.4.7", none, header, None),
        (
            boss,
            "failed",
            "5.1.1",
            none,
            header,
            Some((Unspecified, true)),
        ),
        (boss, "delivered", "2.0.0", none, header, None),
        (main, "failed", "5.1.1", none, forged.as_str(), None),
        (main, "failed", "5.1.1", none, none, None),
    ] {
        let group =
            format!("Final-Recipient: rfc822; {who}\r\nAction: {action}\r\nStatus: {status}\r\n");
        let raw = report(&group, id, returned);
        let told = told(&config(None), &raw, "support@desk.example").await;
        let told = told.map(|told| {
            assert_eq!(
                (told.message_id.as_str(), told.address.as_str()),
                (MESSAGE, who)
            );
            (told.state(), told.address_invalid)
        });
        assert_eq!(told, wanted, "{who} {action} {status}");
    }
}

#[tokio::test]
async fn a_bounce_without_any_form_is_known_by_where_it_arrives() {
    let mut config = config(None);
    config.accounts[0].outgoing = OutgoingConfig {
        bounce_domain: "bounces.example".to_owned(),
        ..OutgoingConfig::default()
    };
    let path = built_with(&config, &queued(), Vec::new())
        .0
        .mail_from
        .unwrap()
        .to_string();
    let raw = "From: system@c.example\r\nTo: x@bounces.example\r\nSubject: Hinweis\r\n\r\nDas ging nicht.\r\n";
    let report = told(&config, raw, &path).await.unwrap();
    assert_eq!(
        (report.message_id.as_str(), report.state()),
        (MESSAGE, DeliveryState::Failed)
    );
    let forged = path.replace("bounce+", "bounce+a");
    assert!(told(&config, raw, &forged).await.is_none());

    // An out-of-office note goes to the return path too (RFC 3834 section 4), and is none the less no bounce.
    let bench = bench(&config);
    let away = raw.replace("Subject:", "Auto-Submitted: auto-replied\r\nSubject:");
    bench
        .receiver
        .receive(incoming(&away, "", &path))
        .await
        .unwrap();
    let class = bench.desk.messages()[0].automatic_class();
    assert_eq!(
        (class, bench.desk.events().len()),
        (AutomaticClass::AutoReply, 1)
    );
}

#[tokio::test]
async fn a_report_that_comes_in_moves_the_message_that_went_out() {
    let harness = Harness::new().await;
    let peer = Peer::scripted(vec![("EHLO", Some(OFFERS))]).await;
    let config = config(Some(peer.address));
    let (bench, sender) = sender_with(&config);
    let runtime = harness.runtime("one");
    let intake = Intake::start(&runtime, IntakeConfig::default());
    let settings = outbound::OutboundConfig::default();
    outbound::start(&runtime, &intake, Channel::Email, settings, sender);
    let event = Event::new(
        EventId::generate(&harness.clock, &*harness.rng),
        "2026-11-02T08:00:00Z".parse().unwrap(),
        &queued(),
    );
    harness.bus.publish(&[event]).await.unwrap();
    let message: uuid::Uuid = MESSAGE.parse().unwrap();
    let until = async |wanted: &str| {
        wait_for(wanted, || async {
            let state: Option<String> =
                sqlx::query_scalar("SELECT state FROM connector.outbound WHERE message_id = $1")
                    .bind(message)
                    .fetch_optional(harness.db.pool())
                    .await
                    .unwrap();
            state.as_deref() == Some(wanted)
        })
        .await;
    };
    until("sent").await;

    let sender_line = peer.seen().lines;
    let sender_line = sender_line.iter().find(|line| line.starts_with("MAIL"));
    let envelope = sender_line.unwrap().split("ENVID=").nth(1).unwrap();
    let raw = report(
        "Final-Recipient: rfc822; paivi@c.example\r\nAction: delivered\r\nStatus: 2.0.0\r\n",
        &format!("Original-Envelope-Id: {envelope}\r\n"),
        "",
    );
    let clock = Arc::new(harness.clock.clone());
    let deliveries = outbound::Deliveries::new(harness.db.clone(), clock, Channel::Email);
    let receiver = bench.receiver.clone().with_deliveries(deliveries);
    let mail = incoming(&raw, "", "support@desk.example");
    receiver.receive(mail).await.unwrap();
    until("delivered").await;
    drop(runtime);
}

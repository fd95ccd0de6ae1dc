//! Events of mails.

use solmu_proto::{
    inbound::v1::{MessageReceived, authenticity::Verdict as ProtoVerdict},
    types::v1::{AutomaticClass, DeliveryState},
};

use super::*;
use crate::{accounts::Accounts, config::Config, testing::signer};
use solmu_mime::{
    automatic::{Surroundings, classify},
    parse::{ParseLimits, parse},
    reply_address::message_id_for,
};

struct Made {
    message: MessageReceived,
    report: Option<DeliveryReported>,
}

fn make(text: &str, recipients: &[&str], verdict: Verdict) -> Made {
    make_at(&Config::default(), text, recipients, verdict)
}

fn make_at(config: &Config, text: &str, recipients: &[&str], verdict: Verdict) -> Made {
    let signer = signer();
    let accounts = Accounts::new(config, &signer).unwrap();
    let mail = parse(
        text.replace('\n', "\r\n").as_bytes(),
        &ParseLimits::default(),
    );
    let own = |address: &Address| accounts.is_own(address);
    let classified = classify(
        &mail,
        &Surroundings {
            mail_from: None,
            is_own: &own,
            signer: &signer,
        },
    );
    let recipients: Vec<Address> = recipients
        .iter()
        .map(|text| Address::parse(text).unwrap())
        .collect();
    let received = "2026-11-02T08:00:00Z".parse().unwrap();
    let findings = Findings {
        verdict,
        ..Findings::default()
    };
    let known = Known {
        mail: &mail,
        classified: &classified,
        findings: &findings,
        recipients: &recipients,
        mail_from: Some("env@c.example"),
        received,
    };
    let account = accounts.named("main").unwrap();
    Made {
        message: to_event(&known, account, &signer),
        report: delivery_report(&known, account, &signer),
    }
}

fn event(text: &str) -> MessageReceived {
    make(text, &["support@desk.example"], Verdict::Unverified).message
}

const TICKET: TicketId = TicketId::from_uuid(uuid::Uuid::from_u128(7));
const SENT: MessageId = MessageId::from_uuid(uuid::Uuid::from_u128(8));

#[test]
fn an_account_says_which_automatic_mail_opens_no_ticket() {
    let order = "From: shop@shop.example\nAuto-Submitted: auto-generated\nSubject: order 7\n\nx\n";
    let list = "From: a@list.example\nList-Id: <news.list.example>\nSubject: news\n\nx\n";
    let person = "From: aino@c.example\nSubject: hello\n\nx\n";
    let mut config = Config::default();
    config.accounts[0] = serde_json::from_value(serde_json::json!({
        "name": "main", "addresses": ["support@desk.example"], "hold": ["list"],
    }))
    .unwrap();
    for (config, text, held) in [
        (&Config::default(), list, false),
        (&config, list, true),
        (&config, order, false),
        (&config, person, false),
    ] {
        let made = make_at(config, text, &["support@desk.example"], Verdict::Unverified);
        assert_eq!(made.message.opens_no_ticket, held, "{text}");
    }
}

#[test]
fn a_mail_becomes_an_event() {
    let event = event(
        "From: =?utf-8?Q?P=C3=A4ivi?= <Paivi@C.example>\nTo: support@desk.example\nSubject: s\nMessage-ID: <1@c.example>\n\
         In-Reply-To: <b@x>\nReferences: <a@x> <b@x>\nDate: Mon, 02 Nov 2026 09:00:00 +0200\n\n\
         Hei, tilaamani paketti ei ole vieläkään saapunut. Voisitteko selvittää asian?\n",
    );
    assert_eq!(
        (event.account.as_str(), event.external_id.as_str()),
        ("main", "1@c.example")
    );
    assert_eq!(
        event.message_id,
        MessageId::of_inbound("email", "main", "1@c.example").to_string()
    );
    assert_eq!(event.conversation_key, "a@x");
    assert_eq!(event.delivered_to, ["support@desk.example"]);
    assert_eq!(event.language, "fi");
    let threading = event.threading.as_ref().unwrap();
    assert_eq!(
        (
            threading.in_reply_to.as_slice(),
            threading.references.as_slice()
        ),
        (
            &["b@x".to_owned()][..],
            &["b@x".to_owned(), "a@x".to_owned()][..]
        )
    );
    let sender = event.sender.as_ref().unwrap();
    assert_eq!(sender.display_name, "Päivi");
    let identity = &sender.identities[0];
    assert_eq!(
        (identity.value.as_str(), identity.raw.as_str()),
        ("paivi@c.example", "Paivi@C.example")
    );
    assert_eq!(identity.assurance(), Assurance::Claimed);
    assert_eq!(event.sent_time.unwrap().seconds, 1_793_602_800);
    assert_eq!(event.received_time.unwrap().seconds, 1_793_606_400);
}

#[test]
fn verified_senders_are_proven() {
    let made = make("From: a@c.example\n\nx", &[], Verdict::Verified).message;
    let identity = &made.sender.unwrap().identities[0];
    assert_eq!(
        (identity.assurance(), identity.attested_by.as_str()),
        (Assurance::Proven, "dmarc")
    );
    assert_eq!(made.authenticity.unwrap().verdict(), ProtoVerdict::Verified);
    let rewritten = make(
        "From: support@desk.example\nList-Id: <g.desk.example>\nX-Original-Sender: jane@d.example\n\nx",
        &[],
        Verdict::Verified,
    )
    .message;
    let identity = &rewritten.sender.unwrap().identities[0];
    assert_eq!(
        (identity.value.as_str(), identity.assurance()),
        ("jane@d.example", Assurance::Claimed)
    );
    for list in ["", "List-Id: <l.evil.example>\n"] {
        let text =
            format!("From: mallory@evil.example\n{list}X-Original-From: J <jane@d.example>\n\nx");
        let hiding = make(&text, &[], Verdict::Verified).message;
        let identity = &hiding.sender.unwrap().identities[0];
        assert_eq!(
            (identity.value.as_str(), identity.assurance()),
            ("mallory@evil.example", Assurance::Proven)
        );
    }
}

#[test]
fn without_from_the_envelope_tells_who_wrote() {
    let of = |text: &str| {
        event(text)
            .sender
            .unwrap()
            .identities
            .into_iter()
            .map(|identity| identity.value)
            .next()
    };
    assert_eq!(of("Subject: x\n\nx").as_deref(), Some("env@c.example"));
    assert_eq!(
        of("Sender: S <s@c.example>\n\nx").as_deref(),
        Some("s@c.example")
    );
    assert_eq!(
        of("From: undisclosed\n\nx").as_deref(),
        Some("env@c.example")
    );
    assert_eq!(
        of("From: \"A\" <odd address@c.example>, B@c.example\n\nx").as_deref(),
        Some("b@c.example")
    );
    // The envelope's sender is the last resort.
    assert_eq!(
        of("From: Virtanen, Aino <aino@x.example>\n\nx").as_deref(),
        Some("aino@x.example")
    );
    assert_eq!(
        of("From: <mailto:aino@x.example>\n\nx").as_deref(),
        Some("aino@x.example")
    );
}

#[test]
fn mails_without_id_have_a_fingerprint_that_servers_do_not_change() {
    let first = event("From: a@c.example\nDate: x\nSubject: s\n\nbody\n").external_id;
    let again =
        event("Received: by y\nX-Spam: no\nFrom: a@c.example\nDate: x\nSubject: s\n\nbody\n\n")
            .external_id;
    let other = event("From: a@c.example\nDate: x\nSubject: s\n\nother\n").external_id;
    assert!(first.starts_with("sha256:") && first.len() == 71, "{first}");
    assert_eq!(first, again);
    assert_ne!(first, other);
    let long = event(&format!("Message-ID: <{}@c.example>\n\nx", "y".repeat(700))).external_id;
    assert_eq!(long.len(), 71);
}

#[test]
fn signatures_name_tickets_wherever_they_stand() {
    let signer = signer();
    let accounts = Accounts::new(&Config::default(), &signer).unwrap();
    let reply = accounts
        .named("main")
        .unwrap()
        .reply
        .for_ticket(TICKET, &signer);
    let id = message_id_for(SENT, TICKET, "desk.example", &signer);
    let wanted = [TICKET.to_string()];
    for header in [
        format!("To: {}", reply.to_uppercase()),
        format!("Cc: x@y.example, Tuki <{reply}>"),
        format!("Delivered-To: {reply}"),
        format!("X-Original-To: <{reply}>"),
        format!("In-Reply-To: <{id}>"),
        format!("References: <a@b> <{id}>"),
    ] {
        let made = make(
            &format!("From: a@c.example\n{header}\n\nx"),
            &["support@desk.example"],
            Verdict::Unverified,
        );
        let threading = made.message.threading.unwrap();
        assert_eq!(threading.signed_ticket_ids, wanted, "{header}");
        // Whether the author chose to answer there, or a program named what it answers, or somebody else handed it in.
        let addressed = header.starts_with("To") || header.starts_with("Cc");
        assert_eq!(
            !threading.addressed_ticket_ids.is_empty(),
            addressed,
            "{header}"
        );
    }
    let envelope = make("From: a@c.example\n\nx", &[&reply], Verdict::Unverified).message;
    let threading = envelope.threading.unwrap();
    assert_eq!(threading.signed_ticket_ids, wanted);
    assert!(threading.addressed_ticket_ids.is_empty());
    let twice = format!("From: a@c.example\nTo: {reply}\nTo: b@c.example\n\nx");
    let twice = make(&twice, &[&reply], Verdict::Verified).message;
    assert!(twice.threading.unwrap().addressed_ticket_ids.is_empty());
    let forged = reply.replace("+t.", "+t.b");
    let forged = make(
        &format!("From: a@c.example\nTo: {forged}\nReferences: <x{id}>\n\nx"),
        &[],
        Verdict::Unverified,
    )
    .message;
    assert!(forged.threading.unwrap().signed_ticket_ids.is_empty());
}

#[test]
fn a_bounce_of_our_own_mail_is_also_reported_as_failed() {
    let id = message_id_for(SENT, TICKET, "desk.example", &signer());
    let bounce = |id: &str| {
        let text = format!(
            "From: mailer-daemon@mx.example\nMessage-ID: <b@mx>\nContent-Type: multipart/report; report-type=delivery-status; boundary=x\n\n\
             --x\n\nsorry\n--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; a\n\nAction: failed\nStatus: 5.1.1\n--x\n\
             Content-Type: message/rfc822\n\nMessage-ID: <{id}>\n\nx\n--x--\n"
        );
        make(&text, &["support@desk.example"], Verdict::Unverified)
    };
    let made = bounce(&id);
    let threading = made.message.threading.as_ref().unwrap();
    assert_eq!(threading.bounced_message_id, id);
    assert_eq!(threading.signed_ticket_ids, [TICKET.to_string()]);
    assert_eq!(made.message.automatic_class(), AutomaticClass::BounceHard);
    let report = made.report.unwrap();
    assert_eq!(
        (report.message_id, report.error_code.as_str()),
        (SENT.to_string(), "5.1.1")
    );
    assert_eq!(
        DeliveryState::try_from(report.state),
        Ok(DeliveryState::Failed)
    );
    assert!(bounce("foreign@x.example").report.is_none());
}

#[test]
fn quotes_protection_and_subject_numbers_are_told() {
    let event = event(
        "From: a@c.example\nSubject: Re: [#1234] Tilaus\nContent-Type: multipart/signed; protocol=\"application/pgp-signature\"; boundary=s\n\n\
         --s\nContent-Type: text/plain; charset=utf-8\n\nÄlä!\n\n-- \nÄijä\n\nTuki kirjoitti:\n> vanha\n--s\n\
         Content-Type: application/pgp-signature\n\nx\n--s--\n",
    );
    let from =
        |at: Option<u32>| -> String { event.text.chars().skip(at.unwrap() as usize).collect() };
    assert!(from(event.signature_offset).starts_with("-- \nÄijä"));
    assert!(from(event.quote_offset).starts_with("Tuki kirjoitti:"));
    assert!(event.text.ends_with("> vanha"));
    assert_eq!(event.protection(), ProtoProtection::PgpSigned);
    assert_eq!(event.threading.unwrap().subject_ticket_numbers, [1234]);
    let plain = make("From: a@c.example\n\nx", &[], Verdict::Unverified).message;
    assert_eq!((plain.quote_offset, plain.signature_offset), (None, None));
    assert_eq!(plain.protection(), ProtoProtection::None);
}

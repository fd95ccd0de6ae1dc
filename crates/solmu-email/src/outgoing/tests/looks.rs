//! What an account adds to its mail: template, mark, return path, a way to stop.

use proptest::prelude::*;
use solmu_domain::{
    ids::{MessageId, TicketId},
    signed::uuid_to_base32,
};
use solmu_mime::reply_address::{own_message, ticket_of_address};
use solmu_proto::outbound::v1::{Purpose, Quoted};

use super::*;
use crate::outgoing::OutgoingConfig;

fn with(outgoing: OutgoingConfig) -> Config {
    let mut config = config(None);
    config.accounts[0].outgoing = outgoing;
    config
}

fn rich() -> MessageQueued {
    MessageQueued {
        text: "Hei,\n\nLähetys on matkalla.".to_owned(),
        html: "<p>Hei,</p><p>L\u{e4}hetys on <b>matkalla</b>.</p>".to_owned(),
        from_name: "Ville Virtanen".to_owned(),
        purpose: Purpose::Reply.into(),
        ..queued()
    }
}

#[test]
fn a_template_stands_around_answers_and_only_around_them() {
    let config = with(OutgoingConfig {
        reply_template: "{{ body }}\n\nTerveisin\n{{ agent }}\n{{ signature }} [#{{ ticket }}]"
            .to_owned(),
        signature: "Solmu & Co".to_owned(),
        ..OutgoingConfig::default()
    });
    let mail = built_with(&config, &rich(), Vec::new()).1;
    assert_eq!(
        mail.text,
        "Hei,\n\nLähetys on matkalla.\n\nTerveisin\nVille Virtanen\nSolmu & Co [#5]"
    );
    assert!(mail.html.contains("<b>matkalla</b>"), "{}", mail.html);
    assert!(mail.html.contains("Solmu &amp; Co [#5]"), "{}", mail.html);
    for other in [
        MessageQueued {
            automatic: true,
            ..rich()
        },
        MessageQueued {
            purpose: Purpose::Forward.into(),
            ..rich()
        },
    ] {
        let mail = built_with(&config, &other, Vec::new()).1;
        assert_eq!(mail.text, "Hei,\n\nLähetys on matkalla.");
    }
}

fn quoting() -> MessageQueued {
    MessageQueued {
        quoted: Some(Quoted {
            author_name: "Päivi".to_owned(),
            text: "Where is it?".to_owned(),
            ..Quoted::default()
        }),
        language: "fi".to_owned(),
        ..rich()
    }
}

#[test]
fn an_answer_quotes_below_its_template_and_nothing_else_does() {
    let config = with(OutgoingConfig {
        reply_template: "{{ body }}\n-- \n{{ signature }}".to_owned(),
        signature: "Solmu".to_owned(),
        ..OutgoingConfig::default()
    });
    let mail = built_with(&config, &quoting(), Vec::new()).1;
    let wanted = "Hei,\n\nLähetys on matkalla.\n-- \nSolmu\n\nPäivi kirjoitti 1.1.1970 klo 0.00:\n> Where is it?";
    assert_eq!(mail.text.trim_end(), wanted);
    assert!(
        mail.html.contains("<blockquote>Where is it?"),
        "{}",
        mail.html
    );
    let off = with(OutgoingConfig {
        quote: false,
        ..OutgoingConfig::default()
    });
    assert!(
        !built_with(&off, &quoting(), Vec::new())
            .1
            .text
            .contains("Where")
    );
    for other in [
        MessageQueued {
            automatic: true,
            ..quoting()
        },
        MessageQueued {
            purpose: Purpose::Forward.into(),
            ..quoting()
        },
    ] {
        let mail = built_with(&config, &other, Vec::new()).1;
        assert!(!mail.text.contains("Where"), "{}", mail.text);
    }
    let nowhere = with(OutgoingConfig {
        time_zone: "Nowhere/Land".to_owned(),
        ..OutgoingConfig::default()
    });
    let errors = OutgoingConfig::clone(&nowhere.accounts[0].outgoing);
    assert!(crate::outgoing::Outgoing::new(&errors).is_err());
}

#[test]
fn the_way_back_of_an_expert_names_the_conversation_and_no_ticket() {
    let side = "0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e99";
    let message = MessageQueued {
        purpose: Purpose::Forward.into(),
        side_conversation_id: side.to_owned(),
        ..rich()
    };
    let config = with(OutgoingConfig {
        body_marker: true,
        ..OutgoingConfig::default()
    });
    let (built, mail) = built_with(&config, &message, Vec::new());
    let wanted: TicketId = side.parse().unwrap();
    let address = solmu_mime::address::Address::parse(&mail.reply_to[0].address).unwrap();
    assert_eq!(ticket_of_address(&address, &signer()), Some(wanted));
    let own = own_message(&built.message_id, &signer()).unwrap();
    assert_eq!(
        (own.ticket, own.message),
        (wanted, MESSAGE.parse().unwrap())
    );
    assert_eq!(
        crate::outgoing::marker::tickets_in(&mail.text, &signer()),
        [wanted]
    );
    let ticket = uuid_to_base32(TICKET.parse::<TicketId>().unwrap().as_uuid());
    assert!(!String::from_utf8_lossy(&built.bytes).contains(&ticket));
}

#[test]
fn a_template_that_fails_leaves_the_answer_alone() {
    let config = with(OutgoingConfig {
        reply_template: "{% if ticket == 5 %}{% for a in body %}{% for b in body %}x{% endfor %}{% endfor %}{% endif %}{{ body }}".to_owned(),
        ..OutgoingConfig::default()
    });
    let message = MessageQueued {
        text: "y".repeat(500),
        ..rich()
    };
    let mail = built_with(&config, &message, Vec::new()).1;
    assert_eq!(mail.text, message.text);
}

#[test]
fn an_acknowledgement_is_automatic_even_if_only_its_purpose_says_so() {
    let config = with(OutgoingConfig {
        bounce_domain: "bounces.example".to_owned(),
        unsubscribe_url: "https://desk.example/stop?m={message}".to_owned(),
        unsubscribe_address: "stop@desk.example".to_owned(),
        ..OutgoingConfig::default()
    });
    let message = MessageQueued {
        purpose: Purpose::Acknowledgement.into(),
        ..queued()
    };
    let (built, mail) = built_with(&config, &message, Vec::new());
    assert_eq!(mail.fields.first("auto-submitted"), Some("auto-replied"));
    assert_eq!(mail.fields.first("x-auto-response-suppress"), Some("All"));
    assert_eq!(mail.fields.first("precedence"), Some("bulk"));
    assert!(built.mail_from.is_none(), "never a return path");
    let token = built.message_id.split('@').next().unwrap();
    let ways = format!(
        "<https://desk.example/stop?m={token}>, <mailto:stop@desk.example?subject=unsubscribe>"
    );
    assert_eq!(mail.fields.first("list-unsubscribe"), Some(ways.as_str()));
    assert_eq!(
        mail.fields.first("list-unsubscribe-post"),
        Some("List-Unsubscribe=One-Click")
    );
    let mail = built_with(&config, &rich(), Vec::new()).1;
    for header in [
        "auto-submitted",
        "x-auto-response-suppress",
        "precedence",
        "list-unsubscribe",
        "list-unsubscribe-post",
    ] {
        assert!(!mail.fields.has(header), "a person wrote this: {header}");
    }
}

#[test]
fn the_return_path_names_the_message_and_cannot_be_made_up() {
    let config = with(OutgoingConfig {
        bounce_domain: "bounces.example".to_owned(),
        ..OutgoingConfig::default()
    });
    let built = built_with(&config, &rich(), Vec::new()).0;
    let path = Address::parse(built.mail_from.unwrap().as_ref()).unwrap();
    assert!(path.local().len() <= 64 && path.domain() == "bounces.example");
    let message: MessageId = MESSAGE.parse().unwrap();
    assert_eq!(verp::message_of(&path, &signer()), Some(message));
    let shouted = Address::parse(&path.to_string().to_uppercase()).unwrap();
    assert_eq!(verp::message_of(&shouted, &signer()), Some(message));
    let accounts = Accounts::new(&config, &signer()).unwrap();
    assert_eq!(accounts.resolve(&path).unwrap().name, "main");
    let other = MessageId::of_inbound("email", "main", "x");
    let token = path.local().split_once('.').unwrap().1;
    let id = solmu_domain::signed::uuid_to_base32(other.as_uuid());
    let forged = Address::parse(&format!("bounce+{id}.{token}@bounces.example")).unwrap();
    assert_eq!(verp::message_of(&forged, &signer()), None);
}

#[test]
fn the_mark_survives_quoting_and_names_only_our_tickets() {
    let config = with(OutgoingConfig {
        body_marker: true,
        ..OutgoingConfig::default()
    });
    let mail = built_with(&config, &rich(), Vec::new()).1;
    let ticket: TicketId = TICKET.parse().unwrap();
    assert!(mail.text.starts_with("Hei,") && mail.text.lines().count() == 5);
    assert_eq!(marker::tickets_in(&mail.text, &signer()), [ticket]);
    assert_eq!(marker::tickets_in(&mail.html, &signer()), [ticket]);
    let quoted = format!("> {}", mail.text.replace('\n', "\n> "));
    assert_eq!(marker::tickets_in(&quoted, &signer()), [ticket]);
    let forged = mail
        .text
        .replace("[ref:t.0", "[ref:t.1")
        .replace("[ref:t.a", "[ref:t.b");
    assert_ne!(forged, mail.text);
    assert!(marker::tickets_in(&forged, &signer()).is_empty());
    let flood = "[ref:t.".repeat(100_000);
    assert!(marker::tickets_in(&flood, &signer()).is_empty());
}

#[tokio::test]
async fn a_mark_in_an_answer_ties_it_to_its_ticket() {
    let config = with(OutgoingConfig {
        body_marker: true,
        ..OutgoingConfig::default()
    });
    let mail = built_with(&config, &rich(), Vec::new()).1;
    let bench = bench(&config);
    let mark = mail.text.lines().last().unwrap();
    let raw = format!(
        "From: paivi@c.example\r\nTo: support@desk.example\r\nMessage-ID: <n@c.example>\r\nSubject: x\r\n\r\n\
         Kiitos!\r\n> Hei\r\n> {mark}\r\n"
    );
    bench
        .receiver
        .receive(told::incoming(
            &raw,
            "paivi@c.example",
            "support@desk.example",
        ))
        .await
        .unwrap();
    let threading = bench.desk.messages()[0].threading.clone().unwrap();
    assert_eq!(threading.signed_ticket_ids, [TICKET]);
}

#[test]
fn what_cannot_work_is_found_at_start() {
    for (outgoing, part) in [
        (
            OutgoingConfig {
                reply_template: "{{ customer }}".to_owned(),
                ..OutgoingConfig::default()
            },
            "'reply_template' cannot be used",
        ),
        (
            OutgoingConfig {
                bounce_domain: "not a domain".to_owned(),
                ..OutgoingConfig::default()
            },
            "'bounce_domain' is no domain",
        ),
        (
            OutgoingConfig {
                unsubscribe_url: "http://desk.example/stop".to_owned(),
                ..OutgoingConfig::default()
            },
            "'unsubscribe_url' must be",
        ),
        (
            OutgoingConfig {
                unsubscribe_address: "stop".to_owned(),
                ..OutgoingConfig::default()
            },
            "'unsubscribe_address' is no address",
        ),
    ] {
        let errors = Accounts::new(&with(outgoing), &signer()).unwrap_err();
        assert!(errors.to_string().contains(part), "{errors}");
    }
}

proptest! {
    #[test]
    fn foreign_text_is_no_proof(text in "\\PC{0,200}", local in "[a-z0-9.]{0,50}") {
        let signer = signer();
        for marked in [text.clone(), format!("[ref:t.{text}]"), format!("[ref:t.{local}]")] {
            prop_assert!(marker::tickets_in(&marked, &signer).is_empty());
        }
        if let Ok(address) = Address::parse(&format!("bounce+{local}@bounces.example")) {
            prop_assert_eq!(verp::message_of(&address, &signer), None);
        }
    }

    #[test]
    fn a_report_of_any_shape_is_read_or_left(text in "((Final-Recipient|Action|Original-Envelope-Id|X):?[ ;\\PC]{0,30}\r?\n[ \t]?){0,8}") {
        let report = solmu_mime::mail::Report {
            content_type: "message/delivery-status".to_owned(),
            text,
        };
        let mail = ParsedMail {
            reports: vec![report],
            ..ParsedMail::default()
        };
        if let Some(told) = dsn::read(&mail, &signer()) {
            prop_assert!(told.own.is_none());
        }
    }
}

#[test]
fn no_text_brings_a_line_end_of_another_kind_onto_the_wire() {
    for text in ["a\rb\r\nc\nd\n\re", "\r\r\n\r", "x\0y"] {
        for html in [String::new(), format!("<p>{text}</p>")] {
            let message = MessageQueued {
                text: text.to_owned(),
                html,
                ..queued()
            };
            let (built, _) = built_with(&with(OutgoingConfig::default()), &message, Vec::new());
            let mail = String::from_utf8(built.bytes).unwrap();
            let rest = mail.replace("\r\n", "");
            assert!(!rest.contains(['\r', '\n', '\0']), "{mail:?}");
        }
    }
}

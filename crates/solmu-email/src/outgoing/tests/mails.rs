//! Mails as they go out.

use super::*;
use solmu_mime::reply_address::{own_message, ticket_of_address};
use solmu_proto::types::v1::Mailbox;

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
    // With a backslash a name is quoted, and a quoted name is not folded.
    message.recipient_name = format!("{}\\{}", "n".repeat(300), "n".repeat(300));
    message.cc = ["b@c.example", "d@c.example"]
        .map(|address| Mailbox {
            name: format!("\\{}", message.recipient_name),
            address: address.to_owned(),
        })
        .into();
    let bytes = built(&message, Vec::new()).0.bytes;
    assert!(
        bytes
            .split(|byte| *byte == b'\n')
            .all(|line| line.len() < 998)
    );
}

#[test]
fn each_copy_stands_on_a_line_of_its_own() {
    let mut message = queued();
    message.cc = (0..40)
        .map(|number| Mailbox {
            name: ["", "Åsa \"The\" Öst"][number % 2].to_owned(),
            address: format!("{}{number}@c.example", "a".repeat(55)),
        })
        .collect();
    let (mail, parsed) = built(&message, Vec::new());
    let lines = mail.bytes.split(|byte| *byte == b'\n');
    assert!(lines.map(<[u8]>::len).all(|length| length < 200));
    assert_eq!(mail.copies.len(), 40);
    let copies: Vec<_> = parsed
        .cc
        .iter()
        .map(|copy| (copy.name.clone(), copy.address.clone()))
        .collect();
    let sent: Vec<_> = message
        .cc
        .into_iter()
        .map(|copy| (copy.name, copy.address))
        .collect();
    assert_eq!(copies, sent);
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

//! Every sample of others, with what a person reads off it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    authenticity::Trust,
    automatic::Surroundings,
    describe::describe,
    parse::ParseLimits,
    testing::{fixtures, signer},
};

/// What is to be found in a sample: `path | class | from | subject | attachments, inline ones | beginning of the visible text`.
/// An asterisk at the end of a subject stands for the rest of it.
const EXPECTED: &str = "\
mail/chatwoot/attachments_without_filename.eml | human | test@gmail.com | multiple attachments | 2 0 | Hi people!
mail/chatwoot/attachments_without_text.eml | human | hello@icloud.com | Hello there | 2 0 |
mail/chatwoot/auto_reply.eml | auto_reply | Sony@chatwoot.com | Discussion: Let's debate these attachments | 2 2 | Let's talk about these images:
mail/chatwoot/auto_reply_with_auto_submitted.eml | auto_generated | Sony@chatwoot.com | Discussion: Let's debate these attachments | 2 2 | Let's talk about these images:
mail/chatwoot/bounced_gmail.eml | bounce_hard | mailer-daemon@googlemail.com | Delivery Status Notification (Failure) | 2 0 | ** Address not found **
mail/chatwoot/bounced_with_no_from.eml | bounce_hard |  | Undelivered Mail Returned to Sender | 1 0 | This is the mail system at host
mail/chatwoot/cid_inline_images_without_disposition.eml | human | sender@example.com | Test inline image without Content-Disposition | 1 1 | This is a plain text version of the message.
mail/chatwoot/email_with_inline_pdf.eml | human | user@icloud.com | Sample PDF | 1 0 | Here is an example mail with inline PDF
mail/chatwoot/forwarder_email.eml | human | sony@chatwoot.com | Discussion: Let's debate these attachments | 2 0 | Let's talk about these images:
mail/chatwoot/group_sender_support.eml | human | acme_group@example.com | Discussion: Let's debate these attachments | 2 0 | Let's talk about these images:
mail/chatwoot/html_and_attachments.eml | human | tejaswini@example.com | attachment with html | 1 0 | # This is html and attachments only mail
mail/chatwoot/in_reply_to.eml | human | sony@chatwoot.com | Discussion: Let's debate these attachments | 2 0 | Let's talk about these images:
mail/chatwoot/mail_with_html_part_no_html_content.eml | human | sony@chatwoot.com | New inline image test email conversation | 1 1 | Greetings!
mail/chatwoot/mail_with_inline_images.eml | human | sony@chatwoot.com | New inline image test email conversation | 3 3 | HTML content and inline images
mail/chatwoot/mail_with_invalid_to.eml | human | mark@planetmars.com | stranded in mars | 0 0 | hey v, can i get some help over here?
mail/chatwoot/mail_with_invalid_to_2.eml | human | mark@planetmars.com | stranded in mars | 0 0 | hey v, can i get some help over here?
mail/chatwoot/mail_with_no_date.eml | human | testemail@gmail.com | test text only mail | 0 0 | text only mail
mail/chatwoot/mail_with_no_subject.eml | human | sony@chatwoot.com |  | 2 2 | Let's talk about these images:
mail/chatwoot/mail_with_plain_text_and_inline_image.eml | human | sony@chatwoot.com | New inline image test email conversation | 3 3 | [image: poster (8).jpg]
mail/chatwoot/mail_with_quote.eml | human | sony@chatwoot.com | Re: Checking mail forwarding to cw inbox | 0 0 | Yes, I am providing you step how to reproduce this issue
mail/chatwoot/mail_with_references.eml | human | sony@chatwoot.com | Discussion: Let's debate these attachments | 0 0 | Email with references header
mail/chatwoot/multiple_attachments.eml | human | test@gmail.com | multiple attachments | 30 0 | Attaching 30 files:
mail/chatwoot/multiple_in_reply_to.eml | human | Sony@chatwoot.com | Discussion: Let's debate these attachments | 0 0 | Let's talk about these images
mail/chatwoot/non_utf_encoded_mail.eml | auto_reply | example@gmail.com | أهلين عميلنا الكريم | 0 0 | أنظروا، أنا
mail/chatwoot/notification.eml | auto_generated | accounts@chatwoot.com | Sojan, A new conversation [ID - 873] has been assigned to you* | 0 0 | Hi Sojan,
mail/chatwoot/only_attachments.eml | human | attach@example.com | only attachments | 1 0 |
mail/chatwoot/only_html.eml | human | tejaswini@ex.com | test html only mail | 0 0 | # This is html only mail
mail/chatwoot/only_text.eml | human | text@example.com | test text only mail | 0 0 | text only mail
mail/chatwoot/references.eml | human | sony@chatwoot.com | Discussion: Let's debate these attachments | 0 0 | References Email
mail/chatwoot/reply.eml | human | sony@chatwoot.com | Discussion: Let's debate these attachments | 2 0 | Let's talk about these images:
mail/chatwoot/reply_cc.eml | human | sony@chatwoot.com | Discussion: Let's debate these attachments | 0 0 | Hello,
mail/chatwoot/reply_mail_without_uuid.eml | human | sony@chatwoot.com | Discussion: Let's debate these attachments | 2 0 | Let's talk about these images:
mail/chatwoot/reply_to.eml | human | sony@chatwoot.com | Discussion: Let's debate these attachments | 2 0 | Let's talk about these images:
mail/chatwoot/support.eml | human | sony@chatwoot.com | Discussion: Let's debate these attachments | 2 0 | Let's talk about these images:
mail/chatwoot/support_1.eml | human | sony@chatwoot.com | Get Paid to post an article | 0 0 | Hi,
mail/chatwoot/support_in_reply_to.eml | human | sony@chatwoot.com | Discussion: Let's debate these attachments | 2 0 | Let's talk about these images:
mail/chatwoot/support_uppercase.eml | human | SONY@CHATWOOT.COM | Discussion: Let's debate these attachments | 2 0 | Let's talk about these images:
mail/chatwoot/support_without_sender_name.eml | human | sony@chatwoot.com | Discussion: Let's debate these attachments | 2 0 | Let's talk about these images:
mail/chatwoot/welcome.eml | human | Sony@chatwoot.com | Discussion: Let's debate these attachments | 2 2 | Let's talk about these images:
mail/chatwoot/welcome_html.eml | human | Sony@chatwoot.com | Fwd: How good are you in English? How did you improve your English? | 0 0 | I'm learning English as a first language
mail/django-helpdesk/all-special-chars.eml | human | timothy.hobbs@auto-mat.cz | Testovácí email | 0 0 | íářčšáíéřášč
mail/django-helpdesk/blank-body-with-attachment.eml | human | timothy.hobbs@auto-mat.cz | Attachment without body - and a loooooooooooooooooooooo* | 1 0 |
mail/django-helpdesk/forwarded-message.eml | human | sender@domain.tld | Test with original message from GitHub | 0 0 | This is email body
mail/django-helpdesk/pgp.eml | human | bugreporter@example.com | example email that crashes django-helpdesk get_email | 1 0 | hi, thanks for looking into this :)
mail/django-helpdesk/quoted_printable.eml | human | tim.thelion@gmail.com | Český test | 0 0 | Tohle je test českých písmen odeslaných z gmailu.
mail/django-helpdesk/utf-nondecodable.eml | human | john.smith@example.cz | Fwd: Cyklozaměstnavatel - změna vyhodnocení | 0 0 | -------- Forwarded Message --------
channels/email_raw/dsn/sisimai_arf-01.eml | report | kijitora@example.co.jp | Email Feedback Report for IP 192.0.2.* | 1 0 | This is an email abuse report
channels/email_raw/dsn/sisimai_arf-15.eml | report | feedbackloop@feedback.example.org | Abuse Report | 1 0 | This is a Example email abuse report
channels/email_raw/dsn/sisimai_lhost-exchange2007-01.eml | bounce_hard | mailer-daemon@example.com | Undeliverable: Nyaan | 1 0 | Delivery has failed to these recipients
channels/email_raw/dsn/sisimai_lhost-exim-01.eml | bounce_soft | Mailer-Daemon@e1.example.org | Mail delivery failed: returning message to sender | 0 0 | This message was created automatically
channels/email_raw/dsn/sisimai_lhost-gmail-01.eml | bounce_hard | mailer-daemon@googlemail.com | Delivery Status Notification (Failure) | 0 0 | Delivery to the following recipient failed permanently:
channels/email_raw/dsn/sisimai_lhost-office365-01.eml | bounce_hard | postmaster@example.com | Undeliverable: Nyaan | 0 0 | Delivery has failed to these recipients or groups:
channels/email_raw/dsn/sisimai_lhost-opensmtpd-01.eml | bounce_hard | MAILER-DAEMON@aneyakoji.example.jp | Delivery status notification: error | 0 0 | Hi!
channels/email_raw/dsn/sisimai_lhost-postfix-01.eml | bounce_hard | MAILER-DAEMON@p351355.pool.example.ne.jp | Undelivered Mail Returned to Sender | 1 0 | This is the mail system at host
channels/email_raw/dsn/sisimai_lhost-qmail-01.eml | bounce_hard | MAILER-DAEMON@mx4.example.jp | failure notice | 0 0 | Hi. This is the qmail-send program
channels/email_raw/dsn/sisimai_lhost-yahoo-01.eml | bounce_hard | MAILER-DAEMON@y.example.co.jp | Failure Notice | 0 0 | Sorry, we were unable to deliver your message
channels/email_raw/dsn/sisimai_rfc3834-01.eml | out_of_office | kijitora@example.net | Away until May 5 | 0 0 | I am currently away
channels/email_raw/dsn/sisimai_rfc3834-04.eml | out_of_office | kijitora@example.org | Automatic reply: Nyaan | 0 0 | ***Please stop and read this message.***
channels/email_raw/dsn/sisimai_rhost-gsuite-01.eml | bounce_hard | mailer-daemon@googlemail.com | Delivery Status Notification (Failure) | 2 0 | ** Address not found **
channels/email_raw/rails_invalid_utf.eml | human | info@sender.com |  | 0 0 | Vážený zákazníku,
channels/email_inbound_parse/postal/anymail_attachments_mime.eml | human | from@example.org | Attachments | 3 1 | This is the HTML body.
channels/email_inbound_parse/resend/anymail_inbound_basics_raw_mime_mime.eml | human | from@example.com | Testing Resend inbound | 0 0 | Hello, world!
";

/// Single facts: `path | JSON pointer | value`.
const FACTS: &str = "\
mail/chatwoot/mail_with_quote.eml | /quoted/visible_text | \"Yes, I am providing you step how to reproduce this issue\"
mail/chatwoot/mail_with_quote.eml | /quoted/quote_offset | 58
mail/chatwoot/mail_with_quote.eml | /quoted/signature_offset | 184
mail/chatwoot/mail_with_quote.eml | /thread_keys/0 | \"0100017b5d8efc70-c7f18809-aa55-48f6-91fd-b626092ed8b3-000000@email.amazonses.com\"
mail/chatwoot/reply_cc.eml | /quoted/visible_text | \"Hello,\\n\\nFind the related inbox.\"
mail/chatwoot/reply_cc.eml | /cc/0/address | \"test@example.com\"
mail/chatwoot/welcome_html.eml | /quoted/quote_offset | null
mail/chatwoot/mail_with_invalid_to.eml | /to/0/address | \"vishnu@chatwoot.com\"
mail/chatwoot/mail_with_invalid_to_2.eml | /to/0/address | \"vishnu@chatwoot.com\"
mail/chatwoot/mail_with_no_date.eml | /date | null
mail/chatwoot/only_text.eml | /date | \"2022-02-23T07:44:10Z\"
mail/chatwoot/only_text.eml | /in_reply_to | null
mail/chatwoot/support.eml | /from/name | \"Sony Mathew\"
mail/chatwoot/support.eml | /attachments/0/sha256 | \"ecda640e0af82d4b1932646029e5212c60166853beb6cff10e65d43133d7d883\"
mail/chatwoot/support.eml | /attachments/0/size | 20535
mail/chatwoot/support.eml | /attachments/0/content_id | \"7AAEB353-2341-4D46-A054-5CA5CB2363B7\"
mail/chatwoot/reply_to.eml | /reply_to/0/address | \"reply+someidmfdvkjdnkjciwyreowuero83@chatwoot.com\"
mail/chatwoot/multiple_in_reply_to.eml | /thread_keys/1 | \"4e6e35f5a38b4_479f13bb90078131@small-app-01.mail\"
mail/chatwoot/non_utf_encoded_mail.eml | /from/name | \"متجر سوق نت\"
mail/chatwoot/cid_inline_images_without_disposition.eml | /attachments/0/filename | \"image001.jpg\"
mail/chatwoot/cid_inline_images_without_disposition.eml | /authentication/spf | \"none\"
mail/chatwoot/cid_inline_images_without_disposition.eml | /authentication/verified_sender | false
mail/chatwoot/bounced_with_no_from.eml | /from/name | \"Mail Delivery System\"
mail/chatwoot/bounced_gmail.eml | /automatic/reason | \"delivery-status\"
mail/django-helpdesk/forwarded-message.eml | /quoted/visible_text | \"This is email body\"
mail/django-helpdesk/utf-nondecodable.eml | /quoted/quote_offset | null
mail/django-helpdesk/pgp.eml | /attachments/0/content_type | \"application/pgp-signature\"
channels/email_raw/dsn/sisimai_lhost-qmail-01.eml | /message_id | null
channels/email_raw/dsn/sisimai_rhost-gsuite-01.eml | /thread_keys/0 | \"00222222-2222-2222-2222-FF00FFFF0000@example.jp\"
channels/email_inbound_parse/postal/anymail_attachments_mime.eml | /attachments/2/filename | \"message.eml\"
";

/// The samples by their path.
fn described() -> Option<BTreeMap<String, Value>> {
    let root = fixtures("mail")?.parent()?.to_owned();
    let signer = signer();
    let around = Surroundings {
        mail_from: None,
        is_own: &|_| false,
        signer: &signer,
    };
    let trust = Trust {
        authserv_id: None,
        trusted_hops: 1,
    };
    let mut samples = BTreeMap::new();
    for entry in walkdir::WalkDir::new(&root) {
        let path = entry.unwrap().into_path();
        if path.extension().is_none_or(|extension| extension != "eml") {
            continue;
        }
        let raw = std::fs::read(&path).unwrap();
        let described = describe(&raw, &ParseLimits::default(), &around, trust);
        let path = path.strip_prefix(&root).unwrap().display().to_string();
        samples.insert(path, serde_json::to_value(described).unwrap());
    }
    Some(samples)
}

/// What the table says of a sample, read off the JSON.
fn facts(sample: &Value) -> [String; 4] {
    let text = |pointer: &str| {
        sample
            .pointer(pointer)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    let files = sample["attachments"].as_array().unwrap();
    let inline = files.iter().filter(|file| file["inline"] == true).count();
    [
        text("/automatic/class"),
        text("/from/address"),
        text("/subject"),
        format!("{} {inline}", files.len()),
    ]
}

#[test]
fn every_sample_says_what_a_person_reads_in_it() {
    let Some(samples) = described() else { return };
    let mut wrong = Vec::new();
    let mut seen = 0;
    for line in EXPECTED.lines() {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(sample) = samples.get(columns[0]) else {
            continue;
        };
        seen += 1;
        for (found, wanted) in facts(sample).iter().zip(&columns[1..5]) {
            let same = match wanted.strip_suffix('*') {
                Some(beginning) => found.starts_with(beginning),
                None => found == wanted,
            };
            if !same {
                wrong.push(format!("{}: '{found}', wanted '{wanted}'", columns[0]));
            }
        }
        let visible = sample["quoted"]["visible_text"].as_str().unwrap();
        if !visible.starts_with(columns[5]) || columns[5].is_empty() != visible.is_empty() {
            wrong.push(format!("{}: visible '{visible}'", columns[0]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unknown: Vec<&String> = samples
        .keys()
        .filter(|path| !EXPECTED.contains(path.as_str()))
        .collect();
    assert!(unknown.is_empty(), "no expectation for {unknown:?}");
    assert!(seen > 0, "no sample of the table was there");
}

#[test]
fn single_facts_of_samples() {
    let Some(samples) = described() else { return };
    let mut wrong = Vec::new();
    for line in FACTS.lines() {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let wanted: Value = serde_json::from_str(columns[2]).unwrap();
        let Some(sample) = samples.get(columns[0]) else {
            continue;
        };
        let found = sample.pointer(columns[1]);
        if found != Some(&wanted) {
            wrong.push(format!(
                "{} {}: {found:?}, wanted {wanted}",
                columns[0], columns[1]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The object's shape is a promise to scripts.
#[test]
fn the_fields_are_those_that_are_documented() {
    let signer = signer();
    let around = Surroundings {
        mail_from: None,
        is_own: &|address| address.without_tag() == "us@desk.example",
        signer: &signer,
    };
    let trust = Trust {
        authserv_id: Some("mx.desk.example"),
        trusted_hops: 1,
    };
    let object = |raw: &[u8]| {
        serde_json::to_value(describe(raw, &ParseLimits::default(), &around, trust)).unwrap()
    };
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    let mail = object(
        b"Authentication-Results: mx.desk.example; spf=fail; dkim=pass header.d=c.example; dmarc=pass header.from=c.example\r\n\
          From: A <a@c.example>\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nhi\r\n--x\r\nContent-Type: a/b\r\n\r\nz\r\n--x--\r\n",
    );
    let mut wanted = [
        "message_id",
        "from",
        "to",
        "cc",
        "reply_to",
        "subject",
        "date",
        "text",
        "html",
        "attachments",
        "in_reply_to",
        "references",
        "automatic",
        "authentication",
        "quoted",
        "thread_keys",
    ];
    wanted.sort_unstable();
    let mut found = keys(&mail);
    found.sort_unstable();
    assert_eq!(found, wanted);
    let mut file = keys(&mail["attachments"][0]);
    file.sort_unstable();
    assert_eq!(
        file,
        [
            "content_id",
            "content_type",
            "filename",
            "inline",
            "sha256",
            "size"
        ]
    );
    assert_eq!(
        mail["authentication"],
        serde_json::json!({"spf": "fail", "dkim": "pass", "dmarc": "pass", "verified_sender": true})
    );
    let own = object(b"From: us@desk.example\r\n\r\nx");
    assert_eq!(
        own["automatic"],
        serde_json::json!({"class": "own", "reason": "own-address"})
    );
    let hardly = object(b"\xff\xfe\x00 no mail at all");
    assert_eq!(hardly["automatic"]["class"], "human");
    assert!(hardly["text"].as_str().unwrap().ends_with("no mail at all"));
    assert_eq!(
        object(b"")["from"],
        serde_json::json!({"name": "", "address": ""})
    );
}

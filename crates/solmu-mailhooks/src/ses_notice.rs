//! What notifications of Amazon SES say: mail that came, and what became of mail that we sent.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde_json::Value;
use solmu_mime::authenticity::ResultWord;
use solmu_text::json;

use crate::{
    HookMail, Refused, Verdicts,
    build::{Pieces, TextPart},
    desk::{SPAM_NOTICE, VIRUS_NOTICE},
    report::{Outcome, ReportWords, is_bad_address, status_in},
    reverse_path,
};

/// What a notification of SES is.
#[derive(Debug)]
pub(crate) enum Notice {
    Mail(HookMail),
    Stored(Box<Stored>),
    Reports(Vec<(Outcome, ReportWords)>),
    /// Nothing about a mail or its fate.
    Other,
}

/// A mail that lies in a bucket.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) bucket: String,
    pub(crate) key: String,
    /// Its header as SES lists it; the last fields of a long one may be missing.
    pub(crate) headers: Vec<(String, String)>,
    /// Without its bytes.
    pub(crate) mail: HookMail,
}

pub(crate) fn read(message: &str) -> Result<Notice, Refused> {
    // What SES says when a topic is set up is plain words.
    let Some(value) = json::read(message.as_bytes()) else {
        return Ok(Notice::Other);
    };
    let kind = value["notificationType"]
        .as_str()
        .or_else(|| value["eventType"].as_str());
    match kind.unwrap_or_default() {
        "Received" => received(&value),
        "Bounce" => Ok(Notice::Reports(bounces(&value))),
        "Complaint" => Ok(Notice::Reports(complaints(&value))),
        "Delivery" => Ok(Notice::Reports(deliveries(&value))),
        "Reject" | "Rendering Failure" => Ok(Notice::Reports(rejections(&value))),
        _ => Ok(Notice::Other),
    }
}

fn received(value: &Value) -> Result<Notice, Refused> {
    let action = &value["receipt"]["action"];
    let recipients = value["receipt"]["recipients"]
        .as_array()
        .or_else(|| value["mail"]["destination"].as_array());
    let mail = HookMail {
        raw: Bytes::new(),
        mail_from: value["mail"]["source"].as_str().map(reverse_path),
        recipients: texts(recipients),
        verdicts: Some(verdicts(&value["receipt"])),
    };
    let Some(content) = value["content"].as_str() else {
        return stored(value, mail);
    };
    let is_base64 = action["encoding"]
        .as_str()
        .is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64"));
    let raw = if is_base64 {
        let packed: String = content.split_whitespace().collect();
        BASE64
            .decode(packed)
            .map_err(|_| Refused::Malformed("content is not base64"))?
    } else {
        content.as_bytes().to_vec()
    };
    Ok(Notice::Mail(HookMail {
        raw: raw.into(),
        ..mail
    }))
}

fn stored(value: &Value, mail: HookMail) -> Result<Notice, Refused> {
    let action = &value["receipt"]["action"];
    if action["type"] != "S3" {
        return Err(Refused::Malformed("no content"));
    }
    let (Some(bucket), Some(key)) = (action["bucketName"].as_str(), action["objectKey"].as_str())
    else {
        return Err(Refused::Malformed("a mail in S3 without its place"));
    };
    let listed = value["mail"]["headers"].as_array().into_iter().flatten();
    let headers = listed.filter_map(|field| {
        let (name, value) = (field["name"].as_str()?, field["value"].as_str()?);
        Some((name.to_owned(), value.to_owned()))
    });
    Ok(Notice::Stored(Box::new(Stored {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        headers: headers.collect(),
        mail,
    })))
}

/// What is taken of a mail that is too large: its header as SES lists it, and where the mail is.
pub(crate) fn too_large(stored: Stored, size: u64) -> HookMail {
    let text = format!(
        "This mail could not be taken in whole. It is larger than what is taken in ({} KiB).\r\n\
         The original stays in the bucket '{}' under '{}'.\r\n",
        size / 1024,
        stored.bucket,
        stored.key
    );
    let pieces = Pieces {
        headers: stored.headers,
        text: Some(TextPart {
            bytes: text.into(),
            charset: "utf-8".to_owned(),
        }),
        ..Pieces::default()
    };
    HookMail {
        raw: pieces.build(),
        ..stored.mail
    }
}

/// What SES found out. The policy stands beside a failed DMARC check only.
fn verdicts(receipt: &Value) -> Verdicts {
    let word = |name: &str| {
        Some(match receipt[name]["status"].as_str()? {
            "PASS" => ResultWord::Pass,
            "FAIL" => ResultWord::Fail,
            // There is nothing to check, or no clear answer.
            "GRAY" => ResultWord::None,
            _ => ResultWord::TempError,
        })
    };
    let notices = [("spamVerdict", SPAM_NOTICE), ("virusVerdict", VIRUS_NOTICE)];
    let found = notices
        .into_iter()
        .filter(|(name, _)| word(name) == Some(ResultWord::Fail));
    let policy = receipt["dmarcPolicy"].as_str().unwrap_or_default();
    Verdicts {
        spf: word("spfVerdict"),
        dkim: word("dkimVerdict"),
        dmarc: word("dmarcVerdict"),
        rejects: policy.eq_ignore_ascii_case("reject"),
        signed_by: Vec::new(),
        notices: found.map(|(_, notice)| notice.to_owned()).collect(),
    }
}

fn texts(list: Option<&Vec<Value>>) -> Vec<String> {
    let list = list.into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

/// Our Message-ID: SES replaces it on the way, but its reports list the header as we wrote it.
fn words(value: &Value, address: &str, at: &Value) -> ReportWords {
    let headers = value["mail"]["headers"].as_array().into_iter().flatten();
    let message_id = headers
        .filter(|field| {
            field["name"]
                .as_str()
                .is_some_and(|name| name.eq_ignore_ascii_case("message-id"))
        })
        .find_map(|field| field["value"].as_str())
        .or_else(|| value["mail"]["commonHeaders"]["messageId"].as_str());
    ReportWords {
        message_id: message_id.unwrap_or_default().to_owned(),
        address: address.to_owned(),
        at: at.as_str().and_then(|at| at.parse().ok()),
        ..ReportWords::default()
    }
}

fn bounces(value: &Value) -> Vec<(Outcome, ReportWords)> {
    let bounce = &value["bounce"];
    let is_permanent = bounce["bounceType"] == "Permanent";
    let subtype = bounce["bounceSubType"].as_str().unwrap_or_default();
    // The other transient ones are about one mail: its size, its content, its files.
    let passes =
        bounce["bounceType"] == "Transient" && matches!(subtype, "General" | "MailboxFull");
    let one = |recipient: &Value| {
        let said = recipient["diagnosticCode"].as_str().unwrap_or_default();
        let status = recipient["status"]
            .as_str()
            .filter(|status| !status.is_empty())
            .or_else(|| status_in(said));
        let bad = match status {
            Some(status) => is_bad_address(status),
            None => matches!(subtype, "General" | "NoEmail"),
        };
        let suppressed = matches!(
            subtype,
            "NoEmail" | "Suppressed" | "OnAccountSuppressionList"
        );
        let address_invalid = is_permanent && (bad || suppressed);
        let code = status.unwrap_or(subtype).to_owned();
        let words = ReportWords {
            code: if passes { softened(&code) } else { code },
            text: said.to_owned(),
            ..words(
                value,
                recipient["emailAddress"].as_str().unwrap_or_default(),
                &bounce["timestamp"],
            )
        };
        (Outcome::Failed { address_invalid }, words)
    };
    bounce["bouncedRecipients"]
        .as_array()
        .into_iter()
        .flatten()
        .map(one)
        .collect()
}

/// A status of the class that says that it may work later (RFC 3463 section 3.1), which SES knows and the other side's
/// words may not say.
fn softened(code: &str) -> String {
    match code.split_once('.') {
        Some(("5" | "4", rest)) => format!("4.{rest}"),
        _ => "4.0.0".to_owned(),
    }
}

fn complaints(value: &Value) -> Vec<(Outcome, ReportWords)> {
    let complaint = &value["complaint"];
    let kind = complaint["complaintFeedbackType"]
        .as_str()
        .unwrap_or_default();
    let one = |recipient: &Value| {
        let words = ReportWords {
            text: kind.to_owned(),
            ..words(
                value,
                recipient["emailAddress"].as_str().unwrap_or_default(),
                &complaint["timestamp"],
            )
        };
        (Outcome::Complaint, words)
    };
    complaint["complainedRecipients"]
        .as_array()
        .into_iter()
        .flatten()
        .map(one)
        .collect()
}

fn deliveries(value: &Value) -> Vec<(Outcome, ReportWords)> {
    let delivery = &value["delivery"];
    let recipients = texts(delivery["recipients"].as_array());
    let one = |address: String| {
        (
            Outcome::Delivered,
            words(value, &address, &delivery["timestamp"]),
        )
    };
    recipients.into_iter().map(one).collect()
}

/// SES itself would not send it: a virus, or a template without its values.
fn rejections(value: &Value) -> Vec<(Outcome, ReportWords)> {
    let reason = value["reject"]["reason"]
        .as_str()
        .or_else(|| value["failure"]["errorMessage"].as_str());
    let words = ReportWords {
        code: "rejected".to_owned(),
        text: reason.unwrap_or_default().to_owned(),
        ..words(value, "", &value["mail"]["timestamp"])
    };
    vec![(
        Outcome::Failed {
            address_invalid: false,
        },
        words,
    )]
}

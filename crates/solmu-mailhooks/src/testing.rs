//! What tests of webhooks share, here and where a real desk stands behind them: settings, forms, headers, a mail.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use solmu_domain::{
    ids::{MessageId, TicketId},
    signed::Signer,
};
use solmu_mime::reply_address::message_id_for;

use crate::{
    config::{MailgunHook, PostmarkHook, SendgridHook, SesHook, WebhooksConfig},
    memory::{Memory, MemoryError},
};

/// A memory that ends with the process.
#[derive(Debug, Clone, Default)]
pub struct Remembered {
    contents: Arc<Mutex<HashMap<[u8; 32], [u8; 32]>>>,
    is_away: Arc<Mutex<bool>>,
}

impl Remembered {
    /// From now on it answers, or does not.
    pub fn is_away(&self, is_away: bool) {
        *self.is_away.lock().unwrap_or_else(PoisonError::into_inner) = is_away;
    }
}

impl Memory for Remembered {
    async fn first_content(
        &self,
        token: [u8; 32],
        content: [u8; 32],
        _until: Timestamp,
    ) -> Result<[u8; 32], MemoryError> {
        if *self.is_away.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err("the memory is away".into());
        }
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(*contents.entry(token).or_insert(content))
    }
}

/// Secret path segment of the SendGrid webhook "parse".
pub const TOKEN: &str = "0123456789abcdefghij";

/// A webhook of each kind. Two of SendGrid: "parse" with a path token, "basic" with a password.
#[must_use]
pub fn hooks() -> WebhooksConfig {
    WebhooksConfig {
        max_body_bytes: 200_000,
        max_waiting_bytes: 400_000,
        mailgun_max_age_seconds: 900,
        mailgun: vec![MailgunHook {
            name: "eu".to_owned(),
            signing_key: "key".into(),
            previous_signing_key: "TEST_WEBHOOK_SIGNING_KEY".into(),
            ..MailgunHook::default()
        }],
        sendgrid: vec![
            SendgridHook {
                name: "parse".to_owned(),
                path_token: TOKEN.into(),
                ..SendgridHook::default()
            },
            SendgridHook {
                name: "basic".to_owned(),
                basic_user: "post".to_owned(),
                basic_password: "secret".into(),
                account: "main".to_owned(),
                ..SendgridHook::default()
            },
        ],
        postmark: vec![PostmarkHook {
            name: "pm".to_owned(),
            basic_user: "post".to_owned(),
            basic_password: "secret".into(),
            previous_basic_password: "old".into(),
            ..PostmarkHook::default()
        }],
        ses: vec![SesHook {
            name: "aws".to_owned(),
            topic_arns: vec!["arn:aws:sns:eu-north-1:111111111111:mail".to_owned()],
            ..SesHook::default()
        }],
    }
}

/// A Message-ID that `signer` signed.
///
/// # Panics
/// Never: the ids are right.
#[must_use]
pub fn own_id(signer: &Signer) -> String {
    let uuid = |text: &str| text.parse().expect("the id is right");
    let message = MessageId::from_uuid(uuid("0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e60"));
    let ticket = TicketId::from_uuid(uuid("0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e5f"));
    message_id_for(message, ticket, "desk.example", signer)
}

/// An `Authorization` header of `user:password`.
#[must_use]
pub fn basic_header(pair: &str) -> String {
    format!("Basic {}", BASE64.encode(pair))
}

/// A raw mail to the account "main".
#[must_use]
pub fn raw(number: u32) -> String {
    format!(
        "From: Aino <a@c.example>\r\nTo: support@desk.example\r\nMessage-ID: <{number}@c.example>\r\n\
         Subject: raw {number}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhyvää päivää\r\n"
    )
}

/// A `multipart/form-data` body with boundary `xYz`.
#[must_use]
pub fn multipart(fields: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, value) in fields {
        let file = file
            .map(|file| format!("; filename=\"{file}\""))
            .unwrap_or_default();
        let head =
            format!("--xYz\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xYz--\r\n");
    body
}

/// Content type of [`multipart`].
pub const MULTIPART: (&str, &str) = ("content-type", "multipart/form-data; boundary=xYz");

//! Sending through the Graph API.
//!
//! It is not idempotent: a request whose answer is lost may have been taken, so it is reported as unknown and never
//! repeated. Our message id goes along as `biz_opaque_callback_data` and comes back with each status, which settles
//! such a message after all.

use std::{collections::HashMap, time::Duration};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use solmu_connector::{
    http::{Reached, reached},
    outbound::{Rests, SendOutcome, Sender},
};
use solmu_proto::outbound::v1::MessageQueued;
use solmu_runtime::config::Secret;
use solmu_text as text;

use super::vendor_error::{self, Action};
use crate::{config::Whatsapp, json as read, parts::send_parts};

/// Longest text of one message (Cloud API, `text.body`).
const MAX_TEXT: usize = 4_096;

/// Sends messages of every WhatsApp account.
#[derive(Debug)]
pub(crate) struct WhatsappSender {
    client: Client,
    /// Base URL with the version.
    base: String,
    accounts: HashMap<String, Access>,
}

#[derive(Debug)]
struct Access {
    phone_number_id: String,
    token: Secret,
}

impl WhatsappSender {
    pub(crate) fn new(
        client: Client,
        base_url: &str,
        version: &str,
        accounts: &[Whatsapp],
    ) -> Self {
        let accounts = accounts.iter().map(|account| {
            let access = Access {
                phone_number_id: account.phone_number_id.clone(),
                token: account.access_token.clone(),
            };
            (account.name.clone(), access)
        });
        Self {
            client,
            base: format!("{}/{version}", base_url.trim_end_matches('/')),
            accounts: accounts.collect(),
        }
    }

    async fn post(&self, access: &Access, number: &str, body: &Value) -> SendOutcome {
        let url = format!("{}/{number}/messages", self.base);
        let answer = self
            .client
            .post(url)
            .bearer_auth(access.token.expose())
            .json(body)
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return lost(&error),
        };
        let (status, wait) = (answer.status(), vendor_error::wait(answer.headers()));
        match answer.json::<Value>().await {
            Ok(body) => outcome(status, wait, &body),
            Err(_) => unreadable(status, wait),
        }
    }
}

impl Sender for WhatsappSender {
    async fn send(&self, message: &MessageQueued) -> SendOutcome {
        let Some(access) = self.accounts.get(&message.account) else {
            return SendOutcome::failed("unknown_account", "the account is not configured here");
        };
        if access.token.is_empty() {
            return SendOutcome::failed(
                "no_access_token",
                "the account can only receive: it has no access token",
            );
        }
        if !message.attachments.is_empty() {
            return SendOutcome::failed(
                "attachments_not_supported",
                "files cannot be sent on this channel yet",
            );
        }
        let Some(recipient) = recipient(message) else {
            return SendOutcome::failed(
                "no_recipient",
                "the customer has no WhatsApp number or id",
            );
        };
        let number = number_of(message).unwrap_or(&access.phone_number_id);
        let body = if message.text.is_empty() {
            text::html_to_text(&message.html)
        } else {
            message.text.clone()
        };
        let parts = text::split(&body, MAX_TEXT);
        send_parts(&parts, |index, part| {
            let reply =
                Some(message.in_reply_to.as_str()).filter(|id| index == 0 && !id.is_empty());
            let request = request(&recipient, part, reply, &message.message_id);
            async move { self.post(access, number, &request).await }
        })
        .await
    }

    /// The number that it is sent from: Meta's limits are of numbers.
    fn lane(&self, message: &MessageQueued) -> String {
        let configured = self.accounts.get(&message.account);
        let configured = configured.map(|access| access.phone_number_id.as_str());
        number_of(message)
            .or(configured)
            .unwrap_or_default()
            .to_owned()
    }
}

/// The number of ours that the conversation is with. One that is not configured answers under its own id, with the token
/// of the account that got the message.
fn number_of(message: &MessageQueued) -> Option<&str> {
    let number = message.conversation_key.split(':').next();
    number.filter(|number| is_id(number))
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The field that names the recipient, and its value: a number, or an id within our business.
fn recipient(message: &MessageQueued) -> Option<(&'static str, String)> {
    let identity = message
        .recipient
        .as_ref()
        .map(|identity| &identity.value)
        .filter(|value| !value.is_empty());
    let user = identity.map(String::as_str).or_else(|| {
        message
            .conversation_key
            .split_once(':')
            .map(|(_, user)| user)
    })?;
    let digits = user.trim_start_matches('+');
    if is_id(digits) {
        Some(("to", digits.to_owned()))
    } else {
        (!user.is_empty() && !user.contains(':')).then(|| ("recipient", user.to_owned()))
    }
}

fn request(
    recipient: &(&'static str, String),
    text: &str,
    reply: Option<&str>,
    message_id: &str,
) -> Value {
    let mut body = json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "type": "text",
        "text": { "body": text, "preview_url": false },
        "biz_opaque_callback_data": message_id,
    });
    body[recipient.0] = Value::from(recipient.1.as_str());
    if let Some(id) = reply {
        body["context"] = json!({ "message_id": id });
    }
    body
}

fn outcome(status: StatusCode, wait: Option<Duration>, body: &Value) -> SendOutcome {
    if status.is_success() {
        let id = read::list(body, "messages")
            .first()
            .and_then(|message| read::text(message, "id"));
        return match id {
            Some(external_id) => SendOutcome::Sent { external_id },
            None => {
                SendOutcome::unknown("no_message_id", "WhatsApp took the message but named no id")
            }
        };
    }
    let Some(code) = read::integer(body, "error.code") else {
        return unreadable(status, wait);
    };
    let text = vendor_error::explain(code).map_or_else(
        || format!("WhatsApp refused it with error {code}"),
        str::to_owned,
    );
    match vendor_error::action(code) {
        Some(Action::Retry) => SendOutcome::retry(code.to_string(), text),
        Some(Action::Throttled) => SendOutcome::Throttled {
            rests: Rests::Lane,
            after: wait,
            code: code.to_string(),
            text,
        },
        Some(Action::Pair(least)) => SendOutcome::Throttled {
            rests: Rests::Conversation,
            after: Some(least),
            code: code.to_string(),
            text,
        },
        None if read::flag(body, "error.is_transient") => {
            SendOutcome::retry(code.to_string(), text)
        }
        Some(Action::Fail) | None => SendOutcome::failed(code.to_string(), text),
    }
}

/// An answer that is not the API's: from something before it. `wait` is what it told us to wait.
pub(crate) fn unreadable(status: StatusCode, wait: Option<Duration>) -> SendOutcome {
    let code = format!("http_{}", status.as_u16());
    match status {
        StatusCode::TOO_MANY_REQUESTS => SendOutcome::Throttled {
            rests: Rests::Lane,
            after: wait,
            code,
            text: "the vendor limits our requests".to_owned(),
        },
        status if status.is_client_error() => {
            SendOutcome::failed(code, "the vendor refused the request")
        }
        _ => SendOutcome::unknown(
            code,
            "the vendor's answer was lost: the message may have arrived",
        ),
    }
}

/// No answer at all. The error is not logged with its address, which may carry a token.
pub(crate) fn lost(error: &reqwest::Error) -> SendOutcome {
    match reached(error) {
        Reached::No => SendOutcome::retry("unreachable", "the vendor cannot be reached"),
        Reached::Maybe => {
            SendOutcome::unknown("no_answer", "no answer came: the message may have arrived")
        }
    }
}

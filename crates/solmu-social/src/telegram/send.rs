//! Sending through the Bot API.
//!
//! The bot's token is part of the address, so no address and no error that names one is ever logged.

use std::{collections::HashMap, time::Duration};

use reqwest::Client;
use serde_json::{Value, json};
use solmu_connector::{
    http::retry_after,
    outbound::{Rests, SendOutcome, Sender},
};
use solmu_proto::outbound::v1::MessageQueued;
use solmu_runtime::config::Secret;
use solmu_text as text;

use crate::{
    config::Telegram,
    json as read,
    parts::send_parts,
    whatsapp::{lost, unreadable},
};

/// Longest text of one message, in UTF-16 units (Bot API, `sendMessage`).
const MAX_TEXT: usize = 4_096;

/// Sends messages of every bot.
#[derive(Debug)]
pub(crate) struct TelegramSender {
    client: Client,
    base: String,
    tokens: HashMap<String, Secret>,
}

impl TelegramSender {
    pub(crate) fn new(client: Client, base_url: &str, accounts: &[Telegram]) -> Self {
        let tokens = accounts
            .iter()
            .map(|account| (account.name.clone(), account.bot_token.clone()));
        Self {
            client,
            base: base_url.trim_end_matches('/').to_owned(),
            tokens: tokens.collect(),
        }
    }

    /// Sends one part. A group that became a supergroup has another id, which the refusal names: it goes there then.
    async fn send_to(&self, token: &Secret, mut request: Value) -> SendOutcome {
        let first = self.post(token, &request).await;
        match first {
            Answer::Moved(chat) => {
                request["chat_id"] = Value::from(chat);
                // The message that it answered is counted anew in the new chat.
                if let Some(fields) = request.as_object_mut() {
                    fields.remove("reply_parameters");
                }
                match self.post(token, &request).await {
                    Answer::Outcome(outcome) => outcome,
                    Answer::Moved(_) => SendOutcome::failed("chat_moved", "the group moved twice"),
                }
            }
            Answer::Outcome(outcome) => outcome,
        }
    }

    async fn post(&self, token: &Secret, request: &Value) -> Answer {
        let url = format!("{}/bot{}/sendMessage", self.base, token.expose());
        let answer = match self.client.post(url).json(request).send().await {
            Ok(answer) => answer,
            Err(error) => return Answer::Outcome(lost(&error)),
        };
        let (status, wait) = (answer.status(), retry_after(answer.headers()));
        match answer.json::<Value>().await {
            Ok(body) if body.get("ok").is_some_and(Value::is_boolean) => classify(&body),
            _ => Answer::Outcome(unreadable(status, wait)),
        }
    }
}

enum Answer {
    Outcome(SendOutcome),
    Moved(i64),
}

impl Sender for TelegramSender {
    async fn send(&self, message: &MessageQueued) -> SendOutcome {
        let Some(token) = self.tokens.get(&message.account) else {
            return SendOutcome::failed("unknown_account", "the bot is not configured here");
        };
        if token.is_empty() {
            return SendOutcome::failed(
                "no_bot_token",
                "the bot can only receive: it has no token",
            );
        }
        if !message.attachments.is_empty() {
            return SendOutcome::failed(
                "attachments_not_supported",
                "files cannot be sent on this channel yet",
            );
        }
        let Some(target) = Target::of(message) else {
            return SendOutcome::failed("no_recipient", "the conversation names no chat");
        };
        let body = if message.text.is_empty() {
            text::html_to_text(&message.html)
        } else {
            message.text.clone()
        };
        send_parts(&text::split(&body, MAX_TEXT), |index, part| {
            let request =
                target.request(part, (index == 0).then_some(message.in_reply_to.as_str()));
            self.send_to(token, request)
        })
        .await
    }

    /// The bot: what is before the API limits each of them.
    fn lane(&self, message: &MessageQueued) -> String {
        message.account.clone()
    }
}

/// Where an answer goes.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    chat: i64,
    business: Option<String>,
}

impl Target {
    /// The chat of the conversation key, which the connector made itself; else the private chat of the recipient.
    fn of(message: &MessageQueued) -> Option<Self> {
        if let Some(rest) = message.conversation_key.strip_prefix("business:") {
            let (business, chat) = rest.rsplit_once(':')?;
            return Some(Self {
                chat: chat.parse().ok()?,
                business: Some(business.to_owned()),
            });
        }
        let recipient = message
            .recipient
            .as_ref()
            .map(|identity| identity.value.as_str());
        let chat = message
            .conversation_key
            .parse()
            .ok()
            .or_else(|| recipient?.parse().ok())?;
        Some(Self {
            chat,
            business: None,
        })
    }

    fn request(&self, text: &str, in_reply_to: Option<&str>) -> Value {
        let mut request = json!({ "chat_id": self.chat, "text": text });
        if let Some(business) = &self.business {
            request["business_connection_id"] = Value::from(business.as_str());
        }
        let answered = in_reply_to
            .and_then(|id| id.rsplit_once(':'))
            .and_then(|(_, id)| id.parse::<i64>().ok());
        if let Some(id) = answered {
            request["reply_parameters"] =
                json!({ "message_id": id, "allow_sending_without_reply": true });
        }
        request
    }

    /// As in [`super::message::Place::message`], so that an answer to it is recognised.
    fn external_id(chat: &str, business: Option<&str>, id: &str) -> String {
        business.map_or_else(
            || format!("{chat}:{id}"),
            |business| format!("{business}:{chat}:{id}"),
        )
    }
}

fn classify(body: &Value) -> Answer {
    if read::flag(body, "ok") {
        let ids = read::text(body, "result.chat.id").zip(read::text(body, "result.message_id"));
        let business = read::text(body, "result.business_connection_id");
        return Answer::Outcome(match ids {
            Some((chat, id)) => SendOutcome::Sent {
                external_id: Target::external_id(&chat, business.as_deref(), &id),
            },
            None => {
                SendOutcome::unknown("no_message_id", "Telegram took the message but named no id")
            }
        });
    }
    if let Some(chat) = read::integer(body, "parameters.migrate_to_chat_id") {
        return Answer::Moved(chat);
    }
    let code = read::integer(body, "error_code").unwrap_or(0);
    let description = read::text_or_empty(body, "description").to_lowercase();
    Answer::Outcome(match code {
        // Of a chat or of the bot: it does not say. The others of the bot find out by themselves.
        429 => SendOutcome::Throttled {
            rests: Rests::Conversation,
            after: read::integer(body, "parameters.retry_after")
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map(Duration::from_secs),
            code: "429".to_owned(),
            text: "Telegram limits our requests".to_owned(),
        },
        // Telegram says so itself, so the message was not taken.
        500.. => SendOutcome::retry(code.to_string(), "Telegram has a fault"),
        401 | 404 => SendOutcome::retry(
            "unauthorized",
            "Telegram refuses our bot token: the bot must be set up again",
        ),
        403 => SendOutcome::failed(
            "blocked",
            "the customer blocked the bot, or never started it",
        ),
        400 if description.contains("chat not found") => SendOutcome::failed(
            "chat_not_found",
            "the customer never wrote to this bot, or deleted the account",
        ),
        _ => SendOutcome::failed(code.to_string(), "Telegram refused the message"),
    })
}

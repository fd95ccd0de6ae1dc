//! What the vendors post to us: a WhatsApp and a Telegram webhook, signed as theirs are.

use anyhow::{Context as _, bail};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use sha2::Sha256;

use super::settings::{DemoSettings, TelegramSettings, WhatsappSettings};

/// `X-Hub-Signature-256` of a body: HMAC-SHA256 over its raw bytes with the secret of the Meta app.
pub(crate) fn meta_signature(app_secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(app_secret.as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A message that somebody sent by WhatsApp.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WhatsappMessage<'a> {
    /// The sender's number, digits only.
    pub(crate) wa_id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) id: &'a str,
    pub(crate) text: &'a str,
    /// Unix seconds.
    pub(crate) at: i64,
}

/// The webhook body of a message (Cloud API, field "messages").
pub(crate) fn whatsapp_message(account: &WhatsappSettings, message: &WhatsappMessage<'_>) -> Value {
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": metadata(account),
        "contacts": [{ "profile": { "name": message.name }, "wa_id": message.wa_id }],
        "messages": [{
            "from": message.wa_id, "id": message.id, "timestamp": message.at.to_string(),
            "type": "text", "text": { "body": message.text },
        }],
    });
    envelope(&value)
}

/// The webhook body of a status of a message of ours; `ours` is its `biz_opaque_callback_data`.
pub(crate) fn whatsapp_status(
    account: &WhatsappSettings,
    id: &str,
    ours: &str,
    to: &str,
    status: &str,
    at: i64,
) -> Value {
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": metadata(account),
        "statuses": [{
            "id": id, "status": status, "timestamp": at.to_string(), "recipient_id": to, "biz_opaque_callback_data": ours,
        }],
    });
    envelope(&value)
}

fn metadata(account: &WhatsappSettings) -> Value {
    json!({ "display_phone_number": "999000000", "phone_number_id": account.phone_number_id })
}

fn envelope(value: &Value) -> Value {
    json!({
        "object": "whatsapp_business_account",
        "entry": [{ "id": "demo", "changes": [{ "field": "messages", "value": value }] }],
    })
}

/// Posts a webhook as Meta does.
pub(crate) async fn post_whatsapp(
    http: &reqwest::Client,
    base: &str,
    account: &WhatsappSettings,
    body: &Value,
) -> anyhow::Result<()> {
    let body = serde_json::to_vec(body)?;
    let url = format!("{base}/webhooks/whatsapp/{}", account.account);
    let request = http.post(&url).header(
        "X-Hub-Signature-256",
        meta_signature(&account.app_secret, &body),
    );
    post(
        request.header(CONTENT_TYPE, "application/json").body(body),
        &url,
    )
    .await
}

/// A message that somebody sent to the bot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TelegramMessage<'a> {
    pub(crate) user: i64,
    pub(crate) first_name: &'a str,
    pub(crate) last_name: &'a str,
    pub(crate) message_id: i64,
    pub(crate) text: &'a str,
    /// Unix seconds.
    pub(crate) at: i64,
}

/// The update of a message in a private chat (Bot API).
pub(crate) fn telegram_update(update_id: i64, message: &TelegramMessage<'_>) -> Value {
    let TelegramMessage {
        user,
        first_name,
        last_name,
        message_id,
        text,
        at,
    } = message;
    json!({
        "update_id": update_id,
        "message": {
            "message_id": message_id,
            "from": {
                "id": user, "is_bot": false, "first_name": first_name, "last_name": last_name, "language_code": "en",
            },
            "chat": { "id": user, "type": "private", "first_name": first_name, "last_name": last_name },
            "date": at,
            "text": text,
        },
    })
}

/// Posts an update as Telegram does.
pub(crate) async fn post_telegram(
    http: &reqwest::Client,
    settings: &DemoSettings,
    bot: &TelegramSettings,
    update: &Value,
) -> anyhow::Result<()> {
    let url = format!("{}/webhooks/telegram/{}", settings.http, bot.account);
    let request = http
        .post(&url)
        .header("X-Telegram-Bot-Api-Secret-Token", &bot.secret_token)
        .json(update);
    post(request, &url).await
}

async fn post(request: reqwest::RequestBuilder, url: &str) -> anyhow::Result<()> {
    let answer = request
        .send()
        .await
        .with_context(|| format!("cannot reach {url}: is `solmu serve` running there?"))?;
    let status = answer.status();
    if !status.is_success() {
        bail!(
            "{url} answered {status} to a signed webhook: is its secret the one of the configuration file?"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> WhatsappSettings {
        WhatsappSettings {
            account: "main".to_owned(),
            phone_number_id: "106".to_owned(),
            app_secret: "s".to_owned(),
        }
    }

    #[test]
    fn the_signature_is_hmac_sha256_in_hexadecimal() {
        // RFC 4231, test case 2.
        assert_eq!(
            meta_signature("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn bodies_have_the_vendors_shape() {
        let message = WhatsappMessage {
            wa_id: "999123",
            name: "Pekka",
            id: "wamid.1",
            text: "Hei",
            at: 7,
        };
        let body = whatsapp_message(&account(), &message);
        let value = &body["entry"][0]["changes"][0]["value"];
        assert_eq!(value["metadata"]["phone_number_id"], "106");
        assert_eq!(value["messages"][0]["text"]["body"], "Hei");
        assert_eq!(value["messages"][0]["timestamp"], "7");
        assert_eq!(value["contacts"][0]["wa_id"], value["messages"][0]["from"]);
        let status = whatsapp_status(&account(), "wamid.2", "m", "999123", "delivered", 8);
        let status = &status["entry"][0]["changes"][0]["value"]["statuses"][0];
        assert_eq!(
            (&status["status"], &status["biz_opaque_callback_data"]),
            (&json!("delivered"), &json!("m"))
        );
        let message = TelegramMessage {
            user: 5,
            first_name: "Emma",
            last_name: "Brown",
            message_id: 9,
            text: "Hi",
            at: 7,
        };
        let update = telegram_update(1, &message);
        assert_eq!(
            (&update["message"]["chat"]["id"], &update["message"]["date"]),
            (&json!(5), &json!(7))
        );
    }
}

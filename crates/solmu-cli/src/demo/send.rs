//! The first half of the demo: every channel gets its messages, through its real protocol.

use std::time::Duration;

use serde::Serialize;
use solmu_domain::clock::Clock;

use super::{
    cast::{self, Cast},
    chat::{self, Visitor},
    form::{Answers, Page},
    mails::{self, DemoMail},
    settings::DemoSettings,
    webhooks::{
        TelegramMessage, WhatsappMessage, post_telegram, post_whatsapp, telegram_update,
        whatsapp_message,
    },
};
use crate::{
    output::Output,
    smtp::{Connection, Mail, Reply},
};

/// Between two tries of a mail that was put off, and how often it is tried.
const PUT_OFF: (Duration, u32) = (Duration::from_millis(500), 20);

/// What was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sent {
    pub(crate) email: usize,
    pub(crate) whatsapp: usize,
    pub(crate) telegram: usize,
    pub(crate) chat: usize,
    pub(crate) form: usize,
    /// Mails that came twice.
    pub(crate) repeated: usize,
    /// Channels that were left out, and why.
    pub(crate) left_out: Vec<String>,
}

impl Sent {
    /// Messages of all channels.
    pub(crate) fn messages(&self) -> usize {
        self.email + self.whatsapp + self.telegram + self.chat + self.form
    }

    /// Messages that are no mails.
    pub(crate) fn others(&self) -> usize {
        self.messages() - self.email
    }
}

/// Sends everything.
pub(crate) async fn send(
    out: Output,
    http: &reqwest::Client,
    settings: &DemoSettings,
    cast: &Cast,
    mails: &[DemoMail],
    clock: &dyn Clock,
) -> anyhow::Result<Sent> {
    let mut sent = Sent::default();
    // Opened first: the form does not take what is posted sooner than a person can type.
    let page = Page::open(http, &settings.http, &settings.form, "fi").await?;
    send_mails(out, settings, mails, &mut sent).await?;
    send_webhooks(out, http, settings, cast, clock, &mut sent).await?;
    let visitor = Visitor {
        name: cast::AINO,
        email: &cast.aino_email,
        language: "fi",
    };
    chat::say(
        &settings.http,
        &settings.inbox,
        &visitor,
        &cast.id("demo"),
        cast::CHAT_TEXT,
    )
    .await?;
    sent.chat = 1;
    out.progress("  chat      1 message over a WebSocket, acknowledged");
    let answers = Answers {
        name: cast::AINO,
        email: &cast.aino_email,
        subject: cast::FORM_SUBJECT,
        message: cast::FORM_TEXT,
    };
    page.submit(http, &answers).await?;
    sent.form = 1;
    out.progress("  form      1 post of the contact form");
    Ok(sent)
}

async fn send_mails(
    out: Output,
    settings: &DemoSettings,
    mails: &[DemoMail],
    sent: &mut Sent,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(&settings.smtp).await?;
    for (index, mail) in mails.iter().enumerate() {
        let wire = Mail {
            from: &mail.from,
            to: &settings.recipient,
            bytes: &mail.bytes,
        };
        let reply = deliver(&mut connection, wire).await?;
        if !reply.is_positive() {
            sent.left_out.push(format!("{}: {reply}", mail.name));
            continue;
        }
        sent.email += 1;
        let id = mails::header(&mail.bytes, "Message-ID");
        let earlier = mails[..index]
            .iter()
            .any(|other| id.is_some() && mails::header(&other.bytes, "Message-ID") == id);
        sent.repeated += usize::from(earlier);
    }
    connection.quit().await?;
    out.progress(format!(
        "  e-mail    {} mails over SMTP, {} of them sent before",
        sent.email, sent.repeated
    ));
    Ok(())
}

/// Sends a mail as a mail server does: again, if it is put off.
async fn deliver(connection: &mut Connection, mail: Mail<'_>) -> anyhow::Result<Reply> {
    let mut tries = 0;
    loop {
        let reply = connection.send(mail).await?;
        tries += 1;
        if !reply.is_transient() || tries >= PUT_OFF.1 {
            return Ok(reply);
        }
        tokio::time::sleep(PUT_OFF.0).await;
    }
}

async fn send_webhooks(
    out: Output,
    http: &reqwest::Client,
    settings: &DemoSettings,
    cast: &Cast,
    clock: &dyn Clock,
    sent: &mut Sent,
) -> anyhow::Result<()> {
    let at = clock.now().as_second();
    match &settings.whatsapp {
        Some(account) => {
            let id = format!("wamid.{}.1", cast.run);
            let message = WhatsappMessage {
                wa_id: &cast.pekka_phone,
                name: cast::PEKKA,
                id: &id,
                text: cast::WHATSAPP_TEXT,
                at,
            };
            post_whatsapp(
                http,
                &settings.http,
                account,
                &whatsapp_message(account, &message),
            )
            .await?;
            sent.whatsapp = 1;
            out.progress("  WhatsApp  1 message in a signed webhook");
        }
        None => sent
            .left_out
            .push("whatsapp: no account in the configuration".to_owned()),
    }
    match &settings.telegram {
        Some(bot) => {
            let (first_name, last_name) = cast::EMMA;
            let message = TelegramMessage {
                user: cast.emma_user,
                first_name,
                last_name,
                message_id: 1,
                text: cast::TELEGRAM_TEXT,
                at,
            };
            post_telegram(
                http,
                settings,
                bot,
                &telegram_update(cast.emma_user, &message),
            )
            .await?;
            sent.telegram = 1;
            out.progress("  Telegram  1 message in a webhook with its secret token");
        }
        None => sent
            .left_out
            .push("telegram: no bot in the configuration".to_owned()),
    }
    Ok(())
}

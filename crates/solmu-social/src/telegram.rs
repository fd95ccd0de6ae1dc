//! Telegram bots: webhooks in, messages out.

pub(crate) mod message;
mod send;
pub(crate) mod update;
pub(crate) mod webhook;

pub(crate) use send::TelegramSender;

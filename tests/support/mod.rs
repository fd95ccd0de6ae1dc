//! What the tests share: the program under test, and the outside world around it.

mod api;
mod chat;
mod home;
mod letter;
mod load;
mod ports;
mod process;
mod relay;
mod settings;
mod smtp;
mod vendors;
mod wait;

pub(crate) use api::Api;
pub(crate) use chat::Visitor;
pub(crate) use home::{Engine, Home};
pub(crate) use letter::{Arrived, Letter};
pub(crate) use load::{Load, Sent, Told};
pub(crate) use ports::Ports;
pub(crate) use process::{Solmu, binary, command};
pub(crate) use relay::Relay;
pub(crate) use settings::{Settings, TELEGRAM_SECRET, WHATSAPP_NUMBER, WHATSAPP_SECRET};
pub(crate) use smtp::Smtp;
pub(crate) use vendors::{
    Vendors, meta_signature, telegram_update, whatsapp_message, whatsapp_status,
};
pub(crate) use wait::{until, wait};

//! WhatsApp Cloud API: webhooks in, messages out.

pub(crate) mod envelope;
pub(crate) mod message;
mod send;
pub(crate) mod status;
pub(crate) mod vendor_error;
pub(crate) mod webhook;

pub(crate) use send::{WhatsappSender, lost, unreadable};

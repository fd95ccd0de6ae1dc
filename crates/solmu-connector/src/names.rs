//! The names of channels: in ids, metrics, rows and subjects. They never change, because ids are made from them.

use solmu_proto::types::v1::Channel;

/// The name of a channel, e.g. "whatsapp".
#[must_use]
pub const fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Unspecified => "unspecified",
        Channel::Email => "email",
        Channel::Chat => "chat",
        Channel::Form => "form",
        Channel::Whatsapp => "whatsapp",
        Channel::Telegram => "telegram",
    }
}

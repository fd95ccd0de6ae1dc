//! What a mail says.
//!
//! A mail is taken apart ([`parse`]) into our own types ([`mail`]), judged ([`automatic`], [`authenticity`]) and tied to
//! what we sent by signatures of ours in an address or a Message-ID ([`reply_address`]). No IO and no channel: the
//! connector, the import and the command line read mail with the same code.

pub mod address;
pub mod authenticity;
pub mod automatic;
pub mod mail;
pub mod parse;
pub mod reply_address;
#[cfg(test)]
mod testing;

//! What a mail says.
//!
//! A mail is taken apart ([`parse`]) into our own types ([`mail`]), judged ([`automatic`], [`authenticity`]), its new part
//! told from what it quotes ([`quotes`]), and tied to other mail by its ids ([`threading`]) and to what we sent by
//! signatures of ours in an address or a Message-ID ([`reply_address`]). No IO and no channel: the connector, the import
//! and the command line ([`describe`]) read mail with the same code.

pub mod address;
pub mod authenticity;
pub mod automatic;
pub mod describe;
pub mod mail;
pub mod parse;
pub mod quotes;
#[cfg(test)]
mod read_tests;
pub mod reply_address;
#[cfg(test)]
mod sample_tests;
#[cfg(test)]
mod testing;
pub mod threading;

//! Outside experts: people whom an agent asks about a ticket, and who never meet its requester.
//!
//! Each expert gets a mail of their own with a reply address that is signed for a side conversation and not for the
//! ticket. So what they answer finds its way back as an internal note, whoever forwards that mail to whomever, and
//! whoever holds the address can do nothing else with it: it names no ticket. Mail of an expert that comes any other
//! way is mail of a stranger.

pub(crate) mod reply;

//! Stored mail: what an import reads and where it was.
//!
//! [`Source`] finds mbox files, Maildirs and .eml files under a path and gives their mails one by one, in an order that is
//! the same on each run; [`Journal`] says what of them was done. Neither knows what a mail becomes, so that both can be
//! tried without a server.

mod files;
mod journal;
mod left_out;
mod mbox;
mod source;

pub use journal::{FileId, Journal, Step};
pub use left_out::LeftOut;
pub use source::{Content, Extent, Source, SourceError, StoredMail};

//! Whether a message is about the same matter as a ticket.
//!
//! A customer who wrote a mail on Monday asks in the chat on Tuesday how it goes. Three things tell that both are one
//! matter, in order of certainty: the message names the number of the ticket, both name the same order or invoice, or
//! both use the same words. This crate says which of them holds and how strongly; who the writer is, and what is done
//! about it, is decided elsewhere. Everything here is a pure function of texts, so that the same two texts give the
//! same answer whichever came first.
//!
//! Learned vectors were rejected: they need a model for each language, cannot be explained to whoever asks why two
//! tickets were put together, and change with each release.

mod judge;
mod reference;
mod words;

pub use judge::{Ground, Likeness, Reader, Settings, Writing};
pub use reference::{Label, PatternError, Reference};
pub use words::{Bag, similarity};

//! Hostile bytes for everything that reads mail.
//!
//! `cargo fuzz` needs a nightly compiler; this does not, and it knows what its inputs are made of: mails by their tree of
//! parts, dialogues by their commands. It has no view of the branches that an input takes. Instead each reader says in
//! which way it read an input ([`targets::Target::read`]), and an input that is read in a new way joins those that are
//! changed further.
//!
//! A reader fails by a panic, by an assertion of what must always hold, by time or by memory. Everything that dies with
//! the process (a stack that overflows, memory that is gone, a loop without an end) is seen by a second process, which
//! finds the input in a file: each is written there before it is read.

pub mod chance;
mod change;
mod grammar;
pub mod host;
pub mod pool;
mod seeds;
pub mod supervisor;
pub mod targets;
pub mod worker;

#[cfg(test)]
mod tests;

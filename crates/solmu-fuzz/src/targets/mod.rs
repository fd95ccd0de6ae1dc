//! What is fed. Each target reads an input in every way that the product does, and asserts what must always hold.

mod addresses;
mod answers;
mod desk;
mod dialogue;
mod filters;
mod imap;
mod mail;
mod parts;
mod quotes;
mod results;
mod signatures;

use std::{collections::hash_map::DefaultHasher, hash::Hasher as _};

use crate::chance::Chance;

/// Longest input of a target that says nothing else, in bytes.
const LONGEST: usize = 64 * 1024;

/// A reader of hostile bytes.
pub trait Target {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Inputs to begin with.
    fn seeds(&self) -> Vec<Vec<u8>>;

    /// Pieces that mean something to it.
    fn words(&self) -> &'static [&'static str] {
        &[]
    }

    /// An input by its own rules, if it has some.
    fn make(&self, _chance: &mut Chance) -> Option<Vec<u8>> {
        None
    }

    /// Longest input in bytes.
    fn longest(&self) -> usize {
        LONGEST
    }

    /// Reads `input` and says in which way: a number that is the same for inputs that are read alike.
    ///
    /// # Panics
    /// Where something does not hold.
    fn read(&mut self, input: &[u8]) -> u64;
}

/// All targets, in the order in which they take turns.
///
/// # Errors
/// If there is no temporary folder or no free port for the SMTP server.
pub fn all() -> anyhow::Result<Vec<Box<dyn Target>>> {
    let mut targets: Vec<Box<dyn Target>> = vec![
        Box::new(mail::MailTarget::default()),
        Box::new(addresses::AddressTarget),
        Box::new(quotes::QuoteTarget),
        Box::new(results::ResultsTarget::default()),
        Box::new(signatures::SignatureTarget::default()),
        Box::new(answers::AnswerTarget::default()),
        Box::new(filters::FilterTarget::default()),
        Box::new(imap::ImapTarget::new()?),
        Box::new(dialogue::DialogueTarget::new()?),
    ];
    targets.extend(parts::all());
    Ok(targets)
}

/// A number for what was noticed of an input.
fn way(noticed: impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    noticed.hash(&mut hasher);
    hasher.finish()
}

/// How large something is, roughly: 0, 1, 2, 4, 8 ...
fn size_class(count: usize) -> u32 {
    usize::BITS - count.leading_zeros()
}

//! The words of a text as the search keeps them, and as it is asked for them: both sides come by here.
//!
//! A text is parted into words ([`lexing`]), and a word has stems ([`lexemes`]). Pure: no database, no clock.

mod digits;
mod finnish_verbs;
pub mod lexemes;
pub mod lexing;

pub use digits::FEWEST as FEWEST_DIGITS;

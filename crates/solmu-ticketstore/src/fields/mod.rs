//! What a desk sorts its tickets by: category, organisations and fields of its own.
//!
//! A value is checked when it is set and stored in one canonical text, so that equal values are equal bytes to filters,
//! rules and the index. What is stored is never checked again: a definition that becomes narrower, or is archived, takes
//! nothing from tickets. Columns per field were rejected: a definition would be a migration.

pub mod admin;
mod category;
mod decimal;
mod definition;
mod organizations;
mod value;

pub use category::category;
pub use definition::{Definition, Definitions, Kind, definitions};
pub use organizations::{of_contacts, unknown};
pub use value::canonical;

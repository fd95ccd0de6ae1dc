//! Configured secrets, and the signatures that vendors make with them: who may post to us.

mod secret;
pub mod signature;

pub use secret::Secret;

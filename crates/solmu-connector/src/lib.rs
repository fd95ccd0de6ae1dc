//! What every connector shares, so that a new channel is only its own protocol.
//!
//! A connector proves where a request comes from ([`signature`]), keeps the original ([`raw`], [`object_store`]), makes
//! the text safe (`solmu-text`) and hands the normalised event to [`intake`], which answers once the bus has it on disk.
//! Answers to customers go the other way through [`outbound`], which knows what was sent and never sends twice.

pub mod address;
pub mod http;
pub mod intake;
pub mod limit;
mod names;
pub mod oauth;
pub mod object_store;
pub mod outbound;
pub mod raw;

pub use intake::{InboundEvent, Intake, IntakeConfig, IntakeError};
pub use names::channel_name;
pub use oauth::{OauthConfig, OauthError, TokenSource};
pub use object_store::ObjectStore;
pub use solmu_secret::signature;

//! Who a mail is really from, where we are the mail exchanger ourselves; and our own signature on what we send.
//!
//! A thin cover of mail-auth, so that its next version changes one crate: [`Verifier`] checks SPF (RFC 7208), DKIM
//! (RFC 6376), DMARC (RFC 9989) and ARC (RFC 8617) of a mail that comes in, [`Signer`] writes DKIM signatures. The
//! outcome never decides whether a mail is taken: a name server that does not answer costs a bounded wait, and the
//! sender is not verified.

mod config;
mod dns;
mod outcome;
mod sign;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod verify;

pub use config::{Algorithm, DkimConfig, DnsConfig, Limits};
pub use dns::{Dns, DnsError};
pub use outcome::{Outcome, Policy};
pub use sign::{SignError, Signer};
pub use verify::{Settings, Submission, Verifier};

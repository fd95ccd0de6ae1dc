//! Puts our DKIM signature on a mail whose bytes are final.

use std::sync::Arc;

use jiff::Timestamp;
use solmu_connector::outbound::SendOutcome;
use solmu_mailauth::Signer;

/// A mail larger than this, in bytes, is hashed on a thread of its own, so that it does not hold up others.
const OWN_THREAD_BYTES: usize = 1024 * 1024;

/// The mail with a signature of each key of its From domain. A mail that cannot be signed now waits: unsigned it could
/// end among the spam.
pub(crate) async fn sign(
    signer: &Arc<Signer>,
    mut mail: Vec<u8>,
    now: Timestamp,
) -> Result<Vec<u8>, SendOutcome> {
    if signer.is_empty() {
        return Ok(mail);
    }
    let signer = Arc::clone(signer);
    let large = mail.len() > OWN_THREAD_BYTES;
    let work = move || signer.sign(&mut mail, now).map(|_| mail);
    let outcome = if large {
        // The thread ends early only when the process does.
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| not_signed())?
    } else {
        work()
    };
    outcome.map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a mail could not be signed"
        );
        not_signed()
    })
}

fn not_signed() -> SendOutcome {
    SendOutcome::retry("not_signed", "the mail could not be signed")
}

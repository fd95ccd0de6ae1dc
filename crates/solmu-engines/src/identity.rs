//! As whom the engines run. PostgreSQL refuses root, so root becomes somebody without rights first.

use nix::unistd::{Uid, User, geteuid};

use crate::error::EngineError;

/// As whom the engines run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunAs {
    /// We are an ordinary user.
    Ourselves,
    /// We are root and become this user.
    User {
        /// Its name, for messages.
        name: String,
        /// Its user id.
        uid: u32,
        /// Its primary group, the only one it keeps.
        gid: u32,
    },
}

/// Decides as whom the engines run; `owner_of_data` is the user id that owns existing data. Root goes on as that user
/// rather than giving the data away: `sudo` once must not lock the owner out.
pub(crate) fn run_as(owner_of_data: Option<u32>) -> Result<RunAs, EngineError> {
    let ourselves = geteuid();
    let entry = |uid: Uid| User::from_uid(uid).ok().flatten();
    if !ourselves.is_root() {
        return entry(ourselves)
            .map(|_| RunAs::Ourselves)
            .ok_or(EngineError::NoPasswdEntry(ourselves.as_raw()));
    }
    let owner = owner_of_data
        .filter(|uid| *uid != 0)
        .and_then(|uid| entry(Uid::from_raw(uid)));
    let named = |name: &str| User::from_name(name).ok().flatten();
    let user = owner
        .or_else(|| named("postgres"))
        .or_else(|| named("nobody"))
        .ok_or(EngineError::NoUnprivilegedUser)?;
    Ok(RunAs::User {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
    })
}

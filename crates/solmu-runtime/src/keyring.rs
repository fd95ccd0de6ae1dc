//! Keys that sign what comes back to us from outside: reply addresses, Message-IDs, resume tokens.
//!
//! The first key signs, all verify, so a key is rotated by putting a new one in front and dropping the old one when
//! its signatures may stop working. Keys come from configuration; a laptop that has none gets them made once, in a
//! file that only its user can read. Replicas must be given the same keys: a signature of one must verify at another.

use std::{
    fmt, fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_domain::{
    rng::Rng,
    signed::{KeyError, Signer},
};

use crate::config::Secret;

/// The name of the file in the data directory.
const FILE: &str = "signing-keys";
/// Bytes of a generated key: the block of SHA-256's output, beyond which HMAC gains nothing.
const KEY_BYTES: usize = 32;

/// Signing keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecretsConfig {
    /// Keys for signed ids, one `id:base64` per line or separated by commas; the first signs, all verify. An id has 1 to 4
    /// characters of a-z and 2-7, a key at least 16 bytes. Empty: a key is made in the data directory.
    pub signing_keys: Secret,
}

/// Keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// An entry is not `id:base64`.
    #[error("signing key {position} is not of the form id:base64")]
    Malformed {
        /// Which entry, from 1. Its text is not shown.
        position: usize,
    },
    /// A key id or a secret is not acceptable.
    #[error("signing keys cannot be used")]
    Key(#[from] KeyError),
    /// The file cannot be read or made.
    #[error("cannot read or make the key file '{path}'")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// The keys of a deployment. Cheap to clone.
#[derive(Clone)]
pub struct Keyring {
    signer: Arc<Signer>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring").field(&self.signer).finish()
    }
}

impl Keyring {
    /// Takes `(key id, secret)` pairs, the signing one first.
    pub fn new(keys: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, KeyringError> {
        Ok(Self {
            signer: Arc::new(Signer::new(keys)?),
        })
    }

    /// The keys of the configuration or, when it has none, those of the file in `data_dir`, which is made if missing.
    pub fn load(
        config: &SecretsConfig,
        data_dir: &Path,
        rng: &dyn Rng,
    ) -> Result<Self, KeyringError> {
        let configured = config.signing_keys.expose();
        if configured.trim().is_empty() {
            Self::parse(&read_or_make(&data_dir.join(FILE), rng)?)
        } else {
            Self::parse(configured)
        }
    }

    /// Looks whether the keys of the configuration, if it has any, can be used.
    pub fn check(config: &SecretsConfig) -> Result<(), KeyringError> {
        match config.signing_keys.expose() {
            none if none.trim().is_empty() => Ok(()),
            keys => Self::parse(keys).map(drop),
        }
    }

    /// What signs and verifies.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    fn parse(text: &str) -> Result<Self, KeyringError> {
        let entries = text
            .split(['\n', ','])
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        let keys = entries.enumerate().map(|(index, entry)| {
            let malformed = || KeyringError::Malformed {
                position: index + 1,
            };
            let (id, secret) = entry.split_once(':').ok_or_else(malformed)?;
            let secret = STANDARD.decode(secret.trim()).map_err(|_| malformed())?;
            Ok((id.trim().to_owned(), secret))
        });
        Self::new(keys.collect::<Result<Vec<_>, KeyringError>>()?)
    }
}

fn read_or_make(path: &Path, rng: &dyn Rng) -> Result<String, KeyringError> {
    let failed = |source| KeyringError::File {
        path: path.to_owned(),
        source,
    };
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            make(path, rng).map_err(failed)?;
            // Read back, because another process may have been faster.
            fs::read_to_string(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes a new key so that it is there completely or not at all, and never over one that is there.
fn make(path: &Path, rng: &dyn Rng) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut secret = [0; KEY_BYTES];
    rng.fill(&mut secret);
    let draft = folder.join(format!(".{FILE}.{:016x}", rng.next_u64()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    let written = writeln!(file, "a:{}", STANDARD.encode(secret))
        .and_then(|()| file.sync_all())
        // A hard link, not a rename: it fails where a key is there already.
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::File::open(folder)?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use solmu_domain::rng::SeededRng;

    use super::*;

    fn configured(text: &str) -> SecretsConfig {
        SecretsConfig {
            signing_keys: Secret::new(text),
        }
    }

    #[test]
    fn keys_are_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        let config = SecretsConfig::default();
        let first = Keyring::load(&config, &data_dir, &SeededRng::new(1)).unwrap();
        let again = Keyring::load(&config, &data_dir, &SeededRng::new(2)).unwrap();
        let token = first.signer().sign("reply", b"ticket");
        assert!(again.signer().verify("reply", b"ticket", &token));

        let mode = fs::metadata(data_dir.join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(&data_dir).unwrap().count(),
            1,
            "no draft is left"
        );
    }

    #[test]
    fn a_key_that_is_there_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, "b:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
        make(&path, &SeededRng::new(1)).unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with("b:"));
    }

    #[test]
    fn the_first_key_signs_and_all_verify() {
        let (old, new) = (STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
        let data_dir = Path::new("/nonexistent");
        let rng = SeededRng::new(1);
        let before = Keyring::load(&configured(&format!("a:{old}")), data_dir, &rng).unwrap();
        let after =
            Keyring::load(&configured(&format!("b:{new}\na:{old}\n")), data_dir, &rng).unwrap();
        let token = before.signer().sign("reply", b"ticket");
        assert!(after.signer().verify("reply", b"ticket", &token));
        assert!(after.signer().sign("reply", b"ticket").starts_with("b."));
    }

    #[test]
    fn errors_do_not_show_keys() {
        let rng = SeededRng::new(1);
        let load = |text: &str| {
            Keyring::load(&configured(text), Path::new("/nonexistent"), &rng).unwrap_err()
        };
        let error = load("a:not base64 hunter2");
        assert_eq!(
            error.to_string(),
            "signing key 1 is not of the form id:base64"
        );
        assert!(matches!(
            load("TOOLONG:AAAA"),
            KeyringError::Key(KeyError::BadId(_))
        ));
        let good = STANDARD.encode([7; 32]);
        let shown = format!(
            "{:?}",
            Keyring::load(&configured(&format!("a:{good}")), Path::new("/"), &rng).unwrap()
        );
        assert!(!shown.contains(&good) && shown.contains('a'), "{shown}");
    }
}

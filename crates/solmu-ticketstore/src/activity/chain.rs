//! How entries hang together.

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use solmu_domain::rng::Rng;
use solmu_proto::ticket::v1::Activity;
use uuid::Uuid;

use super::note::Note;

/// SHA-256.
pub(super) type Hash = [u8; 32];
/// What stands before the first entry.
pub(super) const START: Hash = [0; 32];
/// Random bytes beside a reason: without them an erased one could be guessed from its digest.
const SALT: usize = 16;

/// An entry as it is stored.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) ticket: Uuid,
    pub(super) sequence: i64,
    pub(super) entry: Vec<u8>,
    pub(super) reason: String,
    pub(super) salt: Vec<u8>,
    pub(super) hash: Hash,
}

impl Link {
    /// `note` after the entry of that sequence and hash.
    pub(super) fn after((sequence, hash): (i64, Hash), note: Note, rng: &dyn Rng) -> Self {
        let mut salt = Vec::new();
        let mut digest = Vec::new();
        if !note.reason.is_empty() {
            salt = vec![0; SALT];
            rng.fill(&mut salt);
            digest = digest_of(&salt, &note.reason).to_vec();
        }
        let entry = Activity {
            sequence: sequence + 1,
            reason_digest: digest,
            ..note.entry
        };
        let entry = entry.encode_to_vec();
        Self {
            ticket: note.ticket,
            sequence: sequence + 1,
            hash: hash_of(&hash, &entry),
            entry,
            reason: note.reason,
            salt,
        }
    }
}

/// The hash of an entry after the one with the hash `before`. Both have one length or another: nothing can be moved
/// between them.
pub(super) fn hash_of(before: &Hash, entry: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(entry);
    hash.finalize().into()
}

/// What an entry says of its reason.
pub(super) fn digest_of(salt: &[u8], reason: &str) -> Hash {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(reason);
    hash.finalize().into()
}

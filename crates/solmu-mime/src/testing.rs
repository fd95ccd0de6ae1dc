//! What the tests of this crate share.

use std::path::PathBuf;

use solmu_domain::signed::Signer;

pub(crate) fn signer() -> Signer {
    Signer::new([("a".to_owned(), vec![1; 32])]).expect("the key is long enough")
}

/// A folder of samples of others, or `None` with a line that says so.
pub(crate) fn fixtures(folder: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/fixtures")
        .join(folder);
    if root.is_dir() {
        return Some(root);
    }
    eprintln!("the samples of '{folder}' are not here: this test did not run");
    None
}

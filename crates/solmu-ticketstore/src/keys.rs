//! Keys by which messages find each other, as they are stored: whoever chose them, an index takes them.

use uuid::Uuid;

/// Longest id or address that is stored as it is, in bytes: three of them fit into an index entry (2,704 bytes).
pub const KEY_MAX: usize = 800;

/// Takes the place of a key that is too long for an index; the same key always gives the same one.
pub fn folded(key: &str) -> String {
    let mut key = key.to_owned();
    fold(&mut key);
    key
}

/// As [`folded`], in its place.
pub fn fold(key: &mut String) {
    if key.len() > KEY_MAX {
        *key = format!(
            "folded:{}",
            Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes())
        );
    }
}

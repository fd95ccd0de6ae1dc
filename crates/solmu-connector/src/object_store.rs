//! Where raw originals and attachments lie: content-addressed and on disk before anybody is told.
//!
//! The key is the SHA-256 of the bytes, so that the same file sent to ten people is kept once, a retry overwrites
//! itself with itself, and a damaged file is noticed when read. An existing object is written again all the same: that
//! it is there does not mean that its folder was synced before a power cut.
//!
//! Behind it is the crate `object_store`, whose local folder writes a temporary file, syncs it, renames it and syncs
//! the folder. S3 and others are one more constructor and a feature of that crate.

use std::{os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use object_store::{
    ObjectStore as Backend, ObjectStoreExt as _, local::LocalFileSystem, path::Path as ObjectPath,
};
use sha2::{Digest as _, Sha256};

/// Largest object that is taken unless told otherwise: above the largest attachment of the channels (100 MB).
pub const DEFAULT_MAX_OBJECT_BYTES: usize = 110 * 1024 * 1024;

/// A shared handle to the store.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    backend: Arc<dyn Backend>,
    max_object_bytes: usize,
}

/// Where an object lies and how to check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    /// `ab/cd/<sha256>`.
    pub key: String,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
}

/// The store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum ObjectStoreError {
    /// The folder cannot be made or used.
    #[error("cannot open the object folder '{folder}'")]
    Open {
        /// The configured folder.
        folder: String,
        /// What the system says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Larger than the limit; nothing was kept.
    #[error("object of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Bytes given.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not a key of this store.
    #[error("malformed object key")]
    BadKey,
    /// There is no such object.
    #[error("no object '{key}'")]
    NotFound {
        /// The key asked for.
        key: String,
    },
    /// The bytes no longer fit their key.
    #[error("object '{key}' is damaged")]
    Damaged {
        /// The key asked for.
        key: String,
    },
    /// Disk or network.
    #[error("the object store failed")]
    Backend(#[source] object_store::Error),
}

impl ObjectStore {
    /// Opens a local folder, which is made if it is not there, closed to others: it holds what customers sent.
    pub fn open_local(folder: &Path) -> Result<Self, ObjectStoreError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ObjectStoreError::Open {
            folder: folder.display().to_string(),
            source,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| failed(error.into()))?;
        let local = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| failed(error.into()))?
            .with_fsync(true);
        Ok(Self {
            backend: Arc::new(local),
            max_object_bytes: DEFAULT_MAX_OBJECT_BYTES,
        })
    }

    /// The same store with another limit on the size of an object.
    #[must_use]
    pub fn with_max_object_bytes(self, max_object_bytes: usize) -> Self {
        Self {
            max_object_bytes,
            ..self
        }
    }

    /// Largest object that is taken, in bytes.
    #[must_use]
    pub fn max_object_bytes(&self) -> usize {
        self.max_object_bytes
    }

    /// Keeps `bytes`; when it answers they survive a power cut.
    pub async fn put(&self, bytes: impl Into<Bytes>) -> Result<ObjectRef, ObjectStoreError> {
        let bytes = bytes.into();
        if bytes.len() > self.max_object_bytes {
            return Err(ObjectStoreError::TooLarge {
                size: bytes.len(),
                limit: self.max_object_bytes,
            });
        }
        let object = ObjectRef::of(&bytes);
        let location = ObjectPath::from(object.key.as_str());
        self.backend
            .put(&location, bytes.into())
            .await
            .map_err(ObjectStoreError::Backend)?;
        Ok(object)
    }

    /// The bytes of `key`, checked against it.
    pub async fn get(&self, key: &str) -> Result<Bytes, ObjectStoreError> {
        let sha256 = sha256_of_key(key).ok_or(ObjectStoreError::BadKey)?;
        let failed = |error| match error {
            object_store::Error::NotFound { .. } => ObjectStoreError::NotFound {
                key: key.to_owned(),
            },
            other => ObjectStoreError::Backend(other),
        };
        let found = self
            .backend
            .get(&ObjectPath::from(key))
            .await
            .map_err(failed)?;
        let bytes = found.bytes().await.map_err(failed)?;
        if sha256_hex(&bytes) != sha256 {
            return Err(ObjectStoreError::Damaged {
                key: key.to_owned(),
            });
        }
        Ok(bytes)
    }

    /// Removes `key` unless it was written after `newest`; false if it was. What is not there, and what is no key of this
    /// store, counts as removed. A copy that is written between the look and the removal goes with it.
    pub async fn remove(&self, key: &str, newest: Timestamp) -> Result<bool, ObjectStoreError> {
        if sha256_of_key(key).is_none() {
            return Ok(true);
        }
        let location = ObjectPath::from(key);
        let found = match self.backend.head(&location).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(true),
            Err(other) => return Err(ObjectStoreError::Backend(other)),
        };
        if found.last_modified.timestamp_micros() > newest.as_microsecond() {
            return Ok(false);
        }
        match self.backend.delete(&location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(true),
            Err(other) => Err(ObjectStoreError::Backend(other)),
        }
    }

    /// Whether `key` is there; false for what is no key.
    pub async fn contains(&self, key: &str) -> Result<bool, ObjectStoreError> {
        if sha256_of_key(key).is_none() {
            return Ok(false);
        }
        match self.backend.head(&ObjectPath::from(key)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(other) => Err(ObjectStoreError::Backend(other)),
        }
    }
}

impl ObjectRef {
    /// The reference that `bytes` have in any store.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let sha256 = sha256_hex(bytes);
        Self {
            key: key_of_sha256(&sha256),
            sha256,
            size: bytes.len() as u64,
        }
    }
}

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The key of a digest in lower-case hexadecimal: two levels of folders keep each small.
fn key_of_sha256(sha256: &str) -> String {
    format!("{}/{}/{sha256}", &sha256[..2], &sha256[2..4])
}

/// The digest within a key, if it is one: nothing else ever reaches the file system.
fn sha256_of_key(key: &str) -> Option<&str> {
    let sha256 = key.get(6..)?;
    let is_digest = sha256.len() == 64
        && sha256
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_digest && key_of_sha256(sha256) == key).then_some(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, ObjectStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = ObjectStore::open_local(&folder.path().join("objects")).unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn what_was_put_can_be_read_by_its_key() {
        let (folder, store) = store();
        let object = store.put("hei").await.unwrap();
        assert_eq!(object, store.put("hei").await.unwrap());
        assert_eq!(object.size, 3);
        assert_eq!(
            object.key,
            format!(
                "{}/{}/{}",
                &object.sha256[..2],
                &object.sha256[2..4],
                object.sha256
            )
        );
        assert_eq!(store.get(&object.key).await.unwrap(), "hei");
        assert!(store.contains(&object.key).await.unwrap());
        let files = |path: &Path| std::fs::read_dir(path).unwrap().count();
        let folder = folder
            .path()
            .join("objects")
            .join(&object.sha256[..2])
            .join(&object.sha256[2..4]);
        assert_eq!(files(&folder), 1, "no temporary file may stay");
    }

    #[tokio::test]
    async fn what_was_not_written_again_is_removed() {
        let (_folder, store) = store();
        let object = store.put("hei").await.unwrap();
        let long_ago = Timestamp::UNIX_EPOCH;
        assert!(!store.remove(&object.key, long_ago).await.unwrap());
        assert!(store.contains(&object.key).await.unwrap());
        assert!(store.remove(&object.key, Timestamp::MAX).await.unwrap());
        assert!(!store.contains(&object.key).await.unwrap());
        for gone in [object.key.as_str(), "../../etc/passwd"] {
            assert!(store.remove(gone, Timestamp::MAX).await.unwrap(), "{gone}");
        }
    }

    #[tokio::test]
    async fn missing_damaged_and_foreign_keys_are_told_apart() {
        let (folder, store) = store();
        let object = store.put("hei").await.unwrap();
        let other = ObjectRef::of(b"other");
        assert!(matches!(
            store.get(&other.key).await,
            Err(ObjectStoreError::NotFound { .. })
        ));
        assert!(!store.contains(&other.key).await.unwrap());
        for key in [
            "../../etc/passwd",
            "",
            "ab/cd/ef",
            "ä/b/c",
            &object.key.to_uppercase(),
        ] {
            assert!(
                matches!(store.get(key).await, Err(ObjectStoreError::BadKey)),
                "{key}"
            );
        }
        std::fs::write(folder.path().join("objects").join(&object.key), "hex").unwrap();
        assert!(matches!(
            store.get(&object.key).await,
            Err(ObjectStoreError::Damaged { .. })
        ));
    }

    #[tokio::test]
    async fn too_large_objects_are_refused() {
        let (_folder, store) = store();
        let store = store.with_max_object_bytes(2);
        assert!(matches!(
            store.put("hei").await,
            Err(ObjectStoreError::TooLarge { size: 3, limit: 2 })
        ));
    }
}

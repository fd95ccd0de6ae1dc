//! Keeps the original bytes of what came in, so that a kind of message that is not understood today can be read again
//! tomorrow, and a dispute be settled.

use bytes::Bytes;
use solmu_proto::inbound::v1::{RawOriginal, raw_original::Place};

use crate::object_store::{ObjectRef, ObjectStore, ObjectStoreError};

/// Largest original that travels inside its event: 256 KiB. Larger ones would crowd the bus message limit of 1 MB.
pub const MAX_INLINE_BYTES: usize = 256 * 1024;

/// Keeps `bytes`: inside the event if they are small, else in the object store, synced before this answers.
pub async fn keep(
    store: &ObjectStore,
    bytes: &Bytes,
    content_type: &str,
) -> Result<RawOriginal, ObjectStoreError> {
    keep_shared(store, bytes, content_type, 1).await
}

/// Keeps the original of a batch that becomes `copies` events: in the object store where the copies together would be
/// larger than one may be, so that a request of a thousand elements does not become a thousand times its size.
pub async fn keep_shared(
    store: &ObjectStore,
    bytes: &Bytes,
    content_type: &str,
    copies: usize,
) -> Result<RawOriginal, ObjectStoreError> {
    let inline = bytes.len().saturating_mul(copies.max(1)) <= MAX_INLINE_BYTES;
    let (object, place) = if inline {
        (ObjectRef::of(bytes), Place::Inline(bytes.to_vec()))
    } else {
        let object = store.put(bytes.clone()).await?;
        let place = Place::ObjectKey(object.key.clone());
        (object, place)
    };
    Ok(RawOriginal {
        content_type: content_type.to_owned(),
        size_bytes: i64::try_from(object.size).unwrap_or(i64::MAX),
        sha256: object.sha256,
        place: Some(place),
    })
}

/// Reads an original back, from wherever it lies.
pub async fn read(store: &ObjectStore, raw: &RawOriginal) -> Result<Bytes, ObjectStoreError> {
    match &raw.place {
        Some(Place::Inline(bytes)) => Ok(Bytes::copy_from_slice(bytes)),
        Some(Place::ObjectKey(key)) => store.get(key).await,
        None => Err(ObjectStoreError::BadKey),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_originals_travel_and_large_ones_lie_in_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let store = ObjectStore::open_local(folder.path()).unwrap();
        let small = Bytes::from(vec![b'a'; MAX_INLINE_BYTES]);
        let large = Bytes::from(vec![b'a'; MAX_INLINE_BYTES + 1]);
        let kept = keep(&store, &small, "text/plain").await.unwrap();
        assert!(matches!(kept.place, Some(Place::Inline(_))));
        assert_eq!(read(&store, &kept).await.unwrap(), small);
        for (bytes, copies) in [(&large, 1), (&small, 2)] {
            let kept = keep_shared(&store, bytes, "text/plain", copies)
                .await
                .unwrap();
            assert!(matches!(kept.place, Some(Place::ObjectKey(_))));
            assert_eq!(kept.size_bytes, i64::try_from(bytes.len()).unwrap());
            assert_eq!(&read(&store, &kept).await.unwrap(), bytes);
        }
    }
}

//! Where the files of an answer are kept.

use std::{error::Error, fmt::Debug, pin::Pin};

use solmu_proto::types::v1::Attachment;

use super::NewFile;

/// What the store says when it fails.
pub type KeepError = Box<dyn Error + Send + Sync>;

/// The store's work on one file.
pub type Keeping<'a> = Pin<Box<dyn Future<Output = Result<Kept, KeepError>> + Send + 'a>>;

/// A file in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its key there.
    pub object_key: String,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// Where files lie, for those who add some.
pub trait Keep: Debug + Send + Sync + 'static {
    /// Keeps bytes; when it answers they survive a power cut.
    fn keep(&self, bytes: Vec<u8>) -> Keeping<'_>;
}

/// Keeps the files of an answer, before anything says that they are there. What is kept for an answer that is then
/// refused is a file that nobody names.
pub async fn keep_files(
    store: &dyn Keep,
    files: Vec<NewFile>,
) -> Result<Vec<Attachment>, KeepError> {
    let mut kept = Vec::with_capacity(files.len());
    for file in files {
        let size_bytes = i64::try_from(file.bytes.len()).unwrap_or(i64::MAX);
        let object = store.keep(file.bytes).await?;
        kept.push(Attachment {
            object_key: object.object_key,
            filename: file.filename,
            content_type: file.content_type,
            size_bytes,
            sha256: object.sha256,
            inline: !file.content_id.is_empty(),
            content_id: file.content_id,
        });
    }
    Ok(kept)
}

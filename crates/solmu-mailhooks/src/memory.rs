//! The seam to what all processes remember together.

use std::error::Error;

use jiff::Timestamp;

/// What a memory could not do now.
pub type MemoryError = Box<dyn Error + Send + Sync>;

/// Which tokens of signatures were used. Every process that takes a provider's requests must ask the same memory: a
/// token that is good once for each of them is good many times.
pub trait Memory: Send + Sync + 'static {
    /// Keeps that `token` came with `content` unless it came before, in one step; gives what it came with first. Both
    /// are SHA-256. It may be forgotten after `until`.
    fn first_content(
        &self,
        token: [u8; 32],
        content: [u8; 32],
        until: Timestamp,
    ) -> impl Future<Output = Result<[u8; 32], MemoryError>> + Send;
}

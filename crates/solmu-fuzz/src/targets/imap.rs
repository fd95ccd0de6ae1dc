//! What a mail server says over IMAP.

use solmu_imap::testing::read_responses;
use tokio::runtime::Runtime;

use super::{Target, way};
use crate::seeds;

/// Bytes of the largest literal that is kept here.
const LITERAL_MAX: usize = 4 * 1024;

/// Bytes of a server.
#[derive(Debug)]
pub(super) struct ImapTarget {
    runtime: Runtime,
}

impl ImapTarget {
    pub(super) fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        Ok(Self { runtime })
    }
}

impl Target for ImapTarget {
    fn name(&self) -> &'static str {
        "imap"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        seeds::imap()
    }

    fn words(&self) -> &'static [&'static str] {
        &seeds::IMAP_WORDS
    }

    fn read(&mut self, input: &[u8]) -> u64 {
        let reading = read_responses(input.to_vec(), LITERAL_MAX);
        let said = self.runtime.block_on(reading);
        let mut kinds: Vec<String> = said
            .into_iter()
            .map(|line| {
                line.chars()
                    .filter(|c| !c.is_ascii_digit())
                    .take(16)
                    .collect()
            })
            .collect();
        kinds.dedup();
        kinds.truncate(6);
        way(kinds)
    }
}

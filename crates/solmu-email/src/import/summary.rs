//! What an import says about itself.

use std::collections::BTreeMap;

use solmu_mailfiles::{Extent, LeftOut};

/// How far an import is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Mails read in this run.
    pub read: u64,
    /// Mails that the bus has on disk, of this run.
    pub accepted: u64,
    /// Mails that could not be taken.
    pub refused: u64,
    /// Files and folders that could not be read.
    pub unreadable: u64,
    /// Mails that earlier runs handed in.
    pub earlier: u64,
    /// Bytes that are done, those of earlier runs included.
    pub bytes: u64,
    /// Bytes that there are.
    pub total_bytes: u64,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Counts.
    pub progress: Progress,
    /// Files that are no mail for anybody, by why.
    pub left_out: LeftOut,
    /// Refused mails by why.
    pub causes: BTreeMap<&'static str, u64>,
    /// The first mails that were not taken: where they lie and why. At most [`Summary::NAMED`].
    pub refused: Vec<(String, String)>,
    /// The first files and folders that could not be read, and why. At most [`Summary::NAMED`].
    pub unreadable: Vec<(String, String)>,
}

impl Summary {
    /// How many of each kind are named.
    pub const NAMED: usize = 1_000;

    pub(super) fn of(extent: Extent) -> Self {
        Self {
            progress: Progress {
                earlier: extent.earlier,
                bytes: extent.done_bytes,
                total_bytes: extent.bytes,
                ..Progress::default()
            },
            left_out: extent.left_out,
            ..Self::default()
        }
    }

    /// Whether everything that was found is on the bus.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.progress.refused == 0 && self.progress.unreadable == 0
    }

    pub(super) fn seen(&mut self, bytes: u64) {
        self.progress.bytes += bytes;
    }

    pub(super) fn refuse(&mut self, place: String, cause: &'static str, why: String) {
        self.progress.refused += 1;
        *self.causes.entry(cause).or_default() += 1;
        if self.refused.len() < Self::NAMED {
            self.refused.push((place, why));
        }
    }

    pub(super) fn unreadable(&mut self, place: String, why: String) {
        self.progress.unreadable += 1;
        if self.unreadable.len() < Self::NAMED {
            self.unreadable.push((place, why));
        }
    }
}

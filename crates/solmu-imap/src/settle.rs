//! Marks or moves what was taken, also what an earlier connection left.
//!
//! A mail that is marked twice is marked; one that is copied twice is two mails. So where a server knows no MOVE (RFC
//! 6851), it is known before each COPY which copies were made already: mails that are flagged as deleted were copied,
//! and mails with our keyword were about to be. Of those nobody can say, so they stay where they are.

use crate::{
    error::ImapError,
    pass::Pass,
    settings::AfterImport,
    sink::{Event, Position, Sink},
};

/// Mails that are marked together when an earlier process did not come to it.
const SETTLE_CHUNK: usize = 200;

impl<S: Sink> Pass<'_, S> {
    /// Marks or moves; what the server refuses is tried again on the next connection.
    pub(crate) async fn settle(&mut self, uids: &[u32], up_to: u32) -> Result<(), ImapError> {
        if self.folder.unsettled {
            return Ok(());
        }
        if !uids.is_empty() {
            let settings = self.settings;
            let outcome = match &settings.after {
                AfterImport::Nothing => Ok(()),
                AfterImport::Mark => self.session.mark(uids).await,
                AfterImport::Move(folder) => self.move_to(uids, folder).await,
            };
            match outcome {
                Ok(()) => {}
                Err(error @ ImapError::Refused { .. }) => {
                    self.folder.unsettled = true;
                    self.told_unsettled(&error);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.folder.position.settled = up_to;
        self.care.settled(up_to);
        self.sink
            .settled(self.folder.position)
            .await
            .map_err(ImapError::Sink)
    }

    fn told_unsettled(&self, error: &ImapError) {
        self.sink.event(Event::Unsettled);
        tracing::warn!(
            mailbox = self.settings.name,
            error = error as &dyn std::error::Error,
            "mails were taken, but the server does not let us mark or move them"
        );
    }

    /// Marks or moves what an earlier connection took and did not come to.
    pub(crate) async fn catch_up(&mut self) -> Result<(), ImapError> {
        let Position { taken, settled, .. } = self.folder.position;
        if !self.settles() || settled >= taken {
            return Ok(());
        }
        let stay = self
            .sink
            .stay(self.folder.position)
            .await
            .map_err(ImapError::Sink)?;
        let mut uids = match self.session.present(settled + 1, taken).await {
            Ok(uids) => uids,
            Err(error @ ImapError::Refused { .. }) => {
                // New mail must not wait for old marks.
                self.folder.unsettled = true;
                self.told_unsettled(&error);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        uids.retain(|uid| !stay.contains(uid));
        let mut chunks = uids.chunks(SETTLE_CHUNK).peekable();
        while let Some(chunk) = chunks.next() {
            let end = chunk.last().copied().unwrap_or(taken);
            let end = if chunks.peek().is_none() { taken } else { end };
            self.settle(chunk, end).await?;
        }
        if uids.is_empty() {
            self.settle(&[], taken).await?;
        }
        Ok(())
    }

    /// Moves mails to another folder.
    async fn move_to(&mut self, uids: &[u32], folder: &str) -> Result<(), ImapError> {
        if self.session.can("MOVE") {
            return self.session.put_into("MOVE", uids, folder).await;
        }
        let flags = self.session.flags(uids).await?;
        let is_made = |uid: &u32| {
            self.care.copies.made.contains(uid) || flags.get(uid).is_some_and(|flags| flags.deleted)
        };
        let (made, open): (Vec<u32>, Vec<u32>) = flags.keys().copied().partition(is_made);
        let is_doubtful = |uid: &u32| {
            !self.care.copies.not_made.contains(uid)
                && flags.get(uid).is_some_and(|flags| flags.imported)
        };
        let (doubtful, open): (Vec<u32>, Vec<u32>) = open.into_iter().partition(is_doubtful);
        if !doubtful.is_empty() {
            self.sink.event(Event::Unsettled);
            tracing::warn!(
                mailbox = self.settings.name,
                mails = doubtful.len(),
                "mails may have been copied to their folder before the connection broke: they stay where they are"
            );
        }
        if !open.is_empty() {
            self.copy(&open, folder).await?;
        }
        let mut copied = made;
        copied.extend(open);
        copied.sort_unstable();
        if copied.is_empty() {
            return Ok(());
        }
        match self.session.remove(&copied).await {
            // The copies are there; to copy again would double them.
            Err(error @ ImapError::Refused { .. }) => {
                self.told_unsettled(&error);
                Ok(())
            }
            other => other,
        }
    }

    async fn copy(&mut self, uids: &[u32], folder: &str) -> Result<(), ImapError> {
        self.care.copies.not_made.extend(uids);
        if self.folder.selected.keeps_keywords {
            match self.session.mark(uids).await {
                // A server that does not let us write it down may still let us copy.
                Ok(()) | Err(ImapError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.care.copies.not_made.retain(|uid| !uids.contains(uid));
        let outcome = self.session.put_into("COPY", uids, folder).await;
        match &outcome {
            Ok(()) => self.care.copies.made.extend(uids),
            Err(ImapError::Refused { .. }) => self.care.copies.not_made.extend(uids),
            Err(_) => {}
        }
        outcome
    }
}

//! One look through a folder: what is new is fetched, handed over, and then marked or moved. In this order, so that a
//! crash at any point repeats work and never loses a mail.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use crate::{
    care::Care,
    error::ImapError,
    session::{Selected, Session},
    settings::{AfterImport, Limits, Settings},
    sink::{Event, MailContent, Position, Sink},
};

/// The folder of a connection.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) selected: Selected,
    pub(crate) position: Position,
    /// The server refused to mark or move; it is not asked again on this connection.
    pub(crate) unsettled: bool,
}

/// A look through a folder.
pub(crate) struct Pass<'a, S> {
    pub(crate) session: &'a mut Session,
    pub(crate) settings: &'a Settings,
    pub(crate) sink: &'a S,
    pub(crate) folder: &'a mut Folder,
    pub(crate) care: &'a mut Care,
    pub(crate) stop: &'a CancellationToken,
}

impl<S: Sink> Pass<'_, S> {
    /// Takes what came after the position. Returns how many mails that were.
    pub(crate) async fn run(&mut self) -> Result<usize, ImapError> {
        self.session.news = false;
        let Some(first) = self.folder.position.taken.checked_add(1) else {
            return Ok(0);
        };
        let uids = self.session.uids_from(first).await?;
        let size = self.settings.limits.batch_mails.max(1);
        let mut rest = uids.as_slice();
        while !rest.is_empty() && !self.stop.is_cancelled() {
            let (window, after) = rest.split_at(size.min(rest.len()));
            self.window(window, after).await?;
            rest = after;
        }
        Ok(uids.len())
    }

    async fn window(&mut self, uids: &[u32], after: &[u32]) -> Result<(), ImapError> {
        let sizes = self.sizes(uids).await?;
        let gone = uids.len().saturating_sub(sizes.len());
        if gone > 0 {
            self.sink.event(Event::Vanished(gone as u64));
        }
        let mails: Vec<(u32, u64)> = sizes.into_iter().collect();
        let mut rest = mails.as_slice();
        while !rest.is_empty() && !self.stop.is_cancelled() {
            let count = self.batch(rest);
            let later: Vec<u32> = rest[count..]
                .iter()
                .map(|(uid, _)| *uid)
                .chain(after.iter().copied())
                .collect();
            let taken = self.take(&rest[..count], &later).await?;
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// The sizes of mails that are there; 0 where the server does not tell. One mail that makes it refuse the question
    /// must not hide the others, and only a mail that is gone may be left out.
    async fn sizes(&mut self, uids: &[u32]) -> Result<BTreeMap<u32, u64>, ImapError> {
        let mut sizes = match self.session.sizes(uids).await {
            Ok(sizes) => sizes,
            Err(ImapError::Refused { .. }) => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        for uid in uids {
            if sizes.contains_key(uid) {
                continue;
            }
            match self.session.sizes(&[*uid]).await {
                Ok(alone) => sizes.extend(alone),
                Err(ImapError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
            if !sizes.contains_key(uid) && !self.is_gone(*uid).await? {
                sizes.insert(*uid, 0);
            }
        }
        Ok(sizes)
    }

    /// Whether the server says that a mail is not there. No answer is no such word.
    pub(crate) async fn is_gone(&mut self, uid: u32) -> Result<bool, ImapError> {
        match self.session.present(uid, uid).await {
            Ok(found) => Ok(found.is_empty()),
            Err(ImapError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many of the next mails go together.
    fn batch(&self, mails: &[(u32, u64)]) -> usize {
        let limits: &Limits = &self.settings.limits;
        // A mail that breaks things goes with others: whether they can be had says whose fault it is.
        let suspect = mails
            .first()
            .is_some_and(|(uid, _)| self.care.is_suspect(*uid));
        let mut bytes = 0_u64;
        let count = mails
            .iter()
            .take_while(|(uid, size)| {
                let comes = match *size {
                    // Nobody knows.
                    0 => limits.batch_bytes,
                    // Of a mail that is too large only the header comes.
                    size if size > limits.message_bytes => 0,
                    size => size,
                };
                bytes = bytes.saturating_add(comes);
                (suspect || *uid > self.care.alone_until) && bytes <= limits.batch_bytes
            })
            .count();
        count.max(1)
    }

    /// Takes the mails of a batch, or those before the first one that is not certain. Returns how many.
    async fn take(&mut self, batch: &[(u32, u64)], later: &[u32]) -> Result<usize, ImapError> {
        let found = self.fetch(batch, later).await?;
        let Some((last, _)) = found
            .certain
            .checked_sub(1)
            .and_then(|index| batch.get(index))
        else {
            return Ok(0);
        };
        let settles = self.settles();
        let mut position = self.folder.position;
        position.taken = *last;
        if !settles && position.settled == self.folder.position.taken {
            position.settled = *last;
        }
        let uids: Vec<u32> = found.mails.iter().map(|mail| mail.uid).collect();
        let good = found
            .mails
            .iter()
            .filter(|mail| matches!(mail.content, MailContent::Whole(_)))
            .min_by_key(|mail| mail.size)
            .map(|mail| mail.uid);
        let stay = self
            .sink
            .take(found.mails, position)
            .await
            .map_err(ImapError::Sink)?;
        self.folder.position = position;
        self.care.good = good.or(self.care.good);
        self.care.taken(*last);
        if settles {
            let uids: Vec<u32> = uids.into_iter().filter(|uid| !stay.contains(uid)).collect();
            self.settle(&uids, *last).await?;
        }
        Ok(found.certain)
    }

    /// Whether something is to be done with mails afterwards. Keywords are not kept by every server.
    pub(crate) fn settles(&self) -> bool {
        match self.settings.after {
            AfterImport::Nothing => false,
            AfterImport::Mark => self.folder.selected.keeps_keywords,
            AfterImport::Move(_) => true,
        }
    }
}

//! One look through a folder: what is new is fetched, handed over, and then marked or moved. In this order, so that a
//! crash at any point repeats work and never loses a mail.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{
    error::ImapError,
    session::{Content, Selected, Session},
    settings::{AfterImport, Limits, Settings},
    sink::{Event, Left, Mail, MailContent, Position, Sink},
};

/// Mails that are marked together when an earlier process did not come to it.
const SETTLE_CHUNK: usize = 200;
/// So many mails of one fetch, of which none can be had, are the server's fault.
const TROUBLE: usize = 3;

/// Care with mails that break things. It outlives connections.
#[derive(Debug, Default)]
pub(crate) struct Care {
    /// Up to this UID mails are fetched one by one, because the connection broke among them.
    alone_until: u32,
    /// The mail that broke it when it was fetched alone; whether only its header was asked for; and how often.
    blamed: Option<(u32, bool, u32)>,
    /// Mail was taken since somebody asked.
    pub(crate) progress: bool,
}

impl Care {
    fn tries(&self, uid: u32, header: bool) -> u32 {
        match self.blamed {
            Some((blamed, of, tries)) if blamed == uid && of == header => tries,
            Some((blamed, true, _)) if blamed == uid => u32::MAX,
            _ => 0,
        }
    }

    fn blame(&mut self, uid: u32, header: bool) {
        let tries = self.tries(uid, header).saturating_add(1);
        self.blamed = Some((uid, header, tries));
    }
}

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
        for window in uids.chunks(self.settings.limits.batch_mails.max(1)) {
            if self.stop.is_cancelled() {
                break;
            }
            self.window(window).await?;
        }
        Ok(uids.len())
    }

    async fn window(&mut self, uids: &[u32]) -> Result<(), ImapError> {
        let mut sizes = self.session.sizes(uids).await?;
        self.look_again(uids, &mut sizes).await?;
        let gone = uids.len().saturating_sub(sizes.len());
        if gone > 0 {
            self.sink.event(Event::Vanished(gone as u64));
        }
        let mails: Vec<(u32, u64)> = sizes.into_iter().collect();
        let mut rest = mails.as_slice();
        while !rest.is_empty() && !self.stop.is_cancelled() {
            let (batch, after) = rest.split_at(self.batch(rest));
            self.take(batch).await?;
            rest = after;
        }
        Ok(())
    }

    /// A mail without a size is either gone or one that the server is wrong about; only the first may be left out.
    async fn look_again(
        &mut self,
        uids: &[u32],
        sizes: &mut BTreeMap<u32, u64>,
    ) -> Result<(), ImapError> {
        let missing = |sizes: &BTreeMap<u32, u64>| {
            uids.iter()
                .copied()
                .filter(|uid| !sizes.contains_key(uid))
                .collect::<Vec<u32>>()
        };
        for uid in missing(sizes) {
            if !self.session.present(uid, uid).await?.is_empty() {
                sizes.insert(uid, 0);
            }
        }
        Ok(())
    }

    /// How many of the next mails go together.
    fn batch(&self, mails: &[(u32, u64)]) -> usize {
        let limits: &Limits = &self.settings.limits;
        let mut bytes = 0_u64;
        let count = mails
            .iter()
            .take_while(|(uid, size)| {
                // Of a mail that is too large only the header comes.
                let comes = if *size > limits.message_bytes {
                    0
                } else {
                    *size
                };
                bytes = bytes.saturating_add(comes);
                *uid > self.care.alone_until && bytes <= limits.batch_bytes
            })
            .count();
        count.max(1)
    }

    async fn take(&mut self, batch: &[(u32, u64)]) -> Result<(), ImapError> {
        let mails = self.fetch(batch).await?;
        let Some((last, _)) = batch.last() else {
            return Ok(());
        };
        let settles = self.settles();
        let mut position = self.folder.position;
        position.taken = *last;
        if !settles && position.settled == self.folder.position.taken {
            position.settled = *last;
        }
        let uids: Vec<u32> = mails.iter().map(|mail| mail.uid).collect();
        let stay = self
            .sink
            .take(mails, position)
            .await
            .map_err(ImapError::Sink)?;
        self.folder.position = position;
        self.care.blamed = None;
        self.care.progress = true;
        if settles {
            let uids: Vec<u32> = uids.into_iter().filter(|uid| !stay.contains(uid)).collect();
            self.settle(&uids, *last).await?;
        }
        Ok(())
    }

    /// Whether something is to be done with mails afterwards. Keywords are not kept by every server.
    fn settles(&self) -> bool {
        match self.settings.after {
            AfterImport::Nothing => false,
            AfterImport::Mark => self.folder.selected.keeps_keywords,
            AfterImport::Move(_) => true,
        }
    }

    /// Marks or moves; what the server refuses is tried again on the next connection.
    async fn settle(&mut self, uids: &[u32], up_to: u32) -> Result<(), ImapError> {
        if self.folder.unsettled {
            return Ok(());
        }
        if !uids.is_empty() {
            let outcome = match &self.settings.after {
                AfterImport::Nothing => Ok(()),
                AfterImport::Mark => self.session.mark(uids).await,
                AfterImport::Move(folder) => self.session.move_to(uids, folder).await,
            };
            match outcome {
                Ok(()) => {}
                Err(error @ ImapError::Refused { .. }) => {
                    self.folder.unsettled = true;
                    self.sink.event(Event::Unsettled);
                    tracing::warn!(
                        mailbox = self.settings.name,
                        error = &error as &dyn std::error::Error,
                        "mails were taken, but the server does not let us mark or move them"
                    );
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.folder.position.settled = up_to;
        self.sink
            .settled(self.folder.position)
            .await
            .map_err(ImapError::Sink)
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
        let mut uids = self.session.present(settled + 1, taken).await?;
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

    async fn fetch(&mut self, batch: &[(u32, u64)]) -> Result<Vec<Mail>, ImapError> {
        let max = self.settings.limits.message_bytes;
        let whole: Vec<u32> = batch
            .iter()
            .filter(|(_, size)| *size <= max)
            .map(|(uid, _)| *uid)
            .collect();
        let mut found = if whole.len() > 1 {
            self.together(&whole).await?
        } else {
            BTreeMap::new()
        };
        let mut mails = Vec::with_capacity(batch.len());
        for (uid, size) in batch {
            let content = match found.remove(uid) {
                Some(Content::Bytes(bytes)) => Some(MailContent::Whole(bytes)),
                Some(Content::TooLarge) => self.header(*uid, Left::TooLarge).await?,
                None if *size > max => self.header(*uid, Left::TooLarge).await?,
                None => self.alone(*uid).await?,
            };
            match content {
                Some(content) => mails.push(Mail {
                    uid: *uid,
                    size: *size,
                    content,
                }),
                None => self.sink.event(Event::Vanished(1)),
            }
        }
        if is_server_in_trouble(&mails) {
            return Err(ImapError::Refused {
                command: "UID FETCH",
                code: String::new(),
            });
        }
        Ok(mails)
    }

    /// Several at once. What is missing afterwards, each has to be asked for alone.
    async fn together(&mut self, uids: &[u32]) -> Result<BTreeMap<u32, Content>, ImapError> {
        match self.session.mails(uids).await {
            Ok(found) => Ok(found),
            Err(ImapError::Refused { .. }) => Ok(BTreeMap::new()),
            Err(error) => {
                self.care.alone_until = uids.last().copied().unwrap_or(0);
                Err(error)
            }
        }
    }

    /// One mail; its header, if the mail cannot be had; `None` if it is gone.
    async fn alone(&mut self, uid: u32) -> Result<Option<MailContent>, ImapError> {
        while self.care.tries(uid, false) < self.settings.limits.tries_per_mail.max(1) {
            match self.session.mails(&[uid]).await {
                Ok(mut found) => match found.remove(&uid) {
                    Some(Content::Bytes(bytes)) => return Ok(Some(MailContent::Whole(bytes))),
                    Some(Content::TooLarge) => return self.header(uid, Left::TooLarge).await,
                    None if self.session.present(uid, uid).await?.is_empty() => return Ok(None),
                    None => self.care.blame(uid, false),
                },
                Err(ImapError::Refused { .. }) => self.care.blame(uid, false),
                Err(error) => {
                    self.care.blame(uid, false);
                    return Err(error);
                }
            }
        }
        self.header(uid, Left::Unreadable).await
    }

    async fn header(&mut self, uid: u32, why: Left) -> Result<Option<MailContent>, ImapError> {
        while self.care.tries(uid, true) < self.settings.limits.tries_per_mail.max(1) {
            match self.session.header(uid).await {
                Ok(Some(Content::Bytes(header))) => {
                    return Ok(Some(MailContent::Header {
                        header: ended(header),
                        why,
                    }));
                }
                Ok(Some(Content::TooLarge)) => return Ok(Some(MailContent::Nothing)),
                Ok(None) if self.session.present(uid, uid).await?.is_empty() => return Ok(None),
                Ok(None) | Err(ImapError::Refused { .. }) => self.care.blame(uid, true),
                Err(error) => {
                    self.care.blame(uid, true);
                    return Err(error);
                }
            }
        }
        Ok(Some(MailContent::Nothing))
    }
}

/// Whether no mail of several could be had: that is the server's fault and not that of the mails, so none is passed over.
fn is_server_in_trouble(mails: &[Mail]) -> bool {
    let unread = |mail: &Mail| {
        matches!(
            mail.content,
            MailContent::Nothing
                | MailContent::Header {
                    why: Left::Unreadable,
                    ..
                }
        )
    };
    mails.len() >= TROUBLE && mails.iter().all(unread)
}

/// A header with the empty line that ends it, which some servers leave out.
fn ended(header: Bytes) -> Bytes {
    if header.ends_with(b"\r\n\r\n") || header.ends_with(b"\n\n") {
        return header;
    }
    let mut whole = header.to_vec();
    if !whole.ends_with(b"\n") {
        whole.extend_from_slice(b"\r\n");
    }
    whole.extend_from_slice(b"\r\n");
    whole.into()
}

//! Fetches the mails of a batch, and tells a mail that cannot be had from a server that is in trouble.
//!
//! What is passed over is passed over for ever, so a mail comes as its header, or as nothing, only on evidence: it was
//! asked for again after another mail of the folder could be read, which says that the server gives mails and not this
//! one. Where no other mail can be asked for, time has to be the witness.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    error::ImapError,
    pass::Pass,
    session::{Content, SIZE_SLACK_BYTES},
    sink::{Event, Left, Mail, MailContent, Sink},
};

/// Mails behind a batch that are asked for at most, where none in it could be read.
const WITNESSES: usize = 3;

/// What a batch gave.
#[derive(Debug)]
pub(crate) struct Found {
    /// Mails to be handed over.
    pub(crate) mails: Vec<Mail>,
    /// So many of the batch, from its begin, are dealt with. The others have to be asked for again.
    pub(crate) certain: usize,
}

/// What became of one mail so far.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Certain(MailContent),
    /// The server says that it is not there.
    Gone,
    /// Only its header is wanted.
    TooLarge,
    /// It could not be had.
    Failed,
}

/// What other mails say of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    /// It gives mails.
    Good,
    /// It does not give mails that it gave before.
    Bad,
    /// There is no mail to try.
    Unknown,
}

type Gotten = BTreeMap<u32, Got>;

impl<S: Sink> Pass<'_, S> {
    /// Fetches a batch; `later` are the mails that follow.
    pub(crate) async fn fetch(
        &mut self,
        batch: &[(u32, u64)],
        later: &[u32],
    ) -> Result<Found, ImapError> {
        let mut gotten = self.first_round(batch).await?;
        self.headers(&mut gotten, Left::TooLarge, Server::Unknown)
            .await?;
        if is_open(&gotten) {
            let server = self.server(&gotten, later).await?;
            self.second_round(&mut gotten, server).await?;
            self.headers(&mut gotten, Left::TooLarge, server).await?;
            self.headers(&mut gotten, Left::Unreadable, server).await?;
            if server == Server::Good {
                self.last_round(&mut gotten, later).await?;
            }
        }
        self.certain(batch, gotten)
    }

    /// What can be handed over: everything before the first mail that is not certain.
    fn certain(&self, batch: &[(u32, u64)], mut gotten: Gotten) -> Result<Found, ImapError> {
        let mut found = Found {
            mails: Vec::with_capacity(batch.len()),
            certain: 0,
        };
        for (uid, size) in batch {
            match gotten.remove(uid) {
                Some(Got::Certain(content)) => found.mails.push(Mail {
                    uid: *uid,
                    size: *size,
                    content,
                }),
                Some(Got::Gone) => self.sink.event(Event::Vanished(1)),
                Some(Got::TooLarge | Got::Failed) | None => break,
            }
            found.certain += 1;
        }
        if found.certain == 0 && !batch.is_empty() {
            return Err(ImapError::Refused {
                command: "UID FETCH",
                code: String::new(),
            });
        }
        Ok(found)
    }

    /// Asks for all mails that nothing is held against; the others count as failed. Ends early where mails that are
    /// larger than announced have filled the batch: the rest goes with the next one.
    async fn first_round(&mut self, batch: &[(u32, u64)]) -> Result<Gotten, ImapError> {
        let max = self.settings.limits.message_bytes;
        let mut gotten = Gotten::new();
        let mut fresh = Vec::new();
        for (uid, size) in batch {
            if *size > max {
                gotten.insert(*uid, Got::TooLarge);
            } else if self.care.is_suspect(*uid) {
                gotten.insert(*uid, Got::Failed);
            } else {
                fresh.push(*uid);
            }
        }
        let together: Vec<u32> = fresh
            .iter()
            .copied()
            .filter(|uid| *uid > self.care.alone_until)
            .collect();
        if together.len() > 1 {
            for (uid, content) in self.together(&together).await? {
                gotten.insert(uid, content.into());
            }
        }
        for uid in fresh {
            if gotten.contains_key(&uid) {
                continue;
            }
            let most = self
                .settings
                .limits
                .batch_bytes
                .saturating_add(SIZE_SLACK_BYTES);
            if bytes_of(&gotten) > most {
                break;
            }
            let got = self.alone(uid, false).await?;
            gotten.insert(uid, got);
        }
        Ok(gotten)
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

    /// One mail, once.
    async fn alone(&mut self, uid: u32, others_are_read: bool) -> Result<Got, ImapError> {
        let got = match self.session.mails(&[uid]).await {
            Ok(mut found) => match found.remove(&uid) {
                Some(content) => content.into(),
                None if self.is_gone(uid).await? => Got::Gone,
                None => Got::Failed,
            },
            Err(ImapError::Refused { .. }) => Got::Failed,
            Err(error) => {
                self.care.broke(uid, others_are_read);
                return Err(error);
            }
        };
        if got == Got::Failed {
            self.care.failed(uid);
        }
        Ok(got)
    }

    /// Whether the server gives mails now: one that it gave a moment ago, or before, or one of those that follow.
    async fn server(&mut self, gotten: &Gotten, later: &[u32]) -> Result<Server, ImapError> {
        let read = gotten.iter().filter_map(|(uid, got)| match got {
            Got::Certain(MailContent::Whole(raw)) => Some((raw.len(), *uid)),
            _ => None,
        });
        let known = read.min().map(|(_, uid)| uid);
        let mut server = Server::Unknown;
        for uid in known.into_iter().chain(self.care.good) {
            match self.witness(uid).await? {
                Server::Unknown => {}
                Server::Good => return Ok(Server::Good),
                Server::Bad => server = Server::Bad,
            }
        }
        if server == Server::Bad {
            return Ok(Server::Bad);
        }
        let fresh: Vec<u32> = later
            .iter()
            .copied()
            .filter(|uid| !self.care.is_suspect(*uid))
            .take(WITNESSES)
            .collect();
        for uid in fresh {
            match self.alone(uid, false).await? {
                Got::Certain(_) | Got::TooLarge => return Ok(Server::Good),
                // That a mail which was never read cannot be had says nothing of the server.
                Got::Gone | Got::Failed => {}
            }
        }
        Ok(Server::Unknown)
    }

    /// Whether a mail that could be read still can; unknown if it is not there any more.
    async fn witness(&mut self, uid: u32) -> Result<Server, ImapError> {
        match self.session.mails(&[uid]).await {
            Ok(found) if found.contains_key(&uid) => Ok(Server::Good),
            Ok(_) if self.is_gone(uid).await? => Ok(Server::Unknown),
            Ok(_) | Err(ImapError::Refused { .. }) => Ok(Server::Bad),
            Err(error) => Err(error),
        }
    }

    /// Asks again for what could not be had: after others could be read as often as one may; without them once on each
    /// connection.
    async fn second_round(&mut self, gotten: &mut Gotten, server: Server) -> Result<(), ImapError> {
        let tries = self.settings.limits.tries_per_mail.max(1);
        for uid in failed(gotten) {
            let ends_here = self.care.has_broken(uid) && self.care.is_hopeless(uid, self.settings);
            let left = match server {
                Server::Good => tries.saturating_sub(self.care.breaks(uid)),
                Server::Unknown if !ends_here => 1,
                Server::Unknown | Server::Bad => 0,
            };
            for _ in 0..left {
                let got = self.alone(uid, server == Server::Good).await?;
                if got != Got::Failed {
                    gotten.insert(uid, got);
                    break;
                }
            }
        }
        Ok(())
    }

    /// What is about to be passed over is asked for once more, after another mail was: trouble that came and went in
    /// between would have to come a second time to cost a mail.
    async fn last_round(&mut self, gotten: &mut Gotten, later: &[u32]) -> Result<(), ImapError> {
        let passed_over = gotten.iter().filter(|(_, got)| got.is_passed_over());
        let uids: Vec<u32> = passed_over.map(|(uid, _)| *uid).collect();
        if uids.is_empty() {
            return Ok(());
        }
        let is_good = self.server(gotten, later).await? == Server::Good;
        for uid in uids {
            if !is_good {
                gotten.insert(uid, Got::Failed);
            } else if !self.care.has_broken(uid) {
                match self.alone(uid, true).await? {
                    Got::Failed => {}
                    got => drop(gotten.insert(uid, got)),
                }
            }
        }
        // A server that announces less than it gives.
        self.headers(gotten, Left::TooLarge, Server::Good).await
    }

    /// Asks for the headers of mails that do not come whole. That not even the header can be had is only believed
    /// on evidence.
    async fn headers(
        &mut self,
        gotten: &mut Gotten,
        why: Left,
        server: Server,
    ) -> Result<(), ImapError> {
        let wanted = if why == Left::TooLarge {
            Got::TooLarge
        } else {
            Got::Failed
        };
        let wanted = gotten.iter().filter(|(_, got)| **got == wanted);
        let uids: Vec<u32> = wanted.map(|(uid, _)| *uid).collect();
        let tries = self.settings.limits.tries_per_mail.max(1);
        for uid in uids {
            let is_proven = match server {
                Server::Good => true,
                Server::Unknown => self.care.is_hopeless(uid, self.settings),
                Server::Bad => false,
            };
            let left = match (is_proven, why) {
                (true, _) => tries.saturating_sub(self.care.header_breaks(uid)),
                // It is not the server's fault that it does not come whole.
                (false, Left::TooLarge) => 1,
                (false, Left::Unreadable) => continue,
            };
            let mut got = is_proven.then(nothing);
            for _ in 0..left {
                if let Some(header) = self.header(uid, why).await? {
                    got = Some(header);
                    break;
                }
            }
            gotten.extend(got.map(|got| (uid, got)));
        }
        Ok(())
    }

    /// The header of a mail, asked for once; `None` if it could not be had.
    async fn header(&mut self, uid: u32, why: Left) -> Result<Option<Got>, ImapError> {
        match self.session.header(uid).await {
            Ok(Some(Content::Bytes(header))) => {
                let header = ended(header);
                let content = MailContent::Header { header, why };
                Ok(Some(Got::Certain(content)))
            }
            Ok(Some(Content::TooLarge)) => Ok(Some(nothing())),
            Ok(None) if self.is_gone(uid).await? => Ok(Some(Got::Gone)),
            Ok(None) | Err(ImapError::Refused { .. }) => {
                self.care.failed(uid);
                Ok(None)
            }
            Err(error) => {
                self.care.header_broke(uid);
                Err(error)
            }
        }
    }
}

impl Got {
    /// Whether it says that the server does not give the mail.
    fn is_passed_over(&self) -> bool {
        match self {
            Self::Certain(MailContent::Header { why, .. }) => *why == Left::Unreadable,
            Self::Certain(MailContent::Nothing) => true,
            Self::Certain(MailContent::Whole(_)) | Self::Gone | Self::TooLarge | Self::Failed => {
                false
            }
        }
    }
}

impl From<Content> for Got {
    fn from(content: Content) -> Self {
        match content {
            Content::Bytes(bytes) => Self::Certain(MailContent::Whole(bytes)),
            Content::TooLarge => Self::TooLarge,
        }
    }
}

fn nothing() -> Got {
    Got::Certain(MailContent::Nothing)
}

/// Bytes of mails that wait to be handed over.
fn bytes_of(gotten: &Gotten) -> u64 {
    let bytes = gotten.values().map(|got| match got {
        Got::Certain(MailContent::Whole(raw)) => raw.len() as u64,
        _ => 0,
    });
    bytes.sum()
}

/// Whether there are mails of which nothing certain is known.
fn is_open(gotten: &Gotten) -> bool {
    let open = |got: &Got| matches!(got, Got::Failed | Got::TooLarge);
    gotten.values().any(open)
}

fn failed(gotten: &Gotten) -> Vec<u32> {
    let failed = gotten.iter().filter(|(_, got)| **got == Got::Failed);
    failed.map(|(uid, _)| *uid).collect()
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

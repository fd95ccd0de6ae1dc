//! What is done in a folder. Mails are named by UID only: sequence numbers move while one looks.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Session,
    names::{folder, uid_set},
};
use crate::{
    error::ImapError,
    settings::IMPORTED_KEYWORD,
    wire::{
        frame::LINE_MAX_BYTES,
        response::{Response, Section, Status},
    },
};

/// Bytes of the largest header that is fetched of a mail which is too large itself.
const HEADER_MAX_BYTES: usize = 1024 * 1024;

/// A folder that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selected {
    pub(crate) uid_validity: u32,
    /// The UID that the next mail will have at least.
    pub(crate) uid_next: Option<u32>,
    /// Whether a keyword of ours stays on mails.
    pub(crate) keeps_keywords: bool,
}

/// What flags say of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) deleted: bool,
    /// It has our keyword.
    pub(crate) imported: bool,
}

/// What a server gave of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Bytes(Bytes),
    /// More than it announced, and more than is taken.
    TooLarge,
}

impl From<Section> for Content {
    fn from(section: Section) -> Self {
        match section {
            Section::Bytes(bytes) => Self::Bytes(bytes),
            Section::TooLarge => Self::TooLarge,
        }
    }
}

impl Session {
    /// Opens a folder, or opens it anew: that shows what came even where a server forgets to tell.
    pub(crate) async fn select(&mut self, name: &str, writes: bool) -> Result<Selected, ImapError> {
        let command = if writes { "SELECT" } else { "EXAMINE" };
        self.exists = 0;
        let (mut validity, mut next, mut flags) = (None, None, String::new());
        let line = format!("{command} {}", folder(name));
        let done = self
            .command(&line, |response| {
                let Response::Untagged { code, .. } = response else {
                    return;
                };
                match code.name.as_str() {
                    "UIDVALIDITY" => validity = code.rest.parse().ok().filter(|n: &u32| *n > 0),
                    "UIDNEXT" => next = code.rest.parse().ok(),
                    "PERMANENTFLAGS" => flags = code.rest.to_ascii_lowercase(),
                    _ => {}
                }
            })
            .await?;
        let code = done.ok(command)?;
        self.news = false;
        let keyword = IMPORTED_KEYWORD.to_ascii_lowercase();
        let keeps = flags
            .split(['(', ')', ' '])
            .any(|flag| flag == "\\*" || flag == keyword);
        Ok(Selected {
            uid_validity: validity.ok_or(ImapError::NoUidValidity)?,
            uid_next: next,
            keeps_keywords: keeps && code.name != "READ-ONLY",
        })
    }

    /// All UIDs from `first` on, in order.
    pub(crate) async fn uids_from(&mut self, first: u32) -> Result<Vec<u32>, ImapError> {
        let mut uids = Vec::new();
        if self.exists == 0 {
            // Some servers refuse a range in an empty folder.
            return Ok(uids);
        }
        let line = format!("UID FETCH {first}:* (UID)");
        let done = self
            .command(&line, |response| {
                if let Response::Fetch(fetched) = response {
                    uids.extend(fetched.uid);
                }
            })
            .await?;
        if done.status != Status::Ok {
            // A mail that the server cannot read may make it refuse this; a search reads none.
            uids.clear();
            let line = format!("UID SEARCH UID {first}:*");
            let done = self
                .command(&line, |response| {
                    if let Response::Search(found) = response {
                        uids.extend(found);
                    }
                })
                .await?;
            done.ok("SEARCH")?;
        }
        // `n:*` names the last mail even if it lies before n.
        uids.retain(|uid| *uid >= first);
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }

    /// Those between two UIDs (both included) that are there, in order.
    pub(crate) async fn present(&mut self, first: u32, last: u32) -> Result<Vec<u32>, ImapError> {
        let mut uids = Vec::new();
        if self.exists == 0 {
            return Ok(uids);
        }
        let line = format!("UID FETCH {first}:{last} (UID)");
        let done = self
            .command(&line, |response| {
                if let Response::Fetch(fetched) = response {
                    uids.extend(fetched.uid.filter(|uid| (first..=last).contains(uid)));
                }
            })
            .await?;
        done.ok("FETCH")?;
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }

    /// The sizes of those mails that are still there.
    pub(crate) async fn sizes(&mut self, uids: &[u32]) -> Result<BTreeMap<u32, u64>, ImapError> {
        let mut sizes = BTreeMap::new();
        let line = format!("UID FETCH {} (UID RFC822.SIZE)", uid_set(uids));
        let done = self
            .command(&line, |response| {
                if let Response::Fetch(fetched) = response
                    && let (Some(uid), Some(size)) = (fetched.uid, fetched.size)
                {
                    sizes.insert(uid, size);
                }
            })
            .await?;
        done.ok("FETCH")?;
        sizes.retain(|uid, _| uids.binary_search(uid).is_ok());
        Ok(sizes)
    }

    /// Whole mails. Those that the server does not give are missing, and those that would be too much together because
    /// they are larger than announced. PEEK: reading must not make a mail \Seen.
    pub(crate) async fn mails(
        &mut self,
        uids: &[u32],
    ) -> Result<BTreeMap<u32, Content>, ImapError> {
        self.framed.literal_max = self.message_max;
        self.framed.room = if uids.len() > 1 {
            self.batch_max
        } else {
            self.message_max
        };
        let outcome = self.sections(uids, "BODY.PEEK[]").await;
        self.framed.literal_max = LINE_MAX_BYTES;
        self.framed.room = usize::MAX;
        outcome
    }

    /// The header of a mail.
    pub(crate) async fn header(&mut self, uid: u32) -> Result<Option<Content>, ImapError> {
        self.framed.literal_max = HEADER_MAX_BYTES;
        let outcome = self.sections(&[uid], "BODY.PEEK[HEADER]").await;
        self.framed.literal_max = LINE_MAX_BYTES;
        Ok(outcome?.remove(&uid))
    }

    async fn sections(
        &mut self,
        uids: &[u32],
        section: &str,
    ) -> Result<BTreeMap<u32, Content>, ImapError> {
        let mut found = BTreeMap::new();
        let line = format!("UID FETCH {} (UID {section})", uid_set(uids));
        let done = self
            .command(&line, |response| {
                if let Response::Fetch(fetched) = response
                    && let (Some(uid), Some(section)) =
                        (fetched.uid, fetched.body.or(fetched.header))
                    && uids.binary_search(&uid).is_ok()
                {
                    found.insert(uid, Content::from(section));
                }
            })
            .await?;
        done.ok("FETCH")?;
        Ok(found)
    }

    /// Puts the keyword on mails. Those that are gone do not matter.
    pub(crate) async fn mark(&mut self, uids: &[u32]) -> Result<(), ImapError> {
        self.store(uids, IMPORTED_KEYWORD).await
    }

    async fn store(&mut self, uids: &[u32], flag: &str) -> Result<(), ImapError> {
        let line = format!("UID STORE {} +FLAGS.SILENT ({flag})", uid_set(uids));
        self.command(&line, |_| ()).await?.ok("STORE")?;
        Ok(())
    }

    /// What is known by their flags of those mails that are still there.
    pub(crate) async fn flags(&mut self, uids: &[u32]) -> Result<BTreeMap<u32, Flags>, ImapError> {
        let mut found = BTreeMap::new();
        let line = format!("UID FETCH {} (UID FLAGS)", uid_set(uids));
        let keyword = IMPORTED_KEYWORD.to_ascii_uppercase();
        let done = self
            .command(&line, |response| {
                if let Response::Fetch(fetched) = response
                    && let (Some(uid), Some(flags)) = (fetched.uid, fetched.flags)
                    && uids.binary_search(&uid).is_ok()
                {
                    let flags = Flags {
                        deleted: flags.iter().any(|flag| flag == "\\DELETED"),
                        imported: flags.contains(&keyword),
                    };
                    found.insert(uid, flags);
                }
            })
            .await?;
        done.ok("FETCH")?;
        Ok(found)
    }

    /// Moves (RFC 6851) or copies mails to another folder, which is made if it is missing.
    pub(crate) async fn put_into(
        &mut self,
        command: &'static str,
        uids: &[u32],
        name: &str,
    ) -> Result<(), ImapError> {
        let target = folder(name);
        let line = format!("UID {command} {} {target}", uid_set(uids));
        let mut done = self.command(&line, |_| ()).await?;
        if done.status == Status::No && done.code.name == "TRYCREATE" {
            self.command(&format!("CREATE {target}"), |_| ())
                .await?
                .ok("CREATE")?;
            done = self.command(&line, |_| ()).await?;
        }
        done.ok(command)?;
        Ok(())
    }

    /// Deletes mails. Without UIDPLUS (RFC 4315) they are only flagged as deleted, because a plain EXPUNGE would also
    /// remove what others have flagged.
    pub(crate) async fn remove(&mut self, uids: &[u32]) -> Result<(), ImapError> {
        self.store(uids, "\\Deleted").await?;
        if self.can("UIDPLUS") {
            let line = format!("UID EXPUNGE {}", uid_set(uids));
            self.command(&line, |_| ()).await?.ok("EXPUNGE")?;
        }
        Ok(())
    }
}

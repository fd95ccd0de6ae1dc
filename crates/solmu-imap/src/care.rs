//! What is remembered of mails that cannot be had. It outlives connections, and the position: a mail is passed over only
//! once it is certain that the fault is its own and not the server's.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::settings::Settings;

/// What is held against one mail.
#[derive(Debug)]
struct Suspect {
    /// When it failed first.
    since: Instant,
    /// Connections on which it failed.
    connections: u32,
    /// The last of them.
    last: u64,
    /// It broke the connection.
    has_broken: bool,
    /// How often it did so on a connection on which others could be read.
    breaks: u32,
    /// How often its header did.
    header_breaks: u32,
}

/// Care with mails that break things.
#[derive(Debug, Default)]
pub(crate) struct Care {
    /// Up to this UID mails are fetched one by one, because the connection broke among them.
    pub(crate) alone_until: u32,
    /// A mail that could be read whole: whether it still can tells the server's trouble from that of another mail.
    pub(crate) good: Option<u32>,
    /// Something moved on since somebody asked.
    pub(crate) progress: bool,
    /// What is known of copies into another folder.
    pub(crate) copies: Copies,
    suspects: BTreeMap<u32, Suspect>,
    connection: u64,
}

/// Mails that were copied to another folder, or may have been.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// They were.
    pub(crate) made: Vec<u32>,
    /// They certainly were not, whatever their flags say.
    pub(crate) not_made: Vec<u32>,
}

impl Care {
    /// A connection begins.
    pub(crate) fn connected(&mut self) {
        self.connection += 1;
    }

    /// What was known of mails by their UIDs does not hold any more.
    pub(crate) fn forget(&mut self) {
        let connection = self.connection;
        *self = Self {
            connection,
            ..Self::default()
        };
    }

    pub(crate) fn is_suspect(&self, uid: u32) -> bool {
        self.suspects.contains_key(&uid)
    }

    /// A mail could not be had.
    pub(crate) fn failed(&mut self, uid: u32) {
        self.suspect(uid);
    }

    /// Asking for a mail broke the connection; whether others could be read on it.
    pub(crate) fn broke(&mut self, uid: u32, others_are_read: bool) {
        let suspect = self.suspect(uid);
        suspect.has_broken = true;
        suspect.breaks = suspect.breaks.saturating_add(u32::from(others_are_read));
    }

    /// Asking for a mail's header broke the connection.
    pub(crate) fn header_broke(&mut self, uid: u32) {
        let suspect = self.suspect(uid);
        suspect.header_breaks = suspect.header_breaks.saturating_add(1);
    }

    pub(crate) fn has_broken(&self, uid: u32) -> bool {
        self.suspects
            .get(&uid)
            .is_some_and(|suspect| suspect.has_broken)
    }

    pub(crate) fn breaks(&self, uid: u32) -> u32 {
        self.suspects.get(&uid).map_or(0, |suspect| suspect.breaks)
    }

    pub(crate) fn header_breaks(&self, uid: u32) -> u32 {
        self.suspects
            .get(&uid)
            .map_or(0, |suspect| suspect.header_breaks)
    }

    /// Whether a mail failed so often and for so long that it is passed over although no other mail could be read.
    pub(crate) fn is_hopeless(&self, uid: u32, settings: &Settings) -> bool {
        let least: Duration = settings.times.give_up;
        self.suspects.get(&uid).is_some_and(|suspect| {
            suspect.connections >= settings.limits.give_up_connections
                && suspect.since.elapsed() >= least
        })
    }

    /// Every mail up to this UID was taken.
    pub(crate) fn taken(&mut self, last: u32) {
        self.suspects.retain(|uid, _| *uid > last);
        self.progress = true;
    }

    /// Every mail up to this UID was moved.
    pub(crate) fn settled(&mut self, last: u32) {
        self.copies.made.retain(|uid| *uid > last);
        self.copies.not_made.retain(|uid| *uid > last);
    }

    fn suspect(&mut self, uid: u32) -> &mut Suspect {
        let connection = self.connection;
        let suspect = self.suspects.entry(uid).or_insert_with(|| Suspect {
            since: Instant::now(),
            connections: 0,
            last: 0,
            has_broken: false,
            breaks: 0,
            header_breaks: 0,
        });
        if suspect.last != connection {
            suspect.last = connection;
            suspect.connections = suspect.connections.saturating_add(1);
        }
        suspect
    }
}

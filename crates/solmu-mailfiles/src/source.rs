//! Where stored mail lies: finds out what a path is and reads mail by mail.

use std::{
    collections::VecDeque,
    fs::{File, Metadata},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use walkdir::WalkDir;

use crate::{
    files::{changed, is_mail, key},
    journal::{FileId, FileState, Journal},
    left_out::{LeftOut, why},
    mbox::MboxReader,
};

/// Bytes read at once.
const BUFFER: usize = 64 * 1024;

/// Why nothing can be read at a path.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or folder cannot be read.
    #[error("cannot read '{path}'")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing that looks like mail.
    #[error(
        "no mail found in '{0}': expected a mailbox file, a Maildir, .eml files or a folder of them"
    )]
    Nothing(PathBuf),
}

/// What was found at a place.
#[derive(Debug)]
pub enum Content {
    /// A mail.
    Whole(Vec<u8>),
    /// A mail larger than the limit.
    TooLarge,
    /// A file or folder that cannot be read.
    Unreadable(io::Error),
}

/// A mail and where it lies.
#[derive(Debug)]
pub struct StoredMail {
    /// Path, and the offset within a mailbox file.
    pub place: String,
    /// The file; `None` for a folder that cannot be read.
    pub file: Option<Arc<FileId>>,
    /// Where it begins.
    pub start: u64,
    /// What is done when this mail is done: everything before this. A mail that is tried again finishes nothing else.
    pub end: u64,
    /// Whether an earlier run was refused this mail.
    pub again: bool,
    /// The mail itself.
    pub content: Content,
}

/// What a source has, before anything is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Files with something to do.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes that earlier runs have done.
    pub done_bytes: u64,
    /// Mails that earlier runs handed in.
    pub earlier: u64,
    /// Files that are no mail for anybody.
    pub left_out: LeftOut,
}

/// A file with something to do.
#[derive(Debug)]
struct Planned {
    path: PathBuf,
    id: Arc<FileId>,
    /// Mails to be tried again, then everything from here on.
    again: VecDeque<u64>,
    offset: u64,
}

#[derive(Debug)]
struct OpenMbox {
    planned: Planned,
    reader: MboxReader<BufReader<File>>,
    /// Whether the reader stands at a mail that is tried again.
    trying_again: bool,
}

/// Mails of a path, in a stable order.
#[derive(Debug)]
pub struct Source {
    files: VecDeque<Planned>,
    unreadable: VecDeque<(PathBuf, io::Error)>,
    mbox: Option<OpenMbox>,
    max_bytes: usize,
    extent: Extent,
}

impl Source {
    /// Finds the files under `path` and leaves out what the journal has as done.
    pub fn open(path: &Path, max_bytes: usize, journal: &Journal) -> Result<Self, SourceError> {
        let kind = std::fs::metadata(path).map_err(|source| read_error(path, source))?;
        let mut source = Self {
            files: VecDeque::new(),
            unreadable: VecDeque::new(),
            mbox: None,
            max_bytes,
            extent: Extent::default(),
        };
        let found = if kind.is_dir() {
            source.mail_files(path)
        } else {
            source.wanted(path, path, &kind)
        };
        let nothing = found.is_empty() && source.extent.left_out.total() == 0;
        if nothing && source.unreadable.is_empty() {
            return Err(SourceError::Nothing(path.to_owned()));
        }
        for (file, kind) in found {
            source.plan(path, file, &kind, journal);
        }
        Ok(source)
    }

    /// How much there is.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    fn plan(&mut self, root: &Path, path: PathBuf, kind: &Metadata, journal: &Journal) {
        let id = FileId {
            key: key(root, &path),
            size: kind.len(),
            changed: changed(kind),
        };
        self.extent.bytes += id.size;
        let state = journal.state(&id).cloned();
        let FileState {
            offset,
            accepted,
            refused,
        } = state.clone().unwrap_or_default();
        self.extent.done_bytes += offset.min(id.size);
        self.extent.earlier += accepted;
        if state.is_some() && offset >= id.size && refused.is_empty() {
            return;
        }
        self.extent.files += 1;
        self.files.push_back(Planned {
            path,
            id: Arc::new(id),
            again: refused.into_iter().collect(),
            offset,
        });
    }

    /// Mail files under a folder: everything in `cur` and `new` of a Maildir, and by name elsewhere. Sorted, because the
    /// names of a Maildir begin with the time of delivery.
    fn mail_files(&mut self, root: &Path) -> Vec<(PathBuf, Metadata)> {
        let mut files = Vec::new();
        for entry in WalkDir::new(root).sort_by_file_name() {
            let found = entry.and_then(|entry| {
                if !entry.file_type().is_file() || !is_mail(entry.path()) {
                    return Ok(None);
                }
                let kind = entry.metadata()?;
                Ok(Some((entry.into_path(), kind)))
            });
            match found {
                Ok(Some((path, kind))) => files.extend(self.wanted(root, &path, &kind)),
                Ok(None) => {}
                Err(error) => {
                    let path = error.path().unwrap_or(root).to_owned();
                    self.unreadable.push_back((path, error.into()));
                }
            }
        }
        files
    }

    /// The file, unless it is left out, which is counted.
    fn wanted(&mut self, root: &Path, path: &Path, kind: &Metadata) -> Vec<(PathBuf, Metadata)> {
        match why(root, path, kind.len()) {
            Some(why) => {
                self.extent.left_out.count(why);
                Vec::new()
            }
            None => vec![(path.to_owned(), kind.clone())],
        }
    }

    /// The next mail; `None` at the end.
    pub fn next_mail(&mut self) -> Option<StoredMail> {
        loop {
            if let Some((path, error)) = self.unreadable.pop_front() {
                return Some(StoredMail {
                    place: path.display().to_string(),
                    file: None,
                    start: 0,
                    end: 0,
                    again: false,
                    content: Content::Unreadable(error),
                });
            }
            if let Some(open) = self.mbox.take()
                && let Some(mail) = self.next_of_mbox(open)
            {
                return Some(mail);
            }
            if self.mbox.is_some() {
                continue;
            }
            let planned = self.files.pop_front()?;
            if let Some(mail) = self.open_file(planned) {
                return Some(mail);
            }
        }
    }

    /// Opens a file: a mail of its own comes back, a mailbox file becomes the open one.
    fn open_file(&mut self, planned: Planned) -> Option<StoredMail> {
        let opened = File::open(&planned.path).and_then(|file| {
            let mut reader = BufReader::with_capacity(BUFFER, file);
            let is_mbox = reader.fill_buf()?.starts_with(b"From ");
            Ok((reader, is_mbox))
        });
        match opened {
            Ok((reader, true)) => {
                self.mbox = self.seek(reader.into_inner(), planned).map_or_else(
                    |(planned, error)| {
                        self.unreadable.push_back((planned.path, error));
                        None
                    },
                    Some,
                );
                None
            }
            Ok((reader, false)) => Some(self.single(reader, &planned)),
            Err(error) => Some(stored(&planned, 0, 0, Content::Unreadable(error))),
        }
    }

    fn single(&self, mut reader: BufReader<File>, planned: &Planned) -> StoredMail {
        let size = planned.id.size;
        let content = if size > self.max_bytes as u64 {
            Content::TooLarge
        } else {
            let mut raw = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            match reader.read_to_end(&mut raw) {
                Ok(_) => Content::Whole(raw),
                Err(error) => Content::Unreadable(error),
            }
        };
        StoredMail {
            again: !planned.again.is_empty(),
            ..stored(planned, 0, size, content)
        }
    }

    /// A reader at the next mail to be tried again, else at what was not read yet.
    fn seek(&self, mut file: File, mut planned: Planned) -> Result<OpenMbox, (Planned, io::Error)> {
        let again = planned.again.pop_front();
        let offset = again.unwrap_or(planned.offset);
        if let Err(error) = file.seek(io::SeekFrom::Start(offset)) {
            return Err((planned, error));
        }
        let reader = BufReader::with_capacity(BUFFER, file);
        Ok(OpenMbox {
            reader: MboxReader::new(reader, self.max_bytes, offset),
            planned,
            trying_again: again.is_some(),
        })
    }

    fn next_of_mbox(&mut self, mut open: OpenMbox) -> Option<StoredMail> {
        let path = open.planned.path.clone();
        let next = open.reader.next_mail();
        let mail = match next {
            Ok(Some(mail)) => {
                let content = mail.raw.map_or(Content::TooLarge, Content::Whole);
                let end = if open.trying_again { 0 } else { mail.end };
                Some(StoredMail {
                    place: format!("{}@{}", path.display(), mail.start),
                    again: open.trying_again,
                    ..stored(&open.planned, mail.start, end, content)
                })
            }
            Ok(None) => None,
            Err(error) => return Some(stored(&open.planned, 0, 0, Content::Unreadable(error))),
        };
        if !open.trying_again {
            self.mbox = mail.is_some().then_some(open);
            return mail;
        }
        // One mail was wanted from here; the next place is another.
        let reopened = File::open(&path)
            .map_err(|error| (path, error))
            .and_then(|file| {
                let found = self.seek(file, open.planned);
                found.map_err(|(planned, error)| (planned.path, error))
            });
        match reopened {
            Ok(next) => self.mbox = Some(next),
            Err(failed) => self.unreadable.push_back(failed),
        }
        mail
    }
}

fn stored(planned: &Planned, start: u64, end: u64, content: Content) -> StoredMail {
    StoredMail {
        place: planned.path.display().to_string(),
        file: Some(Arc::clone(&planned.id)),
        start,
        end,
        again: false,
        content,
    }
}

fn read_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Read {
        path: path.to_owned(),
        source,
    }
}

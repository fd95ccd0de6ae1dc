//! Where stored mail lies: finds out what a path is and reads mail by mail.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use walkdir::WalkDir;

use super::mbox::{MboxMail, MboxReader};
use crate::receive::Refusal;

/// Why an import stopped. It can be started again: what was taken has no second effect.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
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
    /// There is no such account.
    #[error("there is no account '{0}'")]
    NoAccount(String),
    /// Bus or store stayed away.
    #[error("a mail could not be handed in")]
    Refused(#[source] Refusal),
}

/// A mail and where it lay.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredMail {
    /// Path, and the number within a mailbox file.
    pub place: String,
    /// The mail.
    pub raw: Vec<u8>,
}

/// Mails of a path, in a stable order.
#[derive(Debug)]
pub struct Source {
    files: VecDeque<PathBuf>,
    mbox: Option<(PathBuf, u64, MboxReader<BufReader<File>>)>,
    max_bytes: usize,
    oversized: Vec<String>,
}

impl Source {
    /// Finds the files under `path`; mails over `max_bytes` are skipped and named.
    pub fn open(path: &Path, max_bytes: usize) -> Result<Self, ImportError> {
        let kind = std::fs::metadata(path).map_err(|source| read_error(path, source))?;
        let files = if kind.is_dir() {
            mail_files(path)?
        } else {
            VecDeque::from([path.to_owned()])
        };
        if files.is_empty() {
            return Err(ImportError::Nothing(path.to_owned()));
        }
        Ok(Self {
            files,
            mbox: None,
            max_bytes,
            oversized: Vec::new(),
        })
    }

    /// Places of mails that were too large since the last call.
    pub fn take_oversized(&mut self) -> Vec<String> {
        std::mem::take(&mut self.oversized)
    }

    fn next_mail(&mut self) -> Result<Option<StoredMail>, ImportError> {
        loop {
            if let Some(mail) = self.next_of_mbox()? {
                return Ok(Some(mail));
            }
            let Some(path) = self.files.pop_front() else {
                return Ok(None);
            };
            let file = File::open(&path).map_err(|source| read_error(&path, source))?;
            let size = file.metadata().map_or(0, |kind| kind.len());
            let mut reader = BufReader::with_capacity(64 * 1024, file);
            let start = reader
                .fill_buf()
                .map_err(|source| read_error(&path, source))?;
            if start.starts_with(b"From ") {
                self.mbox = Some((path, 0, MboxReader::new(reader, self.max_bytes)));
            } else if size > self.max_bytes as u64 {
                self.oversized.push(path.display().to_string());
            } else {
                let mut raw = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
                io::Read::read_to_end(&mut reader, &mut raw)
                    .map_err(|source| read_error(&path, source))?;
                return Ok(Some(StoredMail {
                    place: path.display().to_string(),
                    raw,
                }));
            }
        }
    }

    fn next_of_mbox(&mut self) -> Result<Option<StoredMail>, ImportError> {
        while let Some((path, number, reader)) = &mut self.mbox {
            let mail = reader
                .next_mail()
                .map_err(|source| read_error(path, source))?;
            *number += 1;
            let place = format!("{}#{number}", path.display());
            match mail {
                Some(MboxMail::Whole(raw)) => return Ok(Some(StoredMail { place, raw })),
                Some(MboxMail::TooLarge) => self.oversized.push(place),
                None => self.mbox = None,
            }
        }
        Ok(None)
    }
}

impl Iterator for Source {
    type Item = Result<StoredMail, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_mail().transpose()
    }
}

fn read_error(path: &Path, source: io::Error) -> ImportError {
    ImportError::Read {
        path: path.to_owned(),
        source,
    }
}

/// Mail files under a folder: everything in `cur` and `new` of a Maildir, and by name elsewhere. Sorted, because the
/// names of a Maildir begin with the time of delivery.
fn mail_files(root: &Path) -> Result<VecDeque<PathBuf>, ImportError> {
    let mut files = VecDeque::new();
    for entry in WalkDir::new(root).sort_by_file_name() {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(root).to_owned();
            ImportError::Read {
                path,
                source: error.into(),
            }
        })?;
        if entry.file_type().is_file() && is_mail(entry.path()) {
            files.push_back(entry.into_path());
        }
    }
    Ok(files)
}

fn is_mail(path: &Path) -> bool {
    let parent = path
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if matches!(parent, "cur" | "new") && !name.starts_with('.') && is_maildir(path) {
        return true;
    }
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    ["eml", "mbox", "mbx", "mail"]
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// A folder with both `cur` and `new`.
fn is_maildir(file: &Path) -> bool {
    let Some(folder) = file.parent().and_then(Path::parent) else {
        return false;
    };
    folder.join("cur").is_dir() && folder.join("new").is_dir()
}

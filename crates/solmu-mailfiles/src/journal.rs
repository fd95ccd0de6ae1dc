//! What an import has done, on disk, so that one that was killed goes on where it was.
//!
//! A line is written after the bus has acknowledged what it tells of, never before: a lost or torn line costs a second
//! hand-in, which has no second effect, and can never cost a mail. So the file needs no disk sync. A file that changed
//! since (size or time of change) is read from its start again.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Which version of a file a line is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// Path within what is imported, escaped where it is no UTF-8.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub changed: i64,
}

/// What was done of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileState {
    /// Everything before this is done.
    pub(crate) offset: u64,
    /// Mails that the bus has.
    pub(crate) accepted: u64,
    /// Where mails begin that were refused: they are tried again, an account for them may have been made.
    pub(crate) refused: BTreeSet<u64>,
}

/// A step: what one batch did in one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Everything before this is done now.
    pub offset: u64,
    /// Mails that the bus has since the last line.
    pub accepted: u64,
    /// Mails that were refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<u64>,
    /// Mails that had been refused and now were taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    file: FileId,
    #[serde(flatten)]
    step: Step,
}

/// The journal of one import.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Option<File>,
    states: HashMap<String, (FileId, FileState)>,
}

impl Journal {
    /// Where the journal of an import of `source` lies: one for each source, account and target.
    #[must_use]
    pub fn place(folder: &Path, source: &Path, scope: &str) -> PathBuf {
        let source = source.canonicalize().unwrap_or_else(|_| source.to_owned());
        let mut digest = Sha256::new();
        digest.update(source.as_os_str().as_encoded_bytes());
        digest.update([0]);
        digest.update(scope);
        let name = &hex::encode(digest.finalize())[..32];
        folder.join(format!("{name}.journal"))
    }

    /// A journal in which nothing was done yet. What lies at `path` is not read.
    #[must_use]
    pub fn empty(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            states: HashMap::new(),
        }
    }

    /// Reads a journal, if there is one. Nothing is written before the first step.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut journal = Self::empty(path);
        match std::fs::read(path) {
            Ok(text) => {
                // A torn last line is no line.
                for line in text.split(|byte| *byte == b'\n') {
                    if let Ok(line) = serde_json::from_slice::<Line>(line) {
                        journal.apply(line.file, line.step);
                    }
                }
                Ok(journal)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(journal),
            Err(error) => Err(error),
        }
    }

    /// What was done of this version of a file.
    pub(crate) fn state(&self, file: &FileId) -> Option<&FileState> {
        let (known, state) = self.states.get(&file.key)?;
        (known == file).then_some(state)
    }

    /// Notes what the bus has acknowledged.
    pub fn note(&mut self, steps: Vec<(FileId, Step)>) -> io::Result<()> {
        let mut text = Vec::new();
        for (file, step) in steps {
            let line = Line { file, step };
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
            self.apply(line.file, line.step);
        }
        self.file()?.write_all(&text)
    }

    fn file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.path)?;
            // Ends a torn line of a killed import.
            if file.metadata()?.len() > 0 {
                file.write_all(b"\n")?;
            }
            self.file = Some(file);
        }
        self.file
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn apply(&mut self, file: FileId, step: Step) {
        let entry = self.states.entry(file.key.clone());
        let (known, state) = entry.or_insert_with(|| (file.clone(), FileState::default()));
        if *known != file {
            *known = file;
            *state = FileState::default();
        }
        state.offset = state.offset.max(step.offset);
        state.accepted += step.accepted;
        state.refused.extend(step.refused);
        for offset in step.taken {
            state.refused.remove(&offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64) -> FileId {
        FileId {
            key: "a/ä.mbox".to_owned(),
            size,
            changed: 7,
        }
    }

    fn step(offset: u64, refused: &[u64], taken: &[u64]) -> Step {
        Step {
            offset,
            accepted: 1,
            refused: refused.to_vec(),
            taken: taken.to_vec(),
        }
    }

    #[test]
    fn steps_add_up_and_a_changed_file_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/x.journal");
        let mut journal = Journal::open(&path).unwrap();
        assert!(!path.exists());
        journal.note(vec![(file(9), step(3, &[0], &[]))]).unwrap();
        journal
            .note(vec![
                (file(9), step(6, &[3], &[0])),
                (file(9), step(0, &[], &[])),
            ])
            .unwrap();
        for journal in [&journal, &Journal::open(&path).unwrap()] {
            let state = journal.state(&file(9)).unwrap();
            assert_eq!((state.offset, state.accepted), (6, 3));
            assert_eq!(state.refused, BTreeSet::from([3]));
            assert_eq!(journal.state(&file(10)), None);
        }
        journal.note(vec![(file(10), step(2, &[], &[]))]).unwrap();
        let again = Journal::open(&path).unwrap();
        assert_eq!(again.state(&file(9)), None);
        assert_eq!(again.state(&file(10)).unwrap().offset, 2);
    }

    #[test]
    fn a_torn_line_is_no_line_and_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.journal");
        Journal::open(&path)
            .unwrap()
            .note(vec![(file(9), step(3, &[], &[]))])
            .unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = Journal::open(&path).unwrap();
            let known = journal.state(&file(9)).map(|state| state.offset);
            // Only the line end may be missing from a line that counts.
            assert_eq!(known.is_some(), cut == whole.len() - 1);
            journal.note(vec![(file(9), step(5, &[], &[]))]).unwrap();
            assert_eq!(
                Journal::open(&path)
                    .unwrap()
                    .state(&file(9))
                    .unwrap()
                    .offset,
                5
            );
        }
    }

    #[test]
    fn each_source_and_scope_has_its_own_place() {
        let folder = Path::new("/j");
        let place = |source: &str, scope: &str| Journal::place(folder, Path::new(source), scope);
        assert_eq!(place("/a", "x"), place("/a", "x"));
        assert_ne!(place("/a", "x"), place("/a", "y"));
        assert_ne!(place("/a", "x"), place("/b", "x"));
        assert!(place("/a", "x").starts_with(folder));
    }
}

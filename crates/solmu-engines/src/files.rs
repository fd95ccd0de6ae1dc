//! Small files beside the data: what a start must remember, and the engines' logs.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, lchown},
    path::{Path, PathBuf},
};

/// A log is put aside when a start finds it larger than this.
const LOG_LIMIT_BYTES: u64 = 8 * 1024 * 1024;
/// How much of a log an error shows.
const TAIL_BYTES: u64 = 2_048;

/// `length` random bytes as lowercase hexadecimal, from the system.
pub(crate) fn random_hex(length: usize) -> io::Result<String> {
    let mut bytes = vec![0; length];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    Ok(digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect())
}

/// A short name for `path` that stays the same in every run and version (FNV-1a, 32 bits).
pub(crate) fn short_name(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let hash = path
        .as_os_str()
        .as_bytes()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
    format!("{hash:08x}")
}

/// Replaces `path` in one step with a file of mode 0600.
pub(crate) fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    // A leftover would keep its own mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(content.as_bytes())?;
    own_like_folder(&new)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// Gives `path` to the owner of its folder. Only root ever has to: without it, one start with `sudo` would leave files
/// that the owner of the data cannot read at the next start.
pub(crate) fn own_like_folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    let (file, folder) = (fs::symlink_metadata(path)?, fs::metadata(folder)?);
    if file.uid() == folder.uid() || !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    lchown(path, Some(folder.uid()), Some(folder.gid()))
}

/// Reads `name = value` lines; a missing file has none.
pub(crate) fn read_notes(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        other => other?,
    };
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect())
}

/// Writes `name = value` lines, mode 0600.
pub(crate) fn write_notes(path: &Path, notes: &[(&str, &str)]) -> io::Result<()> {
    let lines: Vec<_> = notes
        .iter()
        .map(|(name, value)| format!("{name} = {value}\n"))
        .collect();
    write_private(path, &lines.concat())
}

/// Makes a rename or a new file in `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The file that takes an engine's standard error.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    path: PathBuf,
    begin: u64,
}

impl Log {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, begin: 0 }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the log for one run of the engine; a large one becomes `<name>.log.1` first.
    pub(crate) fn open(&mut self) -> io::Result<File> {
        if fs::metadata(&self.path).is_ok_and(|meta| meta.len() > LOG_LIMIT_BYTES) {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        own_like_folder(&self.path)?;
        self.begin = file.metadata()?.len();
        Ok(file)
    }

    /// The end of what this run has written.
    pub(crate) fn tail(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(
                self.begin.max(length.saturating_sub(TAIL_BYTES)),
            ))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
        };
        match read() {
            Ok(text) if text.is_empty() => "(the log is empty)".to_owned(),
            Ok(text) => text,
            Err(error) => format!("(the log cannot be read: {error})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_and_are_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nats.notes");
        assert!(read_notes(&path).unwrap().is_empty());
        write_notes(&path, &[("port", "4222"), ("token", "a=b")]).unwrap();
        let notes = read_notes(&path).unwrap();
        assert_eq!(
            (notes["port"].as_str(), notes["token"].as_str()),
            ("4222", "a=b")
        );
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_tail_shows_only_this_run() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::new(folder.path().join("nats.log"));
        log.open().unwrap().write_all(b"earlier run\n").unwrap();
        log.open().unwrap().write_all(b"address in use\n").unwrap();
        assert_eq!(log.tail(), "address in use");
    }

    #[test]
    fn a_short_name_never_changes() {
        assert_eq!(short_name(Path::new("a")), "e40c292c", "FNV-1a test vector");
    }
}

//! The data directory: which one is taken, who may enter it, and that only one process works in it.
//!
//! ```text
//! solmu.lock            held while the engines run; holds our process id
//! postgres/             the cluster             postgres.notes  binaries of the last start
//! nats/                 config, pid, JetStream  nats.notes      ports and token, mode 0600
//! run/                  PostgreSQL's socket, unless the path is too long for one
//! logs/                 what the engines write to standard error
//! ```

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::{
    access::{closed_folder, private_folder},
    config::EngineConfig,
    error::EngineError,
    files::{own_like_folder, short_name},
    identity::{self, RunAs},
};

const LOCK_FILE: &str = "solmu.lock";
/// The name PostgreSQL gives its socket for port 5432.
pub(crate) const SOCKET: &str = ".s.PGSQL.5432";
/// The longest path that fits `sockaddr_un` with its final zero (Linux; macOS has 103).
const SOCKET_PATH_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// A locked data directory.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) run_as: RunAs,
    /// Why the data is not where it was asked for.
    pub(crate) notice: Option<String>,
    /// Released when this is dropped or the process ends, however it ends.
    _lock: File,
}

impl Layout {
    /// Chooses, makes and locks the data directory.
    pub(crate) fn prepare(config: &EngineConfig) -> Result<Self, EngineError> {
        let asked = std::path::absolute(&config.data_dir)
            .map_err(EngineError::io("find", &config.data_dir))?;
        let moved = moved_root(&config.system_dir, &asked);
        let owner = [&asked, &moved]
            .iter()
            .find_map(|root| Some(fs::metadata(root.join("postgres")).ok()?.uid()));
        let run_as = identity::run_as(owner)?;

        let ours = is_ours(&asked);
        let closed = match asked.parent() {
            Some(parent) if ours => closed_folder(parent, &run_as),
            _ => closed_folder(&asked, &run_as),
        };
        let (root, notice) = match (closed, &run_as) {
            (Some(closed), RunAs::User { name, .. }) => {
                let notice = format!(
                    "running as root: the engines run as user '{name}', who cannot enter '{}', so the data is in '{}' instead of '{}'",
                    closed.display(),
                    moved.display(),
                    asked.display()
                );
                (moved, Some(notice))
            }
            _ => (asked, None),
        };
        open_root(&root, &run_as).map_err(EngineError::io("make the data directory", &root))?;
        // PostgreSQL and the process table know folders by their real names.
        let root = root
            .canonicalize()
            .map_err(EngineError::io("find", &root))?;
        let lock = lock(&root)?;
        let run_dir = run_dir(&root, &run_as)?;
        let logs = root.join("logs");
        private_folder(&logs, &RunAs::Ourselves)
            .and_then(|()| own_like_folder(&logs))
            .map_err(EngineError::io("make", &logs))?;
        Ok(Self {
            root,
            run_dir,
            run_as,
            notice,
            _lock: lock,
        })
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        if !self.run_dir.starts_with(&self.root) {
            // Empty after a clean stop; otherwise it is found again by the next start.
            let _ = fs::remove_dir(&self.run_dir);
        }
    }
}

/// Where the data for `asked` goes when the unprivileged user cannot enter it: the same place at each start.
fn moved_root(system_dir: &Path, asked: &Path) -> PathBuf {
    let name: String = asked
        .file_name()
        .map(|name| {
            name.to_string_lossy()
                .chars()
                .filter(|letter| letter.is_ascii_alphanumeric() || "-_".contains(*letter))
                .collect()
        })
        .unwrap_or_default();
    system_dir.join(format!("{name}-{}", short_name(asked)))
}

/// A folder that does not exist, is empty or has our lock file: its mode is ours to set. A folder with other people's
/// files keeps the mode that it has.
fn is_ours(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none() || folder.join(LOCK_FILE).exists(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// As root, others may pass through to their own folders (each 0700) but not list what is here.
fn open_root(root: &Path, run_as: &RunAs) -> io::Result<()> {
    let ours = is_ours(root);
    let missing_above: Vec<_> = root
        .ancestors()
        .skip(1)
        .take_while(|folder| !folder.exists())
        .collect();
    fs::create_dir_all(root)?;
    if *run_as == RunAs::Ourselves {
        return if ours { set_mode(root, 0o700) } else { Ok(()) };
    }
    for folder in missing_above {
        set_mode(folder, 0o755)?;
    }
    if ours { set_mode(root, 0o711) } else { Ok(()) }
}

fn set_mode(folder: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(mode))
}

fn lock(root: &Path) -> Result<File, EngineError> {
    let path = root.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(EngineError::io("open the lock file", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let holder = file
                .read_to_string(&mut text)
                .ok()
                .and_then(|_| text.trim().parse().ok());
            return Err(EngineError::Locked {
                dir: root.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(error)) => return Err(EngineError::io("lock", &path)(error)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file)
        .and_then(|()| own_like_folder(&path))
        .map_err(EngineError::io("write the lock file", &path))?;
    Ok(file)
}

/// The folder of the socket: in the data directory, or a short one where the path would be too long for a socket.
fn run_dir(root: &Path, run_as: &RunAs) -> Result<PathBuf, EngineError> {
    let inside = root.join("run");
    let fits = |folder: &Path| folder.join(SOCKET).as_os_str().len() <= SOCKET_PATH_LIMIT;
    let folder = if fits(&inside) {
        inside
    } else {
        short_run_dir(root, run_as)
    };
    private_folder(&folder, run_as).map_err(EngineError::io("make", &folder))?;
    // Below /tmp somebody else could have made the folder first, to read our traffic.
    let owner = fs::symlink_metadata(&folder).map_err(EngineError::io("look at", &folder))?;
    let expected = match run_as {
        RunAs::Ourselves => nix::unistd::geteuid().as_raw(),
        RunAs::User { uid, .. } => *uid,
    };
    if owner.uid() != expected || !owner.is_dir() {
        let error = io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it belongs to somebody else",
        );
        return Err(EngineError::io("use the folder", &folder)(error));
    }
    Ok(folder)
}

fn short_run_dir(root: &Path, run_as: &RunAs) -> PathBuf {
    let name = format!("solmu-{}", short_name(root));
    #[expect(
        clippy::disallowed_methods,
        reason = "where the session keeps its sockets, no setting of ours"
    )]
    let session = std::env::var("XDG_RUNTIME_DIR").ok().map(PathBuf::from);
    match (run_as, session) {
        (RunAs::Ourselves, Some(folder))
            if folder.is_absolute() && folder.is_dir() && folder.as_os_str().len() < 60 =>
        {
            folder.join(name)
        }
        // Only root can write there.
        (RunAs::User { .. }, _) if Path::new("/run").is_dir() => Path::new("/run").join(name),
        _ => Path::new("/tmp").join(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_directory_keeps_its_place_and_tells_its_origin() {
        let system = Path::new("/var/lib/solmu");
        let moved = moved_root(system, Path::new("/root/my desk/solmu-data"));
        assert!(
            moved
                .to_str()
                .unwrap()
                .starts_with("/var/lib/solmu/solmu-data-")
        );
        assert_eq!(
            moved,
            moved_root(system, Path::new("/root/my desk/solmu-data"))
        );
        assert_ne!(
            moved,
            moved_root(system, Path::new("/root/other/solmu-data"))
        );
    }

    #[test]
    fn a_folder_of_others_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_ours(folder.path()));
        assert!(is_ours(&folder.path().join("missing")));
        fs::write(folder.path().join("letter.txt"), "x").unwrap();
        assert!(!is_ours(folder.path()));
        let before = fs::metadata(folder.path()).unwrap().mode();
        open_root(
            folder.path(),
            &RunAs::User {
                name: "nobody".into(),
                uid: 65534,
                gid: 65534,
            },
        )
        .unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().mode(), before);
        fs::write(folder.path().join(LOCK_FILE), "1").unwrap();
        assert!(is_ours(folder.path()));
    }

    #[test]
    fn the_second_lock_names_the_holder() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        match lock(folder.path()) {
            Err(EngineError::Locked { holder, .. }) => assert_eq!(holder, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(held);
        lock(folder.path()).unwrap();
    }

    #[test]
    fn a_long_path_gets_a_short_run_folder() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("d".repeat(100));
        fs::create_dir(&long).unwrap();
        let run_dir = run_dir(&long, &RunAs::Ourselves).unwrap();
        assert!(run_dir.join(SOCKET).as_os_str().len() <= SOCKET_PATH_LIMIT);
        assert!(!run_dir.starts_with(&long));
        fs::remove_dir(&run_dir).unwrap();
    }
}

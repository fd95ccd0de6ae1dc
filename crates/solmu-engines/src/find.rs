//! Looks for binaries: the configured path, `.tools/bin`, `PATH`, the distribution's folders. One that is too old, too
//! new or broken falls through to the next, and is named when none is left.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    error::{EngineError, EngineName, Missing, Rejected},
    process::wait_until,
};

/// The versions of PostgreSQL that our SQL is written for and tested on.
const POSTGRES_MAJORS: std::ops::RangeInclusive<u32> = 15..=18;
/// Older ones know neither several filter subjects nor consumer metadata.
const NATS_OLDEST: (u32, u32) = (2, 10);
/// How long a binary may take to tell its version.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// A usable PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PostgresBin {
    /// Holds `postgres` and `initdb`.
    pub(crate) bin_dir: PathBuf,
    pub(crate) major: u32,
    /// As printed, such as `15.18`.
    pub(crate) version: String,
}

/// A usable nats-server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NatsBin {
    pub(crate) path: PathBuf,
    /// As printed, without the `v`.
    pub(crate) version: String,
}

/// What existing data asks of the binaries.
#[derive(Debug)]
pub(crate) struct ExistingCluster<'a> {
    pub(crate) major: u32,
    pub(crate) cluster: &'a Path,
    pub(crate) run_dir: &'a Path,
}

/// Finds a PostgreSQL; with existing data, one of the version that wrote it. `last_used` is the folder that the
/// previous start took, tried last in case the search paths have changed.
pub(crate) fn postgres(
    configured: Option<&Path>,
    last_used: Option<PathBuf>,
    existing: Option<&ExistingCluster<'_>>,
) -> Result<PostgresBin, EngineError> {
    let mut rejected = Vec::new();
    let mut other_majors = Vec::new();
    for path in candidates(
        configured,
        "postgres",
        postgres_folders().into_iter().chain(last_used),
    ) {
        match look_at_postgres(&path) {
            Ok(found) => match existing {
                Some(existing) if existing.major != found.major => {
                    other_majors.push(format!("{} ('{}')", found.version, found.bin_dir.display()));
                }
                _ => return Ok(found),
            },
            Err(reason) => rejected.push(reject(path, reason)),
        }
    }
    match existing {
        Some(existing) => Err(EngineError::MajorMismatch {
            cluster: existing.cluster.to_owned(),
            run_dir: existing.run_dir.to_owned(),
            data_major: existing.major,
            found: if other_majors.is_empty() {
                "none was".to_owned()
            } else {
                format!("{} was", other_majors.join(", "))
            },
        }),
        None => Err(EngineError::Missing(vec![Missing {
            engine: EngineName::Postgres,
            rejected,
        }])),
    }
}

/// Finds a nats-server.
pub(crate) fn nats(configured: Option<&Path>) -> Result<NatsBin, Missing> {
    let mut rejected = Vec::new();
    for path in candidates(configured, "nats-server", std::iter::empty()) {
        match look_at_nats(&path) {
            Ok(found) => return Ok(found),
            Err(reason) => rejected.push(reject(path, reason)),
        }
    }
    Err(Missing {
        engine: EngineName::Nats,
        rejected,
    })
}

fn reject(path: PathBuf, reason: String) -> Rejected {
    tracing::warn!(path = %path.display(), reason, "engine binary not usable");
    Rejected { path, reason }
}

/// Every existing file that could be `binary`, links resolved, each once, best first.
fn candidates(
    configured: Option<&Path>,
    binary: &str,
    distribution: impl Iterator<Item = PathBuf>,
) -> Vec<PathBuf> {
    let configured = configured.map(|path| {
        if path.is_dir() {
            path.join(binary)
        } else {
            path.to_owned()
        }
    });
    #[expect(
        clippy::disallowed_methods,
        reason = "PATH is where programs are, no setting of ours"
    )]
    let path = env::var("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = env::split_paths(OsStr::new(&path))
        .filter(|folder| folder.is_absolute())
        .collect();
    let folders = tools_folders()
        .into_iter()
        .chain(on_path)
        .chain(distribution);

    let mut found: Vec<PathBuf> = Vec::new();
    for file in configured
        .into_iter()
        .chain(folders.map(|folder| folder.join(binary)))
    {
        // PostgreSQL finds its libraries from where the file really is.
        if let Ok(real) = file.canonicalize()
            && real.is_file()
            && !found.contains(&real)
        {
            found.push(real);
        }
    }
    found
}

/// `.tools/bin` of the checkouts around the working directory and around our own executable. Outside of a checkout
/// only the nearest folders count: a `.tools` somewhere above, say in /tmp, may be anybody's.
fn tools_folders() -> Vec<PathBuf> {
    let work_dir = env::current_dir().ok();
    let beside_us = env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_owned));
    let mut folders = Vec::new();
    for (start, outside) in [(work_dir, 1), (beside_us, 2)] {
        let Some(start) = start else { continue };
        let depth = start
            .ancestors()
            .position(|folder| folder.join("Cargo.lock").is_file())
            .map_or(outside, |position| position + 1);
        folders.extend(
            start
                .ancestors()
                .take(depth)
                .map(|folder| folder.join(".tools/bin")),
        );
    }
    folders
}

/// Where distributions put PostgreSQL, newest version first.
fn postgres_folders() -> Vec<PathBuf> {
    let majors = || POSTGRES_MAJORS.rev();
    let debian = majors().map(|major| format!("/usr/lib/postgresql/{major}/bin"));
    let alpine = majors().map(|major| format!("/usr/libexec/postgresql{major}"));
    let red_hat = majors().map(|major| format!("/usr/pgsql-{major}/bin"));
    let homebrew = [
        "/opt/homebrew/opt",
        "/usr/local/opt",
        "/home/linuxbrew/.linuxbrew/opt",
    ]
    .into_iter()
    .flat_map(|brew| majors().map(move |major| format!("{brew}/postgresql@{major}/bin")));
    debian
        .chain(alpine)
        .chain(red_hat)
        .chain(homebrew)
        .map(PathBuf::from)
        .collect()
}

fn look_at_postgres(path: &Path) -> Result<PostgresBin, String> {
    let bin_dir = path.parent().ok_or("is no file")?.to_owned();
    let printed = version_of(path)?;
    let version = postgres_version(&printed)
        .ok_or_else(|| format!("prints '{printed}', which is no version of PostgreSQL"))?;
    let major = leading_number(version)
        .ok_or_else(|| format!("prints '{printed}', which is no version of PostgreSQL"))?;
    if !POSTGRES_MAJORS.contains(&major) {
        return Err(format!("is version {version}; 15 to 18 are supported"));
    }
    if !bin_dir.join("initdb").is_file() {
        return Err("has no initdb beside it".to_owned());
    }
    Ok(PostgresBin {
        major,
        version: version.to_owned(),
        bin_dir,
    })
}

fn look_at_nats(path: &Path) -> Result<NatsBin, String> {
    let printed = version_of(path)?;
    let (version, number) = nats_version(&printed)
        .ok_or_else(|| format!("prints '{printed}', which is no version of nats-server"))?;
    if number < NATS_OLDEST {
        return Err(format!("is version {version}; 2.10 or newer is needed"));
    }
    Ok(NatsBin {
        path: path.to_owned(),
        version: version.to_owned(),
    })
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is `15.18`.
fn postgres_version(printed: &str) -> Option<&str> {
    printed
        .split_once("(PostgreSQL) ")?
        .1
        .split_whitespace()
        .next()
}

/// `nats-server: v2.15.1` is `2.15.1` and (2, 15).
fn nats_version(printed: &str) -> Option<(&str, (u32, u32))> {
    let version = printed
        .split_once("nats-server: v")?
        .1
        .split_whitespace()
        .next()?;
    let mut parts = version.split('.');
    Some((
        version,
        (
            leading_number(parts.next()?)?,
            leading_number(parts.next()?)?,
        ),
    ))
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..digits)?.parse().ok()
}

/// What `<path> --version` prints; the error is the end of a sentence about the binary.
fn version_of(path: &Path) -> Result<String, String> {
    let mut child = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("does not run ({error})"))?;
    let mut status = None;
    wait_until(VERSION_LIMIT, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    let Some(status) = status else {
        // Nothing more can be done about a child that cannot be killed.
        let _ = child.kill().and_then(|()| child.wait());
        return Err("does not tell its version in time".to_owned());
    };
    if !status.success() {
        return Err(format!("does not run ({status})"));
    }
    let mut text = String::new();
    if let Some(stdout) = child.stdout.take() {
        // A version is short, so it fits the pipe and the child could end before we read.
        stdout
            .take(1_000)
            .read_to_string(&mut text)
            .map_err(|error| format!("does not tell its version ({error})"))?;
    }
    Ok(text.trim().to_owned())
}

/// The major version that wrote `cluster`, if there is one.
pub(crate) fn cluster_major(cluster: &Path) -> Option<u32> {
    leading_number(fs::read_to_string(cluster.join("PG_VERSION")).ok()?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn script(path: &Path, body: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn versions_are_read_as_vendors_print_them() {
        assert_eq!(
            postgres_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some("15.18")
        );
        assert_eq!(
            postgres_version("postgres (PostgreSQL) 18beta1"),
            Some("18beta1")
        );
        assert_eq!(leading_number("18beta1"), Some(18));
        assert_eq!(leading_number("devel"), None);
        assert_eq!(
            nats_version("nats-server: v2.15.1"),
            Some(("2.15.1", (2, 15)))
        );
        assert_eq!(
            nats_version("nats-server: v2.11.0-RC.1"),
            Some(("2.11.0-RC.1", (2, 11)))
        );
        assert_eq!(nats_version("gnatsd 1.0"), None);
    }

    #[test]
    fn an_old_or_broken_binary_is_named_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        script(&at("old/postgres"), "echo 'postgres (PostgreSQL) 14.2'");
        script(&at("new/postgres"), "echo 'postgres (PostgreSQL) 19.1'");
        script(&at("alone/postgres"), "echo 'postgres (PostgreSQL) 16.2'");
        script(&at("broken/postgres"), "exit 127");
        script(&at("old/nats-server"), "echo 'nats-server: v2.9.10'");
        let reason = |name: &str| look_at_postgres(&at(name)).unwrap_err();
        assert_eq!(
            reason("old/postgres"),
            "is version 14.2; 15 to 18 are supported"
        );
        assert_eq!(
            reason("new/postgres"),
            "is version 19.1; 15 to 18 are supported"
        );
        assert_eq!(reason("alone/postgres"), "has no initdb beside it");
        assert_eq!(reason("broken/postgres"), "does not run (exit status: 127)");
        assert!(reason("missing/postgres").starts_with("does not run (No such file"));
        assert_eq!(
            look_at_nats(&at("old/nats-server")).unwrap_err(),
            "is version 2.9.10; 2.10 or newer is needed"
        );
    }

    #[test]
    fn the_configured_binary_comes_first_and_links_are_resolved() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real/postgres");
        script(&real, "true");
        let link = folder.path().join("postgres");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let real = real.canonicalize().unwrap();
        assert_eq!(
            candidates(Some(&link), "postgres", std::iter::empty())[0],
            real
        );
        assert_eq!(
            candidates(Some(folder.path()), "postgres", std::iter::empty())[0],
            real
        );
    }
}

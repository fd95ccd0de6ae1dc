//! The committed code and pages of `proto/` are what the generators make of it today.

use std::{collections::BTreeMap, ffi::OsString, fs, path::Path};

use anyhow::{Context, Result};

use super::Project;
use crate::{apidoc, generate};

/// Generated files that differ, are missing or are too many.
pub(super) fn check(project: &Project<'_>) -> Result<Vec<String>> {
    let committed_in = project.root.join(generate::OUT);
    if project.fix {
        generate::generate(project.root, &committed_in)?;
        generate::pages(project.root)?;
    }
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    generate::generate(project.root, folder.path())?;
    let fresh = contents(folder.path())?;
    let committed = contents(&committed_in)?;

    let mut problems = Vec::new();
    for (name, content) in &fresh {
        let shown = Path::new(generate::OUT).join(name);
        match committed.get(name) {
            None => problems.push(format!("{}: missing", shown.display())),
            Some(old) if old != content => problems.push(format!("{}: stale", shown.display())),
            Some(_) => {}
        }
    }
    for name in committed.keys().filter(|name| !fresh.contains_key(*name)) {
        let shown = Path::new(generate::OUT).join(name);
        problems.push(format!("{}: of no package; remove it", shown.display()));
    }
    problems.extend(pages(project)?);
    Ok(problems)
}

/// Pages about the API that differ, are missing or are too many.
fn pages(project: &Project<'_>) -> Result<Vec<String>> {
    let fresh = apidoc::pages(&generate::descriptors(project.root)?);
    let committed = contents(&project.root.join(apidoc::OUT))?;
    let shown = |name: &str| format!("{}/{name}", apidoc::OUT);
    let mut problems = Vec::new();
    for (name, text) in &fresh {
        match committed.get(OsString::from(name).as_os_str()) {
            Some(old) if old == text.as_bytes() => {}
            Some(_) => problems.push(format!("{}: stale", shown(name))),
            None => problems.push(format!("{}: missing", shown(name))),
        }
    }
    for name in committed.keys().map(|name| name.to_string_lossy()) {
        if name != apidoc::FOREIGN && !fresh.contains_key(name.as_ref()) {
            problems.push(format!("{}: of no package; remove it", shown(&name)));
        }
    }
    Ok(problems)
}

fn contents(folder: &Path) -> Result<BTreeMap<OsString, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let entry = entry?;
        files.insert(entry.file_name(), fs::read(entry.path())?);
    }
    Ok(files)
}

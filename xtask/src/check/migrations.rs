//! Migrations are one ordered history that only grows.
//!
//! `migrations/released.sha256` holds the hash of each migration that a release has carried, in the format of
//! `sha256sum`. A database somewhere has run those, so they neither change nor go. Hashes were preferred to a comparison
//! with a git tag: a checkout without its history judges the same.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

use super::Project;

const FOLDER: &str = "migrations";
const RELEASED: &str = "released.sha256";

/// What may stand beside the migrations.
const OTHER_FILES: [&str; 2] = [RELEASED, "README.md"];

const HEADER: &str = "# Hashes of released migrations; `cargo xtask migrations release` appends. Nothing is released yet while this is all.\n";

/// Wrong names, two of one number, and released migrations that changed.
pub(super) fn check(project: &Project<'_>) -> Result<Vec<String>> {
    problems_of(project.root)
}

/// Adds every migration that is not in the list of released ones; says which.
pub(crate) fn release(root: &Path) -> Result<Vec<String>> {
    let problems = problems_of(root)?;
    anyhow::ensure!(problems.is_empty(), "{}", problems.join("\n"));
    let list = root.join(FOLDER).join(RELEASED);
    let mut text = fs::read_to_string(&list).unwrap_or_else(|_| HEADER.to_owned());
    let released = parse(&text)?;
    let mut added = Vec::new();
    for (name, hash) in present(root)? {
        if !OTHER_FILES.contains(&name.as_str()) && !released.contains_key(&name) {
            text.extend([hash.as_str(), "  ", name.as_str(), "\n"]);
            added.push(name);
        }
    }
    fs::write(&list, text).with_context(|| format!("cannot write {}", list.display()))?;
    Ok(added)
}

fn problems_of(root: &Path) -> Result<Vec<String>> {
    let list = root.join(FOLDER).join(RELEASED);
    let text = fs::read_to_string(&list).with_context(|| {
        format!(
            "cannot read {FOLDER}/{RELEASED}: it stays in the project, also while it lists nothing"
        )
    })?;
    Ok(judge(&parse(&text)?, &present(root)?))
}

/// Compares names and hashes of what is released with what is there.
fn judge(released: &BTreeMap<String, String>, present: &BTreeMap<String, String>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut numbers: BTreeMap<u32, &str> = BTreeMap::new();
    let newest_release = released.keys().filter_map(|name| number(name)).max();
    for name in present
        .keys()
        .filter(|name| !OTHER_FILES.contains(&name.as_str()))
    {
        let Some(number) = number(name) else {
            problems.push(format!("{FOLDER}/{name}: not named NNNN_what_it_does.sql"));
            continue;
        };
        if let Some(other) = numbers.insert(number, name) {
            problems.push(format!("{FOLDER}/{name}: {other} has this number too"));
        }
        if !released.contains_key(name) && newest_release.is_some_and(|newest| number <= newest) {
            problems.push(format!(
                "{FOLDER}/{name}: new, but not above the released ones; renumber it"
            ));
        }
    }
    for (name, hash) in released {
        match present.get(name) {
            None => problems.push(format!("{FOLDER}/{name}: released, but gone")),
            Some(now) if now != hash => {
                problems.push(format!("{FOLDER}/{name}: released, but changed"));
            }
            Some(_) => {}
        }
    }
    problems
}

/// The number of a migration that is named as it should be.
fn number(name: &str) -> Option<u32> {
    let (number, rest) = name.split_once('_')?;
    let words = rest.strip_suffix(".sql")?;
    let is_plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
    if number.len() != 4 || words.is_empty() || !words.chars().all(is_plain) {
        return None;
    }
    number.parse().ok()
}

/// Hashes by name.
fn parse(text: &str) -> Result<BTreeMap<String, String>> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let (hash, name) = line
                .split_once("  ")
                .with_context(|| format!("{RELEASED}: '{line}' is no hash and name"))?;
            Ok((name.to_owned(), hash.to_owned()))
        })
        .collect()
}

/// Hash of every file in the folder, by name.
fn present(root: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(root.join(FOLDER)).context("cannot list migrations/")? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let content = fs::read(entry.path()).with_context(|| format!("cannot read {name}"))?;
        files.insert(name, hex::encode(Sha256::digest(content)));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(FOLDER)).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(FOLDER).join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn names_and_numbers_are_checked() {
        let folder = folder(&[
            (RELEASED, HEADER),
            ("0001_a.sql", ""),
            ("0003_b_2.sql", ""),
            ("0003_c.sql", ""),
            ("4_d.sql", ""),
            ("0005_E.sql", ""),
        ]);
        let problems = problems_of(folder.path()).unwrap();
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn released_migrations_stay() {
        let folder = folder(&[(RELEASED, HEADER), ("0001_a.sql", "a"), ("0004_b.sql", "b")]);
        let root = folder.path();
        assert_eq!(release(root).unwrap(), ["0001_a.sql", "0004_b.sql"]);
        assert_eq!(release(root).unwrap(), Vec::<String>::new());
        assert_eq!(problems_of(root).unwrap(), Vec::<String>::new());

        fs::write(root.join(FOLDER).join("0001_a.sql"), "changed").unwrap();
        fs::remove_file(root.join(FOLDER).join("0004_b.sql")).unwrap();
        fs::write(root.join(FOLDER).join("0002_late.sql"), "").unwrap();
        assert_eq!(
            problems_of(root).unwrap(),
            [
                "migrations/0002_late.sql: new, but not above the released ones; renumber it",
                "migrations/0001_a.sql: released, but changed",
                "migrations/0004_b.sql: released, but gone",
            ]
        );
        assert!(release(root).is_err());
    }

    #[test]
    fn the_list_must_be_there() {
        assert!(problems_of(folder(&[]).path()).is_err());
    }
}

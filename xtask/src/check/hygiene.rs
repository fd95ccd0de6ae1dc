//! What must not stand in any file: silenced lints without a reason, tests that do not run, paths and hosts of one
//! machine.

use std::{fs, path::Path};

use anyhow::Result;

use super::Project;
use crate::source::{self, Source};

/// Code that hides something, and what to write instead.
const BANNED_CODE: [(&str, &str); 3] = [
    ("#[allow(", "write `#[expect(lint, reason = \"...\")]`"),
    ("#![allow(", "write `#![expect(lint, reason = \"...\")]`"),
    ("#[ignore", "a test runs or does not exist"),
];

/// Folders of people, and those below them that are the same on every machine.
const HOMES: [&str; 2] = [concat!("/", "root/"), concat!("/", "home/")];
const PUBLIC_HOMES: [&str; 1] = [concat!("/", "home/", "linuxbrew/")];

/// Settings that point package managers elsewhere.
const REGISTRIES: [&str; 6] = [
    concat!("index", "-url"),
    concat!("replace", "-with"),
    concat!("_auth", "Token"),
    concat!("GO", "PROXY="),
    concat!("PIP_", "INDEX"),
    concat!("npm_config_", "registry"),
];

/// Every place that breaks one of the rules.
pub(super) fn check(project: &Project<'_>) -> Result<Vec<String>> {
    let mut problems: Vec<String> = project.sources.iter().flat_map(banned_code).collect();
    let machine = Machine::new(project.root);
    for path in source::project_files(project.root)? {
        // What is no text has no lines to judge.
        if let Ok(text) = fs::read_to_string(project.root.join(&path)) {
            problems.extend(machine.problems(&Source::new(path, text)));
        }
    }
    Ok(problems)
}

fn banned_code(source: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    for (banned, instead) in BANNED_CODE {
        for (at, _) in source.code.match_indices(banned) {
            problems.push(format!("{}: {banned}..: {instead}", source.place(at)));
        }
    }
    // Doc examples that nobody runs.
    for (at, _) in source.text.match_indices(concat!("```", "ignore")) {
        problems.push(format!(
            "{}: an example that is never built",
            source.place(at)
        ));
    }
    problems
}

/// What tells the machine of whoever writes.
struct Machine {
    /// Paths of this checkout.
    paths: Vec<String>,
}

impl Machine {
    fn new(root: &Path) -> Self {
        let shared = root.parent().map(|parent| parent.join("shared"));
        let paths = [Some(root.to_owned()), shared]
            .into_iter()
            .flatten()
            .map(|path| path.display().to_string())
            // A checkout at `/src` would ban a word, not a path.
            .filter(|path| path.matches('/').count() > 1)
            .collect();
        Self { paths }
    }

    fn problems(&self, file: &Source) -> Vec<String> {
        let is_rust = file
            .path
            .extension()
            .is_some_and(|extension| extension == "rs");
        let tests = if is_rust {
            file.tests_start()
        } else {
            usize::MAX
        };
        let mut problems = Vec::new();
        for path in &self.paths {
            for (at, _) in file.text.match_indices(path.as_str()) {
                problems.push(format!("{}: a path of this machine", file.place(at)));
            }
        }
        for home in HOMES {
            for (at, _) in file.text.match_indices(home) {
                let is_public = PUBLIC_HOMES
                    .iter()
                    .any(|public| file.text[at..].starts_with(public));
                let is_example = is_rust && (at > tests || file.is_test());
                if starts_a_path(&file.text, at) && !is_public && !is_example {
                    problems.push(format!("{}: somebody's home folder", file.place(at)));
                }
            }
        }
        for registry in REGISTRIES {
            for (at, _) in file.text.match_indices(registry) {
                problems.push(format!("{}: a registry of one machine", file.place(at)));
            }
        }
        if file.path.ends_with("package-lock.json") {
            problems.extend(foreign_packages(file));
        }
        problems
    }
}

/// Whether the path at `at` is absolute, not the end of a URL, of `$folder/home/` or of `"$folder"/home/`.
fn starts_a_path(text: &str, at: usize) -> bool {
    let before = &text[..at];
    let inside = before.strip_suffix('"').unwrap_or(before);
    !inside.ends_with(|char: char| char.is_alphanumeric() || "}/._-*".contains(char))
}

/// Packages that a lock file takes from elsewhere.
fn foreign_packages(file: &Source) -> Vec<String> {
    file.text
        .match_indices("\"resolved\": \"http")
        .filter(|(at, _)| {
            !file.text[*at..].starts_with("\"resolved\": \"https://registry.npmjs.org/")
        })
        .map(|(at, _)| format!("{}: not from registry.npmjs.org", file.place(at)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        let machine = Machine::new(Path::new("/build/checkout"));
        machine
            .problems(&Source::new(PathBuf::from(path), text.to_owned()))
            .len()
    }

    #[test]
    fn silenced_lints_and_tests_are_found() {
        let text =
            "#[allow(dead_code)]\nfn a() {}\n#[ignore = \"slow\"]\nfn b() {}\n// #[allow(x)]\n";
        let source = Source::new(PathBuf::from("a.rs"), text.to_owned());
        assert_eq!(banned_code(&source).len(), 2);
    }

    #[test]
    fn paths_of_this_machine_are_found() {
        assert_eq!(problems("README.md", "see /build/checkout/docs"), 1);
        assert_eq!(problems("README.md", "see ../shared/fixtures"), 0);
        assert_eq!(
            problems("a.toml", &format!("cache = \"{}me/x\"", HOMES[1])),
            1
        );
        assert_eq!(
            problems("a.sh", &format!("ls \"$scratch\"{}x", HOMES[1])),
            0
        );
        assert_eq!(
            problems(
                "a.rs",
                &format!("const A: &str = \"{}x\";", PUBLIC_HOMES[0])
            ),
            0
        );
        assert_eq!(
            problems(
                "a.rs",
                &format!("#[cfg(test)]\nmod tests {{\n\"{}x\"\n}}", HOMES[0])
            ),
            0
        );
    }

    #[test]
    fn registries_are_found() {
        assert_eq!(problems("pip.conf", &format!("{} = x", REGISTRIES[0])), 1);
        let lock = r#""resolved": "https://registry.npmjs.org/a", "resolved": "http://mirror/a""#;
        assert_eq!(problems("web/package-lock.json", lock), 1);
    }
}

//! The project's files, and Rust sources read just far enough for the checks.
//!
//! A parser (`syn`) was rejected: positions need a feature of proc-macro2 that would build half of the macros of the
//! workspace a second time, and every check here is about text that stands between comments and strings.

use std::{
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use walkdir::WalkDir;

use crate::generate;

/// What takes the place of a string's content in [`Source::code`]; no Rust token looks like it.
const MASK: u8 = b'~';

/// A Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the workspace's root.
    pub(crate) path: PathBuf,
    /// The file as it is.
    pub(crate) text: String,
    /// The same bytes and lines with comments as spaces and the content of strings and chars as `~`.
    pub(crate) code: String,
}

impl Source {
    /// Reads the text of a file.
    pub(crate) fn new(path: PathBuf, text: String) -> Self {
        let code = mask(&text);
        Self { path, text, code }
    }

    /// `path:line` of a byte, as editors and terminals link it.
    pub(crate) fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.path.display(), self.line(offset))
    }

    /// The line of a byte, from 1.
    fn line(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// Where the inline tests begin; the end of the file when it has none.
    pub(crate) fn tests_start(&self) -> usize {
        let mut offset = 0;
        while let Some(at) = self.code[offset..].find("#[cfg(test)]") {
            let start = offset + at;
            offset = start + "#[cfg(test)]".len();
            let item = self.code[offset..]
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty() && !line.starts_with("#["));
            if item.is_some_and(|line| line.contains("mod ") && line.ends_with('{')) {
                return start;
            }
        }
        self.code.len()
    }

    /// Whether the whole file is tests.
    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy();
        name == "tests"
            || name.ends_with("_tests")
            || self.path.components().any(|part| {
                ["tests", "benches", "testing"].contains(&&*part.as_os_str().to_string_lossy())
            })
    }

    /// Folder name of the crate that the file belongs to: `solmu-bus`, `xtask`.
    pub(crate) fn krate(&self) -> String {
        let mut parts = self.path.components().map(Component::as_os_str);
        let first = parts.next().unwrap_or_default().to_string_lossy();
        if first == "crates" {
            return parts
                .next()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
        }
        first.into_owned()
    }
}

/// Every file of the project, relative to `root`, sorted: what git tracks or would track; without git, what is there.
pub(crate) fn project_files(root: &Path) -> Result<Vec<PathBuf>> {
    let listing = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others"])
        .arg("--exclude-standard")
        .output();
    let mut files: Vec<PathBuf> = match listing {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .filter(|path| root.join(path).is_file())
            .collect(),
        _ => walk(root)?,
    };
    files.sort();
    files.dedup();
    Ok(files)
}

/// Every Rust file that people write.
pub(crate) fn rust_sources(root: &Path) -> Result<Vec<Source>> {
    let generated = Path::new(generate::OUT);
    let mut sources = Vec::new();
    for path in project_files(root)? {
        if path.extension().is_some_and(|extension| extension == "rs")
            && !path.starts_with(generated)
        {
            let text = fs::read_to_string(root.join(&path))
                .with_context(|| format!("cannot read {}", path.display()))?;
            sources.push(Source::new(path, text));
        }
    }
    Ok(sources)
}

fn walk(root: &Path) -> Result<Vec<PathBuf>> {
    let ignored = ["target", ".git", ".tools", "solmu-data", "node_modules"];
    let mut files = Vec::new();
    let entries = WalkDir::new(root)
        .into_iter()
        .filter_entry(|entry| !ignored.contains(&&*entry.file_name().to_string_lossy()));
    for entry in entries {
        let entry = entry.context("cannot list the project")?;
        if entry.file_type().is_file() {
            let path = entry.path().strip_prefix(root);
            files.push(path.context("outside of the project")?.to_owned());
        }
    }
    Ok(files)
}

/// Masks comments, strings and chars; bytes and lines stay where they are.
fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let after_name = at > 0 && is_word(bytes[at - 1]);
        if rest.starts_with(b"//") {
            let end = at
                + rest
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .unwrap_or(rest.len());
            cover(&mut code[at..end], b' ');
            at = end;
        } else if rest.starts_with(b"/*") {
            let end = at + block_comment(rest);
            cover(&mut code[at..end], b' ');
            at = end;
        } else if let Some((start, end)) = raw_string(rest).filter(|_| !after_name) {
            cover(&mut code[at + start..at + end], MASK);
            at += end + 1;
        } else if rest[0] == b'"' {
            let end = at + quoted(rest, b'"');
            cover(&mut code[at + 1..end], MASK);
            at = end + 1;
        } else if is_char(&text[at..]) {
            let end = at + quoted(rest, b'\'');
            cover(&mut code[at + 1..end], MASK);
            at = end + 1;
        } else {
            at += 1;
            while !text.is_char_boundary(at) {
                at += 1;
            }
        }
    }
    String::from_utf8(code).unwrap_or_default()
}

/// Part of a name or number.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn cover(bytes: &mut [u8], with: u8) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = with;
    }
}

/// Length of the block comment at the start; they nest.
fn block_comment(bytes: &[u8]) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// Start and end of the content of the raw string at the start (`r"`, `br#"`, ...), if there is one.
fn raw_string(bytes: &[u8]) -> Option<(usize, usize)> {
    let prefix = usize::from(matches!(bytes[0], b'b' | b'c'));
    let body = bytes.get(prefix..)?.strip_prefix(b"r")?;
    let hashes = body.iter().take_while(|byte| **byte == b'#').count();
    body.get(hashes).filter(|byte| **byte == b'"')?;
    let start = prefix + 1 + hashes + 1;
    let mut closing = vec![b'"'];
    closing.resize(hashes + 1, b'#');
    let length = bytes[start..]
        .windows(closing.len())
        .position(|window| window == closing)
        .unwrap_or(bytes.len() - start - 1);
    Some((start, start + length))
}

/// Offset of the quote that closes the one at the start.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len() - 1)
}

/// Whether a char literal, not a lifetime, starts here.
fn is_char(text: &str) -> bool {
    let mut chars = text.chars();
    if chars.next() != Some('\'') {
        return false;
    }
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        Source::new(PathBuf::from("a.rs"), text.to_owned()).code
    }

    #[test]
    fn comments_and_strings_are_masked_in_place() {
        assert_eq!(masked("a // b\nc"), "a     \nc");
        assert_eq!(masked("a /* b /* c */ d */ e"), "a                   e");
        assert_eq!(masked(r#"f("a\"b", 'x', '\'')"#), r#"f("~~~~", '~', '~~')"#);
        assert_eq!(masked(r##"r#"a"b"# + br"c""##), r##"r#"~~~"# + br"~""##);
        assert_eq!(masked("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
        assert_eq!(masked("\"ä\" 'ä' ä"), "\"~~\" '~~' ä");
        assert_eq!(masked("\"a // b\" // \"c"), "\"~~~~~~\"      ");
    }

    #[test]
    fn an_unclosed_string_ends_with_the_file() {
        assert_eq!(masked("\"ab"), "\"~b");
        assert_eq!(masked("r\"ab"), "r\"~b");
    }

    #[test]
    fn inline_tests_are_found() {
        let source = Source::new(
            PathBuf::from("crates/solmu-bus/src/a.rs"),
            "#[cfg(test)]\nmod other;\nfn a() {}\n#[cfg(test)]\nmod tests {\n}\n".to_owned(),
        );
        assert_eq!(source.line(source.tests_start()), 4);
        assert_eq!(source.krate(), "solmu-bus");
        assert!(!source.is_test());
    }
}

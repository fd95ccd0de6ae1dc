//! Runs other programs and says what failed.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// Cargo, as it runs us, in the workspace's root.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root);
    command
}

/// A tool of `.tools/bin`, else of PATH.
pub(crate) fn tool(root: &Path, name: &str) -> Command {
    let pinned: PathBuf = root.join(".tools/bin").join(name);
    let mut command = Command::new(if pinned.is_file() {
        pinned
    } else {
        name.into()
    });
    command.current_dir(root);
    command
}

/// What a program printed, when it failed; nothing when it succeeded.
pub(crate) fn failure_of(command: &mut Command) -> Result<Option<String>> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    if output.status.success() {
        return Ok(None);
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    if text.trim().is_empty() {
        text = format!("{} ended with {}", shown(command), output.status);
    }
    Ok(Some(text.trim_end().to_owned()))
}

/// Standard output of a program that has to succeed.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    anyhow::ensure!(
        output.status.success(),
        "{} failed: {}",
        shown(command),
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    String::from_utf8(output.stdout).with_context(|| format!("{} prints no text", shown(command)))
}

/// The name of the program and its arguments.
fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    std::iter::once(name)
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

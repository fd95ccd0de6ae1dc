//! What files are mail, and what stays the same about them from run to run.

use std::{
    fs::{File, Metadata},
    io::Read as _,
    path::Path,
    time::UNIX_EPOCH,
};

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// Escaped in the keys of files: what would not be text.
const KEY: &AsciiSet = &CONTROLS.add(b'%');

/// Names a file in the journal. In a Maildir a mail moves from `new` to `cur` and its flags change: what stays is the
/// name before the colon.
pub(crate) fn key(root: &Path, path: &Path) -> String {
    let inner = path.strip_prefix(root).unwrap_or(path);
    let inner = match (path.parent().and_then(Path::parent), path.file_name()) {
        (Some(_), Some(name)) if is_in_maildir(path) => {
            let folder = inner
                .parent()
                .and_then(Path::parent)
                .unwrap_or(Path::new(""));
            let name = name.as_encoded_bytes();
            let base = name.split(|byte| *byte == b':').next().unwrap_or(name);
            let base = percent_encode(base, KEY).to_string();
            return format!(
                "{}/*/{base}",
                percent_encode(folder.as_os_str().as_encoded_bytes(), KEY)
            );
        }
        _ => inner,
    };
    percent_encode(inner.as_os_str().as_encoded_bytes(), KEY).to_string()
}

pub(crate) fn changed(kind: &Metadata) -> i64 {
    let since = kind
        .modified()
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    })
}

pub(crate) fn is_mail(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    match (folder_name(path), is_maildir(path)) {
        // What Dovecot keeps beside them does not begin with a time.
        ("cur" | "new", true) => return !name.starts_with('.') && !name.starts_with("dovecot"),
        // Mails that are being delivered.
        ("tmp", true) => return false,
        _ => {}
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) => ["eml", "mbox", "mbx", "mail"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known)),
        // Mail programs name mailbox files like folders: `Inbox`.
        None => !name.starts_with('.') && begins_like_mbox(path),
    }
}

/// A file that cannot be opened is taken for mail, so that it is named at the end.
fn begins_like_mbox(path: &Path) -> bool {
    let mut start = [0; 5];
    match File::open(path) {
        Ok(mut file) => file.read_exact(&mut start).is_ok() && &start == b"From ",
        Err(_) => true,
    }
}

pub(crate) fn is_in_maildir(path: &Path) -> bool {
    matches!(folder_name(path), "cur" | "new") && is_maildir(path)
}

fn folder_name(path: &Path) -> &str {
    let folder = path.parent().and_then(Path::file_name);
    folder.and_then(|name| name.to_str()).unwrap_or_default()
}

/// A folder with both `cur` and `new`.
fn is_maildir(file: &Path) -> bool {
    let Some(folder) = file.parent().and_then(Path::parent) else {
        return false;
    };
    folder.join("cur").is_dir() && folder.join("new").is_dir()
}

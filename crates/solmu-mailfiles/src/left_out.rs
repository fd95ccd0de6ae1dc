//! Files of a mailbox that nobody wants as tickets: what its owner threw away, has not sent yet, or did not want, and
//! files with nothing in them.
//!
//! Only within a Maildir is that known. Who names such a folder itself as the one to be read, wants it.

use std::path::Path;

use crate::files::is_in_maildir;

/// How many files were left out, by why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// With the flag T, or in a folder of deleted mail.
    pub deleted: u64,
    /// With the flag D, or in a folder of drafts.
    pub drafts: u64,
    /// In a folder of junk.
    pub junk: u64,
    /// Without a single byte.
    pub empty: u64,
}

impl LeftOut {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.deleted + self.drafts + self.junk + self.empty
    }

    /// The counts with a word for each, without those of which there is none.
    #[must_use]
    pub fn by_cause(&self) -> Vec<(&'static str, u64)> {
        let mut all = vec![
            ("deleted", self.deleted),
            ("drafts", self.drafts),
            ("junk", self.junk),
            ("empty", self.empty),
        ];
        all.retain(|(_, count)| *count > 0);
        all
    }

    pub(crate) fn count(&mut self, why: Why) {
        *match why {
            Why::Deleted => &mut self.deleted,
            Why::Draft => &mut self.drafts,
            Why::Junk => &mut self.junk,
            Why::Empty => &mut self.empty,
        } += 1;
    }
}

/// Why a file is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Deleted,
    Draft,
    Junk,
    Empty,
}

/// Names of folders, in lower case, as mail servers and programs write them; what is not ASCII in the UTF-7 of IMAP.
const FOLDERS: [(&str, Why); 29] = [
    ("trash", Why::Deleted),
    ("deleted", Why::Deleted),
    ("deleted items", Why::Deleted),
    ("deleted messages", Why::Deleted),
    ("roskakori", Why::Deleted),
    ("poistetut", Why::Deleted),
    ("papperskorg", Why::Deleted),
    ("papperskorgen", Why::Deleted),
    ("papierkorb", Why::Deleted),
    ("corbeille", Why::Deleted),
    ("papelera", Why::Deleted),
    ("drafts", Why::Draft),
    ("draft", Why::Draft),
    ("luonnokset", Why::Draft),
    ("utkast", Why::Draft),
    ("entw&apw-rfe", Why::Draft),
    ("entwürfe", Why::Draft),
    ("brouillons", Why::Draft),
    ("borradores", Why::Draft),
    ("junk", Why::Junk),
    ("junk e-mail", Why::Junk),
    ("junk email", Why::Junk),
    ("junk mail", Why::Junk),
    ("spam", Why::Junk),
    ("roskaposti", Why::Junk),
    ("skr&aoq-ppost", Why::Junk),
    ("skräppost", Why::Junk),
    ("courrier ind&aok-sirable", Why::Junk),
    ("correo no deseado", Why::Junk),
];

/// Why the file at `path` under `root` is left out, if it is.
pub(crate) fn why(root: &Path, path: &Path, size: u64) -> Option<Why> {
    if is_in_maildir(path) {
        let by_place = by_folder(root, path).or_else(|| by_flags(path));
        if by_place.is_some() {
            return by_place;
        }
    }
    (size == 0).then_some(Why::Empty)
}

/// By a folder between the root and the mail: `.Trash`, `.INBOX.Trash`, `Trash`.
fn by_folder(root: &Path, path: &Path) -> Option<Why> {
    let folder = path.parent()?.parent()?.strip_prefix(root).ok()?;
    let names = folder.iter().filter_map(|name| name.to_str());
    names.flat_map(|name| name.split('.')).find_map(|name| {
        let name = name.trim().to_lowercase();
        let known = FOLDERS.iter().find(|(known, _)| *known == name);
        known.map(|(_, why)| *why)
    })
}

/// By the flags at the end of the name (`:2,ST`); where a colon is not allowed, programs write another sign.
fn by_flags(path: &Path) -> Option<Why> {
    let name = path.file_name()?.to_str()?;
    let (before, flags) = name.rsplit_once("2,")?;
    before.ends_with([':', ';', '!']).then_some(())?;
    if flags.contains('T') {
        Some(Why::Deleted)
    } else {
        flags.contains('D').then_some(Why::Draft)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{Content, Journal, Source};

    fn read(root: &Path) -> (Vec<String>, LeftOut) {
        let journal = Journal::empty(&root.join("journal"));
        let mut source = Source::open(root, 10_000, &journal).unwrap();
        let left_out = source.extent().left_out;
        let mails = std::iter::from_fn(|| source.next_mail());
        let text = |mail: crate::StoredMail| match mail.content {
            Content::Whole(raw) => String::from_utf8(raw).unwrap(),
            other => format!("{other:?}"),
        };
        (mails.map(text).collect(), left_out)
    }

    #[test]
    fn what_nobody_wants_is_left_out_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("Maildir");
        for (path, text) in [
            ("cur/1.a:2,S", "one"),
            ("cur/2.a:2,ST", "thrown away"),
            ("cur/3.a:2,DS", "not sent"),
            ("cur/4.a;2,T", "thrown away on a disk without colons"),
            ("cur/5.T,D", "five"),
            ("cur/6.a:2,", ""),
            ("cur/dovecot-uidlist", "3 V1"),
            ("new/7.a", "seven"),
            (".Sent/cur/8.a:2,S", "eight"),
            (".Sent/new/x", ""),
            (".Drafts/cur/9.a:2,", "not sent"),
            (".Drafts/new/9.b", "not sent"),
            (".INBOX.Trash/cur/10.a", "thrown away"),
            (".INBOX.Trash/new/10.b", "thrown away"),
            (".Junk/cur/11.a", "spam"),
            (".Junk/new/11.b", "spam"),
            (".Trashy cars/cur/12.a", "twelve"),
            (".Trashy cars/new/12.b", "thirteen"),
        ] {
            let file = root.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let (mut mails, left_out) = read(&root);
        mails.sort_unstable();
        assert_eq!(
            mails,
            ["eight", "five", "one", "seven", "thirteen", "twelve"]
        );
        let wanted = LeftOut {
            deleted: 4,
            drafts: 3,
            junk: 2,
            empty: 2,
        };
        assert_eq!((left_out, left_out.total()), (wanted, 11));
        assert_eq!(
            left_out.by_cause(),
            [("deleted", 4), ("drafts", 3), ("junk", 2), ("empty", 2)]
        );
        // Who names the folder itself wants it; and where all is left out, that is no error.
        assert_eq!(read(&root.join(".Drafts")).0.len(), 2);
        fs::create_dir_all(folder.path().join("none")).unwrap();
        fs::write(folder.path().join("none/a.eml"), "").unwrap();
        let (mails, left_out) = read(&folder.path().join("none"));
        assert_eq!((mails.len(), left_out.empty), (0, 1));
    }
}

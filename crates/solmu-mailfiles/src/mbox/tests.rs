//! Mailbox files of both kinds, and anything that only looks like one.

use proptest::prelude::*;

use super::*;

/// The mails of a mailbox file; `None` for one over the limit. Reading on from any of them gives the same.
fn read(file: &[u8], limit: usize) -> Vec<Option<Vec<u8>>> {
    let all = |offset: usize| {
        let mut reader = MboxReader::new(&file[offset..], limit, offset as u64);
        let mails = std::iter::from_fn(|| reader.next_mail().unwrap());
        mails.collect::<Vec<_>>()
    };
    let mails = all(0);
    for (index, mail) in mails.iter().enumerate() {
        assert!(file[usize::try_from(mail.start).unwrap()..].starts_with(b"From "));
        assert_eq!(all(usize::try_from(mail.end).unwrap()), mails[index + 1..]);
    }
    assert!(
        mails
            .last()
            .is_none_or(|last| last.end == file.len() as u64)
    );
    mails.into_iter().map(|mail| mail.raw).collect()
}

#[test]
fn mailbox_files_of_both_kinds() {
    let file = b"junk\nFrom a Mon Nov  2 00:00:00 2026\nSubject: 1\n\n>From here\n>>From there\nFrom not after a blank line\n\n\
                 From b Mon Nov  2 00:00:00 2026\nSubject: 2\n\nx\n";
    assert_eq!(
        read(file, 1_000),
        [
            Some(b"Subject: 1\n\nFrom here\n>From there\nFrom not after a blank line\n".to_vec()),
            Some(b"Subject: 2\n\nx\n".to_vec()),
        ]
    );
    assert!(read(b"", 10).is_empty());
    assert_eq!(read(b"From x\n", 10), [Some(Vec::new())]);
    let large = format!(
        "From a\nSubject: 1\n\n{}\n\nFrom b\nS: 2\n",
        "x".repeat(300)
    );
    assert_eq!(
        read(large.as_bytes(), 100),
        [None, Some(b"S: 2\n".to_vec())]
    );
}

proptest! {
    #[test]
    fn no_mailbox_file_panics_or_hangs(file in "(From |>From |a|\r?\n){0,60}") {
        read(file.as_bytes(), 20);
    }
}

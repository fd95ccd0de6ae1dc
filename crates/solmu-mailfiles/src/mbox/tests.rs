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

/// Lines that begin with `From ` and are none, and separators that nothing precedes.
#[test]
fn a_mail_begins_where_it_looks_like_one() {
    let raw = |mails: &[&str]| -> Vec<Option<Vec<u8>>> {
        let bytes = mails.iter().map(|mail| mail.as_bytes().to_vec());
        bytes.map(Some).collect()
    };
    let odd = "From a Mon Nov  2 10:00:00 2026\nSubject: 1\n\nHi.\n\nFrom here on it is broken: my mail.\nBye\n\n\
               From there\nNote: call me\n\nFrom b Mon Nov  2 10:00:00 2026\nSubject: 2\n\nhello\n\
               From c Mon Nov  2 10:00:00 2026\nSubject: 3\n\nhello\n\n>From quoted\n\n\
               From d@e Mon, 02 Nov 2026 10:00 +0200\r\nX-Odd: 1\r\nSubject: 4\r\n\r\nlast\r\n";
    // "From there" is one word, as an address is, and a field follows: that much looks like a mail.
    assert_eq!(
        read(odd.as_bytes(), 10_000),
        raw(&[
            "Subject: 1\n\nHi.\n\nFrom here on it is broken: my mail.\nBye\n",
            "Note: call me\n",
            "Subject: 2\n\nhello\n",
            "Subject: 3\n\nhello\n\nFrom quoted\n",
            "X-Odd: 1\r\nSubject: 4\r\n\r\nlast\r\n",
        ])
    );
    for text in [
        "From 10:00 on 2 Nov 2026 we are open\nyours\n",
        "\nFrom now on:\nTurku: 5\n",
        "\nFrom Turku to Helsinki\n\nBye\n",
        "From Mon Nov 2 10:00 2026\nno field\n",
    ] {
        let file = format!("From a\nSubject: 1\n\nx\n{text}");
        let wanted = format!("Subject: 1\n\nx\n{text}");
        assert_eq!(read(file.as_bytes(), 10_000), raw(&[&wanted]), "{text}");
    }
    // The rest of a line over the limit begins no mail.
    let long = format!("From a\nS: 1\n\n{}From b\nS: 2\n", "x".repeat(42));
    assert_eq!(read(long.as_bytes(), 40), [None]);
}

proptest! {
    #[test]
    fn no_mailbox_file_panics_or_hangs(file in "(From |>From |a|\r?\n){0,60}") {
        read(file.as_bytes(), 20);
    }
}

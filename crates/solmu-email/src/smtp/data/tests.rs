//! Every end of a mail, and every trick that only looks like one.

use proptest::prelude::*;

use super::*;

const POLICIES: [BareLf; 2] = [BareLf::Reject, BareLf::Normalise];

fn decode_pieces(pieces: &[&[u8]], policy: BareLf) -> (Vec<u8>, usize, Option<DataEnd>) {
    let (mut mail, mut decoder) = (Vec::new(), DataDecoder::new(1_000, policy));
    let mut all = 0;
    for piece in pieces {
        let (used, end) = decoder.push(piece, &mut mail);
        all += used;
        if end.is_some() {
            return (mail, all, end);
        }
    }
    (mail, all, None)
}

fn decode(input: &[u8], policy: BareLf) -> (Vec<u8>, usize, Option<DataEnd>) {
    decode_pieces(&[input], policy)
}

fn chunks(pieces: &[&[u8]]) -> (Vec<u8>, DataEnd) {
    let (mut mail, mut decoder) = (Vec::new(), ChunkDecoder::new(1_000));
    for piece in pieces {
        decoder.push(piece, &mut mail);
    }
    (mail, decoder.end())
}

#[test]
fn dots_are_unstuffed_and_the_rest_is_left_alone() {
    for policy in POLICIES {
        let (mail, used, end) = decode(b"a\r\n..b\r\n.c\r\n...\r\n.\r\nQUIT\r\n", policy);
        assert_eq!(mail, b"a\r\n.b\r\nc\r\n..\r\n");
        assert_eq!((used, end), (20, Some(DataEnd::Complete)));
        assert_eq!(
            decode(b".\r\n", policy),
            (Vec::new(), 3, Some(DataEnd::Complete))
        );
        // Bare carriage returns and NUL end nothing, and no dot behind one protects anything.
        let odd = b"a\rb\r..c\r\r\nd\0\r\n\0.\r\n.\0\r\n.\r\n";
        assert_eq!(
            decode(odd, policy),
            (
                b"a\rb\r..c\r\r\nd\0\r\n\0.\r\n\0\r\n".to_vec(),
                odd.len(),
                Some(DataEnd::Complete)
            )
        );
    }
}

#[test]
fn bare_line_feeds_are_refused_or_made_whole() {
    let bare = b"a\nb\n..d\r\n.e\n\n.\x00\r\n.\r\n";
    assert_eq!(
        decode(bare, BareLf::Reject),
        (Vec::new(), bare.len(), Some(DataEnd::BareLf))
    );
    assert_eq!(
        decode(bare, BareLf::Normalise),
        (
            b"a\r\nb\r\n.d\r\ne\r\n\r\n\0\r\n".to_vec(),
            bare.len(),
            Some(DataEnd::Complete)
        )
    );
}

/// Everything that some server has taken for the end of a mail. None is one here, whatever the policy and however the
/// network cuts it: what follows stays data, up to the true end, and the mail is refused.
#[test]
fn every_smuggled_end_is_ambiguous() {
    let ends: [&[u8]; 14] = [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r.\n",
        b"\n.\r",
        b"\r\n.\r\r\n",
        b"\r\r.\r\r\n",
        b"\n\n.\n\n",
        b"\r\n.\r\0\n",
        b"\n\r.\r\n",
        b"\r\0\n.\n",
    ];
    for policy in POLICIES {
        for end in ends {
            let mut input = b"a".to_vec();
            input.extend_from_slice(end);
            input.extend_from_slice(b"MAIL FROM:<x@y.example>\r\n.\r\n");
            for cut in 0..input.len() {
                for second in cut..input.len() {
                    let pieces = [&input[..cut], &input[cut..second], &input[second..]];
                    let (_, used, got) = decode_pieces(&pieces, policy);
                    assert_eq!(
                        (used, got),
                        (input.len(), Some(DataEnd::Ambiguous)),
                        "{end:?} cut at {cut} and {second}"
                    );
                }
            }
        }
    }
}

#[test]
fn nothing_is_buffered_once_a_mail_is_refused() {
    let mut mail = Vec::new();
    let mut decoder = DataDecoder::new(10, BareLf::Reject);
    assert_eq!(decoder.push(b"123456789\r\n", &mut mail), (11, None));
    assert_eq!(mail.capacity(), 0);
    let end = decoder.push(b"x\r\n.\r\n", &mut mail);
    assert_eq!((end, mail.capacity()), ((6, Some(DataEnd::TooLarge)), 0));

    let mut decoder = DataDecoder::new(1_000, BareLf::Reject);
    decoder.push(b"a\n", &mut mail);
    decoder.push(b"more", &mut mail);
    assert_eq!(mail.capacity(), 0);

    let mut decoder = DataDecoder::new(1_000, BareLf::Reject);
    decoder.push(b"a\r\n", &mut mail);
    decoder.no_room(&mut mail);
    let end = decoder.push(b"b\r\n.\r\n", &mut mail);
    assert_eq!((end, mail.capacity()), ((6, Some(DataEnd::NoRoom)), 0));
}

#[test]
fn chunks_know_no_dots() {
    assert_eq!(
        chunks(&[b"a\r\n.\r", b"\n..b\r", b"", b"\n"]),
        (b"a\r\n.\r\n..b\r\n".to_vec(), DataEnd::Complete)
    );
    let (mail, end) = chunks(&[&[b'x'; 900], &[b'x'; 101]]);
    assert_eq!((mail.capacity(), end), (0, DataEnd::TooLarge));
    for pieces in [
        [&b"a\n"[..], b"b\r\n"],
        [b"a", b"\nb\r\n"],
        [b"a\r\n", b"\nb\r\n"],
    ] {
        let (mail, end) = chunks(&pieces);
        assert_eq!(end, DataEnd::Complete);
        assert!(
            mail.starts_with(b"a\r\n") && mail.ends_with(b"\r\nb\r\n") || mail == b"a\r\nb\r\n"
        );
    }
}

proptest! {
    #[test]
    fn pieces_make_the_same_as_the_whole(
        input in "[a.\0\r\n]{0,40}", cuts in proptest::collection::vec(0_usize..40, 0..4), normalise: bool
    ) {
        let policy = POLICIES[usize::from(normalise)];
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &input.as_bytes()[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode_pieces(&pieces, policy), decode(input.as_bytes(), policy));
        prop_assert_eq!(chunks(&pieces), chunks(&[input.as_bytes()]));
    }

    /// The end is where CRLF, dot, CRLF is, and nowhere else.
    #[test]
    fn only_the_true_end_ends(input in "[a.\r\n]{0,30}", normalise: bool) {
        let (_, used, end) = decode(input.as_bytes(), POLICIES[usize::from(normalise)]);
        let whole = ["\r\n", &input].concat();
        let true_end = whole.find("\r\n.\r\n");
        prop_assert_eq!(end.is_some(), true_end.is_some());
        if let Some(at) = true_end {
            prop_assert_eq!(used, at + 3);
        }
    }

    #[test]
    fn what_is_normalised_has_no_bare_line_feed(input in "[a.\r\n]{0,30}") {
        let (mail, _) = chunks(&[input.as_bytes()]);
        let text = String::from_utf8(mail).unwrap();
        prop_assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    }

    #[test]
    fn what_a_client_protects_comes_out_the_same(lines in proptest::collection::vec("[a.]{0,5}", 0..8)) {
        let ended = |line: &String| [line.as_str(), "\r\n"].concat();
        let plain: String = lines.iter().map(ended).collect();
        let protect = |line: &String| if line.starts_with('.') { [".", &ended(line)].concat() } else { ended(line) };
        let stuffed: String = lines.iter().map(protect).collect();
        let (mail, _, end) = decode(format!("{stuffed}.\r\n").as_bytes(), BareLf::Reject);
        prop_assert_eq!(end, Some(DataEnd::Complete));
        prop_assert_eq!(mail, plain.into_bytes());
    }
}

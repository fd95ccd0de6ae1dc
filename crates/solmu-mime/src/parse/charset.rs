//! Character sets that the decoder's library does not know: other names of those that it knows, the seven-bit sets of
//! East Asia (RFC 1557, RFC 1842, RFC 1922) that browsers refuse for fear of scripts in them, and the first PC's.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;
use memchr::memmem;

use super::encoding::{read_text, transfer_decode};

/// Characters of a character set's name; longer ones are none.
const NAME_MAX: usize = 40;
/// Octets of an encoded word that is looked at (RFC 2047 section 2 allows 75; senders write more).
const WORD_MAX: usize = 4_096;

/// Other names, as senders write them, and the library's.
const NAMES: [(&str, &str); 22] = [
    ("cp949", "euc-kr"),
    ("ms949", "euc-kr"),
    ("x-windows-949", "euc-kr"),
    ("uhc", "euc-kr"),
    ("x-euc-kr", "euc-kr"),
    ("iso-2022-jp-1", "iso-2022-jp"),
    ("iso-2022-jp-2", "iso-2022-jp"),
    ("iso-2022-jp-3", "iso-2022-jp"),
    ("iso-2022-jp-ms", "iso-2022-jp"),
    ("cp50220", "iso-2022-jp"),
    ("cp50221", "iso-2022-jp"),
    ("cp932", "shift_jis"),
    ("ms932", "shift_jis"),
    ("cp950", "big5"),
    ("ms950", "big5"),
    ("cp-850", "ibm850"),
    ("ibm-850", "ibm850"),
    ("pc850", "ibm850"),
    ("windows1252", "windows-1252"),
    ("windows1251", "windows-1251"),
    ("win-1251", "windows-1251"),
    ("win1251", "windows-1251"),
];

/// The upper half of code page 437.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// The name that the library knows, in lower case, or the given one.
pub(super) fn known_name(given: &str) -> String {
    let name: String = given
        .trim()
        .trim_matches('"')
        .chars()
        .take(NAME_MAX)
        .collect();
    let name = name.to_ascii_lowercase();
    NAMES
        .iter()
        .find(|(other, _)| *other == name)
        .map_or(name, |(_, known)| (*known).to_owned())
}

/// Text in a set that only this module reads.
pub(super) fn read_rare(bytes: &[u8], name: &str) -> Option<String> {
    Some(match name {
        "iso-2022-kr" | "csiso2022kr" => shifted(bytes, Some("euc-kr")),
        "iso-2022-cn" | "iso-2022-cn-ext" => shifted(bytes, None),
        "hz-gb-2312" | "hz-gb2312" | "hz" => tilde(bytes),
        "ibm437" | "cp437" | "cp-437" | "437" | "cspc8codepage437" => cp437(bytes),
        _ => return None,
    })
}

fn cp437(bytes: &[u8]) -> String {
    let upper: Vec<char> = CP437.chars().collect();
    let of = |byte: u8| match byte.checked_sub(128) {
        Some(at) => upper.get(usize::from(at)).copied(),
        None => Some(char::from(byte)),
    };
    bytes
        .iter()
        .map(|byte| of(*byte).unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// Two-byte text in seven bits, in the eight-bit set of the same table.
fn wide(seven_bit: &[u8], set: Option<&str>, text: &mut String) {
    let decode = set.and_then(|set| charset_decoder(set.as_bytes()));
    let Some(decode) = decode else {
        let characters = seven_bit.len().div_ceil(2);
        text.extend(std::iter::repeat_n(char::REPLACEMENT_CHARACTER, characters));
        return;
    };
    let eight_bit: Vec<u8> = seven_bit
        .iter()
        .map(|byte| match byte {
            0x21..=0x7e => byte | 0x80,
            other => *other,
        })
        .collect();
    text.push_str(&decode(&eight_bit));
}

/// A run of one set in a text that changes between sets.
struct Runs {
    text: String,
    run: Vec<u8>,
    set: Option<&'static str>,
    is_wide: bool,
}

impl Runs {
    fn new(set: Option<&'static str>) -> Self {
        Self {
            text: String::new(),
            run: Vec::new(),
            set,
            is_wide: false,
        }
    }

    /// Ends a run and says what follows.
    fn turn(&mut self, is_wide: bool) {
        let run = std::mem::take(&mut self.run);
        if self.is_wide {
            wide(&run, self.set, &mut self.text);
        } else {
            self.text.extend(run.into_iter().map(char::from));
        }
        self.is_wide = is_wide;
    }

    fn end(mut self) -> String {
        self.turn(false);
        self.text
    }
}

/// ISO-2022-KR and ISO-2022-CN: an escape says which set the bytes between SO and SI are of. A line ends the shift.
fn shifted(bytes: &[u8], set: Option<&'static str>) -> String {
    let mut runs = Runs::new(set);
    let mut rest = bytes;
    while let Some((first, mut tail)) = rest.split_first() {
        match (*first, tail) {
            (0x1b, [b'$', b')' | b'*' | b'+', of, after @ ..]) => {
                runs.turn(runs.is_wide);
                runs.set = match of {
                    b'A' => Some("gbk"),
                    b'C' => Some("euc-kr"),
                    // CNS 11643, which nothing here reads.
                    _ => None,
                };
                tail = after;
            }
            (0x0e, _) => runs.turn(true),
            (0x0f, _) => runs.turn(false),
            (b'\n', _) => {
                runs.turn(false);
                runs.text.push('\n');
            }
            (other, _) => runs.run.push(other),
        }
        rest = tail;
    }
    runs.end()
}

/// HZ (RFC 1843): `~{` and `~}` are the shifts, `~~` is a tilde, a tilde at the end of a line joins it with the next.
fn tilde(bytes: &[u8]) -> String {
    let mut runs = Runs::new(Some("gbk"));
    let mut rest = bytes;
    while let Some((first, mut tail)) = rest.split_first() {
        match (*first, tail) {
            (b'~', [b'{', after @ ..]) if !runs.is_wide => {
                runs.turn(true);
                tail = after;
            }
            (b'~', [b'}', after @ ..]) => {
                runs.turn(false);
                tail = after;
            }
            (b'~', [b'~', after @ ..]) if !runs.is_wide => {
                runs.run.push(b'~');
                tail = after;
            }
            (b'~', [b'\n', after @ ..] | [b'\r', b'\n', after @ ..]) => tail = after,
            (b'\n', _) => {
                runs.turn(false);
                runs.text.push('\n');
            }
            (other, _) => runs.run.push(other),
        }
        rest = tail;
    }
    runs.end()
}

/// A header block whose encoded words (RFC 2047) are in sets that its decoder knows: those in other ones are written anew
/// in UTF-8.
pub(super) fn with_known_words(block: &[u8]) -> Cow<'_, [u8]> {
    let mut mended: Vec<u8> = Vec::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(found) = block.get(from..).and_then(|rest| memmem::find(rest, b"=?")) {
        let at = from + found;
        from = at + 2;
        let Some((text, length)) = foreign_word(&block[at..]) else {
            continue;
        };
        mended.extend_from_slice(&block[copied..at]);
        mended.extend_from_slice(b"=?utf-8?Q?");
        for byte in text.bytes() {
            mended.extend_from_slice(format!("={byte:02X}").as_bytes());
        }
        mended.extend_from_slice(b"?=");
        from = at + length;
        copied = from;
    }
    if copied == 0 {
        return Cow::Borrowed(block);
    }
    mended.extend_from_slice(&block[copied..]);
    Cow::Owned(mended)
}

/// The text of an encoded word in a set that only this module knows, and its length.
fn foreign_word(rest: &[u8]) -> Option<(String, usize)> {
    let name_end = rest
        .iter()
        .take(NAME_MAX)
        .skip(2)
        .position(|byte| *byte == b'?')?
        + 2;
    let name = std::str::from_utf8(&rest[2..name_end]).ok()?;
    // RFC 2231 section 5: a language may follow.
    let name = name.split('*').next().unwrap_or_default();
    let known = known_name(name);
    let is_foreign = !known.eq_ignore_ascii_case(name) || read_rare(b"", &known).is_some();
    if !is_foreign {
        return None;
    }
    let (encoding, body) = match rest.get(name_end + 1..)? {
        [encoding, b'?', body @ ..] => (encoding.to_ascii_lowercase(), body),
        _ => return None,
    };
    let body = &body[..body.len().min(WORD_MAX)];
    let end = memmem::find(body, b"?=")?;
    let bytes = match encoding {
        b'b' => transfer_decode(&body[..end], "base64").into_owned(),
        b'q' => {
            let spaced: Vec<u8> = body[..end]
                .iter()
                .map(|byte| if *byte == b'_' { b' ' } else { *byte })
                .collect();
            transfer_decode(&spaced, "quoted-printable").into_owned()
        }
        _ => return None,
    };
    let (text, _) = read_text(&bytes, &known);
    Some((text, name_end + 3 + end + 2))
}

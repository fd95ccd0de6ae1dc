//! The text of a compressed RTF body ([MS-OXRTFCP]): Outlook's last resort for a message, and so ours.
//!
//! Only the words are taken. Layout, fonts and pictures stay in the original.

use super::{super::encoding::windows_1252, properties::Reader};

/// What the dictionary holds at the beginning ([MS-OXRTFCP] section 2.1.2.1).
const DICTIONARY: &[u8; 207] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";
/// Bytes of the dictionary.
const DICTIONARY_SIZE: usize = 4_096;
/// `LZFu`: compressed.
const COMPRESSED: u32 = 0x7546_5a4c;
/// `MELA`: not compressed.
const PLAIN: u32 = 0x414c_454d;
/// Bytes of RTF that are unpacked.
const RTF_MAX: usize = 1024 * 1024;
/// Groups within groups that are told apart; deeper ones are read like their parents.
const GROUPS_MAX: usize = 200;
/// Groups that hold no words of the message.
const SILENT: [&str; 10] = [
    "fonttbl",
    "colortbl",
    "stylesheet",
    "info",
    "pict",
    "object",
    "header",
    "footer",
    "listtable",
    "generator",
];

/// The text of a body; `None` if it is none or has no words.
pub(super) fn text(packed: &[u8]) -> Option<String> {
    let rtf = unpack(packed)?;
    let text = words(&rtf);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(packed);
    reader.u32()?;
    let size = usize::try_from(reader.u32()?).ok()?.min(RTF_MAX);
    let kind = reader.u32()?;
    reader.u32()?;
    match kind {
        PLAIN => {
            let start = packed.get(16..)?;
            Some(start[..start.len().min(size)].to_vec())
        }
        COMPRESSED => Some(decompress(&mut reader, size)),
        _ => None,
    }
}

/// Runs of literals and references into a ring of the last 4,096 bytes. Ends early where the input does.
fn decompress(reader: &mut Reader<'_>, size: usize) -> Vec<u8> {
    let mut ring = [0; DICTIONARY_SIZE];
    ring[..DICTIONARY.len()].copy_from_slice(DICTIONARY);
    let mut at = DICTIONARY.len();
    let mut out = Vec::with_capacity(size.min(64 * 1024));
    while out.len() < size {
        let Some(control) = reader.u8() else {
            return out;
        };
        for bit in 0..8 {
            if control & (1 << bit) == 0 {
                let Some(byte) = reader.u8() else {
                    return out;
                };
                ring[at] = byte;
                at = (at + 1) % DICTIONARY_SIZE;
                out.push(byte);
                continue;
            }
            let (Some(high), Some(low)) = (reader.u8(), reader.u8()) else {
                return out;
            };
            let reference = usize::from(u16::from_be_bytes([high, low]));
            let from = reference >> 4;
            if from == at {
                return out;
            }
            for step in 0..(reference & 0xf) + 2 {
                let byte = ring[(from + step) % DICTIONARY_SIZE];
                ring[at] = byte;
                at = (at + 1) % DICTIONARY_SIZE;
                out.push(byte);
            }
        }
    }
    out.truncate(size);
    out
}

/// The words of RTF: groups without words, and those that old readers may skip (`\*`), are left out.
fn words(rtf: &[u8]) -> String {
    let rtf = windows_1252(rtf);
    let mut out = String::new();
    let mut silent = vec![false];
    let mut skip = 0_usize;
    let mut rest = rtf.as_str();
    while let Some(character) = rest.chars().next() {
        let tail = &rest[character.len_utf8()..];
        rest = tail;
        let is_silent = silent.last().copied().unwrap_or(false);
        match character {
            '{' if silent.len() < GROUPS_MAX => silent.push(is_silent),
            '}' if silent.len() > 1 => {
                silent.pop();
            }
            '{' | '}' | '\r' | '\n' => {}
            '\\' => {
                let (control, after) = control(tail);
                rest = after;
                match control {
                    Control::Silence => silent.last_mut().into_iter().for_each(|top| *top = true),
                    Control::Text(text) if !is_silent => {
                        if skip > 0 && !text.starts_with('\n') {
                            skip -= 1;
                        } else {
                            out.push_str(&text);
                        }
                    }
                    Control::Unicode(character) if !is_silent => {
                        out.push(character);
                        skip = 1;
                    }
                    _ => {}
                }
            }
            _ if is_silent => {}
            _ if skip > 0 => skip -= 1,
            other => out.push(other),
        }
    }
    out
}

enum Control {
    Silence,
    Text(String),
    /// A character that old readers show as the one that follows.
    Unicode(char),
    Nothing,
}

/// What stands after a backslash, and the rest.
fn control(text: &str) -> (Control, &str) {
    let Some(first) = text.chars().next() else {
        return (Control::Nothing, text);
    };
    let after = &text[first.len_utf8()..];
    if first == '\'' {
        let byte = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        return match byte {
            Some(byte) => (Control::Text(windows_1252(&[byte])), &after[2..]),
            None => (Control::Nothing, after),
        };
    }
    if !first.is_ascii_alphabetic() {
        return match first {
            '*' => (Control::Silence, after),
            '~' => (Control::Text(" ".to_owned()), after),
            '\\' | '{' | '}' => (Control::Text(first.to_string()), after),
            _ => (Control::Nothing, after),
        };
    }
    let end = |text: &str, part: fn(&u8) -> bool| text.bytes().take_while(part).count();
    let (word, tail) = text.split_at(end(text, u8::is_ascii_alphabetic));
    let sign = usize::from(tail.starts_with('-'));
    let (number, tail) = tail.split_at(sign + end(&tail[sign..], u8::is_ascii_digit));
    let tail = tail.strip_prefix(' ').unwrap_or(tail);
    let control = match word {
        "par" | "line" | "row" | "sect" | "page" => Control::Text("\n".to_owned()),
        "tab" | "cell" => Control::Text("\t".to_owned()),
        "u" => unicode(number),
        _ if SILENT.contains(&word) => Control::Silence,
        _ => Control::Nothing,
    };
    (control, tail)
}

/// `\u` numbers are signed 16-bit.
fn unicode(number: &str) -> Control {
    let code = number
        .parse::<i32>()
        .ok()
        .and_then(|code| u32::try_from(if code < 0 { code + 0x1_0000 } else { code }).ok());
    code.and_then(char::from_u32)
        .filter(|character| *character != '\0')
        .map_or(Control::Nothing, Control::Unicode)
}

//! Changes an input in the ways in which mails are broken on their way, and in some that only an attacker thinks of.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::chance::Chance;

/// Numbers at which counting goes wrong.
const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "255",
    "256",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
];
/// Bytes that begin or end something somewhere.
const BYTES: &[u8] = b"\r\n\0\t .<>@()[]{}:;,\"'\\=?-+*%&#|\x7f\x80\xc2\xe2\xed\xef\xf0\xff";

/// Changes `input` one to a few times. `others` are inputs to take pieces from, `words` are pieces that mean something
/// to the reader. The result has at most `longest` bytes.
pub(crate) fn changed(
    chance: &mut Chance,
    input: &[u8],
    others: &[Vec<u8>],
    words: &[&str],
    longest: usize,
) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=chance.length(64) {
        change(chance, &mut bytes, others, words, longest);
        bytes.truncate(longest);
    }
    bytes
}

fn change(
    chance: &mut Chance,
    bytes: &mut Vec<u8>,
    others: &[Vec<u8>],
    words: &[&str],
    longest: usize,
) {
    let at = chance.below(bytes.len() + 1);
    let length = chance.length(bytes.len() - at + 1);
    match chance.below(16) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..at + length)),
        2 => {
            let copy = bytes[at..at + length].to_vec();
            bytes.splice(at..at, copy);
        }
        3 | 4 if !words.is_empty() => {
            let word = chance.pick(words).bytes();
            bytes.splice(at..at, word);
        }
        5 if !words.is_empty() => {
            let word = chance.pick(words).bytes();
            bytes.splice(at..at + length, word);
        }
        6 if !others.is_empty() => {
            let other = chance.pick(others);
            let from = chance.below(other.len());
            bytes.splice(at.., other[from..].iter().copied());
        }
        7 if !others.is_empty() => {
            let other = chance.pick(others);
            let from = chance.below(other.len());
            let piece = other[from..from + chance.length(other.len() - from + 1)].to_vec();
            bytes.splice(at..at + length, piece);
        }
        8 => number(chance, bytes, at),
        9 => lines(chance, bytes),
        10 => repeat(chance, bytes, at, length, longest),
        11 => line_ends(chance, bytes),
        12 => encode(chance, bytes, at, length),
        13 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
        _ => {
            let new = if chance.once_in(3) {
                chance.byte()
            } else {
                *chance.pick(BYTES)
            };
            if chance.once_in(2) {
                bytes.insert(at, new);
            } else if let Some(byte) = bytes.get_mut(at) {
                *byte = new;
            }
        }
    }
}

/// Writes another number in place of the next one.
fn number(chance: &mut Chance, bytes: &mut Vec<u8>, from: usize) {
    let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit) else {
        return;
    };
    let start = from + start;
    let digits = bytes[start..].iter().take_while(|b| b.is_ascii_digit());
    let end = start + digits.count();
    let other = chance.pick(&NUMBERS).bytes();
    bytes.splice(start..end, other);
}

/// Where lines begin; the end is the last of them.
fn line_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    starts.extend(ends.map(|(at, _)| at + 1));
    starts.push(bytes.len());
    starts.dedup();
    starts
}

/// Moves, doubles or leaves out a line.
fn lines(chance: &mut Chance, bytes: &mut Vec<u8>) {
    let starts = line_starts(bytes);
    if starts.len() < 3 {
        return;
    }
    let from = chance.below(starts.len() - 1);
    let line = bytes[starts[from]..starts[from + 1]].to_vec();
    let to = *chance.pick(&starts);
    match chance.below(3) {
        0 => drop(bytes.drain(starts[from]..starts[from + 1])),
        1 => drop(bytes.splice(to..to, line)),
        _ => {
            bytes.splice(to..to, line.iter().copied());
            let begin = starts[from] + if to <= starts[from] { line.len() } else { 0 };
            bytes.drain(begin..begin + line.len());
        }
    }
}

/// Writes a piece many times: what takes time with the square of its length shows here.
fn repeat(chance: &mut Chance, bytes: &mut Vec<u8>, at: usize, length: usize, longest: usize) {
    let room = longest.saturating_sub(bytes.len());
    if length == 0 || room < length {
        return;
    }
    let times = chance.length(room / length + 1);
    let copies = bytes[at..at + length].repeat(times);
    bytes.splice(at..at, copies);
}

/// Makes all line ends from some place on to those of another kind.
fn line_ends(chance: &mut Chance, bytes: &mut Vec<u8>) {
    let from = chance.below(bytes.len() + 1);
    let tail = bytes.split_off(from);
    let end = *chance.pick(&["\r\n", "\n", "\r", "\n\r", ""]);
    let mut rest = tail.as_slice();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'\r' if after.first() == Some(&b'\n') => {}
            b'\n' | b'\r' => bytes.extend_from_slice(end.as_bytes()),
            other => bytes.push(*other),
        }
    }
}

/// Puts a piece into base64, or what is base64 out of it.
fn encode(chance: &mut Chance, bytes: &mut Vec<u8>, at: usize, length: usize) {
    let piece = &bytes[at..at + length];
    let other = if chance.once_in(2) {
        BASE64.encode(piece).into_bytes()
    } else {
        let digits: Vec<u8> = piece
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        match BASE64.decode(digits) {
            Ok(plain) => plain,
            Err(_) => return,
        }
    };
    bytes.splice(at..at + length, other);
}

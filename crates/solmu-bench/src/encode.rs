//! How generated mails are written: headers as encoded words, bodies in the encodings that mail programs use.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::random::Random;

/// Lines of an attached list: about 6 KiB.
const LIST_LINES: usize = 150;

/// Half plain in UTF-8, the others in Base64, with an HTML part, or with a file.
pub(crate) fn encode_body(random: &mut Random, text: &str) -> String {
    let plain = format!(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}"
    );
    match random.below(10) {
        0..5 => plain,
        5..7 => {
            let lines = base64_lines(text.as_bytes());
            format!(
                "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{lines}\r\n"
            )
        }
        7..9 => {
            let html = text.replace("\r\n\r\n", "</p>\r\n<p>");
            format!(
                "Content-Type: multipart/alternative; boundary=\"b-1\"\r\n\r\n--b-1\r\n{plain}\r\n--b-1\r\nContent-Type: \
                 text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>{html}</p>\r\n--b-1--\r\n"
            )
        }
        _ => {
            let lines: Vec<String> = (0..LIST_LINES)
                .map(|line| {
                    format!(
                        "{line};{};item;{}\n",
                        random.below(100_000),
                        random.below(9)
                    )
                })
                .collect();
            let file = base64_lines(lines.concat().as_bytes());
            format!(
                "Content-Type: multipart/mixed; boundary=\"b-1\"\r\n\r\n--b-1\r\n{plain}\r\n--b-1\r\nContent-Type: \
                 text/csv; name=\"list.csv\"\r\nContent-Disposition: attachment; filename=\"list.csv\"\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n{file}\r\n--b-1--\r\n"
            )
        }
    }
}

/// Base64 in lines of 76 characters (RFC 2045 section 6.8).
fn base64_lines(bytes: &[u8]) -> String {
    let encoded = STANDARD.encode(bytes);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(76)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    lines.join("\r\n")
}

/// A header's text, as encoded words (RFC 2047) where it is not ASCII; each word has at most 75 characters.
pub(crate) fn encoded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut words = vec![String::new()];
    for character in text.chars() {
        if words
            .last()
            .is_some_and(|word| word.len() + character.len_utf8() > 42)
        {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(character);
        }
    }
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)))
        .collect();
    words.join("\r\n ")
}

//! How generated mails are written: headers as encoded words, bodies in the encodings that mail programs use.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::random::Random;

/// Plain in UTF-8, plain in Base64, or with an HTML part.
pub(crate) fn encode_body(random: &mut Random, text: &str) -> String {
    match random.below(10) {
        0..5 => format!(
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}"
        ),
        5..8 => {
            let encoded = STANDARD.encode(text);
            let lines: Vec<&str> = encoded
                .as_bytes()
                .chunks(76)
                .filter_map(|line| std::str::from_utf8(line).ok())
                .collect();
            let lines = lines.join("\r\n");
            format!(
                "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{lines}\r\n"
            )
        }
        _ => {
            let html = text.replace("\r\n\r\n", "</p>\r\n<p>");
            format!(
                "Content-Type: multipart/alternative; boundary=\"b-1\"\r\n\r\n--b-1\r\nContent-Type: text/plain; \
                 charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n--b-1\r\nContent-Type: text/html; \
                 charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>{html}</p>\r\n--b-1--\r\n"
            )
        }
    }
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

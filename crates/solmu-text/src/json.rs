//! Reading vendors' JSON: strict readers refuse a whole document, and with it every neighbour in a batch, for half a
//! character. A text that was cut inside an emoji leaves one `\ud83d` behind.

use serde_json::Value;

/// Reads a document; half characters and bytes that are no UTF-8 are replaced by U+FFFD.
#[must_use]
pub fn read(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body)
        .ok()
        .or_else(|| serde_json::from_str(&mended(&String::from_utf8_lossy(body))).ok())
}

/// The document with U+FFFD for each escaped surrogate that has no other half.
fn mended(document: &str) -> String {
    let mut whole = String::with_capacity(document.len());
    let mut rest = document;
    while let Some(at) = rest.find('\\') {
        whole.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match (surrogate(rest), rest.get(6..).and_then(surrogate)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(_), _) => {
                whole.push('\u{FFFD}');
                rest = &rest[6..];
                continue;
            }
            // A backslash and what it escapes.
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        whole.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    whole.push_str(rest);
    whole
}

/// The surrogate whose escape `text` begins with.
fn surrogate(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let unit = u16::from_str_radix(digits, 16).ok()?;
    (0xD800..=0xDFFF).contains(&unit).then_some(unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn half_a_character_does_not_cost_the_document() {
        for (body, wanted) in [
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\\ud800 \ud800""#, "\\ud800 \u{fffd}"),
            (r#""\ud83d\ude00 ä\n""#, "😀 ä\n"),
        ] {
            assert_eq!(read(body.as_bytes()), Some(json!(wanted)), "{body}");
        }
        assert_eq!(read(b"[\"\xff\"]"), Some(json!(["\u{fffd}"])));
        for broken in ["", "{", r#""\ud8"#, r#""\"#, "\"\\ä\""] {
            assert_eq!(read(broken.as_bytes()), None, "{broken}");
        }
    }
}

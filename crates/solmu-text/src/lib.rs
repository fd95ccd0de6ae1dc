//! Text of customers, made safe to store, to show and to send.
//!
//! PostgreSQL takes no NUL; a mail's HTML may run scripts or tell its sender when it is read; a limit that cuts a
//! character in two makes text that cannot be stored. Each has one function here, so that no connector does it in its
//! own way.

mod depth;
pub mod json;

use std::{borrow::Cow, sync::LazyLock};

use ammonia::Builder;
use depth::{is_indented_too_far, is_too_deep};
use whatlang::{Detector, Info, Lang};

/// Width at which plain text made from HTML is broken; wide, so that paragraphs stay whole.
const TEXT_WIDTH: usize = 400;

/// Shortest text, in letters, whose language is guessed.
const MIN_LANGUAGE_LETTERS: usize = 20;

/// Bytes that a guess of the language looks at: more costs time and changes nothing.
const LANGUAGE_SAMPLE: usize = 600;

/// Scheme that marks the address of a remote image until it is renamed to `data-src`. It is removed from the input
/// first, so that a customer cannot use it.
const REMOTE_MARK: &str = "x-solmu-remote:";

/// Longest HTML that is looked at, in bytes; the rest is left out. Callers who care compare the length and say so.
pub const MAX_HTML_BYTES: usize = 1024 * 1024;

/// Bytes that the HTML writer may look at for characters that it escapes. For each `&` and no-break space it searches
/// the rest of that text (html5ever 0.40): half a megabyte of nothing else would take a minute in a debug build.
const MAX_ESCAPE_COST: usize = 1_000_000_000;

/// Removes NUL, which PostgreSQL refuses, and makes CRLF and lone CR to LF.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    let has_nul = text.contains('\0');
    if !has_nul && !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len());
    for (index, part) in text.split('\r').enumerate() {
        let mut part = part;
        if index > 0 {
            cleaned.push('\n');
            part = part.strip_prefix('\n').unwrap_or(part);
        }
        if has_nul {
            cleaned.extend(part.split('\0'));
        } else {
            cleaned.push_str(part);
        }
    }
    Cow::Owned(cleaned)
}

/// HTML without scripts, styles, forms and frames.
///
/// Images at `http:` and `https:` addresses are kept without loading: their `src` becomes `data-src`, because a loaded
/// image tells its sender that, when and where the message was read. Images within the mail (`cid:`) stay.
#[must_use]
pub fn sanitise_html(html: &str) -> String {
    static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
        let mut builder = Builder::default();
        builder
            .add_url_schemes(["cid"])
            .url_relative(ammonia::UrlRelative::Deny)
            .link_rel(Some("noopener noreferrer nofollow"))
            .attribute_filter(|element, attribute, value| match (element, attribute) {
                ("img", "src")
                    if value
                        .get(..4)
                        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("cid:")) =>
                {
                    Some(value.into())
                }
                ("img", "src") => Some(format!("{REMOTE_MARK}{value}").into()),
                _ => Some(value.into()),
            });
        builder
    });
    let html = clean(truncate_bytes(html, MAX_HTML_BYTES));
    if is_too_deep(&html) || is_too_costly(&html) {
        return format!("<pre>{}</pre>", ammonia::clean_text(&bare_text(&html)));
    }
    let html = if html.contains(REMOTE_MARK) {
        Cow::Owned(html.replace(REMOTE_MARK, ""))
    } else {
        html
    };
    CLEANER
        .clean(&html)
        .to_string()
        .replace(&format!(" src=\"{REMOTE_MARK}"), " data-src=\"")
}

/// The plain text of an HTML body: quotes as `>`, lists as `*`, links without their addresses, a line a table cell.
///
/// Falls back to the bare text where the HTML cannot be laid out (nested too deeply, or too much of it set in).
#[must_use]
pub fn html_to_text(html: &str) -> String {
    let html = truncate_bytes(html, MAX_HTML_BYTES);
    if is_indented_too_far(html) {
        return clean(bare_text(html).trim()).into_owned();
    }
    let laid_out = html2text::config::plain_no_decorate()
        .no_link_wrapping()
        // Tables of mail are layout: drawn as tables they would be rules and blanks around a few words.
        .raw_mode(true)
        // A stroke after each letter is nothing to search or read, and nested `<s>` would take time with the square of
        // their depth: half a minute for 64 KiB.
        .unicode_strikeout(false)
        .allow_width_overflow()
        .string_from_read(html.as_bytes(), TEXT_WIDTH);
    let text = laid_out.unwrap_or_else(|_| bare_text(html));
    clean(text.trim()).into_owned()
}

/// Whether the texts between tags hold so many characters to escape that writing them takes longer than
/// [`MAX_ESCAPE_COST`] allows.
fn is_too_costly(html: &str) -> bool {
    let mut cost = 0_usize;
    for part in html.split('<') {
        let escaped = part
            .bytes()
            .filter(|byte| matches!(byte, b'&' | 0xc2))
            .count();
        cost = cost.saturating_add(escaped.saturating_mul(part.len()));
    }
    cost > MAX_ESCAPE_COST
}

/// Everything between tags, without layout and in one pass, for HTML that no parser should see.
fn bare_text(html: &str) -> String {
    let mut text = String::new();
    for (index, part) in html.split('<').enumerate() {
        let content = if index == 0 {
            part
        } else {
            part.split_once('>').map_or("", |(_, content)| content)
        };
        if !content.trim().is_empty() {
            text.push_str(content);
            text.push(' ');
        }
    }
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&nbsp;", " ")
        .replace("&amp;", "&")
}

/// The language of a text as BCP 47, or nothing when the text is short or the guess not reliable.
///
/// A guess between many languages is seldom reliable on two lines of a chat. So a first guess that is one of the home
/// languages also counts when it is reliable among those alone; that guess by itself would call German English.
#[must_use]
pub fn language(text: &str) -> Option<&'static str> {
    static WIDE: LazyLock<Detector> = LazyLock::new(|| detector(&LANGUAGES));
    static HOME: LazyLock<Detector> = LazyLock::new(|| detector(&LANGUAGES[..HOME_LANGUAGES]));
    static WESTERN: LazyLock<Detector> = LazyLock::new(|| detector(&WESTERN_NORDIC));
    let sample = truncate_bytes(text, LANGUAGE_SAMPLE);
    if sample.chars().filter(|char| char.is_alphabetic()).count() < MIN_LANGUAGE_LETTERS {
        return None;
    }
    // Swedish, Danish and Norwegian share their words; their letters tell them apart.
    if sample.contains(['æ', 'ø', 'Æ', 'Ø']) {
        let guess = WESTERN.detect(sample).filter(Info::is_reliable)?;
        return tag_of(&WESTERN_NORDIC, guess.lang());
    }
    let guess = WIDE.detect(sample)?;
    if guess.is_reliable() {
        return tag_of(&LANGUAGES, guess.lang());
    }
    let again = HOME.detect(sample).filter(Info::is_reliable)?;
    if again.lang() == guess.lang() {
        tag_of(&LANGUAGES, guess.lang())
    } else {
        None
    }
}

/// A language and its BCP 47 tag.
type Language = (Lang, &'static str);

/// Languages that are told apart, the home languages first. A shorter list makes guesses on short texts more reliable.
const LANGUAGES: [Language; 12] = [
    (Lang::Fin, "fi"),
    (Lang::Swe, "sv"),
    (Lang::Eng, "en"),
    (Lang::Est, "et"),
    (Lang::Deu, "de"),
    (Lang::Fra, "fr"),
    (Lang::Spa, "es"),
    (Lang::Ita, "it"),
    (Lang::Por, "pt"),
    (Lang::Pol, "pl"),
    (Lang::Rus, "ru"),
    (Lang::Ukr, "uk"),
];

/// How many of [`LANGUAGES`] are home languages.
const HOME_LANGUAGES: usize = 3;

/// Languages written with `æ` and `ø`.
const WESTERN_NORDIC: [Language; 2] = [(Lang::Dan, "da"), (Lang::Nob, "nb")];

fn detector(list: &[Language]) -> Detector {
    Detector::with_allowlist(list.iter().map(|(lang, _)| *lang).collect())
}

fn tag_of(list: &[Language], lang: Lang) -> Option<&'static str> {
    list.iter()
        .find(|(other, _)| *other == lang)
        .map(|(_, tag)| *tag)
}

/// The start of `text`, at most `max` bytes, cut between characters.
#[must_use]
pub fn truncate_bytes(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// The start of `text`, at most `max` characters.
#[must_use]
pub fn truncate_chars(text: &str, max: usize) -> &str {
    text.char_indices()
        .nth(max)
        .map_or(text, |(end, _)| &text[..end])
}

/// Shortens `text` in place to at most `max` bytes; true if something was cut.
pub fn shorten(text: &mut String, max: usize) -> bool {
    let end = text.floor_char_boundary(max);
    let cut = end < text.len();
    text.truncate(end);
    cut
}

/// Cuts `text` into parts of at most `max` UTF-16 units (what chat platforms count), at a line end or a space where
/// one lies in the last quarter of a part. No part is empty; `max` must be at least 2.
#[must_use]
pub fn split(text: &str, max: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(end) = utf16_end(rest, max) {
        let head = &rest[..end];
        let earliest = head.floor_char_boundary(end - end / 4);
        let cut = head[earliest..]
            .rfind('\n')
            .or_else(|| head[earliest..].rfind(' '))
            .map_or(end, |at| earliest + at + 1);
        parts.push(&rest[..cut]);
        rest = &rest[cut..];
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

/// Where the first `max` UTF-16 units of `text` end, or nothing if it has no more than that.
fn utf16_end(text: &str, max: usize) -> Option<usize> {
    let mut units = 0;
    for (at, char) in text.char_indices() {
        units += char.len_utf16();
        if units > max {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests;

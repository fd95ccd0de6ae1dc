//! Which parts are the text, which are attachments.

use solmu_text::{clean, html_to_text, sanitise_html};

use super::{
    ParseLimits, calendar,
    encoding::{read_text, to_text},
    file,
    header::{clean_line, media_type},
    protection, tnef,
    tree::{Leaf, Tree},
    uuencode,
};
use crate::mail::{ParsedAttachment, ParsedMail, Protection, Report};

/// A part of the text that the reader sees.
struct Piece {
    content: String,
    html: bool,
    alternative: Option<usize>,
}

impl Piece {
    fn plain(content: String) -> Self {
        Self {
            content,
            html: false,
            alternative: None,
        }
    }
}

/// Puts text, HTML and attachments into `mail`.
pub(super) fn fill(tree: Tree<'_>, limits: &ParseLimits, mail: &mut ParsedMail) {
    let Tree {
        leaves,
        returned,
        protection,
        skipped,
        too_deep,
        ..
    } = tree;
    mail.returned = returned;
    mail.protection = protection;
    let mut sorter = Sorter {
        pieces: Vec::new(),
        spare: Vec::new(),
        over: skipped,
        limits,
    };
    for leaf in leaves {
        sorter.take(leaf, mail);
    }
    let Sorter {
        mut pieces,
        spare,
        over,
        ..
    } = sorter;
    if pieces.iter().all(|piece| piece.content.trim().is_empty()) {
        pieces.extend(spare);
    }
    let cut_html = fill_html(&pieces, limits, mail);
    let cut_text = fill_text(&pieces, limits, mail);
    mail.protection = protection::stronger(mail.protection, protection::of_text(&mail.text));
    note(
        mail,
        cut_text,
        "the text is over the limit; the rest of it is in the original only",
    );
    note(
        mail,
        cut_html,
        "the HTML is over the limit; the rest of it is in the original only",
    );
    note(
        mail,
        too_deep > 0,
        "parts nested too deeply are kept as one attachment",
    );
    note(
        mail,
        over > 0,
        &format!("{over} parts over the limit were kept in the original only"),
    );
    note(
        mail,
        mail.protection.is_encrypted(),
        "the mail is encrypted; its content is in the attachments",
    );
    note(
        mail,
        mail.protection == Protection::SmimeSigned && mail.text.is_empty(),
        "the mail is signed with S/MIME; its content is in the attachment",
    );
}

/// Sorts parts into what is read and what is kept as a file.
struct Sorter<'a> {
    pieces: Vec<Piece>,
    /// Text for a mail that has no other.
    spare: Vec<Piece>,
    /// Parts that were left out.
    over: usize,
    limits: &'a ParseLimits,
}

impl Sorter<'_> {
    fn take(&mut self, leaf: Leaf<'_>, mail: &mut ParsedMail) {
        if let Some(report) = as_report(&leaf) {
            mail.reports.push(report);
        } else if is_text(&leaf, self.pieces.is_empty()) {
            self.take_text(&leaf, mail);
        } else if is_tnef(&leaf) {
            self.take_tnef(leaf, mail);
        } else {
            if leaf.block.content_type == "text/calendar" {
                self.take_calendar(&leaf, mail);
            }
            self.keep(file::of_leaf(leaf), mail);
        }
    }

    fn keep(&mut self, file: ParsedAttachment, mail: &mut ParsedMail) {
        if mail.attachments.len() < self.limits.attachments {
            mail.attachments.push(file);
        } else {
            self.over += 1;
        }
    }

    fn take_text(&mut self, leaf: &Leaf<'_>, mail: &mut ParsedMail) {
        let (mut content, is_whole) = read_text(&leaf.bytes, &leaf.block.charset);
        if !is_whole {
            note_unread(mail, &leaf.block.charset);
        }
        let html = leaf.block.content_type == "text/html";
        let room = self
            .limits
            .attachments
            .saturating_sub(mail.attachments.len());
        if !html && let Some((text, files)) = uuencode::extract(&content, room) {
            content = text;
            let files = files.into_iter();
            mail.attachments
                .extend(files.map(|found| file::named(&found.name, found.bytes)));
        }
        self.pieces.push(Piece {
            content,
            html,
            alternative: leaf.alternative,
        });
    }

    fn take_tnef(&mut self, leaf: Leaf<'_>, mail: &mut ParsedMail) {
        let room = self
            .limits
            .attachments
            .saturating_sub(mail.attachments.len());
        let Some(found) = tnef::decode(&leaf.bytes, room) else {
            return self.keep(file::of_leaf(leaf), mail);
        };
        for found in found.files {
            let mut file = file::named(&found.name, found.bytes);
            if found.content_type.contains('/') {
                file.content_type = media_type(&found.content_type);
            }
            file.content_id = clean_line(found.content_id.trim_matches(['<', '>']));
            self.keep(file, mail);
        }
        if !found.html.is_empty() {
            self.spare.push(Piece {
                html: true,
                ..Piece::plain(found.html)
            });
        } else if !found.text.is_empty() {
            self.spare.push(Piece::plain(found.text));
        }
        if !found.whole {
            note(
                mail,
                true,
                "a winmail.dat could be read only in part; it is kept as a file",
            );
            self.keep(file::of_leaf(leaf), mail);
        }
    }

    /// The reader is told what an invitation says; a mail of nothing else has it as its text.
    fn take_calendar(&mut self, leaf: &Leaf<'_>, mail: &mut ParsedMail) {
        let text = to_text(&leaf.bytes, &leaf.block.charset);
        let Some(line) = calendar::summary(&text) else {
            return;
        };
        if !mail.notices.contains(&line) {
            self.spare.push(Piece::plain(line.clone()));
            mail.notices.push(line);
        }
    }
}

fn is_tnef(leaf: &Leaf<'_>) -> bool {
    matches!(
        leaf.block.content_type.as_str(),
        "application/ms-tnef" | "application/vnd.ms-tnef"
    ) || leaf.block.filename.eq_ignore_ascii_case("winmail.dat")
}

fn note(mail: &mut ParsedMail, when: bool, notice: &str) {
    if when {
        mail.notices.push(notice.to_owned());
    }
}

/// Characters of a character set's name that the reader is told.
const CHARSET_SHOWN: usize = 40;

fn note_unread(mail: &mut ParsedMail, charset: &str) {
    let name: String = clean_line(charset).chars().take(CHARSET_SHOWN).collect();
    let named = if name.is_empty() {
        String::new()
    } else {
        format!(" '{name}'")
    };
    let notice = format!(
        "not every character of the text could be read in its character set{named}; the original has them all"
    );
    // One is enough: a mail may have a different set in each of many parts.
    let told = |known: &String| known.starts_with("not every character");
    if !mail.notices.iter().any(told) {
        mail.notices.push(notice);
    }
}

fn as_report(leaf: &Leaf<'_>) -> Option<Report> {
    let kind = leaf.block.content_type.as_str();
    let is_report = matches!(
        kind,
        "message/delivery-status"
            | "message/global-delivery-status"
            | "message/disposition-notification"
            | "message/global-disposition-notification"
            | "message/feedback-report"
    );
    is_report.then(|| Report {
        content_type: kind.to_owned(),
        text: to_text(&leaf.bytes, &leaf.block.charset),
    })
}

/// Text with a file name is a file, unless it is the first thing in the mail and nobody says that it is attached.
fn is_text(leaf: &Leaf<'_>, first: bool) -> bool {
    let kind = leaf.block.content_type.as_str();
    let readable = matches!(kind, "text/plain" | "text/html" | "text" | "text/enriched");
    readable && !leaf.block.attachment && (leaf.block.filename.is_empty() || first)
}

/// The plain text: of an `alternative`, its plain version if that is not blank.
fn fill_text(pieces: &[Piece], limits: &ParseLimits, mail: &mut ParsedMail) -> bool {
    let has_plain = |alternative: Option<usize>| {
        pieces.iter().any(|other| {
            !other.html && other.alternative == alternative && !other.content.trim().is_empty()
        })
    };
    let mut text = String::new();
    let mut is_cut = false;
    let mut html_left = limits.html_bytes;
    for piece in pieces {
        let superseded = piece.html && piece.alternative.is_some() && has_plain(piece.alternative);
        if superseded || piece.content.trim().is_empty() {
            continue;
        }
        // Laying out HTML is dear: nothing is for a text that is full, and all parts together have one measure of it.
        if text.len() > limits.text_bytes || (piece.html && html_left == 0) {
            is_cut = true;
            continue;
        }
        let content = if piece.html {
            let first = cut(&piece.content, html_left);
            is_cut |= first.len() < piece.content.len();
            html_left -= first.len();
            html_to_text(first)
        } else {
            let first = cut(&piece.content, limits.text_bytes.saturating_add(1));
            is_cut |= first.len() < piece.content.len();
            clean(first).into_owned()
        };
        if text.is_empty() {
            text = content;
            text.truncate(text.trim_end().len());
        } else {
            text.push_str("\n\n");
            text.push_str(content.trim_end());
        }
    }
    let kept = cut(&text, limits.text_bytes).len();
    is_cut |= kept < text.len();
    text.truncate(kept);
    mail.text = text;
    is_cut
}

/// The HTML, if any part is HTML; plain parts beside it are set in `<pre>`.
fn fill_html(pieces: &[Piece], limits: &ParseLimits, mail: &mut ParsedMail) -> bool {
    let has_html = |alternative: Option<usize>| {
        pieces
            .iter()
            .any(|other| other.html && other.alternative == alternative)
    };
    if !pieces
        .iter()
        .any(|piece| piece.html && !piece.content.trim().is_empty())
    {
        return false;
    }
    let mut html = String::new();
    for piece in pieces {
        if html.len() > limits.html_bytes {
            break;
        }
        if piece.html {
            html.push_str(&piece.content);
        } else if piece.alternative.is_none() || !has_html(piece.alternative) {
            html.push_str("<pre>");
            html.push_str(&escape(&piece.content));
            html.push_str("</pre>");
        }
    }
    let kept = cut(&html, limits.html_bytes);
    sanitise_html(kept).trim().clone_into(&mut mail.html);
    kept.len() < html.len()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The first `limit` bytes, at a character's end.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

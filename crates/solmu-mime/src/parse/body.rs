//! Which parts are the text, which are attachments.

use solmu_text::{clean, html_to_text, sanitise_html};

use super::{
    ParseLimits,
    encoding::to_text,
    header::clean_line,
    tree::{Leaf, Tree},
};
use crate::mail::{ParsedAttachment, ParsedMail, Report};

/// Characters of a file name that are kept (common file systems take 255 bytes).
const FILENAME_MAX: usize = 120;

/// A part of the text that the reader sees.
struct Piece {
    content: String,
    html: bool,
    alternative: Option<usize>,
}

/// Puts text, HTML and attachments into `mail`.
pub(super) fn fill(tree: Tree<'_>, limits: &ParseLimits, mail: &mut ParsedMail) {
    let Tree {
        leaves,
        returned,
        skipped,
        too_deep,
        ..
    } = tree;
    mail.returned = returned;
    let mut pieces = Vec::new();
    let mut over = skipped;
    for leaf in leaves {
        if let Some(report) = as_report(&leaf) {
            mail.reports.push(report);
        } else if is_text(&leaf, pieces.is_empty()) {
            let content = to_text(&leaf.bytes, &leaf.block.charset);
            let html = leaf.block.content_type == "text/html";
            pieces.push(Piece {
                content,
                html,
                alternative: leaf.alternative,
            });
        } else if mail.attachments.len() < limits.attachments {
            mail.attachments.push(attachment(leaf));
        } else {
            over += 1;
        }
    }
    let cut_html = fill_html(&pieces, limits, mail);
    let cut_text = fill_text(&pieces, limits, mail);
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
}

fn note(mail: &mut ParsedMail, when: bool, notice: &str) {
    if when {
        mail.notices.push(notice.to_owned());
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
    for piece in pieces {
        let superseded = piece.html && piece.alternative.is_some() && has_plain(piece.alternative);
        if superseded || piece.content.trim().is_empty() {
            continue;
        }
        let content = if piece.html {
            html_to_text(cut(&piece.content, limits.html_bytes))
        } else {
            let first = cut(&piece.content, limits.text_bytes.saturating_add(1));
            is_cut |= first.len() < piece.content.len();
            clean(first).into_owned()
        };
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(content.trim_end());
    }
    let kept = cut(&text, limits.text_bytes);
    is_cut |= kept.len() < text.len();
    kept.clone_into(&mut mail.text);
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

fn attachment(leaf: Leaf<'_>) -> ParsedAttachment {
    let Leaf {
        block,
        bytes,
        related,
        ..
    } = leaf;
    let inline = !block.attachment && (block.inline || related) && !block.content_id.is_empty();
    ParsedAttachment {
        filename: file_name(&block.filename, &block.content_type),
        content_type: block.content_type,
        content_id: block.content_id,
        inline,
        bytes: bytes.into_owned(),
    }
}

/// A name that is safe to show and to save: no folders, no control or direction characters.
fn file_name(given: &str, content_type: &str) -> String {
    let name = clean_line(given);
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_safe = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    let name: String = name.chars().filter(is_safe).take(FILENAME_MAX).collect();
    let name = name.trim().trim_start_matches('.');
    if name.is_empty() && content_type.starts_with("message/") {
        "message.eml".to_owned()
    } else {
        name.to_owned()
    }
}

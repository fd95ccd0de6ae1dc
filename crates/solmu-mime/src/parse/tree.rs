//! The tree of parts (RFC 2046), walked with limits on count and depth.

use std::borrow::Cow;

use memchr::memmem::Finder;

use super::{
    ParseLimits, encoding::transfer_decode, extent::line_length, header, header::Block, protection,
};
use crate::mail::{Fields, Protection};

/// A part that has content of its own.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    pub(super) block: Block,
    pub(super) bytes: Cow<'a, [u8]>,
    /// Which `multipart/alternative` it is a version in.
    pub(super) alternative: Option<usize>,
    /// Within a `multipart/related`: usually an image of the HTML.
    pub(super) related: bool,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Tree<'a> {
    pub(super) leaves: Vec<Leaf<'a>>,
    /// Header of a message that a report returned.
    pub(super) returned: Option<Fields>,
    /// How the mail or a part of it is signed or encrypted.
    pub(super) protection: Protection,
    /// Parts that were not looked at.
    pub(super) skipped: usize,
    /// Containers deeper than the limit, kept as one attachment each.
    pub(super) too_deep: usize,
    parts: usize,
    alternatives: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    depth: usize,
    alternative: Option<usize>,
    related: bool,
    report: bool,
    digest: bool,
}

/// Walks the parts of a mail whose header is `root`.
pub(super) fn walk<'a>(raw: &'a [u8], root: Block, limits: &ParseLimits) -> Tree<'a> {
    let mut tree = Tree::default();
    let body = raw.get(root.body..).unwrap_or_default();
    tree.visit(root, body, Place::default(), limits);
    tree
}

impl<'a> Tree<'a> {
    fn visit(&mut self, mut block: Block, body: &'a [u8], place: Place, limits: &ParseLimits) {
        self.parts += 1;
        if block.content_type.is_empty() {
            let default = if place.digest {
                "message/rfc822"
            } else {
                "text/plain"
            };
            default.clone_into(&mut block.content_type);
        }
        let kind = block
            .content_type
            .strip_prefix("multipart/")
            .map(str::to_owned);
        if let Some(kind) = kind {
            let sections = block
                .boundary
                .as_deref()
                .and_then(|boundary| split(body, boundary.as_bytes()));
            match sections {
                Some(_) if place.depth >= limits.depth => self.too_deep += 1,
                Some(sections) => {
                    let found = protection::of_container(&kind, &block.protocol);
                    self.protection = protection::stronger(self.protection, found);
                    let inner = self.enter(place, &kind);
                    return self.visit_sections(&sections, inner, limits);
                }
                // No boundary: whatever is there is text for the reader.
                None => "text/plain".clone_into(&mut block.content_type),
            }
        }
        self.keep(block, body, place, limits);
    }

    fn visit_sections(&mut self, sections: &[&'a [u8]], place: Place, limits: &ParseLimits) {
        for (index, section) in sections.iter().enumerate() {
            if self.parts >= limits.parts {
                self.skipped += sections.len() - index;
                return;
            }
            let block = header::read_part(section, limits.header_bytes);
            let body = section.get(block.body..).unwrap_or_default();
            self.visit(block, body, place, limits);
        }
    }

    fn enter(&mut self, place: Place, kind: &str) -> Place {
        let alternative = if kind == "alternative" {
            self.alternatives += 1;
            Some(self.alternatives)
        } else {
            place.alternative
        };
        Place {
            depth: place.depth + 1,
            alternative,
            related: kind == "related" || place.related,
            report: kind == "report" || place.report,
            digest: kind == "digest",
        }
    }

    fn keep(&mut self, block: Block, body: &'a [u8], place: Place, limits: &ParseLimits) {
        let bytes = transfer_decode(body, &block.encoding);
        let found = protection::of_part(&block, &bytes);
        self.protection = protection::stronger(self.protection, found);
        let returned = place.report
            && matches!(
                block.content_type.as_str(),
                "message/rfc822"
                    | "message/global"
                    | "text/rfc822-headers"
                    | "message/global-headers"
            );
        if returned && self.returned.is_none() {
            self.returned = Some(header::read(&bytes, limits.header_bytes).fields);
        }
        self.leaves.push(Leaf {
            block,
            bytes,
            alternative: place.alternative,
            related: place.related,
        });
    }
}

/// The sections between the boundary lines (RFC 2046 section 5.1.1); the preamble and what follows the closing line
/// are left out. `None` if there is no boundary line at all. A missing closing line ends with the body.
fn split<'a>(body: &'a [u8], boundary: &[u8]) -> Option<Vec<&'a [u8]>> {
    let marker = [b"--", boundary].concat();
    let marker = Finder::new(&marker);
    let mut sections = Vec::new();
    let mut start: Option<usize> = None;
    let mut from = 0;
    // Looked for as a whole and not line by line: a file in base64 has many lines.
    while let Some(found) = body.get(from..).and_then(|rest| marker.find(rest)) {
        let at = from + found;
        if at > 0 && body[at - 1] != b'\n' {
            from = at + 1;
            continue;
        }
        let line = &body[at..at + line_length(&body[at..])];
        if let Some(closing) = delimiter(line, boundary) {
            if let Some(from) = start {
                sections.push(without_line_end(&body[from..at]));
            }
            start = Some(at + line.len());
            if closing {
                return Some(sections);
            }
        }
        from = at + line.len();
    }
    let last = start?;
    sections.push(&body[last..]);
    Some(sections)
}

/// Whether `line` is the delimiter, and if so whether it is the closing one.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    let rest = rest.trim_ascii_end();
    match rest {
        b"" => Some(false),
        _ => rest.starts_with(b"--").then_some(true),
    }
}

/// The line end before a delimiter belongs to the delimiter.
fn without_line_end(section: &[u8]) -> &[u8] {
    let section = section.strip_suffix(b"\n").unwrap_or(section);
    section.strip_suffix(b"\r").unwrap_or(section)
}

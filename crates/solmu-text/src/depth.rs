//! How deep the tags of an HTML text nest, found without parsing it.
//!
//! The HTML parser's time grows with the square of the depth: twenty thousand open tags would hold a core for half a
//! minute. So the depth is counted first, by the rules of the HTML standard's tree construction (section 13.2.6) as far
//! as they decide what an end tag closes: one that matches nothing closes nothing, however many there are.

/// Deepest nesting that is laid out. Newsletters stay below a hundred.
const MAX_HTML_DEPTH: usize = 400;

/// Tags that have no content, or that the next one of their kind closes.
const FLAT: [&str; 18] = [
    "p", "br", "img", "hr", "li", "dt", "dd", "meta", "link", "input", "col", "area", "base",
    "wbr", "option", "source", "param", "embed",
];
/// Parts of a table: each closes what is open within the table that it belongs to.
const CELLS: [&str; 6] = ["tr", "td", "th", "tbody", "thead", "tfoot"];
/// An end tag finds these wherever they are, and closes nothing else.
const FORMATTING: [&str; 14] = [
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u",
];
/// End tags outside of these do not reach into them.
const BARRIERS: [&str; 7] = [
    "table", "object", "applet", "marquee", "template", "caption", "select",
];
/// An end tag of another kind does not reach past these.
const BLOCKS: [&str; 28] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "button",
    "center",
    "details",
    "dir",
    "div",
    "dl",
    "fieldset",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "header",
    "html",
    "main",
    "menu",
    "nav",
    "ol",
    "pre",
    "section",
    "summary",
    "ul",
];

/// What is set in from the margin: each writes all lines within it anew.
const INDENTING: [&str; 6] = ["ul", "ol", "dl", "blockquote", "dir", "menu"];
/// Bytes that may be written anew for indentation, each once for each level that it stands in: eight levels of half a
/// megabyte, a quarter of a second at most. A hundred times as much would hold a core for half a minute.
const MAX_INDENT_COST: usize = 4 * 1024 * 1024;

/// Whether tags are open deeper than [`MAX_HTML_DEPTH`].
pub(crate) fn is_too_deep(html: &str) -> bool {
    walk(html, |open, _| open.0.len() > MAX_HTML_DEPTH)
}

/// Whether to lay the text out, margins and all, would write more than [`MAX_INDENT_COST`].
pub(crate) fn is_indented_too_far(html: &str) -> bool {
    let mut cost = 0_usize;
    walk(html, |open, part| {
        cost = cost.saturating_add(open.indents().saturating_mul(part.len()));
        cost > MAX_INDENT_COST || open.0.len() > MAX_HTML_DEPTH
    })
}

/// Goes through the tags of a text, each with what follows it, until `stops` says so.
fn walk<'a>(html: &'a str, mut stops: impl FnMut(&Open<'a>, &'a str) -> bool) -> bool {
    let mut open = Open(Vec::new());
    for part in html.split('<').skip(1) {
        let (tag, closes) = part
            .strip_prefix('/')
            .map_or((part, false), |tag| (tag, true));
        let end = tag.find(|char: char| !char.is_ascii_alphanumeric());
        let name = &tag[..end.unwrap_or(tag.len())];
        if name.is_empty() || is_one(&FLAT, name) {
            // Changes nothing of what is open.
        } else if is_one(&CELLS, name) {
            open.clear_table();
        } else if closes {
            open.close(name);
        } else {
            open.push(name);
        }
        if stops(&open, part) {
            return true;
        }
    }
    false
}

fn is_one(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Names of open tags, the outermost first, each with the number of indenting ones up to it; never more than
/// [`MAX_HTML_DEPTH`] and one.
struct Open<'a>(Vec<(&'a str, usize)>);

impl<'a> Open<'a> {
    fn push(&mut self, name: &'a str) {
        let indents = self.indents() + usize::from(is_one(&INDENTING, name));
        self.0.push((name, indents));
    }

    /// How many margins there are here.
    fn indents(&self) -> usize {
        self.0.last().map_or(0, |(_, indents)| *indents)
    }

    /// Closes what is open within the innermost table.
    fn clear_table(&mut self) {
        if let Some(table) = self.last("table") {
            self.0.truncate(table + 1);
        }
    }

    fn last(&self, name: &str) -> Option<usize> {
        self.0
            .iter()
            .rposition(|(open, _)| open.eq_ignore_ascii_case(name))
    }

    fn close(&mut self, name: &str) {
        let Some(at) = self.last(name) else { return };
        if is_one(&FORMATTING, name) {
            self.0.remove(at);
            return;
        }
        let stops = |(open, _): &(&str, usize)| {
            is_one(&BARRIERS, open) || (!is_one(&BLOCKS, name) && is_one(&BLOCKS, open))
        };
        let is_reached = name.eq_ignore_ascii_case("table") || !self.0[at + 1..].iter().any(stops);
        if is_reached {
            self.0.truncate(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_lists_of_long_texts_are_not_laid_out() {
        let text = "word ".repeat(20_000);
        let lists = |depth: usize| format!("{}{text}", "<ul><li>".repeat(depth));
        assert!(is_indented_too_far(&lists(100)));
        assert!(!is_too_deep(&lists(100)));
        assert!(!is_indented_too_far(&lists(40)));
        // A long thread: each answer stands one level out from what it quotes.
        let thread = format!("{text}<blockquote>").repeat(8);
        assert!(!is_indented_too_far(&thread));
        let closed = format!("<ol><li>x</ol>{text}").repeat(300);
        assert!(!is_indented_too_far(&closed));
    }

    #[test]
    fn end_tags_that_close_nothing_do_not_hide_the_depth() {
        for unit in [
            "<le></t>",
            "<x><div></x>",
            "<div><table><td></div>",
            "<b></i>",
            "<b><div></b>",
            "<span><blockquote></span>",
        ] {
            assert!(is_too_deep(&unit.repeat(500)), "{unit}");
        }
    }

    #[test]
    fn sloppy_mail_is_not_deep() {
        for unit in [
            "<p>x",
            "<br>",
            "<b>x</b>",
            "<div><span>x</div>",
            "<div><font>x</div></font>",
            "<FONT><div>x</div></font>",
            "<table><tr><td><span>x<tr><td>y</table>",
            "<table><td><div>x</td></table>",
            "<ul><li>x<li>y</ul>",
            "<o:p></o:p>",
            "<a href=x><table><tr><td></a></td></tr></table></a>",
        ] {
            assert!(!is_too_deep(&unit.repeat(500)), "{unit}");
        }
        let cells = "<span>x<td>y".repeat(500);
        assert!(!is_too_deep(&format!("<table><tr><td>{cells}</table>")));
    }
}

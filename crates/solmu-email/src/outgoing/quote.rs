//! The message that an answer quotes, below it, as mail clients do: "On ... wrote:" in the language of the ticket.
//!
//! The line is written the way that our own reader of quotes knows, so that what comes back is folded away again. The
//! ticket service decides what is quoted; here is only how it looks.

use jiff::{Timestamp, tz::TimeZone};
use solmu_bus::envelope::from_proto_time;
use solmu_proto::outbound::v1::Quoted;

use super::{body::Readable, headers::one_line};

/// Puts the quote below the text and, if there is one, below the HTML.
pub(super) fn append(readable: &mut Readable, quoted: &Quoted, language: &str, zone: &TimeZone) {
    let line = attribution(quoted, language, zone);
    let end = readable.text.trim_end().len();
    readable.text.truncate(end);
    readable.text.push_str("\n\n");
    readable.text.push_str(&line);
    for quoted in quoted.text.lines() {
        // A line that is a quote already needs no space between the marks.
        let mark = if quoted.starts_with('>') || quoted.is_empty() {
            ">"
        } else {
            "> "
        };
        readable.text.push('\n');
        readable.text.push_str(mark);
        readable.text.push_str(quoted);
    }
    readable.text.push('\n');
    if !readable.html.is_empty() {
        let block = format!(
            "<br><div>{}</div><blockquote type=\"cite\">{}</blockquote>",
            super::template::escaped(&line),
            super::template::escaped(quoted.text.trim_end())
        );
        let lower = readable.html.to_ascii_lowercase();
        let end = lower.rfind("</body>").unwrap_or(readable.html.len());
        readable.html.insert_str(end, &block);
    }
}

/// Who wrote it, and when.
fn attribution(quoted: &Quoted, language: &str, zone: &TimeZone) -> String {
    let name = match one_line(&quoted.author_name) {
        name if name.is_empty() => quoted.author_address.clone(),
        name => name,
    };
    let at = quoted
        .time
        .as_ref()
        .map_or(Timestamp::UNIX_EPOCH, from_proto_time);
    let at = at.to_zoned(zone.clone());
    let date = |format: &str| at.strftime(format).to_string();
    match language.split(['-', '_']).next().unwrap_or_default() {
        "fi" => format!("{name} kirjoitti {}:", date("%-d.%-m.%Y klo %-H.%M")),
        "sv" => format!("Den {} skrev {name}:", date("%Y-%m-%d kl. %H:%M")),
        "de" => format!("Am {} schrieb {name}:", date("%d.%m.%Y um %H:%M")),
        _ => format!("On {}, {name} wrote:", date("%Y-%m-%d at %H:%M %Z")),
    }
}

#[cfg(test)]
mod tests {
    use solmu_bus::envelope::to_proto_time;
    use solmu_mime::quotes;

    use super::*;

    fn quoted() -> Quoted {
        Quoted {
            author_name: "Aino Virtanen".to_owned(),
            author_address: "aino@c.example".to_owned(),
            time: Some(to_proto_time("2026-11-02T07:05:00Z".parse().unwrap())),
            text: "It <b>broke</b>.\n\n> older\n".to_owned(),
        }
    }

    #[test]
    fn each_language_is_known_again_by_our_own_reader() {
        let zone = TimeZone::get("Europe/Helsinki").unwrap();
        for (language, line) in [
            ("fi", "Aino Virtanen kirjoitti 2.11.2026 klo 9.05:"),
            ("sv-FI", "Den 2026-11-02 kl. 09:05 skrev Aino Virtanen:"),
            ("de", "Am 02.11.2026 um 09:05 schrieb Aino Virtanen:"),
            ("en", "On 2026-11-02 at 09:05 EET, Aino Virtanen wrote:"),
            ("", "On 2026-11-02 at 09:05 EET, Aino Virtanen wrote:"),
        ] {
            let mut readable = Readable {
                text: "Fixed.\n".to_owned(),
                html: String::new(),
            };
            append(&mut readable, &quoted(), language, &zone);
            let wanted = format!("Fixed.\n\n{line}\n> It <b>broke</b>.\n>\n>> older\n");
            assert_eq!(readable.text, wanted);
            assert_eq!(readable.html, "");
            assert_eq!(
                quotes::find(&readable.text).visible(&readable.text),
                "Fixed.",
                "{language}"
            );
        }
    }

    #[test]
    fn html_is_escaped_and_stays_inside_the_body() {
        let mut readable = Readable {
            text: "Fixed.".to_owned(),
            html: "<html><body><p>Fixed.</p></body></html>".to_owned(),
        };
        append(&mut readable, &quoted(), "en", &TimeZone::UTC);
        assert!(
            readable.html.ends_with(
                "It &lt;b&gt;broke&lt;/b&gt;.<br>\n<br>\n&gt; older</blockquote></body></html>"
            ),
            "{}",
            readable.html
        );
        assert!(readable.html.contains("07:05 UTC, Aino Virtanen wrote:"));
    }

    #[test]
    fn a_name_ends_no_line() {
        let evil = Quoted {
            author_name: "A\nBcc: x@y".to_owned(),
            ..quoted()
        };
        let mut readable = Readable::default();
        append(&mut readable, &evil, "en", &TimeZone::UTC);
        assert!(
            readable.text.contains("A Bcc: x@y wrote:"),
            "{}",
            readable.text
        );
    }
}

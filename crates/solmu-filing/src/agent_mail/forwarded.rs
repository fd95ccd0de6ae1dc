//! Finds the mail that another one forwards, as a file or in its text.
//!
//! Mail clients put the header of a forwarded mail into the text, as lines of their user's language. The topmost such
//! block counts: below it may stand what that mail quoted itself. A block is a line that names a sender with an address
//! and, right after it, another line of a header; a sentence that begins with "From:" is none.

use solmu_domain::contact::EmailAddress;
use solmu_proto::{inbound::v1::AttachedMail, types::v1::Mailbox};

/// "From" in the languages of the big clients.
const FROM: [&str; 5] = ["from", "lähettäjä", "från", "von", "de"];
/// What else stands in such a block.
const OTHERS: [&str; 25] = [
    "date",
    "sent",
    "to",
    "cc",
    "subject",
    "reply-to",
    "päivämäärä",
    "lähetetty",
    "vastaanottaja",
    "kopio",
    "aihe",
    "pvm",
    "datum",
    "skickat",
    "till",
    "kopia",
    "ämne",
    "gesendet",
    "an",
    "betreff",
    "à",
    "envoyé",
    "objet",
    "päiväys",
    "kenelle",
];
/// Beginnings of the subject of a forwarded mail.
const PREFIXES: [&str; 8] = ["fwd:", "fw:", "vl:", "vs:", "vb:", "wg:", "tr:", "i:"];
/// Lines of a block at most.
const BLOCK: usize = 12;

/// A forwarded mail.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forwarded {
    /// Who wrote it; the address is normalised.
    pub(crate) from: Mailbox,
    /// Without the mark of forwarding.
    pub(crate) subject: String,
    /// What stands below its header.
    pub(crate) text: String,
}

impl Forwarded {
    /// The mail that is attached to one with this subject; `None` without a usable sender.
    pub(crate) fn attached(mail: &AttachedMail, around: &str) -> Option<Self> {
        let from = mail.from.as_ref()?;
        let address = EmailAddress::parse(&from.address).ok()?;
        let subject = [&mail.subject, around].map(without_prefix);
        Some(Self {
            from: Mailbox {
                name: from.name.trim().to_owned(),
                address: address.as_str().to_owned(),
            },
            subject: subject.into_iter().find(|it| !it.is_empty())?.to_owned(),
            text: mail.text.trim().to_owned(),
        })
    }

    /// The mail that a mail with this subject and text forwards.
    pub(crate) fn find(subject: &str, text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().collect();
        let (at, from) = (0..lines.len()).find_map(|at| Some((at, sender_at(&lines[at..])?)))?;
        let rest = &lines[at..];
        let end = rest
            .iter()
            .take(BLOCK)
            .skip(1)
            .position(|line| plain(line).is_empty());
        let body = &rest[end.map_or_else(|| rest.len().min(2), |end| end + 1)..];
        let quoted = body
            .iter()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('>'));
        let body: Vec<&str> = body
            .iter()
            .map(|line| if quoted { unquoted(line) } else { line })
            .collect();
        let text = body.join("\n").trim().to_owned();
        (!text.is_empty()).then(|| Self {
            from,
            subject: without_prefix(subject).to_owned(),
            text,
        })
    }
}

/// The sender, if a block begins here.
fn sender_at(lines: &[&str]) -> Option<Mailbox> {
    let (label, value) = field(lines.first()?)?;
    if !FROM.contains(&label.as_str()) {
        return None;
    }
    let header = lines
        .iter()
        .skip(1)
        .take(BLOCK)
        .take_while(|line| !plain(line).is_empty());
    let mut labels = header.filter_map(|line| field(line));
    let is_block = labels.any(|(label, _)| OTHERS.contains(&label.as_str()));
    is_block.then(|| mailbox(&value)).flatten()
}

/// Label and value of a header line, without marks of quoting and of bold text.
fn field(line: &str) -> Option<(String, String)> {
    let (label, value) = plain(line).split_once(':')?;
    let label = label.trim_matches(['*', '_', ' ']).to_lowercase();
    Some((label, value.trim_matches(['*', '_', ' ']).to_owned()))
}

fn plain(line: &str) -> &str {
    line.trim_start_matches(['>', ' ', '\t', '|']).trim()
}

fn unquoted(line: &str) -> &str {
    let line = line.trim_start();
    let line = line.strip_prefix('>').unwrap_or(line);
    line.strip_prefix(' ').unwrap_or(line)
}

/// `Name <address>`, `Name [mailto:address]`, `address`.
fn mailbox(value: &str) -> Option<Mailbox> {
    let clean = |text: &str| {
        let text = text.trim().trim_start_matches("mailto:");
        EmailAddress::parse(text).ok()
    };
    let opened = value.rfind(['<', '[']);
    let inside = opened.and_then(|at| value[at + 1..].split(['>', ']']).next().map(|it| (at, it)));
    let (name, address) = match inside {
        Some((at, inside)) => (&value[..at], clean(inside)?),
        None => ("", value.split_whitespace().find_map(clean)?),
    };
    Some(Mailbox {
        name: name.trim().trim_matches(['"', '\'']).trim().to_owned(),
        address: address.as_str().to_owned(),
    })
}

fn without_prefix(subject: &str) -> &str {
    let mut subject = subject.trim();
    loop {
        let prefix = PREFIXES.iter().find(|prefix| {
            let head = subject.get(..prefix.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(prefix))
        });
        match prefix {
            Some(prefix) => subject = subject[prefix.len()..].trim_start(),
            None => return subject,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_big_clients_in_four_languages() {
        let samples = [
            "Please take this.\n\n---------- Forwarded message ---------\nFrom: Aino V <Aino@C.example>\nDate: Mon, 2 Nov 2026 at 9.00\nSubject: Broken\nTo: <ville@desk.example>\n\n\nIt is broken.\n",
            "-----Alkuperäinen viesti-----\nLähettäjä: Aino V <aino@c.example>\nLähetetty: maanantai 2. marraskuuta 2026 9.00\nVastaanottaja: Ville\nAihe: Broken\n\nIt is broken.",
            "Från: Aino V <aino@c.example> \nSkickat: den 2 november 2026 09:00\nTill: Ville\nÄmne: Broken\n\nIt is broken.",
            "Hallo\n________________________________\n*Von:* Aino V <aino@c.example>\n*Gesendet:* Montag\n*An:* Ville\n*Betreff:* Broken\n\nIt is broken.",
            "Begin forwarded message:\n\n> From: \"Aino V\" <aino@c.example>\n> Date: 2 November 2026\n> Subject: Broken\n> \n> It is broken.\n",
            "From: Aino V [mailto:aino@c.example]\nSent: Monday\nSubject: Broken\n\nIt is broken.",
        ];
        for text in samples {
            let found = Forwarded::find("Fwd: VS: Broken", text).unwrap();
            assert_eq!(
                (found.from.name.as_str(), found.from.address.as_str()),
                ("Aino V", "aino@c.example"),
                "{text}"
            );
            assert_eq!(
                (found.subject.as_str(), found.text.as_str()),
                ("Broken", "It is broken.")
            );
        }
    }

    #[test]
    fn a_sentence_is_no_header() {
        for text in [
            "From: me to you@x.example with love\nand more\n\ntext",
            "From: nobody\nDate: Monday\n\ntext",
            "From: a@c.example\nDate: Monday\n\n",
            "",
            "From:",
        ] {
            assert_eq!(Forwarded::find("x", text), None, "{text}");
        }
        let odd = "From: ä<\nDate: x\n\nFrom: [\nTo: y\n\nz";
        assert_eq!(Forwarded::find("i", odd), None);
    }
}

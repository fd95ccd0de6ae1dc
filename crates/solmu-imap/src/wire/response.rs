//! What a response says, as far as anybody here wants to know.

use bytes::Bytes;

use super::{
    frame::Piece,
    value::{Value, values},
};

/// How a command ended or what the server says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    No,
    Bad,
    Bye,
    Preauth,
}

/// A code in square brackets (RFC 9051 section 7.1, RFC 5530).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Code {
    /// In upper case; empty where there is none.
    pub(crate) name: String,
    /// What follows the name.
    pub(crate) rest: String,
}

/// A mail, or what the server tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) uid: Option<u32>,
    pub(crate) size: Option<u64>,
    /// In upper case.
    pub(crate) flags: Option<Vec<String>>,
    pub(crate) body: Option<Section>,
    pub(crate) header: Option<Section>,
}

/// Bytes of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Section {
    /// All of them.
    Bytes(Bytes),
    /// More than the limit.
    TooLarge,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Response {
    /// The end of a command.
    Done {
        tag: String,
        status: Status,
        code: Code,
    },
    /// A status that belongs to no command.
    Untagged { status: Status, code: Code },
    /// The server waits for more; with what it said.
    Continue(String),
    /// What the server can do, in upper case.
    Capability(Vec<String>),
    /// How many mails are in the folder.
    Exists(u32),
    /// About a mail.
    Fetch(Fetched),
    /// UIDs that were found.
    Search(Vec<u32>),
    /// Anything else: of no interest, or not understood.
    Other,
}

/// Understands a response. Never fails.
pub(crate) fn understand(pieces: &[Piece]) -> Response {
    let Some(Piece::Line(first)) = pieces.first() else {
        return Response::Other;
    };
    if let Some(text) = first.strip_prefix(b"+") {
        return Response::Continue(String::from_utf8_lossy(text).trim().to_owned());
    }
    let text = String::from_utf8_lossy(first);
    let (tag, rest) = text.split_once(' ').unwrap_or((&text, ""));
    let (word, about) = rest.split_once(' ').unwrap_or((rest, ""));
    if let Some(status) = status(word) {
        let code = code(about);
        return if tag == "*" {
            Response::Untagged { status, code }
        } else {
            let tag = tag.to_owned();
            Response::Done { tag, status, code }
        };
    }
    if tag == "*" {
        untagged(&values(pieces))
    } else {
        Response::Other
    }
}

fn untagged(values: &[Value]) -> Response {
    let word = |index: usize| values.get(index).and_then(Value::word);
    if word(1).as_deref() == Some("CAPABILITY") {
        let names = values.iter().skip(2).filter_map(Value::word);
        return Response::Capability(names.collect());
    }
    if word(1).as_deref() == Some("SEARCH") {
        let uids = values.iter().skip(2).filter_map(Value::number);
        return Response::Search(uids.collect());
    }
    match (values.get(1).and_then(Value::number), word(2).as_deref()) {
        (Some(count), Some("EXISTS")) => Response::Exists(count),
        (Some(_), Some("FETCH")) => {
            Response::Fetch(fetched(values.get(3).map_or(&[], Value::list)))
        }
        _ => Response::Other,
    }
}

fn fetched(attributes: &[Value]) -> Fetched {
    let mut found = Fetched::default();
    for pair in attributes.chunks(2) {
        let [name, value] = pair else { break };
        match name.word().unwrap_or_default().as_str() {
            "UID" => found.uid = value.number(),
            "RFC822.SIZE" => found.size = value.number(),
            "FLAGS" => {
                let flags = value.list().iter().filter_map(Value::word);
                found.flags = Some(flags.collect());
            }
            "BODY[]" | "BODY[]<0>" => found.body = section(value),
            "BODY[HEADER]" | "BODY[HEADER]<0>" => found.header = section(value),
            _ => {}
        }
    }
    found
}

fn section(value: &Value) -> Option<Section> {
    match value {
        Value::Text(bytes) => Some(Section::Bytes(bytes.clone())),
        Value::Dropped => Some(Section::TooLarge),
        Value::Atom(_) | Value::List(_) => None,
    }
}

fn status(word: &str) -> Option<Status> {
    Some(match word.to_ascii_uppercase().as_str() {
        "OK" => Status::Ok,
        "NO" => Status::No,
        "BAD" => Status::Bad,
        "BYE" => Status::Bye,
        "PREAUTH" => Status::Preauth,
        _ => return None,
    })
}

fn code(text: &str) -> Code {
    let inner = text
        .trim_start()
        .strip_prefix('[')
        .and_then(|text| text.split_once(']'));
    let Some((inner, _)) = inner else {
        return Code::default();
    };
    let (name, rest) = inner.split_once(' ').unwrap_or((inner, ""));
    Code {
        name: name.to_ascii_uppercase(),
        rest: rest.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Response {
        understand(&[Piece::Line(line.as_bytes().to_vec())])
    }

    #[test]
    fn statuses_have_their_codes() {
        let code = |name: &str, rest: &str| Code {
            name: name.to_owned(),
            rest: rest.to_owned(),
        };
        assert_eq!(
            of("* OK [UIDVALIDITY 17] fine"),
            Response::Untagged {
                status: Status::Ok,
                code: code("UIDVALIDITY", "17")
            }
        );
        assert_eq!(
            of("s3 no [authenticationfailed] Sorry"),
            Response::Done {
                tag: "s3".to_owned(),
                status: Status::No,
                code: code("AUTHENTICATIONFAILED", "")
            }
        );
        assert_eq!(
            of("* OK [PERMANENTFLAGS (\\Seen \\*)]"),
            Response::Untagged {
                status: Status::Ok,
                code: code("PERMANENTFLAGS", "(\\Seen \\*)")
            }
        );
        assert_eq!(of("+ idling"), Response::Continue("idling".to_owned()));
        assert_eq!(of("+"), Response::Continue(String::new()));
    }

    #[test]
    fn mails_are_found_whatever_stands_beside_them() {
        let line = |text: &str| Piece::Line(text.as_bytes().to_vec());
        let pieces = [
            line("* 2 FETCH (FLAGS ($F\u{f6}rward \\Seen) UID 9 X-GM-LABELS (\"a\" b) BODY[] "),
            Piece::Literal(Bytes::from_static(b"Subject: x\r\n\r\n)(")),
            line(" RFC822.SIZE 16)"),
        ];
        let Response::Fetch(fetched) = understand(&pieces) else {
            panic!("a fetch");
        };
        assert_eq!((fetched.uid, fetched.size), (Some(9), Some(16)));
        assert_eq!(
            fetched.flags,
            Some(vec!["$F\u{f6}RWARD".to_owned(), "\\SEEN".to_owned()])
        );
        assert_eq!(
            fetched.body,
            Some(Section::Bytes(Bytes::from_static(b"Subject: x\r\n\r\n)(")))
        );
        let Response::Fetch(none) = of("* 2 FETCH (UID 9 BODY[] NIL)") else {
            panic!("a fetch");
        };
        assert_eq!(none.body, None);
    }

    #[test]
    fn the_rest_is_of_no_interest() {
        assert_eq!(of("* 12 EXISTS"), Response::Exists(12));
        assert_eq!(of("* SEARCH 2 84 882"), Response::Search(vec![2, 84, 882]));
        assert_eq!(of("* search"), Response::Search(Vec::new()));
        assert_eq!(
            of("* CAPABILITY IMAP4rev1 idle"),
            Response::Capability(vec!["IMAP4REV1".to_owned(), "IDLE".to_owned()])
        );
        for line in [
            "",
            "*",
            "* ",
            "* 3 EXPUNGE",
            "* FLAGS (a)",
            "* x FETCH ()",
            "what",
        ] {
            assert_eq!(of(line), Response::Other, "{line}");
        }
    }
}

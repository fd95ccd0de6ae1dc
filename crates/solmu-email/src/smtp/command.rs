//! Command lines (RFC 5321 section 4.1). Liberal in blanks and case, strict in everything that names an address.

use solmu_mime::address::{Address, AddressError};

use super::parameters::{MailParameters, of_mail, of_rcpt, size};
use crate::accounts::POSTMASTER;

/// A reverse-path or forward-path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// `<>`: a bounce.
    Null,
    /// `<local@domain>`.
    Address(Address),
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// EHLO with the client's name.
    Ehlo(String),
    /// HELO with the client's name.
    Helo(String),
    /// LHLO with the client's name (RFC 2033).
    Lhlo(String),
    /// STARTTLS (RFC 3207).
    StartTls,
    /// MAIL FROM.
    Mail(Path, MailParameters),
    /// RCPT TO.
    Rcpt {
        /// Who shall get the mail; `None` is `<postmaster>` without a domain (RFC 5321 section 4.5.1).
        to: Option<Address>,
        /// Whether there were parameters; what they ask for needs nothing of us.
        parameters: bool,
    },
    /// DATA.
    Data,
    /// BDAT (RFC 3030).
    Bdat {
        /// Bytes that follow.
        size: u64,
        /// Whether they are the last ones of the mail.
        last: bool,
    },
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY or EXPN.
    Vrfy,
    /// HELP.
    Help,
}

/// A line that is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such command here.
    #[error("command not known")]
    Unknown,
    /// Known by the standard, not offered by us.
    #[error("command not offered")]
    NotOffered,
    /// BDAT without a length: where the next command starts, nobody can tell.
    #[error("unknown length of a chunk")]
    Chunk,
    /// The argument is missing or malformed.
    #[error("syntax error in the argument")]
    Syntax,
    /// A parameter that we did not offer.
    #[error("parameter not known")]
    Parameter,
    /// The path has no valid address.
    #[error("not a valid address")]
    Address(#[source] AddressError),
    /// An address outside ASCII without SMTPUTF8, or bytes that are no UTF-8.
    #[error("address needs SMTPUTF8")]
    NeedsUtf8,
}

impl Command {
    /// Reads a line without its end.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(CommandError::NeedsUtf8);
        };
        if line.contains(['\0', '\r', '\n']) {
            return Err(CommandError::Syntax);
        }
        let line = line.trim_matches([' ', '\t']);
        let (verb, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let rest = rest.trim_start_matches([' ', '\t']);
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => host(rest).map(Self::Ehlo),
            "HELO" => host(rest).map(Self::Helo),
            "LHLO" => host(rest).map(Self::Lhlo),
            "STARTTLS" => alone(rest, Self::StartTls),
            "MAIL" => mail(rest),
            "RCPT" => rcpt(rest),
            "DATA" => alone(rest, Self::Data),
            "BDAT" => bdat(rest),
            "RSET" => alone(rest, Self::Rset),
            "QUIT" => alone(rest, Self::Quit),
            "NOOP" => Ok(Self::Noop),
            "VRFY" | "EXPN" => Ok(Self::Vrfy),
            "HELP" => Ok(Self::Help),
            "AUTH" | "ETRN" | "TURN" | "SEND" | "SOML" | "SAML" => Err(CommandError::NotOffered),
            _ => Err(CommandError::Unknown),
        }
    }
}

fn alone(rest: &str, command: Command) -> Result<Command, CommandError> {
    if rest.is_empty() {
        Ok(command)
    } else {
        Err(CommandError::Syntax)
    }
}

/// The client's name. It is only written down, so a wrong one is not refused (RFC 5321 section 4.1.4).
fn host(rest: &str) -> Result<String, CommandError> {
    let name = rest.split([' ', '\t']).next().unwrap_or_default();
    if name.is_empty() {
        Err(CommandError::Syntax)
    } else {
        Ok(name.to_owned())
    }
}

fn mail(rest: &str) -> Result<Command, CommandError> {
    let (path, parameters) = path_after(rest, "FROM:")?;
    let known = of_mail(parameters)?;
    if path.is_empty() {
        return Ok(Command::Mail(Path::Null, known));
    }
    let address = address(path, known.utf8)?;
    Ok(Command::Mail(Path::Address(address), known))
}

fn rcpt(rest: &str) -> Result<Command, CommandError> {
    let (path, parameters) = path_after(rest, "TO:")?;
    let parameters = of_rcpt(parameters)?;
    if path.eq_ignore_ascii_case(POSTMASTER) {
        return Ok(Command::Rcpt {
            to: None,
            parameters,
        });
    }
    // RCPT has no SMTPUTF8 of its own; the session checks that MAIL had it.
    let to = Some(address(path, true)?);
    Ok(Command::Rcpt { to, parameters })
}

fn bdat(rest: &str) -> Result<Command, CommandError> {
    let mut words = rest.split_ascii_whitespace();
    let size = size(words.next().unwrap_or_default()).map_err(|_| CommandError::Chunk)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(CommandError::Chunk),
    };
    if words.next().is_some() {
        return Err(CommandError::Chunk);
    }
    Ok(Command::Bdat { size, last })
}

/// What stands between `<` and `>` after the keyword, and what follows. Quoted strings may hold both signs.
fn path_after<'a>(rest: &'a str, keyword: &str) -> Result<(&'a str, &'a str), CommandError> {
    let given = rest.get(..keyword.len()).ok_or(CommandError::Syntax)?;
    if !given.eq_ignore_ascii_case(keyword) {
        return Err(CommandError::Syntax);
    }
    let inner = rest[keyword.len()..]
        .trim_start()
        .strip_prefix('<')
        .ok_or(CommandError::Syntax)?;
    let mut quoted = false;
    let mut escaped = false;
    for (at, character) in inner.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => {
                let after = &inner[at + 1..];
                let separated = after.is_empty() || after.starts_with([' ', '\t']);
                return if separated {
                    Ok((&inner[..at], after))
                } else {
                    Err(CommandError::Syntax)
                };
            }
            _ => {}
        }
    }
    Err(CommandError::Syntax)
}

/// An address; a source route before it is left out (RFC 5321 appendix C).
fn address(path: &str, utf8: bool) -> Result<Address, CommandError> {
    let path = match path.strip_prefix('@') {
        Some(route) => route.split_once(':').ok_or(CommandError::Syntax)?.1,
        None => path,
    };
    if !utf8 && !path.is_ascii() {
        return Err(CommandError::NeedsUtf8);
    }
    // Routing by percent or bang would make a relay of us.
    let local = path.rsplit_once('@').map_or(path, |(local, _)| local);
    if local.contains('@') && !local.starts_with('"') {
        return Err(CommandError::Syntax);
    }
    Address::parse(path).map_err(CommandError::Address)
}

/// Whether a line wants to announce a chunk. If its length cannot be read, what follows cannot be told from commands.
pub(super) fn is_chunk(line: &[u8]) -> bool {
    line.trim_ascii_start()
        .get(..4)
        .is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> Result<Command, CommandError> {
        Command::parse(line.as_bytes())
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn commands_in_all_their_spellings() {
        let sized = MailParameters {
            size: Some(1_000),
            ..MailParameters::default()
        };
        let rcpt = |to, parameters| Command::Rcpt {
            to: Some(address(to)),
            parameters,
        };
        for (line, wanted) in [
            ("ehlo c.example", Command::Ehlo("c.example".to_owned())),
            (
                "HELO  [192.0.2.1] ",
                Command::Helo("[192.0.2.1]".to_owned()),
            ),
            (
                "mail from:<>",
                Command::Mail(Path::Null, MailParameters::default()),
            ),
            (
                "MAIL FROM: <a@b.example> size=1000 BODY=8bitmime",
                Command::Mail(Path::Address(address("a@b.example")), sized),
            ),
            (
                "RCPT TO:<@x.example,@y.example:a@b.example>",
                rcpt("a@b.example", false),
            ),
            (
                "RCPT TO:<\"a>b\"@c.example>",
                rcpt("\"a>b\"@c.example", false),
            ),
            (
                "RCPT TO:<a@b.example> NOTIFY=NEVER",
                rcpt("a@b.example", true),
            ),
            (
                "RCPT TO:<PostMaster>",
                Command::Rcpt {
                    to: None,
                    parameters: false,
                },
            ),
            ("data", Command::Data),
            (
                "BDAT 0",
                Command::Bdat {
                    size: 0,
                    last: false,
                },
            ),
            (
                "bdat  86 last ",
                Command::Bdat {
                    size: 86,
                    last: true,
                },
            ),
            (
                "BDAT 99999999999999999999",
                Command::Bdat {
                    size: u64::MAX,
                    last: false,
                },
            ),
            ("LHLO c.example", Command::Lhlo("c.example".to_owned())),
            ("starttls", Command::StartTls),
            ("NOOP whatever", Command::Noop),
            ("EXPN list", Command::Vrfy),
        ] {
            assert_eq!(parse(line), Ok(wanted), "{line}");
        }
        let utf8 = MailParameters {
            utf8: true,
            ..MailParameters::default()
        };
        assert_eq!(
            parse("MAIL FROM:<ä@ö.example> SMTPUTF8"),
            Ok(Command::Mail(Path::Address(address("ä@ö.example")), utf8))
        );
    }

    #[test]
    fn what_is_wrong_says_what() {
        for (line, wanted) in [
            ("", CommandError::Unknown),
            ("GET / HTTP/1.1", CommandError::Unknown),
            ("EHLO", CommandError::Syntax),
            ("DATA now", CommandError::Syntax),
            ("MAIL FROM:a@b.example", CommandError::Syntax),
            ("MAIL FROM:<a@b.example>SIZE=1", CommandError::Syntax),
            ("MAIL FROM:<a@b.example> SIZE=1x", CommandError::Syntax),
            ("MAIL FROM:<a@b.example> RET=ALL", CommandError::Syntax),
            ("BDAT", CommandError::Chunk),
            ("BDAT -1", CommandError::Chunk),
            ("BDAT 1 LAST LAST", CommandError::Chunk),
            ("BDAT LAST", CommandError::Chunk),
            ("MAIL FROM:<ä@b.example>", CommandError::NeedsUtf8),
            ("RCPT TO:<>", CommandError::Address(AddressError::Shape)),
            ("RCPT TO:<a@b@c.example>", CommandError::Syntax),
            ("RCPT TO:<a@b.example> SIZE=1", CommandError::Parameter),
            ("STARTTLS now", CommandError::Syntax),
            ("AUTH PLAIN", CommandError::NotOffered),
            ("NOOP\0", CommandError::Syntax),
        ] {
            assert_eq!(parse(line), Err(wanted), "{line}");
        }
        assert_eq!(
            Command::parse(b"MAIL FROM:<\xe4@b.example>"),
            Err(CommandError::NeedsUtf8)
        );
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Command::parse(&line);
        }

        #[test]
        fn no_mail_or_rcpt_panics(verb in "(MAIL FROM|RCPT TO):", rest in "[<>@\"\\\\ a-zä.:,=]{0,40}") {
            let _ = parse(&format!("{verb}{rest}"));
        }
    }
}

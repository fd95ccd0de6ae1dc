//! Replies (RFC 5321 section 4.2) with enhanced status codes (RFC 2034).

use std::borrow::Cow;

use super::CommandError;

/// A reply of one or more lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    /// Enhanced status, empty where RFC 2034 wants none (greeting, EHLO, 354).
    status: &'static str,
    lines: Vec<Cow<'static, str>>,
}

impl Reply {
    /// A reply of one line.
    #[must_use]
    pub fn new(code: u16, status: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            status,
            lines: vec![text.into()],
        }
    }

    /// A reply of several lines; `lines` must not be empty.
    #[must_use]
    pub fn lines(code: u16, lines: Vec<Cow<'static, str>>) -> Self {
        Self {
            code,
            status: "",
            lines,
        }
    }

    /// The three digits.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Whether it refuses (4xx or 5xx).
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.code >= 400
    }

    /// Appends the reply as it goes over the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (index, line) in self.lines.iter().enumerate() {
            let separator = if index == last { ' ' } else { '-' };
            out.extend_from_slice(format!("{}{separator}", self.code).as_bytes());
            if !self.status.is_empty() {
                out.extend_from_slice(self.status.as_bytes());
                out.push(b' ');
            }
            // A line end in a text would be another reply.
            out.extend(line.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl From<CommandError> for Reply {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Unknown => Self::new(500, "5.5.2", "command not known"),
            CommandError::NotOffered => Self::new(502, "5.5.1", "command not offered"),
            CommandError::Chunk => Self::new(501, "5.5.4", "how long is the chunk?"),
            CommandError::Syntax => Self::new(501, "5.5.4", "syntax error"),
            CommandError::Parameter => Self::new(555, "5.5.4", "parameter not known"),
            CommandError::Address(_) => Self::new(553, "5.1.3", "not a valid address"),
            CommandError::NeedsUtf8 => Self::new(553, "5.6.7", "address needs SMTPUTF8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_by_hyphens() {
        let mut out = Vec::new();
        Reply::lines(250, vec!["a".into(), "b\r\nc".into()]).write(&mut out);
        Reply::new(550, "5.1.1", "no").write(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "250-a\r\n250 bc\r\n550 5.1.1 no\r\n"
        );
    }
}

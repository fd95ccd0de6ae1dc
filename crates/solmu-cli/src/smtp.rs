//! A small SMTP client (RFC 5321) for demo and bench: pipelined (RFC 2920) and kept alive over many mails.
//!
//! The usual client library was not taken: it hides which reply belongs to which command, and its cost would be part
//! of what bench measures.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// How long a server may take to answer a command, and to take a mail.
const REPLY_LIMIT: Duration = Duration::from_mins(1);
/// Longest line of a reply; RFC 5321 section 4.5.3.1.5 allows 512.
const LINE_MAX: usize = 4_096;

/// A reply: its code and the text of all its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// RFC 5321 section 4.2.1.
    pub code: u16,
    /// Of all lines, without the code.
    pub text: String,
}

impl Reply {
    /// Whether the server did what it was asked for.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        matches!(self.code, 200..400)
    }

    /// Whether the sender should try again later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.code, 400..500)
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

/// A mail to send.
#[derive(Debug, Clone, Copy)]
pub struct Mail<'a> {
    /// Envelope sender; empty for automatic mail (RFC 3834 section 3.3).
    pub from: &'a str,
    /// Envelope recipient.
    pub to: &'a str,
    /// Headers and body with any line ends.
    pub bytes: &'a [u8],
}

/// A connection that has said EHLO.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    pipelining: bool,
    utf8: bool,
}

impl Connection {
    /// Connects to `host:port` and introduces itself.
    pub async fn open(address: &str) -> anyhow::Result<Self> {
        let connecting = tokio::time::timeout(Duration::from_secs(10), TcpStream::connect(address));
        let stream = connecting
            .await
            .map_err(|_| anyhow!("no answer in 10 s"))
            .and_then(|done| Ok(done?))
            .with_context(|| {
                format!(
                    "cannot reach the SMTP server at {address}: is `solmu serve` running there?"
                )
            })?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut connection = Self {
            reader: BufReader::new(reader),
            writer,
            pipelining: false,
            utf8: false,
        };
        let greeting = connection.reply().await?;
        if !greeting.is_positive() {
            bail!("the SMTP server at {address} does not greet: {greeting}");
        }
        connection
            .writer
            .write_all(b"EHLO solmu-client.invalid\r\n")
            .await?;
        let features = connection.reply().await?;
        if !features.is_positive() {
            bail!("the SMTP server at {address} refuses EHLO: {features}");
        }
        let has = |name: &str| {
            features
                .text
                .lines()
                .any(|line| line.trim().eq_ignore_ascii_case(name))
        };
        connection.pipelining = has("PIPELINING");
        connection.utf8 = has("SMTPUTF8");
        Ok(connection)
    }

    /// Sends a mail. `Ok` holds the last reply, also a refusal; `Err` means that the connection is of no more use.
    pub async fn send(&mut self, mail: Mail<'_>) -> anyhow::Result<Reply> {
        let utf8 = if self.utf8 && !mail.from.is_ascii() {
            " SMTPUTF8"
        } else {
            ""
        };
        let from = format!("MAIL FROM:<{}> BODY=8BITMIME{utf8}\r\n", mail.from);
        let to = format!("RCPT TO:<{}>\r\n", mail.to);
        let ready = if self.pipelining {
            self.writer
                .write_all(format!("{from}{to}DATA\r\n").as_bytes())
                .await?;
            let (from, to, data) = (
                self.reply().await?,
                self.reply().await?,
                self.reply().await?,
            );
            // Had one been refused, DATA is refused too; what comes first is the reason.
            [from, to]
                .into_iter()
                .find(|reply| !reply.is_positive())
                .unwrap_or(data)
        } else {
            self.step(&[&from, &to, "DATA\r\n"]).await?
        };
        if ready.code != 354 {
            self.writer.write_all(b"RSET\r\n").await?;
            self.reply().await?;
            return Ok(ready);
        }
        self.writer.write_all(&stuffed(mail.bytes)).await?;
        self.reply().await
    }

    async fn step(&mut self, commands: &[&str]) -> anyhow::Result<Reply> {
        let mut last = Reply {
            code: 0,
            text: String::new(),
        };
        for command in commands {
            self.writer.write_all(command.as_bytes()).await?;
            last = self.reply().await?;
            if !last.is_positive() {
                break;
            }
        }
        Ok(last)
    }

    /// Says goodbye.
    pub async fn quit(mut self) -> anyhow::Result<()> {
        self.writer.write_all(b"QUIT\r\n").await?;
        self.reply().await?;
        Ok(())
    }

    async fn reply(&mut self) -> anyhow::Result<Reply> {
        tokio::time::timeout(REPLY_LIMIT, read_reply(&mut self.reader))
            .await
            .map_err(|_| {
                anyhow!(
                    "the SMTP server did not answer in {} s",
                    REPLY_LIMIT.as_secs()
                )
            })?
    }
}

async fn read_reply(reader: &mut BufReader<OwnedReadHalf>) -> anyhow::Result<Reply> {
    let mut text = String::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line).await? == 0 {
            bail!("the SMTP server closed the connection");
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
        let Some(code) = code.filter(|_| line.len() < LINE_MAX) else {
            bail!("the SMTP server sent no reply code")
        };
        text.push_str(line.get(4..).unwrap_or_default());
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(Reply { code, text });
        }
        text.push('\n');
    }
}

/// The data as it goes over the wire: lines end in CRLF, a leading dot is doubled, a lone dot ends it (RFC 5321
/// section 4.5.2).
pub(crate) fn stuffed(bytes: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(bytes.len() + bytes.len() / 32 + 8);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_stuffed() {
        assert_eq!(stuffed(b"a\n.b\r\n..\n"), b"a\r\n..b\r\n...\r\n.\r\n");
        assert_eq!(stuffed(b"no end"), b"no end\r\n.\r\n");
        assert_eq!(stuffed(b""), b".\r\n");
    }

    #[test]
    fn replies_are_classed() {
        let reply = |code| Reply {
            code,
            text: String::new(),
        };
        assert!(reply(250).is_positive() && reply(354).is_positive() && !reply(451).is_positive());
        assert!(reply(451).is_transient() && !reply(550).is_transient());
    }
}

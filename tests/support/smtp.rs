//! A mail client's side of SMTP (RFC 5321), over a socket of its own: what a test must see is each reply.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::Letter;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// A reply of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) text: String,
}

/// A connection after EHLO.
#[derive(Debug)]
pub(crate) struct Smtp {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    /// Whether the last mail was sent to its end.
    pub(crate) whole: bool,
}

impl Smtp {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut connection = Self {
            reader: BufReader::new(reader),
            writer,
            whole: false,
        };
        let greeting = connection.reply().await?;
        let hello = connection.command("EHLO client.example").await?;
        if greeting.code != 220 || hello.code != 250 {
            return Err(io::Error::other(format!(
                "not greeted: {greeting:?} {hello:?}"
            )));
        }
        Ok(connection)
    }

    /// One command and its reply.
    pub(crate) async fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.writer
            .write_all(format!("{line}\r\n").as_bytes())
            .await?;
        self.reply().await
    }

    /// A whole transaction, pipelined (RFC 2920): the reply to the data, or the first refusal before it.
    pub(crate) async fn send(&mut self, letter: &Letter) -> io::Result<Reply> {
        self.send_bytes(&letter.from, &letter.to, &letter.bytes())
            .await
    }

    /// As [`Self::send`], of bytes as they are. Lines must not begin with a dot.
    pub(crate) async fn send_bytes(
        &mut self,
        from: &str,
        to: &str,
        bytes: &[u8],
    ) -> io::Result<Reply> {
        self.whole = false;
        let envelope = format!("MAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
        self.writer.write_all(envelope.as_bytes()).await?;
        let mut refusal = None;
        for _ in 0..3 {
            let reply = self.reply().await?;
            // After 421 nothing comes any more.
            if reply.code == 421 {
                return Ok(reply);
            }
            refusal = refusal.or((reply.code >= 400).then_some(reply));
        }
        if let Some(refusal) = refusal {
            return Ok(refusal);
        }
        self.writer.write_all(bytes).await?;
        self.writer.write_all(b"\r\n.\r\n").await?;
        self.whole = true;
        self.reply().await
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        timeout(PATIENCE, self.read_reply()).await?
    }

    async fn read_reply(&mut self) -> io::Result<Reply> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.ok_or_else(|| io::Error::other(format!("no reply: {line}")))?;
            text.push_str(line.get(4..).unwrap_or_default());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, text });
            }
        }
    }
}

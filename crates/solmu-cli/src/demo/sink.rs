//! Stands in for the mail relay that our answers go out through: takes every mail and shows what it got.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{
        AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
        BufReader,
    },
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::mails::header;

/// A client that is silent so long is gone.
const SILENCE: Duration = Duration::from_mins(1);
/// More than any answer of the demo has.
const MAIL_MAX: usize = 4 * 1024 * 1024;

/// A mail as it arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) bytes: Vec<u8>,
}

impl Arrived {
    /// A header with its encoded words (RFC 2047) decoded.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.bytes, name).map(|value| decoded(&value))
    }
}

/// Listens until the token is cancelled; mails go to the receiver.
pub(crate) async fn start(
    address: SocketAddr,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> anyhow::Result<mpsc::UnboundedReceiver<Arrived>> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot stand in for the mail relay at {address}: does another demo run?")
    })?;
    let (mails, received) = mpsc::unbounded_channel();
    let connections = tasks.clone();
    tasks.spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            // A connection that failed before it was accepted concerns nobody.
            let Ok((stream, _)) = accepted else { continue };
            let (mails, stop) = (mails.clone(), stop.clone());
            connections.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    // A client that breaks off has sent no mail.
                    _ = serve(stream, &mails) => {}
                }
            });
        }
    });
    Ok(received)
}

async fn serve(stream: TcpStream, mails: &mpsc::UnboundedSender<Arrived>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    converse(&mut BufReader::new(reader), &mut writer, mails).await
}

/// The server's side of RFC 5321, as far as a relay's client needs it.
async fn converse(
    reader: &mut (impl AsyncBufRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    mails: &mpsc::UnboundedSender<Arrived>,
) -> std::io::Result<()> {
    writer
        .write_all(b"220 demo-relay.invalid ESMTP\r\n")
        .await?;
    let mut mail = Arrived::default();
    while let Some(line) = line(reader).await? {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb = text
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => {
                "250-demo-relay.invalid\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES"
            }
            "HELO" => "250 demo-relay.invalid",
            "MAIL" => {
                mail = Arrived {
                    from: path(&text),
                    ..Arrived::default()
                };
                "250 2.1.0 ok"
            }
            "RCPT" => {
                mail.to.push(path(&text));
                "250 2.1.5 ok"
            }
            "DATA" if mail.to.is_empty() => "503 5.5.1 no recipients",
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await?;
                mail.bytes = data(reader).await?;
                // The demo may have ended meanwhile.
                let _ = mails.send(std::mem::take(&mut mail));
                "250 2.0.0 demo took it"
            }
            "RSET" => {
                mail = Arrived::default();
                "250 2.0.0 ok"
            }
            "NOOP" => "250 2.0.0 ok",
            "QUIT" => {
                writer.write_all(b"221 2.0.0 bye\r\n").await?;
                return Ok(());
            }
            _ => "502 5.5.1 not here",
        };
        writer.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
    Ok(())
}

async fn line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut limited = reader.take(MAIL_MAX as u64);
    let read = tokio::time::timeout(SILENCE, limited.read_until(b'\n', &mut line)).await;
    Ok((read?? > 0).then_some(line))
}

async fn data(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut mail = Vec::new();
    while let Some(line) = line(reader).await? {
        if line == b".\r\n" {
            return Ok(mail);
        }
        if mail.len() + line.len() > MAIL_MAX {
            break;
        }
        mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
    Err(std::io::ErrorKind::UnexpectedEof.into())
}

/// The address between angle brackets.
fn path(command: &str) -> String {
    let inner = command
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inner
        .map(|(address, _)| address.to_owned())
        .unwrap_or_default()
}

/// Decodes `=?charset?B|Q?...?=` of UTF-8 and Latin-1; what it does not know stays as it is. White space between two
/// encoded words is none (RFC 2047 section 6.2).
fn decoded(value: &str) -> String {
    let mut text = String::new();
    let mut rest = value;
    let mut after_word = false;
    while let Some((before, word)) = rest.split_once("=?") {
        let parts: Vec<&str> = word.splitn(3, '?').collect();
        let found = match parts.as_slice() {
            [charset, encoding, tail] => tail
                .split_once("?=")
                .and_then(|(inner, tail)| Some((decode(charset, encoding, inner)?, tail))),
            _ => None,
        };
        let Some((plain, tail)) = found else { break };
        if !(after_word && before.trim().is_empty()) {
            text.push_str(before);
        }
        text.push_str(&plain);
        (rest, after_word) = (tail, true);
    }
    text.push_str(rest);
    text
}

fn decode(charset: &str, encoding: &str, inner: &str) -> Option<String> {
    let bytes = match encoding {
        "B" | "b" => STANDARD.decode(inner).ok()?,
        "Q" | "q" => quoted(inner)?,
        _ => return None,
    };
    match charset
        .split('*')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
        .as_str()
    {
        "utf-8" | "us-ascii" => String::from_utf8(bytes).ok(),
        // Latin-1 is the first 256 characters of Unicode.
        "iso-8859-1" => Some(bytes.into_iter().map(char::from).collect()),
        _ => None,
    }
}

fn quoted(inner: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = inner.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'_' => b' ',
            b'=' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::{Connection, Mail};

    #[tokio::test]
    async fn our_client_and_our_relay_understand_each_other() {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let free = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let mut arrived = start(free, &tasks, stop.clone()).await.unwrap();
        assert!(
            start(free, &tasks, stop.clone())
                .await
                .unwrap_err()
                .to_string()
                .contains("does another demo run?")
        );
        let mut client = Connection::open(&free.to_string()).await.unwrap();
        for number in 1..=2 {
            let bytes = format!(
                "Subject: =?utf-8?q?Hei_=C3=A4iti?=\r\n =?UTF-8?B?ISE=?= {number}\r\n\r\n.dot\r\n"
            );
            let mail = Mail {
                from: "a@b.example",
                to: "c@d.example",
                bytes: bytes.as_bytes(),
            };
            assert_eq!(client.send(mail).await.unwrap().code, 250);
            let mail = arrived.recv().await.unwrap();
            assert_eq!(
                (mail.from.as_str(), mail.to.as_slice()),
                ("a@b.example", ["c@d.example".to_owned()].as_slice())
            );
            assert_eq!(
                mail.header("subject").unwrap(),
                format!("Hei äiti!! {number}")
            );
            assert!(mail.bytes.ends_with(b"\r\n\r\n.dot\r\n"));
        }
        client.quit().await.unwrap();
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }

    #[test]
    fn what_is_not_encoded_stays() {
        for text in [
            "plain",
            "=?utf-8?x?a?=",
            "=?broken",
            "=?koi8-r?B?YQ==?=",
            "=?utf-8?q?=C3?=",
        ] {
            assert_eq!(decoded(text), text);
        }
        assert_eq!(decoded("=?iso-8859-1?Q?V=E4in=F6?= Öhman"), "Väinö Öhman");
    }
}

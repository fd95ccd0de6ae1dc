//! Reads whole responses: a line, and after each `{n}` at its end a literal and another line (RFC 9051 section 4.3).

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    time::timeout,
};

use crate::transport::Stream;

/// Bytes of a response without its literals. The longest lines are capabilities and flags.
pub(crate) const LINE_MAX_BYTES: usize = 256 * 1024;
/// Literals and lines of one response.
const PIECES_MAX: usize = 256;
/// Bytes that are reserved for a literal before any of it has come: a server may announce more than it sends.
const RESERVE_BYTES: usize = 256 * 1024;

/// A part of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text without the line's end and without the announcement of a literal.
    Line(Vec<u8>),
    /// A literal.
    Literal(Bytes),
    /// A literal over the limit, which was read and thrown away.
    Dropped,
    /// A literal for which there was no room beside the others of its command, thrown away like that.
    Postponed,
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the connection was closed")]
    Closed,
    #[error("the server said nothing for {} seconds", .0.as_secs())]
    Silent(Duration),
    #[error("a response has more than {LINE_MAX_BYTES} bytes beside its literals")]
    LineTooLong,
}

/// A connection that is read response by response.
pub(crate) struct Framed {
    stream: BufReader<Stream>,
    /// The other side may be silent for this long while it owes us something.
    patience: Duration,
    /// Bytes of the largest literal that is kept.
    pub(crate) literal_max: usize,
    /// Bytes of literals that are still kept before it is set anew: what a server announces is no promise.
    pub(crate) room: usize,
}

impl Framed {
    pub(crate) fn new(stream: Stream, patience: Duration) -> Self {
        Self {
            stream: BufReader::with_capacity(16 * 1024, stream),
            patience,
            literal_max: LINE_MAX_BYTES,
            room: usize::MAX,
        }
    }

    /// The stream, unless bytes lie here that came before they should: they would be taken for protected ones.
    pub(crate) fn into_stream(self) -> Option<Stream> {
        self.stream
            .buffer()
            .is_empty()
            .then(|| self.stream.into_inner())
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        let writing = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(self.patience, writing).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(FrameError::Silent(self.patience)),
        }
    }

    /// Waits, as long as it takes, until something has come. May be dropped at any time without loss.
    pub(crate) async fn readable(&mut self) -> Result<(), FrameError> {
        if self.stream.fill_buf().await?.is_empty() {
            return Err(FrameError::Closed);
        }
        Ok(())
    }

    /// One response. Must not be dropped half way.
    pub(crate) async fn read(&mut self) -> Result<Vec<Piece>, FrameError> {
        let mut pieces = Vec::new();
        let mut room = LINE_MAX_BYTES;
        loop {
            let mut line = self.line(room).await?;
            room -= line.len();
            let is_status = pieces.is_empty() && is_status(&line);
            let announced = if is_status { None } else { announced(&line) };
            let Some((start, size)) = announced else {
                pieces.push(Piece::Line(line));
                return Ok(pieces);
            };
            if pieces.len() > PIECES_MAX {
                return Err(FrameError::LineTooLong);
            }
            line.truncate(start);
            pieces.push(Piece::Line(line));
            pieces.push(self.literal(size).await?);
        }
    }

    async fn line(&mut self, room: usize) -> Result<Vec<u8>, FrameError> {
        let mut line = Vec::new();
        loop {
            let buffer = match timeout(self.patience, self.stream.fill_buf()).await {
                Ok(buffer) => buffer?,
                Err(_) => return Err(FrameError::Silent(self.patience)),
            };
            if buffer.is_empty() {
                return Err(FrameError::Closed);
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(buffer.len(), |end| end + 1);
            line.extend_from_slice(&buffer[..taken]);
            self.stream.consume(taken);
            if line.len() > room {
                return Err(FrameError::LineTooLong);
            }
            if end.is_some() {
                line.pop();
                line.pop_if(|last| *last == b'\r');
                return Ok(line);
            }
        }
    }

    async fn literal(&mut self, size: u64) -> Result<Piece, FrameError> {
        let fits = usize::try_from(size)
            .ok()
            .filter(|size| *size <= self.literal_max);
        let keep = fits.filter(|size| *size <= self.room);
        self.room -= keep.unwrap_or(0);
        let mut kept = BytesMut::with_capacity(keep.unwrap_or(0).min(RESERVE_BYTES));
        let mut left = size;
        while left > 0 {
            let buffer = match timeout(self.patience, self.stream.fill_buf()).await {
                Ok(buffer) => buffer?,
                Err(_) => return Err(FrameError::Silent(self.patience)),
            };
            if buffer.is_empty() {
                return Err(FrameError::Closed);
            }
            let taken = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            if keep.is_some() {
                kept.extend_from_slice(&buffer[..taken]);
            }
            self.stream.consume(taken);
            left -= taken as u64;
        }
        Ok(match (keep, fits) {
            (Some(_), _) => Piece::Literal(kept.freeze()),
            (None, Some(_)) => Piece::Postponed,
            (None, None) => Piece::Dropped,
        })
    }

    /// Ends the connection politely; what goes wrong does not matter any more.
    pub(crate) async fn shutdown(&mut self) {
        let _ = timeout(Duration::from_secs(1), self.stream.shutdown()).await;
        let mut rest = [0; 1];
        let _ = timeout(Duration::from_millis(200), self.stream.read(&mut rest)).await;
    }
}

/// Where a line announces a literal, and its size. `{12}`, `{12+}` and `~{12}` (RFC 7888, RFC 3516).
fn announced(line: &[u8]) -> Option<(usize, u64)> {
    let inner = line.strip_suffix(b"}")?;
    let inner = inner.strip_suffix(b"+").unwrap_or(inner);
    let open = inner.iter().rposition(|byte| *byte == b'{')?;
    let digits = &inner[open + 1..];
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let start = open - usize::from(open > 0 && line[open - 1] == b'~');
    Some((start, size))
}

/// Texts for people may end in anything, and never in a literal.
fn is_status(line: &[u8]) -> bool {
    if line.starts_with(b"+") {
        return true;
    }
    let mut words = line.split(|byte| *byte == b' ');
    let _tag = words.next();
    let word = words.next().unwrap_or_default();
    [b"OK".as_slice(), b"NO", b"BAD", b"BYE", b"PREAUTH"]
        .iter()
        .any(|status| word.eq_ignore_ascii_case(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_found() {
        assert_eq!(announced(b"* 1 FETCH (BODY[] {12}"), Some((18, 12)));
        assert_eq!(announced(b"x {3+}"), Some((2, 3)));
        assert_eq!(announced(b"x ~{3}"), Some((2, 3)));
        for other in [
            &b"x {}"[..],
            b"x {a}",
            b"}",
            b"x {1} ",
            b"{99999999999999999999}",
        ] {
            assert_eq!(announced(other), None);
        }
        assert!(is_status(b"* ok see {3}") && is_status(b"a1 NO {3}") && is_status(b"+ {3}"));
        assert!(!is_status(b"* 1 FETCH (BODY[] {3}"));
    }

    fn framed(bytes: &'static [u8]) -> Framed {
        let (ours, mut theirs) = tokio::io::duplex(8);
        #[expect(clippy::disallowed_methods, reason = "a test's server")]
        tokio::spawn(async move {
            let _ = theirs.write_all(bytes).await;
        });
        Framed::new(Box::new(ours), Duration::from_secs(5))
    }

    #[tokio::test]
    async fn literals_are_kept_up_to_the_limit_and_the_rest_is_still_read() {
        let mut framed = framed(b"* 1 F (A {3}\r\na\r\n B {5}\r\n12345)\r\n* OK x {9}\nend");
        framed.literal_max = 4;
        let pieces = framed.read().await.unwrap();
        let line = |text: &str| Piece::Line(text.as_bytes().to_vec());
        assert_eq!(
            pieces,
            [
                line("* 1 F (A "),
                Piece::Literal(Bytes::from_static(b"a\r\n")),
                line(" B "),
                Piece::Dropped,
                line(")")
            ]
        );
        assert_eq!(framed.read().await.unwrap(), [line("* OK x {9}")]);
        assert!(matches!(framed.read().await, Err(FrameError::Closed)));
    }

    #[tokio::test]
    async fn literals_that_fit_alone_and_not_together_are_postponed() {
        let mut framed = framed(b"* 1 F {3}\r\nabc\r\n* 2 F {3}\r\ndef\r\n* 3 F {1}\r\ng\r\n");
        (framed.literal_max, framed.room) = (4, 5);
        let mut second = Vec::new();
        for _ in 0..3 {
            second.extend(framed.read().await.unwrap().into_iter().nth(1));
        }
        assert_eq!(
            second,
            [
                Piece::Literal(Bytes::from_static(b"abc")),
                Piece::Postponed,
                Piece::Literal(Bytes::from_static(b"g")),
            ]
        );
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_given_up() {
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        #[expect(clippy::disallowed_methods, reason = "a test's server")]
        tokio::spawn(async move { while theirs.write_all(&[b'x'; 4096]).await.is_ok() {} });
        let mut framed = Framed::new(Box::new(ours), Duration::from_secs(5));
        assert!(matches!(framed.read().await, Err(FrameError::LineTooLong)));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let mut framed = Framed::new(Box::new(ours), Duration::from_mins(1));
        assert!(matches!(framed.read().await, Err(FrameError::Silent(_))));
    }
}

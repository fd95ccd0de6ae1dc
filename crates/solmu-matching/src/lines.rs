//! JSON lines as the commands read and print them: `solmu route` and `solmu sla eval`.
//!
//! Files come from spreadsheets and other systems, so a byte order mark and line ends of Windows do no harm, empty lines
//! are passed over, and whatever is wrong is told with the number of its line.

use std::{
    fmt,
    io::{self, BufRead, Read as _, Write},
};

/// Bytes of a line at most: a snapshot of a hundred thousand tickets.
const LINE_MAX: u64 = 64 << 20;
/// What some programs put before the first line.
const MARK: &str = "\u{feff}";

/// Lines went wrong.
#[derive(Debug, thiserror::Error)]
pub enum LinesError<E: std::error::Error + 'static> {
    /// A line cannot be read.
    #[error("cannot read line {line}")]
    Read {
        /// Counted from 1.
        line: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no answer to a line.
    #[error("line {line}")]
    Refused {
        /// Counted from 1.
        line: usize,
        /// Why.
        #[source]
        source: E,
    },
    /// Nobody takes the answers.
    #[error("cannot print")]
    Print(#[from] io::Error),
}

/// Prints an answer to each line. Whoever stops reading (`| head`) has had enough: that is no error.
///
/// # Errors
/// [`LinesError`] at the first line that cannot be answered; what came before is printed.
pub fn each_line<E: std::error::Error + 'static>(
    input: impl BufRead,
    out: &mut impl Write,
    answer: impl Fn(&str) -> Result<String, E>,
) -> Result<(), LinesError<E>> {
    let done = answer_each(input, out, answer);
    let flushed = out.flush();
    match done.and_then(|()| Ok(flushed?)) {
        Err(LinesError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn answer_each<E: std::error::Error + 'static>(
    input: impl BufRead,
    out: &mut impl Write,
    answer: impl Fn(&str) -> Result<String, E>,
) -> Result<(), LinesError<E>> {
    for (line, read) in lines(input) {
        let text = read.map_err(|source| LinesError::Read { line, source })?;
        let answer = answer(&text).map_err(|source| LinesError::Refused { line, source })?;
        writeln!(out, "{answer}")?;
    }
    Ok(())
}

/// The lines that are not empty, with their numbers from 1. Ends after a line that cannot be read.
pub(crate) fn lines<R: BufRead>(input: R) -> impl Iterator<Item = (usize, io::Result<String>)> {
    let mut input = Some(input);
    let mut number = 0;
    std::iter::from_fn(move || {
        loop {
            let reader = input.as_mut()?;
            number += 1;
            let read = next_line(reader);
            if !matches!(read, Ok(Some(_))) {
                input = None;
            }
            match read.transpose()? {
                Ok(text) if number == 1 => {
                    let text = text.strip_prefix(MARK).unwrap_or(&text);
                    if !text.trim().is_empty() {
                        return Some((number, Ok(text.to_owned())));
                    }
                }
                Ok(text) if text.trim().is_empty() => {}
                read => return Some((number, read)),
            }
        }
    })
}

/// None at the end.
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let count = reader.take(LINE_MAX + 1).read_until(b'\n', &mut bytes)?;
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    if count == 0 {
        return Ok(None);
    }
    if bytes.len() as u64 > LINE_MAX {
        return Err(wrong("it has more than 64 MiB"));
    }
    let text = String::from_utf8(bytes);
    text.map(Some)
        .map_err(|_| wrong("it is not UTF-8: save the file as UTF-8"))
}

/// What is wrong with the JSON of a line, with the column alone: the line is told by whoever knows it.
#[derive(Debug)]
pub struct JsonFault(serde_json::Error);

impl From<serde_json::Error> for JsonFault {
    fn from(error: serde_json::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let end = format!(" at line {} column {}", self.0.line(), self.0.column());
        match text.strip_suffix(&end) {
            Some(text) => write!(f, "{text}, column {}", self.0.column()),
            None => f.write_str(&text),
        }
    }
}

impl std::error::Error for JsonFault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(input: &[u8]) -> (String, Result<(), String>) {
        let mut out = Vec::new();
        let done = each_line(input, &mut out, |line| {
            let value: Result<serde_json::Value, JsonFault> =
                serde_json::from_str(line).map_err(Into::into);
            value.map(|it| it.to_string())
        });
        let done = done.map_err(|error| {
            let source = std::error::Error::source(&error);
            format!(
                "{error}: {}",
                source.map(ToString::to_string).unwrap_or_default()
            )
        });
        (String::from_utf8(out).unwrap(), done)
    }

    #[test]
    fn files_of_other_systems_are_read() {
        assert_eq!(answers(b""), (String::new(), Ok(())));
        let file = "\u{feff}{\"a\": 1}\r\n\r\n  \n[2]";
        assert_eq!(
            answers(file.as_bytes()),
            ("{\"a\":1}\n[2]\n".to_owned(), Ok(()))
        );
        assert_eq!(answers("\u{feff}\n1".as_bytes()).0, "1\n");
    }

    #[test]
    fn what_is_wrong_names_its_line_and_what_came_before_is_printed() {
        let (out, done) = answers(b"1\n\n{\"a\" 5}\n2");
        assert_eq!(out, "1\n");
        assert_eq!(done.unwrap_err(), "line 3: expected `:`, column 6");
        let (out, done) = answers(b"1\n\xff\xfe\n");
        assert_eq!(out, "1\n");
        let wanted = "cannot read line 2: it is not UTF-8: save the file as UTF-8";
        assert_eq!(done.unwrap_err(), wanted);
    }

    /// A pipe whose reader has gone.
    struct Gone(io::ErrorKind);

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_stops_reading_has_had_enough() {
        let into = |kind| {
            let answer = |line: &str| Ok::<_, io::Error>(line.to_owned());
            each_line(&b"1\n2\n"[..], &mut Gone(kind), answer)
        };
        assert!(into(io::ErrorKind::BrokenPipe).is_ok());
        assert!(into(io::ErrorKind::StorageFull).is_err());
    }
}

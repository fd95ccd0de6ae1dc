//! What commands print.
//!
//! Who reads it may have read enough (`solmu doctor | head -1`). That is no failure, and no reason to panic, which is what
//! `println!` does; so nothing here uses it, and clippy refuses it for the whole program.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Prints `text` as it is.
pub(crate) fn print(text: impl Display) -> io::Result<()> {
    write_to(&mut io::stdout().lock(), &text.to_string())
}

/// Prints a line.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    write_to(&mut io::stdout().lock(), &format!("{text}\n"))
}

/// Prints a line of what a long work is at. Whether anybody sees it must not end the work.
pub(crate) fn tell(text: impl Display) {
    let _ = line(text);
}

/// Prints a line to standard error: there is nobody else who could be told that it failed.
pub(crate) fn warn(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether a command ended because its reader has read enough. One of a connection has words of its own before it.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    error
        .chain()
        .next()
        .and_then(|error| error.downcast_ref::<io::Error>())
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn write_to(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    struct Closed(io::ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_gone_is_no_failure_and_a_full_disk_is() {
        assert!(write_to(&mut Closed(io::ErrorKind::BrokenPipe), "x").is_ok());
        assert!(write_to(&mut Closed(io::ErrorKind::StorageFull), "x").is_err());
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_closed(&pipe().into()));
        assert!(!is_closed(&io::Error::from(io::ErrorKind::NotFound).into()));
        let connection: anyhow::Result<()> = Err(pipe()).context("cannot ask the server");
        assert!(!is_closed(&connection.unwrap_err()));
    }
}

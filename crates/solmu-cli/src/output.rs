//! Where results go: standard output, as tables and sentences or as JSON lines. Progress and remarks go to standard
//! error, so that `--json` can be piped.

use std::io::{self, Write as _};

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use serde::Serialize;

/// A line under the header and nothing else, so that rows can be copied into a mail.
const HOUSE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Standard output in one of two forms.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether scripts read it.
    #[must_use]
    pub const fn is_json(self) -> bool {
        self.json
    }

    /// A line for people; nothing in JSON mode.
    pub fn line(self, text: impl AsRef<str>) -> anyhow::Result<()> {
        if !self.json {
            writeln!(io::stdout().lock(), "{}", text.as_ref())?;
        }
        Ok(())
    }

    /// One JSON object on a line; nothing for people.
    pub fn object(self, value: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            let line = serde_json::to_string(value)?;
            writeln!(io::stdout().lock(), "{line}")?;
        }
        Ok(())
    }

    /// The object in JSON mode, else the sentence.
    pub fn either(self, value: &impl Serialize, text: impl AsRef<str>) -> anyhow::Result<()> {
        self.object(value)?;
        self.line(text)
    }

    /// Objects, one a line, or their table; `empty` in place of a table without rows.
    pub fn rows<T: Serialize>(
        self,
        values: &[T],
        table: &Table,
        empty: &str,
    ) -> anyhow::Result<()> {
        for value in values {
            self.object(value)?;
        }
        if values.is_empty() {
            self.line(empty)
        } else {
            self.line(table.trim_fmt())
        }
    }

    /// A remark about what goes on, for people.
    pub fn progress(self, text: impl AsRef<str>) {
        if !self.json {
            // Nobody to tell it to is no reason to stop.
            let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
        }
    }
}

/// A table in the house style.
#[must_use]
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(HOUSE)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.to_vec());
    table
}

/// Rendered text with each run of blanks as one, so that tests do not count columns.
#[cfg(test)]
pub(crate) fn flat(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether the reader went away (`solmu ticket list | head`), which is no error.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_style() {
        let mut table = table(&["Number", "Subject"]);
        table
            .add_row(["#1001", "Tilaus ei ole saapunut"])
            .add_row(["#1002", "Hei"]);
        let text = table.trim_fmt();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(lines[0], " Number   Subject");
        assert!(lines[1].chars().all(|c| c == '─'), "{text}");
        assert_eq!(lines[2], " #1001    Tilaus ei ole saapunut");
    }

    #[test]
    fn only_a_closed_pipe_is_one() {
        let closed =
            anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("printing");
        assert!(is_closed_pipe(&closed));
        assert!(!is_closed_pipe(&anyhow::anyhow!("other")));
    }
}

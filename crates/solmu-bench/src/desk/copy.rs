//! `COPY`: rows of one table on their way, as text.

use anyhow::Context as _;
use sqlx::{PgConnection, postgres::PgCopyIn};

/// Bytes of one piece.
const PIECE: usize = 1 << 20;

/// One table's rows.
pub(super) struct Copying<'a> {
    copy: PgCopyIn<&'a mut PgConnection>,
    rows: String,
}

impl<'a> Copying<'a> {
    pub(super) async fn into(
        connection: &'a mut PgConnection,
        table: &str,
        columns: &str,
    ) -> anyhow::Result<Self> {
        let statement = format!("COPY tickets.{table} ({columns}) FROM STDIN");
        let copy = connection
            .copy_in_raw(&statement)
            .await
            .with_context(|| format!("cannot copy into '{table}'"))?;
        Ok(Self {
            copy,
            rows: String::with_capacity(PIECE + PIECE / 8),
        })
    }

    /// A row. No value has a tab, a line's end or a backslash, but for the backslash of [`NULL`].
    pub(super) async fn row(&mut self, values: &[&str]) -> anyhow::Result<()> {
        for (number, value) in values.iter().enumerate() {
            if number > 0 {
                self.rows.push('\t');
            }
            self.rows.push_str(value);
        }
        self.rows.push('\n');
        if self.rows.len() >= PIECE {
            self.copy.send(self.rows.as_bytes()).await?;
            self.rows.clear();
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> anyhow::Result<u64> {
        self.copy.send(self.rows.as_bytes()).await?;
        Ok(self.copy.finish().await?)
    }
}

/// No value.
pub(super) const NULL: &str = "\\N";

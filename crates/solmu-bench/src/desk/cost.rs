//! What calls cost in PostgreSQL, by its own counters: pages looked at, and tables read from one end to the other.
//!
//! Times say how busy the machine was; pages do not. A call whose pages do not grow with the desk has a plan that holds,
//! and a large table that was read whole shows one that does not, whatever the cache made of it. The counters are of the
//! statements that the service really ran. Rejected: explaining copies of them here, which say nothing once the service's
//! own change.

use std::{collections::BTreeMap, time::Duration};

use sqlx::PgConnection;

use super::load::TABLES;

/// An idle backend of PostgreSQL tells what it did after ten seconds at the latest.
pub(super) const SETTLE: Duration = Duration::from_millis(10_600);
/// Tables below so many rows are small: reading them whole is right.
const LARGE: i64 = 50_000;

/// The counters of the desk's tables, or what they grew by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Pages of tables, indexes and values stored apart, from memory or disk.
    pub(super) pages: i64,
    /// Times that a large table was read from one end to the other.
    pub(super) scans: BTreeMap<String, i64>,
}

impl Cost {
    pub(super) async fn read(connection: &mut PgConnection) -> anyhow::Result<Self> {
        let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
            "SELECT stat.relname::text, stat.seq_scan, stat.n_live_tup,
                coalesce(heap_blks_read + heap_blks_hit, 0) + coalesce(idx_blks_read + idx_blks_hit, 0)
                + coalesce(toast_blks_read + toast_blks_hit, 0) + coalesce(tidx_blks_read + tidx_blks_hit, 0)
             FROM pg_stat_user_tables AS stat JOIN pg_statio_user_tables AS io USING (relid)
             WHERE stat.schemaname = 'tickets' AND stat.relname = ANY($1)",
        )
        .bind(TABLES.as_slice())
        .fetch_all(connection)
        .await?;
        let mut cost = Self::default();
        for (name, scans, rows, pages) in rows {
            cost.pages += pages;
            if rows >= LARGE {
                cost.scans.insert(name, scans);
            }
        }
        Ok(cost)
    }

    /// What came since `earlier`; of the scans only tables that have some.
    pub(super) fn since(self, earlier: &Self) -> Self {
        let grown = self.scans.into_iter().map(|(name, scans)| {
            let before = earlier.scans.get(&name).copied().unwrap_or(scans);
            (name, scans - before)
        });
        Self {
            pages: self.pages - earlier.pages,
            scans: grown.filter(|(_, scans)| *scans > 0).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_grew_counts() {
        let cost = |pages, ticket, message| Cost {
            pages,
            scans: [
                ("ticket".to_owned(), ticket),
                ("message".to_owned(), message),
            ]
            .into(),
        };
        let grown = cost(50, 7, 3).since(&cost(20, 5, 3));
        assert_eq!(grown.pages, 30);
        assert_eq!(grown.scans, [("ticket".to_owned(), 2)].into());
        // A table that became large meanwhile has no reading before.
        assert_eq!(cost(1, 1, 1).since(&Cost::default()).scans.len(), 0);
    }
}

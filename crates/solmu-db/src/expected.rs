//! What the history of the schema makes: tables and indexes, for whoever looks whether all of it is still there.
//!
//! It is read off the statements themselves. A list beside them would be one more thing to keep in step; a test holds what
//! is read to what a migrated database has, so a form of statement that this does not know cannot stay unseen.

use std::collections::BTreeMap;

use crate::migrate::HISTORY;

/// Tables and indexes by `schema.name`, each with the name of the migration that makes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Tables.
    pub tables: BTreeMap<String, &'static str>,
    /// Indexes that a statement of their own makes. Those of primary keys and constraints come with their table.
    pub indexes: BTreeMap<String, &'static str>,
}

impl Expected {
    /// The schemas of the tables, each once.
    #[must_use]
    pub fn schemas(&self) -> Vec<&str> {
        let mut schemas: Vec<&str> = self.tables.keys().map(|name| schema_of(name)).collect();
        schemas.dedup();
        schemas
    }

    fn take(&mut self, migration: &'static str, line: &str) {
        let words: Vec<&str> = line.split([' ', '(', ';']).collect();
        match words.as_slice() {
            ["CREATE", "TABLE", name, ..] | ["CREATE", "UNLOGGED", "TABLE", name, ..] => {
                self.tables.insert((*name).to_owned(), migration);
            }
            ["CREATE", "INDEX", name, "ON", table, ..]
            | ["CREATE", "UNIQUE", "INDEX", name, "ON", table, ..] => {
                let name = format!("{}.{name}", schema_of(table));
                self.indexes.insert(name, migration);
            }
            ["DROP", "TABLE", name, ..] => {
                self.tables.remove(*name);
            }
            ["DROP", "INDEX", name, ..] => {
                self.indexes.remove(*name);
            }
            _ => {}
        }
    }
}

fn schema_of(name: &str) -> &str {
    name.split_once('.').map_or("public", |(schema, _)| schema)
}

/// What a database has after the whole history of this build.
#[must_use]
pub fn expected() -> Expected {
    let mut expected = Expected::default();
    for file in HISTORY {
        for line in file.sql.lines() {
            expected.take(file.name, line.trim_start());
        }
    }
    expected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read() {
        let mut expected = Expected::default();
        for line in [
            "CREATE SCHEMA a;",
            "CREATE TABLE a.one (",
            "CREATE UNLOGGED TABLE b.two (id int);",
            "CREATE TABLE b.three (",
            "CREATE UNIQUE INDEX one_name ON a.one (name);",
            "CREATE INDEX two_id ON b.two USING brin (id);",
            "CREATE INDEX gone ON a.one (x);",
            "DROP INDEX a.gone;",
            "DROP TABLE b.three;",
            "-- CREATE TABLE a.never (",
        ] {
            expected.take("1", line);
        }
        let tables: Vec<&String> = expected.tables.keys().collect();
        assert_eq!(tables, ["a.one", "b.two"]);
        let indexes: Vec<&String> = expected.indexes.keys().collect();
        assert_eq!(indexes, ["a.one_name", "b.two_id"]);
        assert_eq!(expected.schemas(), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_migrated_database_has_this_and_no_more() {
        let harness = solmu_testkit::Harness::new().await;
        let rows: Vec<(String, bool)> = sqlx::query_as(
            "SELECT n.nspname || '.' || c.relname, c.relkind IN ('r', 'p')
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname !~ '^(pg_|information_schema$|public$)'
               AND (c.relkind IN ('r', 'p')
                    OR c.relkind IN ('i', 'I') AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid AND contype IN ('p', 'u', 'x')))",
        )
        .fetch_all(harness.db.pool())
        .await
        .unwrap();
        let names = |tables: bool| -> Vec<&String> {
            let mut names: Vec<&String> = rows
                .iter()
                .filter(|(_, is_table)| *is_table == tables)
                .map(|(name, _)| name)
                .collect();
            names.sort();
            names
        };
        let expected = expected();
        assert_eq!(expected.tables.keys().collect::<Vec<_>>(), names(true));
        assert_eq!(expected.indexes.keys().collect::<Vec<_>>(), names(false));
    }
}

//! The one ordered, append-only history of the schema.
//!
//! Services do not migrate: `solmu migrate` does, once, under PostgreSQL's advisory lock; services wait until the
//! schema is at least at the version that they were built with. Each migration only expands what the release before
//! uses, so pods of that release survive it.

use std::borrow::Cow;

use sqlx::{
    AssertSqlSafe, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::{Db, DbError};

/// A file of the folder `migrations`.
#[derive(Debug)]
pub struct MigrationFile {
    /// What the name begins with.
    pub version: i64,
    /// Name without extension.
    pub name: &'static str,
    /// Statements.
    pub sql: &'static str,
}

macro_rules! files {
    ($($version:literal $name:literal,)*) => {
        [$(MigrationFile {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../../migrations/", $name, ".sql")),
        }),*]
    };
}

/// Every migration of this build, oldest first. A list and not `sqlx::migrate!`: that macro makes every build compile
/// the database driver and its cryptography twice.
pub const HISTORY: &[MigrationFile] = &files![
    1 "0001_platform",
    2 "0002_access",
    3 "0003_tickets",
    4 "0004_connector",
    5 "0005_chat",
    8 "0008_routing",
    9 "0009_sla",
    10 "0010_email",
    11 "0011_mail",
    12 "0012_routing",
    13 "0013_sla_terms",
    14 "0014_merge",
    15 "0015_contacts",
    16 "0016_experts",
    17 "0017_hook_token",
    18 "0018_erased_objects",
    19 "0019_ticket_work",
    20 "0020_desk",
    21 "0021_search",
    22 "0022_token_terms",
    23 "0023_sla_steps",
    24 "0024_offers",
    25 "0025_time",
    26 "0026_matter",
    27 "0027_restricted",
    28 "0028_search_matches",
    29 "0029_routing_terms",
    30 "0030_sla_contacts",
    31 "0031_outbound_lanes",
    34 "0034_substatus",
    35 "0035_public_link",
    36 "0036_list_indexes",
    37 "0037_resolved_times",
    38 "0038_booked_time",
    39 "0039_restricting_rules",
    40 "0040_own_fields",
    42 "0042_search_newest",
    47 "0047_reply_to",
    48 "0048_waits_and_claims",
    49 "0049_requester",
    50 "0050_requests_and_lifted",
    52 "0052_search_spans",
    53 "0053_given_back",
    54 "0054_merge_order",
    55 "0055_filters",
    57 "0057_asked_once",
    59 "0059_first_trace",
    60 "0060_search_lexemes",
    61 "0061_open_by_priority",
    63 "0063_search_candidates",
];

/// Brings the schema up to this build's version. A second call changes nothing.
pub async fn migrate(db: &Db) -> Result<(), DbError> {
    let migrations: Vec<Migration> = HISTORY
        .iter()
        .map(|file| {
            Migration::new(
                file.version,
                Cow::Borrowed(file.name),
                MigrationType::Simple,
                AssertSqlSafe(file.sql).into_sql_str(),
                false,
            )
        })
        .collect();
    let migrator = Migrator {
        migrations: Cow::Owned(migrations),
        // A newer release may have migrated already; its history is not ours to judge.
        ignore_missing: true,
        ..Migrator::DEFAULT
    };
    migrator.run(db.pool()).await.map_err(DbError::from)
}

/// The version that this build needs.
#[must_use]
pub fn needed_version() -> i64 {
    HISTORY.last().map_or(0, |file| file.version)
}

/// The version that the database has; 0 when it was never migrated.
pub async fn current_version(db: &Db) -> Result<i64, DbError> {
    let has_history: bool =
        sqlx::query_scalar("SELECT to_regclass('public._sqlx_migrations') IS NOT NULL")
            .fetch_one(db.pool())
            .await?;
    if !has_history {
        return Ok(0);
    }
    let version: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM public._sqlx_migrations WHERE success")
            .fetch_one(db.pool())
            .await?;
    Ok(version.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn the_list_is_the_folder_in_order() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        let listed: Vec<String> = HISTORY
            .iter()
            .map(|file| format!("{}.sql", file.name))
            .collect();
        assert_eq!(listed, files.into_iter().collect::<Vec<_>>());
        for file in HISTORY {
            assert!(file.name.starts_with(&format!("{:04}_", file.version)));
        }
    }
}

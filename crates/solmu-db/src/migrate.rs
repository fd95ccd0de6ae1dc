//! The one ordered, append-only history of the schema.
//!
//! Services do not migrate: `solmu migrate` does, once, under PostgreSQL's advisory lock; services wait until the
//! schema is at least at the version that they were built with. Each migration only expands what the release before
//! uses, so pods of that release survive it.

use sqlx::migrate::Migrator;

use crate::{Db, DbError};

/// Every migration of this build.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Brings the schema up to this build's version. A second call changes nothing.
pub async fn migrate(db: &Db) -> Result<(), DbError> {
    // A newer release may have migrated already; its history is not ours to judge.
    let migrator = Migrator {
        ignore_missing: true,
        ..clone_of(&MIGRATIONS)
    };
    migrator.run(db.pool()).await.map_err(DbError::from)
}

/// The version that this build needs.
#[must_use]
pub fn needed_version() -> i64 {
    MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
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

fn clone_of(migrator: &Migrator) -> Migrator {
    Migrator {
        migrations: migrator.migrations.clone(),
        ..Migrator::DEFAULT
    }
}

//! The schema in PostgreSQL: its version, that nothing of it is gone, the rights of this user, and who holds leases.

use std::collections::BTreeMap;

use solmu_db::{
    Db,
    expected::{Expected, expected},
    migrate::{self, HISTORY},
};

use super::Finding;

/// Names in one finding at most.
const NAMED: usize = 5;

/// Looks at the schema. `may_create` is whether this user may migrate.
pub(super) async fn examine(db: &Db, may_create: bool) -> Vec<Finding> {
    let needed = migrate::needed_version();
    let applied = match applied(db).await {
        Ok(applied) => applied,
        Err(error) => {
            let found = format!("cannot be read: {error}");
            let advice = if may_not(&error) {
                "this user may not read it: grant it all rights on all schemas of Solmu, or connect as their owner"
            } else {
                "look into the server's log; `solmu migrate` makes what is missing"
            };
            return vec![Finding::bad("schema", found, advice)];
        }
    };
    let version = version(&applied, needed, may_create);
    let is_older = version.verdict == super::Verdict::Bad;
    let mut findings = vec![version];
    if is_older {
        return findings;
    }
    let expected = expected();
    findings.extend(match things(db, &expected.schemas()).await {
        Ok(things) => whole(&expected, &things),
        Err(error) => vec![unknown("tables", &error)],
    });
    findings.push(match rights(db, &expected.schemas()).await {
        Ok(missing) if missing.is_empty() => {
            Finding::good("rights", "tables can be read and written")
        }
        Ok(missing) => Finding::bad(
            "rights",
            format!("no right to read or write {}", named(&missing)),
            "grant this user all rights on these tables, or connect as their owner",
        ),
        Err(error) => unknown("rights", &error),
    });
    match leaders(db).await {
        Ok(gone) if gone.is_empty() => {}
        Ok(gone) => findings.push(Finding::warning(
            "leases",
            format!("nobody holds {}", gone.join(", ")),
            "start the roles that hold them: tickets, router, sla, and the connectors",
        )),
        Err(error) => findings.push(unknown("leases", &error)),
    }
    findings
}

fn unknown(check: &'static str, error: &sqlx::Error) -> Finding {
    Finding::warning(
        check,
        format!("not known: {error}"),
        "look into the server's log",
    )
}

/// The versions that were applied; none where nothing was ever migrated.
async fn applied(db: &Db) -> Result<Vec<i64>, sqlx::Error> {
    let has_history: bool =
        sqlx::query_scalar("SELECT to_regclass('public._sqlx_migrations') IS NOT NULL")
            .fetch_one(db.pool())
            .await?;
    if !has_history {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("SELECT version FROM public._sqlx_migrations WHERE success")
        .fetch_all(db.pool())
        .await
}

/// Older, newer, or with a gap: each wants something else.
fn version(applied: &[i64], needed: i64, may_create: bool) -> Finding {
    const CHECK: &str = "schema";
    let current = applied.iter().copied().max().unwrap_or(0);
    let missing: Vec<String> = HISTORY
        .iter()
        .filter(|file| file.version <= current && !applied.contains(&file.version))
        .map(|file| file.name.to_owned())
        .collect();
    let mut found = format!("version {current}, this release needs {needed}");
    if current < needed || !missing.is_empty() {
        if !missing.is_empty() {
            found = format!("{found}; without {}", named(&missing));
        }
        let advice = if may_create {
            "run `solmu migrate`"
        } else {
            "run `solmu migrate` as a user that may create schemas in this database; this one may not"
        };
        return Finding::bad(CHECK, found, advice);
    }
    if current > needed {
        return Finding::warning(
            CHECK,
            found,
            "a newer release has migrated it: use that one; this one is for the time of a rollback",
        );
    }
    Finding::good(CHECK, found)
}

/// Tables and indexes that are there, and whether each can be used: an index whose making was cut short cannot.
async fn things(db: &Db, schemas: &[&str]) -> Result<BTreeMap<String, bool>, sqlx::Error> {
    let rows: Vec<(String, bool)> = sqlx::query_as(
        "SELECT n.nspname || '.' || c.relname, coalesce(i.indisvalid, true)
         FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_index i ON i.indexrelid = c.oid
         WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p', 'i', 'I')",
    )
    .bind(schemas)
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().collect())
}

/// What is gone or cannot be used. A release that is newer may have dropped what this one knows, which is no fault; it says so
/// itself by its version.
fn whole(expected: &Expected, things: &BTreeMap<String, bool>) -> Vec<Finding> {
    let gone = |wanted: &BTreeMap<String, &'static str>| -> Vec<String> {
        wanted
            .iter()
            .filter(|(name, _)| !things.contains_key(*name))
            .map(|(name, migration)| format!("{name} (of {migration}.sql)"))
            .collect()
    };
    let mut findings = Vec::new();
    let tables = gone(&expected.tables);
    findings.push(if tables.is_empty() {
        Finding::good("tables", format!("all {} are there", expected.tables.len()))
    } else {
        Finding::bad(
            "tables",
            format!("gone: {}", named(&tables)),
            "somebody dropped it, and `solmu migrate` makes nothing twice: restore the database from its backup (docs/operations.md, Backup)",
        )
    });
    let indexes = gone(&expected.indexes);
    if !indexes.is_empty() {
        findings.push(Finding::bad(
            "indexes",
            format!("gone: {}", named(&indexes)),
            "make it again with its statement in the folder migrations; a unique one keeps things from being done twice",
        ));
    }
    let broken: Vec<String> = things
        .iter()
        .filter(|(_, is_usable)| !**is_usable)
        .map(|(name, _)| name.clone())
        .collect();
    if !broken.is_empty() {
        findings.push(Finding::bad(
            "indexes",
            format!("not usable: {}", named(&broken)),
            "run REINDEX INDEX on it",
        ));
    }
    findings
}

/// The first few, and how many more.
fn named(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whether the server refused for want of rights.
fn may_not(error: &sqlx::Error) -> bool {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == INSUFFICIENT_PRIVILEGE)
}

/// Tables that this user cannot work with.
async fn rights(db: &Db, schemas: &[&str]) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT schemaname || '.' || tablename FROM pg_tables
         WHERE schemaname = ANY($1)
           AND NOT (has_schema_privilege(schemaname, 'USAGE')
                    AND has_table_privilege(format('%I.%I', schemaname, tablename), 'SELECT, INSERT, UPDATE, DELETE'))
         ORDER BY 1",
    )
    .bind(schemas)
    .fetch_all(db.pool())
    .await
}

/// Groups of leases of which somebody held a shard once, and nobody holds any now.
async fn leaders(db: &Db) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT name FROM platform.lease GROUP BY name
         HAVING max(expires_at) < clock_timestamp() ORDER BY name",
    )
    .fetch_all(db.pool())
    .await
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn versions_are_told_apart() {
        let all: Vec<i64> = HISTORY.iter().map(|file| file.version).collect();
        let needed = migrate::needed_version();
        let of = |applied: &[i64]| {
            let finding = version(applied, needed, true);
            (finding.verdict, finding.advice)
        };
        assert_eq!(of(&all).0, Verdict::Good);
        let migrate = (Verdict::Bad, "run `solmu migrate`".to_owned());
        assert_eq!(of(&[]), migrate);
        assert_eq!(of(&all[..all.len() - 1]), migrate);
        let newer = of(&[all.clone(), vec![9999]].concat());
        assert_eq!(newer.0, Verdict::Warning);
        assert!(newer.1.contains("a newer release"), "{}", newer.1);

        let gap: Vec<i64> = all.iter().copied().filter(|it| *it != all[3]).collect();
        let finding = version(&gap, needed, true);
        assert_eq!(finding.verdict, Verdict::Bad);
        assert!(finding.found.contains(HISTORY[3].name), "{finding:?}");
        assert!(version(&[], needed, false).advice.contains("may not"));
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (1..=7).map(|number| format!("t{number}")).collect();
        assert_eq!(named(&names), "t1, t2, t3, t4, t5 and 2 more");
        assert_eq!(named(&names[..2]), "t1, t2");
    }
}

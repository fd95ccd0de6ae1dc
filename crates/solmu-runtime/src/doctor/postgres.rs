//! PostgreSQL: whether it can be reached, version, durability, connections, clock.

use std::{io, time::Duration};

use jiff::{SignedDuration, Timestamp};
use solmu_db::Db;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::{Finding, schema};

/// Major versions that are tested.
const VERSIONS: std::ops::RangeInclusive<i32> = 15..=18;
/// How long each question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A difference of clocks that shows on due times.
const SKEW_WARNING: SignedDuration = SignedDuration::from_secs(1);
/// A difference of clocks that breaks tokens and webhook signatures.
const SKEW_BAD: SignedDuration = SignedDuration::from_secs(30);
const CHECK: &str = "postgres";

/// What is found out about the server, asked in one go.
struct Facts {
    version: i32,
    encoding: String,
    is_replica: bool,
    unsafe_settings: Vec<String>,
    max_connections: i64,
    used_connections: i64,
    now: Timestamp,
    may_create: bool,
    is_superuser: bool,
}

/// Looks at the database. `now` is this machine's time, `pool` the connections that each process may open, `own` whether the
/// server is a private one.
pub async fn examine(db: &Db, now: Timestamp, pool: u32, own: bool) -> Vec<Finding> {
    if let Some(finding) = unreachable(db).await {
        return vec![finding];
    }
    let facts = match tokio::time::timeout(PATIENCE, facts(db)).await {
        Ok(Ok(facts)) => facts,
        Ok(Err(error)) => {
            return vec![Finding::bad(
                CHECK,
                format!("no answer: {error}"),
                advice_on(&error),
            )];
        }
        Err(_) => {
            return vec![Finding::bad(
                CHECK,
                "it lets us in, and does not answer in time",
                "is it overloaded, or its disk full? Look into the server's log",
            )];
        }
    };
    let mut findings = server(&facts, own);
    findings.push(connections(&facts, pool));
    findings.push(clock(facts.now, now));
    findings.extend(schema::examine(db, facts.may_create).await);
    findings
}

async fn facts(db: &Db) -> Result<Facts, sqlx::Error> {
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::int / 10000 AS version,
                current_setting('server_encoding') AS encoding,
                pg_is_in_recovery() AS is_replica,
                array(SELECT name || ' = ' || setting FROM pg_settings
                      WHERE (name IN ('fsync', 'full_page_writes') AND setting = 'off')
                         OR (name = 'synchronous_commit' AND setting = 'off')) AS unsafe_settings,
                current_setting('max_connections')::bigint AS max_connections,
                (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used_connections,
                (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now,
                has_database_privilege(current_database(), 'CREATE') AS may_create,
                (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser",
    )
    .fetch_one(db.pool())
    .await?;
    Ok(Facts {
        version: row.try_get("version")?,
        encoding: row.try_get("encoding")?,
        is_replica: row.try_get("is_replica")?,
        unsafe_settings: row.try_get("unsafe_settings")?,
        max_connections: row.try_get("max_connections")?,
        used_connections: row.try_get("used_connections")?,
        now: Timestamp::from_microsecond(row.try_get("now")?)
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        may_create: row.try_get("may_create")?,
        is_superuser: row.try_get("is_superuser")?,
    })
}

fn server(facts: &Facts, own: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let version = format!("PostgreSQL {}", facts.version);
    findings.push(if VERSIONS.contains(&facts.version) {
        Finding::good("postgres", version)
    } else {
        let tested = format!("use {} to {}", VERSIONS.start(), VERSIONS.end());
        Finding::bad("postgres", version, tested)
    });
    if facts.is_replica {
        findings.push(Finding::bad(
            "postgres primary",
            "this is a replica",
            "name the primary: reads of a replica see changes in another order",
        ));
    }
    if facts.encoding != "UTF8" {
        findings.push(Finding::bad(
            "postgres encoding",
            facts.encoding.clone(),
            "create the database with encoding UTF8",
        ));
    }
    findings.push(if facts.unsafe_settings.is_empty() {
        Finding::good("postgres durability", "what is committed is on disk")
    } else {
        Finding::bad(
            "postgres durability",
            facts.unsafe_settings.join(", "),
            "turn it on: a power cut loses what was answered as done",
        )
    });
    // Of a private server Solmu is the only user.
    if facts.is_superuser && !own {
        findings.push(Finding::warning(
            "postgres user",
            "a superuser",
            "give Solmu a user that owns its database and nothing else",
        ));
    }
    findings
}

fn connections(facts: &Facts, pool: u32) -> Finding {
    let found = format!(
        "{} of {} in use, {pool} for each process",
        facts.used_connections, facts.max_connections
    );
    let left = facts.max_connections - facts.used_connections;
    if left < i64::from(pool) {
        return Finding::warning(
            "postgres connections",
            found,
            "raise max_connections of PostgreSQL, or lower postgres.max_connections: one more process may not fit",
        );
    }
    Finding::good("postgres connections", found)
}

fn clock(theirs: Timestamp, ours: Timestamp) -> Finding {
    let skew = ours.duration_since(theirs).abs();
    let found = format!("{:.1} s from the database's", skew.as_secs_f64());
    let advice = "let both machines keep their time (NTP): due times and signatures depend on it";
    if skew >= SKEW_BAD {
        Finding::bad("clock", found, advice)
    } else if skew >= SKEW_WARNING {
        Finding::warning("clock", found, advice)
    } else {
        Finding::good("clock", found)
    }
}

/// Why no connection came to be, and what to do. `None` where it did.
/// Why the server does not let us in, and what to do. `None` where it does.
pub async fn unreachable(db: &Db) -> Option<Finding> {
    // The pool would try again and again, and could only say that nothing came of it.
    let options = db.pool().connect_options();
    let connecting = PgConnection::connect_with(&options);
    let error = match tokio::time::timeout(PATIENCE, connecting).await {
        Ok(Ok(connection)) => {
            // The server forgets it anyway.
            let _ = connection.close().await;
            return None;
        }
        Ok(Err(error)) => error,
        Err(_) => {
            return Some(Finding::bad(
                CHECK,
                "no answer in time",
                "does a firewall or a network policy stand between?",
            ));
        }
    };
    let advice = advice_on(&error);
    Some(Finding::bad(
        CHECK,
        format!("no connection: {error}"),
        advice,
    ))
}

fn advice_on(error: &sqlx::Error) -> &'static str {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    match (error, code.as_deref()) {
        (_, Some("28P01" | "28000")) => {
            "are user and password of postgres.url right, and does pg_hba.conf let this address in?"
        }
        (_, Some("3D000")) => "make the database, or name another in postgres.url",
        (_, Some("53300")) => {
            "the server takes no more connections: raise its max_connections, or lower postgres.max_connections"
        }
        (_, Some("57P03")) => "the server is starting or stopping: look again in a minute",
        (sqlx::Error::Io(error), _) => match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                "nothing listens there: is the server running, and are host and port of postgres.url right?"
            }
            io::ErrorKind::TimedOut => "does a firewall or a network policy stand between?",
            _ => "is the host of postgres.url right, and does its name resolve here?",
        },
        (sqlx::Error::Tls(_), _) => {
            "does the server speak TLS as sslmode of postgres.url wants it, and is its certificate known here?"
        }
        _ => "is it running, and are host, database, user and password of postgres.url right?",
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn clocks_may_differ_a_little() {
        let at = |millis: i64| Timestamp::from_millisecond(1_000_000 + millis).unwrap();
        assert_eq!(clock(at(0), at(200)).verdict, Verdict::Good);
        assert_eq!(clock(at(0), at(-5_000)).verdict, Verdict::Warning);
        assert_eq!(clock(at(60_000), at(0)).verdict, Verdict::Bad);
    }

    #[test]
    fn an_unsafe_server_is_told() {
        let facts = Facts {
            version: 14,
            encoding: "LATIN1".to_owned(),
            is_replica: true,
            unsafe_settings: vec!["fsync = off".to_owned()],
            max_connections: 100,
            used_connections: 95,
            now: Timestamp::UNIX_EPOCH,
            may_create: true,
            is_superuser: false,
        };
        let findings = server(&facts, false);
        assert_eq!(findings.len(), 4);
        assert!(
            findings
                .iter()
                .all(|it| it.verdict == Verdict::Bad && !it.advice.is_empty())
        );
        assert_eq!(connections(&facts, 20).verdict, Verdict::Warning);
    }

    #[test]
    fn a_superuser_is_told_where_somebody_can_change_it() {
        let facts = Facts {
            version: 17,
            encoding: "UTF8".to_owned(),
            is_replica: false,
            unsafe_settings: Vec::new(),
            max_connections: 100,
            used_connections: 5,
            now: Timestamp::UNIX_EPOCH,
            may_create: true,
            is_superuser: true,
        };
        let warnings = |own| {
            let findings = server(&facts, own);
            findings
                .iter()
                .filter(|it| it.verdict != Verdict::Good)
                .count()
        };
        assert_eq!((warnings(false), warnings(true)), (1, 0));
    }
}

//! Pairs of contacts that may be one person, for people to decide.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use solmu_db::{Db, SqlTimestamp, ToSqlx as _};
use solmu_identity::Resolution;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{ContactError, linker::main_groups, neighbours::Neighbours};

/// A pair, as it is listed.
#[derive(Debug, Clone)]
pub(crate) struct Suggested {
    pub(crate) first: Uuid,
    pub(crate) second: Uuid,
    pub(crate) reason: String,
    pub(crate) kind: i16,
    pub(crate) value: String,
    pub(crate) created_at: Timestamp,
    /// The pair as it is stored: what a page ends with.
    pub(crate) stored: (Uuid, Uuid),
}

/// Notes what the resolver leaves to people, and forgets what it no longer does.
pub(crate) async fn write(
    tx: &mut PgConnection,
    around: &Neighbours,
    resolution: &Resolution,
    now: Timestamp,
) -> Result<(), ContactError> {
    let main = main_groups(around, resolution);
    let mut pairs: BTreeMap<(Uuid, Uuid), (&str, i16, &str)> = BTreeMap::new();
    for it in &resolution.suggestions {
        let (a, b) = (around.contacts[it.a], around.contacts[it.b]);
        if a != b {
            pairs.entry((a.min(b), a.max(b))).or_insert((
                it.reason.code(),
                it.kind.code(),
                &it.value,
            ));
        }
    }
    // A link through a sighting that is not what its contact is: the typist of somebody's address.
    for link in &resolution.links {
        let (a, b) = (around.contacts[link.a], around.contacts[link.b]);
        let is_main = |position: usize| {
            main.get(&around.contacts[position]) == Some(&resolution.profile[position])
        };
        if a != b && !(is_main(link.a) && is_main(link.b)) {
            pairs.entry((a.min(b), a.max(b))).or_insert((
                "shared_value",
                link.kind.code(),
                &link.value,
            ));
        }
    }
    let known: BTreeSet<Uuid> = around.contacts.iter().copied().collect();
    let known: Vec<Uuid> = known.into_iter().collect();
    let (firsts, seconds): (Vec<Uuid>, Vec<Uuid>) = pairs.keys().copied().unzip();
    if around.complete {
        sqlx::query(
            "DELETE FROM tickets.merge_suggestion AS old WHERE first_id = ANY($1) AND second_id = ANY($1)
                AND NOT EXISTS (SELECT 1 FROM unnest($2::uuid[], $3::uuid[]) AS new (a, b)
                    WHERE new.a = old.first_id AND new.b = old.second_id)",
        )
        .bind(&known)
        .bind(&firsts)
        .bind(&seconds)
        .execute(&mut *tx)
        .await?;
    }
    if pairs.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO tickets.merge_suggestion (first_id, second_id, reason, kind, value, created_at)
         SELECT *, $6 FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::text[])
         ON CONFLICT (first_id, second_id) DO UPDATE SET reason = excluded.reason, kind = excluded.kind,
            value = excluded.value",
    )
    .bind(&firsts)
    .bind(&seconds)
    .bind(pairs.values().map(|it| it.0).collect::<Vec<_>>())
    .bind(pairs.values().map(|it| it.1).collect::<Vec<_>>())
    .bind(pairs.values().map(|it| it.2).collect::<Vec<_>>())
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

type Row = (Uuid, Uuid, Uuid, Uuid, String, i16, String, SqlTimestamp);

/// Where a page ends.
pub(crate) type Position = (i64, Uuid, Uuid);

/// Pairs, newest first. Those that are one by now and those that somebody refused are left out.
pub(crate) async fn list(
    db: &Db,
    contact: Option<Uuid>,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Suggested>, ContactError> {
    let (at, first, second) = after.unwrap_or((i64::MAX, Uuid::max(), Uuid::max()));
    let at = Timestamp::from_microsecond(at).unwrap_or(Timestamp::MAX);
    // One contact: by the two indexes of the pair, of everybody that it is made of.
    let people: Option<Vec<Uuid>> = match contact {
        None => None,
        Some(id) => {
            let mut connection = db.pool().acquire().await?;
            let roots = crate::graph::roots(&mut connection, &[id]).await?;
            let root = *roots
                .get(&id)
                .ok_or_else(|| ContactError::unknown("contact", &id))?;
            Some(crate::graph::members(&mut connection, &[root]).await?)
        }
    };
    let source = if people.is_some() {
        "(SELECT * FROM tickets.merge_suggestion WHERE first_id = ANY($5) UNION
          SELECT * FROM tickets.merge_suggestion WHERE second_id = ANY($5))"
    } else {
        "tickets.merge_suggestion"
    };
    let statement = format!(
        "SELECT it.first_id, it.second_id, coalesce(a.root_id, a.id), coalesce(b.root_id, b.id), it.reason, it.kind,
            it.value, it.created_at
         FROM {source} AS it JOIN tickets.contact AS a ON a.id = it.first_id JOIN tickets.contact AS b ON b.id = it.second_id
         WHERE (it.created_at, it.first_id, it.second_id) < ($1, $2, $3)
            AND coalesce(a.root_id, a.id) <> coalesce(b.root_id, b.id)
            AND ($5::uuid[] IS NULL OR true)
            AND NOT EXISTS (SELECT 1 FROM tickets.contact_apart AS apart
                WHERE apart.first_id = it.first_id AND apart.second_id = it.second_id)
         ORDER BY it.created_at DESC, it.first_id DESC, it.second_id DESC LIMIT $4"
    );
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(at.to_sqlx())
        .bind(first)
        .bind(second)
        .bind(limit)
        .bind(people)
        .fetch_all(db.reads())
        .await?;
    let listed = rows.into_iter().map(
        |(stored_first, stored_second, first, second, reason, kind, value, created_at)| Suggested {
            first,
            second,
            reason,
            kind,
            value,
            created_at: created_at.to_jiff(),
            stored: (stored_first, stored_second),
        },
    );
    Ok(listed.collect())
}

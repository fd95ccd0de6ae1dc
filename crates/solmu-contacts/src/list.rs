//! The list of contacts.

use solmu_conditions::{Field, FieldType, FilterError, Limits, Schema};
use solmu_db::{Db, ToSqlx as _};
use solmu_proto::contact::v1::{
    ListContactsRequest, ListContactsResponse,
    contact_attribute::{Subject, Type},
};
use solmu_runtime::{ApiError, access::Visibility, api_error::Violation, page};
use uuid::Uuid;

use crate::{ContactError, attributes, read};

/// Comparisons of one filter that look for a beginning, an end or a part of texts, as in lists of tickets.
const MAX_PARTS: usize = 32;

fn schema() -> Schema {
    Schema::new()
        .with_limits(Limits {
            parts: MAX_PARTS,
            ..Limits::DEFAULT
        })
        .with(Field::new("name", FieldType::Text).prepared_column(NAME))
        .with(Field::new("language", FieldType::Keyword).column("contact.language"))
        .with(Field::new("time_zone", FieldType::Keyword).column("contact.time_zone"))
        .with(Field::new("create_time", FieldType::Timestamp).column("contact.created_at"))
        .with(Field::new("organization_id", FieldType::Keyword).column(
            "coalesce(contact.organization_id::text, '')",
        ))
        .with(Field::new("identity", FieldType::TextSet).column(
            "(SELECT coalesce(array_agg(identity.value), '{}') FROM tickets.identity \
             WHERE identity.contact_id = contact.id OR identity.contact_id IN \
                (SELECT merged.id FROM tickets.contact AS merged WHERE merged.root_id = contact.id))",
        ))
}

/// A name as it is compared, and as the index has it: of a longer one the beginning.
const NAME: &str = "left(tickets.folded(contact.display_name), 200)";

/// Anybody who is the same person as the contact: what one of them has is shown of all of them.
const ANYBODY: &str =
    "contact.id IN (SELECT coalesce(part.root_id, part.id) FROM tickets.contact AS part WHERE";

/// An own field of contacts, by what its definition says it holds. Values are texts in `attributes`.
fn own(name: &str, kind: Type) -> Field {
    let (kind, before, after) = match kind {
        Type::Number => (
            FieldType::Decimal,
            "(part.attributes ->> ",
            "::text)::numeric",
        ),
        // At noon, so that a day is itself in every zone.
        Type::Date => (
            FieldType::Timestamp,
            "((part.attributes ->> ",
            "::text)::date + time '12:00') AT TIME ZONE 'UTC'",
        ),
        Type::Boolean => (FieldType::Bool, "(part.attributes ->> ", "::text)::boolean"),
        Type::Text | Type::Choice | Type::Unspecified => {
            (FieldType::Keyword, "part.attributes ->> ", "::text")
        }
    };
    let exact = matches!(kind, FieldType::Keyword | FieldType::Decimal);
    let field = Field::new(format!("attributes.{name}"), kind)
        .keyed_column(before, name, after)
        .within(ANYBODY, ")");
    if exact {
        field.in_texts("part.attributes")
    } else {
        field
    }
}

/// A page of contacts, newest first; only those that stand for themselves.
pub(crate) async fn contacts(
    db: &Db,
    request: &ListContactsRequest,
    max_page: u32,
    visibility: &Visibility,
) -> Result<ListContactsResponse, ApiError> {
    let size = page::size(request.page_size, 50, max_page)?;
    let after: Option<(i64, Uuid)> = page::decode(&request.filter, &request.page_token)?;
    let mut query = read::select();
    query.push(" WHERE contact.root_id IS NULL");
    if let Some(value) = one_identity(&request.filter) {
        // By the index of values, and not by the identities of every contact there is.
        query
            .push(
                " AND contact.id IN (SELECT coalesce(known.root_id, known.id) FROM tickets.identity \
                 JOIN tickets.contact AS known ON known.id = identity.contact_id WHERE identity.value = ",
            )
            .push_bind(value)
            .push(")");
    } else if !request.filter.trim().is_empty() {
        let mut schema = schema();
        if request.filter.contains("attributes.") {
            for known in attributes::list(db, Subject::Contact).await? {
                schema = schema.with(own(&known.name, known.r#type()));
            }
        }
        let checked = solmu_conditions::parse(&request.filter, &schema)
            .map_err(|error| filter_error(&error))?;
        query.push(" AND (");
        checked.push_sql(&mut query).map_err(ApiError::internal)?;
        query.push(")");
    }
    if let Some((at, id)) = after {
        let bad = |_| ApiError::invalid("page_token", "not a token of this list");
        let at = jiff::Timestamp::from_microsecond(at).map_err(bad)?;
        query
            .push(" AND (contact.created_at, contact.id) < (")
            .push_bind(at.to_sqlx())
            .push(", ")
            .push_bind(id)
            .push(")");
    }
    query
        .push(" ORDER BY contact.created_at DESC, contact.id DESC LIMIT ")
        .push_bind(size + 1);
    let mut rows: Vec<read::Row> = query
        .build_query_as()
        // Which index is best is seen by the values.
        .persistent(request.filter.is_empty())
        .fetch_all(db.reads())
        .await
        .map_err(ContactError::from)?;
    let more = page::cut(&mut rows, size);
    let next_page_token = rows
        .last()
        .filter(|_| more)
        .map(|last| {
            let at = last.created_at.to_jiff().as_microsecond();
            page::encode(&request.filter, (at, last.id))
        })
        .unwrap_or_default();
    let mut connection = db.reads().acquire().await.map_err(ContactError::from)?;
    let ids: Vec<uuid::Uuid> = rows.iter().map(|row| row.id).collect();
    let contacts = read::contacts(&mut connection, &ids, visibility).await?;
    Ok(ListContactsResponse {
        contacts,
        next_page_token,
    })
}

/// What is wrong with a filter, as the caller is told.
fn filter_error(error: &FilterError) -> ApiError {
    match error {
        FilterError::Invalid(violations) => ApiError::InvalidArgument {
            violations: violations
                .iter()
                .map(|violation| Violation::new("filter", violation.to_string()))
                .collect(),
        },
        other => ApiError::invalid("filter", other.to_string()),
    }
}

/// The value of a filter that is nothing but `identity = "value"`, which most are. Inside of longer filters it is
/// `identity:"value"`, as with every set.
fn one_identity(filter: &str) -> Option<String> {
    let rest = filter.trim().strip_prefix("identity")?.trim_start();
    let rest = rest.strip_prefix('=')?.trim();
    let value = rest.strip_prefix('"')?.strip_suffix('"')?;
    let plain = !value.is_empty() && !value.contains(['"', '\\', '*']);
    plain.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_filter_is_known() {
        assert_eq!(
            one_identity(r#" identity = "a@c.example" "#).as_deref(),
            Some("a@c.example")
        );
        for other in [
            r#"identity = "a" OR name = "b""#,
            r#"identity != "a""#,
            r#"identity = "a*""#,
            r#"identity = """#,
            r#"name = "a""#,
        ] {
            assert_eq!(one_identity(other), None, "{other}");
        }
    }

    /// So many that reading all of them is dearer than an index.
    const FILL: &str = "INSERT INTO tickets.contact (id, display_name, created_at, attributes)
        SELECT lpad(to_hex(n), 32, '0')::uuid, 'Äiti ' || n, now(),
            CASE WHEN n % 5 = 0 THEN jsonb_build_object('code', 'c' || n, 'seats', (n / 2.0)::text) ELSE '{}' END
        FROM generate_series(1, 8000) AS n";

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn names_and_own_fields_have_their_indexes() {
        let harness = solmu_testkit::Harness::new().await;
        for statement in [FILL, "ANALYZE tickets.contact"] {
            let done = sqlx::query(statement).execute(harness.db.pool()).await;
            done.unwrap();
        }
        let schema = schema()
            .with(own("code", Type::Text))
            .with(own("seats", Type::Number));
        for (filter, index) in [
            ("name = \"ÄITI 77\"", "contact_name"),
            ("name = \"äiti 77*\"", "contact_name"),
            ("attributes.code = c25", "contact_attributes"),
            ("attributes.seats = 12.50", "contact_attributes"),
        ] {
            let select = read::select();
            let mut query: sqlx::QueryBuilder<sqlx::Postgres> =
                sqlx::QueryBuilder::new(format!("EXPLAIN {} WHERE ", select.sql().as_str()));
            let checked = solmu_conditions::parse(filter, &schema).unwrap();
            checked.push_sql(&mut query).unwrap();
            let query = query.build_query_scalar().persistent(false);
            let plan: Vec<String> = query.fetch_all(harness.db.pool()).await.unwrap();
            let plan = plan.join("\n");
            assert!(
                plan.contains(index) && !plan.contains("Seq Scan"),
                "{filter}:\n{plan}"
            );
        }
    }
}

//! The list of contacts.

use solmu_conditions::{Field, FieldType, FilterError, Schema};
use solmu_db::{Db, ToSqlx as _};
use solmu_proto::contact::v1::{ListContactsRequest, ListContactsResponse};
use solmu_runtime::{ApiError, access::Visibility, api_error::Violation, page};
use uuid::Uuid;

use crate::{ContactError, read};

fn schema() -> Schema {
    Schema::new()
        .with(Field::new("name", FieldType::Text).column("contact.display_name"))
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
        let checked = solmu_conditions::parse(&request.filter, &schema())
            .map_err(|error| filter_error(&error))?;
        query.push(" AND (");
        checked.push_sql(&mut query).map_err(ApiError::internal)?;
        query.push(")");
    }
    if let Some((at, id)) = after {
        let at = jiff::Timestamp::from_microsecond(at).map_err(ApiError::internal)?;
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
        .fetch_all(db.pool())
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
    let mut connection = db.pool().acquire().await.map_err(ContactError::from)?;
    let contacts = read::complete(&mut connection, rows, visibility).await?;
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
}

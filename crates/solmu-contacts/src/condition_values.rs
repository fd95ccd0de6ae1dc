//! What conditions of rules and policies look at, of contacts and organisations.
//!
//! The services that decide ask for it when a condition needs it, and keep none of it: events only name the fields that
//! changed. So nothing personal travels that nobody asked for, and an erasure has no copies to run after. Events with
//! the values in them were rejected: they would stay in the bus, and a new rule would need those from before.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use solmu_proto::contact::v1::{
    BatchGetConditionValuesRequest, BatchGetConditionValuesResponse, ConditionValue,
    ConditionValues,
};
use solmu_runtime::{ApiError, request::uuid};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{ContactError, organizations, read};

/// Contacts, and organisations, that one call may ask about.
const MAX_IDS: usize = 1_000;
/// Fields that one call may ask for.
const MAX_FIELDS: usize = 500;

/// Values by field.
type Values = BTreeMap<String, Vec<String>>;
/// Values by field of contacts or organisations.
type ById = HashMap<Uuid, Values>;

/// A question that can be answered.
#[derive(Debug)]
pub(crate) struct Asked {
    contacts: Vec<Uuid>,
    organizations: Vec<Uuid>,
    fields: BTreeSet<String>,
}

impl Asked {
    pub(crate) fn of(request: &BatchGetConditionValuesRequest) -> Result<Self, ApiError> {
        let most = |field: &str, count: usize, most: usize| {
            let refused = || ApiError::invalid(field, format!("more than {most}"));
            (count <= most).then_some(()).ok_or_else(refused)
        };
        most("contact_ids", request.contact_ids.len(), MAX_IDS)?;
        most("organization_ids", request.organization_ids.len(), MAX_IDS)?;
        most("fields", request.fields.len(), MAX_FIELDS)?;
        let ids = |field: &str, texts: &[String]| -> Result<Vec<Uuid>, ApiError> {
            let ids: BTreeSet<Uuid> = texts
                .iter()
                .map(|text| uuid(field, text))
                .collect::<Result<_, _>>()?;
            Ok(ids.into_iter().collect())
        };
        Ok(Self {
            contacts: ids("contact_ids", &request.contact_ids)?,
            organizations: ids("organization_ids", &request.organization_ids)?,
            fields: request.fields.iter().cloned().collect(),
        })
    }

    fn asks(&self, about: &str) -> bool {
        self.fields.iter().any(|field| field.starts_with(about))
    }
}

/// What is known of those that are asked about.
pub(crate) async fn fetch(
    connection: &mut PgConnection,
    asked: &Asked,
) -> Result<BatchGetConditionValuesResponse, ContactError> {
    let contacts = contacts(connection, asked).await?;
    let organizations = organizations_of(connection, asked).await?;
    Ok(BatchGetConditionValuesResponse {
        contacts: told(&asked.contacts, contacts, &asked.fields),
        organizations: told(&asked.organizations, organizations, &asked.fields),
    })
}

/// In the order of the question, without what was not asked for.
fn told(ids: &[Uuid], mut found: ById, fields: &BTreeSet<String>) -> Vec<ConditionValues> {
    let known = ids.iter().filter_map(|id| Some((id, found.remove(id)?)));
    let told = known.map(|(id, values)| ConditionValues {
        id: id.to_string(),
        values: values
            .into_iter()
            .filter(|(field, _)| fields.contains(field))
            .map(|(field, values)| ConditionValue { field, values })
            .collect(),
    });
    told.collect()
}

struct ContactRow {
    asked_id: Uuid,
    attributes: Json<BTreeMap<String, String>>,
    language: String,
    time_zone: String,
    manager: bool,
}
solmu_db::from_row!(ContactRow {
    asked_id,
    attributes,
    language,
    time_zone,
    manager
});

/// Who stands for each of them, first, and then those that they stand for: what the first does not say the next may.
async fn contacts(connection: &mut PgConnection, asked: &Asked) -> Result<ById, ContactError> {
    if asked.contacts.is_empty() || !asked.asks("contact.") {
        return Ok(HashMap::new());
    }
    let rows: Vec<ContactRow> = sqlx::query_as(
        "SELECT own.id AS asked_id, person.attributes, person.language, person.time_zone, person.manager
         FROM tickets.contact AS own CROSS JOIN LATERAL (
            SELECT id, attributes, language, time_zone, manager, created_at, root_id FROM tickets.contact
                WHERE id = coalesce(own.root_id, own.id)
            UNION ALL
            SELECT id, attributes, language, time_zone, manager, created_at, root_id FROM tickets.contact
                WHERE root_id = coalesce(own.root_id, own.id)) AS person
         WHERE own.id = ANY($1)
         ORDER BY own.id, person.root_id IS NOT NULL, person.created_at, person.id",
    )
    .bind(&asked.contacts)
    .fetch_all(connection)
    .await?;
    let mut found = ById::new();
    for row in rows {
        let new = !found.contains_key(&row.asked_id);
        let values = found.entry(row.asked_id).or_default();
        for (field, value) in contact_values(&row.attributes.0, &row.language, &row.time_zone) {
            values.entry(field).or_insert_with(|| vec![value]);
        }
        if new {
            let manager = vec![row.manager.to_string()];
            values.insert("contact.manager".to_owned(), manager);
        }
    }
    Ok(found)
}

/// What is set, by field.
fn contact_values(
    attributes: &BTreeMap<String, String>,
    language: &str,
    time_zone: &str,
) -> Vec<(String, String)> {
    let own = attributes
        .iter()
        .map(|(name, value)| (format!("contact.fields.{name}"), value.clone()));
    let ours = [
        ("contact.language", language),
        ("contact.time_zone", time_zone),
    ];
    let ours = ours.map(|(field, value)| (field.to_owned(), value.to_owned()));
    let all = own.chain(ours);
    all.filter(|(_, value)| !value.is_empty()).collect()
}

struct OrganizationRow {
    id: Uuid,
    display_name: String,
    domains: Vec<String>,
    attributes: Json<BTreeMap<String, String>>,
}
solmu_db::from_row!(OrganizationRow {
    id,
    display_name,
    domains,
    attributes
});

async fn organizations_of(
    connection: &mut PgConnection,
    asked: &Asked,
) -> Result<ById, ContactError> {
    if asked.organizations.is_empty() || !asked.asks("organization.") {
        return Ok(HashMap::new());
    }
    let rows: Vec<OrganizationRow> = sqlx::query_as(
        "SELECT id, display_name, attributes, ARRAY(SELECT domain FROM tickets.organization_domain AS it
            WHERE it.organization_id = organization.id ORDER BY domain) AS domains
         FROM tickets.organization WHERE id = ANY($1)",
    )
    .bind(&asked.organizations)
    .fetch_all(connection)
    .await?;
    let values = rows.into_iter().map(|row| {
        let values = organization_values(&row.attributes.0, &row.display_name, &row.domains);
        (row.id, values)
    });
    Ok(values.collect())
}

fn organization_values(
    attributes: &BTreeMap<String, String>,
    display_name: &str,
    domains: &[String],
) -> Values {
    let own = attributes
        .iter()
        .map(|(name, value)| (format!("organization.fields.{name}"), vec![value.clone()]));
    let mut values: Values = own.collect();
    values.insert(
        "organization.name".to_owned(),
        vec![display_name.to_owned()],
    );
    if !domains.is_empty() {
        values.insert("organization.domains".to_owned(), domains.to_vec());
    }
    values
}

/// Fields whose values differ, by name.
fn different(before: &Values, after: &Values) -> Vec<String> {
    let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = all
        .into_iter()
        .filter(|it| before.get(*it) != after.get(*it));
    differ.cloned().collect()
}

/// Fields of a contact that a change has changed.
pub(crate) fn changed(before: &read::Row, after: &read::Row) -> Vec<String> {
    let values = |row: &read::Row| -> Values {
        let attributes = row.attributes.as_object().into_iter().flatten();
        let attributes =
            attributes.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        let values = contact_values(&attributes.collect(), &row.language, &row.time_zone);
        let values = values
            .into_iter()
            .map(|(field, value)| (field, vec![value]));
        let manager = ("contact.manager".to_owned(), vec![row.manager.to_string()]);
        values.chain([manager]).collect()
    };
    different(&values(before), &values(after))
}

/// Fields of an organisation that a change has changed.
pub(crate) fn organization_changed(
    before: &organizations::Row,
    after: &organizations::Row,
) -> Vec<String> {
    let values = |row: &organizations::Row| {
        organization_values(&row.attributes.0, &row.display_name, &row.domains)
    };
    different(&values(before), &values(after))
}

//! Companies and the like: whom contacts belong to, by hand or by the domain of a proven address.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use solmu_bus::envelope::to_proto_time;
use solmu_db::{
    Db, SqlTimestamp, ToSqlx as _,
    outbox::{self, Owner},
};
use solmu_domain::ids::new_uuid;
use solmu_proto::contact::v1::{self as proto, contact_attribute::Subject};
use solmu_telemetry::TraceContext;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{
    ContactError, MAX_NAME, attributes,
    calls::{Asked, made_before},
    change::text,
    condition_values,
    context::Context,
};

/// Domains of one organisation.
const MAX_DOMAINS: usize = 100;
/// Longest note, in bytes.
const MAX_NOTES: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Row {
    id: Uuid,
    pub(crate) display_name: String,
    notes: String,
    version: i64,
    created_at: SqlTimestamp,
    updated_at: SqlTimestamp,
    pub(crate) domains: Vec<String>,
    pub(crate) attributes: Json<BTreeMap<String, String>>,
}
solmu_db::from_row!(Row {
    id,
    display_name,
    notes,
    version,
    created_at,
    updated_at,
    domains,
    attributes
});

/// What begins every statement that reads them.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, display_name, notes, version, created_at, updated_at, attributes,
                ARRAY(SELECT domain FROM tickets.organization_domain AS it WHERE it.organization_id = organization.id
                    ORDER BY domain) AS domains
             FROM tickets.organization ",
            $rest
        )
    };
}

impl From<Row> for proto::Organization {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            display_name: row.display_name,
            domains: row.domains,
            notes: row.notes,
            etag: row.version.to_string(),
            create_time: Some(to_proto_time(row.created_at.to_jiff())),
            update_time: Some(to_proto_time(row.updated_at.to_jiff())),
            attributes: row.attributes.0,
        }
    }
}

/// One organisation.
pub(crate) async fn get(db: &Db, id: Uuid) -> Result<proto::Organization, ContactError> {
    let row: Option<Row> = sqlx::query_as(select!("WHERE id = $1"))
        .bind(id)
        .fetch_optional(db.pool())
        .await?;
    row.map(Into::into)
        .ok_or_else(|| ContactError::unknown("organization", &id))
}

/// Organisations, newest first, after `after`.
pub(crate) async fn list(
    db: &Db,
    after: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<proto::Organization>, ContactError> {
    let (at, id) = after.unwrap_or((i64::MAX, Uuid::max()));
    let at = jiff::Timestamp::from_microsecond(at).unwrap_or(jiff::Timestamp::MAX);
    let rows: Vec<Row> = sqlx::query_as(select!(
        "WHERE (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT $3"
    ))
    .bind(at.to_sqlx())
    .bind(id)
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Makes one; the same call under a request id gives the same one.
pub(crate) async fn create(
    context: &Arc<Context>,
    organization: proto::Organization,
    asked: Option<Asked>,
) -> Result<Uuid, ContactError> {
    let id = new_uuid(context.clock.as_ref(), context.rng.as_ref());
    let now = context.clock.now();
    let input = Arc::new((checked(&organization)?, asked));
    context
        .db
        .tx("organization.create", |tx| {
            let input = input.clone();
            Box::pin(async move {
                let (organization, asked) = input.as_ref();
                if let Some(known) = made_before(tx, asked.as_ref(), id, now).await? {
                    return Ok(known);
                }
                let attributes = attributes_of(tx, organization).await?;
                sqlx::query(
                    "INSERT INTO tickets.organization (id, display_name, notes, created_at, updated_at, attributes)
                     VALUES ($1, $2, $3, $4, $4, $5)",
                )
                .bind(id)
                .bind(&organization.display_name)
                .bind(&organization.notes)
                .bind(now.to_sqlx())
                .bind(Json(&attributes))
                .execute(&mut *tx)
                .await?;
                set_domains(tx, id, &organization.domains).await?;
                Ok(id)
            })
        })
        .await
}

/// Changes the fields that `mask` names, or those that are set.
pub(crate) async fn update(
    context: &Arc<Context>,
    organization: proto::Organization,
    mask: Vec<String>,
    asked: Option<Asked>,
) -> Result<Uuid, ContactError> {
    let id = Uuid::parse_str(&organization.id)
        .map_err(|_| ContactError::invalid("organization.id", "is not a UUID"))?;
    let now = context.clock.now();
    let etag = organization.etag.clone();
    let input = Arc::new((checked(&organization)?, mask, etag, asked));
    context
        .db
        .tx("organization.update", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move {
                let (wanted, mask, etag, asked) = input.as_ref();
                if made_before(tx, asked.as_ref(), id, now).await?.is_some() {
                    return Ok(id);
                }
                let row: Option<Row> = sqlx::query_as(select!("WHERE id = $1 FOR UPDATE"))
                    .bind(id)
                    .fetch_optional(&mut *tx)
                    .await?;
                let row = row.ok_or_else(|| ContactError::unknown("organization", &id))?;
                if !etag.is_empty() && *etag != row.version.to_string() {
                    return Err(ContactError::Stale {
                        current: row.version.to_string(),
                    });
                }
                let attributes = attributes_of(tx, wanted).await?;
                let next = masked(row.clone(), wanted, attributes, mask)?;
                sqlx::query(
                    "UPDATE tickets.organization SET display_name = $2, notes = $3, version = version + 1,
                        updated_at = $4, attributes = $5 WHERE id = $1",
                )
                .bind(id)
                .bind(&next.display_name)
                .bind(&next.notes)
                .bind(now.to_sqlx())
                .bind(&next.attributes)
                .execute(&mut *tx)
                .await?;
                set_domains(tx, id, &next.domains).await?;
                tell(tx, &context, &row, &next).await?;
                Ok(id)
            })
        })
        .await
}

/// Tells of fields that conditions look at, by their names.
async fn tell(
    tx: &mut PgConnection,
    context: &Context,
    before: &Row,
    after: &Row,
) -> Result<(), ContactError> {
    let fields = condition_values::organization_changed(before, after);
    if fields.is_empty() {
        return Ok(());
    }
    let now = context.clock.now();
    let mut events = context.events(now);
    events.add(
        &proto::OrganizationChanged {
            organization_id: after.id.to_string(),
            fields,
            change_time: Some(to_proto_time(now)),
        },
        TraceContext::current(),
    );
    Ok(outbox::add(tx, Owner::Tickets, events.rows(), now).await?)
}

/// The given values, checked.
async fn attributes_of(
    tx: &mut PgConnection,
    organization: &proto::Organization,
) -> Result<BTreeMap<String, String>, ContactError> {
    if organization.attributes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let definitions = attributes::definitions(tx, Subject::Organization).await?;
    attributes::checked(
        "organization.attributes",
        &organization.attributes,
        &definitions,
    )
}

fn masked(
    mut row: Row,
    wanted: &proto::Organization,
    attributes: BTreeMap<String, String>,
    mask: &[String],
) -> Result<Row, ContactError> {
    let named = |path: &str| mask.iter().any(|it| it == path);
    let known = ["display_name", "domains", "notes", "attributes"];
    let may = |path: &String| known.contains(&path.as_str()) || path.starts_with("attributes.");
    if let Some(bad) = mask.iter().find(|it| !may(it)) {
        return Err(ContactError::invalid(
            "update_mask",
            format!("'{bad}' cannot be changed"),
        ));
    }
    let takes = |path: &str, set: bool| if mask.is_empty() { set } else { named(path) };
    if takes("display_name", !wanted.display_name.is_empty()) {
        if wanted.display_name.is_empty() {
            return Err(ContactError::invalid(
                "organization.display_name",
                "must not be empty",
            ));
        }
        row.display_name.clone_from(&wanted.display_name);
    }
    if takes("notes", !wanted.notes.is_empty()) {
        row.notes.clone_from(&wanted.notes);
    }
    if takes("domains", !wanted.domains.is_empty()) {
        row.domains.clone_from(&wanted.domains);
    }
    if named("attributes") {
        row.attributes.0 = attributes;
        return Ok(row);
    }
    // One by one; without a mask those that are given.
    let own = |path: &String| path.strip_prefix("attributes.").map(str::to_owned);
    let mut single: Vec<String> = mask.iter().filter_map(own).collect();
    if mask.is_empty() {
        single.extend(wanted.attributes.keys().cloned());
    }
    for name in single {
        match attributes.get(&name) {
            Some(value) => row.attributes.0.insert(name, value.clone()),
            None => row.attributes.0.remove(&name),
        };
    }
    Ok(row)
}

async fn set_domains(
    tx: &mut PgConnection,
    id: Uuid,
    domains: &[String],
) -> Result<(), ContactError> {
    sqlx::query(
        "DELETE FROM tickets.organization_domain WHERE organization_id = $1 AND domain <> ALL($2)",
    )
    .bind(id)
    .bind(domains)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO tickets.organization_domain (domain, organization_id) SELECT domain, $1
         FROM unnest($2::text[]) AS new (domain) ON CONFLICT (domain) DO NOTHING",
    )
    .bind(id)
    .bind(domains)
    .execute(&mut *tx)
    .await?;
    let taken: Option<String> = sqlx::query_scalar(
        "SELECT domain FROM tickets.organization_domain WHERE domain = ANY($2) AND organization_id <> $1 LIMIT 1",
    )
    .bind(id)
    .bind(domains)
    .fetch_optional(tx)
    .await?;
    taken.map_or(Ok(()), |domain| {
        Err(ContactError::Exists {
            what: "organization domain",
            id: domain,
        })
    })
}

/// With texts trimmed and domains in one form.
fn checked(organization: &proto::Organization) -> Result<proto::Organization, ContactError> {
    if organization.domains.len() > MAX_DOMAINS {
        let why = format!("more than {MAX_DOMAINS}");
        return Err(ContactError::invalid("organization.domains", why));
    }
    let mut domains = BTreeSet::new();
    for domain in &organization.domains {
        let domain = domain.trim().trim_start_matches('@');
        // The domain of an address: one form for both.
        let address = solmu_identity::normalise(
            solmu_identity::Kind::Email,
            &format!("any@{domain}"),
            solmu_identity::Region::default(),
        )
        .ok()
        .filter(|_| domain.contains('.') && !domain.contains('@'))
        .ok_or_else(|| {
            ContactError::invalid("organization.domains", format!("'{domain}' is no domain"))
        })?;
        domains.extend(address.canonical.strip_prefix("any@").map(str::to_owned));
    }
    if organization.notes.len() > MAX_NOTES || organization.notes.contains('\0') {
        let why = format!("longer than {MAX_NOTES} bytes");
        return Err(ContactError::invalid("organization.notes", why));
    }
    Ok(proto::Organization {
        display_name: text(
            "organization.display_name",
            &organization.display_name,
            MAX_NAME,
        )?,
        domains: domains.into_iter().collect(),
        notes: organization.notes.clone(),
        attributes: organization.attributes.clone(),
        ..proto::Organization::default()
    })
}

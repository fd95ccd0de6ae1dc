//! What people and services do to contacts by hand.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_db::{
    ToSqlx as _,
    outbox::{self, Owner},
};
use solmu_domain::{contact::Assurance, ids::new_uuid};
use solmu_identity::{Kind, Region, normalise};
use solmu_proto::{
    contact::v1::{self as proto, contact_attribute::Subject},
    inbound::v1::Sender,
    types::v1::{Actor, Identity},
};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    ContactError, MAX_NAME, attributes,
    calls::{Asked, made_before},
    condition_values,
    context::Context,
    filing, graph, read, sighting,
};

/// Identities that a contact is made with, at most.
const MAX_IDENTITIES: usize = 50;
/// Longest language tag (RFC 5646 needs no more), in bytes.
const MAX_LANGUAGE: usize = 35;

/// Makes a contact; the same call under a request id gives the same one.
pub(crate) async fn create(
    context: &Arc<Context>,
    contact: proto::Contact,
    asked: Option<Asked>,
    by: Actor,
) -> Result<Uuid, ContactError> {
    let id = new_uuid(context.clock.as_ref(), context.rng.as_ref());
    let input = Arc::new((contact, asked, by));
    let now = context.clock.now();
    context
        .db
        .tx("contact.create", |tx| {
            let input = input.clone();
            Box::pin(async move {
                let (contact, asked, by) = input.as_ref();
                if let Some(known) = made_before(tx, asked.as_ref(), id, now).await? {
                    return Ok(known);
                }
                create_in(tx, id, contact, by, now).await?;
                Ok(id)
            })
        })
        .await
}

async fn create_in(
    tx: &mut PgConnection,
    id: Uuid,
    contact: &proto::Contact,
    by: &Actor,
    now: Timestamp,
) -> Result<(), ContactError> {
    let fields = Fields::of(tx, contact).await?;
    let identities = identities_of(contact)?;
    sqlx::query(
        "INSERT INTO tickets.contact (id, display_name, language, time_zone, attributes, organization_id, manager,
            created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
    )
    .bind(id)
    .bind(&fields.display_name)
    .bind(&fields.language)
    .bind(&fields.time_zone)
    .bind(&fields.attributes)
    .bind(fields.organization_id)
    .bind(contact.organization_manager)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    let attested_by = format!(
        "{} {}",
        by.kind()
            .as_str_name()
            .trim_start_matches("KIND_")
            .to_lowercase(),
        by.id
    );
    for identity in &identities {
        // As who writes under this name.
        let Some((kind, scope, value)) = filing::key_of(&fields.display_name, identity) else {
            continue;
        };
        let done = sqlx::query(
            "INSERT INTO tickets.identity (kind, scope, value, raw, contact_id, assurance, attested_by, first_seen)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (kind, scope, value) DO NOTHING",
        )
        .bind(kind)
        .bind(scope)
        .bind(value)
        .bind(&identity.raw)
        .bind(id)
        .bind(Assurance::Claimed.code())
        .bind(&attested_by)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(ContactError::Exists {
                what: "identity",
                id: identity.value.clone(),
            });
        }
    }
    let sender = Sender {
        display_name: fields.display_name,
        identities,
    };
    let seen = sighting::NewSighting::of(&sender, id);
    let seen = seen.into_iter().map(|it| (it.id, it)).collect();
    Ok(sighting::write(tx, &seen, now).await?)
}

/// Identities as people type them, normalised; never more than claimed.
fn identities_of(contact: &proto::Contact) -> Result<Vec<Identity>, ContactError> {
    if contact.identities.len() > MAX_IDENTITIES {
        let why = format!("more than {MAX_IDENTITIES}");
        return Err(ContactError::invalid("contact.identities", why));
    }
    let mut identities = Vec::new();
    for (index, given) in contact.identities.iter().enumerate() {
        let field = |name: &str| format!("contact.identities[{index}].{name}");
        let kind = i16::try_from(given.kind).ok().and_then(Kind::from_code);
        let kind = kind.ok_or_else(|| ContactError::invalid(field("kind"), "say what it is"))?;
        let raw = if given.raw.is_empty() {
            &given.value
        } else {
            &given.raw
        };
        let value = normalise(kind, raw, Region::default())
            .map_err(|error| ContactError::invalid(field("raw"), error.to_string()))?;
        if given.scope.len() > MAX_NAME || given.scope.contains('\0') {
            return Err(ContactError::invalid(
                field("scope"),
                "no name of a channel account",
            ));
        }
        identities.push(Identity {
            kind: value.kind.code().into(),
            value: value.canonical,
            raw: raw.trim().to_owned(),
            assurance: Assurance::Claimed.code().into(),
            scope: given.scope.clone(),
            ..Identity::default()
        });
    }
    Ok(identities)
}

/// Fields that were checked.
#[derive(Debug)]
struct Fields {
    display_name: String,
    language: String,
    time_zone: String,
    attributes: serde_json::Value,
    organization_id: Option<Uuid>,
}

impl Fields {
    async fn of(tx: &mut PgConnection, contact: &proto::Contact) -> Result<Self, ContactError> {
        let definitions = if contact.attributes.is_empty() {
            HashMap::new()
        } else {
            attributes::definitions(tx, Subject::Contact).await?
        };
        let attributes =
            attributes::checked("contact.attributes", &contact.attributes, &definitions)?;
        Ok(Self {
            display_name: text("contact.display_name", &contact.display_name, MAX_NAME)?,
            language: text("contact.language", &contact.language, MAX_LANGUAGE)?,
            time_zone: time_zone(&contact.time_zone)?,
            attributes: serde_json::json!(attributes),
            organization_id: organization(tx, &contact.organization_id).await?,
        })
    }
}

/// A line of text of at most `max` bytes, trimmed.
pub(crate) fn text(field: &str, text: &str, max: usize) -> Result<String, ContactError> {
    let text = text.trim();
    if text.len() > max {
        return Err(ContactError::invalid(
            field,
            format!("longer than {max} bytes"),
        ));
    }
    if text.contains(char::is_control) {
        return Err(ContactError::invalid(field, "has control characters"));
    }
    Ok(text.to_owned())
}

fn time_zone(name: &str) -> Result<String, ContactError> {
    if name.is_empty() {
        return Ok(String::new());
    }
    let zone = jiff::tz::TimeZone::get(name).map_err(|_| {
        ContactError::invalid(
            "contact.time_zone",
            "expected a name such as Europe/Helsinki",
        )
    })?;
    Ok(zone.iana_name().unwrap_or(name).to_owned())
}

async fn organization(tx: &mut PgConnection, text: &str) -> Result<Option<Uuid>, ContactError> {
    if text.is_empty() {
        return Ok(None);
    }
    let field = "contact.organization_id";
    let id = Uuid::parse_str(text).map_err(|_| ContactError::invalid(field, "is not a UUID"))?;
    let known: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tickets.organization WHERE id = $1)")
            .bind(id)
            .fetch_one(tx)
            .await?;
    if known {
        Ok(Some(id))
    } else {
        Err(ContactError::unknown("organization", &id))
    }
}

/// Changes the fields that `mask` names, or those that are set.
pub(crate) async fn update(
    context: &Arc<Context>,
    contact: proto::Contact,
    mask: Vec<String>,
    asked: Option<Asked>,
) -> Result<(), ContactError> {
    let id = Uuid::parse_str(&contact.id)
        .map_err(|_| ContactError::invalid("contact.id", "is not a UUID"))?;
    let (input, now) = (Arc::new((contact, mask, asked)), context.clock.now());
    context
        .db
        .tx("contact.update", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move {
                let (contact, mask, asked) = input.as_ref();
                if made_before(tx, asked.as_ref(), id, now).await?.is_some() {
                    return Ok(());
                }
                update_in(tx, &context, id, contact, mask).await
            })
        })
        .await
}

async fn update_in(
    tx: &mut PgConnection,
    context: &Context,
    id: Uuid,
    contact: &proto::Contact,
    mask: &[String],
) -> Result<(), ContactError> {
    let now = context.clock.now();
    let root = lock_root(tx, id).await?;
    if !contact.etag.is_empty() && contact.etag != root.etag() {
        return Err(ContactError::Stale {
            current: root.etag(),
        });
    }
    let fields = Fields::of(tx, contact).await?;
    let mut row = root.clone();
    let mut known = row.attributes.as_object().cloned().unwrap_or_default();
    let all: Vec<String> = if mask.is_empty() {
        set_fields(contact)
    } else {
        mask.to_vec()
    };
    for path in &all {
        match path.as_str() {
            "display_name" => row.display_name.clone_from(&fields.display_name),
            "language" => row.language.clone_from(&fields.language),
            "time_zone" => row.time_zone.clone_from(&fields.time_zone),
            "organization_id" => row.organization_id = fields.organization_id,
            "organization_manager" => row.manager = contact.organization_manager,
            "attributes" => known = fields.attributes.as_object().cloned().unwrap_or_default(),
            path => {
                let Some(name) = path.strip_prefix("attributes.") else {
                    let why = format!("'{path}' cannot be changed");
                    return Err(ContactError::invalid("update_mask", why));
                };
                match fields.attributes.get(name) {
                    Some(value) => known.insert(name.to_owned(), value.clone()),
                    None => known.remove(name),
                };
            }
        }
    }
    row.attributes = known.into();
    sqlx::query(
        "UPDATE tickets.contact SET display_name = $2, language = $3, time_zone = $4, attributes = $5,
            organization_id = $6, manager = $7, version = version + 1, updated_at = $8 WHERE id = $1",
    )
    .bind(row.id)
    .bind(&row.display_name)
    .bind(&row.language)
    .bind(&row.time_zone)
    .bind(&row.attributes)
    .bind(row.organization_id)
    .bind(row.manager)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    tell(tx, context, &root, &row, now).await
}

/// Tells of fields that conditions look at, by their names.
async fn tell(
    tx: &mut PgConnection,
    context: &Context,
    before: &read::Row,
    after: &read::Row,
    now: Timestamp,
) -> Result<(), ContactError> {
    let fields = condition_values::changed(before, after);
    if fields.is_empty() {
        return Ok(());
    }
    let contacts = graph::members(&mut *tx, &[after.id]).await?;
    let mut events = context.events(now);
    events.add(
        &proto::ContactChanged {
            contact_id: after.id.to_string(),
            contact_ids: contacts.iter().map(Uuid::to_string).collect(),
            fields,
            change_time: Some(to_proto_time(now)),
        },
        TraceContext::current(),
    );
    Ok(outbox::add(tx, Owner::Tickets, events.rows(), now).await?)
}

fn set_fields(contact: &proto::Contact) -> Vec<String> {
    let text = [
        ("display_name", &contact.display_name),
        ("language", &contact.language),
        ("time_zone", &contact.time_zone),
        ("organization_id", &contact.organization_id),
    ];
    let mut paths: Vec<String> = text
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(path, _)| path.to_owned())
        .collect();
    if contact.organization_manager {
        paths.push("organization_manager".to_owned());
    }
    paths.extend(
        contact
            .attributes
            .keys()
            .map(|name| format!("attributes.{name}")),
    );
    paths
}

/// Locks the contact that stands for `id`. Merging waits meanwhile.
async fn lock_root(tx: &mut PgConnection, id: Uuid) -> Result<read::Row, ContactError> {
    graph::lock(tx).await?;
    let row = read::root(tx, id).await?;
    sqlx::query("SELECT 1 FROM tickets.contact WHERE id = $1 FOR UPDATE")
        .bind(row.id)
        .execute(&mut *tx)
        .await?;
    let row = read::root(tx, row.id).await?;
    if row.erased_at.is_some() {
        return Err(ContactError::Erased(row.id));
    }
    Ok(row)
}

/// Sets or ends a block.
pub(crate) async fn block(
    context: &Arc<Context>,
    id: Uuid,
    reason: Option<String>,
    asked: Option<Asked>,
) -> Result<(), ContactError> {
    let (input, now) = (Arc::new((reason, asked)), context.clock.now());
    context
        .db
        .tx("contact.block", |tx| {
            let input = input.clone();
            Box::pin(async move {
                let (reason, asked) = input.as_ref();
                if made_before(tx, asked.as_ref(), id, now).await?.is_some() {
                    return Ok(());
                }
                let row = lock_root(tx, id).await?;
                sqlx::query(
                    "UPDATE tickets.contact SET blocked_at = CASE WHEN $2::text IS NULL THEN NULL ELSE $3::timestamptz END,
                        block_reason = coalesce($2, ''), version = version + 1, updated_at = $3 WHERE id = $1",
                )
                .bind(row.id)
                .bind(reason)
                .bind(now.to_sqlx())
                .execute(tx)
                .await?;
                Ok(())
            })
        })
        .await
}

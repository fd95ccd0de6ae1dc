//! A contact as others see it: the contact that stands for a person, with what all that it stands for know.

use std::collections::HashMap;

use solmu_bus::envelope::to_proto_time;
use solmu_db::SqlTimestamp;
use solmu_domain::contact::Assurance;
use solmu_proto::{contact::v1 as proto, types::v1::Identity};
use solmu_runtime::access::Visibility;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, Row as _, postgres::PgRow};
use uuid::Uuid;

use crate::{ContactError, resolve};

/// A contact as the table has it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) root_id: Option<Uuid>,
    pub(crate) display_name: String,
    pub(crate) language: String,
    pub(crate) time_zone: String,
    pub(crate) attributes: serde_json::Value,
    pub(crate) organization_id: Option<Uuid>,
    pub(crate) manager: bool,
    pub(crate) version: i64,
    pub(crate) created_at: SqlTimestamp,
    pub(crate) updated_at: Option<SqlTimestamp>,
    pub(crate) blocked_at: Option<SqlTimestamp>,
    pub(crate) block_reason: String,
    pub(crate) erased_at: Option<SqlTimestamp>,
}
solmu_db::from_row!(Row {
    id,
    root_id,
    display_name,
    language,
    time_zone,
    attributes,
    organization_id,
    manager,
    version,
    created_at,
    updated_at,
    blocked_at,
    block_reason,
    erased_at
});

impl Row {
    pub(crate) fn etag(&self) -> String {
        self.version.to_string()
    }

    /// Takes what it does not have itself from a contact that it stands for.
    fn fill(&mut self, other: &Self) {
        for (own, theirs) in [
            (&mut self.display_name, &other.display_name),
            (&mut self.language, &other.language),
            (&mut self.time_zone, &other.time_zone),
        ] {
            if own.is_empty() {
                own.clone_from(theirs);
            }
        }
        if self.organization_id.is_none() {
            self.organization_id = other.organization_id;
            self.manager = other.manager;
        }
        if let (Some(own), Some(theirs)) = (
            self.attributes.as_object_mut(),
            other.attributes.as_object(),
        ) {
            for (name, value) in theirs {
                own.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
}

/// Columns of [`Row`].
pub(crate) const COLUMNS: &str = "contact.id, contact.root_id, contact.display_name, contact.language, \
    contact.time_zone, contact.attributes, contact.organization_id, contact.manager, contact.version, \
    contact.created_at, contact.updated_at, contact.blocked_at, contact.block_reason, contact.erased_at";

/// A statement that reads contacts; conditions on `contact` follow.
pub(crate) fn select() -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("SELECT ");
    query.push(COLUMNS).push(" FROM tickets.contact");
    query
}

/// A contact of a person, with how many tickets of its own there are of those that are seen.
struct Member {
    row: Row,
    tickets: i64,
}

impl FromRow<'_, PgRow> for Member {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            row: Row::from_row(row)?,
            tickets: row.try_get("tickets")?,
        })
    }
}

/// A statement that reads [`Member`]s; what stands behind `FROM` follows, with `contact` in it.
fn select_members(visibility: &Visibility) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("SELECT ");
    query
        .push(COLUMNS)
        .push(", (SELECT count(*) FROM tickets.ticket WHERE ticket.contact_id = contact.id");
    visibility.push(&mut query);
    query.push(") AS tickets FROM ");
    query
}

/// Reads all contacts of the person that `id` is part of.
pub(crate) fn of_person(id: Uuid, visibility: &Visibility) -> QueryBuilder<Postgres> {
    let mut query = select_members(visibility);
    query
        .push(
            "tickets.contact AS named CROSS JOIN LATERAL (SELECT coalesce(named.root_id, named.id) AS id) AS root
             JOIN tickets.contact ON contact.id = root.id OR contact.root_id = root.id WHERE named.id = ",
        )
        .push_bind(id);
    query
}

/// The contact that stands for `id`, in full, for somebody who sees these tickets.
pub(crate) async fn contact(
    connection: &mut PgConnection,
    id: Uuid,
    visibility: &Visibility,
) -> Result<proto::Contact, ContactError> {
    let mut query = of_person(id, visibility);
    let members = query.build_query_as().fetch_all(&mut *connection).await?;
    let mut contacts = complete(connection, members).await?;
    contacts
        .pop()
        .ok_or_else(|| ContactError::unknown("contact", &id))
}

/// The contacts that stand for `ids`, which stand for themselves, in this order.
pub(crate) async fn contacts(
    connection: &mut PgConnection,
    ids: &[Uuid],
    visibility: &Visibility,
) -> Result<Vec<proto::Contact>, ContactError> {
    let mut query = select_members(visibility);
    query
        .push("tickets.contact WHERE contact.id = ANY(")
        .push_bind(ids)
        .push(") OR contact.root_id = ANY(")
        .push_bind(ids)
        .push(")");
    let members = query.build_query_as().fetch_all(&mut *connection).await?;
    let places: HashMap<String, usize> = ids
        .iter()
        .enumerate()
        .map(|(place, id)| (id.to_string(), place))
        .collect();
    let mut contacts = complete(connection, members).await?;
    contacts.sort_by_key(|contact| places.get(&contact.id).copied());
    Ok(contacts)
}

/// The row of the contact that stands for `id`.
pub(crate) async fn root(connection: &mut PgConnection, id: Uuid) -> Result<Row, ContactError> {
    let mut query = select();
    query
        .push(" WHERE contact.id = (SELECT coalesce(root_id, id) FROM tickets.contact WHERE id = ")
        .push_bind(id)
        .push(")");
    query
        .build_query_as()
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| ContactError::unknown("contact", &id))
}

struct IdentityRow {
    contact_id: Uuid,
    kind: i16,
    scope: String,
    value: String,
    raw: String,
    assurance: i16,
    attested_by: String,
    undeliverable_at: Option<SqlTimestamp>,
    undeliverable_cause: String,
    /// That the domain of an address belongs to, whoever wrote from it.
    organization_id: Option<Uuid>,
}
solmu_db::from_row!(IdentityRow {
    contact_id,
    kind,
    scope,
    value,
    raw,
    assurance,
    attested_by,
    undeliverable_at,
    undeliverable_cause,
    organization_id
});

impl IdentityRow {
    /// The organisation that this identity makes its contact a member of: proven addresses of our own accounts do.
    fn organization(&self) -> Option<Uuid> {
        self.organization_id
            .filter(|_| resolve::is_own(&self.scope) && self.assurance == Assurance::Proven.code())
    }
}

impl From<IdentityRow> for Identity {
    fn from(row: IdentityRow) -> Self {
        Self {
            kind: row.kind.into(),
            value: row.value,
            raw: row.raw,
            assurance: row.assurance.into(),
            attested_by: row.attested_by,
            scope: row.scope,
            undeliverable_time: row.undeliverable_at.map(|at| to_proto_time(at.to_jiff())),
            undeliverable_cause: row.undeliverable_cause,
        }
    }
}

/// The contacts that stand for persons, of all contacts of these persons.
async fn complete(
    connection: &mut PgConnection,
    mut members: Vec<Member>,
) -> Result<Vec<proto::Contact>, ContactError> {
    members.sort_by_key(|member| (member.row.created_at.to_jiff(), member.row.id));
    let root_of: HashMap<Uuid, Uuid> = members
        .iter()
        .map(|it| (it.row.id, it.row.root_id.unwrap_or(it.row.id)))
        .collect();
    let everybody: Vec<Uuid> = root_of.keys().copied().collect();
    let mut identities = identities(connection, &everybody, &root_of).await?;
    let (roots, others): (Vec<Member>, Vec<Member>) = members
        .into_iter()
        .partition(|member| member.row.root_id.is_none());
    let mut merged: HashMap<Uuid, Vec<Member>> = HashMap::new();
    for member in others {
        let Some(root) = member.row.root_id else {
            continue;
        };
        merged.entry(root).or_default().push(member);
    }
    let contacts = roots.into_iter().map(|Member { mut row, tickets }| {
        let merged = merged.remove(&row.id).unwrap_or_default();
        for other in &merged {
            row.fill(&other.row);
        }
        let identities = identities.remove(&row.id).unwrap_or_default();
        let organization = row
            .organization_id
            .or_else(|| identities.iter().find_map(IdentityRow::organization));
        proto::Contact {
            ticket_count: tickets + merged.iter().map(|it| it.tickets).sum::<i64>(),
            merged_contact_ids: merged.iter().map(|it| it.row.id.to_string()).collect(),
            organization_id: organization.map(|id| id.to_string()).unwrap_or_default(),
            identities: identities.into_iter().map(Into::into).collect(),
            ..to_proto(row)
        }
    });
    Ok(contacts.collect())
}

fn to_proto(row: Row) -> proto::Contact {
    let time = |at: Option<SqlTimestamp>| at.map(|at| to_proto_time(at.to_jiff()));
    let attributes = row.attributes.as_object().into_iter().flatten();
    proto::Contact {
        id: row.id.to_string(),
        etag: row.etag(),
        attributes: attributes
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
        organization_manager: row.manager,
        create_time: time(Some(row.created_at)),
        update_time: time(row.updated_at),
        block_time: time(row.blocked_at),
        erase_time: time(row.erased_at),
        display_name: row.display_name,
        language: row.language,
        time_zone: row.time_zone,
        block_reason: row.block_reason,
        ..proto::Contact::default()
    }
}

/// Identities of the contacts `$1`, with the organisations of their domains.
pub(crate) const IDENTITIES: &str = "SELECT identity.contact_id, identity.kind, identity.scope, identity.value, identity.raw,
        identity.assurance, identity.attested_by, identity.undeliverable_at, identity.undeliverable_cause,
        own.organization_id
    FROM tickets.identity LEFT JOIN tickets.organization_domain AS own
        ON identity.kind = 1 AND own.domain = substring(identity.value FROM '@([^@]*)$')
    WHERE identity.contact_id = ANY($1) ORDER BY identity.first_seen, identity.kind, identity.value";

/// By the contacts that stand for persons.
async fn identities(
    connection: &mut PgConnection,
    contacts: &[Uuid],
    root_of: &HashMap<Uuid, Uuid>,
) -> Result<HashMap<Uuid, Vec<IdentityRow>>, ContactError> {
    let found: Vec<IdentityRow> = sqlx::query_as(IDENTITIES)
        .bind(contacts)
        .fetch_all(connection)
        .await?;
    let mut identities: HashMap<Uuid, Vec<IdentityRow>> = HashMap::new();
    for row in found {
        if let Some(root) = root_of.get(&row.contact_id) {
            identities.entry(*root).or_default().push(row);
        }
    }
    Ok(identities)
}

/// A merge as it is listed.
pub(crate) type MergeRow = (
    Uuid,
    Uuid,
    Uuid,
    String,
    String,
    i16,
    String,
    String,
    SqlTimestamp,
    Option<SqlTimestamp>,
    Option<i16>,
    String,
    String,
);

/// Merges of the person that `contact` is part of, newest first, after `after`.
pub(crate) async fn merges(
    connection: &mut PgConnection,
    contact: Uuid,
    after: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<proto::Merge>, ContactError> {
    let root = root(&mut *connection, contact).await?.id;
    let members = crate::graph::members(&mut *connection, &[root]).await?;
    let (at, id) = after.unwrap_or((i64::MAX, Uuid::max()));
    let at = jiff::Timestamp::from_microsecond(at).unwrap_or(jiff::Timestamp::MAX);
    let rows: Vec<MergeRow> = sqlx::query_as(
        "SELECT id, winner_id, loser_id, rule, evidence, actor_kind, actor_id, reason, created_at, undone_at,
            undone_kind, undone_by, undo_reason
         FROM tickets.contact_merge WHERE (winner_id = ANY($1) OR loser_id = ANY($1)) AND (created_at, id) < ($2, $3)
         ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind(members)
    .bind(solmu_db::ToSqlx::to_sqlx(at))
    .bind(id)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(merge_to_proto).collect())
}

fn merge_to_proto(row: MergeRow) -> proto::Merge {
    let (
        id,
        winner,
        loser,
        rule,
        evidence,
        kind,
        actor_id,
        reason,
        at,
        undone_at,
        undone_kind,
        by,
        why,
    ) = row;
    let actor = |kind: i16, id: String| solmu_proto::types::v1::Actor {
        kind: kind.into(),
        id,
    };
    proto::Merge {
        id: id.to_string(),
        contact_id: winner.to_string(),
        merged_contact_id: loser.to_string(),
        rule,
        evidence,
        actor: Some(actor(kind, actor_id)),
        reason,
        merge_time: Some(to_proto_time(at.to_jiff())),
        unmerge_time: undone_at.map(|at| to_proto_time(at.to_jiff())),
        unmerge_actor: undone_kind.map(|kind| actor(kind, by)),
        unmerge_reason: why,
    }
}

/// What only they are known by: who else writes from a mailbox of a role keeps what waits there, and who forged an address
/// owns nothing of it.
const OWN_VALUES: &str = "SELECT value FROM tickets.identity AS own WHERE contact_id = ANY($1) AND NOT EXISTS (
        SELECT 1 FROM tickets.identity AS other WHERE other.kind = own.kind AND other.value = own.value
            AND other.contact_id <> ALL($1) AND other.scope <> 'failed-checks')";

/// What only the person behind `contacts` is known by.
pub(crate) async fn own_values(
    connection: &mut PgConnection,
    contacts: &[Uuid],
) -> Result<Vec<String>, ContactError> {
    let values = sqlx::query_scalar(OWN_VALUES)
        .bind(contacts)
        .fetch_all(connection)
        .await?;
    Ok(values)
}

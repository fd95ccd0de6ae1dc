//! Definitions of fields, as they are stored and shown.

use std::collections::BTreeMap;

use solmu_bus::envelope::to_proto_time;
use solmu_db::SqlTimestamp;
use solmu_proto::ticket::v1::{FieldDefinition, field_definition};
use sqlx::PgConnection;

pub(crate) use field_definition::Kind;

use crate::error::TicketError;

/// Definitions by key, archived ones included.
pub(crate) type Definitions = BTreeMap<String, Definition>;

/// A field.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) key: String,
    pub(crate) label: String,
    /// As it is stored: see [`Definition::kind`].
    pub(crate) kind: String,
    pub(crate) options: Vec<String>,
    pub(crate) required: bool,
    pub(crate) min: String,
    pub(crate) max: String,
    pub(crate) min_length: i32,
    pub(crate) max_length: i32,
    pub(crate) pattern: String,
    pub(crate) version: i64,
    pub(crate) archived_at: Option<SqlTimestamp>,
    pub(crate) created_at: SqlTimestamp,
    pub(crate) updated_at: SqlTimestamp,
}

solmu_db::from_row!(Definition {
    key,
    label,
    kind,
    options,
    required,
    min,
    max,
    min_length,
    max_length,
    pattern,
    version,
    archived_at,
    created_at,
    updated_at
});

impl From<Definition> for FieldDefinition {
    fn from(it: Definition) -> Self {
        Self {
            etag: it.etag(),
            kind: it.kind().into(),
            key: it.key,
            label: it.label,
            options: it.options,
            required_to_resolve: it.required,
            min: it.min,
            max: it.max,
            min_length: it.min_length,
            max_length: it.max_length,
            pattern: it.pattern,
            archive_time: it.archived_at.map(|at| to_proto_time(at.to_jiff())),
            create_time: Some(to_proto_time(it.created_at.to_jiff())),
            update_time: Some(to_proto_time(it.updated_at.to_jiff())),
        }
    }
}

impl Definition {
    pub(crate) fn kind(&self) -> Kind {
        let known = KINDS.into_iter().find(|(_, name)| *name == self.kind);
        known.map_or(Kind::Unspecified, |(kind, _)| kind)
    }

    /// The version as an AIP-154 etag.
    pub(crate) fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

/// Every definition. There are few: one statement reads them all.
pub(crate) async fn definitions(tx: &mut PgConnection) -> Result<Definitions, TicketError> {
    let all: Vec<Definition> = sqlx::query_as("SELECT * FROM tickets.field")
        .fetch_all(tx)
        .await?;
    Ok(all.into_iter().map(|it| (it.key.clone(), it)).collect())
}

const KINDS: [(Kind, &str); 7] = [
    (Kind::Text, "text"),
    (Kind::Number, "number"),
    (Kind::Date, "date"),
    (Kind::Datetime, "datetime"),
    (Kind::Boolean, "boolean"),
    (Kind::Choice, "choice"),
    (Kind::MultiChoice, "multi_choice"),
];

/// As it is stored.
pub(super) fn kind_name(kind: Kind) -> &'static str {
    let known = KINDS.into_iter().find(|(known, _)| *known == kind);
    known.map_or("", |(_, name)| name)
}

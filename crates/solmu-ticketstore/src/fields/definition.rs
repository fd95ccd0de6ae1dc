//! Definitions of fields, as they are stored and shown.

use std::collections::BTreeMap;

use solmu_bus::envelope::to_proto_time;
use solmu_db::SqlTimestamp;
use solmu_proto::ticket::v1::{FieldDefinition, field_definition};
use sqlx::PgConnection;

pub use field_definition::Kind;

use crate::error::TicketError;

/// Definitions by key, archived ones included.
pub type Definitions = BTreeMap<String, Definition>;

/// A field.
#[derive(Debug, Clone)]
pub struct Definition {
    /// What values are stored and asked for by.
    pub key: String,
    /// What people call it.
    pub label: String,
    /// As it is stored: see [`Definition::kind`].
    pub kind: String,
    /// The values that there are, where they are listed.
    pub options: Vec<String>,
    /// A ticket that is over must have a value.
    pub required: bool,
    /// The smallest number or the first date; empty: none.
    pub min: String,
    /// The largest number or the last date; empty: none.
    pub max: String,
    /// Characters at least.
    pub min_length: i32,
    /// Characters at most; 0: no limit of its own.
    pub max_length: i32,
    /// A regular expression that a text matches; empty: none.
    pub pattern: String,
    /// Counts its changes.
    pub version: i64,
    /// When it was taken out of use.
    pub archived_at: Option<SqlTimestamp>,
    /// When it was made.
    pub created_at: SqlTimestamp,
    /// When it changed last.
    pub updated_at: SqlTimestamp,
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
    /// What its values are.
    pub fn kind(&self) -> Kind {
        let known = KINDS.into_iter().find(|(_, name)| *name == self.kind);
        known.map_or(Kind::Unspecified, |(kind, _)| kind)
    }

    /// The version as an AIP-154 etag.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

/// Every definition. There are few: one statement reads them all.
pub async fn definitions(tx: &mut PgConnection) -> Result<Definitions, TicketError> {
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

//! Defining, changing and archiving fields.

use std::sync::Arc;

use jiff::Timestamp;
use solmu_db::ToSqlx as _;
use solmu_proto::ticket::v1::FieldDefinition;
use solmu_runtime::{ApiError, api_error::Violation};
use sqlx::PgConnection;

use super::{
    Definition, Kind,
    definition::kind_name,
    definitions,
    value::{MAX_VALUE, compare, pattern, plain},
};
use crate::{context::Context, error::TicketError};

/// Fields, archived ones included.
const MAX_FIELDS: usize = 200;
const MAX_OPTIONS: usize = 200;
/// Longest label or option, in bytes.
const MAX_LABEL: usize = 200;
/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 500;

/// Defines a field; the same request id gives the same one.
pub async fn create(
    context: &Arc<Context>,
    field: FieldDefinition,
    request_id: Option<String>,
) -> Result<FieldDefinition, ApiError> {
    let now = context.clock.now();
    let mut wrong = Vec::new();
    let legal = field.key.len() <= 63
        && field.key.starts_with(|c: char| c.is_ascii_lowercase())
        && field
            .key
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !legal {
        let why = "expected up to 63 lower case letters, digits and underscores, a letter first";
        wrong.push(Violation::new("field.key", why));
    }
    if field.kind() == Kind::Unspecified {
        wrong.push(Violation::new("field.kind", "say what values are"));
    }
    let field = checked(field, wrong)?;
    let input = Arc::new((field, request_id));
    let made = context.db.tx("field.create", |tx| {
        let input = input.clone();
        Box::pin(async move { create_in(tx, &input.0, input.1.as_deref(), now).await })
    });
    made.await?.ok_or_else(|| ApiError::AlreadyExists {
        resource: "field",
        id: input.0.key.clone(),
    })
}

async fn create_in(
    tx: &mut PgConnection,
    field: &FieldDefinition,
    request_id: Option<&str>,
    now: Timestamp,
) -> Result<Option<FieldDefinition>, TicketError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('tickets.field', 0))")
        .execute(&mut *tx)
        .await?;
    let known: Option<String> =
        sqlx::query_scalar("SELECT key FROM tickets.field WHERE request_id = $1")
            .bind(request_id)
            .fetch_optional(&mut *tx)
            .await?;
    let mut all = definitions(tx).await?;
    if let Some(key) = known {
        return Ok(all.remove(&key).map(Into::into));
    }
    if all.contains_key(&field.key) {
        return Ok(None);
    }
    if all.len() >= MAX_FIELDS {
        let why = format!("there are {MAX_FIELDS} fields already");
        return Err(TicketError::refused("TOO_MANY_FIELDS", why));
    }
    sqlx::query(
        "INSERT INTO tickets.field (key, kind, label, options, required, min, max, min_length, max_length, pattern,
            created_at, updated_at, request_id)
         VALUES ($1, $2, '', '{}', false, '', '', 0, 0, '', $3, $3, $4)",
    )
    .bind(&field.key)
    .bind(kind_name(field.kind()))
    .bind(now.to_sqlx())
    .bind(request_id)
    .execute(&mut *tx)
    .await?;
    // Version 1 is that of the row as it is filled here.
    write(tx, field, 0, now).await?;
    Ok(definitions(tx).await?.remove(&field.key).map(Into::into))
}

async fn write(
    tx: &mut PgConnection,
    field: &FieldDefinition,
    version: i64,
    now: Timestamp,
) -> Result<(), TicketError> {
    sqlx::query(
        "UPDATE tickets.field SET label = $2, options = $3, required = $4, min = $5, max = $6, min_length = $7,
            max_length = $8, pattern = $9, version = $10 + 1, updated_at = $11 WHERE key = $1",
    )
    .bind(&field.key)
    .bind(&field.label)
    .bind(&field.options)
    .bind(field.required_to_resolve)
    .bind(&field.min)
    .bind(&field.max)
    .bind(field.min_length)
    .bind(field.max_length)
    .bind(&field.pattern)
    .bind(version)
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// One definition.
pub async fn get(context: &Context, key: &str) -> Result<FieldDefinition, ApiError> {
    let mut all = list(context, true).await?;
    all.retain(|it| it.key == key);
    all.pop().ok_or_else(|| ApiError::not_found("field", &key))
}

/// Definitions by key.
pub async fn list(context: &Context, archived: bool) -> Result<Vec<FieldDefinition>, ApiError> {
    let connection = context.db.pool().acquire().await;
    let mut connection = connection.map_err(solmu_db::DbError::from)?;
    let all = definitions(&mut connection).await?.into_values();
    let shown = all.filter(|it| archived || it.archived_at.is_none());
    Ok(shown.map(Into::into).collect())
}

/// Changes what `mask` names, or what is set.
pub async fn update(
    context: &Arc<Context>,
    field: FieldDefinition,
    mask: Vec<String>,
) -> Result<FieldDefinition, ApiError> {
    let now = context.clock.now();
    let input = Arc::new((field, mask));
    context
        .db
        .tx("field.update", |tx| {
            let input = input.clone();
            Box::pin(async move {
                let (wanted, mask) = (&input.0, &input.1);
                let known = locked(tx, &wanted.key).await?;
                if !wanted.etag.is_empty() && wanted.etag != known.etag() {
                    let current = known.version;
                    return Err(ApiError::from(TicketError::Stale { current }));
                }
                let version = known.version;
                let next = checked(masked(known.into(), wanted, mask)?, Vec::new())?;
                write(tx, &next, version, now).await?;
                Ok(locked(tx, &wanted.key).await?.into())
            })
        })
        .await
}

async fn locked(tx: &mut PgConnection, key: &str) -> Result<Definition, TicketError> {
    let known: Option<Definition> =
        sqlx::query_as("SELECT * FROM tickets.field WHERE key = $1 FOR UPDATE")
            .bind(key)
            .fetch_optional(tx)
            .await?;
    known.ok_or_else(|| TicketError::Unknown {
        what: "field",
        id: key.to_owned(),
    })
}

fn masked(
    mut known: FieldDefinition,
    wanted: &FieldDefinition,
    mask: &[String],
) -> Result<FieldDefinition, TicketError> {
    let all = [
        "label",
        "options",
        "required_to_resolve",
        "min",
        "max",
        "min_length",
        "max_length",
        "pattern",
    ];
    if let Some(bad) = mask.iter().find(|it| !all.contains(&it.as_str())) {
        let why = format!("'{bad}' cannot be changed");
        return Err(TicketError::invalid("update_mask", why));
    }
    macro_rules! take {
        ($($name:ident)*) => {$(
            let named = mask.iter().any(|it| it == stringify!($name));
            if named || (mask.is_empty() && wanted.$name != FieldDefinition::default().$name) {
                known.$name.clone_from(&wanted.$name);
            }
        )*};
    }
    take!(label options required_to_resolve min max min_length max_length pattern);
    Ok(known)
}

/// Takes a field out of use.
pub async fn archive(context: &Arc<Context>, key: String) -> Result<FieldDefinition, TicketError> {
    let now = context.clock.now();
    context
        .db
        .tx("field.archive", |tx| {
            let key = key.clone();
            Box::pin(async move {
                sqlx::query(
                    "UPDATE tickets.field SET archived_at = $2, updated_at = $2, version = version + 1
                     WHERE key = $1 AND archived_at IS NULL",
                )
                .bind(&key)
                .bind(now.to_sqlx())
                .execute(&mut *tx)
                .await?;
                Ok(locked(tx, &key).await?.into())
            })
        })
        .await
}

/// The definition in one form, or everything that is wrong with it.
fn checked(
    mut it: FieldDefinition,
    mut wrong: Vec<Violation>,
) -> Result<FieldDefinition, TicketError> {
    check_words(&mut it, &mut wrong);
    let mut bad =
        |field: &str, why: String| wrong.push(Violation::new(format!("field.{field}"), why));
    let kind = it.kind();
    let ordered = matches!(kind, Kind::Number | Kind::Date | Kind::Datetime);
    for (name, limit) in [("min", &mut it.min), ("max", &mut it.max)] {
        if limit.is_empty() {
            continue;
        }
        match plain(kind, limit.trim()) {
            Ok(stored) if ordered => *limit = stored,
            Ok(_) => bad(
                name,
                "only numbers, days and instants have an order".to_owned(),
            ),
            Err(why) => bad(name, why),
        }
    }
    if !it.min.is_empty() && !it.max.is_empty() && compare(kind, &it.min, &it.max).is_gt() {
        bad("max", "is less than the least one".to_owned());
    }
    let longest = i32::try_from(MAX_VALUE).unwrap_or(i32::MAX);
    for (name, length) in [("min_length", it.min_length), ("max_length", it.max_length)] {
        if !(0..=longest).contains(&length) || (length > 0 && kind != Kind::Text) {
            bad(
                name,
                format!("a text has 0 to {MAX_VALUE} characters, others have no length"),
            );
        }
    }
    if it.max_length > 0 && it.max_length < it.min_length {
        bad("max_length", "is less than the least one".to_owned());
    }
    if !it.pattern.is_empty() {
        if kind != Kind::Text || it.pattern.len() > MAX_PATTERN || it.pattern.contains('\0') {
            bad(
                "pattern",
                format!("only of a text, and up to {MAX_PATTERN} bytes"),
            );
        } else if let Err(why) = pattern(&it.pattern) {
            bad("pattern", why);
        }
    }
    if wrong.is_empty() {
        Ok(it)
    } else {
        Err(TicketError::Invalid(wrong))
    }
}

/// Label and options.
fn check_words(it: &mut FieldDefinition, wrong: &mut Vec<Violation>) {
    let mut bad =
        |field: &str, why: String| wrong.push(Violation::new(format!("field.{field}"), why));
    let kind = it.kind();
    let word = |text: &str| {
        !text.is_empty()
            && text.len() <= MAX_LABEL
            && !text.contains(char::is_control)
            && text.trim() == text
    };
    it.label = it.label.trim().into();
    if it.label.is_empty() {
        it.label.clone_from(&it.key);
    }
    if !word(&it.label) {
        bad(
            "label",
            format!("expected up to {MAX_LABEL} bytes on one line"),
        );
    }
    let chooses = matches!(kind, Kind::Choice | Kind::MultiChoice);
    if chooses == it.options.is_empty() || it.options.len() > MAX_OPTIONS {
        bad(
            "options",
            format!("a choice has 1 to {MAX_OPTIONS} options, others have none"),
        );
    }
    let mut seen = std::collections::BTreeSet::new();
    if !it
        .options
        .iter()
        .all(|option| word(option) && seen.insert(option))
    {
        bad(
            "options",
            format!(
                "each has 1 to {MAX_LABEL} bytes on one line, no space around it, and is there once"
            ),
        );
    }
}

//! Sub-statuses: finer words of the desk for where a ticket stands.
//!
//! A sub-status is a part of one status, and that stays the authority: legal moves, routing, pauses of the SLA and closing
//! look at the status alone. A ticket keeps its sub-status only while it is in that status, so no way of leaving it can
//! forget to take the word away. Statuses of the desk's own with their own table of moves were rejected: every service
//! that asks whether a ticket is open would have to know them.

use std::sync::Arc;

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_domain::ticket::Status;
use solmu_proto::ticket::v1::{self as proto, substatus_service_server::SubstatusService};
use solmu_runtime::{
    ApiError,
    access::{Role, caller},
    api_error::Violation,
};
use sqlx::PgConnection;
use tonic::{Request, Response};

use crate::{
    calls::{PEOPLE, checked_request_id},
    context::Context,
    edit::Edit,
    error::TicketError,
    model::{Ticket, status_from_proto, status_to_proto},
};

/// Sub-statuses, retired ones included.
const MAX: i64 = 100;
/// Longest label, in bytes.
const MAX_LABEL: usize = 200;
/// Places are up to this.
const MAX_ORDER: i32 = 1_000_000;

/// A definition as it is stored.
#[derive(Debug)]
struct Row {
    name: String,
    label: String,
    status: String,
    position: i32,
    retired_at: Option<SqlTimestamp>,
    version: i64,
    created_at: SqlTimestamp,
    updated_at: SqlTimestamp,
}
solmu_db::from_row!(Row {
    name,
    label,
    status,
    position,
    retired_at,
    version,
    created_at,
    updated_at
});

impl From<Row> for proto::Substatus {
    fn from(row: Row) -> Self {
        let status = row.status.parse().map(status_to_proto).unwrap_or_default();
        Self {
            name: row.name,
            label: row.label,
            status: status.into(),
            order: row.position,
            retire_time: row.retired_at.map(|at| to_proto_time(at.to_jiff())),
            create_time: Some(to_proto_time(row.created_at.to_jiff())),
            update_time: Some(to_proto_time(row.updated_at.to_jiff())),
            etag: etag(row.version),
        }
    }
}

fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Gives `ticket`, which is locked, the sub-status that `edit` names; returns the status that goes with it, if one has
/// to be set.
pub async fn set(
    tx: &mut PgConnection,
    ticket: &mut Ticket,
    edit: &Edit,
) -> Result<Option<Status>, TicketError> {
    let Some(name) = &edit.substatus else {
        return Ok(edit.status);
    };
    if name.is_empty() {
        ticket.substatus = None;
        return Ok(edit.status);
    }
    let Some(row) = read(tx, name, false).await? else {
        let why = format!("there is no sub-status '{name}'");
        return Err(TicketError::invalid("ticket.substatus", why));
    };
    let status: Status = row.status.parse()?;
    if edit.status.is_some_and(|wanted| wanted != status) {
        let why = format!("'{name}' is a part of {status}");
        return Err(TicketError::refused("SUBSTATUS_OF_OTHER_STATUS", why));
    }
    let has = ticket.held_substatus() == name;
    if row.retired_at.is_some() && !has {
        let why = format!("'{name}' is out of use");
        return Err(TicketError::refused("SUBSTATUS_RETIRED", why));
    }
    ticket.substatus = Some((status, name.clone()));
    // A status that it has already is no move: the time of closing does not begin anew.
    Ok(edit
        .status
        .or(Some(status).filter(|it| *it != ticket.status)))
}

async fn read(tx: &mut PgConnection, name: &str, held: bool) -> Result<Option<Row>, TicketError> {
    let sql = if held {
        "SELECT * FROM tickets.substatus WHERE name = $1 FOR UPDATE"
    } else {
        "SELECT * FROM tickets.substatus WHERE name = $1"
    };
    let row = sqlx::query_as(sql).bind(name).fetch_optional(tx).await?;
    Ok(row)
}

async fn held(tx: &mut PgConnection, name: &str) -> Result<Row, TicketError> {
    read(tx, name, true)
        .await?
        .ok_or_else(|| TicketError::Unknown {
            what: "sub-status",
            id: name.to_owned(),
        })
}

/// The definition in one form, or what is wrong with it.
fn checked(mut it: proto::Substatus) -> Result<(proto::Substatus, Status), TicketError> {
    let mut wrong = Vec::new();
    let mut bad = |field: &str, why: String| {
        wrong.push(Violation::new(format!("substatus.{field}"), why));
    };
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !it.name.starts_with(|c: char| c.is_ascii_lowercase())
        || it.name.len() > 63
        || !it.name.chars().all(legal)
    {
        let why = "expected up to 63 lower case letters, digits and underscores, a letter first";
        bad("name", why.to_owned());
    }
    if Status::ALL.iter().any(|status| status.name() == it.name) {
        bad("name", "is the name of a status".to_owned());
    }
    let label = it.label.trim().to_owned();
    it.label = label;
    if it.label.is_empty() {
        it.label.clone_from(&it.name);
    }
    if it.label.len() > MAX_LABEL || it.label.contains(char::is_control) {
        bad(
            "label",
            format!("expected up to {MAX_LABEL} bytes on one line"),
        );
    }
    if !(0..=MAX_ORDER).contains(&it.order) {
        bad("order", format!("expected 0 to {MAX_ORDER}"));
    }
    let status = status_from_proto(it.status());
    if status.is_none() {
        bad("status", "say which status it is a part of".to_owned());
    }
    match status {
        Some(status) if wrong.is_empty() => Ok((it, status)),
        _ => Err(TicketError::Invalid(wrong)),
    }
}

async fn create_in(
    tx: &mut PgConnection,
    (wanted, status): &(proto::Substatus, Status),
    request_id: Option<&str>,
    now: Timestamp,
) -> Result<Option<Row>, TicketError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('tickets.substatus', 0))")
        .execute(&mut *tx)
        .await?;
    let same: Option<Row> = sqlx::query_as("SELECT * FROM tickets.substatus WHERE request_id = $1")
        .bind(request_id)
        .fetch_optional(&mut *tx)
        .await?;
    if same.is_some() {
        return Ok(same);
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM tickets.substatus")
        .fetch_one(&mut *tx)
        .await?;
    if count >= MAX {
        let why = format!("there are {MAX} sub-statuses already");
        return Err(TicketError::refused("TOO_MANY_SUBSTATUSES", why));
    }
    let made = sqlx::query_as(
        "INSERT INTO tickets.substatus (name, label, status, position, created_at, updated_at, request_id)
         VALUES ($1, $2, $3, $4, $5, $5, $6) ON CONFLICT (name) DO NOTHING RETURNING *",
    )
    .bind(&wanted.name)
    .bind(&wanted.label)
    .bind(status.name())
    .bind(wanted.order)
    .bind(now.to_sqlx())
    .bind(request_id)
    .fetch_optional(tx)
    .await?;
    Ok(made)
}

async fn update_in(
    tx: &mut PgConnection,
    wanted: &proto::Substatus,
    mask: &[String],
    now: Timestamp,
) -> Result<Row, TicketError> {
    let known = held(tx, &wanted.name).await?;
    if !wanted.etag.is_empty() && wanted.etag != etag(known.version) {
        let current = known.version;
        return Err(TicketError::Stale { current });
    }
    let mut next: proto::Substatus = known.into();
    for path in mask {
        match path.as_str() {
            "label" => next.label.clone_from(&wanted.label),
            "order" => next.order = wanted.order,
            other => {
                let why = format!("'{other}' cannot be changed");
                return Err(TicketError::invalid("update_mask", why));
            }
        }
    }
    let (next, _) = checked(next)?;
    let row = sqlx::query_as(
        "UPDATE tickets.substatus SET label = $2, position = $3, updated_at = $4, version = version + 1
         WHERE name = $1 RETURNING *",
    )
    .bind(&next.name)
    .bind(&next.label)
    .bind(next.order)
    .bind(now.to_sqlx())
    .fetch_one(tx)
    .await?;
    Ok(row)
}

/// The service.
pub struct Substatuses {
    /// What the service works with.
    pub context: Arc<Context>,
}

type Answer<T> = Result<Response<T>, tonic::Status>;

#[tonic::async_trait]
impl SubstatusService for Substatuses {
    async fn create_substatus(
        &self,
        request: Request<proto::CreateSubstatusRequest>,
    ) -> Answer<proto::Substatus> {
        caller(&request)?.require(&[Role::Admin])?;
        let request = request.into_inner();
        let id = checked_request_id(request.request_id)?;
        let wanted = checked(request.substatus.unwrap_or_default()).map_err(ApiError::from)?;
        let (now, input) = (self.context.clock.now(), Arc::new((wanted, id)));
        let made = self.context.db.tx("substatus.create", |tx| {
            let input = input.clone();
            Box::pin(async move { create_in(tx, &input.0, input.1.as_deref(), now).await })
        });
        let made = made.await.map_err(ApiError::from)?;
        let made = made.ok_or_else(|| ApiError::AlreadyExists {
            resource: "sub-status",
            id: input.0.0.name.clone(),
        })?;
        Ok(Response::new(made.into()))
    }

    async fn list_substatuses(
        &self,
        request: Request<proto::ListSubstatusesRequest>,
    ) -> Answer<proto::ListSubstatusesResponse> {
        caller(&request)?.require(PEOPLE)?;
        let rows = sqlx::query_as(
            "SELECT * FROM tickets.substatus WHERE $1 OR retired_at IS NULL
             ORDER BY array_position($2::text[], status), position, name",
        )
        .bind(request.get_ref().show_retired)
        .bind(Status::ALL.map(Status::name))
        .fetch_all(self.context.db.pool())
        .await;
        let rows: Vec<Row> = rows.map_err(|error| ApiError::from(TicketError::from(error)))?;
        let substatuses = rows.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListSubstatusesResponse {
            substatuses,
        }))
    }

    async fn update_substatus(
        &self,
        request: Request<proto::UpdateSubstatusRequest>,
    ) -> Answer<proto::Substatus> {
        caller(&request)?.require(&[Role::Admin])?;
        let request = request.into_inner();
        let wanted = request.substatus.unwrap_or_default();
        let mut mask = request.update_mask.unwrap_or_default().paths;
        if mask.is_empty() {
            let set = [
                ("label", !wanted.label.is_empty()),
                ("order", wanted.order != 0),
            ];
            mask.extend(set.iter().filter(|it| it.1).map(|it| it.0.to_owned()));
        }
        let (now, input) = (self.context.clock.now(), Arc::new((wanted, mask)));
        let changed = self.context.db.tx("substatus.update", |tx| {
            let input = input.clone();
            Box::pin(async move { update_in(tx, &input.0, &input.1, now).await })
        });
        let changed = changed.await.map_err(ApiError::from)?;
        Ok(Response::new(changed.into()))
    }

    async fn retire_substatus(
        &self,
        request: Request<proto::RetireSubstatusRequest>,
    ) -> Answer<proto::Substatus> {
        caller(&request)?.require(&[Role::Admin])?;
        let (now, name) = (self.context.clock.now(), request.into_inner().name);
        let retired = self.context.db.tx("substatus.retire", |tx| {
            let name = name.clone();
            Box::pin(async move {
                sqlx::query(
                    "UPDATE tickets.substatus SET retired_at = $2, updated_at = $2, version = version + 1
                     WHERE name = $1 AND retired_at IS NULL",
                )
                .bind(&name)
                .bind(now.to_sqlx())
                .execute(&mut *tx)
                .await?;
                held(tx, &name).await
            })
        });
        let retired = retired.await.map_err(ApiError::from)?;
        Ok(Response::new(retired.into()))
    }
}
